"""Children: the layers inside a combinator, each with its own parameters, buffers and key.

Parameters and buffers are nested dicts. A combinator stores those of each child under the child's name. A child without
parameters (or without buffers) has no entry, so the keys joined by dots are exactly those of the twin's `state_dict()`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor

from funcdl import random, tree
from funcdl.nn.layer import APPLY_CONTRACT, INIT_CONTRACT, Buffers, Layer, Params, as_pair, stateless
from funcdl.tree import Tree

Children = list[tuple[str, Layer]]
Observer = Callable[[str, Layer, Tensor, Tree], tuple[tuple[Params, Buffers], Tree]]

# `nn.summary` sets this; it is then called instead of a child's `init` and the `apply` on meta tensors.
observer: ContextVar[Observer | None] = ContextVar("observer", default=None)

_NOTE = "in layer "


def init_child(
    name: str,
    layer: Layer,
    params: Params,
    buffers: Buffers,
    key: Tensor,
    x: Tree,
    levels: tuple[str, ...] = (),
) -> Tree:
    """Initializes a child and adds its entries to `params` and `buffers`; returns its output for meta tensors `x`."""
    watch = None if torch.compiler.is_dynamo_compiling() else observer.get()
    try:
        if watch is None:
            own = as_pair(_describe_layer(name), INIT_CONTRACT, layer.init(key, x))
            applied = layer.apply(on_meta(own[0]), on_meta(own[1]), x)
            y, _ = as_pair(_describe_layer(name), APPLY_CONTRACT, applied)
        else:
            own, y = watch(name, layer, key, x)
    except Exception as error:
        _add_location_note(error, name)
        raise
    for target, part in zip((params, buffers), own, strict=True):
        if name == "" and (clash := part.keys() & set(levels)):
            raise ValueError(f"residual: the body has an entry '{clash.pop()}' as well; give the shortcut another name")
        target.update(part if name == "" else {name: part} if part else {})
    return y


def apply_child(
    name: str,
    layer: Layer,
    params: Params,
    buffers: Buffers,
    changed: Buffers,
    x: Tree,
    key: Tensor | None,
    train: bool,
    levels: tuple[str, ...] = (),
) -> Tree:
    """Applies a child with its entries of `params` and `buffers`; adds its new buffers, if any, to `changed`."""
    own_params, own_buffers = _entries("parameters", params, name, levels), _entries("buffers", buffers, name, levels)
    try:
        applied = layer.apply(own_params, own_buffers, x, key=key, train=train)
        y, after = as_pair(_describe_layer(name), APPLY_CONTRACT, applied)
    except Exception as error:
        _add_location_note(error, name)
        raise
    # The Dynamo of torch 2.11 cannot compare dicts by identity. The comparison only avoids building an equal dict.
    if after and (torch.compiler.is_dynamo_compiling() or after is not own_buffers):
        changed.update(after if name == "" else {name: after})
    return y


def _describe_layer(name: str) -> str:
    return f"layer {name}" if name else "the body"


def _entries(what: str, entries: Mapping[str, Any], name: str, levels: tuple[str, ...]) -> dict[str, Any]:
    """Returns the entries of a child; for a child without a name, all entries except `levels` (the other children)."""
    if not isinstance(entries, Mapping):
        got = "None" if entries is None else f"a {type(entries).__name__}"
        raise TypeError(f"{_describe_layer(name)}: expected the {what} in a dict, got {got}; pass what init() returned")
    return entries.get(name, {}) if name else {key: value for key, value in entries.items() if key not in levels}


def named_children(combinator: str, layers: tuple[Any, ...], named: Mapping[str, Any]) -> Children:
    """Returns `(name, layer)` pairs for layers given by position or by keyword; the former are named by numbers."""
    if layers and named:
        raise TypeError(f"{combinator}: expected all layers positional or all named, got both; name every one")
    if dotted := [name for name in named if "." in name or not name]:
        raise TypeError(f"{combinator}: expected names without a dot, got {dotted[0]!r}; nest another {combinator}()")
    entries = named.items() if named else ((str(index), layer) for index, layer in enumerate(layers))
    return [(name, as_layer(combinator, name, layer)) for name, layer in entries]


def as_layer(combinator: str, name: str, layer: Any) -> Layer:
    """Returns the layer, or the layer of a function; raises a TypeError for anything else."""
    if isinstance(layer, Layer):
        return layer
    if not callable(layer) or hasattr(layer, "state_dict"):
        raise TypeError(
            f"{combinator}: expected a Layer or a function of a tensor as layer {name}, got {layer!r}; "
            "layers are made by the constructors of funcdl.nn"
        )
    return stateless(layer)


def child_keys(key: Tensor | None, count: int) -> list[Any]:
    """Returns `fold_in(key, i)` for each child i, or None for each child if there is no key."""
    return [None] * count if key is None or count == 0 else list(random.split(key, count).unbind())


def on_meta(x: Tree) -> Tree:
    """Returns meta tensors of the shapes and dtypes of `x`."""
    return tree.map(lambda leaf: torch.empty(leaf.shape, dtype=leaf.dtype, device="meta"), x)


def _add_location_note(error: Exception, name: str) -> None:
    """Adds a note with the path of the layer that raised the error; each enclosing layer prepends its name."""
    if torch.compiler.is_dynamo_compiling():
        return  # Dynamo cannot trace this; it shows the stack itself
    notes = getattr(error, "__notes__", [])
    if name and notes and notes[-1].startswith(_NOTE):
        notes[-1] = f"{_NOTE}{name}.{notes[-1].removeprefix(_NOTE)}"
    elif name:
        error.add_note(_NOTE + name)
