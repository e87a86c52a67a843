"""Wrappers: groups, masks and flattened trees against torch, and the errors of every wrapper."""

from math import inf, nan

import pytest
import torch

from funcdl import optim, tree
from funcdl.testing import assert_matches_optimizer
from tests.optim.steps import a_tree, run, same, updated


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
def test_labels_agree_in_each_form(labels):
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
        trajectory, state = run(optimizer, params, [grads] * 3)
        same(trajectory[-1]["body"], params["body"], rtol=0, atol=0)
        assert (trajectory[-1]["head"]["weight"] != params["head"]["weight"]).all()
    assert not any("body" in path for path in tree.paths(state))  # no averages are kept for them


def test_too_many_consecutive_errors_are_applied():
    params, good, bad = {"w": torch.zeros(1)}, {"w": torch.ones(1)}, {"w": torch.tensor([inf])}
    optimizer = optim.apply_if_finite(optim.sgd(1.0, 0.5), 2)
    trajectory, state = run(optimizer, params, [good, bad, bad, good, bad])
    assert [p["w"].item() for p in trajectory] == [-1.0, -1.0, -1.0, -2.5, -2.5]
    errors = state.wrapper.buffers
    assert (int(errors["total_notfinite"]), int(errors["notfinite_count"]), bool(errors["last_finite"])) == (
        3,
        1,
        False,
    )
    same(state.optimizer[1].count, torch.tensor(2))
    trajectory, _ = run(optimizer, params, [bad] * 3)
    assert [p["w"].item() for p in trajectory] == [0.0, 0.0, -inf]


@pytest.mark.parametrize("make", [lambda: optim.adam(0.1, weight_decay=0.1), lambda: optim.adadelta()])
def test_a_flattened_tree_takes_the_steps_of_the_tree(make):
    params, gradients = a_tree(), [a_tree(seed) for seed in range(1, 5)]
    params["half"], _ = torch.ones(3, dtype=torch.float32), [g.update(half=torch.full((3,), 0.5)) for g in gradients]
    flat, state = run(optim.flatten(make()), params, gradients)
    same(flat[-1], run(make(), params, gradients)[0][-1], rtol=1e-12, atol=1e-12)
    assert {leaf.dtype for leaf in tree.leaves(flat[-1])} == {torch.float64, torch.float32}
    assert {
        name: leaf.shape
        for path, leaf in tree.leaves_with_paths(state)
        if "buffers" in path and (name := path.split(".")[-1])
    } == {"float64": (27,), "float32": (3,)}


def test_a_norm_over_the_vector_is_that_over_the_tree():
    params, grads = a_tree(), a_tree(1)
    same(
        updated(optim.flatten(optim.clip_by_norm(0.1)), grads, params),
        updated(optim.clip_by_global_norm(0.1), grads, params),
    )


REFUSED = [
    (
        lambda: optim.masked(optim.adam(), "tail"),
        "masked: the pattern 'tail' matches no parameter; there are body.0.bias, ",
    ),
    (lambda: optim.masked(optim.adam(), ["head", "tail.*"]), r"masked: the pattern 'tail.\*' matches no parameter"),
    (lambda: optim.masked(optim.adam(), []), "masked: the mask matches no parameter"),
    (lambda: optim.masked(optim.adam(), lambda path, leaf: leaf.ndim > 9), "masked: the mask matches no parameter"),
    (lambda: optim.freeze("tail"), "freeze: the pattern 'tail' matches no parameter"),
    (lambda: optim.freeze(lambda path, leaf: False), "freeze: the mask matches no parameter"),
    (lambda: optim.add_decayed_weights(0.1, mask="tail"), "masked: the pattern 'tail' matches no parameter"),
    (
        lambda: optim.masked(optim.adam(), {"head": True}),
        r"the mask is not a tree of bool like .* missing \['body.0.bias'",
    ),
    (
        lambda: optim.masked(optim.adam(), tree.map(lambda p: 1, a_tree())),
        "the mask is not a tree of bool like the parameters",
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
        "partition: the pattern 'tail' matches no parameter",
    ),
    (
        lambda: optim.partition({"a": optim.adam()}, {"head": {"weight": "a"}}),
        r"partition: the tree of labels is not a tree of str like the parameters: missing \['body.0.bias'",
    ),
    (
        lambda: optim.reduce_on_plateau(optim.clip_by_norm(1.0)),
        "reduce_on_plateau: the optimizer has no hyperparameter 'lr'",
    ),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_a_mask_that_fits_nothing_is_refused_by_init(make, message):
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
        (lambda: optim.partition({"a.b": optim.sgd()}, {"*": "a.b"}), "the label 'a.b' is not a name without dots"),
        (lambda: optim.partition({1: optim.sgd()}, {"*": 1}), "the label 1 is not a name without dots"),
    ],
)
def test_bad_hyperparameters_are_refused_when_the_wrapper_is_made(make, message):
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
    with pytest.raises(ValueError, match=r"update\(\) got (the state of another optimizer|a state that is not a)"):
        optimizer.update(params, ((), {}), params, value=value)


def test_extra_arguments_reach_the_wrapped_optimizer():
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
