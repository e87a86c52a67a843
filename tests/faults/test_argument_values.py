"""Under `jit` a function gives what it gives eagerly, for other values of its arguments too, or it is refused."""

import math
from collections import OrderedDict
from functools import reduce

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.torch_version import TorchVersion
from torch.utils.checkpoint import checkpoint

import funcdl as fd
from funcdl import random
from tests.compile_with import compile_with

X = torch.tensor([0.5, -1.0, 2.0, 3.5, -0.25])
TABLE = torch.tensor([3.0, 1.0, 4.0, 1.0, 5.0])


def number(value, dtype=torch.int64):
    return torch.tensor(value, dtype=dtype)


def real(value):
    return number(value, torch.float64)


def written(x, change):
    """A changed copy of `x`."""
    copy = x.clone()
    change(copy)
    return copy


def assert_right(compiled, f, *args):
    """That it gives what `f` gives; a torch before 2.15 may refuse arithmetic with a value."""
    try:
        found = compiled(*args)
    except TypeError:
        if torch.__version__ >= TorchVersion("2.15"):
            raise
    else:
        assert_equal(found, f(*args))


def assert_equal(found, expected):
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6, equal_nan=True)


INTEGERS = {  # functions of a vector and a 0-dim integer: right for each value
    "index": lambda x, i: x[i],
    "index of a matrix": lambda x, i: x.view(1, 5)[:, i],
    "index of two": lambda x, i: torch.stack([x, -x, x + 1, x * 2, x])[i, i],
    "index and slice": lambda x, i: torch.stack([x, -x, x + 1, x * 2, x])[i, 1:],
    "index by an expression": lambda x, i: x[(i + 1) % 5],
    "index of a view of a view": lambda x, i: torch.stack([x, -x, x + 1, x * 2, x]).T[i][2:][i % 3],
    "index by a value": lambda x, i: x[i.item()] + x[(i + 1).item() - 1],
    "index and ellipsis": lambda x, i: torch.stack([x, -x, x + 1, x * 2, x])[None, ..., i, 1:],
    "index and index": lambda x, i: torch.stack([x, -x, x + 1, x * 2, x])[i, torch.tensor([0, 2])],
    "select": lambda x, i: x.select(0, i),
    "a schedule": lambda x, i: x * TABLE[i],
    "a schedule by value": lambda x, i: x * TABLE[i].item(),
    "setitem": lambda x, i: written(x, lambda y: y.__setitem__(i, 9.0)),
    "setitem of a tensor": lambda x, i: written(x, lambda y: y.__setitem__(i, x.sum())),
    "setitem of one": lambda x, i: written(x, lambda y: y.__setitem__(i, x[:1])),
    "setitem of a row": lambda x, i: written(x.expand(5, 5), lambda y: y.__setitem__((i, slice(1, None)), x[1:])),
    "setitem by a mask": lambda x, i: written(x.expand(5, 5), lambda y: y.__setitem__((x > 1, i), 7.0)),
    "setitem by two": lambda x, i: written(x.expand(5, 5), lambda y: y[i].__setitem__((i + 1) % 5, 9.0)),
    "add to one": lambda x, i: written(x, lambda y: y[i].add_(1)),
    "add to a view of one": lambda x, i: written(x.expand(5, 5), lambda y: y[i][1:].mul_(x[i])),
    "write where it was read": lambda x, i: written(x, lambda y: y.__setitem__(i, y[i] + y[(i + 1) % 5])),
    "alpha": lambda x, i: x.add(x, alpha=i),
    "value": lambda x, i: x * i.item() + i.item() ** x.abs() + x**i,
    "arithmetic of values": lambda x, i: x * (2 * i.item() + 1) - (-i.item()),
    "full": lambda x, i: torch.full((5,), i) * x,
    "compare": lambda x, i: torch.where(x > i.item(), x, i.item()),
    "grad": lambda x, i: fd.grad(lambda y: y[i] ** 2)(x),
    "grad of setitem": fd.grad(lambda x, i: (x * written(x * 2, lambda y: y.__setitem__(i, x[0] ** 2))).sum()),
    "grad of two": fd.grad(lambda x, i: (torch.stack([x, x * x, x, x, x])[i, (i + 1) % 5] * x).sum()),
    "jvp": lambda x, i: torch.func.jvp(lambda y: y[i] * y, (x,), (x,))[1],
    "hessian": lambda x, i: torch.func.hessian(lambda y: y[i] ** 3 * y.sum())(x),
    "vmap": lambda x, i: fd.vmap(lambda y: y[i] * y)(torch.stack([x, -x])),
    "vmap over indices": lambda x, i: fd.vmap(lambda j: x[j] * x)((i + torch.arange(3)) % 5),
    "scan": lambda x, i: fd.scan(lambda c, _: ((c + 1) % 5, x[c]), i, length=3)[1],
    "scan that closes over it": lambda x, i: fd.scan(lambda c, y: (c + y * x[i], ()), x[0], x)[0],
    "scan that writes": lambda x, i: fd.scan(
        lambda c, y: (((c[0] + 1) % 5, written(c[1], lambda z: z.__setitem__(c[0], y))), c[1][c[0]]), (i, x), x
    )[0][1],
}
REALS = {  # of a vector and a 0-dim float64
    "alpha": lambda x, h: x.add(x, alpha=h),
    "negative alpha": lambda x, h: x.add(x.sin(), alpha=-h),
    "alpha of sub": lambda x, h: x.sub(x.sin(), alpha=h),
    "alpha in place": lambda x, h: written(x, lambda y: y.add_(x, alpha=h).sub_(x.sin(), alpha=h)),
    "value": lambda x, h: x.addcmul(x, x, value=h).addcdiv(x, x.abs() + 1, value=h),
    "grad of alpha": lambda x, h: fd.grad(lambda y: (y.exp().add(y.sin(), alpha=h) ** 2).sum())(x),
    "grad of alpha in place": lambda x, h: fd.grad(lambda y: (y * 1).sub_(y.sin(), alpha=h).prod())(x),
    "grad of bfloat16": lambda x, h: fd.grad(lambda y: torch.sub(y, y * y, alpha=h).sum())(x.bfloat16()),
    "step below a gradient": lambda x, h: fd.grad(
        lambda y: torch.sub(input=y, other=fd.grad(lambda z: (z**3).sum())(y), alpha=h).sum()
    )(x),
    "jvp of alpha": lambda x, h: torch.func.jvp(lambda y: y.add(y.sin(), alpha=h.item()), (x,), (x,))[1],
    "vmap of alpha": lambda x, h: fd.vmap(lambda y: y.subtract(y.sin(), alpha=h))(torch.stack([x, -x])),
    "filled": lambda x, h: torch.full_like(x, h) + x.new_full((5,), h) * torch.full((5,), h, dtype=torch.float32),
    "fill in place": lambda x, h: written(x, lambda y: y.fill_(h.item())),
    "number": lambda x, h: h.item() * x / h.item() - x ** h.item() + h.item() / (x.abs() + 1),
    "power": lambda x, h: h.item() ** x,
    "whole numbers": lambda x, h: x.long() * h.item(),
    "bfloat16": lambda x, h: x.bfloat16() * h.item(),
    "a 0-dim": lambda x, h: x.sum() * h.item(),
    "clamp": lambda x, h: x.clamp(-1, h.item()).masked_fill(x > 3, h.item()),
    "where": lambda x, h: torch.where(x > h.item(), h.item(), x),
    "scan": lambda x, h: fd.scan(lambda c, y: (c.add(y, alpha=h), c * h.item()), x[0], x)[1],
}
REFUSED = {  # what has to be known beforehand
    "size": lambda x, i: x[:4].view(i, -1),
    "arange": lambda x, i: torch.arange(i),
    "zeros": lambda x, i: torch.zeros(i),
    "slice": lambda x, i: x[i:],
    "narrow": lambda x, i: x.narrow(0, i, 2),
    "repeat": lambda x, i: x.repeat(i),
    "dimension": lambda x, i: x.view(1, 1, 1, 5).sum(i),
    "topk": lambda x, i: x.topk(i)[0],
    "triangle": lambda x, i: torch.stack([x, x]).tril(i),
    "list": lambda x, i: [x, x + 1, x + 2, x + 3][i],
    "dict": lambda x, i: {1: x, 2: -x, 3: x}[i.item()],
    "range": lambda x, i: reduce(lambda a, _: a + 1, range(i), x),
    "int": lambda x, i: x * int(i),
    "float": lambda x, i: x * float(i),
    "if": lambda x, i: x if i > 1 else -x,
    "if by value": lambda x, i: x if i.item() == 1 else -x,
    "truth": lambda x, i: x if i else -x,
    "sqrt": lambda x, i: x * math.sqrt(i),
    "ceil": lambda x, i: x * math.ceil(i),
    "max": lambda x, i: x * max(i, 2),
    "numpy": lambda x, i: x * float(i.numpy()),
    "list of tensors": lambda x, i: torch.tensor([i, i]) + x[:2],
    "equal": lambda x, i: x if torch.equal(i, i * i) else -x,
    "in": lambda x, i: x if i in (1, 2) else -x,
    "complex": lambda x, i: x * complex(i),
    "in place over a list": lambda x, i: written(
        torch.stack([x, x]), lambda y: torch._foreach_add_([y], [y], alpha=i.item())
    ),
}


