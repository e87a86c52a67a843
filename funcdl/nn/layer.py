"""The `Layer` contract, and the layer of a plain function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from funcdl import random, tree
from funcdl.closures import OfFunctions
from funcdl.tree import Tree

Params = dict[str, Any]  # nested dicts of tensors that are learned
Buffers = dict[str, Any]  # nested dicts of tensors that are not: running statistics

OF_INIT, OF_APPLY = "init() to return (params, buffers)", "apply() to return (y, buffers)"  # what errors say of them


@dataclass(frozen=True, repr=False)
class Layer(OfFunctions):
    """A layer: the function that makes its parameters, and the pure function that applies them.

    Attributes:
        init: `init(key, x) -> (params, buffers)`. Of the example input `x` (a tensor or a tree of them, on any device,
            `meta` too) only shapes and dtypes are read. Parameters lie on the key's device, in the dtype of `x` where
            that is floating, else in `torch.get_default_dtype()`.
        apply: `apply(params, buffers, x, *, key=None, train=False) -> (y, buffers)`. Changes none of its arguments;
            when no buffer has changed, it returns the dict it was given. `key` is for layers that draw random numbers.

    A layer without buffers can be called: `layer(params, x)` is `apply` without the bookkeeping. It raises a TypeError
    when the layer does have buffers.

    It prints as the call that makes it, and is pickled if its functions are made by functions at the top of a module.

    >>> import torch
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
            y, buffers = as_pair("layer(params, x)", OF_APPLY, self.apply(params, {}, x, key=key, train=train))
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


def as_pair(where: str, expected: str, result: Any) -> tuple[Any, Any]:
    """Returns `result`; raises a TypeError unless it is a pair. A tensor of two rows could be taken for one."""
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        got = f"{len(result)} results" if isinstance(result, (tuple, list)) else f"a {type(result).__name__}"
        raise TypeError(f"{where}: expected {expected}, got {got}")
    first, second = result
    if isinstance(second, Tensor):
        raise TypeError(f"{where}: expected {expected}, got a Tensor in place of the dict of buffers")
    return first, second


def stateless(f: Callable[[Any], Any]) -> Layer:
    """Makes a layer without parameters of a function of a tensor (or of a tree of them).

    The function has to be pure and, for `init` to find the shapes that follow, to work on `meta` tensors.

    Raises:
        TypeError: by `apply`, when `f` returns a layer, as a constructor does that was passed but not called.

    >>> import torch
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
