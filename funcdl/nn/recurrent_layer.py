"""One layer of a recurrent network, in one direction or both, over a whole sequence: which kernel or loop runs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from funcdl.nn.checks import first_order_only, is_recorded, values_are_known
from funcdl.nn.layer import Params
from funcdl.nn.recurrent_cell import Cell, input_bias
from funcdl.nn.recurrent_kernels import Biases, State, packed, without_gradient
from funcdl.transforms.tracing import in_graph


class Weights(NamedTuple):
    """The parameters of one layer and direction."""

    ih: Tensor
    hh: Tensor
    biases: Biases
    hr: Tensor | None


def weights_of(params: Params, suffix: str) -> Weights:
    """Picks them by torch's names with `suffix` at the end."""
    biases = (params.get("bias_ih" + suffix), params.get("bias_hh" + suffix))
    return Weights(params["weight_ih" + suffix], params["weight_hh" + suffix], biases, params.get("weight_hr" + suffix))


def run(cell: Cell, weights: list[Weights], x: Tensor, state: State, lengths: Tensor | None) -> tuple[Tensor, State]:
    """Runs one layer over x (time, batch, inputs): the outputs of its directions side by side, and their last states.

    Here and below a state has the directions as its first dimension, and the second direction is the reverse one.
    """
    if lengths is not None:
        return _run_to_their_ends(cell, weights, x, state, lengths)
    if _may_be_fast(weights, x, *state) and cell.has_kernel(x, *_tensors(weights), *state):
        inputs = [x, *(x.flip(0) for _ in weights[1:])]
        firsts = [tuple(part[index] for part in state) for index in range(len(weights))]
        results = [
            cell.kernel(part, (each.ih, each.hh), each.biases, first)
            for part, each, first in zip(inputs, weights, firsts, strict=True)
        ]
        outputs = [y for y, _ in results]
        last = tuple(_stack(parts) for parts in zip(*(final for _, final in results), strict=True))
    else:
        states = _states(cell, weights, _projected(cell, weights, x), state)
        outputs, last = list(states[0].unbind(0)), tuple(part[:, -1] for part in states)
    return _joined([outputs[0], *(y.flip(0) for y in outputs[1:])], -1), last


def _run_to_their_ends(
    cell: Cell, weights: list[Weights], x: Tensor, state: State, lengths: Tensor
) -> tuple[Tensor, State]:
    steps = torch.arange(len(x), device=x.device).unsqueeze(-1)
    inside = steps < lengths  # (time, batch)
    x = torch.where(inside.unsqueeze(-1), x, 0)  # a NaN there would reach the last state and all gradients
    if (
        values_are_known(lengths)
        and _may_be_fast(weights, x, *state)
        and without_gradient(x, *_tensors(weights), *state)
    ):
        y, ends = packed(cell.operator, x, _tensors(weights), state, lengths)
        last = _of_some(ends, state, lengths)
    elif cell.close is not None:
        y, last = _run_closed(cell, weights, x, state, inside)
    else:
        y, last = _run_mirrored(cell, weights, x, state, lengths, torch.where(inside, lengths - 1 - steps, steps))
    return torch.where(inside.unsqueeze(-1), y, 0), last


def _run_closed(cell: Cell, weights: list[Weights], x: Tensor, state: State, inside: Tensor) -> tuple[Tensor, State]:
    """Where the steps outside, which are the first ones for the reverse direction, change nothing."""
    assert cell.close is not None
    given = _projected(cell, weights, x)
    given = [cell.close(part, inside.flip(0) if reverse else inside) for reverse, part in enumerate(given)]
    states = _states(cell, weights, given, state)
    y = _joined([states[0][0], *(y.flip(0) for y in states[0][1:])], -1)
    return y, tuple(part[:, -1] for part in states)


