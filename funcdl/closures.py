"""Objects that are made of functions within functions: how they are pickled, and what they print as.

Python pickles a function by its name, and one that another function returns has none. Where its code stands, in which
module and within which function, and what it closes over describe it fully; so that is pickled, and the code is looked
up again when loading.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pickle
import re
import sys
from collections.abc import Iterator
from types import CellType, CodeType, FunctionType
from typing import Any

import torch
from torch import Tensor

from funcdl import tree

UNSIGNED = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64}


class OfFunctions:
    """A frozen dataclass of functions, which is pickled with them and printed as the call that makes it."""

    def __reduce__(self) -> tuple[Any, ...]:
        seen: dict[FunctionType, _Pickled] = {}
        return type(self), tuple(_pickled(value, seen) for _, value in _fields(self))

    def __copy__(self) -> OfFunctions:
        return self  # nothing in it changes

    def __deepcopy__(self, memo: dict[int, Any]) -> OfFunctions:
        return self

    def __repr__(self) -> str:
        functions = [value for _, value in _fields(self) if isinstance(value, FunctionType)]
        if functions and "<locals>" in functions[-1].__code__.co_qualname:
            return _call(functions)
        shown = [f"{field.name}={_shown(value)}" for field, value in _fields(self) if field.repr]
        return f"{type(self).__name__}({', '.join(shown)})"


def _fields(value: Any) -> list[tuple[dataclasses.Field[Any], Any]]:
    return [(field, getattr(value, field.name)) for field in dataclasses.fields(value)]


# Pickling.


class _Pickled:
    """Stands for a function that has no name; what is loaded is the function."""

    def __init__(self, function: FunctionType, seen: dict[FunctionType, _Pickled]) -> None:
        self.function, self.seen = function, seen

    def __reduce__(self) -> tuple[Any, ...]:
        f = self.function
        state = {
            "defaults": f.__defaults__,
            "keyword_defaults": f.__kwdefaults__,
            "attributes": f.__dict__,
            "closed_over": {name: _content(cell) for name, cell in _cells(f).items()},
        }
        # The state comes after the function is made: it may close over itself.
        return _make, (*_place(f), f.__name__), _pickled(state, self.seen), None, None, _fill


class _Unsigned:
    """Stands for a tensor of a dtype that torch does not pickle, as a key has."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def __reduce__(self) -> tuple[Any, ...]:
        return Tensor.view, (self.tensor.view(UNSIGNED[self.tensor.dtype]), self.tensor.dtype)


def _pickled(value: Any, seen: dict[FunctionType, _Pickled]) -> Any:
    """The value with a `_Pickled` in place of each function in it that pickle cannot find by its name."""

    def replaced(leaf: Any) -> Any:
        if isinstance(leaf, Tensor) and leaf.dtype in UNSIGNED:
            return _Unsigned(leaf)
        if not isinstance(leaf, FunctionType) or _has_name(leaf):
            return leaf
        if leaf not in seen:
            seen[leaf] = _Pickled(leaf, seen)
        return seen[leaf]

    if any(isinstance(leaf, (FunctionType, Tensor)) for leaf in tree.leaves(value)):
        return tree.map(replaced, value)
    return value


def _has_name(f: FunctionType) -> bool:
    try:
        return _found(f.__module__, f.__qualname__) is f
    except (ImportError, AttributeError):
        return False


def _place(f: FunctionType) -> tuple[str, str, int]:
    """Its module, its code's qualified name, and which of the codes of that name it is."""
    module, name = f.__globals__["__name__"], f.__code__.co_qualname
    try:
        codes = _codes(module, name)
    except (ImportError, AttributeError):
        codes = []
    for index, code in enumerate(codes):
        if code is f.__code__:
            return module, name, index
    raise pickle.PicklingError(
        f"cannot pickle the function {name} of {module}, which is not made by a function at the top of that module; "
        "write it, or what makes it, with def at the top of a module"
    )


def _make(module: str, name: str, index: int, called: str) -> FunctionType:
    try:
        code = _codes(module, name)[index]
    except (ImportError, AttributeError, IndexError):
        raise pickle.UnpicklingError(
            f"there is no function {name} in {module} as there was when it was pickled; load it with the version that "
            "saved it"
        ) from None
    cells = tuple(CellType() for _ in code.co_freevars)
    return FunctionType(code, vars(importlib.import_module(module)), called, None, cells)


def _fill(f: FunctionType, state: dict[str, Any]) -> None:
    cells = _cells(f)
    if cells.keys() != state["closed_over"].keys():
        raise pickle.UnpicklingError(
            f"{f.__qualname__} of {f.__module__} closes over {', '.join(cells) or 'nothing'}, and closed over "
            f"{', '.join(state['closed_over']) or 'nothing'} when pickled; load it with the version that saved it"
        )
    f.__defaults__, f.__kwdefaults__ = state["defaults"], state["keyword_defaults"]
    f.__dict__.update(state["attributes"])
    for name, content in state["closed_over"].items():
        if content:
            (cells[name].cell_contents,) = content


def _codes(module: str, name: str) -> list[CodeType]:
    """The codes of that qualified name, which stand within the function that its first part names."""
    outer = inspect.unwrap(_found(module, name.partition(".<locals>.")[0]))
    return [code for code in _within(outer.__code__) if code.co_qualname == name]


