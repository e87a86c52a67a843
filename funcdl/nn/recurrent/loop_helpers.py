"""What the time loops share: walking along their steps, memory to write into, and the bound on derivatives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from funcdl.nn.recurrent.torch_operators import State

Loop = Callable[[Tensor, Tensor, Tensor, tuple[Tensor, Tensor], State, Tensor | None], State]
Part = Tensor | tuple[Tensor, ...] | None


def forwards(*parts: Part) -> Iterator[tuple[Any, ...]]:
    """The slices of all parts step by step; of None they are None."""
    return zip(*_slices(parts), strict=True)


def backwards(*parts: Part) -> Iterator[tuple[Any, ...]]:
    """As `forwards`, from the last step on."""
    return zip(*map(reversed, _slices(parts)), strict=True)


def _slices(parts: tuple[Part, ...]) -> list[tuple[Any, ...]]:
    unbound = [part.unbind(0) if isinstance(part, Tensor) else part for part in parts]
    count = next(len(part) for part in unbound if part is not None)
    return [(None,) * count if part is None else part for part in unbound]


def before_each(first: Tensor, states: Tensor) -> tuple[Tensor, ...]:
    """The state that each step starts from."""
    return first, *states.unbind(0)[:-1]


def empty(x: Tensor, state: Tensor, gates: int = 1) -> Tensor:
    """Memory for so many gates of every step of x."""
    return state.new_empty(len(x), *state.shape[:-1], gates * state.shape[-1])


def like(part: Tensor) -> Tensor:
    """Memory of the shape of `part`, contiguous whatever that is."""
    return part.new_empty(part.shape)


def zeros(weight_ih: Tensor, weight_hh: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where to sum the gradients of the weights and the bias."""
    shapes = weight_ih.shape, weight_hh.shape, weight_hh.shape[:2]
    dw_ih, dw_hh, d_bias = (weight_ih.new_zeros(shape) for shape in shapes)
    return dw_ih, dw_hh, d_bias


def once(operator: Callable[..., Any], *inputs: Any) -> Any:
    """Calls an operator of which there is no derivative."""
    return operator(*inputs) if torch.compiler.is_compiling() else _Once.apply(operator, *inputs)


class _Once(torch.autograd.Function):
    """An operator of which there is no derivative; torch's `once_differentiable` gives zeros below `torch.func`."""

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
            "rnn, gru, lstm: a gradient that was taken once is differentiated again, which their loops for one "
            "derivative cannot know in advance; take both derivatives by grad, one around the other"
        )
