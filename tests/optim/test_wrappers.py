"""Clipping, averages and wrappers: what they compute, by literals and by their twins in torch."""

import copy
from functools import partial

import pytest
import torch

from funcdl import optim, transforms, tree
from funcdl.testing import assert_matches_optimizer

nan, inf = float("nan"), float("inf")


def a_tree(seed=0, dtype=torch.float64):
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return {
        "body": ({"weight": draw(4, 3), "bias": draw(4)}, draw(())),
        "head": {"weight": draw(2, 4), "bias": draw(2)},
    }


def run(transformation, params, gradients, **extra):
    """Returns the parameters after each update, and the last state."""
    state, way = transformation.init(params), []
    for grads in gradients:
        updates, state = transformation.update(grads, state, params, **extra)
        params = optim.apply_updates(params, updates)
        way.append(params)
    return way, state


def same(actual, expected, **tolerance):
    assert tree.paths(actual) == tree.paths(expected)
    torch.testing.assert_close(tree.leaves(actual), tree.leaves(expected), **tolerance)


def updated(transformation, grads, params):
    return transformation.update(grads, transformation.init(params), params)[0]


@pytest.mark.parametrize("limit", [0.0, 0.4, 100.0])
def test_clips_as_torch(limit):
    params, grads = a_tree(), tree.map(lambda p: 2 * p, a_tree(1))
    for make, clip in (
        (optim.clip_by_value, torch.nn.utils.clip_grad_value_),
        (optim.clip_by_norm, lambda twins, limit: [torch.nn.utils.clip_grad_norm_(twin, limit) for twin in twins]),
        (optim.clip_by_global_norm, torch.nn.utils.clip_grad_norm_),
    ):
        twins = [torch.nn.Parameter(p.clone()) for p in tree.leaves(params)]
        for twin, grad in zip(twins, tree.leaves(grads), strict=True):
            twin.grad = grad.clone()
        clip(twins, limit)
        same(tree.leaves(updated(make(limit), grads, params)), [twin.grad for twin in twins])


def test_clipping_leaves_a_nan_where_it_is():
    grads = {"w": torch.tensor([nan, 5.0, -inf])}
    torch.testing.assert_close(
        updated(optim.clip_by_value(1.0), grads, grads)["w"], torch.tensor([nan, 1, -1]), equal_nan=True
    )


def test_adaptive_clipping_goes_by_unit():
    params = {"w": torch.tensor([[3.0, 4.0], [0.0, 0.0]]), "b": torch.tensor([0.0, 2.0]), "s": torch.tensor(10.0)}
    grads = {"w": torch.tensor([[0.0, 5.0], [3.0, 4.0]]), "b": torch.tensor([3.0, 4.0]), "s": torch.tensor(0.5)}
    updates = updated(optim.adaptive_gradient_clip(0.1, eps=0.5), grads, params)
    torch.testing.assert_close(updates["w"], torch.tensor([[0.0, 0.5], [0.03, 0.04]]))
    torch.testing.assert_close(updates["b"], torch.tensor([0.12, 0.16]))
    assert updates["s"] == 0.5
    same(updated(optim.adaptive_gradient_clip(0.0), tree.zeros_like(grads), params), tree.zeros_like(grads))


def test_the_shape_of_a_complex_leaf_is_its_own():
    z = torch.complex(torch.tensor([[1.0, 3.0], [2.0, 6.0]]), torch.tensor([[0.0, 2.0], [4.0, 4.0]]))
    params = {"matrix": z, "vector": z[0], "scalar": z[0, 0]}
    centred = updated(optim.centralize(), params, params)
    torch.testing.assert_close(centred["matrix"], z - z.mean(1, keepdim=True))
    torch.testing.assert_close(centred["vector"], z[0])
    clipped = updated(optim.adaptive_gradient_clip(0.5), params, params)
    same(clipped, tree.map(lambda leaf: leaf / 2, params))


def test_a_mean_of_nothing_does_no_harm():
    empty = {"w": torch.zeros(3, 0), "v": torch.zeros(0, 3)}
    same(updated(optim.centralize(), empty, empty), empty)