def _within(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _within(constant)


def _found(module: str, name: str) -> Any:
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _cells(f: FunctionType) -> dict[str, CellType]:
    return dict(zip(f.__code__.co_freevars, f.__closure__ or (), strict=True))


def _content(cell: CellType) -> tuple[Any, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:  # nothing yet
        return ()


# Printing.


def _call(functions: list[FunctionType]) -> str:
    """The call that returned these functions, as far as they show it: what they close over by its parameters' names."""
    maker = _maker(functions[-1])
    known = _closed_over(functions)
    if maker == "stateless" and callable(known.get("f")):
        return _of_plain_function(known["f"])
    if maker == "parametric":
        of_layer = [f for f in (known.get("init"), known.get("f")) if isinstance(f, FunctionType)]
        if of_layer and "<locals>" in of_layer[-1].__qualname__:
            return _call(of_layer)
    known, helpers = _with_helpers(known, maker)
    name = next((known[key] for key in ("combinator", "owner", "name") if isinstance(known.get(key), str)), maker)
    head, _, written_arguments = name.removesuffix(")").partition("(")
    known, more = _with_helpers(known, head)
    shown = [written_arguments] if written_arguments else []
    hyperparameters = known.get("hyperparameters")
    if isinstance(hyperparameters, dict):
        shown += [f"{key}={_shown(value)}" for key, value in hyperparameters.items()]
    shown += _children(known)
    flat = re.sub(r"\([^()]*\)|\[[^]]*\]", "_", written_arguments)
    positional = len([part for part in flat.split(", ") if part and "=" not in part])
    for key, parameter in list(_parameters([*functions, *helpers, *more], head).items())[positional:]:
        if key not in known or f"{key}=" in written_arguments or _is_default(known[key], parameter):
            continue
        if parameter.kind is parameter.VAR_POSITIONAL:
            shown += map(_shown, known[key])
        else:
            shown.append(f"{key}={_shown(known[key])}")
    return f"{head}({', '.join(shown)})"


def _with_helpers(known: dict[str, Any], maker: str) -> tuple[dict[str, Any], list[FunctionType]]:
    """What is known and what the functions in it know: the maths of an optimizer's part, and what `maker` has made."""
    helpers = [f for key, f in known.items() if isinstance(f, FunctionType) and (key == "update" or _maker(f) == maker)]
    return {**_closed_over(helpers), **known}, helpers


def _maker(f: FunctionType) -> str:
    return f.__code__.co_qualname.partition(".<locals>.")[0]


def _closed_over(functions: list[FunctionType]) -> dict[str, Any]:
    contents = {name: _content(cell) for f in functions for name, cell in _cells(f).items()}
    return {name: content[0] for name, content in contents.items() if content}


def _parameters(functions: list[FunctionType], name: str) -> dict[str, inspect.Parameter]:
    """Those of the maker of that name, which stands in one of the functions' modules or in their package."""
    modules = [f.__globals__["__name__"] for f in functions]
    for module in [*modules, *(module.rpartition(".")[0] for module in modules)]:
        maker = getattr(sys.modules.get(module), name, None)
        if isinstance(maker, FunctionType):
            return dict(inspect.signature(maker).parameters)
    return {}


def _children(known: dict[str, Any]) -> list[str]:
    """The layers of a combinator, those without a name first."""
    children = known.get("children")
    if not isinstance(children, list) or not all(isinstance(child, tuple) and len(child) == 2 for child in children):
        return []
    bare = [_shown(part) for name, part in children if not name or name.isdecimal()]
    of_levels = known.get("levels") if any(not name for name, _ in children) else None
    named = [(name, part) for name, part in children if name and not name.isdecimal()]
    return bare + [f"{name}={_shown(part)}" for name, part in named if of_levels is None or name in of_levels]


def _is_default(value: Any, parameter: inspect.Parameter) -> bool:
    default = parameter.default
    return value is default or (type(value) is type(default) and not isinstance(value, Tensor) and value == default)


def _of_plain_function(f: Any) -> str:
    if isinstance(f, FunctionType) and f.__closure__ is not None and f.__module__.startswith("funcdl."):
        return _call([f])
    if isinstance(f, FunctionType) and f.__module__.startswith("funcdl."):
        return f"{_maker(f)}()"
    if (getattr(f, "__module__", None) or "torch").partition(".")[0] == "torch":
        return f"{getattr(f, '__name__', type(f).__name__)}()"
    return f"stateless({_shown(f)})"


def _shown(value: Any) -> str:
    if isinstance(value, FunctionType) and "<locals>" in value.__qualname__ and value.__module__.startswith("funcdl."):
        return _call([value])
    if isinstance(value, Tensor):
        return repr(value) if value.numel() < 5 else f"<tensor {tuple(value.shape)}>"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {_shown(part)}' for key, part in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    if type(value) is tuple:
        return f"({', '.join(map(_shown, value))}{',' if len(value) == 1 else ''})"
    if callable(value) and not isinstance(value, OfFunctions):
        return getattr(value, "__name__", type(value).__name__)
    return repr(value)
