"""One layer of a recurrent network, in one direction or both, over a whole sequence: which kernel or loop runs it."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from funcdl.context import first_order_only, functorch_is_active, in_graph, is_recorded, values_are_known
from funcdl.nn.layer import Params
from funcdl.nn.recurrent.cells import Cell, input_bias
from funcdl.nn.recurrent.torch_operators import State, has_whole, of_one_dtype, packed, whole, without_gradient
from funcdl.nn.validation import entry

Biases = tuple[Tensor | None, Tensor | None]


class Weights(NamedTuple):
    """The parameters of one layer and direction."""

    ih: Tensor
    hh: Tensor
    biases: Biases
    hr: Tensor | None


def weights_of(layer: str, params: Params, suffix: str, bias: bool, projects: bool) -> Weights:
    """Picks them by torch's names with `suffix` at the end."""
    names = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if bias else []), *(["weight_hr"] if projects else [])]
    given = {name: entry(layer, params, name + suffix) for name in names}
    biases = (given.get("bias_ih"), given.get("bias_hh"))
    return Weights(given["weight_ih"], given["weight_hh"], biases, given.get("weight_hr"))


def run(cell: Cell, weights: list[Weights], x: Tensor, state: State, lengths: Tensor | None) -> tuple[Tensor, State]:
    """Runs one layer over x (time, batch, inputs): the outputs of its directions side by side, and their last states.

    Here and below a state has the directions as its first dimension, and the second direction is the reverse one.
    """
    tensors = _tensors(weights)
    may_be_fast = _may_be_fast(weights, x, *state)
    if lengths is None:
        by_operator = may_be_fast and has_whole(cell.operator, x, *tensors, *state)
        return whole(cell.operator, x, tensors, state) if by_operator else _by_steps(cell, weights, x, state)
    inside = (torch.arange(len(x), device=x.device).unsqueeze(-1) < lengths).unsqueeze(-1)  # (time, batch, 1)
    x = torch.where(inside, x, 0)  # a NaN there would reach the last state and all gradients
    if may_be_fast and values_are_known(lengths) and without_gradient(x, *tensors, *state):
        y, ends = packed(cell.operator, x, tensors, state, lengths)
        some = (lengths > 0).unsqueeze(-1)
        last = tuple(torch.where(some, end, first) for end, first in zip(ends, state, strict=True))
    else:
        y, last = _by_steps(cell, weights, x, state, ~inside)
    return torch.where(inside, y, 0), last


def _by_steps(
    cell: Cell, weights: list[Weights], x: Tensor, state: State, outside: Tensor | None = None
) -> tuple[Tensor, State]:
    """As `run`; a step outside, which comes first for the reverse direction, leaves the state as it is."""
    directions = len(weights)
    outside = None if outside is None else _both_ways(outside, directions)
    states = _states(cell, weights, _both_ways(x, directions), state, outside)
    first, *reverse = states[0].unbind(1)
    y = torch.cat([first, *(part.flip(0) for part in reverse)], -1) if reverse else first
    return y, tuple(part[-1] for part in states)


def _both_ways(x: Tensor, directions: int) -> Tensor:
    """x (time, ...) for each direction: (time, directions, ...), of the reverse one the last step first."""
    return torch.stack([x, x.flip(0)], 1) if directions == 2 else x.unsqueeze(1)


def _states(cell: Cell, weights: list[Weights], x: Tensor, state: State, outside: Tensor | None) -> State:
    """Returns the states after every step, each (time, directions, batch, hidden)."""
    if _may_be_fast(weights, x, *state) and of_one_dtype(x, weights[0].hh):
        zeros = state[0].new_zeros(cell.gates * state[0].shape[-1])
        parts = [(each.ih, each.hh, *(zeros if bias is None else bias for bias in each.biases)) for each in weights]
        weight_ih, weight_hh, *biases = (torch.stack(part) for part in zip(*parts, strict=True))
        closed = None if outside is None else outside.to(x.dtype)
        return cell.loop(x, weight_ih, weight_hh, (biases[0], biases[1]), state, closed)
    by_direction = []
    for index, each in enumerate(weights):
        now, states = tuple(part[index] for part in state), []
        from_input = F.linear(x[:, index], each.ih, input_bias(cell, *each.biases))
        for step, given in enumerate(from_input.unbind(0)):
            new = cell.step(given, each.hh, each.biases[1], now)
            if each.hr is not None:
                new = (F.linear(new[0], each.hr), *new[1:])
            if outside is not None:
                new = tuple(torch.where(outside[step, index], *pair) for pair in zip(now, new, strict=True))
            now = new
            states.append(now)
        by_direction.append(tuple(torch.stack(parts) for parts in zip(*states, strict=True)))
    return tuple(torch.stack(parts, 1) for parts in zip(*by_direction, strict=True))


def _may_be_fast(weights: list[Weights], *tensors: Tensor) -> bool:
    """Whether kernels and loops serve, which have no projection and know the first derivative alone."""
    some = all(tensor.numel() for tensor in tensors)  # kernels do not take a batch of none
    return some and all(each.hr is None for each in weights) and _first_order(*tensors, *_tensors(weights))


def _tensors(weights: list[Weights]) -> list[Tensor]:
    return [part for each in weights for part in (each.ih, each.hh, *each.biases) if part is not None]


def _first_order(*tensors: Tensor) -> bool:
    """Whether at most one gradient is taken, by `grad`."""
    if in_graph():  # below a transform a trace cannot tell what plain autograd records
        recorded = any(t.requires_grad for t in tensors) and torch.is_grad_enabled()
        return first_order_only() and (functorch_is_active() or not recorded)
    return first_order_only() and not is_recorded(*tensors)
