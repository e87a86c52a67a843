"""Helpers of the fused time loops: iteration over steps, allocation, and an error for second derivatives.

Each loop is an operator that a compiled graph calls, so that compile time does not grow with the length of a sequence.
The matrix products of a step, and its contributions to the gradients of the weights, are computed while their inputs
are in the cache, and on contiguous slices, for which torch has faster kernels. The loops have only a first derivative
and no `vmap` rule. For other derivatives and `vmap` there is the plain loop in `dispatch`, which has to give the same
results.

Shapes: x (time, directions, batch, inputs), weight_ih (directions, gates * hidden, inputs), weight_hh (directions,
gates * hidden, hidden), a bias (directions, gates * hidden), a state (directions, batch, hidden), states (time,
directions, batch, hidden), padding (time, directions, batch, 1), 1 at a step that does not change the state, else 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from funcdl.nn.recurrent.torch_operators import State

Loop = Callable[[Tensor, Tensor, Tensor, tuple[Tensor, Tensor], State, Tensor | None], State]
Part = Tensor | tuple[Tensor, ...] | None


def iterate_forward(*parts: Part) -> Iterator[tuple[Any, ...]]:
    """Iterates over the time steps: yields a slice of each part, or None for a part that is None."""
    return zip(*_slices(parts), strict=True)


def iterate_backward(*parts: Part) -> Iterator[tuple[Any, ...]]:
    """Like `iterate_forward`, from the last step to the first."""
    return zip(*map(reversed, _slices(parts)), strict=True)


def _slices(parts: tuple[Part, ...]) -> list[tuple[Any, ...]]:
    unbound = [part.unbind(0) if isinstance(part, Tensor) else part for part in parts]
    count = next(len(part) for part in unbound if part is not None)
    return [(None,) * count if part is None else part for part in unbound]


def previous_states(first: Tensor, states: Tensor) -> tuple[Tensor, ...]:
    """Returns the state before each step."""
    return first, *states.unbind(0)[:-1]


def new_steps(x: Tensor, state: Tensor, gates: int = 1) -> Tensor:
    """Allocates memory for `gates` gates (or states) at every step of x."""
    return state.new_empty(len(x), *state.shape[:-1], gates * state.shape[-1])


def new_like(part: Tensor) -> Tensor:
    """Allocates contiguous memory of the shape of `part`."""
    return part.new_empty(part.shape)


def zero_gradients(weight_ih: Tensor, weight_hh: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns zeros, in which the gradients of the weights and the bias are summed."""
    shapes = weight_ih.shape, weight_hh.shape, weight_hh.shape[:2]
    dw_ih, dw_hh, d_bias = (weight_ih.new_zeros(shape) for shape in shapes)
    return dw_ih, dw_hh, d_bias


def call_nondifferentiable(operator: Callable[..., Any], *inputs: Any) -> Any:
    """Calls an operator that has no derivative, such as a gradient; differentiating the result raises an error."""
    return operator(*inputs) if torch.compiler.is_compiling() else _Nondifferentiable.apply(operator, *inputs)


class _Nondifferentiable(torch.autograd.Function):
    """An operator without a derivative. Torch's `once_differentiable` gives zeros inside `torch.func` instead."""

    generate_vmap_rule = True

    @staticmethod
    def forward(operator: Callable[..., Any], *inputs: Any) -> Any:
        return operator(*inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        raise RuntimeError(
            "rnn, gru, lstm: the fused loops have no second derivative, so a gradient that is already computed cannot "
            "be differentiated again; nest the derivatives instead, as grad(grad(f))"
        )
