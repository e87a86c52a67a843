"""Hyperparameters of nested wrappers: addressed by path, changed without another graph, one per ensemble member."""

import pytest
import torch

from funcdl import optim, transforms, tree

PARAMS = {
    "body": {"weight": torch.linspace(-1, 1, 6, dtype=torch.float64).reshape(2, 3), "bias": torch.ones(2).double()},
    "head": {"weight": torch.full((2, 2), 0.3, dtype=torch.float64)},
}


def nested(head_lr=0.1, k=2, decay=0.5, slow_step_size=0.5, plain_lr=0.01):
    groups = optim.partition(
        {"head": optim.sgd(head_lr, 0.9), "rest": optim.chain(optim.clip_by_norm(1.0), optim.adam(plain_lr))},
        {"head": "head", "*": "rest"},
    )
    inner = optim.apply_if_finite(optim.lookahead(groups, 2, slow_step_size), 3)
    return optim.chain(optim.clip_by_value(5.0), optim.multi_steps(inner, k), optim.params_ema(decay))


OPTIMIZER = nested()


def grads_of(params):
    return tree.map(lambda p: (3 * p).sin() + 0.1, params)


def step(carry):
    params, state = carry
    updates, state = OPTIMIZER.update(grads_of(params), state, params)
    return optim.apply_updates(params, updates), state


def advanced(f, carry, steps=5):
    for _ in range(steps):
        carry = f(carry)
    return carry


def same(actual, expected):
    assert tree.structure(actual) == tree.structure(expected)
    torch.testing.assert_close(tree.leaves(actual), tree.leaves(expected), rtol=1e-10, atol=1e-12)


def test_every_hyperparameter_has_its_path():
    inner = "1.optimizer.optimizer."
    assert {path: float(value) for path, value in optim.get_hyperparameters(OPTIMIZER.init(PARAMS)).items()} == {
        "0.clip_value": 5.0,
        "1.wrapper.k": 2.0,
        "1.optimizer.wrapper.max_consecutive_errors": 3.0,
        f"{inner}0.head.0.weight_decay": 0.0,
        f"{inner}0.head.1.momentum": 0.9,
        f"{inner}0.head.1.dampening": 0.0,
        f"{inner}0.head.2.lr": 0.1,
        f"{inner}0.rest.0.max_norm": 1.0,
        f"{inner}0.rest.1.0.weight_decay": 0.0,
        f"{inner}0.rest.1.1.beta1": 0.9,
        f"{inner}0.rest.1.1.beta2": 0.999,
        f"{inner}0.rest.1.1.eps": 1e-8,
        f"{inner}0.rest.1.2.lr": 0.01,
        f"{inner}1.sync_period": 2.0,
        f"{inner}1.slow_step_size": 0.5,
        "2.decay": 0.5,
    }


REPLACEMENTS = {"1.optimizer.optimizer.0.head.lr": 0.7, "k": 1, "2.decay": 0.9, "slow_step_size": 0.25}


def test_replacing_equals_making_the_optimizer_with_the_value():
    made = nested(0.7, 1, 0.9, 0.25)

    def other(carry):
        params, state = carry
        updates, state = made.update(grads_of(params), state, params)
        return optim.apply_updates(params, updates), state

    state = optim.replace_hyperparameters(OPTIMIZER.init(PARAMS), REPLACEMENTS)
    expected = advanced(other, (PARAMS, made.init(PARAMS)))
    same(advanced(step, (PARAMS, state)), expected)


@pytest.mark.parametrize("name", ["nesterov", "debias", "labels", "amsgrad", "1.optimizer.optimizer.0.head.eps"])
def test_structure_is_refused_by_name(name):
    with pytest.raises(KeyError, match=f"no '{name}' that may change, only 0.clip_value, 1.wrapper.k"):
        optim.replace_hyperparameters(OPTIMIZER.init(PARAMS), {name: 1})


def test_a_name_that_fits_both_groups_is_refused():
    with pytest.raises(ValueError, match=r"'lr' may be any of .*head\.2\.lr, .*rest\.1\.2\.lr; pass one"):
        optim.replace_hyperparameters(OPTIMIZER.init(PARAMS), lr=1.0)


def test_members_train_with_their_own_hyperparameters_in_one_graph_that_outlives_a_change():
    """In two stretches with different hyperparameters."""
    head_lr = "1.optimizer.optimizer.0.head.lr"
    stretches = [
        {head_lr: torch.tensor([0.05, 0.1, 0.4]), "k": torch.tensor([1, 2, 3]), "clip_value": torch.tensor(0.8)},
        {head_lr: torch.tensor([0.2, 0.01, 0.3]), "k": torch.tensor([2, 1, 1]), "2.decay": torch.tensor(0.9)},
    ]
    starts = [tree.map(lambda p, m=m: p + 0.1 * m, PARAMS) for m in range(3)]
    many = tree.stack(starts)
    together, fast = (many, transforms.vmap(OPTIMIZER.init)(many)), transforms.jit(transforms.vmap(step))
    members, graphs = [(start, OPTIMIZER.init(start)) for start in starts], []
    for numbers in stretches:
        together = advanced(fast, (together[0], optim.replace_hyperparameters(together[1], numbers)))
        for member, (params, state) in enumerate(members):
            mine = {path: float(value if value.ndim == 0 else value[member]) for path, value in numbers.items()}
            members[member] = advanced(step, (params, optim.replace_hyperparameters(state, mine)))
        same(together, tree.stack(members))
        graphs.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    assert graphs[0] == graphs[1]


def test_states_made_under_vmap_have_the_layout_of_later_states():
    many = tree.stack([PARAMS] * 3)
    states = transforms.vmap(OPTIMIZER.init)(many)
    assert [path for path, leaf in tree.leaves_with_paths(states) if not leaf.is_contiguous()] == []
