"""The parameters of one recurrent layer and direction, and its initial state."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from funcdl import random
from funcdl.nn.initializers import Initializer, uniform
from funcdl.nn.layer import Params
from funcdl.nn.recurrent.equations import Cell
from funcdl.nn.recurrent.torch_operators import State
from funcdl.nn.validation import entry
from funcdl.tree import Tree

Biases = tuple[Tensor | None, Tensor | None]


class Weights(NamedTuple):
    """The parameters of one layer and direction."""

    ih: Tensor
    hh: Tensor
    biases: Biases
    hr: Tensor | None


def get_weights(layer: str, params: Params, suffix: str, bias: bool, projects: bool) -> Weights:
    """Returns the parameters of one layer and direction, whose names end with `suffix`."""
    names = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if bias else []), *(["weight_hr"] if projects else [])]
    found = {name: entry(layer, params, name + suffix) for name in names}
    biases = (found.get("bias_ih"), found.get("bias_hh"))
    return Weights(found["weight_ih"], found["weight_hh"], biases, found.get("weight_hr"))


def init_weights(
    key: Tensor,
    cell: Cell,
    suffix: str,
    inputs: int,
    hidden_size: int,
    dtype: torch.dtype,
    bias: bool,
    weight_init: Initializer | None,
    bias_init: Initializer | None,
    proj_size: int = 0,
) -> dict[str, Tensor]:
    """Draws the parameters of one layer and direction, under torch's names followed by `suffix`."""
    rows = cell.gates * hidden_size
    shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, inputs), "weight_hh": (rows, proj_size or hidden_size)}
    if bias:
        shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
    if proj_size:
        shapes["weight_hr"] = (proj_size, hidden_size)
    default = uniform(-1 / math.sqrt(hidden_size), 1 / math.sqrt(hidden_size))
    dtype = dtype if dtype.is_floating_point else torch.get_default_dtype()
    return {
        name + suffix: ((weight_init if name.startswith("weight") else bias_init) or default)(name_key, shape, dtype)
        for (name, shape), name_key in zip(shapes.items(), random.split(key, len(shapes)), strict=True)
    }


def initial_state(name: str, hx: Tree | None, shapes: list[tuple[int, ...]], weight: Tensor) -> State:
    """Returns the initial state as a tuple: `hx`, or zeros; raises a ValueError if `hx` has other shapes."""
    if hx is None:
        return tuple(torch.zeros(shape, dtype=weight.dtype, device=weight.device) for shape in shapes)
    state = (hx,) if isinstance(hx, Tensor) else tuple(hx)
    if [tuple(part.shape) for part in state] != shapes:
        got = " and ".join(str(tuple(part.shape)) for part in state)
        raise ValueError(f"{name}: expected hx of shape {' and '.join(map(str, shapes))}, got {got}")
    return state
