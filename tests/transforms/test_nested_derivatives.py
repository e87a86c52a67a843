"""A gradient below and above other derivatives, by plain autograd where that serves, is what `torch.func` gives."""

import pytest
import torch
from torch.autograd import forward_ad

from funcdl import nn, random, transforms, tree
from funcdl.transforms.engine import plain_autograd as engine_autograd
from tests.compile_with import compile_with

IMAGE = (2, 4, 3, 3)
WORDS = torch.tensor([[1, 4, 1], [0, 2, 3]])
BAGS = {"input": torch.tensor([1, 4, 1, 0, 2]), "offsets": torch.tensor([0, 3, 3])}
ROWS = {
    "silu": (nn.silu(), IMAGE),
    "group_norm": (nn.group_norm(2), IMAGE),
    "conv2d": (nn.conv2d(2, 3, padding=1, padding_mode="circular"), IMAGE),
    **{f"embedding_bag, {mode}": (nn.embedding_bag(5, 2, mode=mode), WORDS) for mode in ("sum", "mean", "max")},
    "embedding_bag with offsets": (nn.embedding_bag(5, 2, padding_idx=4), BAGS),
    "gru": (nn.serial(gru=nn.gru(3), y=lambda results: results[0]), (4, 2, 3)),
    "lstm": (nn.serial(lstm=nn.lstm(3), y=lambda results: results[0]), (4, 2, 3)),
    "multihead_attention": (nn.multihead_attention(2, need_weights=False), (3, 2, 4)),
}
every_row = pytest.mark.parametrize("name", ROWS)


def problem(name):
    """Where to differentiate, two directions from there, and the layer there as a function of all its numbers."""
    layer, shape = ROWS[name]
    integers = not isinstance(shape, tuple)
    x = shape if integers else random.normal(random.key(1), shape, dtype=torch.float64)
    params, buffers = layer.init(random.key(2), x)

    def f(point):
        return layer.apply(point["params"], buffers, x if integers else point["x"])[0]

    example = {"params": params} if integers else {"params": params, "x": x}
    point, one, other = (draw_like(example, seed) for seed in (3, 4, 5))
    return f, point, one, other


def draw_like(example, seed):
    keys = iter(random.split(random.key(seed), len(tree.leaves(example))))
    return tree.map(lambda leaf: random.normal(next(keys), leaf.shape, dtype=torch.float64), example)


def dot(a, b):
    return sum((x * y).sum() for x, y in zip(tree.leaves(a), tree.leaves(b), strict=True))


def loss(f):
    return lambda point: (f(point) ** 3).sum()


def recording(point):
    return tree.map(lambda leaf: leaf.clone().requires_grad_(), point)


def grad(f, point, one, other):
    return transforms.grad(loss(f))(point)


def grad_of_grad(f, point, one, other):
    return transforms.grad(lambda point: dot(transforms.grad(loss(f))(point), one))(point)


def third_derivative(f, point, one, other):
    return transforms.grad(lambda point: dot(grad_of_grad(f, point, one, other), other))(point)


def hessian_vector_product(f, point, one, other):
    return transforms.hessian_vector_product(loss(f), point, one)


def hessian(f, point, one, other):
    return torch.func.hessian(loss(f))(point)


def jacrev(f, point, one, other):
    return torch.func.jacrev(f)(point)


def jvp_of_grad(f, point, one, other):
    return torch.func.jvp(transforms.grad(loss(f)), (point,), (one,))


def vmap_of_grad(f, point, one, other):
    return transforms.vmap(transforms.grad(loss(f)))(tree.stack([point, one, other]))


def grad_of_vmap(f, point, one, other):
    return transforms.grad(lambda points: transforms.vmap(loss(f))(points).sum())(tree.stack([point, one, other]))


def grad_by_the_cotangent(f, point, one, other):
    _, pull = torch.func.vjp(f, point)
    return transforms.grad(lambda cotangent: dot(pull(cotangent)[0], one) ** 2)(f(other))


def vjp_by_the_cotangent(f, point, one, other):
    _, pull = torch.func.vjp(f, point)
    _, pull_again = torch.func.vjp(lambda cotangent: pull(cotangent)[0], f(other))
    return pull_again(one), transforms.grad(lambda one: (pull_again(one)[0] ** 2).sum())(one)


def autograd_over_grad(f, point, one, other):
    point = recording(point)
    return torch.autograd.grad(dot(transforms.grad(loss(f))(point), one), tree.leaves(point))


def autograd_over_grad_by_a_factor(f, point, one, other):
    factor = torch.ones_like(f(point)).requires_grad_()
    gradient = transforms.grad(lambda point: (factor**2 * f(point) ** 2).sum())(point)
    return torch.autograd.grad(dot(gradient, one), factor)


def autograd_below_grad(f, point, one, other):
    def slope(point):
        leaves = tree.leaves(point)
        return dot(torch.autograd.grad(loss(f)(point), leaves, create_graph=True), tree.leaves(one))

    return transforms.grad(slope)(point)


def plain_autograd(f, point, one, other):
    point = recording(point)
    leaves = tree.leaves(point)
    gradient = torch.autograd.grad(loss(f)(point), leaves, create_graph=True)
    return gradient, torch.autograd.grad(dot(gradient, tree.leaves(one)), leaves)


def dual_numbers_through_grad(f, point, one, other):
    with forward_ad.dual_level():
        gradient = transforms.grad(loss(f))(tree.map(forward_ad.make_dual, point, one))
        return tree.map(lambda leaf: forward_ad.unpack_dual(leaf).tangent, gradient)


DERIVATIVES = [
    grad, jacrev, grad_of_grad, third_derivative, hessian_vector_product, hessian, jvp_of_grad, vmap_of_grad,
    grad_of_vmap, grad_by_the_cotangent, vjp_by_the_cotangent, autograd_over_grad, autograd_over_grad_by_a_factor,
    autograd_below_grad, plain_autograd, dual_numbers_through_grad,
]  # fmt: skip


# Kernels that know the first derivative alone, and by whom a second one is asked for that they cannot see coming.
SEQUENCES, TABLES = {"gru", "lstm", "multihead_attention"}, {name for name in ROWS if "bag" in name}
REFUSED = {
    autograd_below_grad: SEQUENCES | TABLES,
    autograd_over_grad_by_a_factor: SEQUENCES,
    grad_by_the_cotangent: SEQUENCES,
    vjp_by_the_cotangent: SEQUENCES,
    plain_autograd: {"multihead_attention"},
}


@every_row
@pytest.mark.parametrize("derivative", DERIVATIVES)
def test_every_derivative_is_that_of_torch_func(name, derivative, monkeypatch):
    arguments = problem(name)
    if name in REFUSED.get(derivative, ()):
        with pytest.raises(RuntimeError, match=r"differentiated again|is not implemented"):
            derivative(*arguments)
        return
    found = derivative(*arguments)
    monkeypatch.setattr(engine_autograd, "gradient_and_value", lambda *arguments: None)
    expected = derivative(*arguments)
    assert any(leaf.any() for leaf in tree.leaves(expected))
    torch.testing.assert_close(tree.leaves(found), tree.leaves(expected), rtol=1e-9, atol=1e-9)


@every_row
def test_compiled_gradients_are_eager_ones(name, monkeypatch):
    compile_with("aot_eager", monkeypatch)
    f, *points = problem(name)
    found = transforms.jit(lambda *points: grad(f, *points))(*points)
    torch.testing.assert_close(tree.leaves(found), tree.leaves(grad(f, *points)), rtol=1e-9, atol=1e-9)
