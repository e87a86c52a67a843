"""Averages of gradients and of parameters: against literals and torch."""

import copy
from math import nan

import pytest
import torch

from funcdl import optim, transforms, tree
from tests.optim.steps import a_tree, run, same


@pytest.mark.parametrize("make", [lambda: optim.adam(0.1), lambda: optim.sgd(0.1, 0.9, weight_decay=0.1)])
def test_steps_of_accumulated_gradients_equal_steps_of_their_mean(make):
    params, gradients = a_tree(), [a_tree(seed) for seed in range(1, 13)]
    trajectory, state = run(optim.multi_steps(make(), 4), params, gradients)
    means = [tree.map(lambda *g: sum(g) / 4, *gradients[i : i + 4]) for i in (0, 4, 8)]
    expected, inner = run(make(), params, means)
    for index, now in enumerate(trajectory):
        same(now, expected[(index + 1) // 4 - 1] if index > 2 else params)
    same(state.optimizer, inner)


def test_accumulated_batches_equal_one_large_batch():
    x, y = (torch.randn(12, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) for _ in range(2))

    def loss(params, x, y):
        return ((x @ params["w"] - y) ** 2).mean()

    params = {"w": torch.ones(3, 3, dtype=torch.float64)}
    small = [transforms.grad(loss)(params, x[i : i + 4], y[i : i + 4]) for i in (0, 4, 8)]
    trajectory, _ = run(optim.multi_steps(optim.adam(0.1), 3), params, small)
    same(trajectory[-1], run(optim.adam(0.1), params, [transforms.grad(loss)(params, x, y)])[0][-1])


def test_the_number_of_accumulated_gradients_may_be_scheduled():
    k = optim.schedules.piecewise({0: 1, 2: 3})
    params, ones = {"w": torch.zeros(1)}, {"w": torch.ones(1)}
    trajectory, _ = run(optim.multi_steps(optim.sgd(1.0), k), params, [ones] * 8)
    assert [int(p["w"]) for p in trajectory] == [-1, -2, -2, -2, -3, -3, -3, -4]


def test_a_nan_among_accumulated_gradients_changes_nothing_before_the_step():
    params = {"w": torch.zeros(1)}
    trajectory, _ = run(optim.multi_steps(optim.adam(1.0), 2), params, [{"w": torch.tensor([nan])}] * 2)
    assert trajectory[0]["w"] == 0
    assert trajectory[1]["w"].isnan()


def test_a_nan_is_gone_after_the_step_with_its_mean():
    params, spoilt, good = {"w": torch.zeros(1)}, {"w": torch.tensor([nan])}, {"w": torch.ones(1)}
    optimizer = optim.multi_steps(optim.apply_if_finite(optim.sgd(1.0), 5), 2)
    trajectory, _ = run(optimizer, params, [good, spoilt, good, good])
    assert [p["w"].item() for p in trajectory] == [0.0, 0.0, 0.0, -1.0]


def averages_of_torch(params, trajectory, **options):
    module = torch.nn.ParameterList(p.clone() for p in tree.leaves(params))
    averaged = torch.optim.swa_utils.AveragedModel(module, **options)
    for now in trajectory:
        for parameter, value in zip(module, tree.leaves(now), strict=True):
            parameter.data = value.clone()
        averaged.update_parameters(module)
    return [p.detach() for p in averaged.module]


def test_the_average_of_parameters_equals_that_of_torch():
    params, gradients = a_tree(), [a_tree(seed) for seed in range(1, 12)]
    trajectory, state = run(optim.chain(optim.sgd(0.1), optim.params_ema(0.8, debias=False)), params, gradients)
    same(trajectory[-1], run(optim.sgd(0.1), params, gradients)[0][-1], rtol=0, atol=0)
    ema = torch.optim.swa_utils.get_ema_multi_avg_fn(0.8)
    expected = averages_of_torch(params, [params, *trajectory], multi_avg_fn=ema)
    same(tree.leaves(optim.averaged_params(state)), expected)


def test_a_debiased_average_excludes_the_initial_parameters():
    params, gradients = a_tree(), [a_tree(seed) for seed in range(1, 6)]
    trajectory, state = run(optim.chain(optim.sgd(0.1), optim.params_ema(0.8)), params, gradients)
    weights = [0.8 ** (len(trajectory) - 1 - i) for i in range(len(trajectory))]
    expected = tree.map(lambda *p: sum(w * x for w, x in zip(weights, p, strict=True)) / sum(weights), *trajectory)
    same(optim.averaged_params(state), expected)
    _, first = run(optim.chain(optim.sgd(0.1), optim.params_ema(0.8)), params, gradients[:1])
    same(optim.averaged_params(first), trajectory[0])


@pytest.mark.parametrize(("start", "every"), [(1, 1), (4, 1), (2, 3), (11, 2)])
def test_stochastic_weight_averaging_equals_that_of_torch(start, every):
    params, gradients = a_tree(), [a_tree(seed) for seed in range(1, 12)]
    trajectory, state = run(optim.chain(optim.adam(0.1), optim.swa(start, every)), params, gradients)
    expected = averages_of_torch(params, trajectory[start - 1 :: every])
    same(tree.leaves(optim.averaged_params(state)), expected)


def test_before_its_start_the_mean_is_the_parameters():
    trajectory, state = run(optim.chain(optim.sgd(0.1), optim.swa(4)), a_tree(), [a_tree(seed) for seed in range(1, 4)])
    same(optim.averaged_params(state), trajectory[-1], rtol=1e-12, atol=1e-12)


def test_averages_are_found_within_wrappers_and_refused_where_there_are_none_or_several():
    inner = optim.chain(optim.adam(), optim.params_ema())
    for optimizer in (inner, optim.multi_steps(inner, 2), optim.partition({"all": inner}, {"*": "all"})):
        same(optim.averaged_params(optimizer.init(a_tree())), a_tree())
    with pytest.raises(ValueError, match=r"0 transformations made by params_ema\(\) or swa\(\), expected 1"):
        optim.averaged_params(optim.adam().init(a_tree()))
    with pytest.raises(ValueError, match=r"2 transformations made by params_ema\(\) or swa\(\), expected 1"):
        optim.averaged_params(optim.chain(inner, optim.swa()).init(a_tree()))
    with pytest.raises(ValueError, match=r"0 transformations made by lookahead\(\), expected 1"):
        optim.slow_params(optim.adam().init(a_tree()))


def test_lookahead_moves_its_slow_parameters():
    params, gradients = a_tree(), [a_tree(seed) for seed in range(1, 10)]
    trajectory, state = run(optim.lookahead(optim.sgd(0.1), 3, 0.25), params, gradients)
    slow = now = params
    for index, grads in enumerate(gradients):
        now = tree.map(lambda p, g: p - 0.1 * g, now, grads)
        if index % 3 == 2:
            now = slow = tree.map(lambda s, p: s + 0.25 * (p - s), slow, now)
        same(trajectory[index], now)
    same(optim.slow_params(state), slow)


AVERAGING = {
    "lookahead": lambda: optim.lookahead(optim.sgd(0.1, 0.9), 2, 0.5),
    "params_ema": lambda: optim.chain(optim.adam(0.1), optim.params_ema(0.5, debias=False)),
    "swa": lambda: optim.chain(optim.sgd(0.1), optim.swa(2)),
    "multi_steps": lambda: optim.multi_steps(optim.adam(0.1), 2),
}


def test_donated_steps_are_right_from_the_first():
    optimizers = {name: make() for name, make in AVERAGING.items()}

    def step(carry, grads):
        after = {}
        for name, optimizer in optimizers.items():
            params, state = carry[name]
            updates, state = optimizer.update(grads, state, params)
            after[name] = optim.apply_updates(params, updates), state
        return after

    def start():
        trees = {name: a_tree() for name in optimizers}
        return {name: (params, optimizers[name].init(params)) for name, params in trees.items()}

    fast, donated, plain = transforms.jit(step, donate_argnums=(0,)), start(), start()
    for seed in range(1, 6):
        donated, plain = fast(donated, a_tree(seed)), step(plain, a_tree(seed))
        same(donated, plain)


@pytest.mark.parametrize("make", AVERAGING.values(), ids=AVERAGING)
def test_no_state_shares_memory_with_the_parameters_or_within_itself(make):
    params = a_tree()
    state = make().init(params)
    storages = [leaf.untyped_storage().data_ptr() for leaf in tree.leaves((params, state))]
    assert len(set(storages)) == len(storages)
    kept = copy.deepcopy(params)
    optimizer = make()
    optimizer.update(a_tree(1), state, params)
    same(params, kept, rtol=0, atol=0)
