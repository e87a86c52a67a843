"""Arguments of optimizers: gradients of another dtype, and values that are wrong in shape, kind or size."""

import math
import re

import pytest
import torch

from funcdl import optim, random, tree
from funcdl.optim import schedules
from tests.optim.cases import CASES

OPTIMIZERS = {name: case.make() for name, case in CASES.items()}
every = pytest.mark.parametrize("name", CASES)
HALF, FULL, BRAIN, DOUBLE = torch.float16, torch.float32, torch.bfloat16, torch.float64


def drawn(name, seed):
    generator = torch.Generator().manual_seed(seed)
    return {key: torch.randn(shape, generator=generator) for key, shape in CASES[name].shapes.items()}


def cast(values, dtype):
    return tree.map(lambda leaf: leaf.to(dtype), values)


def form(values):
    return [(path, leaf.dtype, leaf.shape) for path, leaf in tree.leaves_with_paths(values)]


@every
@pytest.mark.parametrize(
    ("of_grads", "of_params"),
    [(BRAIN, FULL), (HALF, FULL), (FULL, BRAIN), (FULL, HALF), (DOUBLE, FULL), (FULL, DOUBLE)],
)
def test_gradients_of_another_dtype_are_cast_to_that_of_the_parameters(name, of_grads, of_params):
    params, grads = cast(drawn(name, 0), of_params), cast(drawn(name, 1), of_grads)
    state = expected_state = OPTIMIZERS[name].init(params)
    before = form(state)
    for _ in range(3):
        updates, state = OPTIMIZERS[name].update(grads, state, params, value=torch.ones(()))
        wide = cast(grads, FULL if of_params is HALF else of_params)
        expected, expected_state = OPTIMIZERS[name].update(wide, expected_state, params, value=torch.ones(()))
        assert form(updates) == form(params)
        assert form(state) == before
        torch.testing.assert_close(tree.leaves(updates), tree.leaves(expected), rtol=0, atol=0)
        torch.testing.assert_close(tree.leaves(state), tree.leaves(expected_state), rtol=0, atol=0)
        params = optim.apply_updates(params, updates)


def sgd(*args, **kwargs):
    return optim.sgd(0.1, *args, **kwargs)


TUPLES = {
    "betas=0.9": (lambda: optim.adam(betas=0.9), "scale_by_adam: betas=0.9 is not a tuple of 2"),
    "betas=(0.9,)": (lambda: optim.lion(betas=(0.9,)), "scale_by_lion: betas=(0.9,) is not a tuple of 2"),
    "three betas": (lambda: optim.adamw(betas=(0.9, 0.9, 0.9)), "betas=(0.9, 0.9, 0.9) is not a tuple of 2"),
    "two betas": (lambda: optim.adan(betas=(0.9, 0.99)), "scale_by_adan: betas=(0.9, 0.99) is not a tuple of 3"),
    "a dict": (lambda: optim.nadam(betas={0: 0.9, 1: 0.9}), "betas={0: 0.9, 1: 0.9} is not a tuple of 2"),
    "a 0-dim tensor": (lambda: optim.lamb(betas=torch.tensor(0.9)), "betas is a tensor of shape (), not a tuple of 2"),
    "None": (lambda: optim.prodigy(betas=None), "prodigy: betas=None is not a tuple of 2"),
    "etas": (lambda: optim.rprop(etas=0.5), "scale_by_rprop: etas=0.5 is not a tuple of 2"),
    "step_sizes": (lambda: optim.rprop(step_sizes=1.0), "scale_by_rprop: step_sizes=1.0 is not a tuple of 2"),
    "eps": (lambda: optim.adafactor(eps=1e-8), "adafactor: eps=1e-08 is not a tuple of 2"),
    "coefficients": (lambda: optim.muon(ns_coefficients=1.0), "ns_coefficients=1.0 are not three numbers"),
    "schedule_free": (lambda: optim.schedule_free_adamw(betas=0.9), "free_adamw: betas=0.9 is not a tuple of 2"),
    "milestones": (lambda: schedules.multi_step(0.1, 30), "multi_step: milestones=30 is not a list"),
    **{
        name: (lambda name=name: getattr(optim, name)(betas=0.9), "betas=0.9 is not a tuple of ")
        for name in ("adabelief", "adamax", "adan", "novograd", "radam", "yogi", "scale_by_yogi", "scale_by_belief")
    },
}

