"""The `Layer` contract, and the combinators that build layers from layers.

Parameters and buffers are nested dicts. A combinator gives each of its slots one level, under the slot's name, and a
slot without parameters (or without buffers) has no entry at all: joined by dots, the keys are those of the twin's
`state_dict()`, none more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from funcdl import random, tree
from funcdl.tree import Tree

Params = dict[str, Any]  # nested dicts of tensors that are learned
Buffers = dict[str, Any]  # nested dicts of tensors that are not: running statistics
Slots = list[tuple[str, "Layer"]]

_NOTE = "in slot "


@dataclass(frozen=True)
class Layer:
    """A layer: the function that makes its parameters, and the pure function that applies them.

    Attributes:
        init: `init(key, x) -> (params, buffers)`. Of the example input `x` (a tensor or a tree of them, on any device,
            `meta` too) only shapes and dtypes are read. Parameters lie on the key's device, in the dtype of `x` where
            that is floating, else in `torch.get_default_dtype()`.
        apply: `apply(params, buffers, x, *, key=None, train=False) -> (y, buffers)`. Changes none of its arguments;
            when no buffer has changed, it returns the dict it was given. `key` is for layers that draw random numbers.

    A layer without buffers can be called: `layer(params, x)` is `apply` without the bookkeeping. It raises a TypeError
    when the layer does have buffers.

    >>> layer = Layer(
    ...     init=lambda key, x: ({"scale": torch.ones(x.shape[-1])}, {}),
    ...     apply=lambda params, buffers, x, *, key=None, train=False: (params["scale"] * x, buffers),
    ... )
    >>> params, buffers = layer.init(random.key(0), torch.empty(5, 3, device="meta"))
    >>> layer(params, torch.arange(3.0))
    tensor([0., 1., 2.])
    """

    init: Callable[[Tensor, Tree], tuple[Params, Buffers]]
    apply: Callable[..., tuple[Tree, Buffers]]

    def __call__(self, params: Params, x: Tree, *, key: Tensor | None = None, train: bool = False) -> Tree:
        """Returns `y` of `apply`, for a layer without buffers."""
        try:
            y, buffers = self.apply(params, {}, x, key=key, train=train)
        except KeyError:
            buffers = self.init(random.key(0), x)[1]  # only now, to tell a missing buffer from a missing parameter
            if not buffers:
                raise
        if buffers:
            raise TypeError(
                f"layer(params, x): this layer has buffers ({', '.join(tree.paths(buffers)[:3])}, ...); "
                "call y, buffers = layer.apply(params, buffers, x)"
            )
        return y


def serial(*layers: Layer | Callable[[Any], Any], **named: Layer | Callable[[Any], Any]) -> Layer:
    """Applies layers one after the other, as `torch.nn.Sequential`.

    Args:
        *layers: layers or plain functions of a tensor. Their levels are numbered "0", "1", ...; those without
            parameters count too.
        **named: the same, with levels of these names. Either all layers are named or none.

    Layer number i receives `fold_in(key, i)` as its key. An error raised inside carries a note with the path to the
    layer it came from.

    Raises:
        TypeError: positional and named layers are mixed, or something is neither a layer nor a function.

    >>> from funcdl import nn
    >>> model = serial(nn.linear(4), torch.tanh, nn.linear(1))
    >>> params, buffers = model.init(random.key(0), torch.empty(8, 3, device="meta"))
    >>> tree.paths(params)
    ['0.bias', '0.weight', '2.bias', '2.weight']
    >>> model(params, torch.ones(8, 3)).shape
    torch.Size([8, 1])
    """
    slots = _slots("serial", layers, named)

    def init(key: Tensor, x: Tree) -> tuple[Params, Buffers]:
        params: Params = {}
        buffers: Buffers = {}
        x = _on_meta(x)
        for (name, layer), slot_key in zip(slots, _slot_keys(key, len(slots)), strict=True):
            x = _init_slot(name, layer, params, buffers, slot_key, x)
        return params, buffers

    def apply(
        params: Params, buffers: Buffers, x: Tree, *, key: Tensor | None = None, train: bool = False
    ) -> tuple[Tree, Buffers]:
        changed: Buffers = {}
        for (name, layer), slot_key in zip(slots, _slot_keys(key, len(slots)), strict=True):
            x = _apply_slot(name, layer, params, buffers, changed, x, slot_key, train)
        return x, {**buffers, **changed} if changed else buffers

    return Layer(init, apply)


def parallel(
    *branches: Layer | Callable[[Any], Any],
    combine: Layer | Callable[[Any], Any] | None = None,
    **named: Layer | Callable[[Any], Any],
) -> Layer:
    """Applies every branch to the same input and returns the tuple of their outputs, or what `combine` makes of it.

    Args:
        *branches: layers or plain functions of a tensor, at levels "0", "1", ...
        combine: a layer without parameters, or a function, of the tuple of outputs: `concatenate(1)`, `add()`. It adds
            no level.
        **named: branches at levels of these names. Either all branches are named or none.

    Branch number i receives `fold_in(key, i)` as its key, and `combine` the one after the last.

    Raises:
        TypeError: positional and named branches are mixed, or something is neither a layer nor a function.

    >>> from funcdl import nn
    >>> block = parallel(
    ...     branch1x1=nn.conv2d(8, 1), branch3x3=nn.conv2d(16, 3, padding=1), combine=concatenate(dim=1)
    ... )
    >>> params, buffers = block.init(random.key(0), torch.empty(1, 4, 7, 7, device="meta"))
    >>> tree.paths(params)
    ['branch1x1.bias', 'branch1x1.weight', 'branch3x3.bias', 'branch3x3.weight']
    >>> block(params, torch.ones(1, 4, 7, 7)).shape
    torch.Size([1, 24, 7, 7])
    """
    return _fan_out("parallel", _slots("parallel", branches, named), combine)


def residual(
    body: Layer | Callable[[Any], Any],
    *,
    combine: Layer | Callable[[Any], Any] | None = None,
    **shortcut: Layer | Callable[[Any], Any],
) -> Layer:
    """Adds the input, or a shortcut of it, to the output of `body`: `shortcut(x) + body(x)`.

    Args:
        body: a layer or a function. It gets no level of its own: its parameters stand at the residual layer's.
        combine: a layer without parameters, or a function, of the tuple `(shortcut(x), body(x))`; `add()` by default.
            `serial(add(), relu())` ends a block as ResNet does, `concatenate(1)` as DenseNet does.
        **shortcut: at most one, the identity by default. Its parameters have a level of the name it is given.

    The shortcut receives `fold_in(key, 0)` as its key, the body 1 and `combine` 2.

    Raises:
        TypeError: more than one shortcut, or something is neither a layer nor a function.
        ValueError: by `init`, when the name of the shortcut is also one in the body.

    >>> from funcdl import nn
    >>> block = residual(
    ...     serial(conv1=nn.conv2d(8, 3, 2, padding=1), relu=nn.relu(), conv2=nn.conv2d(8, 3, padding=1)),
    ...     downsample=serial(nn.conv2d(8, 1, 2, bias=False)),
    ...     combine=serial(add(), nn.relu()),
    ... )
    >>> params, buffers = block.init(random.key(0), torch.empty(1, 4, 6, 6, device="meta"))
    >>> tree.paths(params)
    ['conv1.bias', 'conv1.weight', 'conv2.bias', 'conv2.weight', 'downsample.0.weight']
    >>> block(params, torch.ones(1, 4, 6, 6)).shape
    torch.Size([1, 8, 3, 3])
    """
    if len(shortcut) > 1:
        raise TypeError(f"residual: expected at most one shortcut, got {', '.join(shortcut)}; join them by parallel()")
    slots = _slots("residual", (), shortcut or {"identity": lambda x: x})
    slots.append(("", _as_layer("residual", "body", body)))
    return _fan_out("residual", slots, combine or add(), levels=tuple(shortcut))


def stateless(f: Callable[[Any], Any]) -> Layer:
    """Makes a layer without parameters of a function of a tensor (or of a tree of them).

    The function has to be pure and, for `init` to find the shapes that follow, to work on `meta` tensors.

    Raises:
        TypeError: by `apply`, when `f` returns a layer, as a constructor does that was passed but not called.

    >>> stateless(lambda x: x.float() / 255)({}, torch.tensor([0, 51], dtype=torch.uint8))
    tensor([0.0000, 0.2000])
    """

    def init(key: Tensor, x: Tree) -> tuple[Params, Buffers]:
        return {}, {}

    def apply(
        params: Params, buffers: Buffers, x: Tree, *, key: Tensor | None = None, train: bool = False
    ) -> tuple[Tree, Buffers]:
        y = f(x)
        if isinstance(y, Layer):
            name = getattr(f, "__name__", "f")
            raise TypeError(f"{name}: expected a layer, got the function that makes one; write {name}()")
        return y, buffers

    return Layer(init, apply)


def concatenate(dim: int) -> Layer:
    """Joins a tuple of tensors along dimension `dim`, as `torch.cat`: an end for `parallel`.

    >>> concatenate(dim=1)({}, (torch.zeros(2, 3), torch.zeros(2, 4))).shape
    torch.Size([2, 7])
    """
    return stateless(lambda xs: torch.cat(tuple(xs), dim))


def add() -> Layer:
    """Adds a tuple of tensors of one shape: the end of `residual`.

    Raises:
        ValueError: by `apply`, when the shapes differ; they are not broadcast, which in a residual block is a mistake.

    >>> add()({}, (torch.ones(2), torch.ones(2), torch.ones(2)))
    tensor([3., 3.])
    """

    def sum_of(xs: tuple[Tensor, ...]) -> Tensor:
        if any(x.shape != xs[0].shape for x in xs):
            raise ValueError(
                f"add: expected tensors of one shape, got {' and '.join(str(tuple(x.shape)) for x in xs)}; "
                "give the branches the same channels and strides, or the shortcut a layer that does"
            )
        total = xs[0]
        for x in xs[1:]:
            total = total + x
        return total

    return stateless(sum_of)


def _fan_out(
    combinator: str, slots: Slots, combine: Layer | Callable[[Any], Any] | None, levels: tuple[str, ...] = ()
) -> Layer:
    """All slots applied to one input, then `combine` to the tuple. A slot named "" has everything but `levels`."""
    join = None if combine is None else _as_layer(combinator, "combine", combine)

    def init(key: Tensor, x: Tree) -> tuple[Params, Buffers]:
        params: Params = {}
        buffers: Buffers = {}
        x = _on_meta(x)
        keys = _slot_keys(key, len(slots) + 1)
        outputs = tuple(
            _init_slot(name, layer, params, buffers, slot_key, x, levels)
            for (name, layer), slot_key in zip(slots, keys[:-1], strict=True)
        )
        if join is not None and any(join.init(keys[-1], outputs)):
            raise ValueError(f"{combinator}: expected a combine without parameters; put it after, by serial()")
        return params, buffers

    def apply(
        params: Params, buffers: Buffers, x: Tree, *, key: Tensor | None = None, train: bool = False
    ) -> tuple[Tree, Buffers]:
        changed: Buffers = {}
        keys = _slot_keys(key, len(slots) + 1)
        y: Tree = tuple(
            [
                _apply_slot(name, layer, params, buffers, changed, x, slot_key, train, levels)
                for (name, layer), slot_key in zip(slots, keys[:-1], strict=True)
            ]
        )
        if join is not None:
            y, _ = join.apply({}, {}, y, key=keys[-1], train=train)
        return y, {**buffers, **changed} if changed else buffers

    return Layer(init, apply)


def _init_slot(
    name: str,
    layer: Layer,
    params: Params,
    buffers: Buffers,
    key: Tensor,
    x: Tree,
    levels: tuple[str, ...] = (),
) -> Tree:
    """Adds the slot's part to `params` and `buffers`; returns its output for the meta tensors `x`."""
    try:
        mine = layer.init(key, x)
        y, _ = layer.apply(_on_meta(mine[0]), _on_meta(mine[1]), x)
    except Exception as error:
        _locate(error, name)
        raise
    for target, part in zip((params, buffers), mine, strict=True):
        if name == "" and (clash := part.keys() & set(levels)):
            raise ValueError(f"residual: the body has an entry '{clash.pop()}' as well; give the shortcut another name")
        target.update(part if name == "" else {name: part} if part else {})
    return y


