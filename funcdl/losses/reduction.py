"""Reductions of element-wise losses, and checks of shapes."""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor

Reduction = Literal["none", "mean", "sum"]


def reduce(each: Float[Tensor, "*shape"], reduction: Reduction) -> Float[Tensor, "*loss"]:
    """Returns the mean or the sum of all elements, or `each` unchanged.

    Raises:
        ValueError: `reduction` is invalid.

    >>> import torch
    >>> reduce(torch.tensor([1.0, 3.0]), "mean")
    tensor(2.)
    """
    check_reduction(reduction)
    if reduction == "none":
        return each
    return each.mean() if reduction == "mean" else each.sum()


def check_reduction(reduction: Reduction) -> None:
    """Raises a ValueError unless `reduction` is one of the three."""
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"expected a reduction of 'none', 'mean' or 'sum', got {reduction!r}")


def check_shapes(loss: str, expected: tuple[int, ...], **others: Tensor | None) -> None:
    """Raises a ValueError unless all others have the expected shape: broadcasting them is usually a mistake.

    >>> import torch
    >>> check_shapes("mse", (3, 1), targets=torch.zeros(3))
    Traceback (most recent call last):
    ValueError: mse: expected targets of shape (3, 1), got (3,); reshape or expand one of them
    """
    for name, tensor in others.items():
        if tensor is not None and tensor.shape != expected:
            raise ValueError(
                f"{loss}: expected {name} of shape {tuple(expected)}, got {tuple(tensor.shape)}; reshape or expand one "
                "of them"
            )


def check_broadcasts(loss: str, expected: tuple[int, ...], **others: Tensor | None) -> None:
    """Raises a ValueError unless all others can be broadcast to the expected shape."""
    for name, tensor in others.items():
        if tensor is None:
            continue
        fits = [size in (1, last) for size, last in zip(tensor.shape[::-1], expected[::-1], strict=False)]
        if tensor.ndim > len(expected) or not all(fits):
            raise ValueError(
                f"{loss}: expected a {name} that broadcasts to the shape {tuple(expected)}, got {tuple(tensor.shape)}"
            )