NAN = {
    f"{name}({number}=nan)": (
        lambda name=name, number=number: getattr(optim, name)(**{number: math.nan}),
        "=nan is out of range",
    )
    for name, number in [
        *[("adam", "lr"), ("sgd", "momentum"), ("sgd", "dampening"), ("adafactor", "beta2_decay"), ("asgd", "t0")],
        *[("clip_by_norm", "max_norm"), ("clip_by_block_rms", "d"), ("schedule_free", "lr"), ("lbfgs", "lr")],
        *[("schedule_free_sgd", "weight_lr_power"), ("rprop", "lr"), ("lars", "eps"), ("prodigy", "d0")],
    ]
}

WHOLE = {
    "k=2.5": (lambda: optim.multi_steps(sgd(), k=2.5), "multi_steps: k=2.5 is out of range; expected an integer"),
    "k=2.0": (lambda: optim.multi_steps(sgd(), k=2.0), "k=2.0 is out of range; expected an integer, at least 1"),
    "k=0": (lambda: optim.multi_steps(sgd(), k=0), "multi_steps: k=0 is out of range"),
    "k=nan": (lambda: optim.multi_steps(sgd(), k=math.nan), "k=nan is out of range"),
    "k=True": (lambda: optim.multi_steps(sgd(), k=True), "k=True is out of range"),
    "lookahead": (lambda: optim.lookahead(sgd(), 2.5), "lookahead: sync_period=2.5 is out of range; expected an int"),
    "sam": (lambda: optim.sam(sgd(), sync_period=2.5), "sam: sync_period=2.5 is out of range; expected an integer"),
    "sam, 1": (lambda: optim.sam(sgd(), sync_period=1), "sam: sync_period=1 is out of range"),
    "lbfgs": (lambda: optim.lbfgs(history_size=2.0), "history_size=2.0 is out of range; expected 1, 2, ..."),
    "lbfgs, True": (lambda: optim.lbfgs(history_size=True), "history_size=True is out of range"),
    "muon": (lambda: optim.muon(ns_steps=2.5), "ns_steps=2.5 is out of range; expected an int from 0 to 99"),
    "patience": (lambda: optim.reduce_on_plateau(sgd(), patience=1.5), "reduce_on_plateau: patience=1.5 is out of"),
    "cooldown": (lambda: optim.reduce_on_plateau(sgd(), cooldown=-1), "reduce_on_plateau: cooldown=-1 is out of range"),
    "errors": (lambda: optim.apply_if_finite(sgd(), -1), "max_consecutive_errors=-1 is out of range"),
    "errors, nan": (lambda: optim.apply_if_finite(sgd(), math.nan), "max_consecutive_errors=nan is out of range"),
    "start": (lambda: optim.swa(start=1.5), "swa: start=1.5 is out of range; expected an integer, at least 1"),
    "every": (lambda: optim.swa(every=0), "swa: every=0 is out of range"),
    "below": (lambda: optim.flatten(sgd(), below=10.5), "flatten: below=10.5 is out of range; expected an integer"),
    "T_max": (lambda: schedules.cosine(0.1, 10.0), "cosine: T_max=10.0 is out of range; expected an integer"),
    "T_mult": (lambda: schedules.cosine_restarts(0.1, 10, 1.5), "cosine_restarts: T_mult=1.5 is out of range"),
    "warm-up": (lambda: schedules.warm_up(0.1, 2.5), "warm_up: total_iters=2.5 is out of range"),
    "milestone": (lambda: schedules.multi_step(0.1, [1, 2.5]), "multi_step: milestones=2.5 is out of range"),
    "join": (lambda: schedules.join([0.1, 0.2], [2.5]), "join: milestones=2.5 is out of range"),
    "one_cycle": (lambda: schedules.one_cycle(0.1, 10.5), "one_cycle: total_steps=10.5 is out of range"),
    "cyclic": (lambda: schedules.cyclic(0.1, 0.2, 2.5), "cyclic: step_size_up=2.5 is out of range"),
    "piecewise": (lambda: schedules.piecewise({1.5: 0.1}), "a step of points=1.5 is out of range"),
    "points": (lambda: schedules.piecewise([(0, 0.1)]), "piecewise: points=[(0, 0.1)] is not a dict"),
    "step": (lambda: schedules.step(0.1, -1), "step: step_size=-1 is out of range"),
    "constant": (lambda: schedules.constant(0.1, 0.5, 1.5), "constant: total_iters=1.5 is out of range"),
}

