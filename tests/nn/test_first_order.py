"""Layers with fused gradients: each other derivative, and each nesting of transforms, is the plain layer's."""

import functools

import pytest
import torch
from torch.autograd import forward_ad

from funcdl import nn, random, transforms, tree
from funcdl.nn import first_order

IMAGE = (2, 4, 3, 3)
WORDS = torch.tensor([[1, 4, 1], [0, 2, 3]])
BAGS = {"input": torch.tensor([1, 4, 1, 0, 2]), "offsets": torch.tensor([0, 3, 3])}
ROWS = {
    "silu": (nn.silu(), IMAGE),
    "mish": (nn.mish(), IMAGE),
    "softsign": (nn.softsign(), IMAGE),
    "group_norm": (nn.group_norm(2), IMAGE),
    "group_norm without bias": (nn.group_norm(2, bias=False), IMAGE),
    "group_norm without weight": (nn.group_norm(2, affine=False), IMAGE),
    "circular_pad1d": (nn.circular_pad1d((3, 0)), (2, 2, 3)),
    "circular_pad2d": (nn.circular_pad2d((1, 2, 3, 1)), (1, 2, 3, 4)),
    "circular_pad3d": (nn.circular_pad3d((1, 0, 1, 1, 0, 2)), (1, 2, 2, 2, 2)),
    "conv2d": (nn.conv2d(2, 3, padding=1, padding_mode="circular"), IMAGE),
    **{f"embedding_bag, {mode}": (nn.embedding_bag(5, 2, mode=mode), WORDS) for mode in ("sum", "mean", "max")},
    "embedding_bag with offsets": (nn.embedding_bag(5, 2, padding_idx=4), BAGS),
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
    keys = iter(random.split(random.key(seed), 4))
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


FIRST = [grad, jacrev]
OTHERS = [
    grad_of_grad, third_derivative, hessian_vector_product, hessian, jvp_of_grad, vmap_of_grad, grad_of_vmap,
    grad_by_the_cotangent, vjp_by_the_cotangent, autograd_over_grad, autograd_over_grad_by_a_factor,
    autograd_below_grad, plain_autograd, dual_numbers_through_grad,
]  # fmt: skip


@every_row
@pytest.mark.parametrize("derivative", [*FIRST, *OTHERS])
def test_every_derivative_is_the_plain_layers(name, derivative, monkeypatch):
    arguments = problem(name)
    found = derivative(*arguments)
    monkeypatch.setattr(first_order, "_one_gradient", lambda *tensors: False)
    expected = derivative(*arguments)
    assert any(leaf.any() for leaf in tree.leaves(expected))
    torch.testing.assert_close(tree.leaves(found), tree.leaves(expected), rtol=1e-9, atol=1e-9)


@every_row
def test_compiled_gradients_are_eager_ones(name, monkeypatch):
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    f, *points = problem(name)
    found = transforms.jit(lambda *points: grad(f, *points))(*points)
    torch.testing.assert_close(tree.leaves(found), tree.leaves(grad(f, *points)), rtol=1e-9, atol=1e-9)


@every_row
def test_one_eager_gradient_is_the_fused_one(name, monkeypatch):
    f, *points = problem(name)
    used = []
    gradient_of = first_order._Gradient.forward
    spy = staticmethod(lambda ctx, *rest: used.append(name) or gradient_of(ctx, *rest))
    monkeypatch.setattr(first_order._Gradient, "forward", spy)
    grad(f, *points)
    assert used
    used.clear()
    grad_of_grad(f, *points)
    with torch.autocast("cpu"):  # converts what goes into a plain layer, and not what goes into its operator
        grad(f, *points)
    assert not used
