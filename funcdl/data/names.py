"""Surnames of eighteen countries, and synthetic names that need no download."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from funcdl import random
from funcdl.data.download import find_or_download
from funcdl.data.errors import DataError, excerpt
from funcdl.data.files import data_dir
from funcdl.data.tables import read_text_table
from funcdl.data.text import LabeledText, TextSplit

URL = "https://raw.githubusercontent.com/hunkim/PyTorchZeroToAll/master/data/names_{}.csv.gz"
SHA256 = {
    "train": "49b4bf41dce5bfeac989b46ca37cf7baccd9a0d2a855df82f86de67a9376268f",
    "test": "57d7758db533a42c99d513b2341a7e7b0f55c1e0e7d233b1ef6a4fa2f1adf753",
}
SYNTHETIC = {  # by language: beginnings, syllables and endings of names
    "Ardic": ("Ar Bru Dra Gor Hel Tor", "da ga ro mu nar dor", "ic dur gan"),
    "Belish": ("Be Ce La Li Me Sa", "li ra ne sa mi lo", "ette elle ine"),
    "Chonese": ("Cho Chu Kyo Min Shu Yan", "cho ko min shi yan", "ng n o"),
    "Dalian": ("Da Fa Gi Ma Ro Vi", "lo ri na co ti ra", "ini ello ucci"),
    "Ekish": ("Ek Ik Ok Tek Vek Zek", "ka ke ta ve zi", "sky vich nov"),
    "Fennic": ("Aa Hei Kai Lei Sii Vuo", "kka la na ri ni", "nen la"),
}
SYNTHETIC_COUNT = 1500
MAX_LETTERS = 100  # of a name, because all names are padded to the longest


def names(path: str | os.PathLike[str] | None = None) -> TextSplit:
    """Returns the lecture's surnames: 13,374 to train on and 6,700 to test on, with 18 countries in alphabetical order.

    11.5 % of the pairs of a name and a country in the test set are also in the training set, and 476 names have several
    countries.

    The files are `path/names/names_train.csv` and `names_test.csv`, or the same gzipped with `.gz`, which is what is
    downloaded. They have two columns, the name and the country, without a header.

    Args:
        path: the folder of data sets; None means what `data_dir` says.

    Raises:
        DataError: a file is missing and cannot be downloaded, or is damaged; a name is empty, not ASCII or longer than
            100 letters; the test set has a country that the training set does not have.

    Source: https://github.com/hunkim/PyTorchZeroToAll, made of https://github.com/spro/practical-pytorch.
    """
    train_names, train_countries = _read(_file("train", path), None)
    countries = sorted(set(train_countries))
    test_names, test_countries = _read(_file("test", path), countries)
    index_of = {country: index for index, country in enumerate(countries)}
    train, test = (torch.tensor([index_of[name] for name in part]) for part in (train_countries, test_countries))
    return TextSplit(LabeledText(train_names, train), LabeledText(test_names, test), tuple(countries))


def synthetic_names() -> TextSplit:
    """Returns 1,500 synthetic names of six invented languages, a fifth held out as the test set.

    A name is a beginning, zero to two syllables and an ending, each drawn from those of its language (`SYNTHETIC`). The
    languages share most of their letters, and some syllables.

    >>> (texts, labels), test, classes = synthetic_names()
    >>> len(texts), len(test.texts), classes[:3]
    (1200, 300, ('Ardic', 'Belish', 'Chonese'))
    >>> texts[:3], labels[:3]
    (['Brugan', 'Meine', 'Kyoo'], tensor([0, 1, 2]))
    """
    drawn = random.uniform(random.key(0), (SYNTHETIC_COUNT, 5)).tolist()
    texts, labels = [], []
    for index, (begin, count, first, second, end) in enumerate(drawn):
        label = index % len(SYNTHETIC)
        beginnings, syllables, endings = (part.split() for part in list(SYNTHETIC.values())[label])
        middle = [_pick(syllables, share) for share in (first, second)][: int(3 * count)]
        texts.append("".join([_pick(beginnings, begin), *middle, _pick(endings, end)]))
        labels.append(label)
    held_out = SYNTHETIC_COUNT // 5
    train, test = slice(held_out, None), slice(held_out)
    return TextSplit(
        LabeledText(texts[train], torch.tensor(labels[train])),
        LabeledText(texts[test], torch.tensor(labels[test])),
        tuple(SYNTHETIC),
    )


def _pick(choices: list[str], share: float) -> str:
    return choices[int(share * len(choices))]


def _file(part: str, path: str | os.PathLike[str] | None) -> Path:
    plain = data_dir(path) / "names" / f"names_{part}.csv"
    if plain.exists():
        return plain
    return find_or_download(f"names/names_{part}.csv.gz", path, urls=URL.format(part), sha256=SHA256[part])


def _read(path: Path, countries: list[str] | None) -> tuple[list[str], list[str]]:
    """Reads and validates the two columns of a file; `countries` are the allowed ones."""
    table = read_text_table(path, header=False, columns=2)
    for (name, country), line in zip(table.rows, table.lines, strict=True):
        if not name.strip() or not country.strip():
            column, what = (1, "name") if not name.strip() else (2, "country")
            raise DataError(
                f"{path}, line {line}, column {column}: the {what} is empty; correct it or get the file again"
            )
        if not name.isascii():
            raise DataError(
                f"{path}, line {line}, column 1: '{excerpt(name)}' is not ASCII, expected a name without accents; "
                "correct it or get the file again"
            )
        if len(name) > MAX_LETTERS:
            raise DataError(
                f"{path}, line {line}, column 1: a name of {len(name):,} letters, '{excerpt(name)}', "
                f"expected at most {MAX_LETTERS}; correct it or get the file again"
            )
        if countries is not None and country not in countries:
            raise DataError(
                f"{path}, line {line}, column 2: the country '{excerpt(country)}' is not one of the training file's "
                f"({', '.join(countries)}); correct it or get the file again"
            )
    return [name for name, _ in table.rows], [country for _, country in table.rows]
