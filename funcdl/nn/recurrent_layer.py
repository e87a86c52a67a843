"""One layer of a recurrent network, in one direction or both, over a whole sequence: which kernel or loop runs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from funcdl.nn.checks import first_order_only, is_recorded
from funcdl.nn.layer import Params
from funcdl.nn.recurrent_cell import Cell
from funcdl.nn.recurrent_kernels import Biases, State


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
    inputs = [x, *(x.flip(0) for _ in weights[1:])]
    if _has_loops(weights, x, *state) and cell.has_kernel(x, weights[0].ih):
        firsts = [tuple(part[index] for part in state) for index in range(len(weights))]
        results = [
            cell.kernel(part, (each.ih, each.hh), each.biases, first)
            for part, each, first in zip(inputs, weights, firsts, strict=True)
        ]
        outputs = [y for y, _ in results]
        last = tuple(_stack(parts) for parts in zip(*(final for _, final in results), strict=True))
    else:
        states = _states(cell, weights, _projected(cell, weights, inputs), state)
        outputs, last = list(states[0].unbind(0)), tuple(part[:, -1] for part in states)
    return _side_by_side([outputs[0], *(y.flip(0) for y in outputs[1:])]), last


def _run_to_their_ends(
    cell: Cell, weights: list[Weights], x: Tensor, state: State, lengths: Tensor
) -> tuple[Tensor, State]:
    steps = torch.arange(len(x), device=x.device).unsqueeze(-1)
    inside = steps < lengths  # (time, batch)
    if cell.close is not None:  # steps outside change nothing, before the start of a reversed sequence or at its end
        given = _projected(cell, weights, [x, *(x.flip(0) for _ in weights[1:])])
        given = [cell.close(part, inside.flip(0) if reverse else inside) for reverse, part in enumerate(given)]
        states = _states(cell, weights, given, state)
        outputs, last = [states[0][0], *(y.flip(0) for y in states[0][1:])], tuple(part[:, -1] for part in states)
    else:
        mirrored = torch.where(inside, lengths - 1 - steps, steps)
        inputs = [x, *(_reordered(x, mirrored) for _ in weights[1:])]
        states = _states(cell, weights, _projected(cell, weights, inputs), state)
        outputs = [states[0][0], *(_reordered(y, mirrored) for y in states[0][1:])]
        at_end = (lengths - 1).clamp(min=0).view(1, 1, -1, 1)
        ends = (part.gather(1, at_end.expand(len(part), 1, *part.shape[2:])).squeeze(1) for part in states)
        some = (lengths > 0).unsqueeze(-1)
        last = tuple(torch.where(some, end, first) for end, first in zip(ends, state, strict=True))
    return torch.where(inside.unsqueeze(-1), _side_by_side(outputs), 0), last


def _projected(cell: Cell, weights: list[Weights], inputs: list[Tensor]) -> list[Tensor]:
    return [cell.project(x, each.ih, *each.biases) for x, each in zip(inputs, weights, strict=True)]


def _states(cell: Cell, weights: list[Weights], from_inputs: list[Tensor], state: State) -> State:
    """Returns the states after every step, each (directions, time, batch, hidden)."""
    if _has_loops(weights, *from_inputs, *state) and from_inputs[0].dtype == weights[0].hh.dtype:  # not with autocast
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


def _has_loops(weights: list[Weights], *tensors: Tensor) -> bool:
    if any(each.hr is not None for each in weights):
        return False
    return _first_order(*tensors, *(weight for each in weights for weight in (each.ih, each.hh)))


def _first_order(*tensors: Tensor) -> bool:
    """Whether at most one gradient is taken, by `grad`: the fast kernels and loops know the first derivative alone."""
    if torch.compiler.is_compiling():  # below a transform a trace cannot tell what plain autograd records
        recorded = any(t.requires_grad for t in tensors) and torch.is_grad_enabled()
        return first_order_only() and (torch._C._are_functorch_transforms_active() or not recorded)
    return first_order_only() and not is_recorded(*tensors)


def _side_by_side(outputs: list[Tensor]) -> Tensor:
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)


def _stack(directions: Sequence[Tensor]) -> Tensor:
    return directions[0].unsqueeze(0) if len(directions) == 1 else torch.stack(list(directions))


def _reordered(x: Tensor, steps: Tensor) -> Tensor:
    """x (time, batch, ...) with each sequence's time steps in the order `steps` (time, batch)."""
    return x.gather(0, steps.unsqueeze(-1).expand_as(x))
