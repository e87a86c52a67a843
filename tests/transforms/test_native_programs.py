"""Random small programs give, compiled by our own compiler, what they give eagerly: views, writes, loops, batches."""

import random as python_random

import pytest
import torch

import funcdl as fd
from funcdl import tree
from funcdl.transforms.engine import trace
from funcdl.transforms.engine.native import compiler
from funcdl.transforms.engine.native.ir import NotSupported
from funcdl.transforms.engine.native.program import compile_graph

pytestmark = pytest.mark.skipif(compiler.find() is None, reason="no C++ compiler")

SHAPES = [(), (1,), (5,), (3, 5), (5, 3), (1, 5), (3, 1), (2, 3, 5), (4, 4)]
UNARY = [
    torch.tanh,
    torch.sigmoid,
    torch.neg,
    torch.abs,
    torch.relu,
    torch.square,
    lambda x: x * 0.5 + 1,
    torch.sin,
    torch.clone,
]
BINARY = [
    torch.add,
    torch.sub,
    torch.mul,
    torch.maximum,
    lambda x, y: torch.where(x > y, x, 2 * y),
    lambda x, y: x.lerp(y, 0.3),
]


def random_program(seed, *, steps=14, batched=False):
    """A function of three tensors, made of operations drawn by `seed`; its inputs are never written into."""

    def program(*inputs):
        draw = python_random.Random(seed)  # anew for each run, so that each makes the same operations
        values = [x * 1 for x in inputs]
        for _ in range(steps):
            x = draw.choice(values)
            kind = draw.choice(
                ["unary", "unary", "binary", "binary", "view", "view", "write", "reduce", "product", "loop", "join"]
            )
            if kind == "unary":
                values.append(draw.choice(UNARY)(x))
            elif kind == "binary":
                fitting = [y for y in values if _broadcasts(x, y)]
                values.append(draw.choice(BINARY)(x, draw.choice(fitting)))
            elif kind == "view":
                values.append(_view(draw, x))
            elif kind == "write" and not batched and not _overlaps(x):  # batches do not say what they share
                target = _view(draw, x)
                fitting = [y for y in values if y.shape == target.shape and not _shares(y, target)]
                operation = draw.choice(["mul", "add", "fill", "copy"])
                if _overlaps(target):
                    continue
                if operation == "mul":
                    target.mul_(0.5)
                elif operation == "fill":
                    target.fill_(draw.choice([0.0, 2.0]))
                elif fitting:
                    (target.add_ if operation == "add" else target.copy_)(draw.choice(fitting))
            elif kind == "reduce" and x.ndim:
                dim = draw.randrange(x.ndim)
                values.append(draw.choice([x.sum(dim), x.mean(dim, keepdim=True), x.amax(dim), x.sum()]))
            elif kind == "product" and x.ndim == 2:
                fitting = [y for y in values if y.ndim == 2 and y.shape[0] == x.shape[1]]
                if fitting:
                    values.append(x @ draw.choice(fitting))
            elif kind == "join" and x.ndim:
                fitting = [y for y in values if y.shape == x.shape]
                values.append(torch.cat([x, draw.choice(fitting)], draw.randrange(x.ndim)))
            elif kind == "loop" and not batched and x.ndim:
                values.extend(_loop(draw, x, draw.choice(values), seed))
        return values[len(inputs) :] or values

    return program


def _view(draw, x):
    kind = draw.choice(["t", "row", "slice", "flat", "expand", "same"])
    if kind == "t" and x.ndim > 1:
        return x.transpose(0, -1)
    if kind == "row" and x.ndim:
        dim = draw.randrange(x.ndim)
        return x.select(dim, draw.randrange(x.shape[dim]))
    if kind == "slice" and x.ndim:
        dim = draw.randrange(x.ndim)
        start = draw.randrange(x.shape[dim])
        return x.narrow(dim, start, x.shape[dim] - start) if draw.random() < 0.5 else x[:: draw.choice([1, 2])]
    if kind == "flat" and x.is_contiguous():
        return x.view(-1)
    if kind == "expand" and x.ndim < 3:
        return x.unsqueeze(0).expand(2, *x.shape)
    return x.view_as(x)


def _loop(draw, x, y, seed):
    """A loop over the rows of `x`, whose carries are swapped, shared or read at other places."""
    kind = draw.choice(["swap", "same", "shift", "nested", "plain"])
    bias = y.sum()

    def body(carry, row):
        one, two = carry
        if kind == "swap":
            return (two * 0.5 + row, one), one + two
        if kind == "same":
            new = (one + row).tanh()
            return (new, new), new * two
        if kind == "shift":
            return (one.flip(0) if one.ndim else one, two + row * bias), one
        if kind == "nested":
            (inner, _), ys = fd.scan(
                lambda c, r: ((c[1] + r, c[0] * 0.5), c[0]), (one, two), torch.stack([row, row * 2])
            )
            return (two, inner), ys.sum(0)
        return (one * 0.9 + row, two), one.sum()

    (one, two), ys = fd.scan(body, (x[0] * 1, x[0] * 2), x)
    return [one * 1, two * 1, ys]  # eagerly both may be one tensor, which a write would show


def _broadcasts(x, y):
    return all(a == b or 1 in (a, b) for a, b in zip(x.shape[::-1], y.shape[::-1], strict=False))


def _overlaps(x):
    return any(size > 1 and stride == 0 for size, stride in zip(x.shape, x.stride(), strict=True))


def _shares(x, y):
    return x.untyped_storage()._cdata == y.untyped_storage()._cdata


def inputs_of(seed):
    draw = python_random.Random(-seed - 1)
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(draw.choice(SHAPES), generator=generator, dtype=torch.float64) for _ in range(3)]


def check(program, inputs, others):
    """That the compiled program gives what the eager one does, for two inputs; whether it was compiled."""
    graph = trace.trace(lambda *leaves: list(program(*leaves)), inputs)
    try:
        compiled = compile_graph(graph)
    except NotSupported:
        return False
    for values in (inputs, others):
        given = [value.clone() for value in values]
        found, expected = compiled(*values), program(*values)
        assert tree.map(torch.equal, given, list(values)) == [True] * len(given)
        for index, (one, other) in enumerate(zip(found, expected, strict=True)):
            torch.testing.assert_close(
                one, other, rtol=1e-12, atol=1e-12, equal_nan=True, msg=lambda m, i=index: f"{i}: {m}"
            )
    return True


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_random_programs(first):
    taken = 0
    for seed in range(first, first + 20):
        try:
            taken += check(random_program(seed), inputs_of(seed), [-0.7 * x for x in inputs_of(seed)])
        except AssertionError as error:
            raise AssertionError(f"program {seed}: {error}") from None
    assert taken == 20


def test_random_programs_of_a_batch():
    for seed in range(100, 110):
        batched = fd.vmap(random_program(seed, batched=True))
        inputs = [torch.stack([x, -x, 0.3 * x]) for x in inputs_of(seed)]
        check(lambda *xs, batched=batched: tree.leaves(batched(*xs)), inputs, [0.5 * x for x in inputs])
