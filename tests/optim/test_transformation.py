"""Chains, hyperparameters in the state, and errors."""

import re

import pytest
import torch

from funcdl import optim, transforms, tree
from funcdl.transforms.engine.trace import trace

PARAMS = {"w": torch.tensor([1.0, -2.0]), "b": torch.tensor(3.0)}


def test_a_chain_acts_in_order():
    optimizer = optim.chain(optim.add_decayed_weights(1.0), optim.clip_by_global_norm(1.0))
    other = optim.chain(optim.clip_by_global_norm(1.0), optim.add_decayed_weights(1.0))
    grads = {"w": torch.tensor([3.0, 4.0]), "b": torch.tensor(0.0)}
    clipped_last, _ = optimizer.update(grads, optimizer.init(PARAMS), PARAMS)
    decayed_last, _ = other.update(grads, other.init(PARAMS), PARAMS)
    torch.testing.assert_close(tree.global_norm(clipped_last), torch.tensor(1.0))
    torch.testing.assert_close(decayed_last["w"], torch.tensor([0.6, 0.8]) + PARAMS["w"])


def test_an_empty_chain_returns_the_gradients():
    assert optim.chain().update(PARAMS, optim.chain().init(PARAMS), PARAMS) == (PARAMS, ())


def test_extra_arguments_reach_each_transformation():
    seen = []

    def update(grads, state, params, *, loss):
        seen.append(loss)
        return grads, state

    spy = optim.Transformation(lambda params: (), update)
    optim.chain(optim.chain(spy), spy).update(PARAMS, (((),), ()), PARAMS, loss=1.0)
    assert seen == [1.0, 1.0]
    optimizer = optim.adam()
    optimizer.update(PARAMS, optimizer.init(PARAMS), PARAMS, loss=1.0)  # unknown extra arguments are ignored


def test_apply_updates_keeps_the_dtype():
    params = {"half": torch.ones((), dtype=torch.bfloat16), "double": torch.ones(2, dtype=torch.float64)}
    after = optim.apply_updates(params, tree.map(lambda p: torch.ones(p.shape), params))
    assert {name: leaf.dtype for name, leaf in after.items()} == {"half": torch.bfloat16, "double": torch.float64}


def test_a_decay_near_one_survives_bfloat16():
    params = {"w": torch.ones(1, dtype=torch.bfloat16)}
    transformation = optim.scale_by_adam()
    _, state = transformation.update({"w": torch.full_like(params["w"], 2.0)}, transformation.init(params), params)
    torch.testing.assert_close(state.buffers["exp_avg_sq"]["w"].item(), 0.004, rtol=1e-2, atol=0)


def test_replacing_a_hyperparameter_equals_making_the_optimizer_with_it():
    grads = {"w": torch.tensor([0.5, 0.1]), "b": torch.tensor(2.0)}
    made = optim.adam(lr=0.3, betas=(0.5, 0.7), weight_decay=0.2)
    plain = optim.adam()
    replacements = {"0.weight_decay": 0.2, "beta1": 0.5, "1.beta2": torch.tensor(0.7, dtype=torch.float64)}
    state = optim.replace_hyperparameters(plain.init(PARAMS), replacements, lr=0.3)
    assert tree.structure(state) == tree.structure(made.init(PARAMS))
    expected, actual = made.update(grads, made.init(PARAMS), PARAMS), plain.update(grads, state, PARAMS)
    torch.testing.assert_close(tree.leaves(actual), tree.leaves(expected), rtol=0, atol=0)


def test_replacing_leaves_the_old_state_and_the_value_alone():
    value = torch.tensor(0.5, dtype=torch.float64)
    old = optim.sgd(lr=0.1).init(PARAMS)
    new = optim.replace_hyperparameters(old, lr=value)
    assert optim.get_hyperparameters(old)["1.lr"] == 0.1
    assert optim.get_hyperparameters(new)["1.lr"].data_ptr() != value.data_ptr()


def test_the_state_shares_no_memory_with_a_tensor_it_was_made_from():
    lr = torch.tensor(0.5, dtype=torch.float64)
    assert optim.get_hyperparameters(optim.sgd(lr=lr).init(PARAMS))["1.lr"].data_ptr() != lr.data_ptr()


