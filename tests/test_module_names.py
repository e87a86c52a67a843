"""No module is hidden by a function of the same name in its package."""

import ast
import importlib
import inspect
import pkgutil
from types import ModuleType

import pytest

import funcdl

# Their files are named for their one optimizer, and for their one source of data.
EXEMPT = {"funcdl.optim", "funcdl.data"}
PACKAGES = ["funcdl", *(m.name for m in pkgutil.walk_packages(funcdl.__path__, "funcdl.") if m.ispkg)]


def public_names(module):
    """The public functions, classes and constants that a module's own source defines."""
    names = []
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.append(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names += [target.id for target in targets if isinstance(target, ast.Name)]
    return [name for name in names if not name.startswith("_")]


@pytest.mark.parametrize("package", [name for name in PACKAGES if name not in EXEMPT])
def test_only_a_module_with_one_public_name_shares_it(package):
    parent = importlib.import_module(package)
    for module in pkgutil.iter_modules(parent.__path__):
        if module.name.startswith("__"):
            continue
        child = importlib.import_module(f"{package}.{module.name}")
        if not isinstance(getattr(parent, module.name), ModuleType):
            assert public_names(child) == [module.name], f"{child.__name__} is hidden by {package}.{module.name}"
