"""One network with a hidden layer, written in four ways: their code, their sizes, and their equal outputs."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

from funcdl import interop, nn, random, tree

from ..lesson import Lesson


def sequence(hidden: int) -> nn.Layer:
    """The layers one after the other, numbered from 0."""
    return nn.serial(nn.linear(hidden), nn.tanh(), nn.linear(1))


def named(hidden: int) -> nn.Layer:
    """The same layers with names."""
    return nn.serial(hidden_linear=nn.linear(hidden), hidden_activation=nn.tanh(), output_linear=nn.linear(1))


def own_layer(hidden: int) -> nn.Layer:
    """A layer of one's own: two functions, where torch has a class with two methods."""
    into, out = nn.linear(hidden), nn.linear(1)

    def init(key: Tensor, x: Tensor) -> tuple[tree.Tree, tree.Tree]:
        into_key, out_key = random.split(key).unbind()
        example = torch.empty(1, hidden, device="meta")
        return {"hidden_linear": into.init(into_key, x)[0], "output_linear": out.init(out_key, example)[0]}, {}

    def apply(params: tree.Tree, buffers: tree.Tree, x: Tensor, **mode: Any) -> tuple[Tensor, tree.Tree]:
        return out(params["output_linear"], torch.tanh(into(params["hidden_linear"], x))), buffers

    return nn.Layer(init, apply)


def function(hidden: int) -> nn.Layer:
    """A plain function, torch.tanh, in the place of the layer that has no parameters."""
    return nn.serial(nn.linear(hidden), torch.tanh, nn.linear(1))


WAYS = {"sequence": (sequence, 11, "34"), "named": (named, 12, "37")}
WAYS |= {"own_layer": (own_layer, 13, "40"), "function": (function, 14, "43")}


def compare_notations(lesson: Lesson, key: Tensor, x: Tensor) -> None:
    """The code of each way with its number of parameters, and that with the same weights they are one function."""
    for name, (network, hidden, figure) in WAYS.items():
        code = f"{inspect.getsource(network).rstrip()}\n\nparameters with {hidden} hidden units: 3 * {hidden} + 1"
        lesson.show(f"numel_{name}", code, tree.size(network(hidden).init(key, x)[0]), figure)
    leaves = interop.to_state_dict(sequence(13).init(key, x)[0])
    names = ["0.weight", "0.bias", "2.weight", "2.bias"]
    lesson.show("names", "names in a sequence", [name for name in names if name in leaves], "0.weight 0.bias ...")
    shapes = [list(leaves[name].shape) for name in names]
    lesson.show("shapes", "their shapes, with 13 hidden units", shapes, "(13, 1) (13) (1, 13) (1)")
    given = sorted(interop.to_state_dict(named(8).init(key, x)[0]))
    lesson.show("given_names", "names as given", given, "hidden_linear.weight ...")
    outputs = torch.stack([output_of(name, key, x[:4])[:, 0] for name in WAYS])
    title = "outputs for the first 4 readings, with the same weights in each: a row for each way"
    lesson.show("outputs", title, outputs)
    lesson.show("equal", "the four ways have equal outputs", all(torch.equal(row, outputs[0]) for row in outputs))
    lesson.remark(
        "The notes announce three ways to write a network and show one. These are four, and all are one network."
    )


def output_of(way: str, key: Tensor, x: Tensor, hidden: int = 8) -> Tensor:
    """The output of the network as it is written in a way, with the weights that the key draws for the sequence."""
    drawn, _ = sequence(hidden).init(key, x)
    by_name = {"hidden_linear": drawn["0"], "output_linear": drawn["2"]}
    weights = {"named": {**by_name, "hidden_activation": {}}, "own_layer": by_name}
    return WAYS[way][0](hidden)(weights.get(way, drawn), x)
