"""What the recipes of classification report beside the accuracy."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Int
from torch import Tensor

from funcdl import metrics, train

from . import pictures
from .lesson import Lesson


def show_classes(
    lesson: Lesson,
    report: train.Report,
    predicted: Int[Tensor, " n"],
    truth: Int[Tensor, " n"],
    names: Sequence[str],
    title: str,
) -> None:
    """Adds what always guessing the most frequent class would reach, and each class's precision, recall and F1.

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
