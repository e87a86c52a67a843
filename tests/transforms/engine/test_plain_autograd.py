"""When plain autograd takes a gradient, and when `torch.func` has to."""

import pytest
import torch

from funcdl import context, nn, random, transforms, tree
from funcdl.transforms import grad, value_and_grad
from funcdl.transforms.engine import plain_autograd


def sum_of_squares(x):
    return (x**2).sum()


@pytest.fixture
def calls(monkeypatch):
    """Whether each gradient that was asked for was taken by plain autograd."""
    taken = []
    by_autograd = plain_autograd.gradient_and_value

    def spy(*arguments):
        found = by_autograd(*arguments)
        taken.append(found is not None)
        return found

    monkeypatch.setattr(plain_autograd, "gradient_and_value", spy)
    return taken


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad])
def test_plain_autograd_takes_a_gradient_that_is_alone(mode, calls):
    x = torch.tensor([1.0, -3.0])
    with mode():
        gradient = grad(sum_of_squares)(x)
    assert calls == [True]
    assert torch.equal(gradient, 2 * x)
    assert not gradient.requires_grad
    assert not x.requires_grad
    assert x.grad is None


@pytest.mark.parametrize(
    "derivative",
    [
        lambda x: transforms.vmap(grad(lambda x: x**2))(x),
        lambda x: torch.func.jvp(grad(sum_of_squares), (x,), (x,))[1],
        lambda x: torch.func.jacrev(grad(sum_of_squares))(x) @ x,
        lambda x: grad(sum_of_squares)(x.clone().requires_grad_()),
    ],
    ids=["vmap", "jvp", "jacrev", "recorded"],
)
def test_torch_func_takes_it_below_another_derivative(derivative, calls):
    x = torch.tensor([1.0, -3.0])
    torch.testing.assert_close(derivative(x), 2 * x)
    assert calls == [False]


def test_of_two_gradients_the_outer_one_is_plain(calls):
    assert grad(grad(lambda x: x**4))(torch.tensor(2.0)) == 48.0
    assert calls == [False, True]  # in the order in which they end


@pytest.mark.parametrize("where", ["value", "aux", "aux itself"])
def test_what_depends_on_a_recorded_tensor_that_f_closes_over_stays_recorded(where, calls):
    factor = torch.tensor(3.0, requires_grad=True)

    def f(x):
        aux = {"value": x.detach(), "aux": 5 * factor, "aux itself": factor}[where]
        return (factor if where == "value" else 1) * sum_of_squares(x), aux

    (value, aux), gradient = value_and_grad(f, has_aux=True)(torch.tensor([1.0, 2.0]))
    assert calls == [False]
    recorded = gradient.sum() + value if where == "value" else aux
    (slope,) = torch.autograd.grad(recorded, factor)
    assert slope == {"value": 2 * 1 + 2 * 2 + 5, "aux": 5, "aux itself": 1}[where]
    assert factor.grad is None
    with torch.no_grad():
        grad(f, has_aux=True)(torch.tensor([1.0, 2.0]))
    assert calls == [False, True]


def test_leaves_that_nothing_depends_on_have_a_gradient_of_zero():
    params = {"used": torch.tensor(2.0), "unused": torch.ones(2, dtype=torch.float64)}
    gradient = grad(lambda params: params["used"] ** 2)(params)
    assert gradient["used"] == 4.0
    assert torch.equal(gradient["unused"], torch.zeros(2, dtype=torch.float64))
    assert torch.equal(grad(lambda x: torch.tensor(1.0))(torch.ones(2)), torch.zeros(2))


def test_one_tensor_in_two_places_has_two_gradients():
    x = torch.tensor([1.0, 2.0])
    gradient = grad(lambda pair, other: (pair[0] * pair[1] ** 2 * other).sum())((x, x), x)
    torch.testing.assert_close(gradient, (x**3, 2 * x**3))


def test_results_are_detached_and_arguments_come_back_as_they_are():
    params, buffers = {"w": torch.tensor(2.0)}, {"mean": torch.tensor(1.0)}
    result = value_and_grad(lambda p, b: (p["w"] ** 2, (p, b, p["w"] * 3)), has_aux=True)(params, buffers)
    assert not any(leaf.requires_grad for leaf in tree.leaves(result))
    (_, (same, unchanged, tripled)), _ = result
    assert same["w"].data_ptr() == params["w"].data_ptr()
    assert unchanged["mean"] is buffers["mean"]
    assert tripled == 6.0


