"""Lion: steps along the sign of an average of the gradient."""

from __future__ import annotations

from funcdl import tree
from funcdl.optim.hyperparameters import Count, ScalarOrSchedule, check_betas
from funcdl.optim.learning_rate import scale_by_learning_rate
from funcdl.optim.moments import zero_buffers
from funcdl.optim.sign_sgd import sign_or_nan
from funcdl.optim.transformation import Transformation, chain
from funcdl.optim.tree_math import tree_lerp
from funcdl.optim.update_rule import Buffers, Hyper, make_transformation
from funcdl.optim.weight_decay import add_decayed_weights
from funcdl.tree import Tree


def lion(
    lr: ScalarOrSchedule = 1e-4,
    betas: tuple[ScalarOrSchedule, ScalarOrSchedule] = (0.9, 0.99),
    weight_decay: ScalarOrSchedule = 1e-3,
    *,
    maximize: bool = False,
) -> Transformation:
    """Lion: `p <- p - lr (d + weight_decay p)`, with the signs `d` of `scale_by_lion`.

    Every coordinate moves by about `lr`, so `lr` should be 3 to 10 times smaller than for Adam, and `weight_decay` as
    many times larger.

    Args:
        lr: length of the step in each coordinate, at least 0.
        betas: weight of the average in the interpolation, and decay of the average, each in [0, 1).
        weight_decay: factor of the parameters (decoupled), at least 0.
        maximize: whether to ascend; the weights decay in either case.

    Returns:
        A transformation with the hyperparameters `beta1`, `beta2`, `weight_decay` and `lr`.

    Raises:
        ValueError: a hyperparameter is out of range.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.lion(lr=0.1, weight_decay=1.0), {"w": torch.ones(2)}
    >>> updates, state = optimizer.update({"w": torch.tensor([3.0, -0.2])}, optimizer.init(params), params)
    >>> optim.apply_updates(params, updates)
    {'w': tensor([0.8000, 1.0000])}

    Chen et al., "Symbolic Discovery of Optimization Algorithms" (2023), https://arxiv.org/abs/2302.06675.
    Equals `optax.lion`, also in its `weight_decay` of 0.001, where the authors' code has 0.
    """
    return chain(scale_by_lion(betas), add_decayed_weights(weight_decay), scale_by_learning_rate(lr), maximize=maximize)


def scale_by_lion(betas: tuple[ScalarOrSchedule, ScalarOrSchedule] = (0.9, 0.99)) -> Transformation:
    """Takes the sign of an interpolation between the gradient and a moving average of the past ones.

    `u = sign(b1 m + (1 - b1) g)`, and then `m <- b2 m + (1 - b2) g`.

    Args:
        betas: `b1` and `b2`, each in [0, 1).

    Raises:
        ValueError: a hyperparameter is out of range.

    >>> import torch
    >>> params = {"w": torch.ones(2)}
    >>> transformation = scale_by_lion()
    >>> transformation.update({"w": torch.tensor([3.0, -0.2])}, transformation.init(params), params)[0]
    {'w': tensor([ 1., -1.])}

    Equals `optax.scale_by_lion`.
    """
    hyperparameters = check_betas("scale_by_lion", betas)
    init = zero_buffers("exp_avg")

    def update(grads: Tree, buffers: Buffers, params: Tree, hyper: Hyper, count: Count) -> tuple[Tree, Buffers]:
        updates = tree.map(sign_or_nan, tree_lerp(buffers["exp_avg"], grads, 1 - hyper["beta1"]))
        return updates, {"exp_avg": tree_lerp(buffers["exp_avg"], grads, 1 - hyper["beta2"])}

    return make_transformation("scale_by_lion", hyperparameters, init, update)
