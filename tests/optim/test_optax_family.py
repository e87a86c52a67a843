"""Properties of the optax family that recorded figures do not show."""

import math
import re

import pytest
import torch

from funcdl import losses, nn, optim, random, train, transforms, tree

PARAMS = {
    "b": torch.tensor(0.5, dtype=torch.float64),
    "w": torch.tensor([[1.0, -2.0, 3.0], [0.5, 0.1, -0.3]], dtype=torch.float64),
}
GRADS = {
    "b": torch.tensor(-0.7, dtype=torch.float64),
    "w": torch.tensor([[0.3, 0.2, -0.1], [1.5, -0.4, 0.6]], dtype=torch.float64),
}
KEYS = {"philox": random.key(3), "threefry": random.key(3, impl="threefry2x32")}


def run(optimizer, gradient, params, steps):
    """The parameters before each update, and in the end the state."""
    state, path = optimizer.init(params), [params]
    for _ in range(steps):
        updates, state = optimizer.update(gradient(params), state, params)
        params = optim.apply_updates(params, updates)
        path.append(params)
    return path, state


def quadratic(params):
    return tree.map(lambda p: 2 * p, params)


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_noise_follows_its_formula(key):
    transformation = optim.add_noise(key, eta=0.3, gamma=0.7)
    state = transformation.init(PARAMS)
    for t in (1, 2, 3):
        updates, state = transformation.update(GRADS, state, PARAMS)
        keys = random.split(random.fold_in(key, t - 1), 2)
        for leaf_key, name in zip(keys, ("b", "w"), strict=True):
            noise = random.normal(leaf_key, GRADS[name].shape, dtype=torch.float64)
            torch.testing.assert_close(updates[name], GRADS[name] + math.sqrt(0.3 / t**0.7) * noise)
    assert torch.equal(state.buffers["key"], key)


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_noise_has_the_documented_variance(key):
    params = {"w": torch.zeros(100_000)}
    transformation = optim.noisy_sgd(key, lr=2.0, eta=0.3, gamma=0.5)
    state, draws = transformation.init(params), []
    for t in (1, 2, 3, 4):
        updates, state = transformation.update(params, state, params)
        draws.append(updates["w"])
        assert abs(updates["w"].mean()) < 0.02
        torch.testing.assert_close(updates["w"].var().item(), 4 * 0.3 / math.sqrt(t), rtol=0.02, atol=0)
    assert torch.corrcoef(torch.stack(draws)).triu(1).abs().max() < 0.02


@pytest.mark.parametrize("impl", KEYS)
def test_members_with_their_own_keys_draw_their_own_noise(impl):
    keys = random.split(KEYS[impl], 3)
    states = transforms.vmap(lambda key: optim.add_noise(key).init(PARAMS))(keys)
    update = optim.add_noise(keys[0]).update  # the key of the state counts, not this one
    together, _ = transforms.vmap(lambda state: update(GRADS, state, PARAMS))(states)
    for key, member in zip(keys, tree.unstack(together), strict=True):
        single = optim.add_noise(key)
        alone, _ = single.update(GRADS, single.init(PARAMS), PARAMS)
        torch.testing.assert_close(tree.leaves(member), tree.leaves(alone))


def test_the_state_shares_no_memory_with_the_key():
    key = random.key(0)
    assert optim.add_noise(key).init(PARAMS).buffers["key"].data_ptr() != key.data_ptr()


def test_sam_descends_from_the_start_with_the_gradient_at_the_perturbed_parameters():
    path, state = run(optim.sam(optim.sgd(0.1), rho=0.3, sync_period=3), quadratic, PARAMS, 6)
    expected = PARAMS
    for cycle in range(2):
        top = expected
        for climb in range(3):
            torch.testing.assert_close(path[3 * cycle + climb], top)
            norm = tree.global_norm(quadratic(top))
            beyond = tree.map(lambda p, g: p + 0.3 * g / norm, top, quadratic(top))  # noqa: B023
            gradient, top = quadratic(top), beyond
        expected = tree.map(lambda p, g: p - 0.1 * g, expected, gradient)
    torch.testing.assert_close(path[6], expected)
    assert list(optim.get_hyperparameters(state)) == ["wrapper.rho", "optimizer.0.weight_decay", "optimizer.1.lr"]


