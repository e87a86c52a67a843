"""Wrappers and schedules against optax, step by step, where it is installed."""

import numpy
import pytest
import torch

from funcdl import optim, tree
from funcdl.optim import schedules

jax = pytest.importorskip("jax", reason="jax is not installed")
optax = pytest.importorskip("optax", reason="optax is not installed")

SHAPES = {"a": (4, 3), "b": (3,), "c": ()}
STEPS = 15
inf, nan = numpy.inf, numpy.nan


def gradients(step):
    return {
        name: numpy.sin(0.7 * step + 2.5 * index + numpy.arange(numpy.prod(shape))).reshape(shape) * 1.5
        for index, (name, shape) in enumerate(SHAPES.items())
    }


def spoilt(step):
    grads = gradients(step)
    if step in (2, 5, 6, 7, 8, 12):
        grads["a"][1, 2] = nan if step % 2 else inf
    return grads


def our_sgd():
    return optim.sgd(0.1, 0.9)


def their_sgd():
    return optax.sgd(0.1, 0.9)


def matrices(params):
    return jax.tree.map(lambda p: p.ndim > 1, params)


CASES = {
    "clip": (lambda: optim.clip_by_value(0.7), lambda: optax.clip(0.7)),
    "ema": (lambda: optim.ema(0.8), lambda: optax.ema(0.8)),
    "ema biased": (lambda: optim.ema(0.8, debias=False), lambda: optax.ema(0.8, debias=False)),
    "centralize": (optim.centralize, optax.centralize),
    "multi_steps": (
        lambda: optim.multi_steps(optim.adam(0.1), 4),
        lambda: optax.MultiSteps(optax.adam(0.1), 4, accumulator_dtype="float64"),
    ),
    "multi_steps scheduled": (
        lambda: optim.multi_steps(our_sgd(), schedules.piecewise({0: 2, 6: 3})),
        lambda: optax.MultiSteps(their_sgd(), lambda step: 2 + (step >= 3), accumulator_dtype="float64"),
    ),
    "partition": (
        lambda: optim.partition({"x": our_sgd(), "y": optim.adam(0.2)}, {"a": "x", "*": "y"}),
        lambda: optax.partition({"x": their_sgd(), "y": optax.adam(0.2)}, {"a": "x", "b": "y", "c": "y"}),
    ),
    "masked": (
        lambda: optim.chain(our_sgd(), optim.masked(optim.add_decayed_weights(0.1), lambda path, leaf: leaf.ndim > 1)),
        lambda: optax.chain(their_sgd(), optax.masked(optax.add_decayed_weights(0.1), matrices)),
    ),
    "freeze": (
        lambda: optim.chain(our_sgd(), optim.freeze("a")),
        lambda: optax.chain(their_sgd(), optax.freeze({"a": True, "b": False, "c": False})),
    ),
    "flatten": (lambda: optim.flatten(optim.adam(0.1)), lambda: optax.flatten(optax.adam(0.1))),
    "zero_nans": (
        lambda: optim.chain(optim.zero_nans(), optim.clip_by_value(1.0), our_sgd()),
        lambda: optax.chain(optax.zero_nans(), optax.clip(1.0), their_sgd()),
    ),
    "apply_if_finite": (
        lambda: optim.apply_if_finite(optim.adam(0.1), 3),
        lambda: optax.apply_if_finite(optax.adam(0.1), 3),
    ),
}


def our_path(make, gradients):
    params = tree.map(torch.as_tensor, {name: numpy.cos(g) for name, g in gradients(0).items()})
    transformation, path = make(), []
    state = transformation.init(params)
    for step in range(STEPS):
        updates, state = transformation.update(tree.map(torch.as_tensor, gradients(step)), state, params)
        params = optim.apply_updates(params, updates)
        path.append(params)
    return path, state


