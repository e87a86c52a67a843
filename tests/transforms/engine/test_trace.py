"""What the run of a function that `jit` traces sees, keeps and refuses."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from funcdl.transforms import jit, scan
from tests.transforms.test_compilation import CLOSED_OVER, assert_same


def test_autocast_inside_and_around(compiled_graphs):
    """Around a graph it casts what it would cast in eager, and nothing where the function has put it off."""

    def f(x, w):
        with torch.autocast("cpu", enabled=False):
            exact = x @ w
        with torch.autocast("cpu"):
            rounded = x @ w
        with torch.autocast("cpu", enabled=False):
            fallback = torch.conv_tbc(x[None], w[None], w[0], 0)
        return exact, rounded, x @ w, torch.conv1d(x[None], w[None]), fallback

    x, w = torch.linspace(-1, 1, 16).view(4, 4), torch.linspace(0, 3, 16).view(4, 4)
    compiled = jit(f)
    for _ in range(2):
        assert_same(compiled(x, w), f(x, w))
        with torch.autocast("cpu"):
            expected = f(x, w)
            assert_same(compiled(x, w), expected)
            assert [y.dtype for y in expected] == [torch.float32, *[torch.bfloat16] * 3, torch.float32]
    assert compiled_graphs() == 2


def test_the_function_runs_once_for_a_graph(without_inductor):
    runs = []

    @jit
    def f(x):
        runs.append(type(x))
        return x + CLOSED_OVER

    assert [f(torch.ones(3)).tolist() for _ in range(3)] == [[2.0, 3.0, 4.0]] * 3
    assert len(runs) == 1


@pytest.mark.parametrize(
    "f", [lambda x: x if x.sum() > 0 else -x, lambda x: x * float(x.sum()), lambda x: x[x > 0], lambda x: x.tolist()]
)
def test_a_value_that_is_asked_for(f):
    with pytest.raises(TypeError, match=r"jit\(<lambda>\): the function needs a tensor's value.*torch\.where"):
        jit(f)(torch.ones(2))


@pytest.mark.parametrize("kind", [torch.Tensor.requires_grad_, torch.nn.Parameter])
def test_a_closed_over_tensor_that_is_recorded_is_differentiated(without_inductor, kind):
    w, ones = kind(torch.tensor([1.0, 2.0])), torch.ones(2)
    (gradient,) = torch.autograd.grad(jit(lambda x: (w**2 * x).sum())(ones), w)
    assert_same(gradient, torch.tensor([2.0, 4.0]))

    def unrecorded(x):
        with torch.no_grad():
            total, _ = scan(lambda carry, x: (carry + w * x + (w - w), ()), x, torch.stack([x, x]))
            return w * x, total

    results = jit(unrecorded)(ones)
    assert_same(results, (w.detach(), 2 * w.detach() + 1))
    assert not any(result.requires_grad for result in results)
    assert w.requires_grad


def test_first_calls_in_several_threads(without_inductor, compiled_graphs):
    functions = [jit(lambda x, i=i: scan(lambda c, x: (c + i * x, ()), x[0], x)[0]) for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda f: f(torch.ones(2, 3)), [*functions, *functions]))
    assert [result.tolist() for result in results] == 2 * [[1.0 + 2 * i] * 3 for i in range(4)]
    assert compiled_graphs() == 4


def test_what_is_compiled_already_and_marks_for_a_profiler_inside(without_inductor):
    double = torch.compile(lambda x: 2 * x)

    def f(x):
        with torch.profiler.record_function("doubling"):
            return double(x) + 1

    assert torch.equal(jit(f)(torch.ones(3)), torch.full((3,), 3.0))


class Signed(torch.autograd.Function):
    """The sign, with the gradient of the identity."""

    @staticmethod
    def forward(ctx, x):
        return x.sign()

    @staticmethod
    def backward(ctx, grad):
        return grad


def test_backward_is_the_one_that_a_function_defines():
    x = torch.tensor([-2.0, 3.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(jit(lambda x: (Signed.apply(x) * x.detach()).sum())(x), x)
    assert_same(gradient, torch.tensor([-2.0, 3.0]))
