"""What combinators share: the slots that hold their layers, each with its part of the parameters, buffers and keys.

Parameters and buffers are nested dicts. A combinator gives each of its slots one level, under the slot's name, and a
slot without parameters (or without buffers) has no entry at all: joined by dots, the keys are those of the twin's
`state_dict()`, none more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor

from funcdl import random, tree
from funcdl.nn.layer import OF_APPLY, OF_INIT, Buffers, Layer, Params, as_pair, stateless
from funcdl.tree import Tree

Slots = list[tuple[str, Layer]]
Observer = Callable[[str, Layer, Tensor, Tree], tuple[tuple[Params, Buffers], Tree]]

# `nn.summary` watches `init` from here: called in place of a slot's `init`, and of its `apply` to meta tensors.
observer: ContextVar[Observer | None] = ContextVar("observer", default=None)

_NOTE = "in slot "


def init_slot(
    name: str,
    layer: Layer,
    params: Params,
    buffers: Buffers,
    key: Tensor,
    x: Tree,
    levels: tuple[str, ...] = (),
) -> Tree:
    """Adds the slot's part to `params` and `buffers`; returns its output for the meta tensors `x`."""
    watch = None if torch.compiler.is_dynamo_compiling() else observer.get()
    try:
        if watch is None:
            mine = as_pair(_where(name), OF_INIT, layer.init(key, x))
            applied = layer.apply(on_meta(mine[0]), on_meta(mine[1]), x)
            y, _ = as_pair(_where(name), OF_APPLY, applied)
        else:
            mine, y = watch(name, layer, key, x)
    except Exception as error:
        _locate(error, name)
        raise
    for target, part in zip((params, buffers), mine, strict=True):
        if name == "" and (clash := part.keys() & set(levels)):
            raise ValueError(f"residual: the body has an entry '{clash.pop()}' as well; give the shortcut another name")
        target.update(part if name == "" else {name: part} if part else {})
    return y


def apply_slot(
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
    """Applies one slot to its part of the dicts, and adds its buffers to `changed` if they are new."""
    mine, before = _part("parameters", params, name, levels), _part("buffers", buffers, name, levels)
    try:
        applied = layer.apply(mine, before, x, key=key, train=train)
        y, after = as_pair(_where(name), OF_APPLY, applied)
    except Exception as error:
        _locate(error, name)
        raise
    # Dynamo of torch 2.11 cannot compare dicts by identity; inside a graph that only saves building an equal dict
    if after and (torch.compiler.is_dynamo_compiling() or after is not before):
        changed.update(after if name == "" else {name: after})
    return y


def _where(name: str) -> str:
    return f"slot {name}" if name else "the body"


def _part(what: str, entries: Mapping[str, Any], name: str, levels: tuple[str, ...]) -> dict[str, Any]:
    """The slot's level; for the slot without one, everything but the `levels` of the others."""
    if not isinstance(entries, Mapping):
        got = "None" if entries is None else f"a {type(entries).__name__}"
        raise TypeError(f"{_where(name)}: expected the {what} in a dict, got {got}; pass what init() returned")
    return entries.get(name, {}) if name else {key: value for key, value in entries.items() if key not in levels}


def named_slots(combinator: str, layers: tuple[Any, ...], named: Mapping[str, Any]) -> Slots:
    """The slots of layers that are numbered or named; functions in them become layers."""
    if layers and named:
        raise TypeError(f"{combinator}: expected all layers positional or all named, got both; name every one")
    if dotted := [name for name in named if "." in name or not name]:
        raise TypeError(f"{combinator}: expected names without a dot, got {dotted[0]!r}; nest another {combinator}()")
    entries = named.items() if named else ((str(index), layer) for index, layer in enumerate(layers))
    return [(name, as_layer(combinator, name, layer)) for name, layer in entries]


def as_layer(combinator: str, name: str, layer: Any) -> Layer:
    """The layer, or a function as a layer; a TypeError for what is neither."""
    if isinstance(layer, Layer):
        return layer
    if not callable(layer) or hasattr(layer, "state_dict"):
        raise TypeError(
            f"{combinator}: expected a Layer or a function of a tensor in slot {name}, got {layer!r}; "
            "layers are made by the constructors of funcdl.nn"
        )
    return stateless(layer)


def slot_keys(key: Tensor | None, count: int) -> list[Any]:
    """`fold_in(key, i)` for every slot i, by one call; None for each where there is no key."""
    return [None] * count if key is None or count == 0 else list(random.split(key, count).unbind())


def on_meta(x: Tree) -> Tree:
    """Tensors of the shapes and dtypes of `x`, without storage."""
    return tree.map(lambda leaf: torch.empty(leaf.shape, dtype=leaf.dtype, device="meta"), x)


def _locate(error: Exception, name: str) -> None:
    """Adds a note that says where in the model the error was raised; outer slots extend an inner one's note."""
    if torch.compiler.is_dynamo_compiling():
        return  # Dynamo cannot trace what touches the error, and shows the message and where it was raised itself
    notes = getattr(error, "__notes__", [])
    if name and notes and notes[-1].startswith(_NOTE):
        notes[-1] = f"{_NOTE}{name}.{notes[-1].removeprefix(_NOTE)}"
    elif name:
        error.add_note(_NOTE + name)