@pytest.mark.parametrize("name", INTEGERS)
def test_a_whole_number(without_inductor, name):
    f = INTEGERS[name]
    for dtype in (torch.int64, torch.int32):
        compiled = fd.jit(f)
        for value in (2, 3, 0, 4):
            assert_right(compiled, f, X, number(value, dtype))


@pytest.mark.parametrize("name", REALS)
def test_a_real_number(without_inductor, name):
    f = REALS[name]
    for dtype in (torch.float64, torch.float32):
        compiled = fd.jit(f)
        for value in (2.5, 3.25, 0.0, -1.0):
            assert_right(compiled, f, X, number(value, dtype))


@pytest.mark.parametrize("name", REFUSED)
def test_a_number_that_has_to_be_known(without_inductor, name):
    f = REFUSED[name]
    compiled = fd.jit(f)
    with pytest.raises(TypeError, match=r"^jit\(<lambda>\): the function needs a tensor's value.*torch\.where"):
        compiled(X, number(2))
    if name in ("triangle", "in place over a list"):
        assert fd.eval_shape(f, X, number(2)).shape == (2, 5)
    else:
        with pytest.raises(TypeError, match=r"^eval_shape: the function needs a tensor's value"):
            fd.eval_shape(f, X, number(2))


def test_what_inductor_makes_of_them():
    """One graph of all: positions from the front and the end, and beyond, where eager raises too."""
    whole = ("index of two", "a schedule", "setitem by two", "add to a view of one", "write where it was read")
    real_ones = ("alpha in place", "value", "filled")

    def f(x, i, h):
        by_i = {name: INTEGERS[name](x, i % 5) for name in (*whole, "grad", "scan that writes")}
        by_h = {name: REALS[name](x, h) for name in real_ones}
        return by_i, by_h, written(x, lambda y: y.__setitem__(i, x[i] * h))

    compiled = fd.jit(f)
    for i, h in ((2, 2.5), (-1, 0.5), (0, -1.0), (-5, 3.0)):
        expected = f(X, number(i), real(h))
        fd.tree.map(assert_equal, compiled(X, number(i), real(h)), expected)
    for i in (5, -6, 1000):
        with pytest.raises((RuntimeError, IndexError)):
            compiled(X, number(i), real(1.0))


