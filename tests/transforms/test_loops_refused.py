"""What `scan` refuses, and with which words."""

import pytest
import torch

from funcdl.transforms import jit, scan
from tests.transforms.test_loops import State, loop, same, whole

X = torch.arange(3.0)


@pytest.mark.parametrize(
    "write",
    [
        lambda total, c, x: total.add_(x),
        lambda total, c, x: total[0].fill_(1),
        lambda total, c, x: c.mul_(x),
        lambda total, c, x: torch._foreach_add_([total, x], 1.0),
        lambda total, c, x: torch.add(c, x, out=total),
        lambda total, c, x: total.unbind(0)[1].fill_(1),
    ],
)
def test_a_body_that_writes_into_what_it_has_not_made(write):
    def f(c, xs):
        total = c * 0

        def body(c, x):
            write(total, c, x)
            return c + 1, ()

        scan(body, c, xs)
        return total * 1

    with pytest.raises(ValueError, match=r"scan: f writes into a tensor that it is given or closes over \(aten"):
        jit(f)(X, whole(4, 3))


def test_a_body_may_write_into_what_it_has_made_and_no_tensor_of_it_may_leave_by_another_way():
    def filled(c, x):
        made = torch.zeros_like(c)
        made[1:].add_(x[1:])
        return c + made, ()

    same(jit(lambda c, xs: scan(filled, c, xs))(X, whole(4, 3)), loop(filled, X, whole(4, 3)))

    def leaking(c, xs):
        kept = []
        scan(lambda c, x: (kept.append(c * x) or c, ()), c, xs)
        return kept[0]

    with pytest.raises(
        ValueError, match=r"a tensor that a scan's body has stored outside.*return it from the body as y"
    ):
        jit(leaking)(X, whole(4, 3))


@pytest.mark.parametrize("wrapped", [lambda f: f, jit], ids=["eager", "jit"])
@pytest.mark.parametrize(
    ("f", "init", "xs", "length", "error", "message"),
    [
        (None, X, (), None, ValueError, r"got no leaves and length=None"),
        (None, X, X, 4, ValueError, r"equal to length if that is given; got xs \(3,\) and length=4"),
        (None, X, {"a": X, "b": X[:2]}, None, ValueError, r"got a \(3,\), b \(2,\) and length=None"),
        (None, X, {"a": X, "b": X.sum()}, None, ValueError, r"got a \(3,\), b \(\) and"),
        (None, X, (), -1, ValueError, r"length=-1; expected 0 or more"),
        (lambda c, x: c + x, X, X, None, TypeError, r"f returned a (Fake)?Tensor, expected the pair \(carry, y\)"),
        (lambda c, x: (c, x, x), X, X, None, TypeError, r"f returned a tuple, expected the pair"),
        (lambda c, x: (c, 1.0), X, X, None, TypeError, r"scan: y is 1\.0 of type float; expected a tensor"),
        (lambda c, x: (c, {"y": 2}), X, X, None, TypeError, r"'y' in y is 2 of type int"),
        (lambda c, x: ({"n": 3}, ()), {"n": X}, X, None, TypeError, r"'n' in the new carry is 3 of type int"),
        (lambda c, x: ({"a": c["a"]}, ()), {"a": X, "b": X}, X, None, ValueError, r"changed the structure .*\['b'\]"),
        (lambda c, x: ({"w": c["w"][1:]}, ()), {"w": X}, X, None, ValueError, r"'w' from \(3,\) .*float32 to \(2,\)"),
        (lambda c, x: (c.double(), ()), X, X, None, ValueError, r"float32 to \(3,\) torch\.float64; keep its"),
        (lambda c, x: (c, State({}, c, c)), X, X, None, ValueError, r"NamedTuple as y; return a dict, tuple or list"),
        (lambda c, x: (c, [State({}, c, c)]), X, X, None, ValueError, r"NamedTuple as y"),
    ],
)  # fmt: skip
def test_what_is_refused(wrapped, f, init, xs, length, error, message):
    body = f or (lambda carry, x: (carry, x))
    with pytest.raises(error, match=message):
        wrapped(lambda init, xs: scan(body, init, xs, length))(init, xs)


@pytest.mark.parametrize(
    ("init", "xs", "message"),
    [
        (0, X, r"scan: the first carry is 0 of type int; expected a tensor"),
        ({"total": 0.0}, X, r"scan: 'total' in the first carry is 0\.0 of type float"),
        (X, [1, 2], r"scan: '0' in xs is 1 of type int"),
    ],
)
def test_numbers_are_refused(init, xs, message):
    with pytest.raises(TypeError, match=message):
        scan(lambda carry, x: (carry, x), init, xs)