def their_path(make, gradients, wrap=lambda params: params):
    with jax.enable_x64(True):
        params = wrap({name: jax.numpy.asarray(numpy.cos(g)) for name, g in gradients(0).items()})
        twin, path = make(), []
        state, update = twin.init(params), jax.jit(twin.update)
        for step in range(STEPS):
            updates, state = update(jax.tree.map(jax.numpy.asarray, gradients(step)), state, params)
            params = optax.apply_updates(params, updates)
            path.append(jax.tree.map(lambda leaf: torch.as_tensor(numpy.array(leaf)), params))
    return path, state


def same(actual, expected):
    options = {"rtol": 1e-10, "atol": 1e-12, "equal_nan": True}
    torch.testing.assert_close(tree.leaves(actual), tree.leaves(expected), **options)


@pytest.mark.parametrize("case", CASES)
def test_takes_the_steps_of_optax(case):
    ours, theirs = CASES[case]
    feed = spoilt if case in ("zero_nans", "apply_if_finite") else gradients
    same(our_path(ours, feed)[0], their_path(theirs, feed)[0])


def test_counts_errors_as_optax():
    ours, theirs = CASES["apply_if_finite"]
    (_, mine), (_, twin) = our_path(ours, spoilt), their_path(theirs, spoilt)
    for name in ("notfinite_count", "total_notfinite", "last_finite"):
        assert int(mine.wrapper.buffers[name]) == int(getattr(twin, name)), name


def test_lookahead_takes_the_fast_steps_of_optax_and_keeps_its_slow_parameters():
    mine, state = our_path(lambda: optim.lookahead(our_sgd(), 4, 0.3), gradients)
    twin, _ = their_path(lambda: optax.lookahead(their_sgd(), 4, 0.3), gradients, optax.LookaheadParams.init_synced)
    same(mine, [params.fast for params in twin])
    same(optim.slow_params(state), twin[-1].slow)


def test_adaptive_clipping_is_that_of_optax_with_units_in_the_last_dimension():
    mine, _ = our_path(lambda: optim.adaptive_gradient_clip(0.3, 0.2), gradients)

    def turned(step):
        return {name: g.T for name, g in gradients(step).items()}

    twin, _ = their_path(lambda: optax.adaptive_grad_clip(0.3, 0.2), turned)
    same(mine, [{name: leaf.T if leaf.ndim > 1 else leaf for name, leaf in params.items()} for params in twin])


SCHEDULES = {
    "piecewise": (
        schedules.piecewise({0: 0.4, 10: 0.2, 25: 0.8}),
        lambda: optax.piecewise_constant_schedule(0.4, {10: 0.5, 25: 4.0}),
    ),
    "piecewise linear": (
        schedules.piecewise({0: 0.4, 10: 0.2, 25: 0.8}, interpolate="linear"),
        lambda: optax.piecewise_interpolate_schedule("linear", 0.4, {10: 0.5, 25: 4.0}),
    ),
    "piecewise cos": (
        schedules.piecewise({0: 0.4, 10: 0.2, 25: 0.8}, interpolate="cos"),
        lambda: optax.piecewise_interpolate_schedule("cosine", 0.4, {10: 0.5, 25: 4.0}),
    ),
    "join": (
        schedules.join([schedules.linear(0.4, 0.0, 1.0, 10), schedules.exponential(0.4, 0.9), 0.1], [10, 30]),
        lambda: optax.join_schedules(
            [
                optax.linear_schedule(0.0, 0.4, 10),
                optax.exponential_decay(0.4, 1, 0.9),
                optax.constant_schedule(0.1),
            ],
            [10, 30],
        ),
    ),
    "warm_up": (
        schedules.warm_up(schedules.cosine(0.4, 40), 10, 0.25),
        lambda: optax.warmup_cosine_decay_schedule(0.1, 0.4, 10, 50),
    ),
}


@pytest.mark.parametrize("case", SCHEDULES)
def test_schedules_equal_those_of_optax(case):
    schedule, theirs = SCHEDULES[case]
    mine = [float(schedule(torch.tensor(step))) for step in range(50)]
    with jax.enable_x64(True):
        twin = theirs()
        expected = [float(twin(jax.numpy.asarray(step, dtype="int64"))) for step in range(50)]
    numpy.testing.assert_allclose(mine, expected, rtol=1e-10, atol=1e-12)
