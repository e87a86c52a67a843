"""What `jit` rewrites in a graph changes no result."""

import pytest
import torch

from funcdl.transforms import jit, scan, vmap
from funcdl.transforms.tracing import trace

WEIGHTS = (0.0, 0.001, 0.3, 0.5, 0.7, 1.0, -0.2, 1.5)
aten = torch.ops.aten


def pair(dtype=torch.float32, shape=(37,)):
    generator = torch.Generator().manual_seed(0)
    start, end = (torch.randn(shape, generator=generator).to(dtype) for _ in range(2))
    if start.shape == (37,):
        start[0], end[1], start[2] = float("nan"), float("inf"), 1e30
    return start, end


def written_between(start, end, weight):
    weights = torch.stack([weight, weight])
    weight = weights[0]
    moved = torch.lerp(start, end, weight)
    weights.add_(0.5)
    return moved + torch.lerp(start, end, weight)


def counted(target, f, *leaves):
    """How often an operation is in the graph of a function."""
    return len(trace(lambda *leaves: [f(*leaves)], leaves).graph.find_nodes(op="call_function", target=target))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.complex64])
@pytest.mark.parametrize("shape", [(37,), (2, 3), ()])
def test_lerp_by_a_0_dim_weight(dtype, shape):
    start, end = pair(dtype, shape)
    compiled, eps = jit(torch.lerp), torch.finfo(dtype).eps
    for number in WEIGHTS:
        weight = torch.tensor(number, dtype=dtype)
        expected = torch.lerp(start, end, weight)  # one rounding less where it multiplies and adds at once
        result = compiled(start, end, weight)
        torch.testing.assert_close(result, expected, equal_nan=True, rtol=2 * eps, atol=4 * eps)


def test_a_weight_is_prepared_once_for_all_that_use_it():
    def f(start, end, weight):
        return torch.lerp(start, end, weight) + torch.lerp(end, start, weight)

    leaves = (*pair(), torch.tensor(0.3))
    assert counted(aten.lerp.Tensor, f, *leaves) == 0
    assert counted(aten.lt.Scalar, f, *leaves) == 1


@pytest.mark.parametrize(
    "f",
    [
        lambda start, end, weight: torch.lerp(start, end, weight.expand(37)),
        lambda start, end, weight: written_between(start, end, weight),
        lambda start, end, weight: vmap(torch.lerp, in_dims=(None, None, 0))(start, end, weight.expand(3)),
    ],
    ids=["weight-per-number", "weight-written-into", "weight-per-member"],
)
def test_other_weights_are_left_to_torch(f):
    leaves = (*pair(), torch.tensor(0.3))
    assert counted(aten.lerp.Tensor, f, *leaves) > 0
    torch.testing.assert_close(jit(f)(*leaves), f(*leaves), equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.complex64, torch.int64])
def test_isnan(dtype):
    numbers = torch.tensor([0.0, 1.0, -2.5]).to(dtype)
    if dtype != torch.int64:
        numbers = torch.cat([numbers, torch.tensor([float("nan"), float("inf"), -float("inf")]).to(dtype)])
    assert torch.equal(jit(torch.isnan)(numbers), torch.isnan(numbers))
    assert counted(aten.isnan.default, torch.isnan, numbers) == 0


def test_a_constant_weight():
    start, end = pair()
    weight = torch.tensor(0.7)
    result = jit(lambda start, end: torch.lerp(start, end, weight))(start, end)
    torch.testing.assert_close(result, torch.lerp(start, end, weight), equal_nan=True)


def test_lerp_in_the_body_of_a_loop():
    def average(old, new):
        moved = torch.lerp(old, new, torch.full((), 0.3))
        return moved, moved.sum()

    start, news = torch.zeros(4), torch.arange(12.0).view(3, 4)
    result = jit(lambda start, news: scan(average, start, news))(start, news)
    torch.testing.assert_close(result, scan(average, start, news))
    graph = trace(lambda start, news: list(scan(average, start, news)), (start, news))
    bodies = [module.graph for module in graph.modules() if module is not graph and hasattr(module, "graph")]
    assert bodies
    assert not any(body.find_nodes(op="call_function", target=aten.lerp.Tensor) for body in bodies)


@pytest.mark.parametrize("padding_idx", [None, 2])
def test_the_gradient_of_a_table_is_that_of_torch(padding_idx):
    table = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    indices = torch.tensor([[0, 2, 2], [4, 1, 0]])

    def gradient(table, indices):
        def loss(table):
            return torch.nn.functional.embedding(indices, table, padding_idx).square().sum()

        return torch.func.grad(loss)(table)

    expected = gradient(table, indices)
    assert expected.any()
    torch.testing.assert_close(jit(gradient)(table, indices), expected, rtol=0.0, atol=0.0)
    assert counted(torch.ops.funcdl.embedding_gradient.default, gradient, table, indices) == 1
