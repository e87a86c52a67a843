"""Derivatives and batching against closed forms, finite differences and loops."""

from typing import NamedTuple

import pytest
import torch

from funcdl import tree
from funcdl.transforms import grad, hessian_vector_product, jit, per_sample_grad, value_and_grad, vmap


class Weights(NamedTuple):
    w: torch.Tensor
    layers: tuple


def loss(params, x, y):
    return ((torch.tanh(x @ params["w"]) + params["b"] - y) ** 2).mean()


def problem(device="cpu"):
    draw = torch.Generator().manual_seed(0)
    params = {"w": torch.randn(3, generator=draw), "empty": {}, "b": torch.randn((), generator=draw)}
    x, y = torch.randn(5, 3, generator=draw), torch.randn(5, generator=draw)
    return [tree.map(lambda leaf: leaf.to(device, torch.float64), part) for part in (params, x, y)]


def assert_close(results, expected):
    assert tree.paths(results) == tree.paths(expected)
    for result, right in zip(tree.leaves(results), tree.leaves(expected), strict=True):
        torch.testing.assert_close(result, right)


def central_differences(f, params, step=1e-6):
    vector, unravel = tree.ravel(params)
    offsets = step * torch.eye(len(vector), dtype=vector.dtype, device=vector.device)
    return unravel(torch.stack([(f(unravel(vector + o)) - f(unravel(vector - o))) / (2 * step) for o in offsets]))


def test_grad_equals_central_differences(device):
    params, x, y = problem(device)
    gradient = grad(loss)(params, x, y)
    assert list(gradient) == ["w", "empty", "b"]
    numeric = central_differences(lambda p: loss(p, x, y), params)
    for result, right in zip(tree.leaves(gradient), tree.leaves(numeric), strict=True):
        torch.testing.assert_close(result, right, rtol=1e-7, atol=1e-8)


def test_value_comes_before_the_gradient_and_aux_with_the_value():
    params, x, y = problem()

    def with_aux(params, x, y):
        return loss(params, x, y), {"prediction": x @ params["w"], "params": params}

    expected, gradient = loss(params, x, y), grad(loss)(params, x, y)
    assert_close(value_and_grad(loss)(params, x, y), (expected, gradient))
    aux = with_aux(params, x, y)[1]
    assert_close(value_and_grad(with_aux, has_aux=True)(params, x, y), ((expected, aux), gradient))
    assert_close(grad(with_aux, has_aux=True)(params, x, y), (gradient, aux))
    assert not tree.leaves(grad(with_aux, has_aux=True)(params, x, y)[1])[0].requires_grad
    assert_close(value_and_grad(loss)(params, y=y, x=x), (expected, gradient))
    assert value_and_grad(loss).__name__ == "loss"


def test_argnums_choose_the_arguments():
    params, x, y = problem()
    of_x = grad(loss, argnums=1)(params, x, y)
    assert_close(of_x, central_differences(lambda x: loss(params, x, y), x))
    assert_close(grad(loss, argnums=(0, 1))(params, x, y), (grad(loss)(params, x, y), of_x))
    assert_close(value_and_grad(loss, (1,))(params, x, y), (loss(params, x, y), (of_x,)))


def test_the_gradient_of_a_named_tuple_is_one():
    point = Weights(torch.tensor([1.0, 2.0]), ({"a": torch.tensor(3.0)},))
    gradient = grad(lambda p: (p.w**2).sum() * p.layers[0]["a"])(point)
    assert isinstance(gradient, Weights)
    assert_close(gradient, Weights(torch.tensor([6.0, 12.0]), ({"a": torch.tensor(5.0)},)))


def test_second_derivative_and_requires_grad_arguments():
    assert grad(grad(lambda x: x**4))(torch.tensor(2.0)) == 48.0
    x = torch.tensor(2.0, requires_grad=True)  # autograd around grad
    (second,) = torch.autograd.grad(grad(lambda x: x**3)(x), x)
    assert second == 12.0
    assert x.grad is None


def test_vmap_equals_a_loop_with_in_and_out_dims(device):
    params, x, y = problem(device)

    def f(params, x, y):
        return {"product": x * params["w"], "loss": loss(params, x, y)}

    expected = [f(params, x[i], y[i]) for i in range(5)]
    assert_close(vmap(f, in_dims=(None, 0, 0))(params, x, y), tree.stack(expected))
    assert_close(vmap(f, in_dims=(None, 1, 0))(params, x.t(), y), tree.stack(expected))
    out = vmap(f, in_dims=(None, 0, 0), out_dims={"product": 1, "loss": 0})(params, x, y)
    assert_close(out, {"product": (x * params["w"]).t(), "loss": tree.stack(expected)["loss"]})
    assert_close(vmap(f, in_dims=(None, 0, 0), chunk_size=2)(params, x, y), tree.stack(expected))
    members = tree.stack([params, tree.map(torch.neg, params)])
    each = vmap(loss, in_dims=({"w": 0, "empty": {}, "b": 0}, None, None))(members, x, y)
    assert_close(each, torch.stack([loss(member, x, y) for member in tree.unstack(members)]))


def test_vmap_refuses_the_global_generator():
    with pytest.raises(RuntimeError, match="random"):
        vmap(lambda x: x + torch.rand(()))(torch.ones(3))


def test_per_sample_gradients_equal_a_loop_and_average_to_the_gradient():
    params, x, y = problem()
    each = per_sample_grad(loss)(params, x, y)
    assert_close(each, tree.stack([grad(loss)(params, x[i], y[i]) for i in range(5)]))
    assert_close(tree.map(lambda leaf: leaf.mean(0), each), grad(loss)(params, x, y))
    trees = per_sample_grad(lambda params, batch: loss(params, batch["x"], batch["y"]))(params, {"x": x, "y": y})
    assert_close(trees, each)


def test_hessian_vector_product_equals_the_hessian():
    params, x, y = problem()
    vector = tree.map(lambda leaf: torch.cos(leaf + 1), params)
    flat, unravel = tree.ravel(params)
    hessian = torch.func.hessian(lambda flat: loss(unravel(flat), x, y))(flat)
    expected = unravel(hessian @ tree.ravel(vector)[0])
    assert_close(hessian_vector_product(lambda p: loss(p, x, y), params, vector), expected)


def test_all_of_them_compiled():
    params, x, y = problem()
    vector = tree.map(torch.ones_like, params)

    def everything(params, x, y, vector):
        return {
            "grad": grad(loss)(params, x, y),
            "value_and_grad": value_and_grad(lambda p: (loss(p, x, y), {"p": p}), has_aux=True)(params),
            "per_sample": per_sample_grad(loss)(params, x, y),
            "hessian_vector_product": hessian_vector_product(lambda p: loss(p, x, y), params, vector),
            "vmap": vmap(loss, in_dims=(None, 0, 0), chunk_size=2)(params, x, y),
        }

    assert_close(jit(everything)(params, x, y, vector), everything(params, x, y, vector))
