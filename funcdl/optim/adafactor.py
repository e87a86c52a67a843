"""Adafactor: the average square of a matrix's gradient kept as its row means and its column means."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.differentiable import norm
from funcdl.optim.hyperparameters import Number, Scalar, number, numbers_of, once
from funcdl.optim.parts import average, nothing, only_for, scale
from funcdl.optim.transformation import Transformation, chain, part
from funcdl.tree import Tree


def adafactor(
    lr: Number = 1e-2,
    beta2_decay: Number = -0.8,
    eps: tuple[Number | None, Number] = (None, 1e-3),
    d: Number = 1.0,
    weight_decay: Number = 0.0,
    *,
    maximize: bool = False,
) -> Transformation:
    """Adafactor: a step relative to the size of each parameter, with memory for its rows and columns only.

    The chain of `scale_by_factored_rms`, `clip_by_block_rms`, `scale_by_param_block_rms` and `scale_by_relative_step`.
    One NaN in a gradient makes its whole leaf NaN, by any of these parts but the last.

    Args:
        lr: the largest relative step, at least 0.
        beta2_decay: power with which the share of a new gradient falls, at most 0.
        eps: the smallest root of an average square (None: the machine epsilon of the parameter, or
            of float32 for float16), and the smallest size
            of a parameter, each at least 0.
        d: the largest root mean square of a direction, at least 1.
        weight_decay: factor of the parameters, at least 0; decoupled.
        maximize: whether to ascend; the weights decay all the same.

    Returns:
        A transformation, the numbers of which are `beta2_decay`, `eps1` (unless None), `d`, `eps2`, `lr` and
        `weight_decay`.

    Raises:
        ValueError: a number is out of range; by `init`, when a parameter is complex.

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
    eps1, eps2 = numbers_of("adafactor", "eps", eps, 2)
    number("adafactor", "d", d, low=1.0)
    return chain(
        scale_by_factored_rms(beta2_decay, eps1),
        clip_by_block_rms(d),
        scale_by_param_block_rms(eps2),
        scale_by_relative_step(lr, weight_decay),
        maximize=maximize,
    )


def scale_by_factored_rms(beta2_decay: Number = -0.8, eps: Number | None = None) -> Transformation:
    """Divides each gradient by the root of an average of its square, which is kept factored into rows and columns.

    With the share `w = t^beta2_decay` of update number `t = 1, 2, ...`: `r <- r + w (mean over columns of g^2 - r)`,
    `c <- c + w (mean over rows of g^2 - c)`, `v = r c / max(mean(r), eps)` over the last two dimensions; for
    parameters with fewer, `v <- v + w (g^2 - v)`. Then `d = g / sqrt(max(v, eps^2))`.

    Args:
        beta2_decay: power with which the share of a new gradient falls, at most 0.
        eps: the smallest root, at least 0; None for the machine epsilon of each parameter's dtype, or of float32
            for float16.

    Raises:
        ValueError: a number is out of range; by `init`, when a parameter is complex.

    >>> import torch
    >>> params = {"w": torch.ones(2, 2)}
    >>> transformation = scale_by_factored_rms()
    >>> state = transformation.init(params)
    >>> transformation.update({"w": torch.tensor([[1.0, -2.0], [3.0, 6.0]])}, state, params)[0]
    {'w': tensor([[ 1., -1.],
            [ 1.,  1.]])}
    """
    numbers = {"beta2_decay": number("scale_by_factored_rms", "beta2_decay", beta2_decay, -float("inf"), 0, open=False)}
    if eps is not None:
        numbers["eps1"] = number("scale_by_factored_rms", "eps", eps)

    def init(params: Tree) -> dict[str, Tree]:
        return {
            "row_var": tree.map(lambda p: p.new_zeros((*p.shape[:-1], 1) if p.ndim > 1 else 0), params),
            "col_var": tree.map(lambda p: p.new_zeros((*p.shape[:-2], 1, p.shape[-1]) if p.ndim > 1 else 0), params),
            "variance": tree.map(lambda p: p.new_zeros(0 if p.ndim > 1 else p.shape), params),
        }

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        share = once((count + 1).double() ** h["beta2_decay"])
        squares = tree.map(torch.square, grads)

        def averaged(name: str, new: Callable[[Tensor, Tensor], Tensor]) -> Tree:
            return average(memory[name], tree.map(new, squares, memory[name]), share)

        row_var = averaged("row_var", lambda g, old: _mean(g, -1) if g.ndim > 1 else old)
        col_var = averaged("col_var", lambda g, old: _mean(g, -2) if g.ndim > 1 else old)
        variance = averaged("variance", lambda g, old: old if g.ndim > 1 else g)

        def direction(g: Tensor, row: Tensor, col: Tensor, full: Tensor) -> Tensor:
            eps = h["eps1"].to(g.dtype) if "eps1" in h else g.new_tensor(torch.finfo(g.dtype).eps)
            v = row * (col / _mean(row, -2).maximum(eps)) if g.ndim > 1 else full
            return g * v.maximum(eps * eps).rsqrt()

        updates = tree.map(direction, grads, row_var, col_var, variance)
        return updates, {"row_var": row_var, "col_var": col_var, "variance": variance}

    return _for_real("scale_by_factored_rms", part("scale_by_factored_rms", numbers, init, update))


