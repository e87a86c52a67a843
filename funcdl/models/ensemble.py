"""Ensembles: several equal models, trained as one."""

from __future__ import annotations

from torch import Tensor

from funcdl import random, tree
from funcdl.nn import Layer
from funcdl.nn.layer import APPLY_CONTRACT, INIT_CONTRACT, Buffers, Params, as_pair
from funcdl.transforms import vmap
from funcdl.tree import Tree


def ensemble(layer: Layer, members: int) -> Layer:
    """An ensemble of `members` equal layers, each with its own parameters and inputs.

    All members are computed together, by `vmap`. Trained on the sum of their losses, by an element-wise optimizer, each
    member learns as it would alone: the gradient of the sum with respect to its parameters is that of its own loss.

    Args:
        layer: the layer of each member.
        members: the number of members, at least 1.

    Inputs and outputs are trees of tensors (batch, members, ...); every leaf of the parameters and buffers has the
    members as its first dimension. Member i is initialized with `split(key, members)[i]`; when applied with a key, it
    also draws from row i of its split.

    Raises:
        ValueError: `members` is less than 1.

    >>> import torch
    >>> from funcdl import nn
    >>> model = ensemble(nn.linear(1), 5)
    >>> params, buffers = model.init(random.key(0), torch.empty(1, 5, 3, device="meta"))
    >>> params["weight"].shape, model(params, torch.ones(8, 5, 3)).shape
    (torch.Size([5, 1, 3]), torch.Size([8, 5, 1]))
    """
    if members < 1:
        raise ValueError(f"ensemble: expected members >= 1, got {members}")

    def init(key: Tensor, x: Tree) -> tuple[Params, Buffers]:
        example = tree.map(lambda leaf: leaf.to("meta")[:, 0], x)
        keys = random.split(key, members).unbind()
        initialized = [as_pair("ensemble", INIT_CONTRACT, layer.init(member_key, example)) for member_key in keys]
        return tree.stack([params for params, _ in initialized]), tree.stack([buffers for _, buffers in initialized])

    def apply(
        params: Params, buffers: Buffers, x: Tree, *, key: Tensor | None = None, train: bool = False
    ) -> tuple[Tree, Buffers]:
        def apply_member(params: Params, buffers: Buffers, x: Tree, keys: dict[str, Tensor]) -> tuple[Tree, Buffers]:
            applied = layer.apply(params, buffers, x, key=keys.get("key"), train=train)
            return as_pair("ensemble", APPLY_CONTRACT, applied)

        keys = {} if key is None else {"key": random.split(key, members)}
        y, after = vmap(apply_member, in_dims=(0, 0, 1, 0), out_dims=(1, 0))(params, buffers, x, keys)
        return y, after or buffers

    return Layer(init, apply)
