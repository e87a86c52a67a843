"""The network that follows a wave with its state, and the picture of what it says."""

from __future__ import annotations

from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from funcdl import nn, random, tree

from .. import pictures
from ..axes import heading, legend_below


def network(hidden: int) -> nn.Layer:
    """Points (1, time, 1) in, numbers of that shape out; the state at the last of them is its buffer."""
    rnn, out = nn.rnn(hidden), nn.linear(1)

    def init(key: Tensor, x: Tensor) -> tuple[tree.Tree, tree.Tree]:
        rnn_key, out_key = random.split(key).unbind()
        state = torch.zeros(1, hidden, device=key.device)
        params = {"rnn": rnn.init(rnn_key, x[0])[0], "out": out.init(out_key, state)[0]}
        return params, {"state": state}

    def apply(params: tree.Tree, buffers: tree.Tree, x: Tensor, **mode: Any) -> tuple[Tensor, tree.Tree]:
        states, last = rnn(params["rnn"], {"input": x[0], "hx": buffers["state"]})
        return out(params["out"], states).unsqueeze(0), {"state": last}

    return nn.Layer(init, apply)


def picture(angles: Tensor, before: Tensor, after: Tensor) -> Figure:
    """The sine, the cosine, and what the network says along a wave, before the first step and after the last."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    heading(figure, "The network learns to tell the cosine from the sine and its own state")
    panels = zip(figure.subplots(1, 2, sharey=True), (before, after), ("before training", "after it"), strict=True)
    for axes, given, title in panels:
        axes.plot(angles, angles.sin(), "--", color=pictures.GRAY, label="sine (input)")
        axes.plot(angles, angles.cos(), "-", color=pictures.BLUE, label="cosine (target)")
        axes.plot(angles, given, "o", color=pictures.ORANGE, label="network", markersize=4)
        axes.set(xlabel="angle", title=title)
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("value")
    legend_below(figure)
    return figure