def test_a_view_that_should_follow_what_is_written(without_inductor):
    def f(x, i):
        copy = x.clone()
        one = copy[i]
        copy.add_(1)
        return one * 2

    with pytest.raises(ValueError, match=r"^jit: the function uses a view of x.*clone\(\)"):
        fd.jit(f)(X, number(2))


def test_an_element_of_what_is_donated(without_inductor):
    def f(state, i):
        return {"x": state["x"].add(X, alpha=state["lr"]), "lr": state["lr"]}, state["x"][i]

    compiled = fd.jit(f, donate_argnums=0)
    for i, lr in ((1, 0.5), (3, 0.25)):
        (state, element), expected = compiled({"x": X.clone(), "lr": real(lr)}, number(i)), X + lr * X
        assert_equal(state["x"], expected)
        assert_equal(element, X[i])


def test_what_is_written_by_other_means_below_a_derivative(without_inductor):
    def f(x, i):
        return (written(x * 2, lambda y: y[i].add_(x[0])) * x).sum()

    with pytest.raises(ValueError, match=r"^jit: the function differentiates what it writes into x\[i\]"):
        fd.jit(fd.grad(f))(X, number(2))


def test_an_index_in_what_is_run_again(without_inductor):
    """Below autograd's own pass, where torch lets no mode watch what is called."""

    def f(x, i):
        return checkpoint(lambda y: y.sin() * y[i], x, use_reentrant=False).sum()

    with pytest.raises(TypeError, match=r"^jit\(f\): the function needs a tensor's value.*(saved during|as a number)"):
        fd.jit(fd.grad(f))(X, number(2))


