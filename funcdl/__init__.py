"""funcdl: a pure-functional, JAX-style deep-learning library on PyTorch.

Everything a computation depends on is an argument, everything it changes is a result: models are pure functions of
parameter trees, optimizers are pure update functions, randomness comes from keys, and a whole training step compiles
to one graph.
"""

from funcdl import data, interop, losses, metrics, models, nn, optim, random, train, tree
from funcdl.transforms import eval_shape, grad, hessian_vector_product, jit, per_sample_grad, scan, value_and_grad, vmap

__all__ = [
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
    "train",
    "tree",
    "value_and_grad",
    "vmap",
]
