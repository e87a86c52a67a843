"""One gradient in three ways: derived by hand, by backward(), and as a function of a function."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

import funcdl as fd

from .lesson import Lesson


def three_ways(
    lesson: Lesson,
    name: str,
    formula: str,
    tutorial: str,
    f: Callable[..., Tensor],
    by_hand: Callable[..., Sequence[Tensor]],
    **at: Tensor | float,
) -> None:
    """Shows the gradient of `f` in its arguments `at` as `by_hand` derives it, by backward(), and by `fd.grad`.

    Where `f` returns a tensor with several elements it is the gradient of their sum, which is backward(ones). The
    metrics are `name_by_hand`, `name_backward` and `name_grad`: a gradient, or a list of them with several arguments.
    """
    values, names = [torch.as_tensor(value) for value in at.values()], ", ".join(at)
    leaves = [value.clone().requires_grad_() for value in values]
    f(*leaves).sum().backward()
    functional = fd.grad(lambda *values: f(*values).sum(), argnums=tuple(range(len(values))))(*values)
    for way, expression, gradients in (
        ("by_hand", f"{formula}, by hand", by_hand(*values)),
        (
            "backward",
            f"f({names}).backward(); {', '.join(f'{one}.grad' for one in at)}",
            [leaf.grad for leaf in leaves],
        ),
        ("grad", f"fd.grad(f)({names})", functional),
    ):
        lesson.show(f"{name}_{way}", expression, gradients if len(at) > 1 else gradients[0], tutorial, digits=7)
