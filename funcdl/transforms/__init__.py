"""Functions of functions: derivatives, batching, compilation and loops.

Compile outside, transform inside: `jit(vmap(grad(f)))`.
"""

from funcdl.transforms.derivatives import grad, hessian_vector_product, per_sample_grad, value_and_grad, vmap
from funcdl.transforms.jit import jit
from funcdl.transforms.scan import scan
from funcdl.transforms.tracing import eval_shape

__all__ = [
    "eval_shape",
    "grad",
    "hessian_vector_product",
    "jit",
    "per_sample_grad",
    "scan",
    "value_and_grad",
    "vmap",
]
