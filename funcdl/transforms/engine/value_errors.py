"""The error for a function that needs the value of a tensor while it is traced."""

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
    "A different number of tensors was saved during",  # x[i] inside torch.utils.checkpoint
)


class DataDependentError(TypeError):
    """A traced function needs a value that is known only when its graph runs."""


@contextmanager
def explain_value_errors(what: str) -> Iterator[None]:
    """Context manager that turns torch's errors for data-dependent values into a TypeError of one sentence."""
    log = logging.getLogger(_torch.FakeTensorMode.__module__)
    silent, log.disabled = log.disabled, True  # it logs a page for each such error
    try:
        yield
    except (_torch.DataDependentOutput, _torch.DynamicOutputShape) as error:
        raise _data_dependent_error(what, str(error)) from error
    except _torch.GuardOnDataDependent as error:
        raise _data_dependent_error(what, "as a number or bool of Python") from error
    except (TypeError, RuntimeError, IndexError) as error:
        if isinstance(error, DataDependentError) or any(words in str(error) for words in _TORCH_MESSAGES):
            raise _data_dependent_error(what, str(error).partition("\n")[0]) from error
        raise
    finally:
        log.disabled = silent


def _data_dependent_error(what: str, how: str) -> TypeError:
    return TypeError(
        f"{what}: the function needs a tensor's value, or a shape that depends on one ({how}), but tensors have no "
        "values while a graph is traced; use torch.where, or move that part outside"
    )


def refuse_unknown_shape(leaf: Any) -> None:
    """Raises DataDependentError if `leaf` is a tensor whose shape depends on a value."""
    if isinstance(leaf, Tensor) and not all(isinstance(size, int) for size in leaf.shape):
        raise DataDependentError(f"a result of shape {tuple(leaf.shape)}")
