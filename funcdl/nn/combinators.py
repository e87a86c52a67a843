"""Combinators: layers built from layers.

There is no combinator that recomputes activations in the backward pass, because `torch.utils.checkpoint` does not work
inside `torch.func`, and an `autograd.Function` that recomputes does not compile there (torch 2.15).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from funcdl.nn.children import Children, apply_child, as_layer, child_keys, init_child, named_children, on_meta
from funcdl.nn.layer import Buffers, Layer, Params, stateless
from funcdl.nn.validation import check_whole
from funcdl.tree import Tree


def serial(*layers: Layer | Callable[[Any], Any], **named: Layer | Callable[[Any], Any]) -> Layer:
    """Applies layers in sequence, like `torch.nn.Sequential`.

    Args:
        *layers: layers or plain functions of a tensor. Their parameters have the keys "0", "1", ...; layers without
            parameters are counted, too.
        **named: the same, with their names as keys. Either all layers are named or none.

    Layer i receives `fold_in(key, i)` as its key. An error raised in a layer has a note with the path to that layer.

    Raises:
        TypeError: positional and named layers are mixed, or something is neither a layer nor a function.

    >>> from funcdl import nn, random, tree
    >>> model = serial(nn.linear(4), torch.tanh, nn.linear(1))
    >>> params, buffers = model.init(random.key(0), torch.empty(8, 3, device="meta"))
    >>> tree.paths(params)
    ['0.bias', '0.weight', '2.bias', '2.weight']
    >>> model(params, torch.ones(8, 3)).shape
    torch.Size([8, 1])
    """
    children = named_children("serial", layers, named)

    def init(key: Tensor, x: Tree) -> tuple[Params, Buffers]:
        params: Params = {}
        buffers: Buffers = {}
        x = on_meta(x)
        for (name, layer), child_key in zip(children, child_keys(key, len(children)), strict=True):
            x = init_child(name, layer, params, buffers, child_key, x)
        return params, buffers

    def apply(
        params: Params, buffers: Buffers, x: Tree, *, key: Tensor | None = None, train: bool = False
    ) -> tuple[Tree, Buffers]:
        changed: Buffers = {}
        for (name, layer), child_key in zip(children, child_keys(key, len(children)), strict=True):
            x = apply_child(name, layer, params, buffers, changed, x, child_key, train)
        return x, {**buffers, **changed} if changed else buffers

    return Layer(init, apply)


def parallel(
    *branches: Layer | Callable[[Any], Any],
    combine: Layer | Callable[[Any], Any] | None = None,
    **named: Layer | Callable[[Any], Any],
) -> Layer:
    """Applies branches to the same input; returns the tuple of their outputs, or `combine` of the tuple.

    Args:
        *branches: layers or plain functions of a tensor, with the keys "0", "1", ...
        combine: a layer without parameters, or a function, of the tuple of outputs, such as `concatenate(1)` or
            `add()`.
        **named: branches with these names as keys. Either all branches are named or none.

    Branch i of n receives `fold_in(key, i)` as its key, and `combine` receives `fold_in(key, n)`.

    Raises:
        TypeError: positional and named branches are mixed, or something is neither a layer nor a function.

    >>> from funcdl import nn, random, tree
    >>> block = parallel(
    ...     branch1x1=nn.conv2d(8, 1), branch3x3=nn.conv2d(16, 3, padding=1), combine=concatenate(dim=1)
    ... )
    >>> params, buffers = block.init(random.key(0), torch.empty(1, 4, 7, 7, device="meta"))
    >>> tree.paths(params)
    ['branch1x1.bias', 'branch1x1.weight', 'branch3x3.bias', 'branch3x3.weight']
    >>> block(params, torch.ones(1, 4, 7, 7)).shape
    torch.Size([1, 24, 7, 7])
    """
    return _fan_out("parallel", named_children("parallel", branches, named), combine)


def residual(
    body: Layer | Callable[[Any], Any],
    *,
    combine: Layer | Callable[[Any], Any] | None = None,
    **shortcut: Layer | Callable[[Any], Any],
) -> Layer:
    """Adds the input, or a shortcut of it, to the output of `body`: `shortcut(x) + body(x)`.

    Args:
        body: a layer or a function. Its parameters are those of the residual layer, without a key of their own.
        combine: a layer without parameters, or a function, of the tuple `(shortcut(x), body(x))`; `add()` by default.
            `serial(add(), relu())` ends a block as in ResNet, `concatenate(1)` as in DenseNet.
        **shortcut: at most one layer or function, the identity by default. Its name is the key of its parameters.

    The shortcut receives `fold_in(key, 0)` as its key, the body `fold_in(key, 1)` and `combine` `fold_in(key, 2)`.

    Raises:
        TypeError: more than one shortcut, or something is neither a layer nor a function.
        ValueError: raised by `init` if the body also has an entry with the name of the shortcut.

    >>> from funcdl import nn, random, tree
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
    children = named_children("residual", (), shortcut or {"identity": lambda x: x})
    children.append(("", as_layer("residual", "body", body)))
    return _fan_out("residual", children, combine or add(), levels=tuple(shortcut))


