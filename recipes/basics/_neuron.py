"""Forward and backward through one neuron, and through a network with a hidden neuron, step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

import funcdl as fd

from ..lesson import Lesson
from ..pictures import BLUE, GRAY, ORANGE


class Step(NamedTuple):
    """One quantity on the way to the loss: how it is computed, and how its gradient follows from the next one's."""

    name: str
    formula: str
    value: Tensor
    derivative: str
    gradient: Tensor


X, TARGET = torch.tensor(2.0), torch.tensor(1.0)
NEURON = {"w": 0.5, "b": -0.5}
HIDDEN = {**NEURON, "v": 1.5, "c": 0.25}


def neuron(w: Tensor, b: Tensor) -> list[Step]:
    """A neuron, a = sigmoid(w x + b): two steps, the loss, and the way back."""
    z = w * X + b
    a = torch.sigmoid(z)
    d_a = 2 * (a - TARGET)
    d_z = d_a * a * (1 - a)
    return [
        Step("z", "w x + b", z, "da · a (1 - a)", d_z),
        Step("a", "sigmoid(z)", a, "2 (a - y)", d_a),
        Step("loss", "(a - y)²", (a - TARGET) ** 2, "1", torch.ones(())),
        Step("w", "a parameter", w, "dz · x", d_z * X),
        Step("b", "a parameter", b, "dz", d_z),
    ]


def network(w: Tensor, b: Tensor, v: Tensor, c: Tensor) -> list[Step]:
    """A hidden neuron before a linear output: the chain of products is longer by v and by the slope of the sigmoid."""
    z = w * X + b
    h = torch.sigmoid(z)
    p = v * h + c
    d_p = 2 * (p - TARGET)
    d_h = d_p * v
    d_z = d_h * h * (1 - h)
    return [
        Step("z", "w x + b", z, "dh · h (1 - h)", d_z),
        Step("h", "sigmoid(z)", h, "dp · v", d_h),
        Step("p", "v h + c", p, "2 (p - y)", d_p),
        Step("loss", "(p - y)²", (p - TARGET) ** 2, "1", torch.ones(())),
        Step("w", "a parameter", w, "dz · x", d_z * X),
        Step("b", "a parameter", b, "dz", d_z),
        Step("v", "a parameter", v, "dp · h", d_p * h),
        Step("c", "a parameter", c, "dp", d_p),
    ]


def forward_and_backward(lesson: Lesson) -> Figure:
    """Shows every value and every gradient of both, and returns the picture."""
    drawn = {}
    for name, title, steps_of, numbers in (
        ("neuron", "one neuron", neuron, NEURON),
        ("network", "with a hidden neuron", network, HIDDEN),
    ):
        given = {key: torch.tensor(number) for key, number in numbers.items()}
        steps = drawn[title] = steps_of(**given)
        written = ", ".join(f"{key} = {number:g}" for key, number in numbers.items())
        start = f"{title}, x = {X:g}, y = {TARGET:g}, {written}"
        for step in steps:
            if step.name not in given:
                text = f"{start}; forward: {step.name} = {step.formula}"
                lesson.show(f"{name}_{step.name}", text, step.value)
                start = title
        on_the_way = [step for step in steps if step.name not in given]
        for step in [*reversed(on_the_way), *steps[len(on_the_way) :]]:
            if step.name != "loss":
                text = f"{title}, backward: d{step.name} = d loss / d {step.name} = {step.derivative}"
                lesson.show(f"{name}_d{step.name}", text, step.gradient)
        by_hand = torch.stack([step.gradient for step in steps if step.name in given])
        lesson.show(f"{name}_equal", f"{title}: backward() and fd.grad find the same", agree(steps_of, given, by_hand))
    return picture(drawn)


def agree(steps_of: Callable[..., list[Step]], given: dict[str, Tensor], by_hand: Tensor) -> bool:
    """Whether the gradients by hand are those of backward() and of `fd.grad`."""

    def loss(*values: Tensor) -> Tensor:
        return next(step.value for step in steps_of(*values) if step.name == "loss")

    leaves = [value.clone().requires_grad_() for value in given.values()]
    loss(*leaves).backward()
    by_backward = torch.stack([leaf.grad for leaf in leaves if leaf.grad is not None])
    by_grad = torch.stack(fd.grad(loss, argnums=tuple(range(len(given))))(*given.values()))
    return torch.allclose(by_backward, by_hand) and torch.allclose(by_grad, by_hand)


def picture(networks: dict[str, list[Step]]) -> Figure:
    """The quantities of each network from the input to the loss, values in blue and gradients in orange."""
    figure = Figure(figsize=(10, 5.6), layout="constrained")
    figure.suptitle("Values go forward (blue), gradients of the loss come back (orange): dz is d loss / d z")
    for axes, (title, steps) in zip(figure.subplots(len(networks), 1), networks.items(), strict=True):
        axes.set_axis_off()
        axes.set_title(title, fontsize=11, loc="left")
        chain = [step for step in steps if step.formula != "a parameter"]
        axes.set(xlim=(-0.6, len(chain) + 0.6), ylim=(-0.5, 1.6))
        _box(axes, 0, 1, f"x = {X:g}", "")
        for index, step in enumerate(chain, 1):
            _box(
                axes,
                index,
                1,
                f"{step.name} = {step.formula}\n= {step.value:.4g}",
                f"d{step.name} = {step.gradient:.4g}",
            )
            axes.annotate("", (index - 0.4, 1.1), (index - 0.6, 1.1), arrowprops={"arrowstyle": "->", "color": BLUE})
            if index > 1:
                back = {"arrowstyle": "->", "color": ORANGE}
                axes.annotate("", (index - 0.6, 0.9), (index - 0.4, 0.9), arrowprops=back)
        for step in steps:
            if step.formula == "a parameter":
                index = next(i for i, other in enumerate(chain, 1) if step.name in other.formula.split())
                place = index + (0.24 if step.name in "bc" else -0.24)
                _box(axes, place, 0, f"{step.name} = {step.value:g}", f"d{step.name} = {step.gradient:.4g}")
                axes.annotate("", (place, 0.72), (place, 0.24), arrowprops={"arrowstyle": "->", "color": GRAY})
    return figure


def _box(axes: Axes, x: float, y: float, value: str, gradient: str) -> None:
    box = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": GRAY}
    axes.text(x, y, value, ha="center", va="center", color=BLUE, fontsize=9, bbox=box)
    if gradient:
        above = y > 0.5
        axes.text(x, y + (0.36 if above else -0.28), gradient, ha="center", va="center", color=ORANGE, fontsize=9)
