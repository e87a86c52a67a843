"""Weight tying: one layer applied several times with the same parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from funcdl import tree
from funcdl.nn.children import as_layer, child_keys, init_child, on_meta
from funcdl.nn.layer import APPLY_CONTRACT, Buffers, Layer, Params, as_pair
from funcdl.nn.validation import check_whole
from funcdl.tree import Tree


def tied(layer: Layer | Callable[[Any], Any], n: int, *, times: Callable[..., Int[Tensor, ""]] | None = None) -> Layer:
    """Applies one layer `n` times in sequence with the same parameters: `y = layer(...layer(layer(x)))`.

    Args:
        layer: a layer or a function whose output has the shapes and dtypes of its input. Its parameters are this
            layer's.
        n: the number of applications, at least 0.
        times: `times(x, key=key, train=train) -> count`, a 0-dim integer tensor: the layer is then applied only `count`
            times. It may depend on the input or on a key, even inside `jit` and `vmap`, because all `n` applications
            are computed and the results of those after `count` are discarded.

    Application i receives `fold_in(key, i)` as its key, and `times` receives `fold_in(key, n)`.

    Raises:
        ValueError: `n` is negative; raised by `init` if the layer's output has another shape or dtype than its input.

    >>> from funcdl import nn, random
    >>> drawn = lambda x, key, train: random.randint(key, (), 0, 4)
    >>> model = nn.serial(nn.linear(5), tied(nn.serial(nn.linear(5), nn.relu()), 3, times=drawn), nn.linear(1))
    >>> params, buffers = model.init(random.key(0), torch.empty(8, 3, device="meta"))
    >>> tree.paths(params)
    ['0.bias', '0.weight', '1.0.bias', '1.0.weight', '2.bias', '2.weight']
    >>> model(params, torch.ones(8, 3), key=random.key(1)).shape
    torch.Size([8, 1])
    """
    check_whole("tied", n=n)
    if n < 0:
        raise ValueError(f"tied: expected n >= 0, got {n}")
    layer = as_layer("tied", "layer", layer)

    def init(key: Tensor, x: Tree) -> tuple[Params, Buffers]:
        params: Params = {}
        buffers: Buffers = {}
        x = on_meta(x)
        y = init_child("", layer, params, buffers, key, x)
        before, after = ([(leaf.shape, leaf.dtype) for leaf in tree.leaves(value)] for value in (x, y))
        if before != after:
            raise ValueError(
                f"tied: expected a layer whose output has the shapes of its input, got {_shapes(y)} from {_shapes(x)}; "
                "put layers that change the shape outside"
            )
        return params, buffers

    def apply(
        params: Params, buffers: Buffers, x: Tree, *, key: Tensor | None = None, train: bool = False
    ) -> tuple[Tree, Buffers]:
        keys = child_keys(key, n + 1)
        on_meta_device = any(leaf.is_meta for leaf in tree.leaves(x))  # as in `init`, without a key
        count = None if times is None or on_meta_device else times(x, key=keys[n], train=train)
        for i in range(n):
            y, after = as_pair("tied", APPLY_CONTRACT, layer.apply(params, buffers, x, key=keys[i], train=train))
            if count is None:
                x, buffers = y, after
            else:
                x = _where(i < count, y, x)
                buffers = _where(i < count, after, buffers) if after else buffers
        return x, buffers

    return Layer(init, apply)


def _where(condition: Tensor, x: Tree, other: Tree) -> Tree:
    return tree.map(lambda a, b: torch.where(condition, a, b), x, other)


def _shapes(x: Tree) -> str:
    return " and ".join(f"{tuple(leaf.shape)} of {leaf.dtype}" for leaf in tree.leaves(x))
