"""Schedule-free learning: an average of the steps in place of a schedule that ends at a known time."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.differentiable import nonzero, power, root
from funcdl.optim.hyperparameters import Number, Scalar, State, number, numbers_of, once
from funcdl.optim.parts import add_decayed_weights, average, find, scalar, scale, scale_all
from funcdl.optim.transformation import Transformation, chain, part
from funcdl.tree import Tree


def schedule_free_sgd(
    lr: Number = 1.0,
    momentum: Number = 0.9,
    weight_decay: Number = 0.0,
    weight_lr_power: Number = 2.0,
    *,
    maximize: bool = False,
) -> Transformation:
    """Schedule-free gradient descent: `schedule_free` of the gradient `g + weight_decay p`.

    Evaluate at `schedule_free_eval_params(state, params)`, not at the parameters that are trained.

    Args:
        lr: learning rate, at least 0; a schedule may warm it up, and need not bring it down.
        momentum: weight of the average in the point where gradients are taken, in (0, 1).
        weight_decay: L2 penalty at the point where gradients are taken, at least 0.
        weight_lr_power: what power of the largest `lr` so far a step counts with in the average.
        maximize: whether to ascend.

    Returns:
        A transformation, the numbers of which are `weight_decay`, `lr`, `momentum` and `weight_lr_power`.

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.schedule_free_sgd(lr=0.5), {"w": torch.tensor([1.0, 2.0])}
    >>> state = optimizer.init(params)
    >>> for _ in range(20):
    ...     updates, state = optimizer.update(params, state, params)  # the gradient of half the square
    ...     params = optim.apply_updates(params, updates)
    >>> bool(optim.schedule_free_eval_params(state, params)["w"].norm() < 0.1)
    True

    Defazio et al., "The Road Less Scheduled" (2024), https://arxiv.org/abs/2405.15682. Equals
    `optax.contrib.schedule_free_sgd` for a constant `lr`; a schedule is there read one step later for the average than
    for the step, and here once for both.
    """
    return chain(add_decayed_weights(weight_decay), schedule_free(lr, momentum, weight_lr_power), maximize=maximize)


def schedule_free_adamw(
    lr: Number = 0.0025,
    betas: tuple[Number, Number] = (0.9, 0.999),
    eps: Number = 1e-8,
    weight_decay: Number = 0.0,
    weight_lr_power: Number = 2.0,
    *,
    maximize: bool = False,
) -> Transformation:
    """Schedule-free AdamW: `schedule_free` of `d + weight_decay p`, with the `d` of `scale_by_unbiased_rms`.

    Evaluate at `schedule_free_eval_params(state, params)`, not at the parameters that are trained.

    Args:
        lr: learning rate, at least 0; a schedule may warm it up, and need not bring it down.
        betas: weight of the average in the point where gradients are taken, in (0, 1), and decay of the average of the
            gradient's square, in [0, 1).
        eps: what is added to the root, at least 0.
        weight_decay: factor of the parameters at the point where gradients are taken, at least 0.
        weight_lr_power: what power of the largest `lr` so far a step counts with in the average.
        maximize: whether to ascend; the weights decay all the same.

    Returns:
        A transformation, the numbers of which are `beta2`, `eps`, `weight_decay`, `lr`, `momentum` (`betas[0]`) and
        `weight_lr_power`.

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.schedule_free_adamw(lr=0.1), {"w": torch.tensor([1.0, 2.0])}
    >>> updates, state = optimizer.update({"w": torch.tensor([3.0, -4.0])}, optimizer.init(params), params)
    >>> optim.apply_updates(params, updates)
    {'w': tensor([0.9000, 2.1000])}

    Defazio et al., "The Road Less Scheduled" (2024), https://arxiv.org/abs/2405.15682. Equals
    `optax.contrib.schedule_free_adamw` for a constant `lr`; for a schedule see `schedule_free_sgd`.
    """
    momentum, beta2 = numbers_of("schedule_free_adamw", "betas", betas, 2)
    return chain(
        scale_by_unbiased_rms(beta2, eps),
        add_decayed_weights(weight_decay),
        schedule_free(lr, momentum, weight_lr_power),
        maximize=maximize,
    )


def schedule_free(lr: Number, momentum: Number = 0.9, weight_lr_power: Number = 2.0) -> Transformation:
    """Steps from the last step and moves the average of all: the last part of a chain, which takes the gradients there.

    The trained parameters `y` lie between the end `z` of the steps and the average `x`, which is kept as their blend
    only: `y = (1 - momentum) z + momentum x`. At each update `z <- z - lr g` and `x <- (1 - c) x + c z`, where `c` is
    the step's share of the sum of the weights so far, each the largest `lr` until then to the power `weight_lr_power`.
    A step before there is any weight, with an `lr` of 0, has `c = 0`.

    Args:
        lr: learning rate, at least 0.
        momentum: weight of the average in the trained parameters, in (0, 1); no average can be had from a weight of 0.
            Let it stay as it is during a run.
        weight_lr_power: what power of the largest `lr` so far a step counts with.

    Returns:
        A transformation, the updates of which move `y`. It reads the average off the parameters it is given, so what
        changes its updates on the way to the parameters, changes the average.

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> params = {"w": torch.zeros(1)}
    >>> transformation = schedule_free(1.0, momentum=0.5)
    >>> _, state = transformation.update({"w": torch.tensor([1.0])}, transformation.init(params), params)
    >>> transformation.update({"w": torch.tensor([1.0])}, state, {"w": torch.tensor([-1.0])})[0]
    {'w': tensor([-0.7500])}

    `optax.contrib.schedule_free`, which wraps an optimizer instead and takes the learning rate a second time.
    """
    if isinstance(momentum, (int, float)) and momentum == 0:
        raise ValueError(
            f"schedule_free: momentum={momentum} is out of range; expected a number in (0, 1), to know the average by"
        )
    numbers = {
        "lr": number("schedule_free", "lr", lr),
        "momentum": number("schedule_free", "momentum", momentum, high=1.0),
        "weight_lr_power": number("schedule_free", "weight_lr_power", weight_lr_power, low=-float("inf")),
    }

    def init(params: Tree) -> dict[str, Tree]:
        return {"z": tree.map(torch.clone, params), "weight_sum": scalar(params), "lr_max": scalar(params)}

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        lr, momentum = h["lr"], h["momentum"]
        lr_max = torch.maximum(memory["lr_max"], lr)
        weight = power(lr_max, h["weight_lr_power"])
        weight_sum = memory["weight_sum"] + weight
        share = once(torch.where(weight_sum == 0, 0.0, weight / nonzero(weight_sum)))
        steps = scale_all(-lr, grads)
        # (1 - momentum) z + momentum x after the step less y, written so that it is 0 when nothing moves.
        step_share = once(1 - momentum * (1 - share))
        updates = tree.map(lambda y, z, step: scale(share, z - y) + scale(step_share, step), params, memory["z"], steps)
        z = tree.map(torch.add, memory["z"], steps)
        return updates, {"z": z, "weight_sum": weight_sum, "lr_max": lr_max}

    return part("schedule_free", numbers, init, update)


def schedule_free_eval_params(state: Tree, params: Tree) -> Tree:
    """Returns the average of the steps of a schedule-free optimizer: the parameters to evaluate and to keep.

    `x = (y - (1 - momentum) z) / momentum`, with `y` the trained parameters.

    Args:
        state: of an optimizer that has one `schedule_free` part, such as `schedule_free_sgd`.
        params: the trained parameters that belong to it.

    Raises:
        ValueError: the state has no such part, or several.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.schedule_free_sgd(lr=1.0), {"w": torch.zeros(1)}
    >>> state = optimizer.init(params)
    >>> for _ in range(3):
    ...     updates, state = optimizer.update({"w": torch.ones(1)}, state, params)
    ...     params = optim.apply_updates(params, updates)
    >>> schedule_free_eval_params(state, params)  # the average of -1, -2 and -3
    {'w': tensor([-2.])}

    Equals `optax.contrib.schedule_free_eval_params`.
    """
    found = find(state, lambda part: isinstance(part, State) and "z" in part.memory)
    if len(found) != 1:
        raise ValueError(
            f"schedule_free_eval_params: the state has {len(found)} schedule_free parts, expected 1; pass the state of "
            "one schedule-free optimizer with the parameters that belong to it"
        )
    momentum = found[0].hyperparameters["momentum"]

    def average_of(y: Tensor, z: Tensor) -> Tensor:
        z = torch.view_as_complex(z) if y.is_complex() else z
        return ((y - scale(1 - momentum, z)) / momentum.to(z.dtype)).to(y.dtype)

    return tree.map(average_of, params, found[0].memory["z"])


def scale_by_unbiased_rms(beta2: Number = 0.999, eps: Number = 1e-8) -> Transformation:
    """Divides the gradient by the root of an average of its square, corrected for its start: Adam without momentum.

    `v <- b2 v + (1 - b2) g^2`, `u = g / (sqrt(v / (1 - b2^t)) + eps)` at update number `t = 1, 2, ...`.

    Args:
        beta2: decay of the average, in [0, 1).
        eps: what is added to the root, at least 0.

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> params = {"w": torch.ones(2)}
    >>> transformation = scale_by_unbiased_rms()
    >>> transformation.update({"w": torch.tensor([3.0, -4.0])}, transformation.init(params), params)[0]
    {'w': tensor([ 1., -1.])}

    Equals `optax.scale_by_rms` with `eps_in_sqrt=False` and `bias_correction=True`.
    """
    numbers = {
        "beta2": number("scale_by_unbiased_rms", "beta2", beta2, high=1.0),
        "eps": number("scale_by_unbiased_rms", "eps", eps),
    }

    def init(params: Tree) -> dict[str, Tree]:
        return {"exp_avg_sq": tree.zeros_like(params)}

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        corrected = once(1 / (1 - h["beta2"] ** (count + 1)).sqrt())
        exp_avg_sq = average(memory["exp_avg_sq"], tree.map(torch.square, grads), 1 - h["beta2"])
        updates = tree.map(lambda g, v: g / (scale(corrected, root(v)) + h["eps"].to(v.dtype)), grads, exp_avg_sq)
        return updates, {"exp_avg_sq": exp_avg_sq}

    return part("scale_by_unbiased_rms", numbers, init, update)