def test_sam_is_evaluated_where_it_started_to_ascend():
    optimizer = optim.chain(optim.clip_by_global_norm(1.0), optim.sam(optim.adam(0.1), rho=0.3))
    for steps in range(5):
        path, state = run(optimizer, quadratic, PARAMS, steps)
        torch.testing.assert_close(optim.sam_eval_params(state, path[-1]), path[steps - steps % 2])


def test_sam_counts_and_schedules_the_steps_of_its_optimizer():
    def halving(step):
        return 0.5**step

    _, state = run(optim.sam(optim.sgd(lr=halving)), quadratic, PARAMS, 5)
    numbers = optim.get_hyperparameters(state)
    assert (state.wrapper.count, state.optimizer[1].count, numbers["optimizer.1.lr"]) == (5, 2, 0.5)


def test_sam_stays_where_the_gradient_is_zero():
    path, _ = run(optim.sam(optim.sgd(0.1)), tree.zeros_like, PARAMS, 3)
    torch.testing.assert_close(path[-1], PARAMS, rtol=0, atol=0)


def test_sam_trains_in_a_step():
    model = nn.linear(1)
    x = torch.tensor([[1.0], [2.0], [3.0]])
    optimizer = optim.sam(optim.sgd(0.05, 0.5), rho=1e-3)
    state = train.make_state(model, optimizer, random.key(0), x)
    step = train.make_step(model, losses.mse, optimizer)
    for _ in range(401):
        state, _ = step(state, (x, 2 * x + 1))
    params = optim.sam_eval_params(state.optimizer, state.params)
    torch.testing.assert_close(model(params, x), 2 * x + 1, rtol=0, atol=0.02)


def test_schedule_free_computes_the_weighted_average_of_its_iterates():
    lr = [0.3, 0.1, 0.4, 0.2]

    def rates(step):
        return torch.tensor(lr, dtype=torch.float64)[step]

    optimizer = optim.chain(optim.clip_by_global_norm(1.0), optim.schedule_free_sgd(rates, 0.8, weight_lr_power=1.5))
    params, state = PARAMS, optimizer.init(PARAMS)
    end, average, weights = PARAMS, PARAMS, 0.0
    for step in range(4):
        gradient = optim.clip_by_global_norm(1.0).update(quadratic(params), state[0], params)[0]
        updates, state = optimizer.update(quadratic(params), state, params)
        params = optim.apply_updates(params, updates)
        weight = max(lr[: step + 1]) ** 1.5
        weights += weight
        end = tree.map(lambda z, g: z - lr[step] * g, end, gradient)  # noqa: B023
        average = tree.map(lambda x, z: x + weight / weights * (z - x), average, end)  # noqa: B023
        torch.testing.assert_close(params, tree.map(lambda x, z: 0.8 * x + 0.2 * z, average, end))
        torch.testing.assert_close(optim.schedule_free_eval_params(state, params), average)


def test_schedule_free_ignores_updates_with_a_rate_of_zero():
    path, state = run(optim.schedule_free_sgd(lambda step: 0.1 * (step > 2)), quadratic, PARAMS, 5)
    torch.testing.assert_close(path[3], PARAMS, rtol=0, atol=0)
    assert state[1].buffers["weight_sum"] == pytest.approx(0.02)
    assert (path[5]["w"].isfinite() & (path[5]["w"] != path[3]["w"])).all()


def test_schedule_free_evaluates_complex_parameters():
    params = {"w": torch.tensor([1.0 + 2.0j, -3.0j], dtype=torch.complex128)}
    path, state = run(optim.schedule_free_sgd(0.1, 0.6), quadratic, params, 4)
    pairs, pair_state = run(optim.schedule_free_sgd(0.1, 0.6), quadratic, tree.map(torch.view_as_real, params), 4)
    value = optim.schedule_free_eval_params(state, path[-1])["w"]
    expected = optim.schedule_free_eval_params(pair_state, pairs[-1])["w"]
    torch.testing.assert_close(torch.view_as_real(value), expected)


