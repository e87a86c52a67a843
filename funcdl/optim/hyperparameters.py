"""Hyperparameters: checking them, and computing their values at each update.

If a function closes over a learning rate, it is a constant of the compiled graph, and a new rate needs a new graph.
Each transformation therefore keeps its hyperparameters in its state, as 0-dim float64 tensors for parameters of any
dtype: float32 would lose five digits of `1 - 0.999`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Set
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from funcdl.context import in_graph

Scalar = Float[Tensor, ""]
Count = Int[Tensor, ""]  # updates done so far
Schedule = Callable[[Count], Scalar]
ScalarOrSchedule = float | Tensor | Schedule


def check_hyperparameter(
    owner: str, name: str, value: ScalarOrSchedule, low: float = 0.0, high: float = math.inf, *, open: bool = True
) -> ScalarOrSchedule:
    """Returns `value` if it is a valid hyperparameter in `[low, high)` (or in `[low, high]` with `open=False`).

    Only Python numbers are compared with the range; the values of tensors and schedules are not known yet.

    Raises:
        ValueError: it is out of range, a tensor that is not 0-dim, or neither a number, a tensor nor a schedule.

    >>> check_hyperparameter("sgd", "lr", 0.1)
    0.1
    """
    if isinstance(value, Tensor):
        if value.ndim:
            raise ValueError(
                f"{owner}: {name} is a tensor of shape {tuple(value.shape)}, expected a 0-dim one; "
                "for one value per member of an ensemble, make the states under vmap"
            )
        if value.is_complex():
            raise ValueError(f"{owner}: {name} is a tensor of dtype {value.dtype}, expected a real one")
    elif isinstance(value, (int, float)):
        if not (low <= value < high or (value == high and not open)):
            raise ValueError(
                f"{owner}: {name}={value} is out of range; expected a number in "
                f"[{low:g}, {high:g}{')' if open else ']'}"
            )
    elif not callable(value):
        raise ValueError(f"{owner}: {name}={value!r} is not a number; pass a float, a 0-dim tensor or a schedule")
    return value


def check_nonnegative(owner: str, **values: ScalarOrSchedule) -> dict[str, ScalarOrSchedule]:
    """Returns hyperparameters by name if each is at least 0; see `check_hyperparameter`.

    >>> check_nonnegative("sgd", lr=0.1, momentum=-0.9)
    Traceback (most recent call last):
    ValueError: sgd: momentum=-0.9 is out of range; expected a number in [0, inf)
    """
    return {name: check_hyperparameter(owner, name, value) for name, value in values.items()}


def check_betas(owner: str, betas: tuple[ScalarOrSchedule, ...], count: int = 2) -> dict[str, ScalarOrSchedule]:
    """Returns decay rates of moving averages as `beta1`, `beta2`, ... if each is in [0, 1).

    >>> check_betas("scale_by_adam", (0.9, 0.999))
    {'beta1': 0.9, 'beta2': 0.999}
    """
    values = check_tuple(owner, "betas", betas, count)
    return {
        f"beta{index + 1}": check_hyperparameter(owner, f"betas[{index}]", value, high=1.0)
        for index, value in enumerate(values)
    }


def check_integer(owner: str, name: str, value: ScalarOrSchedule, low: int = 1) -> ScalarOrSchedule:
    """Returns `value` if it is a valid hyperparameter that counts something: an int of at least `low`.

    Only Python numbers are compared with the range, as in `check_hyperparameter`.

    Raises:
        ValueError: it is not an int, out of range, a tensor that is not 0-dim, or neither a number, a tensor nor a
            schedule.

    >>> check_integer("multi_steps", "k", 2.5)
    Traceback (most recent call last):
    ValueError: multi_steps: k=2.5 is out of range; expected an integer, at least 1
    """
    if isinstance(value, (bool, float)):
        raise ValueError(f"{owner}: {name}={value!r} is out of range; expected an integer, at least {low}")
    return check_hyperparameter(owner, name, value, low)


def check_tuple(owner: str, name: str, values: Any, length: int) -> tuple[Any, ...]:
    """Returns `values` as a tuple if it has that length: a tuple, a list, or a tensor or array with one dimension.

    Raises:
        ValueError: it is something else or has another length.

    >>> check_tuple("scale_by_adam", "betas", 0.9, 2)
    Traceback (most recent call last):
    ValueError: scale_by_adam: betas=0.9 is not a tuple of 2; pass them together, in brackets
    """
    single = isinstance(values, Tensor) and values.ndim != 1
    if single or isinstance(values, (str, Mapping, Set)) or not isinstance(values, Collection) or len(values) != length:
        what = f" is a tensor of shape {tuple(values.shape)}," if isinstance(values, Tensor) else f"={values!r} is"
        raise ValueError(f"{owner}: {name}{what} not a tuple of {length}; pass them together, in brackets")
    return tuple(values)


def current_value(value: ScalarOrSchedule, count: Count, name: str = "a hyperparameter") -> Scalar:
    """Returns a hyperparameter's value after `count` updates: 0-dim, float64, on the device of `count`.

    Args:
        value: a float, a 0-dim tensor or a schedule.
        count: updates done so far.
        name: the name of the hyperparameter in error messages.

    Raises:
        ValueError: the schedule does not return a single number.

    >>> current_value(lambda step: 0.5 ** step, torch.tensor(2))
    tensor(0.2500, dtype=torch.float64)
    """
    if callable(value):
        value = value(count)
        if not isinstance(value, (int, float)) and (not isinstance(value, Tensor) or value.ndim):
            what = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"type {type(value).__name__}"
            raise ValueError(
                f"{name}: its schedule returned something of {what}, expected a 0-dim tensor; compute one number "
                "from the 0-dim step that the schedule is given"
            )
    if isinstance(value, Tensor):  # the sum makes a copy, because a state that shares memory cannot be donated
        return value.to(device=count.device, dtype=torch.float64) + count.new_zeros((), dtype=torch.float64)
    return count.new_full((), value, dtype=torch.float64)


def materialize(scalar: Scalar) -> Scalar:
    """Returns `scalar`, and makes a compiled step compute it only once, before the loops over the parameters.

    Otherwise Inductor would inline a scalar such as `1 - beta ** count` into the innermost loop over each parameter and
    recompute it for every 16 elements. Inductor stores the base of a strided view, so this function returns one.
    """
    return scalar.as_strided((), ()) if in_graph() else scalar
