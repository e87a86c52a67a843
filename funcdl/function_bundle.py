"""`FunctionBundle`, the base class of layers, optimizers and metrics: dataclasses of functions, which it can pickle.

Python pickles a function by its name, which does not work for a function that another function returns. Here such a
function is pickled as the location of its code (the module and the enclosing function) and the values that it closes
over. The code itself is looked up again when the pickle is loaded.
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

SIGNED_DTYPES = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64}


class FunctionBundle:
    """Base class of a frozen dataclass of functions. It can be pickled, and is printed as its constructor call."""

    def __reduce__(self) -> tuple[Any, ...]:
        seen: dict[FunctionType, _PickledFunction] = {}
        return type(self), tuple(_to_picklable(value, seen) for _, value in _fields(self))

    def __copy__(self) -> FunctionBundle:
        return self  # it is immutable

    def __deepcopy__(self, memo: dict[int, Any]) -> FunctionBundle:
        return self

    def __repr__(self) -> str:
        functions = [value for _, value in _fields(self) if isinstance(value, FunctionType)]
        if functions and "<locals>" in functions[-1].__code__.co_qualname:
            return _constructor_call(functions)
        parts = [f"{field.name}={_format(value)}" for field, value in _fields(self) if field.repr]
        return f"{type(self).__name__}({', '.join(parts)})"


def _fields(value: Any) -> list[tuple[dataclasses.Field[Any], Any]]:
    return [(field, getattr(value, field.name)) for field in dataclasses.fields(value)]


# Pickling.


class _PickledFunction:
    """Pickles a function that cannot be imported by its name; loading returns the function."""

    def __init__(self, function: FunctionType, seen: dict[FunctionType, _PickledFunction]) -> None:
        self.function, self.seen = function, seen

    def __reduce__(self) -> tuple[Any, ...]:
        f = self.function
        state = {
            "defaults": f.__defaults__,
            "keyword_defaults": f.__kwdefaults__,
            "attributes": f.__dict__,
            "closed_over": {name: _cell_contents(cell) for name, cell in _closure_cells(f).items()},
        }
        # The state is set after the function is created, because a function may close over itself.
        return _make_function, (*_locate(f), f.__name__), _to_picklable(state, self.seen), None, None, _fill_closure


class _PickledUnsigned:
    """Pickles a tensor of an unsigned dtype, such as a key, which torch cannot pickle."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def __reduce__(self) -> tuple[Any, ...]:
        return Tensor.view, (self.tensor.view(SIGNED_DTYPES[self.tensor.dtype]), self.tensor.dtype)


def _to_picklable(value: Any, seen: dict[FunctionType, _PickledFunction]) -> Any:
    """Returns `value` with everything that pickle does not support replaced; it may be a tree."""

    def replaced(leaf: Any) -> Any:
        if isinstance(leaf, Tensor) and leaf.dtype in SIGNED_DTYPES:
            return _PickledUnsigned(leaf)
        if not isinstance(leaf, FunctionType) or _is_importable(leaf):
            return leaf
        if leaf not in seen:
            seen[leaf] = _PickledFunction(leaf, seen)
        return seen[leaf]

    if any(isinstance(leaf, (FunctionType, Tensor)) for leaf in tree.leaves(value)):
        return tree.map(replaced, value)
    return value


def _is_importable(f: FunctionType) -> bool:
    try:
        return _look_up(f.__module__, f.__qualname__) is f
    except (ImportError, AttributeError):
        return False


def _locate(f: FunctionType) -> tuple[str, str, int]:
    """Returns a function's module, the qualified name of its code, and the index among code objects of that name."""
    module, name = f.__globals__["__name__"], f.__code__.co_qualname
    try:
        codes = _code_objects(module, name)
    except (ImportError, AttributeError):
        codes = []
    for index, code in enumerate(codes):
        if code is f.__code__:
            return module, name, index
    raise pickle.PicklingError(
        f"cannot pickle the function {name} of {module}, because it was not defined inside a function at the top level "
        "of that module; define it, or the function that returns it, with def at the top level of a module"
    )


def _make_function(module: str, name: str, index: int, f_name: str) -> FunctionType:
    try:
        code = _code_objects(module, name)[index]
    except (ImportError, AttributeError, IndexError):
        raise pickle.UnpicklingError(
            f"there is no function {name} in {module} any more; load it with the version that saved it"
        ) from None
    cells = tuple(CellType() for _ in code.co_freevars)
    return FunctionType(code, vars(importlib.import_module(module)), f_name, None, cells)


def _fill_closure(f: FunctionType, state: dict[str, Any]) -> None:
    cells = _closure_cells(f)
    if cells.keys() != state["closed_over"].keys():
        raise pickle.UnpicklingError(
            f"{f.__qualname__} of {f.__module__} closes over {', '.join(cells) or 'nothing'}, but closed over "
            f"{', '.join(state['closed_over']) or 'nothing'} when pickled; load it with the version that saved it"
        )
    f.__defaults__, f.__kwdefaults__ = state["defaults"], state["keyword_defaults"]
    f.__dict__.update(state["attributes"])
    for name, content in state["closed_over"].items():
        if content:
            (cells[name].cell_contents,) = content


def _code_objects(module: str, name: str) -> list[CodeType]:
    """Returns the code objects with a qualified name, in the top-level function that the name begins with."""
    outer = inspect.unwrap(_look_up(module, name.partition(".<locals>.")[0]))
    return [code for code in _nested_code(outer.__code__) if code.co_qualname == name]


