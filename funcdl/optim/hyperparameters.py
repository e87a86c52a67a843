"""The numbers of an optimizer that may change while it runs: where they live, how to read and how to replace them.

A learning rate in a closure would be a constant of the compiled graph, and a new one a new graph. So each part of an
optimizer keeps its numbers as 0-dim float64 tensors in its state, whatever the dtype of the parameters: float32 would
lose five digits of `1 - 0.999`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Set
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from funcdl import tree
from funcdl.context import in_graph
from funcdl.tree import Tree

Scalar = Float[Tensor, ""]
Schedule = Callable[[Int[Tensor, ""]], Scalar]
Number = float | Tensor | Schedule


class State(NamedTuple):
    """The state of one part; the state of a chain is the tuple of its parts' states.

    It has the same structure whether a number is a float, a tensor or a schedule.
    """

    count: Int[Tensor, ""]  # type: ignore[assignment]  # hides tuple.count; updates done so far, int64
    hyperparameters: dict[str, Scalar]  # float64 on the parameters' device
    memory: dict[str, Tree]  # what the part keeps of past gradients, each with the shapes of the parameters


def get_hyperparameters(state: Tree) -> dict[str, Scalar]:
    """Returns the numbers of an optimizer that may change, by path; scheduled ones as the last update used them.

    >>> from funcdl import optim
    >>> get_hyperparameters(optim.sgd(lr=0.5).init({"w": torch.ones(2)}))
    {'0.weight_decay': tensor(0., dtype=torch.float64), '1.lr': tensor(0.5000, dtype=torch.float64)}
    """
    return {path + name: value for path, part in _parts(state) for name, value in part.hyperparameters.items()}


def replace_hyperparameters(state: Tree, /, replacements: Mapping[str, Any] | None = None, **by_name: Any) -> Tree:
    """Returns `state` with some numbers replaced; nothing is compiled again.

    A number is addressed by its path, as `get_hyperparameters` lists it, or by less: the beginning of the path (or
    nothing) and the name. `lr` is the only `lr` there is; `1.lr` is the only one in part 1. A number that a schedule
    governs is written anew at the start of each update, so replacing it changes nothing that the optimizer does: make
    the optimizer with a float or a tensor to steer it from outside. The values' ranges are not checked.

    Args:
        state: the state of an optimizer, or a stack of such states (one for each member of an ensemble).
        replacements: `{path: value}`, the values Python numbers or 0-dim tensors; for a stack of states also tensors
            of the stack's shape.
        by_name: the same for names without a dot.

    Raises:
        KeyError: the state has no such number. Flags (`nesterov`, `amsgrad`, `maximize`) and a `momentum` of 0 are
            part of the optimizer's structure and cannot be replaced.
        ValueError: a name fits several numbers, or a value has the wrong shape.

    >>> from funcdl import optim
    >>> state = replace_hyperparameters(optim.sgd(lr=0.5).init({"w": torch.ones(2)}), lr=0.1)
    >>> get_hyperparameters(state)["1.lr"]
    tensor(0.1000, dtype=torch.float64)
    """
    places = {
        f"{path}{name}": f"{path}hyperparameters.{name}"
        for path, part in _parts(state)
        for name in part.hyperparameters
    }
    for address, value in {**(replacements or {}), **by_name}.items():
        path = _resolve(address, list(places))
        old = tree.at(state, places[path]).get()
        if callable(value) or not isinstance(value, (int, float, Tensor)):
            raise ValueError(
                f"replace_hyperparameters: {address}={value!r} is neither a number nor a tensor; "
                "a schedule is given to the optimizer when it is made"
            )
        new = torch.as_tensor(value, dtype=old.dtype, device=old.device)
        if new.shape not in ((), old.shape):
            raise ValueError(
                f"replace_hyperparameters: {address} has shape {tuple(new.shape)}; expected a number or "
                f"a tensor of shape {tuple(old.shape)}"
            )
        state = tree.at(state, places[path]).set(new.expand_as(old).clone())
    return state


def number(
    owner: str, name: str, value: Number, low: float = 0.0, high: float = math.inf, *, open: bool = True
) -> Number:
    """Returns `value` if it can be a number of an optimizer: in `[low, high)` (or `[low, high]` unless `open`).

    Only Python numbers are compared with the range; what a tensor or a schedule holds is known when it runs.

    Raises:
        ValueError: it is out of range, a tensor that is not 0-dim, or nothing that gives a number.

    >>> number("sgd", "lr", 0.1)
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
        raise ValueError(f"{owner}: {name}={value!r} is no number; pass a float, a 0-dim tensor or a schedule")
    return value


