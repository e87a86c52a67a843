"""Layers, models, optimizers, schedules and metrics go to another process, and print as what makes them."""

import copy
import pickle
import subprocess
import sys

import pytest
import torch

import tests.models.cases
from funcdl import losses, metrics, models, nn, optim, random, tree
from funcdl.optim import schedules

SCHEDULES = {
    "constant": lambda: schedules.constant(0.1, factor=0.5, total_iters=2),
    "cosine": lambda: schedules.cosine(0.1, T_max=9),
    "cosine_restarts": lambda: schedules.cosine_restarts(0.1, T_0=3),
    "cyclic": lambda: schedules.cyclic(0.1, 0.5, step_size_up=3),
    "exponential": lambda: schedules.exponential(0.1, gamma=0.9),
    "inverse_time": lambda: schedules.inverse_time(0.1, 2.0),
    "join": lambda: schedules.join([schedules.linear(0.1), schedules.cosine(0.1, T_max=9)], [2]),
    "linear": lambda: schedules.linear(0.1),
    "multi_step": lambda: schedules.multi_step(0.1, milestones=[1, 3]),
    "one_cycle": lambda: schedules.one_cycle(0.1, total_steps=9),
    "one_cycle_momentum": lambda: schedules.one_cycle_momentum(total_steps=9),
    "piecewise": lambda: schedules.piecewise({0: 0.1, 2: 0.5}),
    "polynomial": lambda: schedules.polynomial(0.1, total_iters=5),
    "product": lambda: schedules.product(schedules.linear(0.1), schedules.exponential(1.0, gamma=0.9)),
    "step": lambda: schedules.step(0.1, step_size=2),
    "warm_up": lambda: schedules.warm_up(schedules.cosine(1e-3, T_max=900), 100),
}


def test_every_schedule_is_here():
    assert set(SCHEDULES) == set(schedules.__all__)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_goes_with_its_optimizer(name):
    optimizer = optim.sgd(lr=SCHEDULES[name]())
    params = {"w": torch.ones(2)}
    for other in (pickle.loads(pickle.dumps(optimizer)), copy.deepcopy(optimizer)):
        state = optimizer.init(params)
        for _ in range(5):
            found, again = (which.update(params, state, params)[1] for which in (optimizer, other))
            torch.testing.assert_close(tree.leaves(found), tree.leaves(again), rtol=0, atol=0)
            state = found
    assert f"lr={name}(" in repr(optimizer)


@pytest.mark.parametrize("name", [name for name, case in tests.models.cases.CASES.items() if case.parameters < 10**6])
def test_models_are_pickled(name):
    case = tests.models.cases.CASES[name]
    model = case.make()
    other = pickle.loads(pickle.dumps(model))
    assert repr(other) == repr(model)
    x = case.inputs(torch.float32)
    params, buffers = other.init(random.key(0), x)
    found, expected = (which.apply(params, buffers, x)[0] for which in (other, model))
    torch.testing.assert_close(tree.leaves(found), tree.leaves(expected), rtol=0, atol=0)


def test_every_metric_is_pickled():
    outputs, targets = torch.randn(9, 3, generator=torch.Generator().manual_seed(0)), torch.arange(9) % 3
    of_classes = (metrics.accuracy, metrics.sample_mean(losses_of), metrics.precision(3), metrics.confusion_matrix(3))
    for metric in of_classes:
        other = pickle.loads(pickle.dumps(metric))
        assert torch.equal(other(outputs, targets), metric(outputs, targets))
        assert "<locals>" not in repr(metric)
    for metric in (metrics.mean_squared_error, metrics.mean_absolute_error):
        other = pickle.loads(pickle.dumps(metric))
        assert other(outputs, outputs + 1) == metric(outputs, outputs + 1)


def losses_of(outputs, targets):
    return losses.cross_entropy(outputs, targets, reduction="none")


def a_model():
    def double(x):
        return 2 * x

    return nn.serial(nn.linear(4), torch.tanh, lambda x: x + 1, double, nn.dropout(0.5), nn.rnn(3))


def an_optimizer():
    return optim.chain(optim.freeze(lambda path, leaf: path == "b"), optim.add_noise(random.key(0)), optim.adam(0.1))


def test_functions_that_a_users_function_makes_are_pickled():
    model, x = a_model(), torch.ones(2, 5, 3)
    other = pickle.loads(pickle.dumps(model))
    params, _ = model.init(random.key(0), x)
    for a, b in zip(model(params, x), other(params, x), strict=True):
        assert torch.equal(a, b)


LOAD = """
import pickle, sys
model, optimizer, params, x = pickle.load(open(sys.argv[1], "rb"))
print(model, optimizer, model(params, x).tolist(), optimizer.init(params)[-1].hyperparameters)
"""


