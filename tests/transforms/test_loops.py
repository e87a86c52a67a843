"""`scan` against a Python loop: eager, in a graph, differentiated, mapped, nested and donated."""

import functools
import math
from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._dynamo.utils import counters

from funcdl import random, tree
from funcdl.transforms import eval_shape, grad, jit, scan, value_and_grad, vmap
from funcdl.transforms.engine import backend
from tests.compile_with import counted


class State(NamedTuple):
    params: dict
    key: torch.Tensor
    step: torch.Tensor


def loop(f, init, xs, length=None):
    """What `scan` means."""
    sizes = [leaf.shape[0] for leaf in tree.leaves(xs)]
    carry, ys = init, []
    for i in range(sizes[0] if sizes else length):
        carry, y = f(carry, tree.map(lambda leaf: leaf[i], xs))  # noqa: B023 (called at once)
        ys.append(y)
    return carry, tree.map(lambda *leaves: torch.stack(leaves), *ys)


def same(results, expected):
    assert tree.structure(results) == tree.structure(expected)
    for (path, result), right in zip(tree.leaves_with_paths(results), tree.leaves(expected), strict=True):
        assert result.dtype == right.dtype, path
        assert torch.equal(result, right), f"{path}: {result} is not {right}"


def whole(*shape):
    """Whole numbers, on which float32 arithmetic is exact, so that results can be compared bit by bit."""
    return torch.arange(math.prod(shape)).remainder(5).to(torch.float32).reshape(shape)


def keyed(state, x):
    key, now = random.split(state.key)
    params = {**state.params, "w": state.params["w"] + x["a"] - state.step}
    y = {"bits": random.bits(now, (2,)), "step": state.step, "slice": x["b"][0], "w": params["w"], "x": (x["a"], {})}
    return State(params, key, state.step + 1), y


