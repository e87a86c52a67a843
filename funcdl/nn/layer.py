"""The `Layer` contract, and layers of plain functions: `stateless(f)` and `parametric(init, f)`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from funcdl import random, tree
from funcdl.function_bundle import FunctionBundle
from funcdl.tree import Tree

Params = dict[str, Any]  # nested dicts of learned tensors
Buffers = dict[str, Any]  # nested dicts of tensors that are not learned, such as running statistics

INIT_CONTRACT, APPLY_CONTRACT = "init() to return (params, buffers)", "apply() to return (y, buffers)"


@dataclass(frozen=True, repr=False)
class Layer(FunctionBundle):
    """A layer: a function that initializes its parameters, and a pure function that applies them.

    Attributes:
        init: `init(key, x) -> (params, buffers)`. `x` is an example input, a tensor or a tree of tensors, of which only
            shapes and dtypes are read; it may be on any device, including `meta`. The parameters are on the key's
            device. Their dtype is that of `x` if it is floating-point, otherwise `torch.get_default_dtype()`.
        apply: `apply(params, buffers, x, *, key=None, train=False) -> (y, buffers)`. It does not change its arguments.
            If no buffer changes, it returns the dict that it was given. `key` is for layers that draw random numbers.

    A layer without buffers can be called: `layer(params, x)` returns only the output `y`. If the layer has buffers, it
    raises a TypeError.

    A layer is printed as its constructor call. It can be pickled if its functions are defined inside functions at the
    top level of a module.

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
        """Returns the output of `apply`, for a layer without buffers."""
        try:
            y, buffers = as_pair("layer(params, x)", APPLY_CONTRACT, self.apply(params, {}, x, key=key, train=train))
        except KeyError:
            buffers = self.init(random.key(0), x)[1]  # finds out whether a buffer or a parameter is missing
            if not buffers:
                raise
        if buffers:
            raise TypeError(
                f"layer(params, x): this layer has buffers ({', '.join(tree.paths(buffers)[:3])}, ...); "
                "call y, buffers = layer.apply(params, buffers, x)"
            )
        return y


def as_pair(where: str, expected: str, result: Any) -> tuple[Any, Any]:
    """Returns `result` if it is a tuple or list of two; raises a TypeError otherwise, even for a tensor of two rows."""
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        got = f"{len(result)} results" if isinstance(result, (tuple, list)) else f"a {type(result).__name__}"
        raise TypeError(f"{where}: expected {expected}, got {got}")
    first, second = result
    if isinstance(second, Tensor):
        raise TypeError(f"{where}: expected {expected}, got a Tensor in place of the dict of buffers")
    return first, second


def stateless(f: Callable[[Any], Any]) -> Layer:
    """Makes a layer without parameters from a function of a tensor (or of a tree of tensors).

    The function must be pure and support `meta` tensors, with which `init` computes the shapes for later layers.

    Raises:
        TypeError: raised by `apply` if `f` returns a layer: a constructor was passed without being called.

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
            raise TypeError(f"{name}: expected a layer, got its constructor; write {name}()")
        return y, buffers

    return Layer(init, apply)


def parametric(init: Callable[[Tensor, Tree], Params], f: Callable[[Params, Any], Any]) -> Layer:
    """Makes a layer with parameters from two functions, for layers that neither draw random numbers nor have buffers.

    Args:
        init: `init(key, x) -> params`; see `Layer`.
        f: `f(params, x) -> y`, a pure function, the same for training and evaluation.

    >>> import torch
    >>> scale = parametric(lambda key, x: {"scale": torch.ones(x.shape[-1])}, lambda params, x: params["scale"] * x)
    >>> params, buffers = scale.init(random.key(0), torch.empty(5, 3, device="meta"))
    >>> scale(params, torch.arange(3.0))
    tensor([0., 1., 2.])
    """

    def init_layer(key: Tensor, x: Tree) -> tuple[Params, Buffers]:
        return init(key, x), {}

    def apply(
        params: Params, buffers: Buffers, x: Tree, *, key: Tensor | None = None, train: bool = False
    ) -> tuple[Tree, Buffers]:
        return f(params, x), buffers

    return Layer(init_layer, apply)