def test_nans_are_counted_leaf_by_leaf():
    params = {"a": torch.zeros(3), "b": torch.zeros(())}
    transformation = optim.zero_nans()
    state = transformation.init(params)
    for grads in (
        {"a": torch.tensor([nan, 1.0, nan]), "b": torch.tensor(nan)},
        {"a": torch.tensor([nan, inf, 2.0]), "b": torch.tensor(3.0)},
    ):
        updates, state = transformation.update(grads, state, params)
    same(updates, {"a": torch.tensor([0.0, inf, 2.0]), "b": torch.tensor(3.0)})
    assert {name: int(count) for name, count in state.memory["nans"].items()} == {"a": 3, "b": 1}


@pytest.mark.parametrize("make", [lambda: optim.adam(0.1), lambda: optim.sgd(0.1, 0.9, weight_decay=0.1)])
def test_steps_of_gathered_gradients_equal_steps_of_their_mean(make):
    params, gradients = a_tree(), [a_tree(seed) for seed in range(1, 13)]
    way, state = run(optim.multi_steps(make(), 4), params, gradients)
    means = [tree.map(lambda *g: sum(g) / 4, *gradients[i : i + 4]) for i in (0, 4, 8)]
    expected, inner = run(make(), params, means)
    for index, now in enumerate(way):
        same(now, expected[(index + 1) // 4 - 1] if index > 2 else params)
    same(state.optimizer, inner)


def test_gathered_batches_equal_one_large_batch():
    x, y = (torch.randn(12, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) for _ in range(2))

    def loss(params, x, y):
        return ((x @ params["w"] - y) ** 2).mean()

    params = {"w": torch.ones(3, 3, dtype=torch.float64)}
    small = [transforms.grad(loss)(params, x[i : i + 4], y[i : i + 4]) for i in (0, 4, 8)]
    way, _ = run(optim.multi_steps(optim.adam(0.1), 3), params, small)
    same(way[-1], run(optim.adam(0.1), params, [transforms.grad(loss)(params, x, y)])[0][-1])


def test_the_number_of_gathered_gradients_may_be_scheduled():
    k = optim.schedules.piecewise({0: 1, 2: 3})
    params, ones = {"w": torch.zeros(1)}, {"w": torch.ones(1)}
    way, _ = run(optim.multi_steps(optim.sgd(1.0), k), params, [ones] * 8)
    assert [int(p["w"]) for p in way] == [-1, -2, -2, -2, -3, -3, -3, -4]


def test_a_nan_in_what_is_gathered_moves_nothing_before_its_time():
    params = {"w": torch.zeros(1)}
    way, _ = run(optim.multi_steps(optim.adam(1.0), 2), params, [{"w": torch.tensor([nan])}] * 2)
    assert way[0]["w"] == 0
    assert way[1]["w"].isnan()


def test_a_nan_is_gone_with_the_mean_that_it_spoilt():
    params, spoilt, good = {"w": torch.zeros(1)}, {"w": torch.tensor([nan])}, {"w": torch.ones(1)}
    optimizer = optim.multi_steps(optim.apply_if_finite(optim.sgd(1.0), 5), 2)
    way, _ = run(optimizer, params, [good, spoilt, good, good])
    assert [p["w"].item() for p in way] == [0.0, 0.0, 0.0, -1.0]


def test_groups_step_as_the_parameter_groups_of_torch():
    params = a_tree()
    optimizer = optim.partition(
        {"slow": optim.sgd(0.01, 0.9), "fast": optim.adam(0.1), "biases": optim.sgd(0.3)},
        {"*.bias": "biases", "head": "fast", "body.?.*": "slow", "*": "slow"},
    )
    names = dict(zip(tree.paths(params), range(10), strict=False))

    class Groups:
        def __init__(self, leaves):
            def of(*paths):
                return [leaves[names[path]] for path in paths]

            self.parts = [
                torch.optim.SGD(of("body.0.weight", "body.1"), lr=0.01, momentum=0.9),
                torch.optim.Adam(of("head.weight"), lr=0.1),
                torch.optim.SGD(of("body.0.bias", "head.bias"), lr=0.3),
            ]

        def step(self):
            for part in self.parts:
                part.step()

    assert_matches_optimizer(optimizer, Groups, params, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "labels",
    [
        {"head.*": "fast", "body": "slow"},
        lambda path, leaf: "fast" if path.startswith("head") else "slow",
        {"body": ({"weight": "slow", "bias": "slow"}, "slow"), "head": {"weight": "fast", "bias": "fast"}},
    ],
    ids=["patterns", "function", "tree"],
)
def test_labels_say_the_same_in_each_form(labels):
    params, grads = a_tree(), a_tree(1)
    updates = updated(optim.partition({"fast": optim.sgd(1.0), "slow": optim.sgd(0.1)}, labels), grads, params)
    same(updates, {"body": tree.map(lambda g: -0.1 * g, grads["body"]), "head": tree.map(torch.neg, grads["head"])})


def test_a_flat_tree_of_labels_is_one_even_where_a_name_looks_like_a_pattern():
    params = {"[a]": torch.ones(1), "a": torch.ones(1)}
    groups = {"fast": optim.sgd(1.0), "slow": optim.sgd(0.5)}
    updates = updated(optim.partition(groups, {"[a]": "fast", "a": "slow"}), params, params)
    assert (updates["[a]"].item(), updates["a"].item()) == (-1.0, -0.5)


MASKS = {
    "pattern": "*.bias",
    "patterns": ["head.bias", "body.0.bi?s"],
    "predicate": lambda path, leaf: leaf.ndim == 1,
    "tree": {"body": ({"weight": False, "bias": True}, False), "head": {"weight": False, "bias": True}},
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_a_mask_chooses_in_each_form(mask):
    params, grads = a_tree(), a_tree(1)

    def where_chosen(f):
        return tree.map_with_path(lambda path, leaf: f(leaf) if path.endswith("bias") else leaf, grads)

    scaling = optim.masked(optim.scale_by_learning_rate(0.5), mask)
    same(updated(scaling, grads, params), where_chosen(lambda g: -0.5 * g))
    same(updated(optim.freeze(mask), grads, params), where_chosen(torch.zeros_like))
    decayed = updated(optim.add_decayed_weights(0.5, mask=mask), tree.zeros_like(grads), params)
    same(decayed, tree.map_with_path(lambda path, p: 0.5 * p if path.endswith("bias") else 0 * p, params))
    assert list(optim.get_hyperparameters(scaling.init(params))) == ["lr"]


def test_decoupled_weight_decay_with_a_mask_is_adamw_with_groups():
    params = a_tree()
    optimizer = optim.chain(
        optim.scale_by_adam(),
        optim.add_decayed_weights(0.3, mask=lambda path, leaf: leaf.ndim > 1),
        optim.scale_by_learning_rate(0.1),
    )

    def factory(leaves):
        groups = [
            {"params": [leaf for leaf in leaves if leaf.ndim > 1], "weight_decay": 0.3},
            {"params": [leaf for leaf in leaves if leaf.ndim <= 1], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=0.1)

    assert_matches_optimizer(optimizer, factory, params, rtol=1e-12, atol=1e-12)


def test_frozen_parameters_stay_whatever_their_gradients_are():
    params = a_tree()
    grads = tree.map_with_path(lambda path, p: torch.full_like(p, nan) if "body" in path else p, params)
    before = optim.chain(optim.adamw(0.1, weight_decay=0.5), optim.freeze("body"))
    apart = optim.partition(
        {"train": optim.adamw(0.1, weight_decay=0.5), "frozen": optim.freeze("*")}, {"body": "frozen", "*": "train"}
    )
    for optimizer in (before, apart):
        way, state = run(optimizer, params, [grads] * 3)
        same(way[-1]["body"], params["body"], rtol=0, atol=0)
        assert (way[-1]["head"]["weight"] != params["head"]["weight"]).all()
    assert not any("body" in path for path in tree.paths(state))  # no averages are kept for them


def averages_of_torch(params, way, **options):
    module = torch.nn.ParameterList(p.clone() for p in tree.leaves(params))
    averaged = torch.optim.swa_utils.AveragedModel(module, **options)
    for now in way:
        for parameter, value in zip(module, tree.leaves(now), strict=True):
            parameter.data = value.clone()
        averaged.update_parameters(module)
    return [p.detach() for p in averaged.module]


def test_the_average_of_parameters_equals_that_of_torch():
    params, gradients = a_tree(), [a_tree(seed) for seed in range(1, 12)]
    way, state = run(optim.chain(optim.sgd(0.1), optim.params_ema(0.8, debias=False)), params, gradients)
    same(way[-1], run(optim.sgd(0.1), params, gradients)[0][-1], rtol=0, atol=0)
    ema = torch.optim.swa_utils.get_ema_multi_avg_fn(0.8)
    expected = averages_of_torch(params, [params, *way], multi_avg_fn=ema)
    same(tree.leaves(optim.averaged_params(state)), expected)


def test_a_debiased_average_weighs_what_came_after_the_start():
    params, gradients = a_tree(), [a_tree(seed) for seed in range(1, 6)]
    way, state = run(optim.chain(optim.sgd(0.1), optim.params_ema(0.8)), params, gradients)
    weights = [0.8 ** (len(way) - 1 - i) for i in range(len(way))]
    expected = tree.map(lambda *p: sum(w * x for w, x in zip(weights, p, strict=True)) / sum(weights), *way)
    same(optim.averaged_params(state), expected)
    _, first = run(optim.chain(optim.sgd(0.1), optim.params_ema(0.8)), params, gradients[:1])
    same(optim.averaged_params(first), way[0])


@pytest.mark.parametrize(("start", "every"), [(1, 1), (4, 1), (2, 3), (11, 2)])
def test_stochastic_weight_averaging_equals_that_of_torch(start, every):
    params, gradients = a_tree(), [a_tree(seed) for seed in range(1, 12)]
    way, state = run(optim.chain(optim.adam(0.1), optim.swa(start, every)), params, gradients)
    expected = averages_of_torch(params, way[start - 1 :: every])
    same(tree.leaves(optim.averaged_params(state)), expected)


def test_before_its_start_the_mean_is_the_parameters():
    way, state = run(optim.chain(optim.sgd(0.1), optim.swa(4)), a_tree(), [a_tree(seed) for seed in range(1, 4)])
    same(optim.averaged_params(state), way[-1], rtol=1e-12, atol=1e-12)


def test_averages_are_found_within_wrappers_and_refused_where_there_are_none_or_several():
    inner = optim.chain(optim.adam(), optim.params_ema())
    for optimizer in (inner, optim.multi_steps(inner, 2), optim.partition({"all": inner}, {"*": "all"})):
        same(optim.averaged_params(optimizer.init(a_tree())), a_tree())
    with pytest.raises(ValueError, match="0 averages of parameters, expected 1"):
        optim.averaged_params(optim.adam().init(a_tree()))
    with pytest.raises(ValueError, match="2 averages of parameters, expected 1"):
        optim.averaged_params(optim.chain(inner, optim.swa()).init(a_tree()))
    with pytest.raises(ValueError, match="0 lookahead parts, expected 1"):
        optim.slow_params(optim.adam().init(a_tree()))


def test_lookahead_goes_its_slow_way():
    params, gradients = a_tree(), [a_tree(seed) for seed in range(1, 10)]
    way, state = run(optim.lookahead(optim.sgd(0.1), 3, 0.25), params, gradients)
    slow = now = params
    for index, grads in enumerate(gradients):
        now = tree.map(lambda p, g: p - 0.1 * g, now, grads)
        if index % 3 == 2:
            now = slow = tree.map(lambda s, p: s + 0.25 * (p - s), slow, now)
        same(way[index], now)
    same(optim.slow_params(state), slow)


def test_errors_that_come_too_often_in_a_row_are_taken():
    params, good, bad = {"w": torch.zeros(1)}, {"w": torch.ones(1)}, {"w": torch.tensor([inf])}
    optimizer = optim.apply_if_finite(optim.sgd(1.0, 0.5), 2)
    way, state = run(optimizer, params, [good, bad, bad, good, bad])
    assert [p["w"].item() for p in way] == [-1.0, -1.0, -1.0, -2.5, -2.5]
    memory = state.wrapper.memory
    assert (int(memory["total_notfinite"]), int(memory["notfinite_count"]), bool(memory["last_finite"])) == (
        3,
        1,
        False,
    )
    same(state.optimizer[1].count, torch.tensor(2))
    way, _ = run(optimizer, params, [bad] * 3)
    assert [p["w"].item() for p in way] == [0.0, 0.0, -inf]


@pytest.mark.parametrize("make", [lambda: optim.adam(0.1, weight_decay=0.1), lambda: optim.adadelta()])
def test_a_flattened_tree_steps_as_the_tree(make):
    params, gradients = a_tree(), [a_tree(seed) for seed in range(1, 5)]
    params["half"], _ = torch.ones(3, dtype=torch.float32), [g.update(half=torch.full((3,), 0.5)) for g in gradients]
    flat, state = run(optim.flatten(make()), params, gradients)
    same(flat[-1], run(make(), params, gradients)[0][-1], rtol=1e-12, atol=1e-12)
    assert {leaf.dtype for leaf in tree.leaves(flat[-1])} == {torch.float64, torch.float32}
    assert {
        name: leaf.shape
        for path, leaf in tree.leaves_with_paths(state)
        if "memory" in path and (name := path.split(".")[-1])
    } == {"float64": (27,), "float32": (3,)}


def test_a_norm_over_the_vector_is_that_over_the_tree():
    params, grads = a_tree(), a_tree(1)
    same(
        updated(optim.flatten(optim.clip_by_norm(0.1)), grads, params),
        updated(optim.clip_by_global_norm(0.1), grads, params),
    )


AVERAGING = {
    "lookahead": lambda: optim.lookahead(optim.sgd(0.1, 0.9), 2, 0.5),
    "params_ema": lambda: optim.chain(optim.adam(0.1), optim.params_ema(0.5, debias=False)),
    "swa": lambda: optim.chain(optim.sgd(0.1), optim.swa(2)),
    "multi_steps": lambda: optim.multi_steps(optim.adam(0.1), 2),
}


def test_a_donated_step_is_right_from_the_first_on():
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


REFUSED = [
    (
        lambda: optim.masked(optim.adam(), "tail"),
        "masked: the pattern 'tail' fits no parameter; there are body.0.bias, ",
    ),
    (lambda: optim.masked(optim.adam(), ["head", "tail.*"]), r"masked: the pattern 'tail.\*' fits no parameter"),
    (lambda: optim.masked(optim.adam(), []), "masked: the mask fits no parameter"),
    (lambda: optim.masked(optim.adam(), lambda path, leaf: leaf.ndim > 9), "masked: the mask fits no parameter"),
    (lambda: optim.freeze("tail"), "freeze: the pattern 'tail' fits no parameter"),
    (lambda: optim.freeze(lambda path, leaf: False), "freeze: the mask fits no parameter"),
    (lambda: optim.add_decayed_weights(0.1, mask="tail"), "masked: the pattern 'tail' fits no parameter"),
    (
        lambda: optim.masked(optim.adam(), {"head": True}),
        r"the mask is no tree of bool like .* missing \['body.0.bias'",
    ),
    (
        lambda: optim.masked(optim.adam(), tree.map(lambda p: 1, a_tree())),
        "the mask is no tree of bool like the parameters",
    ),
    (
        lambda: optim.partition({"a": optim.adam(), "b": optim.sgd()}, {"*": "a"}),
        "partition: no parameter has the label 'b'; leave its transformation out, or label one of body.0.bias, ",
    ),
    (
        lambda: optim.partition({"a": optim.adam()}, {"head": "a"}),
        "partition: parameter 'body.0.bias' has no label, expected one of 'a'",
    ),
    (
        lambda: optim.partition({"a": optim.adam()}, lambda path, leaf: "c"),
        "partition: parameter 'body.0.bias' has the label 'c', expected one of 'a'",
    ),
    (
        lambda: optim.partition({"a": optim.adam()}, {"tail": "a", "*": "a"}),
        "partition: the pattern 'tail' fits no parameter",
    ),
    (
        lambda: optim.partition({"a": optim.adam()}, {"head": {"weight": "a"}}),
        r"partition: the tree of labels is no tree of str like the parameters: missing \['body.0.bias'",
    ),
    (lambda: optim.reduce_on_plateau(optim.clip_by_norm(1.0)), "reduce_on_plateau: the optimizer has no number 'lr'"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_what_fits_nothing_is_refused_when_the_state_is_made(make, message):
    with pytest.raises(ValueError, match=message):
        make().init(a_tree())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.clip_by_value(-1.0), "clip_by_value: clip_value=-1.0 is out of range"),
        (lambda: optim.clip_by_norm(-1.0), "clip_by_norm: max_norm=-1.0 is out of range"),
        (lambda: optim.adaptive_gradient_clip(-1.0), "adaptive_gradient_clip: clipping=-1.0"),
        (lambda: optim.adaptive_gradient_clip(eps=-1.0), "adaptive_gradient_clip: eps=-1.0"),
        (lambda: optim.ema(1.0), r"ema: decay=1.0 is out of range; expected a number in \[0, 1\)"),
        (lambda: optim.params_ema(1.0), "params_ema: decay=1.0"),
        (lambda: optim.swa(0), r"swa: start=0 is out of range; expected a number in \[1, inf\)"),
        (lambda: optim.swa(1, 0), "swa: every=0"),
        (lambda: optim.lookahead(optim.sgd(), 0), "lookahead: sync_period=0"),
        (lambda: optim.lookahead(optim.sgd(), 1, 1.5), "lookahead: slow_step_size=1.5"),
        (lambda: optim.multi_steps(optim.sgd(), 0), "multi_steps: k=0"),
        (lambda: optim.apply_if_finite(optim.sgd(), -1), "apply_if_finite: max_consecutive_errors=-1"),
        (lambda: optim.reduce_on_plateau(optim.sgd(), "low"), "mode='low' is unknown; expected 'min' or 'max'"),
        (lambda: optim.reduce_on_plateau(optim.sgd(), threshold_mode="x"), "threshold_mode='x' is unknown"),
        (lambda: optim.reduce_on_plateau(optim.sgd(), factor=1.0), "reduce_on_plateau: factor=1.0"),
        (lambda: optim.partition({"a.b": optim.sgd()}, {"*": "a.b"}), "the label 'a.b' is no name without dots"),
        (lambda: optim.partition({1: optim.sgd()}, {"*": 1}), "the label 1 is no name without dots"),
    ],
)
def test_bad_numbers_are_refused_when_the_wrapper_is_made(make, message):
    with pytest.raises(ValueError, match=message):
        make()


WRAPPERS = {
    "multi_steps": lambda: optim.multi_steps(optim.sgd(), 2),
    "apply_if_finite": lambda: optim.apply_if_finite(optim.sgd(), 2),
    "partition": lambda: optim.partition({"all": optim.sgd()}, {"*": "all"}),
    "masked": lambda: optim.masked(optim.sgd(), "*"),
    "flatten": lambda: optim.flatten(optim.sgd()),
    "reduce_on_plateau": lambda: optim.reduce_on_plateau(optim.sgd()),
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_wrong_arguments_of_update_are_named(name):
    optimizer, params = WRAPPERS[name](), {"w": torch.ones(2), "b": torch.ones(1)}
    state, value = optimizer.init(params), torch.tensor(1.0)
    with pytest.raises(ValueError, match=f"{name}.update: got no params"):
        optimizer.update(params, state, value=value)
    with pytest.raises(ValueError, match=rf"{name}.update: .* missing \['b'\], unexpected \['c'\]"):
        optimizer.update({"w": params["w"], "c": params["b"]}, state, params, value=value)
    with pytest.raises(ValueError, match=rf"{name}.update: the gradient of 'w' has shape \(3,\), expected \(2,\)"):
        optimizer.update({"w": torch.ones(3), "b": params["b"]}, state, params, value=value)
    with pytest.raises(ValueError, match=r"update\(\) got (another state than its own|a state that is no)"):
        optimizer.update(params, ((), {}), params, value=value)


def test_extra_arguments_reach_the_wrapped():
    seen = []

    def update(grads, state, params, *, value):
        seen.append(value)
        return grads, state

    spy = optim.Transformation(lambda params: {}, update)
    params = {"w": torch.ones(2)}
    for make in (
        lambda: optim.multi_steps(spy, 2),
        lambda: optim.apply_if_finite(spy, 2),
        lambda: optim.partition({"all": spy}, {"*": "all"}),
        lambda: optim.masked(spy, "w"),
        lambda: optim.flatten(spy),
        lambda: optim.lookahead(spy),
        lambda: optim.reduce_on_plateau(optim.chain(spy, optim.scale_by_learning_rate(0.1))),
    ):
        optimizer = make()
        optimizer.update(params, optimizer.init(params), params, value=0.5)
    assert seen == [0.5] * 7
