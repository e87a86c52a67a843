"""The shapes of a function's results, without computing them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch

from funcdl import _torch, tree
from funcdl.transforms.engine.trace import without_data
from funcdl.transforms.engine.value_errors import explain_value_errors, refuse_unknown_shape

P = ParamSpec("P")
R = TypeVar("R")


def eval_shape(f: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Returns what `f(*args, **kwargs)` would return, as tensors without data, and computes nothing.

    Raises:
        TypeError: `f` asks for the value of a tensor that it is given or computes.

    Source: `jax.eval_shape`; torch's fake tensors. With a torch that has not got them as funcdl knows them, `f` runs on
    the meta device, where what it closes over has to be too.

    >>> eval_shape(lambda x: x @ x.T, torch.ones(1000, 3)).shape
    torch.Size([1000, 1000])
    """
    if missing := _torch.missing_to_trace():
        return _on_meta_device(missing, f, args, kwargs)
    leaves, structure = tree.flatten((args, kwargs))
    with explain_value_errors("eval_shape"), without_data(leaves, closed_over_values=True) as fakes:
        fake_args, fake_kwargs = tree.unflatten(structure, fakes)
        results = f(*fake_args, **fake_kwargs)
        for leaf in tree.leaves(results):
            refuse_unknown_shape(leaf)
        return results


def _on_meta_device(missing: str, f: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    meta_args, meta_kwargs = tree.map(lambda leaf: torch.empty_like(leaf, device="meta"), (args, kwargs))
    try:
        with torch.device("meta"):
            return f(*meta_args, **meta_kwargs)
    except (RuntimeError, NotImplementedError) as error:
        if "meta" not in str(error):
            raise
        raise TypeError(
            f"eval_shape: this torch lacks {missing}, so the function runs on the meta device, where this is not "
            f"possible: {str(error).partition(chr(10))[0]}"
        ) from error
