"""Scores of classifiers by class: precision, recall, F1 and the confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Int
from torch import Tensor

from funcdl import metrics, train

from . import pictures
from .lesson import Lesson


def add_class_scores(
    lesson: Lesson,
    report: train.Report,
    predicted: Int[Tensor, " n"],
    truth: Int[Tensor, " n"],
    names: Sequence[str],
    title: str,
) -> None:
    """Adds the accuracy of the most frequent class, and the precision, recall and F1 of each class, to the lesson.

    The report gets the picture "confusion".
    """
    classes = len(names)
    counts = metrics.confusion_matrix(classes)(predicted, truth)
    occurring = counts.sum(1)
    largest = int(occurring.argmax())
    lesson.show("majority", f"accuracy of always saying {names[largest]}", occurring.max() / occurring.sum())
    listed = ", ".join(names)
    for name, metric in (("precision", metrics.precision), ("recall", metrics.recall), ("f1", metrics.f1)):
        lesson.show(name, f"{name} of {listed}", metric(classes, average="none")(predicted, truth), digits=4)
    lesson.show("confusion", "true classes by predicted ones", counts.long())
    report.picture("confusion", pictures.confusion(counts, names, title))
