"""The models of photographs against torchvision's: names, shapes, numbers of parameters, outputs, first values."""

import functools
import warnings

import pytest
import torch
import torchvision.models as theirs

from funcdl import interop, models, random, testing, tree
from tests.models.cases import CASES

with_aux = functools.partial(models.googlenet, aux_logits=True)
MODELS = {  # the model, torchvision's, and the least side of an image that it takes
    "resnet18": (models.resnet18, theirs.resnet18, 32),
    "resnet34": (models.resnet34, theirs.resnet34, 32),
    "resnet50": (models.resnet50, theirs.resnet50, 32),
    "densenet121": (models.densenet121, theirs.densenet121, 32),
    "googlenet": (models.googlenet, functools.partial(theirs.googlenet, aux_logits=False), 33),
    "googlenet-aux": (with_aux, theirs.googlenet, 33),
    "googlenet-transform": (
        functools.partial(models.googlenet, transform_input=True),
        functools.partial(theirs.googlenet, aux_logits=False, transform_input=True),
        33,
    ),
    "alexnet": (models.alexnet, theirs.alexnet, 63),
    **{
        f"vgg{depth}{'_bn' * bn}": (
            functools.partial(models.vgg, depth, batch_norm=bn),
            getattr(theirs, f"vgg{depth}{'_bn' * bn}"),
            32,
        )
        for depth in (11, 13, 16, 19)
        for bn in (False, True)
    },
}
LARGE = [name for name in MODELS if name.startswith("vgg") and name != "vgg11_bn"]  # half a gigabyte each


def images(side, dtype=torch.float32):
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0), dtype=dtype)


def on_meta(make):
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make()


def filled(module):
    """The module with random weights of a size that keeps its outputs of order one, and statistics to divide by."""
    module = module.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(1)
    for name, leaf in module.state_dict().items():
        if leaf.dtype == torch.int64:
            leaf.fill_(7)
        elif leaf.ndim > 1:
            leaf.normal_(std=(2 / leaf[0].numel()) ** 0.5, generator=generator)
        else:
            leaf.uniform_(0.5 if name.endswith("var") else -0.5, 1.0, generator=generator)
    return module


def test_every_model_has_a_case():
    cases = {name.split("-")[0].split("_bn")[0] for name in MODELS} | {case.covers for case in CASES.values()}
    exported = {name: getattr(models, name).__module__.split(".")[-1] for name in models.__all__}
    elsewhere = {"sequences", "ensemble"}  # modules with batteries of their own
    expected = {name for name, module in exported.items() if module not in elsewhere}
    assert {("vgg" if name.startswith("vgg") else name) for name in cases} == expected


@pytest.mark.parametrize("name", MODELS)
def test_names_and_shapes_equal_torchvisions(name):
    make, their_make, side = MODELS[name]
    state = make().init(random.key(0, device="meta"), images(side).to("meta"))
    mine = {path: leaf.shape for path, leaf in interop.to_state_dict(*state).items()}
    module = on_meta(their_make)
    assert mine == {path: leaf.shape for path, leaf in module.state_dict().items()}
    assert tree.size(state[0]) == sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", [name for name in MODELS if name not in LARGE])
def test_outputs_with_torchvisions_weights_equal_torchvisions(name):
    make, their_make, side = MODELS[name]
    module = filled(on_meta(their_make)).eval()
    like = tree.map(
        lambda leaf: torch.empty_like(leaf, device="cpu"),
        make().init(random.key(0, device="meta"), images(side).to("meta")),
    )
    params, buffers = interop.from_state_dict(module.state_dict(), *like)
    y, after = make().apply(params, buffers, images(side))
    with torch.no_grad():
        expected = module(images(side))
    assert expected.std() > 1e-3
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())
    assert after is buffers


@pytest.mark.parametrize("name", ["resnet18", "densenet121"])
def test_gradients_and_statistics_in_training_equal_torchvisions(name):
    make, their_make, side = MODELS[name]
    module = filled(on_meta(functools.partial(their_make, num_classes=3)).double())
    testing.assert_matches_module(make(classes=3), module, images(side), train=True, rtol=1e-7, atol=1e-7)


def test_in_training_auxiliary_logits_are_outputs_2_and_3():
    module = filled(on_meta(functools.partial(theirs.googlenet, num_classes=3, dropout=0.0, dropout_aux=0.0))).double()
    model = models.googlenet(3, aux_logits=True, dropout=0.0)
    like = model.init(random.key(0), images(33, torch.float64))
    with torch.no_grad():  # what dropout cannot change tells the two apart
        for number, aux in enumerate((module.aux1, module.aux2), 1):
            aux.fc2.weight.zero_()
            aux.fc2.bias.fill_(number)
    state = interop.from_state_dict(module.state_dict(), *like)
    (logits, aux2, aux1), buffers = model.apply(*state, images(33, torch.float64), key=random.key(0), train=True)
    expected = module.train()(images(33, torch.float64))
    torch.testing.assert_close(logits, expected.logits.detach())
    torch.testing.assert_close(interop.to_state_dict(buffers), dict(module.named_buffers()))
    torch.testing.assert_close((aux2, aux1), (expected.aux_logits2.detach(), expected.aux_logits1.detach()))
    assert aux1.eq(1).all()
    assert aux2.eq(2).all()


FIRST_VALUES = {
    "resnet18": {
        "conv1.weight": (2 / (64 * 49)) ** 0.5,
        "layer2.0.downsample.0.weight": (2 / 128) ** 0.5,
        "fc.weight": (1 / 512 / 3) ** 0.5,
    },
    "densenet121": {"features.denseblock1.denselayer1.conv2.weight": (2 / (128 * 9)) ** 0.5, "classifier.bias": 0.0},
    "googlenet": {"inception3a.branch2.1.conv.weight": 0.01, "fc.weight": 0.01},
    "vgg11_bn": {"features.4.weight": (2 / (128 * 9)) ** 0.5, "classifier.6.weight": 0.01, "classifier.6.bias": 0.0},
}


@pytest.mark.parametrize("name", FIRST_VALUES)
def test_weights_are_drawn_from_torchvisions_distributions(name):
    make, _, side = MODELS[name]
    state = interop.to_state_dict(*make().init(random.key(0), images(side).to("meta")))
    for path, std in FIRST_VALUES[name].items():
        assert state[path].std().item() == pytest.approx(std, rel=0.05), path
        assert abs(state[path].mean().item()) <= 0.1 * std
