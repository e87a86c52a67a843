"""The small models against their `nn.Module` twins."""

import pytest
import torch

import funcdl as fd
from funcdl import models, nn, random, testing, tree
from funcdl.models.residual import VARIANTS
from tests.models.cases import CASES, DIGITS

RANDOM = {"convnet", "residual_block-dropout-shortcut", "transformer_classifier"}  # a twin draws other numbers
SHARP = {"rtol": 1e-10, "atol": 1e-10}


def twin_of(case):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return case.twin().double()


@pytest.mark.parametrize("name", CASES)
def test_number_of_parameters(name):
    case = CASES[name]
    params, _ = case.make().init(random.key(0, device="meta"), case.inputs())
    assert tree.size(params) == case.parameters


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_names_outputs_gradients_and_buffers_equal_the_twins(name, train):
    case = CASES[name]
    if train and name in RANDOM:
        pytest.skip("draws random numbers")
    testing.assert_matches_module(case.make(), twin_of(case), case.inputs(), train=train, **SHARP)


def test_dropout_in_a_shortcut_drops_half_of_the_input_and_scales_the_rest():
    block = models.residual_block(6, "dropout-shortcut")
    params, buffers = block.init(random.key(0), torch.empty(1, 6, 7, 7))
    params = tree.map(torch.zeros_like, params)
    x = CASES["residual_block-original"].inputs(torch.float32).abs()
    y, _ = block.apply(params, buffers, x, key=random.key(1), train=True)
    kept = y != 0
    assert 0.4 < kept.float().mean() < 0.6
    torch.testing.assert_close(y[kept], 2 * x[kept])


@pytest.mark.parametrize("variant", ["exclusive-gate", "shortcut-gate"])
def test_a_gate_initially_passes_the_input(variant):
    x = CASES["residual_block-original"].inputs()
    block = models.residual_block(6, variant)
    params, _ = block.init(random.key(0), x)
    assert torch.equal(params["gate"]["conv"]["bias"], torch.full((6,), -6.0, dtype=x.dtype))
    params = tree.map_with_path(lambda path, leaf: leaf if path == "gate.conv.bias" else torch.zeros_like(leaf), params)
    torch.testing.assert_close(block(params, x), x.relu() * torch.sigmoid(torch.tensor(6.0, dtype=x.dtype)))
    params = tree.map_with_path(lambda path, leaf: leaf + 100 if path == "gate.conv.bias" else leaf, params)
    params["conv2"]["bias"] += 1  # with the gate shut, the residual is all that is left
    torch.testing.assert_close(block(params, x), torch.ones_like(x))


def test_variants_are_different_functions():
    x = CASES["residual_block-original"].inputs()
    outputs = []
    for variant in VARIANTS:
        block = models.residual_block(6, variant)
        params, buffers = block.init(random.key(0), x)
        outputs.append(block.apply(params, buffers, x, key=random.key(1), train=True)[0])
    assert all(not torch.allclose(a, b) for i, a in enumerate(outputs) for b in outputs[:i])


def made(case, key):
    """The case's model, its parameters and buffers in float64, and its input."""
    model, x = case.make(), case.inputs()
    state = model.init(key, x)
    return model, tree.map(lambda leaf: leaf.double() if leaf.is_floating_point() else leaf, state), x


def test_compiled_together_in_one_graph_they_equal_the_eager_ones():
    names = (
        "mlp-diabetes", "inception_block", "residual_block-shortcut-gate", "residual_block-full-preactivation",
        "transformer_classifier",
    )  # fmt: skip
    layers, states, inputs = zip(*[made(CASES[name], random.key(0)) for name in names], strict=True)

    def all_of_them(states, inputs, key):
        together = zip(layers, states, inputs, strict=True)
        return [layer.apply(*state, x, key=key, train=True) for layer, state, x in together]

    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    compiled = fd.jit(all_of_them)(states, inputs, random.key(1))
    torch.testing.assert_close(compiled, all_of_them(states, inputs, random.key(1)), **SHARP)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == before + 1


@pytest.mark.parametrize("name", ["residual_net", "densenet", "transformer_classifier"])
def test_stacked_parameters_under_vmap_equal_single_models(name):
    keys = random.split(random.key(0), 3).unbind()
    model, _, x = made(CASES[name], keys[0])
    members = [made(CASES[name], key)[1] for key in keys]
    together = fd.vmap(lambda params, buffers: model.apply(params, buffers, x)[0])(*tree.stack(members))
    alone = torch.stack([model.apply(*state, x)[0] for state in members])
    torch.testing.assert_close(together, alone, **SHARP)


def test_an_autoencoders_code_is_its_encoders_output():
    case = CASES["autoencoder"]
    params, _ = models.autoencoder().init(random.key(0), case.inputs())
    code = models.mlp(128, 64, 12, 3, activation=torch.tanh)(params["encoder"], case.inputs())
    assert code.shape == (4, 3)
    decoder = nn.serial(models.mlp(12, 64, 128, 784, activation=torch.tanh))({"0": params["decoder"]}, code)
    torch.testing.assert_close(models.autoencoder()(params, case.inputs()), decoder.sigmoid().view(DIGITS))


def test_padding_does_not_change_a_transformers_output():
    case = CASES["transformer_classifier"]
    model, tokens = case.make(), case.inputs()
    params, _ = model.init(random.key(0), tokens)
    longer = torch.cat([tokens, torch.zeros(3, 2, dtype=tokens.dtype)], dim=1)
    torch.testing.assert_close(model(params, longer), model(params, tokens))
    dropped = [model(params, tokens, key=random.key(i), train=True) for i in (0, 0, 1)]
    assert torch.equal(dropped[0], dropped[1])
    assert not torch.equal(dropped[0], dropped[2])


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (models.mlp, ["mlp()", "one layer or more"]),
        (lambda: models.residual_block(4, "squeezed"), ["'squeezed'", "full-preactivation"]),
        (lambda: models.vgg(12), ["11, 13, 16, 19", "got 12"]),
        (
            lambda: models.transformer_classifier(9, 2, max_length=4).init(random.key(0), torch.ones(2, 5).long()),
            ["at most 4", "got 5", "max_length=5"],
        ),
    ],
)
def test_impossible_arguments_raise_errors(make, parts):
    with pytest.raises(ValueError) as caught:
        make()
    assert all(part in str(caught.value) for part in parts), caught.value
