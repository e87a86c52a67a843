"""The inputs of layers that have several: one tensor, a tuple by position, or a dict by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from funcdl.tree import Tree


def named_inputs(layer: str, x: Tree, names: Sequence[str], required: int = 1) -> dict[str, Any]:
    """Returns the inputs of a layer as `{name: input}`, like Python binds the arguments of `forward` in `torch.nn`.

    Args:
        layer: the name of the layer in error messages.
        x: a tensor (the first input), a tuple or list of the first few inputs, or a dict of inputs by name.
        names: the names of all inputs, in order.
        required: the number of required inputs, which come first.

    >>> named_inputs("gru(8)", (1, 2), ("input", "hx", "lengths"))
    {'input': 1, 'hx': 2}
    """
    if isinstance(x, Tensor):
        inputs: dict[str, Any] = {names[0]: x}
    elif isinstance(x, Mapping):
        inputs = dict(x)
    else:
        inputs = dict(zip(names, x, strict=False))
        if len(x) > len(names):
            raise ValueError(f"{layer}: expected at most {len(names)} inputs ({', '.join(names)}), got {len(x)}")
    wrong = [name for name in inputs if name not in names] + [name for name in names[:required] if name not in inputs]
    if wrong:
        raise ValueError(
            f"{layer}: expected the input{'s' * (required > 1)} {', '.join(names[:required])}"
            f"{' and of ' * (len(names) > required)}{', '.join(names[required:])} any, got {', '.join(inputs)}"
        )
    return inputs