def test_hyperparameters_are_addressed_by_path_or_by_a_unique_part_of_it():
    optimizer = optim.chain(optim.clip_by_global_norm(1.0), optim.sgd(0.1), optim.adadelta(0.2))
    state = optimizer.init(PARAMS)
    state = optim.replace_hyperparameters(state, {"1.lr": 1.0, "2.2.lr": 2.0, "rho": 0.5})
    values = optim.get_hyperparameters(state)
    assert (values["1.1.lr"], values["2.2.lr"], values["2.1.rho"]) == (1.0, 2.0, 0.5)
    with pytest.raises(ValueError, match=re.escape("'lr' may be any of 1.1.lr, 2.2.lr")):
        optim.replace_hyperparameters(state, lr=1.0)


def test_a_single_transformation_has_names_without_positions():
    state = optim.scale_by_learning_rate(0.1).init(PARAMS)
    assert list(optim.get_hyperparameters(state)) == ["lr"]
    assert optim.get_hyperparameters(optim.replace_hyperparameters(state, lr=0.2))["lr"] == 0.2


@pytest.mark.parametrize("name", ["nesterov", "momentum", "maximize", "5.lr", "amsgrad"])
def test_structure_cannot_be_replaced(name):
    with pytest.raises(KeyError, match=f"no '{name}' that may change, only 0.weight_decay, 1.lr; flags"):
        optim.replace_hyperparameters(optim.sgd().init(PARAMS), {name: 1})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.ones(2), r"lr has shape \(2,\); expected a number or a tensor of shape \(\)"),
        (optim.schedules.constant(1.0), "neither a number nor a tensor; a schedule is given"),
        ("0.1", "neither a number nor a tensor"),
    ],
)
def test_bad_replacements_are_refused(value, message):
    with pytest.raises(ValueError, match=message):
        optim.replace_hyperparameters(optim.sgd().init(PARAMS), lr=value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.sgd(lr=-1.0), r"lr=-1.0 is out of range; expected a number in \[0, inf\)"),
        (lambda: optim.sgd(lr=float("nan")), "lr=nan is out of range"),
        (lambda: optim.sgd(momentum=-0.1), "momentum=-0.1 is out of range"),
        (lambda: optim.sgd(weight_decay=-0.1), "weight_decay=-0.1 is out of range"),
        (lambda: optim.sgd(nesterov=True), "nesterov=True with momentum=0.0"),
        (lambda: optim.sgd(momentum=0.9, dampening=0.1, nesterov=True), "nesterov=True with dampening=0.1"),
        (lambda: optim.adam(betas=(1.0, 0.9)), r"betas\[0\]=1.0 is out of range; expected a number in \[0, 1\)"),
        (lambda: optim.adamw(betas=(0.9, -0.1)), r"betas\[1\]=-0.1 is out of range"),
        (lambda: optim.adam(eps=-1), "eps=-1 is out of range"),
        (lambda: optim.adadelta(rho=1.1), r"rho=1.1 is out of range; expected a number in \[0, 1\]"),
        (lambda: optim.adadelta(lr="1"), "lr='1' is not a number; pass a float, a 0-dim tensor or a schedule"),
        (lambda: optim.adam(lr=torch.ones(2)), r"lr is a tensor of shape \(2,\), expected a 0-dim one"),
        (lambda: optim.clip_by_global_norm(-1.0), "max_norm=-1.0 is out of range"),
        (lambda: optim.adagrad(lr_decay=-0.1), "scale_by_inverse_time: decay=-0.1 is out of range"),
        (lambda: optim.adagrad(initial_accumulator_value=-1.0), "initial_accumulator_value=-1.0 is out of range"),
        (lambda: optim.rmsprop(alpha=1.5), r"alpha=1.5 is out of range; expected a number in \[0, 1\]"),
        (lambda: optim.rprop(etas=(1.0, 1.2)), r"etas\[0\]=1.0 is out of range; expected a number in \[0, 1\)"),
        (lambda: optim.rprop(etas=(0.5, 0.9)), r"etas\[1\]=0.9 is out of range; expected a number in \[1, inf\)"),
        (lambda: optim.asgd(lambd=-1.0), "lambd=-1.0 is out of range"),
        (lambda: optim.nadam(momentum_decay=-1.0), "momentum_decay=-1.0 is out of range"),
        (lambda: optim.adafactor(beta2_decay=0.1), "beta2_decay=0.1 is out of range"),
        (lambda: optim.adafactor(d=0.5), r"d=0.5 is out of range; expected a number in \[1, inf\)"),
        (lambda: optim.muon(ns_steps=100), "ns_steps=100 is out of range; expected an int from 0 to 99"),
        (lambda: optim.muon(ns_coefficients=(1.0, 2.0)), "are not three numbers; pass"),
        (
            lambda: optim.muon(adjust_lr_fn="moonshot"),
            "adjust_lr_fn='moonshot' is unknown; pass one of original, match",
        ),
        (lambda: optim.lbfgs(history_size=0), "history_size=0 is out of range; expected 1, 2, "),
    ],
)
def test_bad_hyperparameters_are_refused_when_the_optimizer_is_made(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_rho_may_be_one():
    optim.adadelta(rho=1.0)


@pytest.mark.parametrize(
    ("leaf", "message"),
    [(torch.ones(2, dtype=torch.int64), "'n' has dtype torch.int64"), (1.0, "'n' has type float")],
)
def test_only_floating_parameters_are_taken(leaf, message):
    with pytest.raises(ValueError, match=message):
        optim.adam().init({"n": leaf})


def test_muon_takes_matrices_only():
    with pytest.raises(ValueError, match=r"orthogonalize.init: parameter 'b' has shape \(3,\) .* optim.partition\(\)"):
        optim.muon().init({"w": torch.ones(2, 3), "b": torch.ones(3)})


def test_wrong_arguments_of_update_are_named():
    optimizer = optim.adam()
    state = optimizer.init(PARAMS)
    with pytest.raises(ValueError, match="got no params; pass the parameters"):
        optimizer.update(PARAMS, state)
    with pytest.raises(ValueError, match=r"missing \['b'\], unexpected \['c'\]"):
        optimizer.update({"w": PARAMS["w"], "c": PARAMS["b"]}, state, PARAMS)
    with pytest.raises(ValueError, match=r"gradient of 'w' has shape \(3,\), expected \(2,\)"):
        optimizer.update({"w": torch.ones(3), "b": PARAMS["b"]}, state, PARAMS)
    with pytest.raises(ValueError, match=r"not a tree like the parameters: missing \['w'\], unexpected nothing"):
        optimizer.update({"w": None, "b": PARAMS["b"]}, state, PARAMS)
    with pytest.raises(ValueError, match=r"missing \['w'\], unexpected \['w\.x'\]"):
        optimizer.update({"w": {"x": PARAMS["w"]}, "b": PARAMS["b"]}, state, PARAMS)
    with pytest.raises(ValueError, match="chain of 3"):
        optimizer.update(PARAMS, state[:2], PARAMS)
    with pytest.raises(ValueError, match="chain of 3"):
        optimizer.update(PARAMS, state[1], PARAMS)


def test_gradients_flow_through_an_update_into_a_learning_rate():
    def loss_after_a_step(lr):
        optimizer = optim.sgd(lr=lr)
        updates, _ = optimizer.update({"w": torch.ones(2)}, optimizer.init({"w": torch.ones(2)}), {"w": torch.ones(2)})
        return optim.apply_updates({"w": torch.ones(2)}, updates)["w"].sum()

    torch.testing.assert_close(transforms.grad(loss_after_a_step)(torch.tensor(0.1)), torch.tensor(-2.0))


def test_states_made_under_vmap_have_a_hyperparameter_each():
    states = transforms.vmap(lambda lr: optim.adam(lr=lr).init(PARAMS))(torch.tensor([0.25, 0.5]))
    assert optim.get_hyperparameters(states)["2.lr"].tolist() == [0.25, 0.5]


@pytest.mark.parametrize("make", [optim.adam, optim.adadelta, lambda: optim.sgd(momentum=0.9, nesterov=True)])
def test_a_hyperparameter_is_cast_once_for_all_leaves_of_a_dtype(make):
    def casts(count):
        params = [torch.ones(2) for _ in range(count)]
        state = make().init(params)

        def update(params, state):
            updates, state = make().update(params, state, params)
            return tree.leaves((updates, state))

        leaves, structure = tree.flatten((params, state))
        graph = trace(lambda *leaves: update(*tree.unflatten(structure, leaves)), leaves).graph
        return len(graph.find_nodes(op="call_function", target=torch.ops.aten._to_copy.default))

    assert casts(5) == casts(1) > 0
