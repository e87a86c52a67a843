"""Adafactor: the second moment of a matrix's gradient, factored into row means and column means."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.hyperparameters import (
    Count,
    Scalar,
    ScalarOrSchedule,
    check_hyperparameter,
    check_nonnegative,
    check_tuple,
    materialize,
)
from funcdl.optim.safe_math import safe_norm
from funcdl.optim.transformation import Transformation, chain
from funcdl.optim.tree_math import scale, tree_lerp
from funcdl.optim.update_rule import Buffers, Hyper, make_transformation, restrict_to, stateless
from funcdl.tree import Tree


def adafactor(
    lr: ScalarOrSchedule = 1e-2,
    beta2_decay: ScalarOrSchedule = -0.8,
    eps: tuple[ScalarOrSchedule | None, ScalarOrSchedule] = (None, 1e-3),
    d: ScalarOrSchedule = 1.0,
    weight_decay: ScalarOrSchedule = 0.0,
    *,
    maximize: bool = False,
) -> Transformation:
    """Adafactor: steps relative to the size of each parameter, with a second moment factored into rows and columns.

    The chain of `scale_by_factored_rms`, `clip_by_block_rms`, `scale_by_param_block_rms` and `scale_by_relative_step`.
    One NaN in a gradient makes its whole leaf NaN, by any of these but the last.

    Args:
        lr: the largest relative step, at least 0.
        beta2_decay: exponent of `t` in the weight of a new gradient, at most 0.
        eps: lower bounds of the square root of the second moment (None: the machine epsilon of the parameter's dtype,
            or of float32 for float16) and of the size of a parameter, each at least 0.
        d: the largest root mean square of a direction, at least 1.
        weight_decay: factor of the parameters, at least 0; decoupled.
        maximize: whether to ascend; the weights decay in either case.

    Returns:
        A transformation with the hyperparameters `beta2_decay`, `eps1` (unless None), `d`, `eps2`, `lr` and
        `weight_decay`.

    Raises:
        ValueError: a hyperparameter is out of range; raised by `init` if a parameter is complex.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.adafactor(lr=0.1), {"w": torch.full((2,), 5.0)}
    >>> updates, state = optimizer.update({"w": torch.tensor([1.0, 20.0])}, optimizer.init(params), params)
    >>> optim.apply_updates(params, updates)
    {'w': tensor([4.5000, 4.5000])}

    Shazeer and Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost" (2018),
    https://arxiv.org/abs/1804.04235. Equals `torch.optim.Adafactor`, which does not take empty parameters and, with
    `eps[0]=None` and parameters of several dtypes, uses the epsilon of the first one for all.
    """
    eps1, eps2 = check_tuple("adafactor", "eps", eps, 2)
    check_hyperparameter("adafactor", "d", d, low=1.0)
    return chain(
        scale_by_factored_rms(beta2_decay, eps1),
        clip_by_block_rms(d),
        scale_by_param_block_rms(eps2),
        scale_by_relative_step(lr, weight_decay),
        maximize=maximize,
    )


def scale_by_factored_rms(beta2_decay: ScalarOrSchedule = -0.8, eps: ScalarOrSchedule | None = None) -> Transformation:
    """Divides each gradient by the square root of its second moment, which is factored into rows and columns.

    With the weight `w = t^beta2_decay` at update `t = 1, 2, ...`: `r <- r + w (mean over columns of g^2 - r)`,
    `c <- c + w (mean over rows of g^2 - c)`, `v = r c / max(mean(r), eps)` over the last two dimensions; for
    parameters with fewer, `v <- v + w (g^2 - v)`. Then `d = g / sqrt(max(v, eps^2))`.

    Args:
        beta2_decay: exponent of `t` in the weight of a new gradient, at most 0.
        eps: lower bound of the square root, at least 0; None for the machine epsilon of each parameter's dtype, or of
            float32 for float16.

    Raises:
        ValueError: a hyperparameter is out of range; raised by `init` if a parameter is complex.

    >>> import torch
    >>> params = {"w": torch.ones(2, 2)}
    >>> transformation = scale_by_factored_rms()
    >>> state = transformation.init(params)
    >>> transformation.update({"w": torch.tensor([[1.0, -2.0], [3.0, 6.0]])}, state, params)[0]
    {'w': tensor([[ 1., -1.],
            [ 1.,  1.]])}
    """
    hyperparameters = {
        "beta2_decay": check_hyperparameter(
            "scale_by_factored_rms", "beta2_decay", beta2_decay, -float("inf"), 0, open=False
        )
    }
    if eps is not None:
        hyperparameters["eps1"] = check_hyperparameter("scale_by_factored_rms", "eps", eps)

    def init(params: Tree) -> Buffers:
        return {
            "row_var": tree.map(lambda p: p.new_zeros((*p.shape[:-1], 1) if p.ndim > 1 else 0), params),
            "col_var": tree.map(lambda p: p.new_zeros((*p.shape[:-2], 1, p.shape[-1]) if p.ndim > 1 else 0), params),
            "variance": tree.map(lambda p: p.new_zeros(0 if p.ndim > 1 else p.shape), params),
        }

    def update(grads: Tree, buffers: Buffers, params: Tree, hyper: Hyper, count: Count) -> tuple[Tree, Buffers]:
        weight = materialize((count + 1).double() ** hyper["beta2_decay"])
        squares = tree.map(torch.square, grads)

        def moved(name: str, target: Callable[[Tensor, Tensor], Tensor]) -> Tree:
            return tree_lerp(buffers[name], tree.map(target, squares, buffers[name]), weight)

        row_var = moved("row_var", lambda g2, old: _mean(g2, -1) if g2.ndim > 1 else old)
        col_var = moved("col_var", lambda g2, old: _mean(g2, -2) if g2.ndim > 1 else old)
        variance = moved("variance", lambda g2, old: old if g2.ndim > 1 else g2)

        def direction(g: Tensor, row: Tensor, col: Tensor, full: Tensor) -> Tensor:
            eps = hyper["eps1"].to(g.dtype) if "eps1" in hyper else g.new_tensor(torch.finfo(g.dtype).eps)
            v = row * (col / _mean(row, -2).maximum(eps)) if g.ndim > 1 else full
            return g * v.maximum(eps * eps).rsqrt()

        updates = tree.map(direction, grads, row_var, col_var, variance)
        return updates, {"row_var": row_var, "col_var": col_var, "variance": variance}

    transformation = make_transformation("scale_by_factored_rms", hyperparameters, init, update)
    return restrict_to(lambda leaf: not leaf.is_complex(), "a real tensor", "scale_by_factored_rms", transformation)


def clip_by_block_rms(d: ScalarOrSchedule = 1.0) -> Transformation:
    """Scales the gradient of each parameter down to a root mean square of at most `d`.

    `u = g / max(1, rms(g) / d)`.

    Args:
        d: the largest root mean square, above 0.

    Raises:
        ValueError: `d` is out of range.

    >>> import torch
    >>> params = {"a": torch.zeros(2), "b": torch.zeros(2)}
    >>> transformation = clip_by_block_rms(2.0)
    >>> grads = {"a": torch.tensor([4.0, -4.0]), "b": torch.tensor([1.0, 1.0])}
    >>> transformation.update(grads, transformation.init(params), params)[0]
    {'a': tensor([ 2., -2.]), 'b': tensor([1., 1.])}
    """
    if isinstance(d, (int, float)) and d == 0:
        raise ValueError(f"clip_by_block_rms: d={d} is out of range; expected a number above 0, to divide by")

    def update(grads: Tree, params: Tree, hyper: Hyper, count: Count) -> Tree:
        return tree.map(lambda g: scale(materialize(1 / (_rms(g) / hyper["d"]).clamp(min=1)), g), grads)

    return stateless("clip_by_block_rms", check_nonnegative("clip_by_block_rms", d=d), update)


def scale_by_param_block_rms(eps: ScalarOrSchedule = 1e-3) -> Transformation:
    """Multiplies the gradient of each parameter by the parameter's size: `u = max(eps, rms(p)) g`.

    Args:
        eps: lower bound of the size, so that parameters can leave zero; at least 0.

    Raises:
        ValueError: `eps` is out of range.

    >>> import torch
    >>> params = {"w": torch.tensor([5.0, -5.0])}
    >>> transformation = scale_by_param_block_rms()
    >>> transformation.update({"w": torch.ones(2)}, transformation.init(params), params)[0]
    {'w': tensor([5., 5.])}
    """

    def update(grads: Tree, params: Tree, hyper: Hyper, count: Count) -> Tree:
        return tree.map(lambda g, p: scale(materialize(_rms(p).maximum(hyper["eps2"])), g), grads, params)

    hyperparameters = {"eps2": check_hyperparameter("scale_by_param_block_rms", "eps", eps)}
    return stateless("scale_by_param_block_rms", hyperparameters, update)


def scale_by_relative_step(lr: ScalarOrSchedule = 1e-2, weight_decay: ScalarOrSchedule = 0.0) -> Transformation:
    """Takes steps of descent: `u = -min(lr, 1 / sqrt(t)) g - lr weight_decay p` at update `t`.

    Args:
        lr: the largest factor, at least 0.
        weight_decay: factor of the parameters, at least 0.

    Raises:
        ValueError: a hyperparameter is out of range.

    >>> import torch
    >>> params = {"w": torch.ones(1)}
    >>> transformation = scale_by_relative_step(5.0)
    >>> transformation.update({"w": torch.ones(1)}, transformation.init(params), params)[0]
    {'w': tensor([-1.])}
    """

    def update(grads: Tree, params: Tree, hyper: Hyper, count: Count) -> Tree:
        step = materialize(hyper["lr"].minimum(1 / (count + 1).double().sqrt()))
        decay = materialize(hyper["lr"] * hyper["weight_decay"])
        return tree.map(lambda g, p: -scale(step, g) - scale(decay, p), grads, params)

    hyperparameters = check_nonnegative("scale_by_relative_step", lr=lr, weight_decay=weight_decay)
    return stateless("scale_by_relative_step", hyperparameters, update)


def _mean(leaf: Tensor, dim: int) -> Tensor:
    """The mean over one dimension, which is kept with size 1; 0 if the dimension is empty."""
    return leaf.sum(dim, keepdim=True) / max(1, leaf.shape[dim])


def _rms(leaf: Tensor) -> Scalar:
    """The root mean square of a leaf in float64, 0 if it is empty."""
    return safe_norm(leaf).double() / max(1, leaf.numel()) ** 0.5
