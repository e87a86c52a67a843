import gzip

import pytest
import torch

from funcdl import data
from funcdl.data.sentiment import JUDGMENTS

NAMES = ["Maclean", "Vajnichy", "Nasikovsky", "Usami", "Fionin", "Sharkey", "Balagul", "Pakhrin", "Tansho"]


def test_letters_are_ascii_codes_padded_by_zero():
    numbers = data.encode_letters(NAMES)
    assert numbers["lengths"].tolist() == [7, 8, 10, 5, 6, 7, 7, 7, 6]
    assert numbers["input"].shape == (9, 10)
    assert numbers["input"][0].tolist() == [77, 97, 99, 108, 101, 97, 110, 0, 0, 0]
    assert numbers["input"][3].tolist() == [85, 115, 97, 109, 105, 0, 0, 0, 0, 0]
    ordered = numbers["lengths"].argsort(descending=True, stable=True)
    assert numbers["lengths"][ordered].tolist() == [10, 8, 7, 7, 7, 7, 6, 6, 5]


@pytest.mark.parametrize("text", ["", "Müller"])
def test_letters_outside_ascii(text):
    with pytest.raises(ValueError, match="letters of ASCII"):
        data.encode_letters(["Li", text])


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Müller", "Muller"),
        ("O\u2019Neill", "O'Neill"),
        ("Dvořák", "Dvorak"),
        ("Łukasiewicz", "Lukasiewicz"),
        ("Strauß", "Strauss"),
        ("Ångström", "Angstrom"),
        ("Nguyễn", "Nguyen"),
        ("Øster", "Oster"),
        ("Tanaka", "Tanaka"),
        ("東", "東"),
    ],
)
def test_accents_are_removed(text, folded):
    assert data.fold_to_ascii(text) == folded


def test_words_of_the_vocabulary_have_their_codes_and_all_others_one():
    numbers = data.vocabulary(["The film .", "the Plot"])
    assert numbers == {".": 2, "film": 3, "plot": 4, "the": 5}
    found = data.encode_words(["THE music", " ", "film"], numbers)
    assert found["input"].tolist() == [[5, 1], [1, 0], [3, 0]]
    assert found["lengths"].tolist() == [2, 1, 1]


def write_names(folder, train, test):
    (folder / "names").mkdir()
    for part, rows in (("train", train), ("test", test)):
        (folder / "names" / f"names_{part}.csv").write_bytes(rows)


def test_names_are_read_plain_and_gzipped(tmp_path):
    train, test = b'"Adsit","Czech"\r\n"Li","Chinese"\r\n"O\'Neill","Irish"\r\n', b'"Li","Chinese"\r\n'
    write_names(tmp_path, train, test)
    split = data.names(tmp_path)
    assert split.classes == ("Chinese", "Czech", "Irish")
    assert split.train.texts == ["Adsit", "Li", "O'Neill"]
    assert split.train.labels.tolist() == [1, 0, 2]
    assert split.test.texts == ["Li"]
    for part, content in (("train", train), ("test", test)):
        (tmp_path / "names" / f"names_{part}.csv").unlink()
        (tmp_path / "names" / f"names_{part}.csv.gz").write_bytes(gzip.compress(content))
    again = data.names(tmp_path)
    assert again.train.texts == split.train.texts
    assert torch.equal(again.train.labels, split.train.labels)


