"""What the lessons on classification say holds for the default runs of ten seeds, not for one."""

import pytest

from funcdl import train
from recipes.classification import blobs, credit, diabetes, otto, titanic

SEEDS = range(10)


def results(module, **flags):
    return [
        module.run(module.Settings(device="cpu", compile="off", seed=seed, **flags), train.Report()) for seed in SEEDS
    ]


def test_the_network_beats_the_rule_about_women_and_the_rule_a_constant_answer():
    for outcome in results(titanic):
        found = outcome.metrics
        assert found["val_accuracy"] > found["by_sex"] > found["majority"] + 0.15
        assert max(found["members"]) - min(found["members"]) > 0.005
        assert "By chance alone" in outcome.lesson.remarks[-1]


def test_the_validation_loss_turns_while_the_training_loss_goes_on_falling():
    for outcome in results(otto):
        found = outcome.metrics
        assert found["best_epoch"] < outcome.epochs == 30
        assert found["last_val_loss"] > found["val_loss"]
        assert found["last_loss"] < found["loss"] / 2
        assert f"After epoch {found['best_epoch']} the network over-fits" in outcome.lesson.remarks[-1]


def test_the_lectures_settings_learn_nothing_but_the_prior():
    for outcome in results(diabetes):
        found = outcome.metrics
        assert found["loss"] == pytest.approx(found["prior_loss"], abs=0.005)
        assert found["accuracy"] == found["majority"]
        assert any("has learned only the prior" in remark for remark in outcome.lesson.remarks)


def test_raw_outputs_learn_faster_than_a_sigmoids():
    for squashed, raw in zip(results(credit, epochs=100), results(credit, epochs=100, outputs="raw"), strict=True):
        assert squashed.metrics["floor"] < squashed.metrics["loss"]
        assert raw.metrics["loss"] < squashed.metrics["loss"] - 0.1


def test_two_clouds_are_told_apart():
    for outcome in results(blobs):
        assert outcome.metrics["accuracy"] >= 0.99
        assert outcome.metrics["test_accuracy"] >= 0.99


def test_a_run_too_short_to_over_fit_says_so():
    outcome = otto.run(otto.Settings(device="cpu", epochs=2), train.Report())
    assert outcome.lesson.remarks == [
        "The validation loss has not turned yet: with more --epochs the network over-fits."
    ]