def repeat(layer: Layer | Callable[[Any], Any], n: int) -> Layer:
    """Applies `n` equal layers in sequence, each with parameters of its own: `serial(layer, layer, ...)`.

    Args:
        layer: a layer or a function of a tensor.
        n: the number of layers, at least 0. Their keys are "0" to "n-1".

    Use `tied` to apply one layer `n` times with the same parameters.

    Raises:
        ValueError: `n` is negative.

    >>> from funcdl import nn, random, tree
    >>> params, buffers = repeat(nn.linear(3), 2).init(random.key(0), torch.empty(8, 3, device="meta"))
    >>> tree.paths(params)
    ['0.bias', '0.weight', '1.bias', '1.weight']
    """
    check_whole("repeat", n=n)
    if n < 0:
        raise ValueError(f"repeat: expected n >= 0, got {n}")
    return serial(*[layer] * n)


def concatenate(dim: int) -> Layer:
    """Concatenates a tuple of tensors along `dim`, like `torch.cat`; a `combine` for `parallel`.

    >>> concatenate(dim=1)({}, (torch.zeros(2, 3), torch.zeros(2, 4))).shape
    torch.Size([2, 7])
    """
    return stateless(lambda xs: torch.cat(tuple(xs), dim))


def add() -> Layer:
    """Adds a tuple of tensors of the same shape; the default `combine` of `residual`.

    Raises:
        ValueError: raised by `apply` if the shapes differ. They are not broadcast: in a residual block that would hide
            a mistake.

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
    combinator: str, children: Children, combine: Layer | Callable[[Any], Any] | None, levels: tuple[str, ...] = ()
) -> Layer:
    """Applies all children to the same input, then `combine`. The child named "" has all entries except `levels`."""
    combine = None if combine is None else as_layer(combinator, "combine", combine)

    def init(key: Tensor, x: Tree) -> tuple[Params, Buffers]:
        params: Params = {}
        buffers: Buffers = {}
        x = on_meta(x)
        keys = child_keys(key, len(children) + 1)
        outputs = tuple(
            init_child(name, layer, params, buffers, child_key, x, levels)
            for (name, layer), child_key in zip(children, keys[:-1], strict=True)
        )
        combine_params: Params = {}
        if combine is not None:
            init_child("combine", combine, combine_params, combine_params, keys[-1], outputs)
        if combine_params:
            raise ValueError(f"{combinator}: expected a combine without parameters; put it after, by serial()")
        return params, buffers

    def apply(
        params: Params, buffers: Buffers, x: Tree, *, key: Tensor | None = None, train: bool = False
    ) -> tuple[Tree, Buffers]:
        changed: Buffers = {}
        keys = child_keys(key, len(children) + 1)
        y: Tree = tuple(
            [
                apply_child(name, layer, params, buffers, changed, x, child_key, train, levels)
                for (name, layer), child_key in zip(children, keys[:-1], strict=True)
            ]
        )
        if combine is not None:
            y, _ = combine.apply({}, {}, y, key=keys[-1], train=train)
        return y, {**buffers, **changed} if changed else buffers

    return Layer(init, apply)
