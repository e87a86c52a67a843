"""One key gives one draw, whatever transforms stand around it: jit, vmap, scan, grad and each other."""

import warnings

import pytest
import torch
from torch._subclasses import FakeTensorMode

from funcdl import random
from funcdl.transforms import grad, jit, scan, vmap

KEPT_TO_A_FEW_ULP = {"normal", "normal64", "truncated_normal", "gumbel", "exponential"}


def draws(key, step):
    keys = iter(random.split(random.fold_in(key, step), 18))
    weights = torch.arange(1.0, 21.0, device=key.device)
    return {
        "fold_in_int": random.fold_in(next(keys), 5),
        "split": random.split(next(keys), 3),
        "bits": random.bits(next(keys), (3, 7)),
        "scalar": random.uniform(next(keys)),
        "uniform": random.uniform(next(keys), (33,), low=-0.3, high=1.7),
        "uniform64": random.uniform(next(keys), (5,), dtype=torch.float64),
        "bernoulli": random.bernoulli(next(keys), 0.3, (33,)),
        "randint": random.randint(next(keys), (9,), -3, 100),
        "permutation": random.permutation(next(keys), 13),
        "normal": random.normal(next(keys), (33,)),
        "truncated_normal": random.truncated_normal(next(keys), (33,), lower=-2.0, upper=2.0),
        "gumbel": random.gumbel(next(keys), (33,)),
        "exponential": random.exponential(next(keys), (33,)),
        "normal64": random.normal(next(keys), (5,), dtype=torch.float64),
        "bounded64": random.uniform(next(keys), (5,), low=-0.3, high=1.6, dtype=torch.float64),
        "choice": random.choice(next(keys), 9, (4,), replace=False),
        "weighted_choice": random.choice(next(keys), 20, (4,), p=weights),
        "few_of_many": random.choice(next(keys), 20, (4,), replace=False, p=weights),
    }


def assert_same(actual, expected):
    for name, value in expected.items():
        if name in KEPT_TO_A_FEW_ULP:
            torch.testing.assert_close(actual[name], value, rtol=1e-6, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")
        else:
            same = actual[name].dtype == value.dtype and actual[name].tolist() == value.tolist()
            assert same, f"{name}: {actual[name]} is not {value}"


def stack(each):
    return {name: torch.stack([draw[name] for draw in each]) for name in each[0]}


@pytest.fixture(params=["philox", "threefry2x32"])
def keys(device, request):
    return random.split(random.key(8, request.param, device=device), 3)


@pytest.fixture
def steps(device):
    return torch.tensor([0, 5, -1], device=device)


@pytest.fixture(autouse=True)
def no_warnings():
    """Turns a warning that would reach the user, such as one of vmap's performance, into an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


def test_vmapped_draws_are_the_draws_of_each_key(keys, steps):
    expected = stack([draws(key, step) for key, step in zip(keys, steps, strict=True)])
    assert_same(vmap(draws)(keys, steps), expected)


def test_vmap_takes_keys_alone_and_steps_alone(keys, steps):
    assert_same(vmap(draws, (0, None))(keys, steps[1]), stack([draws(key, steps[1]) for key in keys]))
    assert_same(vmap(draws, (None, 0))(keys[0], steps), stack([draws(keys[0], step) for step in steps]))
    columns = torch.stack(keys.unbind(), dim=1)
    assert_same(vmap(draws, (1, None))(columns, steps[0]), stack([draws(key, steps[0]) for key in keys]))


def test_nested_vmap(keys, steps):
    expected = stack([stack([draws(key, step) for step in steps]) for key in keys])
    assert_same(vmap(vmap(draws, (None, 0)), (0, None))(keys, steps), expected)


def test_keys_batched_inside_and_steps_outside(keys, steps):
    expected = stack([stack([draws(key, step) for key in keys]) for step in steps])
    assert_same(vmap(vmap(draws, (0, None)), (None, 0))(keys, steps), expected)


def test_compiled_draws_alone_vmapped_and_scanned(keys, steps):
    def scanned(key):
        def body(carry, step):
            next_key, draw_key = random.split(carry)
            return next_key, draws(draw_key, step)

        return scan(body, key, steps)

    def everything(keys, steps):
        return draws(keys[0], steps[0]), vmap(draws)(keys, steps), scanned(keys[1])

    alone, vmapped, (last_key, stacked) = everything(keys, steps)
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # the compiler itself may warn
        compiled = jit(everything)(keys, steps)
    assert_same(compiled[0], alone)
    assert_same(compiled[1], vmapped)
    assert compiled[2][0].tolist() == last_key.tolist()
    assert_same(compiled[2][1], stacked)


def test_draws_are_constants_of_a_gradient(keys):
    def loss(weight, key):
        noise_key, mask_key = random.split(key)
        return (weight**2 * random.normal(noise_key, (4,)) * random.bernoulli(mask_key, 0.5, (4,))).sum()

    def expected(weight, key):
        noise_key, mask_key = random.split(key)
        return 2 * weight * random.normal(noise_key, (4,)) * random.bernoulli(mask_key, 0.5, (4,))

    weight = torch.arange(1.0, 5.0, device=keys.device)
    torch.testing.assert_close(grad(loss)(weight, keys[0]), expected(weight, keys[0]))
    each = torch.stack([expected(weight, key) for key in keys])
    torch.testing.assert_close(vmap(grad(loss), (None, 0))(weight, keys), each)
    leaf = weight.clone().requires_grad_()
    loss(leaf, keys[0]).backward()
    torch.testing.assert_close(leaf.grad, each[0])


def test_draws_pass_through_inference_mode_and_fake_tensors(keys, steps):
    key, step = keys[0], steps[0]
    expected = draws(key, step)
    with torch.inference_mode():
        assert_same(draws(key, step), expected)
    with FakeTensorMode() as mode:
        fake = draws(*(mode.from_tensor(value) for value in (key, step)))
    for name, value in expected.items():
        assert (fake[name].shape, fake[name].dtype) == (value.shape, value.dtype), name
