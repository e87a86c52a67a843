"""What a phrase of a film review thinks of the film, by its words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from funcdl import data, models, nn, random, train, tree
from funcdl.data.errors import excerpt
from funcdl.data.sentiment import CLASSES, MAX_WORDS
from funcdl.data.text import UNKNOWN

from .. import companion, predictions, scores
from ..lesson import Lesson
from ..settings import Outcome, SettingsError
from . import _classifier, _phrases
from ._phrases import FIGURES, WHAT

EPOCHS = {"sample": 8, "sentiment": 10}


@dataclass(frozen=True, kw_only=True)
class Settings(_classifier.Settings):
    """Judge phrases of film reviews in five classes: the exercise of the lecture on recurrent classifiers.

    Words in lower case are embedded, and an LSTM reads them from both ends. A fifth of the *sentences* is held out with
    all their phrases: split by phrase, the network would be asked for parts of sentences that it knows. The words that
    have a number are those of the training part; all others are one unknown word. Half of the phrases are neutral, so
    that 51 % is what a constant answer reaches.
    """

    dataset: Literal["sample", "sentiment"] = "sample"
    """sample: 2,127 phrases that a rule makes of 30 words; sentiment: Kaggle's 156,060."""
    epochs: int | None = None
    """Passes through the training data; 8 on the sample, 10 on Kaggle's."""
    batch_size: int = 64
    """Phrases per step."""
    model: Literal["lstm", "transformer"] = "lstm"
    """transformer: two layers of self-attention instead of the LSTM."""


def run(settings: Settings, report: train.Report) -> Outcome:
    """Splits by sentence, trains, and measures the sentences held out after each epoch."""
    phrases = data.synthetic_phrases() if settings.dataset == "sample" else data.sentiment(settings.data_dir)
    held_out = _phrases.held_out(random.fold_in(random.key(settings.seed), 2), phrases)
    known_texts = [text for text, out in zip(phrases.texts, held_out.tolist(), strict=True) if not out]
    numbers = data.vocabulary(known_texts)
    sequences = data.encode_words(phrases.texts, numbers)
    samples = (sequences, phrases.labels)
    known, validation = (data.take(samples, rows.nonzero().squeeze(1)) for rows in (~held_out, held_out))
    report.log(f"{len(known[1])} phrases to train on, {len(validation[1])} held out; {len(numbers)} words")

    trained = _classifier.fit(
        settings,
        report,
        make_model(settings, len(numbers)),
        known,
        validation,
        {"words": list(numbers)},
        settings.epochs or EPOCHS[settings.dataset],
        prefix="val",
        title="sentiment: phrases of film reviews"
        if settings.dataset == "sentiment"
        else "sentiment: invented phrases",
    )
    inputs, labels = trained.held_out
    predicted = trained.predict(inputs).argmax(1)
    lesson = Lesson()
    tutorial = FIGURES if settings.dataset == "sentiment" else {}
    lesson.show("data", "the data of this run", WHAT[settings.dataset])
    lesson.show("words", "words in the vocabulary, those of the training phrases", len(numbers))
    lesson.show("parameters", "number of parameters, tree.size(params)", tree.size(trained.state.params))
    scores.add_measurements(lesson, trained.row, tutorial)
    title = f"{len(labels)} phrases of the sentences held out"
    scores.add_confusion(lesson, report, predicted, labels, CLASSES, title, tutorial)
    return trained.outcome(lesson.metrics, lesson)


def make_model(settings: Settings, words: int) -> nn.Layer:
    """The network for so many words, besides the padding and the unknown one."""
    if settings.model == "lstm":
        return nn.serial(
            embedding=models.at("input", nn.embedding(words + 2, 64, padding_idx=0)),
            lstm=nn.lstm(64, batch_first=True, bidirectional=True),
            last=lambda results: torch.cat([results[1][0][-2], results[1][0][-1]], 1),
            dropout=nn.dropout(0.5),
            fc=nn.linear(len(CLASSES)),
        )
    transformer = models.transformer_classifier(words + 2, len(CLASSES), max_length=MAX_WORDS)
    return nn.serial(tokens=lambda sequences: sequences["input"], transformer=transformer)


def predict(settings: Settings, run_dir: Path, inputs: Sequence[str]) -> list[dict[str, Any]]:
    """Predicts what sentences think of a film, each one quoted on the command line."""
    words = companion.read(run_dir, _classifier.VOCABULARY, {"words": [str]})["words"]
    for text in inputs:
        count = len(data.split_words(text))
        if not 1 <= count <= MAX_WORDS:
            raise SettingsError(f"predict: '{excerpt(text)}' has {count:,} words, expected 1 to {MAX_WORDS}")
    sequences = data.encode_words(inputs, {word: number for number, word in enumerate(words, UNKNOWN + 1)})
    model = make_model(settings, len(words))
    probabilities = _classifier.predict(settings, run_dir / "checkpoint", model, sequences)
    known = set(words)
    strange = [[word for word in data.split_words(text) if word not in known] for text in inputs]
    notes = [[f"never saw {', '.join(unknown)}"] if unknown else [] for unknown in strange]
    return predictions.of_classes(inputs, probabilities, CLASSES, notes)