@pytest.mark.parametrize("function", [optim.schedule_free_eval_params, optim.sam_eval_params])
def test_parameters_for_evaluation_need_the_state_of_one(function):
    optimizer = optim.sgd(0.1) if function is optim.sam_eval_params else optim.sam(optim.sgd(0.1))
    with pytest.raises(ValueError, match=f"{function.__name__}: the state has 0 .*, expected 1; pass the state"):
        function(optimizer.init(PARAMS), PARAMS)


def test_prodigy_finds_the_distance_to_go():
    start = {"x": torch.tensor([3.0, -4.0], dtype=torch.float64)}

    def distance(params):  # the gradient of |x|, whose minimum is 5 away
        return tree.map(lambda p: p / p.norm(), params)

    path, state = run(optim.prodigy(), distance, start, 300)
    assert 0.5 < state[0].buffers["d"] < 10  # from 1e-6
    assert path[-1]["x"].norm() < 1.0


def test_the_first_rate_of_prodigy_may_be_replaced():
    optimizer = optim.prodigy()
    state = optim.replace_hyperparameters(optimizer.init(PARAMS), d0=0.1)
    updates, _ = optimizer.update(GRADS, state, PARAMS)
    made = optim.prodigy(d0=0.1)
    expected, _ = made.update(GRADS, made.init(PARAMS), PARAMS)
    torch.testing.assert_close(updates, expected, rtol=0, atol=0)


def test_prodigy_survives_gradients_of_zero_in_the_beginning():
    optimizer = optim.prodigy(d0=0.1)
    state = optimizer.init(PARAMS)
    updates, state = optimizer.update(tree.zeros_like(GRADS), state, PARAMS)
    torch.testing.assert_close(updates, tree.zeros_like(PARAMS), rtol=0, atol=0)
    updates, _ = optimizer.update(GRADS, state, PARAMS)
    assert all((leaf.isfinite() & (leaf != 0)).all() for leaf in tree.leaves(updates))


def test_the_third_decay_of_prodigy_follows_the_second():
    assert not any(path.endswith("beta3") for path in optim.get_hyperparameters(optim.prodigy().init(PARAMS)))
    given, free = optim.prodigy(betas=(0.9, 0.81), beta3=0.9, d0=0.1), optim.prodigy(betas=(0.9, 0.81), d0=0.1)
    torch.testing.assert_close(run(given, quadratic, PARAMS, 5)[0], run(free, quadratic, PARAMS, 5)[0])


@pytest.mark.parametrize(
    "make",
    [
        optim.sign_sgd,
        optim.lion,
        optim.lamb,
        optim.lars,
        optim.adabelief,
        optim.yogi,
        optim.novograd,
        optim.adan,
        lambda **flag: optim.prodigy(d0=0.1, **flag),
        optim.schedule_free_sgd,
        optim.schedule_free_adamw,
        lambda **flag: optim.noisy_sgd(KEYS["philox"], **flag),
    ],
)
def test_maximize_negates_the_gradients(make):
    ascent, _ = run(make(maximize=True), lambda params: GRADS, PARAMS, 3)
    descent, _ = run(make(), lambda params: tree.map(torch.neg, GRADS), PARAMS, 3)
    torch.testing.assert_close(ascent, descent, rtol=0, atol=0)
    assert not torch.equal(ascent[-1]["w"], run(make(), lambda params: GRADS, PARAMS, 3)[0][-1]["w"])


def test_yogi_is_biased_where_gradients_are_zero():
    path, _ = run(optim.yogi(lr=1.0, eps=0.5), tree.zeros_like, PARAMS, 1)
    v = 1e-6 / (1 - 0.999)
    lean = 0.9e-6 / (1 - 0.9) / (math.sqrt(v) + 0.5)
    torch.testing.assert_close(path[1], tree.map(lambda p: p - lean, PARAMS))


def test_adan_stores_its_own_copy_of_the_gradient():
    grads = tree.map(torch.clone, GRADS)
    optimizer = optim.adan()
    _, state = optimizer.update(grads, optimizer.init(PARAMS), PARAMS)
    grads["w"].zero_()
    torch.testing.assert_close(state[0].buffers["grad"], GRADS)


