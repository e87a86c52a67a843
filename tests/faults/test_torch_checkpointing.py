"""`torch.utils.checkpoint`, which computes again what a gradient needs, within our transforms."""

import pytest
import torch
from torch.utils.checkpoint import checkpoint

import funcdl as fd

X = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)


def again(w, x):
    return checkpoint(lambda w, x: (w * x).sin().exp(), w, x, use_reentrant=False).sum()


def plain(w, x):
    return (w * x).sin().exp().sum()


@pytest.mark.parametrize("transform", [lambda f: f, fd.jit], ids=["eager", "jit"])
def test_its_gradient(transform, without_inductor):
    for found, expected in (
        (transform(fd.grad(again))(X, X + 1), fd.grad(plain)(X, X + 1)),
        (transform(fd.grad(again, argnums=(0, 1)))(X, X), fd.grad(plain, argnums=(0, 1))(X, X)),
        (transform(fd.value_and_grad(again))(X, X), fd.value_and_grad(plain)(X, X)),
    ):
        fd.tree.map(torch.testing.assert_close, found, expected)


@pytest.mark.parametrize("transform", [lambda f: f, fd.jit], ids=["eager", "jit"])
def test_below_another_transform_it_is_refused(transform, without_inductor):
    with pytest.raises(TypeError, match=r"^grad: f uses saved-tensor hooks, as torch\.utils\.checkpoint does"):
        transform(fd.vmap(fd.grad(again)))(X, X)
