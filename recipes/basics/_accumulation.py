"""What zero_grad() is for: backward() adds to `.grad`; a function that returns its gradient has nothing to add to."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure
from torch import Tensor

import funcdl as fd

from .. import pictures
from ..lesson import Lesson

STEPS, RATE = 30, 0.1


def loss(w: Tensor) -> Tensor:
    """A parabola with its lowest point at w = 3."""
    return (w - 3) ** 2


def accumulation(lesson: Lesson) -> Figure:
    """Three gradients at w = 1 in each way, and the descents to w = 3 that they make; returns their picture."""
    lesson.show(
        "grad_added", "f(w) = (w - 3)², w = 1: w.grad after 1, 2, 3 calls of f(w).backward()", collected(zero=False)
    )
    lesson.show(
        "grad_zeroed", "the same with w.grad.zero_(), as zero_grad() does, before each call", collected(zero=True)
    )
    returned = [fd.grad(loss)(torch.tensor(1.0)).item() for _ in range(3)]
    lesson.show("grad_returned", "fd.grad(f)(w), called three times", returned)
    descents = {
        "backward() without zero_grad()": descend_by_backward(zero=False),
        "backward() with zero_grad()": descend_by_backward(zero=True),
        "funcdl.grad": descend_by_grad(),
    }
    text = f"w after {STEPS} steps of rate {RATE:g} from w = 1: without zero_grad(), with it, by fd.grad"
    lesson.show("descents", text, [path[-1] for path in descents.values()], "3 is the lowest point")
    lesson.remark(
        "Without zero_grad() every step goes by the sum of all gradients so far: the descent swings about the lowest "
        "point and does not settle. A gradient that is returned is a new number each time, and needs no zeroing."
    )
    losses = {name: [loss(torch.tensor(w)).item() for w in path] for name, path in descents.items()}
    return pictures.loss_curves(losses, "Gradients that add up keep the descent from settling", "step")


def collected(*, zero: bool) -> list[float]:
    """What is in `.grad` after each of three calls of backward()."""
    w, found = torch.tensor(1.0, requires_grad=True), []
    for _ in range(3):
        if zero and w.grad is not None:
            w.grad.zero_()
        loss(w).backward()
        assert w.grad is not None
        found.append(w.grad.item())
    return found


def descend_by_backward(*, zero: bool) -> list[float]:
    """The positions of a descent whose gradient is in `.grad`."""
    w = torch.tensor(1.0, requires_grad=True)
    path = [w.item()]
    for _ in range(STEPS):
        loss(w).backward()
        assert w.grad is not None
        with torch.no_grad():
            w -= RATE * w.grad
        if zero:
            w.grad.zero_()
        path.append(w.item())
    return path


def descend_by_grad() -> list[float]:
    """The positions of a descent whose gradient is returned."""
    w = torch.tensor(1.0)
    path = [w.item()]
    for _ in range(STEPS):
        w = w - RATE * fd.grad(loss)(w)
        path.append(w.item())
    return path