def test_a_process_that_has_imported_nothing_loads_them(tmp_path):
    model, x = nn.serial(nn.linear(3), nn.gelu("tanh"), nn.linear(2)), torch.ones(2, 5)
    optimizer, (params, _) = optim.adamw(lr=schedules.cosine(0.1, T_max=9)), model.init(random.key(0), x)
    (tmp_path / "all").write_bytes(pickle.dumps((model, optimizer, params, x)))
    found = subprocess.run([sys.executable, "-c", LOAD, tmp_path / "all"], capture_output=True, text=True, check=True)
    expected = model, optimizer, model(params, x).tolist(), optimizer.init(params)[-1].hyperparameters
    assert found.stdout.strip() == " ".join(map(str, expected))


def self_reference():
    def count_down(x, n=3, *, by=1):
        return x if n <= 0 else count_down(2 * x, n - by)

    count_down.note = count_down
    return nn.stateless(count_down), nn.stateless(count_down)


def test_a_function_that_closes_over_itself():
    first, second = pickle.loads(pickle.dumps(self_reference()))
    assert first({}, torch.ones(1)) == second({}, torch.ones(1)) == 8


module_lambda = nn.stateless(lambda x: x)


class Odd:
    def __reduce__(self):
        raise TypeError("cannot pickle an Odd")


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol(protocol):
    assert repr(pickle.loads(pickle.dumps(a_model(), protocol))) == repr(a_model())
    with pytest.raises(pickle.PicklingError, match=r"cannot pickle the function <lambda> of .*test_pickling"):
        pickle.dumps(module_lambda, protocol)


def test_what_cannot_be_pickled_says_so():
    odd = Odd()
    with pytest.raises(TypeError, match="cannot pickle an Odd"):
        pickle.dumps(nn.stateless(lambda x: (x, odd)))
    made = eval("lambda: (lambda x: x)", {"__name__": "nowhere"})()
    with pytest.raises(pickle.PicklingError, match=r"cannot pickle the function .* of nowhere.*def at the top"):
        pickle.dumps(nn.stateless(made))
    assert copy.deepcopy(module_lambda) is module_lambda


def test_what_has_changed_since_is_named(monkeypatch):
    saved = pickle.dumps(a_model())
    monkeypatch.delitem(globals(), "a_model")
    with pytest.raises(pickle.UnpicklingError, match=r"there is no function a_model.<locals>.* in .*test_pickling"):
        pickle.loads(saved)

    def a_model_of_today():
        bias = 1
        return nn.serial(lambda x: x, lambda x: x + bias)

    def renamed():
        pass

    monkeypatch.setitem(globals(), "a_model", renamed)
    with pytest.raises(pickle.UnpicklingError, match="load it with the version that saved it"):
        pickle.loads(saved)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: nn.linear(4), "linear(4)"),
        (lambda: nn.linear(4, bias=False), "linear(4, bias=False)"),
        (lambda: nn.serial(nn.linear(4), nn.relu(), torch.tanh), "serial(linear(4), relu(), tanh())"),
        (lambda: nn.serial(a=nn.linear(4), b=nn.serial()), "serial(a=linear(4), b=serial())"),
        (lambda: nn.stateless(losses_of), "stateless(losses_of)"),
        (lambda: nn.leaky_relu(0.2), "leaky_relu(negative_slope=0.2)"),
        (lambda: nn.conv2d(8, 3, groups=2), "conv2d(8, kernel_size=3, groups=2)"),
        (lambda: nn.batch_norm1d(eps=0.1), "batch_norm1d(eps=0.1)"),
        (lambda: nn.tied(nn.linear(3), 2), "tied(layer=linear(3), n=2)"),
        (
            lambda: nn.residual(nn.linear(3), short=nn.linear(3), combine=nn.concatenate(1)),
            "residual(linear(3), short=linear(3), combine=concatenate(dim=1))",
        ),
        (
            lambda: optim.chain(optim.clip_by_global_norm(1.0), optim.scale_by_learning_rate(0.1)),
            "chain(clip_by_global_norm(max_norm=1.0), scale_by_learning_rate(lr=0.1))",
        ),
        (lambda: optim.adam(0.5), "scale_by_adam(beta1=0.9, beta2=0.999, eps=1e-08), scale_by_learning_rate(lr=0.5))"),
        (lambda: optim.chain(optim.adam(), maximize=True), "maximize=True)"),
        (lambda: optim.adam(lr=torch.tensor(0.1)), "lr=tensor(0.1000)"),
        (lambda: optim.masked(optim.sgd(0.1), "w"), "masked(transformation=chain("),
        (lambda: models.mlp(5, 1), "linear(5)"),
        (lambda: nn.layer_norm((2, 3), eps=0.1), "layer_norm((2, 3), eps=0.1)"),
        (lambda: nn.Layer(losses_of, losses_of), "Layer(init=losses_of, apply=losses_of)"),
        (lambda: optim.Transformation(len, max), "Transformation(init=len, update=max"),
    ],
)
def test_it_prints_as_the_call_that_makes_it(make, text):
    assert text in repr(make())