def test_closed_over_numbers_are_known(without_inductor):
    three, half = torch.tensor(3), torch.tensor(0.5)

    def f(x):
        return x[three] * float(half) * torch.arange(three)

    assert_equal(fd.jit(f)(X), f(X))
    assert_equal(
        fd.jit(lambda x: fd.scan(lambda c, y: (c + y * x[three] * int(three), ()), x[0], x)[0])(X),
        X[0] + 10.5 * X.sum(),
    )
    assert fd.eval_shape(f, X).shape == (3,)


@pytest.mark.parametrize("outside", [X.clone().requires_grad_(), torch.tensor(2.0, requires_grad=True)])
def test_where_a_gradient_is_required_outside(without_inductor, outside):
    def f(x, i):
        return (x * TABLE)[i] * i.item()

    f.__name__ = f"f_of_{outside.ndim}"  # it warns once of each
    compiled = fd.jit(f)
    with pytest.warns(RuntimeWarning, match=r"jit\(f_of_\d\): runs uncompiled, because it indexes by a tensor"):
        compiled(outside, number(0))
    for i in (2, 4):
        found, expected = compiled(outside, number(i)), (outside * TABLE)[i] * i
        assert_equal(found, expected)
        (slope,), (expected_slope,) = torch.autograd.grad(found, outside), torch.autograd.grad(expected, outside)
        assert_equal(slope, expected_slope)


STEPS = [
    lambda x, i, h: x * x[i % 5],
    lambda x, i, h: x.roll(1) - TABLE[i % 5],
    lambda x, i, h: x.add(x.cos(), alpha=h),
    lambda x, i, h: x.sub(TABLE, alpha=i),
    lambda x, i, h: x.addcmul(x, TABLE, value=h),
    lambda x, i, h: written(x, lambda y: y.__setitem__(i % 5, h)),
    lambda x, i, h: written(x, lambda y: y[i % 5].sub_(x[-1 - i % 5])),
    lambda x, i, h: written(x.expand(3, 5), lambda y: y[i % 3, 1:4].mul_(h.item()))[1],
    lambda x, i, h: x * h.item() + i.item(),
    lambda x, i, h: x.clamp(max=h.item()),
    lambda x, i, h: torch.where(x > i.item(), x, TABLE[i % 5].item()),
    lambda x, i, h: x + torch.full_like(x, h),
    lambda x, i, h: fd.grad(lambda y: (y * y[i % 5]).sum() * h.item())(x),
    lambda x, i, h: fd.vmap(lambda j: x[j % 5] + h)(torch.arange(5) + i),
    lambda x, i, h: fd.scan(lambda c, y: (c.add(y, alpha=h.item()), c + TABLE[i % 5]), x[i % 5], x)[1],
]
ASKING = [
    lambda x, i, h: x if i > 0 else -x,
    lambda x, i, h: x * int(i),
    lambda x, i, h: x[: i % 5 + 1].sum() + x,
]


@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(st.sampled_from([*STEPS, *ASKING]), min_size=1, max_size=4),
    calls=st.lists(st.tuples(st.integers(0, 6), st.floats(-2, 2)), min_size=2, max_size=2, unique=True),
)
def test_random_functions_of_0_dim_arguments(steps, calls):
    def f(x, i, h):
        return reduce(lambda y, step: step(y, i, h), steps, x)

    asks = any(step in ASKING for step in steps)
    compiled = fd.jit(f)
    with pytest.MonkeyPatch.context() as patch:
        compile_with("eager", patch)
        for i, h in calls:
            args = X.double(), number(i), real(h)
            if asks:
                with pytest.raises(TypeError, match="needs a tensor's value"):
                    compiled(*args)
            else:
                assert_right(compiled, f, *args)


ONE, TWO, THREE = torch.tensor([[1.0], [2.0], [3.0]])
ARGUMENTS = {"b": ONE, "a": TWO, "c": {"z": THREE, "y": ONE}}
REVERSED = {"c": {"y": ONE, "z": THREE}, "a": TWO, "b": ONE}


def walk(parts):
    flat = [*[v for v in parts.values() if not isinstance(v, dict)], *parts["c"].values()]
    return {"joined": torch.cat(flat), **{key: value * 2 for key, value in parts["c"].items()}}