def _run_mirrored(
    cell: Cell, weights: list[Weights], x: Tensor, state: State, lengths: Tensor, mirrored: Tensor
) -> tuple[Tensor, State]:
    """Where both directions start at a first step, and their last states are looked up."""
    inputs = [x, *(_reordered(x, mirrored) for _ in weights[1:])]
    given = [
        F.linear(part, each.ih, input_bias(cell, *each.biases)) for part, each in zip(inputs, weights, strict=True)
    ]
    states = _states(cell, weights, given, state)
    y = _joined([states[0][0], *(_reordered(y, mirrored) for y in states[0][1:])], -1)
    at_end = (lengths - 1).clamp(min=0).view(1, 1, -1, 1)
    ends = tuple(part.gather(1, at_end.expand(len(part), 1, *part.shape[2:])).squeeze(1) for part in states)
    return y, _of_some(ends, state, lengths)


def _of_some(ends: State, firsts: State, lengths: Tensor) -> State:
    """The last states; the first one of a sequence without steps."""
    some = (lengths > 0).unsqueeze(-1)
    return tuple(torch.where(some, end, first) for end, first in zip(ends, firsts, strict=True))


def _projected(cell: Cell, weights: list[Weights], x: Tensor) -> list[Tensor]:
    """Returns the input's share of the gates, by one product; for the reverse direction the last step comes first."""
    biases = [bias for bias in (input_bias(cell, *each.biases) for each in weights) if bias is not None]
    joined = F.linear(x, _joined([each.ih for each in weights], 0), _joined(biases, 0) if biases else None)
    first, *reverse = joined.chunk(len(weights), -1)
    return [first, *(part.flip(0) for part in reverse)]


def _states(cell: Cell, weights: list[Weights], from_inputs: list[Tensor], state: State) -> State:
    """Returns the states after every step, each (directions, time, batch, hidden)."""
    if _may_be_fast(weights, *from_inputs, *state) and from_inputs[0].dtype == weights[0].hh.dtype:  # not with autocast
        biases = [each.biases[1] for each in weights if each.biases[1] is not None]
        bias = _stack(biases) if biases else None
        return cell.loop(_stack(from_inputs), _stack([each.hh for each in weights]), bias, state)
    by_direction = []
    for index, (each, from_input) in enumerate(zip(weights, from_inputs, strict=True)):
        now, states = tuple(part[index] for part in state), []
        for given in from_input.unbind(0):
            now = cell.step(given, each.hh, each.biases[1], now)
            if each.hr is not None:
                now = (F.linear(now[0], each.hr), *now[1:])
            states.append(now)
        by_direction.append(tuple(torch.stack(parts) for parts in zip(*states, strict=True)))
    return tuple(_stack(parts) for parts in zip(*by_direction, strict=True))


def _may_be_fast(weights: list[Weights], *tensors: Tensor) -> bool:
    """Whether kernels and loops serve, which have no projection and know the first derivative alone."""
    return all(each.hr is None for each in weights) and _first_order(*tensors, *_tensors(weights))


def _tensors(weights: list[Weights]) -> list[Tensor]:
    return [part for each in weights for part in (each.ih, each.hh, *each.biases) if part is not None]


def _first_order(*tensors: Tensor) -> bool:
    """Whether at most one gradient is taken, by `grad`."""
    if in_graph():  # below a transform a trace cannot tell what plain autograd records
        recorded = any(t.requires_grad for t in tensors) and torch.is_grad_enabled()
        return first_order_only() and (torch._C._are_functorch_transforms_active() or not recorded)
    return first_order_only() and not is_recorded(*tensors)


def _joined(directions: Sequence[Tensor], dim: int) -> Tensor:
    return directions[0] if len(directions) == 1 else torch.cat(list(directions), dim)


def _stack(directions: Sequence[Tensor]) -> Tensor:
    return directions[0].unsqueeze(0) if len(directions) == 1 else torch.stack(list(directions))


def _reordered(x: Tensor, steps: Tensor) -> Tensor:
    """x (time, batch, ...) with each sequence's time steps in the order `steps` (time, batch)."""
    return x.gather(0, steps.unsqueeze(-1).expand_as(x))
