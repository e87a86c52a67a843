"""Functions of functions: derivatives, batching, compilation and loops.

Compile outside, transform inside: `jit(vmap(grad(f)))`.
"""

from funcdl.transforms.autodiff import grad, hessian_vector_product, per_sample_grad, value_and_grad
from funcdl.transforms.batching import vmap
from funcdl.transforms.compilation import jit
from funcdl.transforms.engine.backend import missing_compiler
from funcdl.transforms.loops import scan
from funcdl.transforms.shapes import eval_shape

__all__ = [
    "eval_shape",
    "grad",
    "hessian_vector_product",
    "jit",
    "missing_compiler",
    "per_sample_grad",
    "scan",
    "value_and_grad",
    "vmap",
]