@pytest.mark.parametrize("calls", [(ARGUMENTS, REVERSED), (REVERSED, ARGUMENTS), (ARGUMENTS, REVERSED, ARGUMENTS)])
@pytest.mark.parametrize("kind", [dict, OrderedDict])
def test_the_order_of_keys_is_the_callers(without_inductor, calls, kind):
    compiled = fd.jit(walk)
    for call in calls:
        found, expected = compiled(kind(call)), walk(kind(call))
        assert list(found) == list(expected)
        fd.tree.map(assert_equal, found, expected)
    by_name = fd.jit(lambda **parts: torch.cat(list(parts.values())))
    for names in ("ab", "ba", "ab"):
        assert_equal(by_name(**{n: ARGUMENTS[n] for n in names}), torch.cat([ARGUMENTS[n] for n in names]))


def test_a_scans_body_sees_the_order_of_the_first_carry(without_inductor):
    def body(carry, x):
        first, second = carry.values()
        return {"a": second + x, "b": first * 2}, {"y": first, "x": second}

    def f(init, xs):
        return fd.scan(body, init, xs)

    init = {"b": torch.tensor(1.0), "a": torch.tensor(2.0)}
    for found, expected in zip(fd.jit(f)(init, X), f(init, X), strict=True):
        assert list(found) == list(expected)
        fd.tree.map(assert_equal, found, expected)
    assert list(f(init, X)[0]) == ["b", "a"]


DRAWS = {
    "randn": lambda x: x + torch.randn(5),
    "rand": lambda x: x + torch.rand_like(x),
    "randperm": lambda x: x[torch.randperm(5)],
    "bernoulli": lambda x: torch.bernoulli(x.sigmoid()),
    "normal": lambda x: x.clone().normal_(),
    "multinomial": lambda x: torch.multinomial(x.abs(), 2),
    "dropout": lambda x: F.dropout(x, 0.5),
    "rrelu": lambda x: F.rrelu(x, training=True),
    "distributions": lambda x: torch.distributions.Gamma(x.abs(), 1.0, validate_args=False).sample(),
    "unused": lambda x: (torch.rand(3), x)[1],
    "in a gradient": fd.grad(lambda x: (x * torch.randn(5)).sum()),
    "in a scan": lambda x: fd.scan(lambda c, y: (c + torch.rand(()), y * 1), x[0], x)[0],
    "in a vmap": fd.vmap(lambda y: y * torch.randn(())),
    "in a vmap of a gradient": lambda x: fd.vmap(fd.grad(lambda y: F.dropout(y, 0.5).sum()))(torch.stack([x, x])),
    "in a branch": lambda x: torch.cond(x.sum() > 0, lambda y: y * torch.rand(5), lambda y: -y, (x,)),
    "own generator": lambda x: x + torch.rand(5, generator=GENERATOR),
    "seed": lambda x: (torch.manual_seed(0), x + 1)[1],
    "seed in a vmap": fd.vmap(lambda y: (torch.manual_seed(0), y * torch.randn(()))[1]),
}
GENERATOR = torch.Generator()


@pytest.mark.parametrize("name", DRAWS)
def test_draws_from_a_hidden_generator(without_inductor, name):
    with pytest.raises(
        ValueError, match=r"^jit: the function .* a hidden generator; draw with funcdl\.random.*the key"
    ):
        fd.jit(DRAWS[name])(X)


def test_what_draws_nothing(without_inductor):
    def f(x, key):
        query = x.view(1, 1, 5, 1)
        calm = F.dropout(x, 0.5, training=False) + F.dropout(x, 0.0) + F.rrelu(x, training=False)
        return calm + F.scaled_dot_product_attention(query, query, query).view(5) + random.normal(key, (5,))

    assert_equal(fd.jit(f)(X, random.key(0)), f(X, random.key(0)))


def test_the_default_device_is_part_of_a_program(without_inductor):
    compiled = fd.jit(lambda x: (x + 1, torch.zeros(2)))
    assert compiled(X)[1].device.type == "cpu"
    with torch.device("meta"):
        assert compiled(X)[1].device.type == "meta"
    torch.set_default_device("meta")
    try:
        assert compiled(X)[1].device.type == "meta"
    finally:
        torch.set_default_device(None)
    assert compiled(X)[1].device.type == "cpu"