def test_a_trust_ratio_leaves_parameters_of_zero_free_to_move():
    params = {"zero": torch.zeros(2), "other": torch.tensor([3.0, 4.0])}
    grads = {"zero": torch.tensor([0.6, -0.8]), "other": torch.zeros(2)}
    transformation = optim.scale_by_trust_ratio(trust_coefficient=0.1)
    torch.testing.assert_close(transformation.update(grads, transformation.init(params), params)[0], grads)


def test_donation_and_compilation_change_nothing():
    optimizers = {
        "noisy_sgd": optim.noisy_sgd(KEYS["philox"], 0.1),
        "prodigy": optim.prodigy(d0=0.1),
        "sam": optim.sam(optim.noisy_sgd(random.key(1), 0.1)),
        "schedule_free_sgd": optim.schedule_free_sgd(0.1),
    }

    def step(values):
        after = {}
        for name, (params, state) in values.items():
            updates, state = optimizers[name].update(quadratic(params), state, params)
            after[name] = optim.apply_updates(params, updates), state
        return after

    def start():
        return {name: (tree.map(torch.clone, PARAMS), optimizer.init(PARAMS)) for name, optimizer in optimizers.items()}

    fast, donated, plain = transforms.jit(step, donate_argnums=(0,)), start(), start()
    for _ in range(3):
        donated, plain = fast(donated), step(plain)
    torch.testing.assert_close(tree.leaves(donated), tree.leaves(plain))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.lion(betas=(0.9, 1.0)), "betas[1]=1.0 is out of range; expected a number in [0, 1)"),
        (lambda: optim.lamb(eps=-1.0), "eps=-1.0 is out of range"),
        (lambda: optim.lars(trust_coefficient=-1.0), "trust_coefficient=-1.0 is out of range"),
        (lambda: optim.lars(momentum=0, nesterov=True), "lars: nesterov=True with momentum=0 is not defined"),
        (lambda: optim.scale_by_trust_ratio(min_norm=-1.0), "min_norm=-1.0 is out of range"),
        (lambda: optim.adabelief(eps_root=-1.0), "eps_root=-1.0 is out of range"),
        (lambda: optim.yogi(initial_accumulator_value=-1.0), "initial_accumulator_value=-1.0 is out of range"),
        (lambda: optim.novograd(weight_decay=-1.0), "weight_decay=-1.0 is out of range"),
        (lambda: optim.adan(betas=(0.9, 0.9, 1.5)), "betas[2]=1.5 is out of range"),
        (lambda: optim.prodigy(d0=0.0), "prodigy: d0=0.0 is out of range; expected a number above 0"),
        (lambda: optim.prodigy(beta3=1.0), "beta3=1.0 is out of range"),
        (lambda: optim.schedule_free_sgd(momentum=0.0), "momentum=0.0 is out of range; expected a number in (0, 1)"),
        (lambda: optim.schedule_free_adamw(betas=(1.0, 0.9)), "momentum=1.0 is out of range"),
        (
            lambda: optim.sam(optim.sgd(), sync_period=1),
            "sam: sync_period=1 is out of range; expected an integer, at least 2",
        ),
        (lambda: optim.sam(optim.sgd(), rho=-1.0), "sam: rho=-1.0 is out of range"),
        (lambda: optim.noisy_sgd(0), "the key is 0, expected one key of shape (2,); pass random.key(seed)"),
        (lambda: optim.add_noise(random.split(random.key(0), 3)), "the key is a tensor of shape (3, 2), expected"),
        (lambda: optim.add_noise(random.key(0), eta=-1.0), "eta=-1.0 is out of range"),
    ],
)
def test_bad_arguments_are_refused_when_the_optimizer_is_made(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


def test_sam_refuses_the_state_of_another():
    with pytest.raises(ValueError, match=r"sam: update\(\) got the state of another optimizer"):
        optim.sam(optim.sgd()).update(GRADS, optim.sgd().init(PARAMS), PARAMS)
