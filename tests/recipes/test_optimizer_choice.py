import dataclasses

import pytest
import torch

from funcdl import optim
from recipes import flags, optimizer_choice
from recipes.settings import OptimizerSettings, SettingsError


def steps(optimizer, n=3):
    params = torch.tensor([1.0, -2.0])
    state, path = optimizer.init(params), []
    for _ in range(n):
        updates, state = optimizer.update(2 * params, state, params, value=(params**2).sum())
        params = optim.apply_updates(params, updates)
        path.append(params)
    return torch.stack(path)


def own(lr):
    return optim.sgd(lr, momentum=0.5)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], own(0.3)),
        (["--lr", "0.1"], own(0.1)),
        (["--optimizer", "adam"], optim.adam()),
        (["--optimizer", "adam", "--lr", "0.2", "--optimizer-options", "betas=0.5:0.9"], optim.adam(0.2, (0.5, 0.9))),
        (["--optimizer", "sgd"], optim.sgd(0.01)),
        (
            ["--optimizer", "sgd", "--optimizer-options", "momentum=0.9, nesterov=true"],
            optim.sgd(0.01, 0.9, nesterov=True),
        ),
        (["--optimizer", "lbfgs", "--optimizer-options", "history_size=3"], optim.lbfgs(history_size=3)),
    ],
)
def test_the_settings_choose(words, expected):
    settings = flags.parse(OptimizerSettings, "any", words)
    settings.check()
    assert torch.equal(steps(optimizer_choice.choose(settings, own, 0.3)), steps(expected))


@pytest.mark.parametrize("name", optimizer_choice.OPTIMIZERS)
def test_every_optimizer_descends_at_its_usual_rate(name):
    settings = OptimizerSettings(optimizer=name)
    path = steps(optimizer_choice.choose(settings, own, 0.3))
    assert path[-1].square().sum() < 5  # where it began


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("momentum=0.9", "'adam' has no option 'momentum'; it has betas, eps, weight_decay, amsgrad"),
        ("lr=0.1", "the learning rate is --lr"),
        ("betas=0.9", "betas=0.9: must be 2 numbers, such as 0.9:0.999"),
        ("eps=small", "eps=small: must be a number, such as 1e-08"),
        ("amsgrad=yes", "amsgrad=yes: must be true or false"),
        ("eps", "eps: must be a number"),
        ("eps=-1", "eps=-1.0 is out of range"),
        ("eps=1,eps=2", "has 'eps' twice"),
    ],
)
def test_a_bad_option_is_one_sentence(options, message):
    settings = OptimizerSettings(optimizer="adam", optimizer_options=options)
    with pytest.raises(SettingsError, match=message):
        settings.check()


def test_options_need_an_optimizer_and_an_optimizer_is_one_of_them():
    with pytest.raises(SettingsError, match="is for --optimizer NAME"):
        dataclasses.replace(OptimizerSettings(), optimizer_options="momentum=0.9").check()
    with pytest.raises(SettingsError, match="invalid choice 'adan'; it is one of adadelta"):
        flags.parse(OptimizerSettings, "any", ["--optimizer", "adan"])
