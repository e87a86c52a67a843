"""Layers that return no pair, parameters that are none, and lengths that are none, are refused by name."""

import numpy as np
import pytest
import torch

from funcdl import losses, models, nn, optim, random, train, transforms

X = torch.ones(2, 3)


def layer_of(result, init=lambda key, x: ({}, {})):
    return nn.Layer(init, lambda params, buffers, x, *, key=None, train=False: result(x, buffers))


USES = {
    "call": lambda layer: layer({}, X),
    "serial": lambda layer: nn.serial(nn.flatten(), layer).apply({}, {}, X),
    "residual": lambda layer: nn.residual(layer).apply({}, {}, X),
    "tied": lambda layer: nn.tied(layer, 2).apply({}, {}, X),
    "ensemble": lambda layer: models.ensemble(layer, 3).apply({}, {}, X),
    "at": lambda layer: models.at("x", layer).apply({}, {}, {"x": X}),
    "summary": lambda layer: nn.summary(layer, X),
    "step": lambda layer: train.make_step(layer, losses.mse, optim.sgd(0.1))(
        train.make_state(layer, optim.sgd(0.1), random.key(0), X), (X, X)
    ),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    ("result", "got"),
    [
        (lambda x, buffers: x, "a Tensor"),
        (lambda x, buffers: None, "a NoneType"),
        (lambda x, buffers: (x, buffers, x), "3 results"),
        (lambda x, buffers: (x, x), "a Tensor in place of the dict of buffers"),
    ],
    ids=["tensor", "none", "three", "two tensors"],
)
def test_an_apply_that_returns_no_pair(use, result, got):
    with pytest.raises(TypeError, match=rf"expected apply\(\) to return \(y, buffers\), got {got}"):
        USES[use](layer_of(result))


@pytest.mark.parametrize(
    "use",
    [
        lambda layer: nn.summary(layer, X),
        lambda layer: models.ensemble(layer, 2).init(random.key(0), X),
        lambda layer: train.make_state(layer, optim.sgd(0.1), random.key(0), X),
    ],
    ids=["summary", "ensemble", "state"],
)
def test_an_init_that_returns_no_pair(use):
    layer = layer_of(lambda x, buffers: (x, buffers), lambda key, x: {"w": x})
    with pytest.raises(TypeError, match=r"expected init\(\) to return \(params, buffers\), got a dict"):
        use(layer)


@pytest.mark.parametrize(
    ("params", "got"),
    [(None, "None"), ([X, X], "a list"), (X, "a Tensor"), (({}, {}), "a tuple")],
    ids=["none", "list", "tensor", "tuple"],
)
def test_parameters_that_are_no_dict(params, got):
    model = nn.serial(nn.linear(3), nn.relu())
    with pytest.raises(TypeError, match=f"layer 0: expected the parameters in a dict, got {got}"):
        model.apply(params, {}, X)
    with pytest.raises(TypeError, match=f"expected the buffers in a dict, got {got}"):
        model.apply({"0": {"weight": torch.ones(3, 3), "bias": torch.ones(3)}}, params, X)


@pytest.mark.parametrize(
    ("layer", "name"), [(nn.linear(3), "weight"), (nn.layer_norm(3), "bias"), (nn.gru_cell(3), "weight_ih")]
)
def test_a_parameter_that_is_none(layer, name):
    params, _ = layer.init(random.key(0), X)
    with pytest.raises(KeyError, match=f"expected a parameter '{name}'"):
        layer({**params, name: None}, X)


LOG_PROBABILITIES = torch.full((5, 2, 3), 1 / 3).log()
LABELS = torch.tensor([[1, 2], [1, 1]])


@pytest.mark.parametrize(
    ("lengths", "error", "said"),
    [
        (([6, 5], [2, 1]), ValueError, "input_lengths from 0 to 5, got"),
        (([-1, 5], [2, 1]), ValueError, "input_lengths from 0 to 5, got"),
        ((torch.tensor([5, 5]), torch.tensor([2, 3])), ValueError, "target_lengths from 0 to 2, got"),
        (([5, 5], (2, 1.5)), TypeError, "target_lengths of integers, got torch.float32"),
        (([True, True], [2, 1]), TypeError, "input_lengths of integers, got torch.bool"),
    ],
)
def test_lengths_of_ctc(lengths, error, said):
    with pytest.raises(error, match=f"ctc: expected {said}"):
        losses.ctc(LOG_PROBABILITIES, LABELS, *lengths)


def test_lengths_of_no_samples():
    assert losses.ctc(LOG_PROBABILITIES[:, :0], LABELS[:0], [], [], reduction="sum") == 0


def test_lengths_of_sequences_in_an_array():
    layer = nn.lstm(4)
    x = torch.arange(30.0).view(5, 2, 3)
    params, _ = layer.init(random.key(0), x)
    expected = layer(params, {"input": x, "lengths": torch.tensor([3, 2])})[0]
    assert torch.equal(layer(params, {"input": x, "lengths": np.array([3, 2])})[0], expected)
    alone = layer(params, {"input": x[:, 0], "lengths": 3})[0]
    torch.testing.assert_close(alone, expected[:, 0])


def test_shapes_of_binary_cross_entropy():
    with pytest.raises(ValueError, match=r"binary_cross_entropy: expected targets of shape \(3, 1\), got \(3,\)"):
        losses.binary_cross_entropy(torch.full((3, 1), 0.5), torch.ones(3))


@pytest.mark.parametrize("label_smoothing", [2, -0.1, None, "0.1", float("nan")])
def test_label_smoothing(label_smoothing):
    with pytest.raises(
        ValueError, match=f"cross_entropy: expected a label_smoothing from 0 to 1, got {label_smoothing}"
    ):
        losses.cross_entropy(X, torch.tensor([0, 1]), label_smoothing=label_smoothing)


@pytest.mark.parametrize("batch", [(0, 3), (2, 0)])
def test_interpolating_nothing(without_inductor, batch):
    layers = [
        nn.upsample(4),
        nn.upsample(scale_factor=1.5),
        nn.upsample(scale_factor=0.5, mode="nearest-exact"),
        nn.upsample(size=(2, 5), mode="bilinear"),
        nn.upsample(size=3, mode="area"),
    ]

    def run(x):
        return [layer({}, x) for layer in layers]

    forms = [y.shape[2:] for y in run(torch.zeros(1, 1, 4, 5))]
    x = torch.zeros(*batch, 4, 5)
    for function in (run, transforms.jit(run)):
        assert [y.shape for y in function(x)] == [(*batch, *form) for form in forms]
    assert transforms.grad(lambda x: sum(y.sum() for y in run(x)))(x).shape == x.shape
