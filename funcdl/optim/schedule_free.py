"""Schedule-free optimizers: an average of the iterates in place of a learning-rate schedule."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import tree
from funcdl.optim.hyperparameters import (
    Count,
    ScalarOrSchedule,
    check_hyperparameter,
    check_nonnegative,
    check_tuple,
    materialize,
)
from funcdl.optim.moments import bias_correction, zero_buffers
from funcdl.optim.safe_math import safe_denominator, safe_power, safe_sqrt
from funcdl.optim.state import find_state, zero_scalar
from funcdl.optim.transformation import Transformation, chain
from funcdl.optim.tree_math import scale, tree_lerp, tree_scale
from funcdl.optim.update_rule import Buffers, Hyper, make_transformation
from funcdl.optim.weight_decay import add_decayed_weights
from funcdl.tree import Tree


def schedule_free_sgd(
    lr: ScalarOrSchedule = 1.0,
    momentum: ScalarOrSchedule = 0.9,
    weight_decay: ScalarOrSchedule = 0.0,
    weight_lr_power: ScalarOrSchedule = 2.0,
    *,
    maximize: bool = False,
) -> Transformation:
    """Schedule-free gradient descent: `schedule_free` of the gradient `g + weight_decay p`.

    Evaluate at `schedule_free_eval_params(state, params)`, not at the parameters that are trained.

    Args:
        lr: learning rate, at least 0; a schedule may warm it up, but does not have to decrease it.
        momentum: weight of the average in the point where gradients are taken, in (0, 1).
        weight_decay: L2 penalty at the point where gradients are taken, at least 0.
        weight_lr_power: the exponent of the largest `lr` so far in the weight of an update.
        maximize: whether to ascend.

    Returns:
        A transformation with the hyperparameters `weight_decay`, `lr`, `momentum` and `weight_lr_power`.

    Raises:
        ValueError: a hyperparameter is out of range.

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
    `optax.contrib.schedule_free_sgd` for a constant `lr`; optax evaluates a schedule one step later for the average
    than for the step, but here both use the same value.
    """
    return chain(add_decayed_weights(weight_decay), schedule_free(lr, momentum, weight_lr_power), maximize=maximize)


def schedule_free_adamw(
    lr: ScalarOrSchedule = 0.0025,
    betas: tuple[ScalarOrSchedule, ScalarOrSchedule] = (0.9, 0.999),
    eps: ScalarOrSchedule = 1e-8,
    weight_decay: ScalarOrSchedule = 0.0,
    weight_lr_power: ScalarOrSchedule = 2.0,
    *,
    maximize: bool = False,
) -> Transformation:
    """Schedule-free AdamW: `schedule_free` of `d + weight_decay p`, with the `d` of `scale_by_unbiased_rms`.

    Evaluate at `schedule_free_eval_params(state, params)`, not at the parameters that are trained.

    Args:
        lr: learning rate, at least 0; a schedule may warm it up, but does not have to decrease it.
        betas: weight of the average in the point where gradients are taken, in (0, 1), and decay of the average of the
            gradient's square, in [0, 1).
        eps: added to the denominator, at least 0.
        weight_decay: factor of the parameters at the point where gradients are taken, at least 0.
        weight_lr_power: the exponent of the largest `lr` so far in the weight of an update.
        maximize: whether to ascend; the weights decay in either case.

    Returns:
        A transformation with the hyperparameters `beta2`, `eps`, `weight_decay`, `lr`, `momentum` (`betas[0]`) and
        `weight_lr_power`.

    Raises:
        ValueError: a hyperparameter is out of range.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.schedule_free_adamw(lr=0.1), {"w": torch.tensor([1.0, 2.0])}
    >>> updates, state = optimizer.update({"w": torch.tensor([3.0, -4.0])}, optimizer.init(params), params)
    >>> optim.apply_updates(params, updates)
    {'w': tensor([0.9000, 2.1000])}

    Defazio et al., "The Road Less Scheduled" (2024), https://arxiv.org/abs/2405.15682. Equals
    `optax.contrib.schedule_free_adamw` for a constant `lr`; for a schedule see `schedule_free_sgd`.
    """
    momentum, beta2 = check_tuple("schedule_free_adamw", "betas", betas, 2)
    return chain(
        scale_by_unbiased_rms(beta2, eps),
        add_decayed_weights(weight_decay),
        schedule_free(lr, momentum, weight_lr_power),
        maximize=maximize,
    )


def schedule_free(
    lr: ScalarOrSchedule, momentum: ScalarOrSchedule = 0.9, weight_lr_power: ScalarOrSchedule = 2.0
) -> Transformation:
    """Takes steps of descent and averages the iterates; it has to be the last transformation of a chain.

    The trained parameters `y` interpolate between the last iterate `z` and the average `x` of all iterates:
    `y = (1 - momentum) z + momentum x`. `x` follows from `y` and `z` and is not stored. At each update `z <- z - lr g`
    and `x <- (1 - c) x + c z`, where `c` is the weight of the update divided by the sum of all weights so far. Each
    weight is the largest `lr` so far to the power `weight_lr_power`. While `lr` is 0, `c` is 0.

    Args:
        lr: learning rate, at least 0.
        momentum: weight of the average in the trained parameters, in (0, 1); with 0 the average could not be recovered.
            Keep it constant during a run.
        weight_lr_power: the exponent of the largest `lr` in the weight of an update.

    Returns:
        A transformation whose updates change `y`. It computes the average from the parameters that it is given, so that
        modifying its updates before they are applied also modifies the average.

    Raises:
        ValueError: a hyperparameter is out of range.

    >>> import torch
    >>> params = {"w": torch.zeros(1)}
    >>> transformation = schedule_free(1.0, momentum=0.5)
    >>> _, state = transformation.update({"w": torch.tensor([1.0])}, transformation.init(params), params)
    >>> transformation.update({"w": torch.tensor([1.0])}, state, {"w": torch.tensor([-1.0])})[0]
    {'w': tensor([-0.7500])}

    Like `optax.contrib.schedule_free`, which instead wraps an optimizer and needs the learning rate twice.
    """
    if isinstance(momentum, (int, float)) and momentum == 0:
        raise ValueError(
            f"schedule_free: momentum={momentum} is out of range; expected a number in (0, 1), to recover the average"
        )
    hyperparameters = {
        **check_nonnegative("schedule_free", lr=lr),
        "momentum": check_hyperparameter("schedule_free", "momentum", momentum, high=1.0),
        "weight_lr_power": check_hyperparameter("schedule_free", "weight_lr_power", weight_lr_power, low=-float("inf")),
    }

    def init(params: Tree) -> Buffers:
        return {"z": tree.map(torch.clone, params), "weight_sum": zero_scalar(params), "lr_max": zero_scalar(params)}

    def update(grads: Tree, buffers: Buffers, params: Tree, hyper: Hyper, count: Count) -> tuple[Tree, Buffers]:
        lr, momentum = hyper["lr"], hyper["momentum"]
        lr_max = torch.maximum(buffers["lr_max"], lr)
        weight = safe_power(lr_max, hyper["weight_lr_power"])
        weight_sum = buffers["weight_sum"] + weight
        c = materialize(torch.where(weight_sum == 0, 0.0, weight / safe_denominator(weight_sum)))
        steps = tree_scale(-lr, grads)
        # The new (1 - momentum) z + momentum x minus y, arranged so that it is exactly 0 when nothing moves.
        step_scale = materialize(1 - momentum * (1 - c))
        updates = tree.map(lambda y, z, step: scale(c, z - y) + scale(step_scale, step), params, buffers["z"], steps)
        z = tree.map(torch.add, buffers["z"], steps)
        return updates, {"z": z, "weight_sum": weight_sum, "lr_max": lr_max}

    return make_transformation("schedule_free", hyperparameters, init, update)


def schedule_free_eval_params(state: Tree, params: Tree) -> Tree:
    """Returns the average of the iterates of a schedule-free optimizer: the parameters to evaluate and to save.

    `x = (y - (1 - momentum) z) / momentum`, with `y` the trained parameters.

    Args:
        state: the state of an optimizer that contains one `schedule_free`, such as `schedule_free_sgd`.
        params: the trained parameters.

    Raises:
        ValueError: the state has no `schedule_free` in it, or several.

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
    found = find_state("schedule_free_eval_params", state, "z", "schedule_free()")
    momentum = found.hyperparameters["momentum"]

    def average_of(y: Tensor, z: Tensor) -> Tensor:
        z = torch.view_as_complex(z) if y.is_complex() else z
        return ((y - scale(1 - momentum, z)) / momentum.to(z.dtype)).to(y.dtype)

    return tree.map(average_of, params, found.buffers["z"])


