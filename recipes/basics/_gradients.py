"""A gradient derived by hand, computed by backward(), and returned by a function of a function."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

import funcdl as fd

from .. import source
from ..lesson import Lesson


def compare_gradients(
    lesson: Lesson,
    name: str,
    f: Callable[..., Tensor],
    by_hand: Callable[..., Sequence[Tensor]],
    tutorial: str = "",
    *,
    formula: str = "",
    **at: Tensor | float,
) -> None:
    """Shows the gradient of a scalar function `f` at the arguments `at`: by hand, by backward() and by `fd.grad`.

    The metrics are `name_by_hand`, `name_backward` and `name_grad`: lists if there are several arguments.

    Args:
        lesson: gets the lines.
        name: of the function, in the metrics.
        f: the function.
        by_hand: its gradients, for the same arguments.
        tutorial: the tutorial's gradients.
        formula: the function and its derivatives; by default the source of the lambdas `f` and `by_hand`.
        at: the arguments.
    """
    if not formula:
        caller = sys._getframe(1)
        lambdas = [source.of_argument(caller, "compare_gradients", index) for index in (2, 3)]
        formula = "f = {}; by hand: {}".format(*(text.partition(": ")[2] for text in lambdas))
    names, argnums = ", ".join(at), tuple(range(len(at)))
    inputs = [torch.as_tensor(value) for value in at.values()]
    leaves = [value.clone().requires_grad_() for value in inputs]
    f(*leaves).backward()
    by_backward = [leaf.grad for leaf in leaves]
    by_grad = fd.grad(f, argnums=argnums)(*inputs)
    backward = f"f({names}).backward(); {', '.join(f'{x}.grad' for x in at)}"
    grad = f"fd.grad(f{f', argnums={argnums}' if len(at) > 1 else ''})({names})"
    for method, expression, grads in (
        ("by_hand", formula, by_hand(*inputs)),
        ("backward", backward, by_backward),
        ("grad", grad, by_grad),
    ):
        lesson.show(f"{name}_{method}", expression, grads if len(at) > 1 else grads[0], tutorial, digits=7)
