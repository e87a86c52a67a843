"""`from_module`: any `nn.Module` as a layer."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from funcdl import tree
from funcdl.interop.random_mode import KeyedRandomMode
from funcdl.nn import Layer
from funcdl.nn.layer import Buffers, Params
from funcdl.tree import Tree


def from_module(module: torch.nn.Module) -> tuple[Layer, Params, Buffers]:
    """Converts an `nn.Module` to a layer, its parameters and its buffers.

    Args:
        module: the module. It is copied, so that later changes to it have no effect.

    Returns:
        `(layer, params, buffers)`. `layer.apply(params, buffers, x, key=key, train=train)` computes what the module
        computes after `module.train(train)`. If `x` is a tuple, its items are the positional arguments of the module;
        if it is a dict, they are the keyword arguments. In training, the returned buffers, such as running statistics,
        are new. `layer.init(key, x)` returns copies of `params` and `buffers` for any key.

    - A parameter that the module uses in several places appears once, under its first name. The module's
      `state_dict()` has an entry for each place: remove the others before `from_state_dict`.
    - All buffers are included, even non-persistent ones, which are not in the `state_dict()`.
    - Random numbers are drawn from the key: all kinds of dropout, in `nn.MultiheadAttention` too, and `torch.rand`,
      `randn`, `bernoulli` and the like. They differ from those of torch's generator. Dropout between the layers of
      `nn.LSTM`, `nn.GRU` and `nn.RNN`, and other random functions, raise an error: use `funcdl.nn` instead.
    - `grad`, `vmap` and `jit` work if the module's operations support them. While training, batch statistics do not
      work under `vmap` over inputs, unless the buffers are mapped as well.
    - The fused inference kernel of `nn.TransformerEncoder` is not used, so that gradients work.

    Raises:
        ValueError: raised by `apply` if the trees do not have the module's leaves, or if the key is missing.
        NotImplementedError: raised by `apply` if the module calls a random function that cannot draw from a key.

    >>> from funcdl import random
    >>> module = torch.nn.Sequential(torch.nn.Linear(3, 2, device="meta"), torch.nn.Dropout()).to_empty(device="cpu")
    >>> layer, params, buffers = from_module(module)
    >>> params = tree.map(torch.ones_like, params)
    >>> layer(params, torch.ones(1, 3))
    tensor([[4., 4.]])
    >>> y = layer(params, torch.ones(100, 3), key=random.key(0), train=True)
    >>> y.unique()
    tensor([0., 8.])
    """
    own_params = {name: leaf.detach().clone() for name, leaf in module.named_parameters()}
    own_buffers = {name: leaf.detach().clone() for name, leaf in module.named_buffers()}
    skeletons = {train: _WithBuffers(_on_meta(module), list(own_buffers)).train(train) for train in (False, True)}
    params, buffers = _nested(own_params), _nested(own_buffers)
    paths, buffer_paths = tree.paths(params), tree.paths(buffers)

    def init(key: Tensor, x: Tree) -> tuple[Params, Buffers]:
        return tree.map(lambda leaf: leaf.to(key.device, copy=True), (params, buffers))

    def apply(
        params: Params, buffers: Buffers, x: Tree, *, key: Tensor | None = None, train: bool = False
    ) -> tuple[Tree, Buffers]:
        values = _values("parameters", paths, params)
        values |= {name: leaf.clone() for name, leaf in _values("buffers", buffer_paths, buffers).items()}
        x = _copies(x)
        args, kwargs = ((), x) if isinstance(x, dict) else (x if isinstance(x, tuple) else (x,), {})
        with KeyedRandomMode(key):
            y, after = torch.func.functional_call(skeletons[train], values, args, kwargs)
        return y, _nested(after) if train and after else buffers

    return Layer(init, apply), *init(torch.empty(0, device=_device(own_params | own_buffers)), ())


class _WithBuffers(torch.nn.Module):
    """Calls a module and returns its output and its buffers after the call."""

    def __init__(self, module: torch.nn.Module, names: list[str]) -> None:
        super().__init__()
        self.module = module
        self.names = names

    def forward(self, *args: Any, **kwargs: Any) -> tuple[Any, dict[str, Tensor]]:
        """Calls the module."""
        y = self.module(*args, **kwargs)
        return y, {name: self.module.get_buffer(name) for name in self.names}


def _on_meta(module: torch.nn.Module) -> torch.nn.Module:
    """Returns a copy of the module with all parameters and buffers on the meta device; tied parameters stay tied."""
    memo: dict[int, Any] = {
        id(leaf): torch.nn.Parameter(torch.empty_like(leaf, device="meta"), requires_grad=False)
        for leaf in module.parameters()
    }
    memo |= {id(leaf): torch.empty_like(leaf, device="meta") for leaf in module.buffers()}
    return copy.deepcopy(module, memo)


def _values(what: str, paths: list[str], values: Tree) -> dict[str, Tensor]:
    named = dict(tree.leaves_with_paths(values))
    if len(named) != len(paths):
        raise ValueError(f"from_module: expected the module's {len(paths)} {what}, got {len(named)}")
    if missing := [path for path in paths if path not in named]:
        raise ValueError(f"from_module: expected the module's {what}, got none called {missing[0]}")
    return {f"module.{path}": named[path] for path in paths}


def _copies(x: Tree) -> Tree:
    """Copies the leaves, because a module may modify them. A leaf that occurs several times is copied once.

    For example, `nn.MultiheadAttention` checks whether query, key and value are the same tensor.
    """
    pairs: list[tuple[Any, Any]] = []

    def copy_of(leaf: Any) -> Any:
        for seen, its_copy in pairs:
            if seen is leaf:
                return its_copy
        pairs.append((leaf, leaf.clone() if isinstance(leaf, Tensor) else leaf))
        return pairs[-1][1]

    return tree.map(copy_of, x)


def _nested(flat: dict[str, Tensor]) -> dict[str, Any]:
    """Returns nested dicts for dotted names."""
    nested: dict[str, Any] = {}
    for name, leaf in flat.items():
        *levels, last = name.split(".")
        place = nested
        for level in levels:
            place = place.setdefault(level, {})
        place[last] = leaf
    return nested


def _device(values: dict[str, Tensor]) -> torch.device:
    return next(iter(values.values())).device if values else torch.device("cpu")