@pytest.mark.parametrize(
    ("train", "test", "parts"),
    [
        (b'"Li","Chinese"\r\n"","Czech"\r\n', b"", ["names_train.csv", "line 2", "column 1", "name is empty"]),
        (b'"Li","Chinese"\r\n"Ajdrna",""\r\n', b"", ["names_train.csv", "line 2", "column 2", "country is empty"]),
        (b'"Li","Chinese"\r\n', b'"Tanaka","Japanese"\r\n', ["names_test.csv", "line 1", "column 2", "'Japanese'"]),
        (b'"Li","Chinese"\r\n"M\xfcller","German"\r\n', b"", ["names_train.csv", "line 2", "0xfc is not UTF-8"]),
        ('"Müller","German"\n'.encode(), b"", ["names_train.csv", "line 1", "'Müller' is not ASCII"]),
        (b'"Li","Chinese","x"\r\n', b"", ["names_train.csv", "line 1", "3 columns", "expected 2"]),
        (b'"Li","Chinese"\r\n"Wu"\r\n', b"", ["names_train.csv", "line 2", "1 column"]),
        (b"", b"", ["names_train.csv", "is empty"]),
    ],
)
def test_damaged_names(tmp_path, train, test, parts):
    write_names(tmp_path, train, test)
    with pytest.raises(data.DataError) as caught:
        data.names(tmp_path)
    message = str(caught.value)
    assert all(part in message for part in parts), message
    assert "\n" not in message


HEADER = b"PhraseId\tSentenceId\tPhrase\tSentiment\n"


def write_phrases(folder, content):
    (folder / "sentiment").mkdir()
    (folder / "sentiment" / "train.tsv").write_bytes(content)


def test_phrases_are_read_with_quotes_as_they_are_and_an_empty_one(tmp_path):
    write_phrases(tmp_path, HEADER + b'1\t1\tA "series\t1\n2\t1\t \t2\n3\t7\tgood\t4\n')
    phrases = data.sentiment(tmp_path)
    assert phrases.texts == ['A "series', " ", "good"]
    assert phrases.labels.tolist() == [1, 2, 4]
    assert phrases.sentences.tolist() == [1, 1, 7]


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (HEADER + b"1\t1\tgood\t5\n", ["line 2", "'Sentiment'", "'5'", "0 to 4"]),
        (HEADER + b"1\t1\tgood\t-1\n", ["line 2", "'Sentiment'", "'-1'"]),
        (HEADER + b"1\t1\tgood\t\n", ["line 2", "'Sentiment'", "''"]),
        (HEADER + b"1\tx\tgood\t1\n", ["line 2", "'SentenceId'", "'x'"]),
        (HEADER + b"1\t1\tgood\n", ["line 2", "3 columns", "expected 4"]),
        (b"PhraseId\tSentenceId\tPhrase\n1\t1\tgood\n", ["line 1", "'Sentiment'"]),
        (HEADER + b"1\t1\tcaf\xe9\t1\n", ["line 2", "0xe9 is not UTF-8"]),
        (b"", ["is empty"]),
    ],
)
def test_damaged_phrases(tmp_path, content, parts):
    write_phrases(tmp_path, content)
    with pytest.raises(data.DataError) as caught:
        data.sentiment(tmp_path)
    message = str(caught.value)
    assert all(part in message for part in [str(tmp_path / "sentiment" / "train.tsv"), *parts]), message


def test_phrases_that_are_not_there(tmp_path):
    with pytest.raises(data.DataError, match="Kaggle"):
        data.sentiment(tmp_path)


def test_synthetic_names_are_the_same_for_everybody_and_balanced():
    split = data.synthetic_names()
    assert [len(part.texts) for part in split[:2]] == [1200, 300]
    assert split.train.texts[:3] == ["Brugan", "Meine", "Kyoo"]
    counts = torch.cat([split.train.labels, split.test.labels]).bincount()
    assert counts.tolist() == [250] * 6
    assert all(text.isalpha() and text.isascii() for text in split.train.texts + split.test.texts)


def test_synthetic_phrases_follow_their_rule():
    grades = {word: grade for grade, words in enumerate(JUDGMENTS) for word in words.split()}
    phrases = data.synthetic_phrases()
    for text, label in zip(phrases.texts, phrases.labels.tolist(), strict=True):
        words = text.split(" but ")[-1].split()
        grade = grades.get(words[-1])
        expected = 2 if grade is None else 4 - grade if "not" in words else grade
        assert label == expected, text
    assert len(phrases.sentences.unique()) == 600