OTHERS = {
    "dampening": (lambda: optim.sgd(dampening="0"), "sgd: dampening='0' is not a number"),
    "d": (lambda: optim.clip_by_block_rms(0.0), "clip_by_block_rms: d=0.0 is out of range; expected a number above 0"),
    "a complex lr": (lambda: optim.sgd(torch.tensor(1j)), "lr is a tensor of dtype torch.complex64, expected a real"),
    "adam for adam()": (lambda: optim.chain(optim.adam), "chain: argument 0 is <function adam at"),
    "call it": (lambda: optim.multi_steps(optim.adam, 2), "expected a transformation; call it: adam()"),
    "None": (lambda: optim.lookahead(None), "lookahead: the optimizer is None, expected a transformation; pass one"),
    "a list": (lambda: optim.chain([optim.adam()]), "chain: argument 0 is [chain("),
    "in a partition": (lambda: optim.partition({"a": optim.adam}, {"*": "a"}), "partition: the value of 'a' is <f"),
    "masked": (
        lambda: optim.masked(0.1, "*"),
        "masked: the transformation is 0.1, expected a transformation; pass one",
    ),
}


@pytest.mark.parametrize("case", {**TUPLES, **NAN, **WHOLE, **OTHERS})
def test_wrong_arguments_are_refused_by_name(case):
    make, message = {**TUPLES, **NAN, **WHOLE, **OTHERS}[case]
    with pytest.raises(ValueError, match=re.escape(message)) as raised:
        make()
    assert len(str(raised.value).splitlines()) == 1


def test_tuples_may_be_lists_or_tensors():
    params = {"w": torch.ones(2)}
    expected = optim.adam(betas=(0.5, 0.75)).init(params)
    for betas in ([0.5, 0.75], torch.tensor([0.5, 0.75])):
        hyper = optim.get_hyperparameters(optim.adam(betas=betas).init(params))
        assert hyper == optim.get_hyperparameters(expected)


def test_integers_may_be_tensors_and_schedules():
    params = {"w": torch.zeros(1)}
    for k in (torch.tensor(2), lambda step: 2 + 0 * step):
        optimizer = optim.multi_steps(optim.sgd(1.0), k)
        state = optimizer.init(params)
        _, state = optimizer.update({"w": torch.ones(1)}, state, params)
        assert optimizer.update({"w": torch.ones(1)}, state, params)[0]["w"].item() == -1


def test_a_block_may_be_clipped_below_1():
    params = {"w": torch.zeros(2)}
    clip = optim.clip_by_block_rms(0.25)
    updates, _ = clip.update({"w": torch.tensor([1.0, -1.0])}, clip.init(params), params)
    assert updates["w"].tolist() == [0.25, -0.25]


PARAMS = {"a": torch.ones(2), "b": {"c": torch.ones(())}}


