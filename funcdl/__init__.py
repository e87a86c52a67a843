"""funcdl: a pure-functional, JAX-style deep-learning library on PyTorch.

Everything that a computation depends on is an argument, and everything that it changes is a result: models are pure
functions of parameter trees, optimizers are pure update functions, randomness comes from keys, and a whole training
step compiles to one graph.

Subpackages and functions are imported when they are first used, so that a command line, or a script that needs only
one of them, starts quickly.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from funcdl import data, interop, losses, metrics, models, nn, optim, random, testing, train, transforms, tree
    from funcdl.transforms import (
        eval_shape,
        grad,
        hessian_vector_product,
        jit,
        per_sample_grad,
        scan,
        value_and_grad,
        vmap,
    )

__version__ = "0.1.0"

__all__ = [
    "__version__",
    "data",
    "eval_shape",
    "grad",
    "hessian_vector_product",
    "interop",
    "jit",
    "losses",
    "metrics",
    "models",
    "nn",
    "optim",
    "per_sample_grad",
    "random",
    "scan",
    "testing",
    "train",
    "transforms",
    "tree",
    "value_and_grad",
    "vmap",
]

_TRANSFORMS = {
    "eval_shape",
    "grad",
    "hessian_vector_product",
    "jit",
    "per_sample_grad",
    "scan",
    "value_and_grad",
    "vmap",
}


def __getattr__(name: str) -> Any:
    """Imports a public name at its first use (PEP 562); later uses find it in the module."""
    if name not in __all__:
        raise AttributeError(f"module 'funcdl' has no attribute '{name}'")
    value = (
        getattr(import_module("funcdl.transforms"), name) if name in _TRANSFORMS else import_module(f"funcdl.{name}")
    )
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
