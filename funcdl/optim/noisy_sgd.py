"""Gradient noise whose variance decays, drawn from a key in the optimizer's state."""

from __future__ import annotations

from torch import Tensor

from funcdl import random, tree
from funcdl.optim.hyperparameters import Count, ScalarOrSchedule, check_hyperparameter, check_nonnegative, materialize
from funcdl.optim.learning_rate import scale_by_learning_rate
from funcdl.optim.safe_math import safe_sqrt
from funcdl.optim.transformation import Transformation, chain
from funcdl.optim.tree_math import scale
from funcdl.optim.update_rule import Buffers, Hyper, make_transformation
from funcdl.random.keys import Key
from funcdl.tree import Tree


def noisy_sgd(
    key: Key,
    lr: ScalarOrSchedule = 1e-3,
    eta: ScalarOrSchedule = 0.01,
    gamma: ScalarOrSchedule = 0.55,
    *,
    maximize: bool = False,
) -> Transformation:
    """Descent along noisy gradients: `p <- p - lr (g + n)`, with the noise `n` of `add_noise`.

    Args:
        key: key of the noise; see `add_noise`.
        lr: learning rate, at least 0.
        eta: variance of the noise of the first update, at least 0.
        gamma: how fast the variance decays.
        maximize: whether to ascend.

    Returns:
        A transformation with the hyperparameters `eta`, `gamma` and `lr`.

    Raises:
        ValueError: `key` is not a key, or a hyperparameter is out of range.

    >>> import torch
    >>> from funcdl import optim, random
    >>> optimizer, params = optim.noisy_sgd(random.key(0), lr=0.1, eta=1e-6), {"w": torch.ones(2)}
    >>> updates, state = optimizer.update({"w": torch.tensor([1.0, 2.0])}, optimizer.init(params), params)
    >>> updates["w"].round(decimals=2)
    tensor([-0.1000, -0.2000])

    Neelakantan et al., "Adding Gradient Noise Improves Learning for Very Deep Networks" (2015),
    https://arxiv.org/abs/1511.06807. Like `optax.noisy_sgd`, but with different random numbers.
    """
    return chain(add_noise(key, eta, gamma), scale_by_learning_rate(lr), maximize=maximize)


def add_noise(key: Key, eta: ScalarOrSchedule = 0.01, gamma: ScalarOrSchedule = 0.55) -> Transformation:
    """Adds normal noise to the gradients: `u = g + sqrt(eta / t^gamma) n` at update `t = 1, 2, ...`.

    The standard normal noise `n` of leaf `i`, in the order of `tree.leaves`, is
    `random.normal(split(fold_in(key, t - 1), leaves)[i], shape, dtype=dtype)`; a complex leaf gets noise in both parts.

    Args:
        key: a key of shape (2,), of any generator, not used before. It is stored in the `buffers` of the state and
            never changes. States made under `vmap` from one key all draw the same noise; to give each member its own
            noise, initialize each with its own key: `vmap(lambda key, params: optim.add_noise(key).init(params))`.
        eta: variance of the noise of the first update, at least 0.
        gamma: how fast the variance decays: constant for 0, growing if negative.

    Raises:
        ValueError: `key` is not a tensor of shape (2,), or a hyperparameter is out of range.

    >>> import torch
    >>> from funcdl import optim, random
    >>> params = {"w": torch.zeros(10_000)}
    >>> transformation = optim.add_noise(random.key(0), eta=0.04)
    >>> updates, state = transformation.update(params, transformation.init(params), params)
    >>> updates["w"].std().round(decimals=2)
    tensor(0.2000)

    Like `optax.add_noise`, which splits a key in the state at each update and draws different numbers.
    """
    if not isinstance(key, Tensor) or key.shape != (2,):
        what = f"a tensor of shape {tuple(key.shape)}" if isinstance(key, Tensor) else repr(key)
        raise ValueError(f"add_noise: the key is {what}, expected one key of shape (2,); pass random.key(seed)")
    hyperparameters = {
        **check_nonnegative("add_noise", eta=eta),
        "gamma": check_hyperparameter("add_noise", "gamma", gamma, low=-float("inf")),
    }

    def init(params: Tree) -> dict[str, Tree]:
        device = next((leaf.device for leaf in tree.leaves(params)), key.device)
        return {"key": key.to(device, copy=True)}

    def update(grads: Tree, buffers: Buffers, params: Tree, hyper: Hyper, count: Count) -> tuple[Tree, Buffers]:
        deviation = materialize(safe_sqrt(hyper["eta"] / (count + 1) ** hyper["gamma"]))
        leaves, structure = tree.flatten(grads)
        if not leaves:
            return grads, buffers
        keys = random.split(random.fold_in(buffers["key"], count), len(leaves))
        noisy = [
            g + scale(deviation, random.normal(leaf_key, g.shape, dtype=g.dtype))
            for leaf_key, g in zip(keys, leaves, strict=True)
        ]
        return tree.unflatten(structure, noisy), buffers

    return make_transformation("add_noise", hyperparameters, init, update)
