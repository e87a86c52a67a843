"""`eval_shape` finds the shapes of a function's results without computing them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch

from funcdl import _torch, tree
from funcdl.transforms.engine.trace import fake_tensors
from funcdl.transforms.engine.value_errors import explain_value_errors, refuse_unknown_shape

P = ParamSpec("P")
R = TypeVar("R")


def eval_shape(f: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Returns the results of `f(*args, **kwargs)` as tensors that have shapes and dtypes but no data.

    Raises:
        TypeError: `f` needs the value of a tensor.

    Source: `jax.eval_shape`, by torch's fake tensors. With a torch that lacks the private names that these need, `f`
    runs on the meta device; what it closes over has to be on that device, too.

    >>> eval_shape(lambda x: x @ x.T, torch.ones(1000, 3)).shape
    torch.Size([1000, 1000])
    """
    if missing := _torch.missing_to_trace():
        return _on_meta_device(missing, f, args, kwargs)
    leaves, structure = tree.flatten((args, kwargs))
    with explain_value_errors("eval_shape"), fake_tensors(leaves, closed_over_values=True) as fakes:
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
            f"eval_shape: this torch lacks {missing}, so the function runs on the meta device, which fails: "
            f"{str(error).partition(chr(10))[0]}"
        ) from error
