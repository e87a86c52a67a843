"""One network with a hidden layer in four notations: the sizes and the names of their parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import funcdl as fd
from funcdl import nn, random, tree

from ..lesson import Lesson


def own_layer(hidden: int) -> nn.Layer:
    """The same as a layer of one's own: where torch has a subclass of `nn.Module`, here are two functions."""
    into, out = nn.linear(hidden), nn.linear(1)

    def init(key: Tensor, x: Tensor) -> tuple[tree.Tree, tree.Tree]:
        into_key, out_key = random.split(key).unbind()
        hidden_example = torch.empty(1, hidden, device="meta")
        return {"hidden_linear": into.init(into_key, x)[0], "output_linear": out.init(out_key, hidden_example)[0]}, {}

    def apply(params: tree.Tree, buffers: tree.Tree, x: Tensor, **mode: Any) -> tuple[Tensor, tree.Tree]:
        return out(params["output_linear"], torch.tanh(into(params["hidden_linear"], x))), buffers

    return nn.Layer(init, apply)


def compare_notations(lesson: Lesson, network: Callable[[int], nn.Layer], key: Tensor, x: Tensor) -> None:
    """The network written as a sequence, with names, as a layer of one's own, and with a plain function inside."""
    notations = {
        "sequence": nn.serial(nn.linear(11), nn.tanh(), nn.linear(1)),
        "named": network(12),
        "own layer": own_layer(13),
        "function": nn.serial(nn.linear(14), torch.tanh, nn.linear(1)),
    }
    for (name, model), figure in zip(notations.items(), ("34", "37", "40", "43"), strict=True):
        size = tree.size(model.init(key, x)[0])
        lesson.show(f"numel_{name.replace(' ', '_')}", f"parameters of the {name}: 3 hidden + 1", size, figure)
    thirteen = nn.serial(nn.linear(13), nn.tanh(), nn.linear(1)).init(key, x)[0]
    leaves = fd.interop.to_state_dict(thirteen)
    names = ["0.weight", "0.bias", "2.weight", "2.bias"]
    lesson.show("names", "names in a sequence", [name for name in names if name in leaves], "0.weight 0.bias ...")
    shapes = [tuple(leaves[name].shape) for name in names]
    lesson.show("shapes", "their shapes, 13 hidden", [list(s) for s in shapes], "(13, 1) (13) (1, 13) (1)")
    named = sorted(fd.interop.to_state_dict(network(8).init(key, x)[0]))
    lesson.show("given_names", "names as given", named, "hidden_linear.weight ...")
    lesson.remark(
        "The notes announce three notations and show one; a sequence, named or not, a layer of one's own, a function."
    )