def _nested_code(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _nested_code(constant)


def _look_up(module: str, name: str) -> Any:
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _closure_cells(f: FunctionType) -> dict[str, CellType]:
    return dict(zip(f.__code__.co_freevars, f.__closure__ or (), strict=True))


def _cell_contents(cell: CellType) -> tuple[Any, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:  # an empty cell
        return ()


# Printing.


def _constructor_call(functions: list[FunctionType]) -> str:
    """Reconstructs the call that returned these functions.

    The arguments are found among the variables that the functions close over, by the names of the parameters.
    """
    constructor = _constructor_name(functions[-1])
    variables = _free_variables(functions)
    if constructor == "stateless" and callable(variables.get("f")):
        return _stateless_call(variables["f"])
    if constructor == "parametric":
        functions_of_layer = [f for f in (variables.get("init"), variables.get("f")) if isinstance(f, FunctionType)]
        if functions_of_layer and "<locals>" in functions_of_layer[-1].__qualname__:
            return _constructor_call(functions_of_layer)
    variables, helpers = _with_helpers(variables, constructor)
    names = [variables.get(key) for key in ("combinator", "owner", "name")]
    name = next((name for name in names if isinstance(name, str)), constructor)
    head, _, written_arguments = name.removesuffix(")").partition("(")
    variables, more = _with_helpers(variables, head)
    parts = [written_arguments] if written_arguments else []
    hyperparameters = variables.get("hyperparameters")
    if isinstance(hyperparameters, dict):
        parts += [f"{key}={_format(value)}" for key, value in hyperparameters.items()]
    parts += _children(variables)
    flat = re.sub(r"\([^()]*\)|\[[^]]*\]", "_", written_arguments)
    positional = len([part for part in flat.split(", ") if part and "=" not in part])
    for key, parameter in list(_parameters([*functions, *helpers, *more], head).items())[positional:]:
        if key not in variables or f"{key}=" in written_arguments or _is_default(variables[key], parameter):
            continue
        if parameter.kind is parameter.VAR_POSITIONAL:
            parts += map(_format, variables[key])
        else:
            parts.append(f"{key}={_format(variables[key])}")
    return f"{head}({', '.join(parts)})"


def _with_helpers(variables: dict[str, Any], constructor: str) -> tuple[dict[str, Any], list[FunctionType]]:
    """Adds the variables of helper functions: an optimizer's update rule, and functions of the same constructor."""
    helpers = [
        f
        for key, f in variables.items()
        if isinstance(f, FunctionType) and (key == "update" or _constructor_name(f) == constructor)
    ]
    return {**_free_variables(helpers), **variables}, helpers


def _constructor_name(f: FunctionType) -> str:
    return f.__code__.co_qualname.partition(".<locals>.")[0]


def _free_variables(functions: list[FunctionType]) -> dict[str, Any]:
    contents = {name: _cell_contents(cell) for f in functions for name, cell in _closure_cells(f).items()}
    return {name: content[0] for name, content in contents.items() if content}


def _parameters(functions: list[FunctionType], name: str) -> dict[str, inspect.Parameter]:
    """Returns the parameters of the constructor of that name, searched for in the functions' modules and packages."""
    modules = [f.__globals__["__name__"] for f in functions]
    for module in [*modules, *(module.rpartition(".")[0] for module in modules)]:
        constructor = getattr(sys.modules.get(module), name, None)
        if isinstance(constructor, FunctionType):
            return dict(inspect.signature(constructor).parameters)
    return {}


def _children(variables: dict[str, Any]) -> list[str]:
    """Formats the layers of a combinator, those without a name first."""
    children = variables.get("children")
    if not isinstance(children, list) or not all(isinstance(child, tuple) and len(child) == 2 for child in children):
        return []
    bare = [_format(part) for name, part in children if not name or name.isdecimal()]
    of_levels = variables.get("levels") if any(not name for name, _ in children) else None
    named = [(name, part) for name, part in children if name and not name.isdecimal()]
    return bare + [f"{name}={_format(part)}" for name, part in named if of_levels is None or name in of_levels]


def _is_default(value: Any, parameter: inspect.Parameter) -> bool:
    default = parameter.default
    return value is default or (type(value) is type(default) and not isinstance(value, Tensor) and value == default)


def _stateless_call(f: Any) -> str:
    if isinstance(f, FunctionType) and f.__closure__ is not None and f.__module__.startswith("funcdl."):
        return _constructor_call([f])
    if isinstance(f, FunctionType) and f.__module__.startswith("funcdl."):
        return f"{_constructor_name(f)}()"
    if (getattr(f, "__module__", None) or "torch").partition(".")[0] == "torch":
        return f"{getattr(f, '__name__', type(f).__name__)}()"
    return f"stateless({_format(f)})"


def _format(value: Any) -> str:
    if isinstance(value, FunctionType) and "<locals>" in value.__qualname__ and value.__module__.startswith("funcdl."):
        return _constructor_call([value])
    if isinstance(value, Tensor):
        return repr(value) if value.numel() < 5 else f"<tensor {tuple(value.shape)}>"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {_format(part)}' for key, part in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_format, value))}]"
    if type(value) is tuple:
        return f"({', '.join(map(_format, value))}{',' if len(value) == 1 else ''})"
    if callable(value) and not isinstance(value, FunctionBundle):
        return getattr(value, "__name__", type(value).__name__)
    return repr(value)