def whole_number(owner: str, name: str, value: Number, low: int = 1) -> Number:
    """Returns `value` if it can be a number of an optimizer that counts something: an int of at least `low`.

    Only Python numbers are looked at, as by `number`.

    Raises:
        ValueError: it is no int, out of range, a tensor that is not 0-dim, or nothing that gives a number.

    >>> whole_number("multi_steps", "k", 2.5)
    Traceback (most recent call last):
    ValueError: multi_steps: k=2.5 is out of range; expected a whole number, at least 1
    """
    if isinstance(value, (bool, float)):
        raise ValueError(f"{owner}: {name}={value!r} is out of range; expected a whole number, at least {low}")
    return number(owner, name, value, low)


def numbers_of(owner: str, name: str, values: Any, count: int) -> tuple[Any, ...]:
    """Returns `values` as a tuple if they are so many: a tuple, a list, or a tensor or array with one dimension.

    Raises:
        ValueError: they are not.

    >>> numbers_of("scale_by_adam", "betas", 0.9, 2)
    Traceback (most recent call last):
    ValueError: scale_by_adam: betas=0.9 is no tuple of 2; pass them together, in brackets
    """
    single = isinstance(values, Tensor) and values.ndim != 1
    if single or isinstance(values, (str, Mapping, Set)) or not isinstance(values, Collection) or len(values) != count:
        what = f" is a tensor of shape {tuple(values.shape)}," if isinstance(values, Tensor) else f"={values!r} is"
        raise ValueError(f"{owner}: {name}{what} no tuple of {count}; pass them together, in brackets")
    return tuple(values)


def current_value(number: Number, count: Int[Tensor, ""], name: str = "a number") -> Scalar:
    """Returns the number after `count` updates as the state holds it: 0-dim, float64, on the device of `count`.

    Args:
        number: a float, a 0-dim tensor or a schedule.
        count: updates done so far.
        name: what an error calls the number.

    Raises:
        ValueError: the schedule returns something else than one number.

    >>> current_value(lambda step: 0.5 ** step, torch.tensor(2))
    tensor(0.2500, dtype=torch.float64)
    """
    if callable(number):
        number = number(count)
        if not isinstance(number, (int, float)) and (not isinstance(number, Tensor) or number.ndim):
            what = f"shape {tuple(number.shape)}" if isinstance(number, Tensor) else f"type {type(number).__name__}"
            raise ValueError(
                f"{name}: its schedule returned something of {what}, expected a 0-dim tensor; compute one number "
                "from the 0-dim step that the schedule is given"
            )
    if isinstance(number, Tensor):  # a sum is a copy: a state that shares storage with the caller cannot be donated
        return number.to(device=count.device, dtype=torch.float64) + count.new_zeros((), dtype=torch.float64)
    return count.new_full((), number, dtype=torch.float64)


def zero_beside(params: Tree, dtype: torch.dtype = torch.float64) -> Scalar:
    """Returns a 0-dim zero on the device of the parameters.

    It is made from one of them, so that under `vmap` each member has its own. A zero that all members share would come
    out of `vmap` expanded, with a stride of 0, and the first change of it would be another layout and another graph.
    """
    leaf = next(iter(tree.leaves(params)), None)
    return torch.zeros((), dtype=dtype) if leaf is None else leaf.new_zeros((), dtype=dtype)


def once(scalar: Scalar) -> Scalar:
    """Returns `scalar`, and in a compiled step makes it a value that is computed once, before the loops over leaves.

    Inductor would compute `1 - beta ** count` again in the innermost loop of each leaf, for every 16 elements of it. It
    stores what it takes a strided view of, so that is what this function does there.
    """
    return scalar.as_strided((), ()) if in_graph() else scalar


def _parts(state: Tree, path: str = "") -> Iterator[tuple[str, State]]:
    if isinstance(state, State):
        yield path, state
    elif isinstance(state, (tuple, list)):
        names = getattr(state, "_fields", range(len(state)))
        for name, child in zip(names, state, strict=True):
            yield from _parts(child, f"{path}{name}.")
    elif isinstance(state, dict):
        for name, child in state.items():
            yield from _parts(child, f"{path}{name}.")


def _resolve(address: str, paths: list[str]) -> str:
    *start, name = address.split(".")
    fits = [path for path in paths if path == address] or [
        path for path in paths if (keys := path.split("."))[-1] == name and keys[: len(start)] == start
    ]
    if not fits:
        raise KeyError(
            f"replace_hyperparameters: this optimizer has no '{address}' that may change, only "
            f"{', '.join(paths) or 'nothing'}; flags and a momentum of 0 are structure, so make another "
            "optimizer to change them"
        )
    if len(fits) > 1:
        raise ValueError(f"replace_hyperparameters: '{address}' may be any of {', '.join(fits)}; pass one of these")
    return fits[0]