# name: (body, a function that makes (init, xs, length))
CASES = {
    "named_tuple_and_key": (
        keyed,
        lambda: (
            State({"w": whole(3), "frozen": whole(2), "empty": {}}, random.key(1), torch.zeros((), dtype=torch.int64)),
            {"a": whole(4, 3), "b": whole(4, 2), "unused": whole(4)},
            None,
        ),
    ),
    "nothing_but_views": (
        lambda c, x: ((c[1], c[0], c[2]), [c[0], c[0], x[0], x[1].t(), c[2].view(-1)]),
        lambda: ((whole(2), -whole(2), whole(2, 2)), (whole(3, 4), whole(3, 2, 5)), None),
    ),
    "one_leaf_in_two_places": (
        lambda c, x: ({"a": c["a"] + x, "b": c["a"] + x}, (c["a"] + x, x)),
        lambda: ({"a": whole(2), "b": whole(2)}, whole(5, 2), None),
    ),
    "fresh_leaf_in_two_places": (
        lambda c, x: ((new := c[0] * 2 - x, new), (new, {"new": new})),
        lambda: ((whole(2), whole(2)), whole(4, 2), None),
    ),
    "no_xs": (lambda c, x: (c + 1, {"before": c, "x": x}), lambda: (whole(2), {}, 4)),
    "no_xs_no_y": (lambda c, x: (c + 1, x), lambda: (whole(2), (), 3)),
    "no_y": (lambda c, x: (c + x, ()), lambda: (torch.zeros(()), whole(4), None)),
    "no_carry": (lambda c, x: (c, x * 2), lambda: ((), whole(4, 2), None)),
    "no_carry_no_y": (lambda c, x: (c, ()), lambda: ({}, whole(4, 2), 4)),
    "one_step": (lambda c, x: (c + x, c), lambda: (torch.zeros(()), whole(1), 1)),
    "other_strides": (
        lambda c, x: ((c + x).contiguous(), c.t()),
        lambda: (whole(2, 3).t(), whole(4), None),
    ),
    "expanded": (
        lambda c, x: (x[0].expand(3), x[1].expand(2, 2)),
        lambda: (whole(1).expand(3), whole(4, 2), None),
    ),
    "dtypes": (
        lambda c, x: ((c[0] ^ x[0], c[1] + 1), (x[1], c[0], x[1] + c[1])),
        lambda: (
            (torch.tensor(True), torch.tensor([1, 2], dtype=torch.int32)),
            (torch.tensor([True, False, True]), whole(3, 2).to(torch.bfloat16)),
            None,
        ),
    ),
    "nested": (
        lambda c, x: (scan(lambda d, k: (d + k * x, ()), c, torch.arange(3.0))[0], c),
        lambda: (torch.zeros(()), whole(4), None),
    ),
    "mapped_body": (
        vmap(lambda c, x: (c + x.sum(), c)),
        lambda: (whole(3), whole(4, 3, 2), None),
    ),
    "gradient_inside": (
        lambda w, x: (w - 2 * (pair := value_and_grad(lambda w: ((w - x) ** 2).sum())(w))[1], pair[0]),
        lambda: (whole(3), whole(2, 3), None),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_equals_a_python_loop(name, device):
    body, make = CASES[name]
    init, xs, length = to(device, make)
    same(scan(body, init, xs, length), loop(body, init, xs, length))


def to(device, make):
    init, xs, length = make()
    return *(tree.map(lambda leaf: leaf.to(device), part) for part in (init, xs)), length


@functools.cache  # one graph for all cases; each case is then judged in a test of its own
def compiled(device):
    made = {name: to(device, make) for name, (_, make) in CASES.items()}

    def f(arguments):
        return {name: scan(CASES[name][0], init, xs, made[name][2]) for name, (init, xs) in arguments.items()}

    arguments = {name: (init, xs) for name, (init, xs, _) in made.items()}
    return jit(f)(arguments), eval_shape(f, arguments), arguments


@pytest.mark.parametrize("name", CASES)
def test_compiled_equals_a_python_loop(name, device):
    body, make = CASES[name]
    init, xs, length = to(device, make)
    expected = loop(body, init, xs, length)
    results, shapes, arguments = compiled(device)
    same(results[name], expected)
    same(arguments[name], (init, xs))
    forms = tree.map(lambda leaf: (list(leaf.shape), str(leaf.dtype)), shapes[name])
    assert forms == tree.map(lambda leaf: (list(leaf.shape), str(leaf.dtype)), expected)


def recurrence(params, x):
    """A small recurrent network; scalar, so that it can be differentiated."""

    def cell(h, x):
        h = torch.tanh(params["w"] @ h + x)
        return h, h[0]

    last, ys = scan(cell, torch.zeros(2, dtype=x.dtype), x)
    return (last**2).sum() + (ys * torch.arange(len(x))).sum()


def recurrence_by_loop(params, x):
    h, total = torch.zeros(2, dtype=x.dtype), torch.zeros((), dtype=x.dtype)
    for i in range(len(x)):
        h = torch.tanh(params["w"] @ h + x[i])
        total = total + i * h[0]
    return (h**2).sum() + total


def members():
    draw = torch.Generator().manual_seed(0)
    return {"w": torch.randn(3, 2, 2, generator=draw).double()}, torch.randn(4, 2, generator=draw).double()


def test_gradients_and_maps_through_it_equal_those_of_a_loop():
    stacked, x = members()
    params = tree.unstack(stacked)[0]
    ensemble = {"in_dims": (0, None)}

    def all_of(f):
        def g(stacked, params, x):
            return {
                "value": f(params, x),
                "grad": grad(f, argnums=(0, 1))(params, x),
                "grad_grad": grad(lambda p: grad(f, argnums=1)(p, x)[1].sum())(params),
                "vmap": vmap(f, **ensemble)(stacked, x),
                "vmap_grad": vmap(grad(f), **ensemble)(stacked, x),
                "grad_vmap": grad(lambda stacked: vmap(f, **ensemble)(stacked, x).sum())(stacked),
                "forward": torch.func.jvp(lambda x: f(params, x), (x,), (torch.ones_like(x),)),
            }

        return g

    expected = all_of(recurrence_by_loop)(stacked, params, x)
    close(all_of(recurrence)(stacked, params, x), expected)
    close(jit(all_of(recurrence))(stacked, params, x), expected)


def close(results, expected):
    assert tree.paths(results) == tree.paths(expected)
    for (path, result), right in zip(tree.leaves_with_paths(results), tree.leaves(expected), strict=True):
        torch.testing.assert_close(result, right, msg=lambda m, path=path: f"{path}: {m}")


def test_backward_through_it_when_leaves_require_a_gradient():
    stacked, x = members()
    leaves = [stacked["w"][0].clone().requires_grad_(), x.clone().requires_grad_()]  # the first is closed over
    expected = torch.autograd.grad(recurrence_by_loop({"w": leaves[0]}, leaves[1]), leaves)
    for f in (recurrence, jit(recurrence)):
        close(torch.autograd.grad(f({"w": leaves[0]}, leaves[1]), leaves), expected)
        close(torch.autograd.grad(f({"w": leaves[0]}, x), leaves[0]), expected[:1])


def train_step(state, batch):
    """A step as recipes make them: the gradient is taken inside, noise comes from the key of the carry."""
    inputs, targets = batch
    key, now = random.split(state.key)

    def loss(params):
        hidden = torch.relu(inputs @ params["w1"] + params["b1"]) * random.bernoulli(now, 0.9, (8,))
        return ((hidden @ params["w2"]).squeeze(-1) - targets).square().mean()

    value, gradient = value_and_grad(loss)(state.params)
    params = tree.map(lambda p, g: p - 0.05 * g, state.params, gradient)
    return State(params, key, state.step + 1), {"loss": value}


def training(device, steps=50):
    draw = torch.Generator().manual_seed(0)
    params = {
        "w1": torch.randn(3, 8, generator=draw),
        "b1": torch.zeros(8),
        "w2": torch.randn(8, 1, generator=draw),
        "frozen": {},
    }
    inputs, targets = torch.randn(steps, 4, 3, generator=draw), torch.randn(steps, 4, generator=draw)
    state = State(params, random.key(7), torch.zeros((), dtype=torch.int64))
    return tree.map(lambda leaf: leaf.to(device), (state, (inputs, targets)))


def test_a_scanned_epoch_has_the_bits_of_the_compiled_step_in_a_loop(device):
    state, batches = training(device)
    step = jit(train_step, donate_argnums=0)
    epoch = jit(lambda state, batches: scan(train_step, state, batches), donate_argnums=0)

    looped, losses = tree.map(torch.clone, state), []
    for i in range(50):
        looped, metrics = step(looped, tree.map(lambda leaf: leaf[i].clone(), batches))  # noqa: B023
        losses.append(metrics["loss"].clone())

    donated = tree.map(torch.clone, state)
    memory = {leaf.data_ptr() for leaf in tree.leaves(donated) if leaf.ndim}
    scanned, metrics = epoch(donated, batches)
    same((scanned, metrics["loss"]), (looped, torch.stack(losses)))
    assert {leaf.data_ptr() for leaf in tree.leaves(scanned) if leaf.ndim} == memory
    assert scanned.step == 50
    assert metrics["loss"][-10:].mean() < metrics["loss"][:10].mean()
    same((state, batches), training(device))


def test_the_graph_does_not_grow_with_the_length():
    def nodes(length):
        graphs = []

        def count(module):
            graphs.append(sum(len(m.graph.nodes) for m in module.modules() if isinstance(m, torch.fx.GraphModule)))
            return module.forward

        state, batches = training("cpu", length)
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(backend, "compile_graph", counted(count))
            jit(lambda state, batches: scan(train_step, state, batches))(state, batches)
        return graphs

    before = counters["stats"]["unique_graphs"]
    assert nodes(3) == nodes(300)
    assert counters["stats"]["unique_graphs"] - before == 2


@given(shapes=st.lists(st.lists(st.integers(0, 3), max_size=2), max_size=3), steps=st.integers(1, 4))
@settings(max_examples=50, deadline=None)
def test_trees_of_any_shapes(shapes, steps):
    init = {str(index): whole(*shape) for index, shape in enumerate(shapes)}
    xs = [whole(steps, *shape) for shape in shapes]

    def body(carry, x):
        new = {str(index): carry[str(index)] - leaf for index, leaf in enumerate(x)}
        return new, (carry, x)

    same(scan(body, init, xs, steps), loop(body, init, xs, steps))
