"""`summary`: a table of a model's layers, with shapes, parameters, bytes and multiply-adds."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from funcdl import random, tree
from funcdl.nn.children import observer, on_meta
from funcdl.nn.layer import APPLY_CONTRACT, INIT_CONTRACT, Buffers, Layer, Params, as_pair
from funcdl.tree import Tree


class SummaryRow(NamedTuple):
    """A row of `summary`: one layer, including the layers it contains.

    Attributes:
        path: its path in the model, as in the names of its parameters; "" is the model.
        kind: its constructor.
        output: the shape of its output, or the tree of shapes.
        parameters: the number of learned values.
        bytes: the size of its parameters and buffers.
        multiply_adds: of its matrix products, convolutions and attentions, for the example input.
    """

    path: str
    kind: str
    output: Any
    parameters: int
    bytes: int
    multiply_adds: int


def summary(layer: Layer, x: Tree) -> list[SummaryRow]:
    """Prints a table of the layers in a model, and returns its rows.

    Args:
        layer: the model. Layers inside combinators have rows of their own.
        x: an example input; only its shapes and dtypes are read.

    Returns:
        A row for the model and one for each layer in it, in the order in which they are applied, each outer layer
        before its inner layers. The numbers of an outer layer include those of its inner layers.

    >>> import torch
    >>> from funcdl import nn
    >>> model = nn.serial(fc1=nn.linear(4), relu=nn.relu(), fc2=nn.linear(1))
    >>> rows = summary(model, torch.empty(8, 3, device="meta"))
    layer   kind    output  parameters  bytes  multiply-adds
    (all)   serial  (8, 1)          21     84            128
      fc1   linear  (8, 4)          16     64             96
      relu  relu    (8, 4)           0      0              0
      fc2   linear  (8, 1)           5     20             32
    >>> rows[1].parameters
    16
    """
    rows: list[SummaryRow] = []
    levels: list[str] = []

    def watch(name: str, layer: Layer, key: Tensor, x: Tree) -> tuple[tuple[Params, Buffers], Tree]:
        index = len(rows)
        has_row = bool(name) or not rows  # the body of residual() has no name, and counts as the residual layer
        if has_row:
            rows.append(SummaryRow("", "", (), 0, 0, 0))
            levels.append(name)
        params, buffers = as_pair(_kind(layer), INIT_CONTRACT, layer.init(key, x))
        with FlopCounterMode(display=False) as counter:
            y, _ = as_pair(_kind(layer), APPLY_CONTRACT, layer.apply(on_meta(params), on_meta(buffers), x))
        if has_row:
            rows[index] = SummaryRow(
                path=".".join(filter(None, levels)),
                kind=_kind(layer),
                output=tree.map(lambda leaf: tuple(leaf.shape), y),
                parameters=tree.size(params),
                bytes=sum(leaf.numel() * leaf.element_size() for leaf in tree.leaves((params, buffers))),
                multiply_adds=counter.get_total_flops() // 2,
            )
            levels.pop()
        return (params, buffers), y

    token = observer.set(watch)
    try:
        watch("", layer, random.key(0, device="meta"), on_meta(x))
    finally:
        observer.reset(token)
    print(_table(rows))
    return rows


def _kind(layer: Layer) -> str:
    """Returns the name that the layer has in its error messages, or else the name of its constructor.

    Layers do not store it, so it is searched for among the variables that their functions close over.
    """
    init, f, of_user = layer.init, layer.apply, False
    if f.__qualname__.startswith("parametric."):
        init, f = _enclosed(init)["init"], _enclosed(f)["f"]
    elif f.__qualname__.startswith("stateless."):
        f = _enclosed(f)["f"]
        of_user = not str(getattr(f, "__module__", None)).startswith("funcdl.nn")
    variables = {**_enclosed(init), **_enclosed(f)}
    name = variables.get("name", variables.get("combinator"))
    if isinstance(name, str):
        return name.split("(")[0]
    if of_user:
        return getattr(f, "__name__", type(f).__name__)
    return f.__qualname__.split(".<locals>")[0].split(".")[-1].lstrip("_")


def _enclosed(f: Any) -> dict[str, Any]:
    return dict(inspect.getclosurevars(f).nonlocals) if inspect.isfunction(f) else {}


def _table(rows: list[SummaryRow]) -> str:
    def label(path: str) -> str:
        *above, name = path.split(".")
        return "  " * (len(above) + 1) + name if path else "(all)"

    cells: list[tuple[str, ...]] = [("layer", "kind", "output", "parameters", "bytes", "multiply-adds")]
    cells += [(label(r.path), r.kind, str(r.output), *(f"{number:,}" for number in r[3:])) for r in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(6)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < 3 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    )
