"""What `predict` returns for classes, in JSON's types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor


def of_classes(
    inputs: Sequence[str],
    probabilities: Float[Tensor, "n classes"],
    classes: Sequence[str],
    notes: Sequence[list[str]] | None = None,
    most: int | None = None,
) -> list[dict[str, Any]]:
    """Returns for each input its likeliest class, the probabilities by class, and notes.

    Args:
        inputs: what to call them.
        probabilities: a row for each.
        classes: their names.
        notes: for each input.
        most: how many classes to list, the likeliest first; all of them, in their order, by default.

    >>> import torch
    >>> of_classes(["x"], torch.tensor([[0.25, 0.75]]), ["good", "bad"])
    [{'input': 'x', 'prediction': 'bad', 'probabilities': {'good': 0.25, 'bad': 0.75}, 'notes': []}]
    """
    found = []
    for index, row in enumerate(probabilities.tolist()):
        likeliest = sorted(zip(row, classes, strict=True), reverse=True)
        listed = zip(row, classes, strict=True) if most is None else likeliest[:most]
        found.append(
            {
                "input": inputs[index],
                "prediction": likeliest[0][1],
                "probabilities": {name: probability for probability, name in listed},
                "notes": list(notes[index]) if notes else [],
            }
        )
    return found