def _apply_slot(
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
    mine, before = _part(params, name, levels), _part(buffers, name, levels)
    try:
        y, after = layer.apply(mine, before, x, key=key, train=train)
    except Exception as error:
        _locate(error, name)
        raise
    # Dynamo of torch 2.11 cannot compare dicts by identity; inside a graph that only saves building an equal dict
    if after and (torch.compiler.is_dynamo_compiling() or after is not before):
        changed.update(after if name == "" else {name: after})
    return y


def _part(entries: Mapping[str, Any], name: str, levels: tuple[str, ...]) -> dict[str, Any]:
    """The slot's level; for the slot without one, everything but the `levels` of the others."""
    return entries.get(name, {}) if name else {key: value for key, value in entries.items() if key not in levels}


def _slots(combinator: str, layers: tuple[Any, ...], named: Mapping[str, Any]) -> Slots:
    if layers and named:
        raise TypeError(f"{combinator}: expected all layers positional or all named, got both; name every one")
    if dotted := [name for name in named if "." in name or not name]:
        raise TypeError(f"{combinator}: expected names without a dot, got {dotted[0]!r}; nest another {combinator}()")
    entries = named.items() if named else ((str(index), layer) for index, layer in enumerate(layers))
    return [(name, _as_layer(combinator, name, layer)) for name, layer in entries]


def _as_layer(combinator: str, name: str, layer: Any) -> Layer:
    if isinstance(layer, Layer):
        return layer
    if not callable(layer) or hasattr(layer, "state_dict"):
        raise TypeError(
            f"{combinator}: expected a Layer or a function of a tensor in slot {name}, got {layer!r}; "
            "layers are made by the constructors of funcdl.nn"
        )
    return stateless(layer)


def _slot_keys(key: Tensor | None, count: int) -> list[Any]:
    """`fold_in(key, i)` for every slot i, by one call; None for each where there is no key."""
    return [None] * count if key is None or count == 0 else list(random.split(key, count).unbind())


def _on_meta(x: Tree) -> Tree:
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
