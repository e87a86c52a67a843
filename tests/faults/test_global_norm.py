"""The norm of a tree has the derivatives of the norm of one vector, zero leaves or not."""

import pytest
import torch

from funcdl import tree
from funcdl.transforms import grad, hessian_vector_product, jit, vmap
from tests.compile_with import compile_with

POINTS = {
    "zero leaf": {"a": [3.0, 4.0], "b": [0.0, 0.0]},
    "zero elements": {"a": [0.0, 4.0], "b": [3.0, 0.0]},
    "none zero": {"a": [1.0, -2.0], "b": [2.0, 4.0]},
    "large": {"a": [3e150, 4e150], "b": [0.0, 1e150]},
    "small": {"a": [3e-150, 4e-150], "b": [0.0, 1e-150]},
}
WAYS = {
    "hessian": lambda f: torch.func.hessian(f),
    "grad of grad": lambda f: torch.func.jacrev(grad(f)),
    "autograd": lambda f: lambda x: torch.autograd.functional.hessian(f, x),
    "products": lambda f: lambda x: torch.stack([hessian_vector_product(f, x, v) for v in torch.eye(4, dtype=x.dtype)]),
    "vmapped": lambda f: lambda x: vmap(torch.func.hessian(f))(x[None])[0],
    "through vmap": lambda f: torch.func.hessian(lambda x: vmap(f)(x[None]).sum()),
}


def flat(point):
    return tree.ravel({name: torch.tensor(values, dtype=torch.float64) for name, values in point.items()})


@pytest.mark.parametrize("point", POINTS.values(), ids=POINTS)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_second_derivatives_are_those_of_one_vector(point, way):
    x, unravel = flat(point)
    n = x.div(x.abs().max()).norm() * x.abs().max()
    unit = x / n
    torch.testing.assert_close(grad(lambda x: tree.global_norm(unravel(x)))(x), unit, rtol=1e-14, atol=1e-14)
    found = way(lambda x: tree.global_norm(unravel(x)))(x)
    torch.testing.assert_close(found * n, torch.eye(4, dtype=x.dtype) - unit.outer(unit), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_derivatives_at_zero_are_zero(way):
    x, unravel = flat({"a": [0.0, 0.0], "b": [0.0, 0.0]})
    assert not grad(lambda x: tree.global_norm(unravel(x)))(x).any()
    assert not way(lambda x: tree.global_norm(unravel(x)))(x).any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.complex64, torch.complex128])
def test_values_and_gradients_of_other_dtypes(dtype):
    values = {"a": torch.full((300,), 200.0, dtype=dtype), "b": torch.zeros(3, dtype=dtype)}  # the squares overflow
    if dtype.is_complex:
        values["a"] = values["a"] * (0.6 - 0.8j)
    norm = tree.global_norm(values)
    assert norm.dtype == dtype.to_real()
    torch.testing.assert_close(norm.double(), torch.tensor(200 * 300**0.5, dtype=torch.float64), rtol=4e-3, atol=0)
    gradient = grad(tree.global_norm)(values)
    expected = tree.map(lambda leaf: leaf.to(torch.complex128) / (200 * 300**0.5), values)
    for found, right in zip(tree.leaves(gradient), tree.leaves(expected), strict=True):
        assert found.dtype == dtype
        torch.testing.assert_close(found.to(torch.complex128), right, rtol=8e-3, atol=0)
    assert not tree.leaves(grad(tree.global_norm)(tree.zeros_like(values)))[0].any()


def test_values_do_not_depend_on_what_is_differentiated():
    draw = torch.Generator().manual_seed(0)
    values = {"a": torch.randn(5, 7, generator=draw), "b": torch.randn(3, generator=draw).double(), "none": None}
    recorded = tree.map(lambda leaf: leaf.clone().requires_grad_(), values)
    torch.testing.assert_close(tree.global_norm(recorded).detach(), tree.global_norm(values), rtol=1e-6, atol=0)
    assert tree.global_norm(recorded).dtype == torch.float64
    for odd in (torch.inf, torch.nan):
        spoilt = {"a": torch.tensor([odd, 1.0], requires_grad=True), "b": torch.ones(2)}
        torch.testing.assert_close(tree.global_norm(spoilt).detach(), torch.tensor(odd), equal_nan=True)
    assert tree.global_norm({"empty": torch.zeros(0, requires_grad=True)}) == 0


def test_compiled_derivatives_are_eager_ones(monkeypatch):
    compile_with("aot_eager", monkeypatch)
    x, unravel = flat(POINTS["zero leaf"])

    def both(x):
        def f(x):
            return tree.global_norm(unravel(x))

        return grad(f)(x), torch.func.hessian(f)(x)

    torch.testing.assert_close(jit(both)(x), both(x))
