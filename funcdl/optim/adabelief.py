"""AdaBelief: Adam that divides by the deviation of gradients from their average."""

from __future__ import annotations

from funcdl import tree
from funcdl.optim.hyperparameters import Count, ScalarOrSchedule, check_betas, check_nonnegative, materialize
from funcdl.optim.learning_rate import scale_by_learning_rate
from funcdl.optim.moments import bias_correction, zero_buffers
from funcdl.optim.safe_math import safe_sqrt
from funcdl.optim.transformation import Transformation, chain
from funcdl.optim.tree_math import scale, tree_lerp, tree_scale
from funcdl.optim.update_rule import Buffers, Hyper, make_transformation
from funcdl.tree import Tree


def adabelief(
    lr: ScalarOrSchedule = 1e-3,
    betas: tuple[ScalarOrSchedule, ScalarOrSchedule] = (0.9, 0.999),
    eps: ScalarOrSchedule = 1e-16,
    eps_root: ScalarOrSchedule = 1e-16,
    nesterov: bool = False,
    *,
    maximize: bool = False,
) -> Transformation:
    """AdaBelief: `p <- p - lr d`, with the direction `d` of `scale_by_belief`.

    Args:
        lr: learning rate, at least 0.
        betas: decay of the averages of the gradient and of its squared deviation, each in [0, 1).
        eps: added to the denominator, at least 0.
        eps_root: added to the average under the square root at each update, at least 0.
        nesterov: whether to use Nesterov momentum.
        maximize: whether to ascend.

    Returns:
        A transformation with the hyperparameters `beta1`, `beta2`, `eps`, `eps_root` and `lr`.

    Raises:
        ValueError: a hyperparameter is out of range.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.adabelief(lr=0.1), {"w": torch.ones(2)}
    >>> updates, state = optimizer.update({"w": torch.tensor([1.0, -20.0])}, optimizer.init(params), params)
    >>> updates
    {'w': tensor([-0.1111,  0.1111])}

    Zhuang et al., "AdaBelief Optimizer: Adapting Stepsizes by the Belief in Observed Gradients" (2020),
    https://arxiv.org/abs/2010.07468. Equals `optax.adabelief`.
    """
    return chain(scale_by_belief(betas, eps, eps_root, nesterov), scale_by_learning_rate(lr), maximize=maximize)


def scale_by_belief(
    betas: tuple[ScalarOrSchedule, ScalarOrSchedule] = (0.9, 0.999),
    eps: ScalarOrSchedule = 1e-16,
    eps_root: ScalarOrSchedule = 1e-16,
    nesterov: bool = False,
) -> Transformation:
    """Divides the first moment of the gradient by the square root of its variance around that moment.

    `m <- b1 m + (1 - b1) g`, `s <- b2 s + (1 - b2) (g - m)^2 + eps_root`,
    `d = m / (1 - b1^t) / (sqrt(s / (1 - b2^t)) + eps)` at update `t = 1, 2, ...`; with `nesterov`,
    `b1 m / (1 - b1^(t+1)) + (1 - b1) g / (1 - b1^t)` replaces `m / (1 - b1^t)`.

    Args:
        betas: `b1` and `b2`, each in [0, 1).
        eps: added to the denominator, at least 0.
        eps_root: added to `s` at each update, and so accumulates to `eps_root / (1 - b2)`; at least 0.
        nesterov: whether to use Nesterov momentum.

    Raises:
        ValueError: a hyperparameter is out of range.

    >>> import torch
    >>> params = {"w": torch.ones(2)}
    >>> transformation = scale_by_belief(betas=(0.5, 0.999))
    >>> transformation.update({"w": torch.tensor([3.0, -4.0])}, transformation.init(params), params)[0]
    {'w': tensor([ 2., -2.])}

    Equals `optax.scale_by_belief`.
    """
    hyperparameters = check_betas("scale_by_belief", betas) | check_nonnegative(
        "scale_by_belief", eps=eps, eps_root=eps_root
    )
    init = zero_buffers("exp_avg", "exp_avg_var")

    def update(grads: Tree, buffers: Buffers, params: Tree, hyper: Hyper, count: Count) -> tuple[Tree, Buffers]:
        beta1, beta2, eps, eps_root = hyper["beta1"], hyper["beta2"], hyper["eps"], hyper["eps_root"]
        correction1 = materialize(1 / bias_correction(beta1, count))
        correction2 = materialize(1 / bias_correction(beta2, count).sqrt())
        exp_avg = tree_lerp(buffers["exp_avg"], grads, 1 - beta1)
        deviation = tree.map(lambda g, m: (g - m).square(), grads, exp_avg)
        exp_avg_var = tree.map(
            lambda s: s + eps_root.to(s.dtype), tree_lerp(buffers["exp_avg_var"], deviation, 1 - beta2)
        )
        if nesterov:
            m_scale, g_scale = materialize(beta1 / (1 - beta1 ** (count + 2))), materialize((1 - beta1) * correction1)
            directions = tree.map(lambda m, g: scale(m_scale, m) + scale(g_scale, g), exp_avg, grads)
        else:
            directions = tree_scale(correction1, exp_avg)
        updates = tree.map(
            lambda d, s: d / (scale(correction2, safe_sqrt(s)) + eps.to(s.dtype)), directions, exp_avg_var
        )
        return updates, {"exp_avg": exp_avg, "exp_avg_var": exp_avg_var}

    return make_transformation("scale_by_belief", hyperparameters, init, update)