def test_negative_argnums_and_complex_numbers(calls):
    z = torch.tensor([1 + 2j, -3j])
    expected = torch.func.grad(lambda z: (z.abs() ** 2).sum())(z)
    torch.testing.assert_close(grad(lambda _, z: (z.abs() ** 2).sum(), argnums=-1)(None, z), expected)
    assert calls == [True]


@pytest.mark.parametrize("argnums", [(0, 0), (0, -2), (0, 2), [0, 1]])
def test_impossible_argnums_are_refused_as_by_torch_func(argnums):
    x = torch.tensor([1.0, 2.0])
    with pytest.raises((RuntimeError, TypeError, IndexError)) as expected:
        torch.func.grad(lambda x, y: (x * y).sum(), argnums)(x, x)
    with pytest.raises(type(expected.value)):
        grad(lambda x, y: (x * y).sum(), argnums)(x, x)


@pytest.mark.parametrize("closed_over", [False, True])
def test_tensors_of_inference_mode_are_constants(closed_over):
    with torch.inference_mode():
        features = torch.tensor([1.0, 2.0])
    w = torch.tensor([1.0, 1.0])
    f = (lambda w, _: (w * features).sum()) if closed_over else (lambda w, x: (w * x).sum())
    for mode in (torch.enable_grad, torch.no_grad):
        with mode():
            assert torch.equal(grad(f)(w, w if closed_over else features), features)


def test_an_argument_that_f_writes_into_is_refused_and_not_recorded():
    mean = torch.zeros(2)

    def f(w, mean):
        mean.mul_(0.9).add_(0.1 * w)
        return ((w - mean) ** 2).sum()

    for _ in range(2):
        with pytest.raises(ValueError, match=r"grad: f writes into its argument '1'"):
            grad(f)(torch.tensor([1.0, 2.0]), mean)
        assert not mean.requires_grad


def test_recording_cannot_be_switched_off_for_what_is_differentiated():
    with pytest.raises(RuntimeError):
        grad(lambda x: sum_of_squares(x.requires_grad_(False)))(torch.ones(2))


def test_autocast_keeps_no_copies_and_sums_in_full_precision():
    """Its cache would sum the gradients of one weight's uses in bfloat16."""
    x, w = torch.rand(4, 8, generator=torch.Generator().manual_seed(0)) + 1, torch.ones(8, 8)

    def f(w):
        return sum(torch.nn.functional.linear(x, w).float().sum() for _ in range(300))

    with torch.autocast("cpu", torch.bfloat16):
        gradient = grad(f)(w)
        assert torch.is_autocast_cache_enabled()
    torch.testing.assert_close(gradient, 300 * x.sum(0).expand(8, 8), rtol=5e-3, atol=0)


def test_an_error_in_f_leaves_nothing_behind():
    def fail(x):
        assert context.in_plain_gradient()
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        grad(fail)(torch.ones(1))
    assert not context.in_plain_gradient()


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: x, torch.ones(2)),
        (lambda x: (x.sum(), x), torch.ones(2)),
        (lambda x: 1.0, torch.ones(2)),
    ],
    ids=["not a scalar", "a pair", "a float"],
)
def test_errors_are_those_of_torch_func(f, x):
    with pytest.raises((RuntimeError, ValueError)) as expected:
        torch.func.grad(f)(x)
    with pytest.raises(type(expected.value)) as found:
        grad(f)(x)
    assert str(found.value) == str(expected.value)


def test_jit_below_a_gradient_is_the_function_itself():
    seen = []

    def square(x):
        seen.append(torch.compiler.is_compiling())
        return (x**2).sum()

    assert grad(transforms.jit(square))(torch.tensor([3.0])) == 6.0
    assert seen == [False]


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="needs oneDNN")
def test_a_layer_that_has_a_kernel_for_one_derivative_uses_it():
    layer = nn.lstm(8)
    x = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0))
    params, _ = layer.init(random.key(0), x)
    with torch.profiler.profile() as profile:
        gradient = grad(lambda params: layer(params, x)[0].sum())(params)
    assert any("mkldnn_rnn_layer_backward" in event.key for event in profile.key_averages())
    twin = torch.nn.LSTM(3, 8, device="meta").to_empty(device="cpu")
    twin.load_state_dict(params)
    twin(x)[0].sum().backward()
    torch.testing.assert_close(gradient, {name: part.grad for name, part in twin.named_parameters()})