@pytest.mark.parametrize(
    ("updates", "message"),
    [
        ({"a": torch.ones(1), "b": {"c": torch.ones(())}}, "the update of 'a' has shape (1,), expected (2,)"),
        ({"a": torch.ones(()), "b": {"c": torch.ones(())}}, "the update of 'a' has shape (), expected (2,)"),
        ({"a": torch.ones(2), "b": {"c": torch.ones(3)}}, "the update of 'b.c' has shape (3,), expected ()"),
        ({"a": 1.0, "b": {"c": torch.ones(())}}, "the update of 'a' is 1.0, expected shape (2,)"),
        (
            {"a": torch.ones(2) * 1j, "b": {"c": torch.ones(())}},
            "the update of 'a' has dtype torch.complex64, expected",
        ),
        ({"a": torch.ones(2), "b": {}}, "not a tree like the parameters: missing ['b.c'], unexpected nothing"),
        ({"a": torch.ones(2)}, "not a tree like the parameters: missing ['b.c'], unexpected nothing"),
    ],
)
def test_updates_that_do_not_fit_are_refused_by_path(updates, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        optim.apply_updates(PARAMS, updates)


@pytest.mark.parametrize(
    "make",
    [optim.adam, lambda: optim.flatten(optim.adam()), lambda: optim.freeze("a"), lambda: optim.sgd(maximize=True)],
)
@pytest.mark.parametrize(
    ("grads", "message"),
    [
        ({"a": torch.ones(2)}, "missing ['b.c'], unexpected nothing"),
        ({**PARAMS, "d": torch.ones(1)}, "missing nothing, unexpected ['d']"),
        ({**PARAMS, "a": torch.ones(1)}, "the gradient of 'a' has shape (1,), expected (2,)"),
        ({**PARAMS, "a": None}, "missing ['a'], unexpected nothing"),
        ({**PARAMS, "a": torch.ones(2) * 1j}, "the gradient of 'a' has dtype torch.complex64, expected a real one"),
    ],
)
def test_gradients_that_do_not_fit_are_refused_by_path(make, grads, message):
    optimizer = make()
    with pytest.raises(ValueError, match=re.escape(message)):
        optimizer.update(grads, optimizer.init(PARAMS), PARAMS)


def test_custom_transformations_need_no_parameters():
    turn = optim.Transformation(
        lambda params: (), lambda grads, state, params=None: (tree.map(torch.neg, grads), state)
    )
    assert optim.chain(turn, turn).update({"w": torch.ones(1)}, ((), ()))[0]["w"].item() == 1


def followed_by_lr(transformation):
    return optim.chain(transformation, optim.scale_by_learning_rate(0.1))


@pytest.mark.parametrize(
    ("used", "made"),
    [
        (optim.scale_by_adam(), optim.scale_by_lion()),
        (optim.scale_by_adam(amsgrad=True), optim.scale_by_adam()),
        (optim.scale_by_rmsprop(centered=True), optim.scale_by_rmsprop()),
        (followed_by_lr(optim.scale_by_yogi()), followed_by_lr(optim.trace(0.9))),
        (optim.multi_steps(sgd(), 2), optim.apply_if_finite(sgd(), 2)),
        (optim.sam(sgd()), optim.multi_steps(sgd(), 2)),
        (optim.reduce_on_plateau(sgd()), optim.sam(sgd())),
        (optim.add_noise(random.key(0)), optim.zero_nans()),
    ],
)
def test_the_state_of_another_optimizer_is_refused(used, made):
    with pytest.raises(ValueError, match=r"update\(\) got the state of another optimizer; pass what its own init"):
        used.update(PARAMS, made.init(PARAMS), PARAMS, value=torch.ones(()))


@pytest.mark.parametrize("returned", [{"w": 1}, None, (1, 2, 3), (1,), [1]])
def test_an_update_that_returns_no_pair_is_named(returned):
    mine = optim.make_transformation("mine", {}, lambda params: {}, lambda *arguments: returned)
    with pytest.raises(ValueError, match=r"mine: its update returned a .*, expected the pair \(updates, buffers\)"):
        mine.update(PARAMS, mine.init(PARAMS), PARAMS)
    bare = optim.Transformation(lambda params: (), lambda *arguments, **extra: returned)
    made = {
        r"chain: the update of transformation 1": optim.chain(sgd(), bare),
        r"partition: the update of 'all'": optim.partition({"all": bare}, {"*": "all"}),
        r"masked: its update": optim.masked(bare, "*"),
        r"flatten: the optimizer's update": optim.flatten(bare),
        r"multi_steps: the optimizer's update": optim.multi_steps(bare, 2),
        r"sam: the optimizer's update": optim.sam(bare),
    }
    for whose, optimizer in made.items():
        with pytest.raises(ValueError, match=rf"{whose} returned a .*, expected the pair \(updates, state\)"):
            optimizer.update(PARAMS, optimizer.init(PARAMS), PARAMS)
