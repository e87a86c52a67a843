"""Any `nn.Module` as a layer."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from funcdl import tree
from funcdl.interop.draws import DrawsFromKey
from funcdl.nn import Layer
from funcdl.nn.layer import Buffers, Params
from funcdl.tree import Tree


def from_module(module: torch.nn.Module) -> tuple[Layer, Params, Buffers]:
    """Takes an `nn.Module` apart: the function that it computes, its parameters and its buffers.

    Args:
        module: it is copied and left as it is; changes to it later are not seen.

    Returns:
        `(layer, params, buffers)`. `layer.apply(params, buffers, x, key=key, train=train)` computes what the module
        does after `module.train(train)`: a tuple `x` is its positional arguments, a dict its keyword arguments. The
        buffers returned are new when training, such as running statistics. `layer.init(key, x)` returns copies of
        `params` and `buffers`, whatever the key.

    - A parameter that stands at several places is one, under its first name; all of them get its value. In the module's
      `state_dict()` it has an entry for each place: drop the others before `from_state_dict`.
    - Buffers are all there, those kept out of the `state_dict()` too.
    - Random numbers follow from the key: dropout of every form, also inside `nn.MultiheadAttention`, and `torch.rand`,
      `randn`, `bernoulli` and the like. The numbers are others than those of torch's generator. Dropout between the
      layers of `nn.LSTM`, `nn.GRU` and `nn.RNN`, and other draws, raise an error: for these there is `funcdl.nn`.
    - `grad`, `vmap` and `jit` work as far as the module's own operations do. While training, batch statistics do not
      work under `vmap` over inputs, unless the buffers are mapped as well.
    - The fused inference kernel of `nn.TransformerEncoder` is not used, so that gradients work.

    Raises:
        ValueError: by `apply`, when the trees have other leaves, or a draw needs a key and there is none.
        NotImplementedError: by `apply`, when the module draws in a way that cannot be driven by a key.

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
    kept = {name: leaf.detach().clone() for name, leaf in module.named_parameters()}
    kept_buffers = {name: leaf.detach().clone() for name, leaf in module.named_buffers()}
    skeletons = {train: _WithBuffers(_on_meta(module), list(kept_buffers)).train(train) for train in (False, True)}
    params, buffers = _nested(kept), _nested(kept_buffers)
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
        with DrawsFromKey(key):
            y, after = torch.func.functional_call(skeletons[train], values, args, kwargs)
        return y, _nested(after) if train and after else buffers

    return Layer(init, apply), *init(torch.empty(0, device=_device(kept | kept_buffers)), ())


class _WithBuffers(torch.nn.Module):
    """Calls a module and returns its buffers as well, as the call has left them."""

    def __init__(self, module: torch.nn.Module, names: list[str]) -> None:
        super().__init__()
        self.module = module
        self.names = names

    def forward(self, *args: Any, **kwargs: Any) -> tuple[Any, dict[str, Tensor]]:
        """Calls the module."""
        y = self.module(*args, **kwargs)
        return y, {name: self.module.get_buffer(name) for name in self.names}


def _on_meta(module: torch.nn.Module) -> torch.nn.Module:
    """A copy of the module with all parameters and buffers on the meta device, tied where the module's are."""
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
    """A tree of copies, which a module may write over; one copy of what stands at several places.

    `nn.MultiheadAttention` for one computes differently when query, key and value are the same tensor.
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
    """Dicts within dicts for names with dots."""
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
