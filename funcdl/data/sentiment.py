"""Phrases of film reviews in five classes from negative to positive, and synthetic ones that need no download."""

from __future__ import annotations

import os
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from funcdl import random
from funcdl.data.errors import DataError, excerpt
from funcdl.data.kaggle import kaggle_file
from funcdl.data.tables import read_text_table

CLASSES = ("negative", "somewhat negative", "neutral", "somewhat positive", "positive")
COLUMNS = ("SentenceId", "Phrase", "Sentiment")
SUBJECTS = ["the film", "the plot", "the music", "the ending", "its hero", "each scene", "the script", "this story"]
JUDGMENTS = (  # the words of each class
    "awful dreadful worthless",
    "dull clumsy tired",
    "long new loud",
    "nice warm clever",
    "superb brilliant wonderful",
)
SENTENCES = 600
MAX_DIGITS = 18  # of a number, so that it fits int64
MAX_WORDS = 128  # of a phrase, because all phrases are padded to the longest


class Phrases(NamedTuple):
    """Phrases, the index of the class of each, and the ID of the sentence that it is a part of."""

    texts: list[str]
    labels: Int[Tensor, " n"]
    sentences: Int[Tensor, " n"]


def sentiment(path: str | os.PathLike[str] | None = None) -> Phrases:
    """Returns Kaggle's 156,060 phrases of 8,529 sentences from film reviews, labeled from 0 (negative) to 4 (positive).

    The phrases of a sentence overlap, so that a split should keep them together. 51.0 % are of class 2 (neutral), and
    one phrase is empty.

    The file is `path/sentiment/train.tsv` or `train.tsv.gz`.

    Args:
        path: the folder of data sets; None means what `data_dir` says.

    Raises:
        DataError: the file is missing or damaged, a column is not there, a label or sentence is not a number in
            range, or a phrase has more than 128 words.

    Source: https://www.kaggle.com/c/sentiment-analysis-on-movie-reviews; Socher et al., "Recursive deep models for
    semantic compositionality over a sentiment treebank", 2013.
    """
    found = kaggle_file("sentiment/train.tsv", "sentiment-analysis-on-movie-reviews", path)
    table = read_text_table(found, delimiter="\t", columns=COLUMNS, quoted=False)
    labels, sentences = [], []
    for (sentence, phrase, label), line in zip(table.rows, table.lines, strict=True):
        if label not in ("0", "1", "2", "3", "4"):
            raise DataError(
                f"{found}, line {line}, column 'Sentiment': the label is '{excerpt(label)}', expected a number from "
                "0 to 4; correct it or get the file again"
            )
        if not (sentence.isascii() and sentence.isdecimal() and len(sentence) <= MAX_DIGITS):
            raise DataError(
                f"{found}, line {line}, column 'SentenceId': '{excerpt(sentence)}' is not a number of at most "
                f"{MAX_DIGITS} digits; correct it or get the file again"
            )
        if (count := len(phrase.split())) > MAX_WORDS:
            raise DataError(
                f"{found}, line {line}, column 'Phrase': {count:,} words, expected at most {MAX_WORDS}; "
                "correct it or get the file again"
            )
        labels.append(int(label))
        sentences.append(int(sentence))
    return Phrases([phrase for _, phrase, _ in table.rows], torch.tensor(labels), torch.tensor(sentences))


def synthetic_phrases() -> Phrases:
    """Returns synthetic phrases of 600 sentences, labeled from 0 (negative) to 4 (positive).

    A sentence is "SUBJECT is WORD", "SUBJECT is not WORD", or two of these joined by "but". The class of a word is its
    index in `JUDGMENTS`. "not" changes class c to 4 - c, and the clause after "but" determines the class of the
    sentence. The clauses of a sentence and its subject (class 2) are also phrases.

    >>> phrases = synthetic_phrases()
    >>> for text, label, sentence in list(zip(*phrases))[:4]:
    ...     print(int(sentence), int(label), text)
    1 2 the ending
    1 1 the ending is clumsy
    2 2 each scene
    2 2 each scene is long
    """
    subject, word, grade, negated = random.uniform(random.key(0), (4, SENTENCES, 2)).unbind()
    joined = random.bernoulli(random.key(1), 0.5, (SENTENCES,))
    texts: list[str] = []
    labels: list[int] = []
    sentences: list[int] = []

    def add(sentence: int, text: str, label: int) -> None:
        texts.append(text)
        labels.append(label)
        sentences.append(sentence + 1)

    for index in range(SENTENCES):
        clauses = []
        for part in range(1 + int(joined[index])):
            about = SUBJECTS[int(subject[index, part] * len(SUBJECTS))]
            label = int(grade[index, part] * 5)
            words = JUDGMENTS[label].split()
            judgment = words[int(word[index, part] * len(words))]
            turned = bool(negated[index, part] < 0.3)
            clauses.append((f"{about} is {'not ' * turned}{judgment}", 4 - label if turned else label))
            add(index, about, 2)
        if len(clauses) == 2:
            add(index, f"{clauses[0][0]} but {clauses[1][0]}", clauses[1][1])
        for text, label in clauses:
            add(index, text, label)
    return Phrases(texts, torch.tensor(labels), torch.tensor(sentences))
