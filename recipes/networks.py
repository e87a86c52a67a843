"""A network in a lesson: its layers, the shapes that go through them, and its parameters by name."""

from __future__ import annotations

import contextlib
import io

from funcdl import nn, random, tree
from funcdl.tree import Tree

from .lesson import Lesson


def show_network(lesson: Lesson, model: nn.Layer, x: Tree, shapes: str = "", names: str = "", size: str = "") -> None:
    """Shows what torch's `print(net)` does, each layer with the shape of its output, and the named parameters.

    Args:
        lesson: gets the lines "network", "network_shapes", "network_parameters" and "network_size".
        model: the network.
        x: an example of its input; only shapes and dtypes are read.
        shapes: the tutorial's shapes.
        names: its names.
        size: its number of parameters.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its table
        rows = nn.summary(model, x)
    lesson.show("network", "print(model)", str(model))
    table = [[row.path, row.kind, str(row.output), row.parameters] for row in rows if row.path]
    lesson.show("network_shapes", "layer by layer: name, kind, shape of its output, parameters", table, shapes)
    params, _ = model.init(random.key(0, device="meta"), tree.map(lambda leaf: leaf.to("meta"), x))
    parameters = [[name, str(tuple(leaf.shape))] for name, leaf in tree.leaves_with_paths(params)]
    lesson.show("network_parameters", "the parameters, by name and shape", parameters, names)
    lesson.show("network_size", "number of parameters in all", tree.size(params), size)
