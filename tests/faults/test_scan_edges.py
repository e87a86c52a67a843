"""Loops that were refused or could not be compiled: of no iterations, with checks of matrices, of torch's own."""

from functools import partial

import pytest
import torch
from torch._higher_order_ops.while_loop import while_loop
from torch.torch_version import TorchVersion

import funcdl as fd

MATRICES = torch.eye(3).expand(4, 3, 3) * torch.arange(1.0, 5.0)[:, None, None] + 0.1
VECTOR = torch.tensor([1.0, 2.0, 3.0])


def equal(found, expected):
    assert found.dtype == expected.dtype
    torch.testing.assert_close(found, expected)


def body(carry, x):
    return {"b": carry["b"] * x.sum(), "a": carry["a"] + 1}, (carry["b"] + 1, {"long": x.long()})


def test_no_iterations(without_inductor):
    carry, xs = {"b": torch.ones(2), "a": torch.tensor(0)}, torch.ones(0, 3)
    for run in (fd.scan, fd.jit(partial(fd.scan, body)), fd.eval_shape):
        args = (carry, xs) if run is not fd.scan else (body, carry, xs)
        last, (y, named) = run(partial(fd.scan, body), *args) if run is fd.eval_shape else run(*args)
        assert list(last) == ["b", "a"]
        assert [last["b"].shape, y.shape, named["long"].shape] == [(2,), (0, 2), (0, 3)]
        assert named["long"].dtype == torch.int64
        if run is not fd.eval_shape:
            fd.tree.map(equal, last, carry)
    assert fd.scan(lambda c, _: (c + 1, c), VECTOR, length=0)[1].shape == (0, 3)
    assert fd.grad(lambda w: fd.scan(lambda c, x: (c * x, ()), w, torch.ones(0))[0])(torch.tensor(3.0)) == 1
    last, ys = fd.vmap(lambda w: fd.scan(lambda c, x: (c * w, c), w, torch.ones(0)))(VECTOR)
    equal(last, VECTOR)
    assert ys.shape == (3, 0)


FUNCTIONS = {
    "solve": lambda a, v: torch.linalg.solve(a, v),
    "inv": lambda a, v: torch.linalg.inv(a) @ v,
    "cholesky": lambda a, v: torch.linalg.cholesky(a) @ v,
}


def test_matrices_are_checked_behind_the_loop():
    def in_a_loop(matrices, vector):
        def both(c, a):
            inner = fd.scan(lambda d, _: (torch.linalg.solve(a, d), ()), c, length=2)[0]
            return inner, {name: f(a, c) for name, f in FUNCTIONS.items()}

        return fd.scan(both, vector, matrices)

    compiled = fd.jit(in_a_loop)
    fd.tree.map(equal, compiled(MATRICES, VECTOR), in_a_loop(MATRICES, VECTOR))
    singular = MATRICES.clone()
    singular[2] = 0
    if torch.__version__ >= TorchVersion("2.15"):  # torch.compile of 2.11 drops all such checks
        with pytest.raises(torch.linalg.LinAlgError, match=r"Batch element 4"):  # the third matrix, in the first of two
            compiled(singular, VECTOR)


def test_torchs_own_loop(without_inductor):
    def f(x):
        return while_loop(lambda c: c.sum() < 10, lambda c: (c + 1,), (x,))[0]

    equal(fd.jit(f)(VECTOR), VECTOR + 2)
