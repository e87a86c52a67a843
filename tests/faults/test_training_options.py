"""Training that was wrong without a word: which epoch is the best, and what a precision means."""

import math

import pytest
import torch

from funcdl import losses, metrics, nn, optim, random, train
from recipes import runtime
from recipes.settings import SettingsError
from recipes.vision import _digits
from tests.train.problems import fit_flat

X = torch.linspace(-1, 1, 8, dtype=torch.float64).unsqueeze(1)
MODEL, OPTIMIZER = nn.linear(1), optim.sgd(lr=0.1)
NAN = math.nan


def fit(values, best, name="val_thing", report=None, **options):
    """Trains for an epoch per value; returns the epoch whose state was returned, of one step each."""
    state = train.make_state(MODEL, OPTIMIZER, random.key(0), X)
    step = train.make_step(MODEL, losses.mse, OPTIMIZER)
    report = report or train.Report()

    def evaluate(params, buffers, batches):
        return {name: torch.tensor(values[len(report.rows)])}

    options = {"epochs": len(values), "batch_size": 8, "key": random.key(1), "evaluate": evaluate, **options}
    return int(fit_flat(state, step, (X, 3 * X), best=best, report=report, **options).step)


LOWER = [
    "loss",
    "val_loss",
    "valloss",
    "mae",
    "val_mae",
    "val_mse",
    "test_rmse",
    "val_perplexity",
    "val/mae",
    "val_MAE",
]
LOWER += ["val_mean_absolute_error", "val_mean_squared_error"]
HIGHER = ["accuracy", "val_accuracy", "top5_accuracy", "val_r2", "f1", "val_f1", "val_precision", "val_recall"]
HIGHER += ["val_binary_accuracy", "val_top_k"]


@pytest.mark.parametrize(("name", "epoch"), [(name, 2) for name in LOWER] + [(name, 3) for name in HIGHER])
def test_a_known_measure_is_better_the_way_it_is(name, epoch):
    assert fit([2.0, 1.0, 3.0, 1.0, 3.0], name, name) == epoch


@pytest.mark.parametrize("name", ["val_cost", "val_error_rate", "bleu", "val_thermae", "not_quite_r22", "loss_scale"])
def test_an_unknown_measure_has_to_say_which_way(name):
    with pytest.raises(ValueError, match=rf"best='{name}'\): .* pass best=\('{name}', 'max'\), or 'min'"):
        fit([1.0], name, name)
    assert fit([2.0, 1.0, 3.0], (name, "min"), name) == 2
    assert fit([2.0, 1.0, 3.0], (name, "max"), name) == 3


def test_what_is_said_holds_over_the_name():
    assert fit([2.0, 1.0, 3.0], ("val_loss", "max"), "val_loss") == 3
    assert fit([2.0, 1.0, 3.0], ("val_accuracy", "min"), "val_accuracy") == 2


@pytest.mark.parametrize(
    "best", [("val_loss", "lowest"), ("val_loss",), ["val_loss", "min"], 3, (3, "min"), ("a", None)]
)
def test_what_is_no_direction_is_refused(best):
    with pytest.raises(ValueError, match="expected a pair of a name and 'max' or 'min'"):
        fit([1.0], best, "val_loss")


def test_a_measure_that_there_is_none_of_is_named():
    with pytest.raises(ValueError, match=r"best='val_mae'.*is not measured; choose one of loss, val_loss"):
        fit([1.0], "val_mae", "val_loss")


@pytest.mark.parametrize("direction", ["min", "max"])
@pytest.mark.parametrize(
    ("values", "epochs"),
    [([NAN, 2.0, 1.0], (3, 2)), ([2.0, NAN, 1.0], (3, 1)), ([1.0, 2.0, NAN], (1, 2)), ([NAN, NAN, 2.0], (3, 3))],
)
def test_nan_is_never_the_best(direction, values, epochs):
    assert fit(values, ("val_thing", direction)) == epochs[direction == "max"]


def test_infinity_may_be_the_best():
    assert fit([1.0, math.inf, 2.0], ("val_thing", "max")) == 2
    assert fit([math.inf, math.inf], ("val_thing", "min")) == 1


def test_where_nothing_is_the_best_the_last_is_returned_with_a_word(tmp_path, capsys):
    report = train.Report(tmp_path, progress=True)
    assert fit([NAN, NAN], ("val_thing", "min"), report=report) == 2
    assert "'val_thing' was never a number" in capsys.readouterr().err
    again = train.Report(tmp_path)
    assert fit([NAN, NAN], ("val_thing", "min"), report=again, resume=True) == 2
    again = train.Report(tmp_path)
    assert fit([NAN, NAN, 5.0], ("val_thing", "min"), report=again, resume=True) == 3


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_the_best_of_both_sittings(tmp_path, stop):
    values = [NAN, 2.0, 1.0, 4.0]
    fit(values[:stop], ("val_thing", "min"), report=train.Report(tmp_path))
    assert fit(values, ("val_thing", "min"), report=train.Report(tmp_path), resume=True) == 3


@pytest.mark.parametrize("precision", ["float32", "fp16", "FP32", "bfloat16", "bf-16", "", None, 32, torch.bfloat16])
def test_a_precision_that_there_is_none_of(precision):
    for make in (
        lambda: train.make_step(MODEL, losses.mse, OPTIMIZER, precision=precision),
        lambda: train.make_evaluate(MODEL, {"loss": metrics.mean_loss(losses.mse)}, precision=precision),
    ):
        with pytest.raises(ValueError, match=r"precision=.*\): must be 'fp32' or 'bf16'"):
            make()


@pytest.mark.parametrize("name", ["gpu", "CPU", "", None])
def test_a_recipe_takes_no_unknown_word_for_another(name):
    with pytest.raises(SettingsError, match="must be auto, cpu, cuda"):
        runtime.choose_device(name)
    with pytest.raises(SettingsError, match="must be auto, on, off"):
        runtime.choose_compile(name, torch.device("cpu"), 1, train.Report())
    with pytest.raises(SettingsError, match="must be sample or mnist"):
        _digits.read_data(_digits.Settings(dataset=name))
