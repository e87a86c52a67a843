"""A tree of parameters, runs of updates, and comparison of trees."""

from functools import partial

import torch

from funcdl import optim, tree


def a_tree(seed=0, dtype=torch.float64):
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return {
        "body": ({"weight": draw(4, 3), "bias": draw(4)}, draw(())),
        "head": {"weight": draw(2, 4), "bias": draw(2)},
    }


def run(transformation, params, gradients, **extra):
    """Returns the parameters after each update, and the last state."""
    state, trajectory = transformation.init(params), []
    for grads in gradients:
        updates, state = transformation.update(grads, state, params, **extra)
        params = optim.apply_updates(params, updates)
        trajectory.append(params)
    return trajectory, state


def same(actual, expected, **tolerance):
    assert tree.paths(actual) == tree.paths(expected)
    torch.testing.assert_close(tree.leaves(actual), tree.leaves(expected), **tolerance)


def updated(transformation, grads, params):
    return transformation.update(grads, transformation.init(params), params)[0]
