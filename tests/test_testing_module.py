"""The parity assertions themselves: each has to fail where something differs, and to say where."""

import pytest
import torch

from funcdl import nn, random, testing
from tests.twins.blocks import Function


def twin(*layers):
    """A module with values of a key, so that torch's global generator stays where it is."""
    module = torch.nn.Sequential(*layers).to_empty(device="cpu")
    for index, parameter in enumerate(module.parameters()):
        with torch.no_grad():
            parameter.copy_(random.normal(random.fold_in(random.key(0), index), parameter.shape))
    return module


def linear_module(*sizes, **options):
    return torch.nn.Linear(*sizes, device="meta", **options)


def inputs(*shape):
    return random.normal(random.key(1), shape)


class RunningMean(torch.nn.Module):
    """Subtracts a mean and, in training, moves it."""

    def __init__(self, rate=0.1):
        super().__init__()
        self.register_buffer("mean", torch.zeros(3))
        self.rate = rate

    def forward(self, x):
        if self.training:
            self.mean += self.rate * x.detach().mean(0)
        return x - self.mean


def running_mean(rate=0.1):
    def apply(params, buffers, x, *, key=None, train=False):
        mean = buffers["mean"] + rate * x.mean(0) if train else buffers["mean"]
        return x - mean.detach(), {"mean": mean} if train else buffers

    return nn.Layer(lambda key, x: ({}, {"mean": torch.zeros(3)}), apply)


def test_a_match_passes_and_modifies_nothing():
    module = twin(linear_module(3, 4), torch.nn.Tanh(), linear_module(4, 2)).requires_grad_(False)
    before = {name: leaf.clone() for name, leaf in module.state_dict().items()}
    x = inputs(5, 3)
    testing.assert_matches_module(nn.serial(nn.linear(4), torch.tanh, nn.linear(2)), module, x)
    torch.testing.assert_close(dict(module.state_dict()), before, rtol=0, atol=0)
    assert module.training
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert not x.requires_grad


def test_comparison_is_in_the_modules_dtype():
    layer, module = nn.serial(nn.linear(4)), twin(linear_module(3, 4)).double()
    testing.assert_matches_module(layer, module, inputs(5, 3), rtol=1e-12, atol=1e-12)


def test_buffers_are_compared():
    testing.assert_matches_module(running_mean(), RunningMean(), inputs(5, 3), train=True)
    with pytest.raises(AssertionError, match="output"):
        testing.assert_matches_module(running_mean(0.2), RunningMean(), inputs(5, 3), train=True)
    forgetful = running_mean()
    forgetful = nn.Layer(forgetful.init, lambda p, b, x, **kwargs: (running_mean().apply(p, b, x, **kwargs)[0], b))
    with pytest.raises(AssertionError, match=r"^buffer mean: "):
        testing.assert_matches_module(forgetful, RunningMean(), inputs(5, 3), train=True)


def test_parameters_and_buffers_are_distinguished():
    as_parameter = nn.Layer(
        lambda key, x: ({"mean": torch.zeros(3)}, {}),
        lambda params, buffers, x, *, key=None, train=False: (x - params["mean"], buffers),
    )
    with pytest.raises(AssertionError, match=r"^gradient: only in the layer \['mean'\]"):
        testing.assert_matches_module(as_parameter, RunningMean(), inputs(5, 3))


def test_a_wrong_output_is_named():
    with pytest.raises(AssertionError, match=r"^output: "):
        testing.assert_matches_module(nn.serial(torch.sin), twin(torch.nn.Tanh()), inputs(5))
    layer = nn.parallel(torch.tanh, torch.sin)
    with pytest.raises(AssertionError, match=r"^output 1: "):
        testing.assert_matches_module(layer, Function(lambda x: (x.tanh(), x.cos())), inputs(5))


def test_a_wrong_gradient_is_named():
    stopped = nn.Layer(
        nn.linear(4).init,
        lambda params, buffers, x, **_: (x @ params["weight"].T + params["bias"].detach(), buffers),
    )
    with pytest.raises(AssertionError, match=r"^gradient 0\.bias: "):
        testing.assert_matches_module(nn.serial(stopped), twin(linear_module(3, 4)), inputs(5, 3))
    with pytest.raises(AssertionError, match=r"^gradient input: "):
        testing.assert_matches_module(nn.stateless(lambda x: x.detach() * 2), Function(lambda x: x * 2), inputs(5))


def test_other_parameters_are_named():
    with pytest.raises(AssertionError, match=r"differ in their parameters and buffers: .*unexpected 0\.bias"):
        testing.assert_matches_module(nn.serial(nn.linear(4, bias=False)), twin(linear_module(3, 4)), inputs(5, 3))


def test_several_inputs_of_which_one_is_not_floating():
    layer = nn.stateless(lambda pair: pair[0][pair[1]] ** 2)
    x = inputs(5, 3), torch.tensor([0, 2, 2])
    testing.assert_matches_module(layer, Function(lambda a, index: a[index] ** 2), x)
    with pytest.raises(AssertionError, match=r"^gradient input\.0: "):
        testing.assert_matches_module(layer, Function(lambda a, i: (a * a.detach())[i]), x)


def test_outputs_without_a_gradient():
    testing.assert_matches_module(nn.stateless(lambda x: x.argmax(-1)), Function(lambda x: x.argmax(-1)), inputs(5, 3))


def test_the_global_generator_is_not_advanced():
    layer = nn.stateless(lambda x: x * 0)
    testing.assert_matches_module(layer, Function(lambda x: x * 0 * torch.rand(())), inputs(5), train=True)


def test_the_key_reaches_the_layer():
    layer = nn.serial(nn.dropout(0.5), lambda x: 0 * x)
    module = twin(torch.nn.Dropout(), torch.nn.Threshold(float("inf"), 0))
    testing.assert_matches_module(layer, module, inputs(5, 3).abs(), key=random.key(0), train=True)
    with pytest.raises(ValueError, match="needs a key"):
        testing.assert_matches_module(layer, module, inputs(5, 3), train=True)
