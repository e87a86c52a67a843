"""`to_module`: a layer as an `nn.Module`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from funcdl import tree
from funcdl.nn import Layer
from funcdl.tree import Tree


def to_module(layer: Layer, params: Tree, buffers: Tree | None = None) -> torch.nn.Module:
    """Converts a layer to an `nn.Module`, for `torch.export`, ONNX and code that expects modules.

    Args:
        layer: the layer that the module computes.
        params: copied to the parameters of the module.
        buffers: copied to the buffers of the module.

    Returns:
        A module in evaluation mode. `module(x)` is `layer.apply(params, buffers, x)`; several arguments are passed to
        the layer as a tuple. Its `state_dict()` is `to_state_dict(params, buffers)`. After `module.train()` the layer
        is applied with `train=True`, its new buffers are copied into those of the module, and layers that draw random
        numbers need `module(x, key=key)`.

    >>> from funcdl import nn, random
    >>> layer = nn.serial(nn.linear(2), nn.relu())
    >>> module = to_module(layer, *layer.init(random.key(0), torch.empty(1, 3)))
    >>> [name for name, _ in module.named_parameters()]
    ['0.weight', '0.bias']
    >>> program = torch.export.export(module, (torch.ones(1, 3),))
    """
    return _LayerModule(layer, params, {} if buffers is None else buffers).eval()


class _Level(torch.nn.Module):
    """A module for one level of nested dicts: tensors are parameters and buffers, dicts are submodules."""

    def __init__(self, params: dict[str, Any], buffers: dict[str, Any]) -> None:
        super().__init__()
        for name in [*params, *(name for name in buffers if name not in params)]:
            param, buffer = params.get(name, {}), buffers.get(name, {})
            if isinstance(param, Tensor):
                self.register_parameter(
                    name, torch.nn.Parameter(param.detach().clone(), requires_grad=param.is_floating_point())
                )
            elif isinstance(buffer, Tensor):
                self.register_buffer(name, buffer.detach().clone())
            else:
                self.add_module(name, _Level(param, buffer))


class _LayerModule(_Level):
    def __init__(self, layer: Layer, params: dict[str, Any], buffers: dict[str, Any]) -> None:
        super().__init__(params, buffers)
        self._layer = layer
        self._paths = [
            tree.unflatten(tree.structure(values), tree.paths(values)) for values in (params, buffers)
        ]  # trees of names

    def forward(self, *inputs: Tree, key: Tensor | None = None) -> Tree:
        """Applies the layer."""
        params = tree.map(self.get_parameter, self._paths[0])
        buffers = tree.map(self.get_buffer, self._paths[1])
        x = inputs[0] if len(inputs) == 1 else inputs
        y, after = self._layer.apply(params, buffers, x, key=key, train=self.training)
        if self.training:
            for path, leaf in tree.leaves_with_paths(after):
                self.get_buffer(path).copy_(leaf.detach())
        return y
