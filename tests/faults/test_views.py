"""What a function writes into a view reaches, under `jit`, just the elements that it reaches eagerly."""

from functools import partial

import pytest
import torch

import funcdl as fd
from tests.compile_with import compile_with

X = torch.arange(24.0)
VIEWS = {
    "unfold with gaps": lambda y: y.unfold(0, 2, 3),
    "unfold with gaps and a rest": lambda y: y[:20].unfold(0, 2, 3),
    "unfold of columns": lambda y: y.view(4, 6).unfold(1, 1, 2),
    "unfold of rows": lambda y: y.view(6, 4).unfold(-2, 2, 4),
    "unfold without gaps": lambda y: y.unfold(0, 3, 3),
    "unfold of a slice": lambda y: y[1::2].unfold(0, 2, 3),
    "slice of an unfold": lambda y: y.unfold(0, 2, 4)[1:3],
    "unfold of an unfold": lambda y: y.view(4, 6).unfold(0, 1, 2).unfold(1, 2, 4),
    "as_strided": lambda y: y.as_strided((3, 2), (7, 2), 3),
    "diagonal": lambda y: y.view(4, 6).diagonal(1),
    "transposed": lambda y: y.view(4, 6).T[2:],
    "complex": lambda y: torch.view_as_complex(y.view(12, 2)).imag,
    "bits": lambda y: y.view(torch.int32)[3:],
    "unbind": lambda y: y.view(4, 6).unbind(1)[1],
}
OVERLAPPING = {
    "expand": lambda y: y.view(24, 1).expand(24, 2),
    "expand one": lambda y: y[3].expand(4),
    "unfold": lambda y: y.unfold(0, 3, 2),
    "as_strided": lambda y: y.as_strided((3, 2), (1, 1), 3),
}
WRITES = {
    "add": lambda view: view.add_(1),
    "fill": lambda view: view.fill_(7),
    "copy": lambda view: view.copy_(torch.full_like(view, 3)),
    "one": lambda view: view[0].fill_(5),
}


def changed(x, view, write):
    y = x.clone()
    part = view(y)
    write(part)
    return y, part * 1


@pytest.fixture
def functionalized(monkeypatch):
    """Compiles by all but Inductor."""
    compile_with("aot_eager", monkeypatch)


@pytest.mark.parametrize("view", VIEWS)
def test_writing_into_a_view(functionalized, view):
    def f(x):
        return {name: changed(x, VIEWS[view], write) for name, write in WRITES.items()}

    fd.tree.map(partial(torch.testing.assert_close, rtol=0, atol=0), fd.jit(f)(X), f(X))


@pytest.mark.parametrize("view", OVERLAPPING)
@pytest.mark.parametrize("write", WRITES)
def test_writing_where_elements_are_one_place(functionalized, view, write):
    with pytest.raises(ValueError, match=r"^jit: the function writes .*same memory location.*clone\(\)"):
        fd.jit(lambda x: changed(x, OVERLAPPING[view], WRITES[write]))(X)


def test_writing_into_windows_that_a_gradient_goes_through(functionalized):
    def f(x):
        return (changed(x * 2, VIEWS["unfold with gaps"], WRITES["add"])[0] * X).sum()

    torch.testing.assert_close(fd.jit(fd.grad(f))(X), fd.grad(f)(X))
    x = X.clone().requires_grad_()
    f.__name__ = "written_windows"
    with pytest.warns(RuntimeWarning, match="uncompiled"):
        (found,) = torch.autograd.grad(fd.jit(f)(x), x)
    torch.testing.assert_close(found, fd.grad(f)(X))


def test_a_window_that_should_follow_what_is_written(functionalized):
    def f(x):
        y = x.clone()
        windows = y.unfold(0, 2, 3)
        windows.add_(1)
        y.mul_(2)
        return windows * 1

    with pytest.raises(ValueError, match=r"^jit: the function uses a view of x"):
        fd.jit(f)(X)
