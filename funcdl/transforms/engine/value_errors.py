"""The error for a function that asks for a tensor's value while it is traced."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from funcdl import _torch

_TORCH_MESSAGES = (
    "SymInt",
    "SymFloat",
    "SymBool",
    "local_scalar_dense",
    "long or byte Variables are valid indices",
    "its data is not allocated yet",
    "numpy() is not supported",
    "A different number of tensors was saved during",  # x[i] in what torch.utils.checkpoint runs again
)


class ValueAskedFor(TypeError):
    """A function asks for a value that is known only when its graph runs."""


@contextmanager
def explain_value_errors(what: str) -> Iterator[None]:
    """Turns what torch raises where a function asks for a tensor's value into a TypeError of one sentence."""
    log = logging.getLogger(_torch.FakeTensorMode.__module__)
    silent, log.disabled = log.disabled, True  # it would write a page for each such error
    try:
        yield
    except (_torch.DataDependentOutput, _torch.DynamicOutputShape) as error:
        raise _asked_for(what, str(error)) from error
    except _torch.GuardOnDataDependent as error:
        raise _asked_for(what, "as a number or a truth value of Python") from error
    except (TypeError, RuntimeError, IndexError) as error:
        if isinstance(error, ValueAskedFor) or any(words in str(error) for words in _TORCH_MESSAGES):
            raise _asked_for(what, str(error).partition("\n")[0]) from error
        raise
    finally:
        log.disabled = silent


def _asked_for(what: str, how: str) -> TypeError:
    return TypeError(
        f"{what}: the function asks for a tensor's value, or for a shape that depends on one ({how}), but a graph is "
        "made before there are values; choose by torch.where, or keep that part outside"
    )


def refuse_unknown_shape(leaf: Any) -> None:
    """Raises ValueAskedFor for a tensor whose sizes depend on a value."""
    if isinstance(leaf, Tensor) and not all(isinstance(size, int) for size in leaf.shape):
        raise ValueAskedFor(f"a result of shape {tuple(leaf.shape)}")