def scale_by_unbiased_rms(beta2: ScalarOrSchedule = 0.999, eps: ScalarOrSchedule = 1e-8) -> Transformation:
    """Divides each gradient by the square root of its second moment, with bias correction: Adam without momentum.

    `v <- b2 v + (1 - b2) g^2`, `u = g / (sqrt(v / (1 - b2^t)) + eps)` at update `t = 1, 2, ...`.

    Args:
        beta2: decay of the average, in [0, 1).
        eps: added to the denominator, at least 0.

    Raises:
        ValueError: a hyperparameter is out of range.

    >>> import torch
    >>> params = {"w": torch.ones(2)}
    >>> transformation = scale_by_unbiased_rms()
    >>> transformation.update({"w": torch.tensor([3.0, -4.0])}, transformation.init(params), params)[0]
    {'w': tensor([ 1., -1.])}

    Equals `optax.scale_by_rms` with `eps_in_sqrt=False` and `bias_correction=True`.
    """
    hyperparameters = {
        "beta2": check_hyperparameter("scale_by_unbiased_rms", "beta2", beta2, high=1.0),
        **check_nonnegative("scale_by_unbiased_rms", eps=eps),
    }

    init = zero_buffers("exp_avg_sq")

    def update(grads: Tree, buffers: Buffers, params: Tree, hyper: Hyper, count: Count) -> tuple[Tree, Buffers]:
        correction = materialize(1 / bias_correction(hyper["beta2"], count).sqrt())
        exp_avg_sq = tree_lerp(buffers["exp_avg_sq"], tree.map(torch.square, grads), 1 - hyper["beta2"])
        updates = tree.map(
            lambda g, v: g / (scale(correction, safe_sqrt(v)) + hyper["eps"].to(v.dtype)), grads, exp_avg_sq
        )
        return updates, {"exp_avg_sq": exp_avg_sq}

    return make_transformation("scale_by_unbiased_rms", hyperparameters, init, update)
