"""Runs one recurrent layer over a sequence, by torch's operator, our fused loop, or a plain loop over the steps."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from funcdl.context import first_order_only, functorch_is_active, in_graph, is_recorded, values_are_known
from funcdl.nn.recurrent.equations import Cell, input_bias
from funcdl.nn.recurrent.parameters import Weights
from funcdl.nn.recurrent.torch_operators import (
    State,
    have_one_dtype,
    run_operator,
    run_operator_packed,
    supports_inference,
    supports_layer,
)


def run_layer(
    cell: Cell, weights: list[Weights], x: Tensor, state: State, lengths: Tensor | None
) -> tuple[Tensor, State]:
    """Runs one layer over x (time, batch, inputs); returns the concatenated outputs of its directions and last state.

    In this module a state has the shape (directions, batch, hidden); the second direction is the reverse one.
    """
    tensors = _tensors(weights)
    may_be_fused = _may_be_fused(weights, x, *state)
    if lengths is None:
        by_operator = may_be_fused and supports_layer(cell.operator, x, *tensors, *state)
        return run_operator(cell.operator, x, tensors, state) if by_operator else _run_steps(cell, weights, x, state)
    valid = (torch.arange(len(x), device=x.device).unsqueeze(-1) < lengths).unsqueeze(-1)  # (time, batch, 1)
    x = torch.where(valid, x, 0)  # otherwise a NaN in the padding reaches the last state and all gradients
    if may_be_fused and values_are_known(lengths) and supports_inference(x, *tensors, *state):
        y, ends = run_operator_packed(cell.operator, x, tensors, state, lengths)
        non_empty = (lengths > 0).unsqueeze(-1)
        last = tuple(torch.where(non_empty, end, first) for end, first in zip(ends, state, strict=True))
    else:
        y, last = _run_steps(cell, weights, x, state, ~valid)
    return torch.where(valid, y, 0), last


def _run_steps(
    cell: Cell, weights: list[Weights], x: Tensor, state: State, padding: Tensor | None = None
) -> tuple[Tensor, State]:
    """Like `run_layer`, by our loops. Padding steps, which come first in the reverse direction, keep the state."""
    directions = len(weights)
    padding = None if padding is None else _stack_directions(padding, directions)
    states = _all_states(cell, weights, _stack_directions(x, directions), state, padding)
    first, *reverse = states[0].unbind(1)
    y = torch.cat([first, *(part.flip(0) for part in reverse)], -1) if reverse else first
    return y, tuple(part[-1] for part in states)


def _stack_directions(x: Tensor, directions: int) -> Tensor:
    """Returns x (time, ...) for each direction, (time, directions, ...), reversed in time for the second."""
    return torch.stack([x, x.flip(0)], 1) if directions == 2 else x.unsqueeze(1)


def _all_states(cell: Cell, weights: list[Weights], x: Tensor, state: State, padding: Tensor | None) -> State:
    """Returns the states after every step, each (time, directions, batch, hidden)."""
    if _may_be_fused(weights, x, *state) and have_one_dtype(x, weights[0].hh):
        zeros = state[0].new_zeros(cell.gates * state[0].shape[-1])
        parts = [(each.ih, each.hh, *(zeros if bias is None else bias for bias in each.biases)) for each in weights]
        weight_ih, weight_hh, *biases = (torch.stack(part) for part in zip(*parts, strict=True))
        mask = None if padding is None else padding.to(x.dtype)
        return cell.loop(x, weight_ih, weight_hh, (biases[0], biases[1]), state, mask)
    by_direction = []  # the plain loop
    for index, each in enumerate(weights):
        current, states = tuple(part[index] for part in state), []
        from_input = F.linear(x[:, index], each.ih, input_bias(cell, *each.biases))
        for step, from_input_t in enumerate(from_input.unbind(0)):
            new = cell.step(from_input_t, each.hh, each.biases[1], current)
            if each.hr is not None:
                new = (F.linear(new[0], each.hr), *new[1:])
            if padding is not None:
                new = tuple(torch.where(padding[step, index], *pair) for pair in zip(current, new, strict=True))
            current = new
            states.append(current)
        by_direction.append(tuple(torch.stack(parts) for parts in zip(*states, strict=True)))
    return tuple(torch.stack(parts, 1) for parts in zip(*by_direction, strict=True))


def _may_be_fused(weights: list[Weights], *tensors: Tensor) -> bool:
    """Whether the operators and fused loops can be used: they have no projection and only a first derivative."""
    non_empty = all(tensor.numel() for tensor in tensors)  # the operators do not support empty batches
    return non_empty and all(each.hr is None for each in weights) and _first_order(*tensors, *_tensors(weights))


def _tensors(weights: list[Weights]) -> list[Tensor]:
    return [part for each in weights for part in (each.ih, each.hh, *each.biases) if part is not None]


def _first_order(*tensors: Tensor) -> bool:
    """Whether at most one derivative is taken, and by `grad`."""
    if in_graph():  # inside a transform, a trace does not show what plain autograd records
        recorded = any(t.requires_grad for t in tensors) and torch.is_grad_enabled()
        return first_order_only() and (functorch_is_active() or not recorded)
    return first_order_only() and not is_recorded(*tensors)
