"""Muon: steps along the nearest orthogonal matrix to an average of the gradient, for parameters that are matrices."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.hyperparameters import Count, Scalar, ScalarOrSchedule, check_nonnegative
from funcdl.optim.learning_rate import scale_by_learning_rate
from funcdl.optim.momentum import average_gradients
from funcdl.optim.safe_math import safe_norm
from funcdl.optim.transformation import Transformation, chain
from funcdl.optim.update_rule import Hyper, restrict_to, stateless
from funcdl.optim.weight_decay import add_decayed_weights
from funcdl.tree import Tree

_RATIOS = {
    "original": lambda rows, columns: math.sqrt(max(1, rows / max(1, columns))),
    "match_rms_adamw": lambda rows, columns: 0.2 * math.sqrt(max(rows, columns)),
    "spectral_unclamped": lambda rows, columns: math.sqrt(rows / max(1, columns)),
}


def muon(
    lr: ScalarOrSchedule = 1e-3,
    weight_decay: ScalarOrSchedule = 0.1,
    momentum: ScalarOrSchedule = 0.95,
    nesterov: bool = True,
    ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
    eps: ScalarOrSchedule = 1e-7,
    ns_steps: int = 5,
    adjust_lr_fn: str | None = None,
) -> Transformation:
    """Muon: `p <- p - lr (ratio orthogonalize(average of g) + weight_decay p)`, for parameters that are matrices.

    The chain of `average_gradients`, `orthogonalize`, `scale_by_shape`, `add_decayed_weights` and
    `scale_by_learning_rate`. Biases, embeddings and convolutions go to another optimizer by `optim.partition`. One NaN
    in a gradient makes its whole leaf NaN, by `orthogonalize`.

    Args:
        lr: learning rate, at least 0.
        weight_decay: factor of the parameters, at least 0; decoupled.
        momentum: decay of the average of the gradient, in [0, 1].
        nesterov: whether to use Nesterov momentum.
        ns_coefficients: the coefficients of the iteration; see `orthogonalize`. They cannot change.
        eps: lower bound of the norm to divide by, at least 0.
        ns_steps: iterations, from 0 to 99.
        adjust_lr_fn: how the step depends on the matrix's shape; see `scale_by_shape`.

    Returns:
        A transformation with the hyperparameters `momentum`, `eps`, `weight_decay` and `lr`.

    Raises:
        ValueError: a hyperparameter is out of range, or `adjust_lr_fn` is unknown; raised by `init` if a parameter is
            not a real matrix.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.muon(lr=1.0, weight_decay=0.0), {"w": torch.zeros(2, 2)}
    >>> updates, state = optimizer.update({"w": torch.tensor([[3.0, 0.0], [0.0, 1.0]])}, optimizer.init(params), params)
    >>> optim.apply_updates(params, updates)["w"].diagonal().round()
    tensor([-1., -1.])

    Jordan, "Muon: An optimizer for hidden layers in neural networks" (2024),
    https://kellerjordan.github.io/posts/muon/. Equals `torch.optim.Muon`.
    """
    return chain(
        average_gradients(momentum, nesterov),
        orthogonalize(ns_coefficients, eps, ns_steps),
        scale_by_shape(adjust_lr_fn),
        add_decayed_weights(weight_decay),
        scale_by_learning_rate(lr),
    )


def orthogonalize(
    ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
    eps: ScalarOrSchedule = 1e-7,
    ns_steps: int = 5,
) -> Transformation:
    """Replaces each gradient with a matrix with its singular vectors and singular values near 1, in bfloat16.

    Starting at `X = g / max(|g|, eps)`, `X <- a X + (b X X' + c (X X')^2) X`, `ns_steps` times, on the transpose of a
    matrix with more rows than columns: a Newton-Schulz iteration whose coefficients are chosen for speed, so that the
    singular values end between 0.7 and 1.2 or so. All of it is computed in bfloat16, whatever the dtype of the
    parameters: eager and compiled results agree to 2 digits, and vmapped ones to 1 where `g` is almost singular.

    Args:
        ns_coefficients: `a`, `b` and `c`.
        eps: lower bound of the norm to divide by, at least 0.
        ns_steps: iterations, from 0 to 99.

    Raises:
        ValueError: a hyperparameter is out of range; raised by `init` if a parameter is not a real matrix.

    >>> import torch
    >>> params = {"w": torch.zeros(2, 2)}
    >>> transformation = orthogonalize(ns_steps=20, ns_coefficients=(1.5, -0.5, 0.0))
    >>> grads = {"w": torch.tensor([[0.0, 4.0], [-1.0, 0.0]])}
    >>> transformation.update(grads, transformation.init(params), params)[0]["w"].round()
    tensor([[ 0.,  1.],
            [-1.,  0.]])
    """
    if isinstance(ns_steps, bool) or not (isinstance(ns_steps, int) and 0 <= ns_steps < 100):
        raise ValueError(f"orthogonalize: ns_steps={ns_steps!r} is out of range; expected an int from 0 to 99")
    if not (isinstance(ns_coefficients, (tuple, list)) and len(ns_coefficients) == 3):
        raise ValueError(f"orthogonalize: ns_coefficients={ns_coefficients!r} are not three numbers; pass (a, b, c)")
    for coefficient in ns_coefficients:
        if not (isinstance(coefficient, (int, float)) and math.isfinite(coefficient)):
            raise ValueError(f"orthogonalize: ns_coefficients={ns_coefficients!r} are not three finite floats")
    a, b, c = ns_coefficients

    def nearest(g: Tensor, eps: Scalar) -> Tensor:
        tall = g.shape[0] > g.shape[1]
        x = g.to(torch.bfloat16)
        x = x.T if tall else x
        x = x / safe_norm(x).maximum(eps.to(x.dtype))
        for _ in range(ns_steps):
            gram = x @ x.T
            x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
        return (x.T if tall else x).to(g.dtype)

    def update(grads: Tree, params: Tree, hyper: Hyper, count: Count) -> Tree:
        return tree.map(lambda g: nearest(g, hyper["eps"]), grads)

    return _for_matrices(
        "orthogonalize", stateless("orthogonalize", check_nonnegative("orthogonalize", eps=eps), update)
    )


def scale_by_shape(adjust_lr_fn: str | None = None) -> Transformation:
    """Multiplies the gradient of each matrix by a ratio that depends on its `A` rows and `B` columns.

    Args:
        adjust_lr_fn: `"original"` or None for `sqrt(max(1, A / B))`, `"match_rms_adamw"` for `0.2 sqrt(max(A, B))`, so
            that a step is as long as one of AdamW's, `"spectral_unclamped"` for `sqrt(A / B)`.

    Raises:
        ValueError: `adjust_lr_fn` is unknown; raised by `init` if a parameter is not a real matrix.

    >>> import torch
    >>> params = {"w": torch.zeros(4, 1)}
    >>> transformation = scale_by_shape()
    >>> transformation.update({"w": torch.ones(4, 1)}, transformation.init(params), params)[0]["w"][0]
    tensor([2.])
    """
    name = adjust_lr_fn or "original"
    if name not in _RATIOS:
        raise ValueError(f"scale_by_shape: adjust_lr_fn={adjust_lr_fn!r} is unknown; pass one of {', '.join(_RATIOS)}")

    def update(grads: Tree, params: Tree, hyper: Hyper, count: Count) -> Tree:
        return tree.map(lambda g: _RATIOS[name](*g.shape) * g, grads)

    return _for_matrices("scale_by_shape", stateless("scale_by_shape", {}, update))


def _for_matrices(name: str, transformation: Transformation) -> Transformation:
    return restrict_to(
        lambda leaf: leaf.ndim == 2 and not leaf.is_complex(), "a real matrix (2 dimensions)", name, transformation
    )