def clip_by_block_rms(d: Number = 1.0) -> Transformation:
    """Shrinks the gradient of each parameter by itself so that its root mean square is `d` at most.

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

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        return tree.map(lambda g: scale(once(1 / (_rms(g) / h["d"]).clamp(min=1)), g), grads), memory

    return part("clip_by_block_rms", {"d": number("clip_by_block_rms", "d", d)}, nothing, update)


def scale_by_param_block_rms(eps: Number = 1e-3) -> Transformation:
    """Multiplies the gradient of each parameter by the parameter's size: `u = max(eps, rms(p)) g`.

    Args:
        eps: the smallest size, so that parameters can leave zero; at least 0.

    Raises:
        ValueError: `eps` is out of range.

    >>> import torch
    >>> params = {"w": torch.tensor([5.0, -5.0])}
    >>> transformation = scale_by_param_block_rms()
    >>> transformation.update({"w": torch.ones(2)}, transformation.init(params), params)[0]
    {'w': tensor([5., 5.])}
    """

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        return tree.map(lambda g, p: scale(once(_rms(p).maximum(h["eps2"])), g), grads, params), memory

    numbers = {"eps2": number("scale_by_param_block_rms", "eps", eps)}
    return part("scale_by_param_block_rms", numbers, nothing, update)


def scale_by_relative_step(lr: Number = 1e-2, weight_decay: Number = 0.0) -> Transformation:
    """Makes steps of descent, the longest `lr`: `u = -min(lr, 1 / sqrt(t)) g - lr weight_decay p` at update number `t`.

    Args:
        lr: the largest factor, at least 0.
        weight_decay: factor of the parameters, at least 0.

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> params = {"w": torch.ones(1)}
    >>> transformation = scale_by_relative_step(5.0)
    >>> transformation.update({"w": torch.ones(1)}, transformation.init(params), params)[0]
    {'w': tensor([-1.])}
    """

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        step = once(h["lr"].minimum(1 / (count + 1).double().sqrt()))
        decay = once(h["lr"] * h["weight_decay"])
        return tree.map(lambda g, p: -scale(step, g) - scale(decay, p), grads, params), memory

    numbers = {
        "lr": number("scale_by_relative_step", "lr", lr),
        "weight_decay": number("scale_by_relative_step", "weight_decay", weight_decay),
    }
    return part("scale_by_relative_step", numbers, nothing, update)


def _mean(leaf: Tensor, dim: int) -> Tensor:
    """The mean over one dimension that stays, 0 if there is nothing to average."""
    return leaf.sum(dim, keepdim=True) / max(1, leaf.shape[dim])


def _rms(leaf: Tensor) -> Scalar:
    """The root mean square of a leaf in float64, 0 if it is empty."""
    return norm(leaf).double() / max(1, leaf.numel()) ** 0.5


def _for_real(name: str, transformation: Transformation) -> Transformation:
    return only_for(transformation, name, lambda leaf: not leaf.is_complex(), "a real tensor")
