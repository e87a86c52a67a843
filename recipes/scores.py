"""Scores of classifiers in words: the measurements of an epoch, and by class precision, recall, F1 and confusions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jaxtyping import Float, Int
from torch import Tensor

from funcdl import metrics, train

from . import pictures
from .lesson import Lesson

MEASURED = {
    "loss": "training loss",
    "accuracy": "training accuracy",
    "test_loss": "loss on the test data",
    "test_accuracy": "accuracy on the test data",
    "val_loss": "loss on the validation data",
    "val_accuracy": "accuracy on the validation data",
}


def add_measurements(
    lesson: Lesson,
    row: Mapping[str, float],
    tutorial: Mapping[str, str] | None = None,
    when: str = "in the last epoch",
    prefix: str = "",
) -> None:
    """Adds the losses and accuracies of a row to the lesson, in words, with the tutorial's figures for these names.

    Args:
        lesson: gets the lines.
        row: of an epoch, as the training driver reports it.
        tutorial: figures by the names of the lines.
        when: words for the epoch.
        prefix: of the names of the lines.
    """
    for name, words in MEASURED.items():
        if name in row:
            lesson.show(prefix + name, f"{words}, {when}", row[name], (tutorial or {}).get(prefix + name, ""))


def add_class_scores(
    lesson: Lesson,
    report: train.Report,
    predicted: Int[Tensor, " n"],
    truth: Int[Tensor, " n"],
    names: Sequence[str],
    title: str,
) -> None:
    """Adds the accuracy of always answering the most frequent class, and precision, recall and F1 of each class.

    The report gets the picture "confusion".
    """
    classes = len(names)
    counts = add_confusion(lesson, report, predicted, truth, names, title)
    listed = ", ".join(names)
    for name, words, metric in (
        ("precision", "precision: of those predicted as each class, the share that is right", metrics.precision),
        ("recall", "recall: of those of each class, the share that is found", metrics.recall),
        ("f1", "F1: the harmonic mean of precision and recall", metrics.f1),
    ):
        lesson.show(name, f"{words} ({listed})", metric(classes, average="none")(predicted, truth), digits=4)
    lesson.show("confusion", "how many of each true class (rows) are predicted as each class (columns)", counts.long())


def add_confusion(
    lesson: Lesson,
    report: train.Report,
    predicted: Int[Tensor, " n"],
    truth: Int[Tensor, " n"],
    names: Sequence[str],
    title: str,
    tutorial: Mapping[str, str] | None = None,
) -> Float[Tensor, "classes classes"]:
    """Adds the accuracy of always answering the most frequent class; the report gets the picture "confusion".

    Returns:
        how many of each class (row) are predicted as each (column).
    """
    counts = metrics.confusion_matrix(len(names))(predicted, truth)
    occurring = counts.sum(1)
    constant = f"accuracy of always answering '{names[int(occurring.argmax())]}', the most frequent class"
    lesson.show("majority", constant, occurring.max() / occurring.sum(), (tutorial or {}).get("majority", ""))
    report.picture("confusion", pictures.confusion(counts, names, title))
    return counts
