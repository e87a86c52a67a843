"""Rows of some epochs only: where they stand, what they measure, and runs cut between two of them."""

import json
import os
import signal
import sys

import pytest
import torch

from funcdl import losses, nn, optim, random, train
from tests.train.problems import fit_flat

X = torch.linspace(-1, 1, 24).unsqueeze(1)
DATA = (X, 3 * X + 1)
MODEL, OPTIMIZER = nn.linear(1), optim.sgd(lr=0.05)


def start():
    return train.make_state(MODEL, OPTIMIZER, random.key(0), X)


def fit(report, step=None, **flags):
    step = step or train.make_step(MODEL, losses.mse, OPTIMIZER)
    return fit_flat(start(), step, DATA, key=random.key(1), batch_size=8, report=report, **flags)


@pytest.mark.parametrize(
    ("epochs", "every", "rows"), [(10, 4, [4, 8, 10]), (8, 4, [4, 8]), (3, 5, [3]), (2, 1, [1, 2])]
)
def test_where_rows_stand_and_what_they_measure(epochs, every, rows):
    full, sparse, called = train.Report(), train.Report(), []

    def evaluate(params, buffers, batches):
        called.append(1)
        return {"w": params["weight"].squeeze()}

    last = fit(full, epochs=epochs, evaluate=lambda params, buffers, batches: {"w": params["weight"].squeeze()})
    state = fit(sparse, epochs=epochs, every=every, evaluate=evaluate)
    assert [row["epoch"] for row in sparse.rows] == rows
    assert len(called) == len(rows)
    of_epoch = {row["epoch"]: row for row in full.rows}
    for row in sparse.rows:
        assert (row["loss"], row["w"]) == (of_epoch[row["epoch"]]["loss"], of_epoch[row["epoch"]]["w"])
    assert torch.equal(state.params["weight"], last.params["weight"])


def test_cut_between_rows_it_goes_on_to_the_same_end(tmp_path):
    whole = fit(train.Report(tmp_path / "whole"), epochs=10, every=4)
    made, calls = train.make_step(MODEL, losses.mse, OPTIMIZER), []

    def step(state, batch):
        calls.append(1)
        if len(calls) in (18, 24):  # the last steps of epoch 6, which has no row, and of epoch 8, which has
            os.kill(os.getpid(), signal.SIGINT)
        return made(state, batch)

    with pytest.raises(train.Interrupted):
        fit(train.Report(tmp_path / "cut"), step, epochs=10, every=4)
    assert len(calls) == 18
    with pytest.raises(train.Interrupted):
        fit(train.Report(tmp_path / "cut"), step, epochs=10, every=4, resume=True)
    assert len(calls) == 24
    end = fit(train.Report(tmp_path / "cut"), step, epochs=10, every=4, resume=True)
    assert len(calls) == 30
    assert torch.equal(end.params["weight"], whole.params["weight"])
    rows = [
        [{**json.loads(line), "seconds": 0} for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("cut", "whole")
    ]
    assert rows[0] == rows[1]


def test_the_best_loss_is_the_lowest(tmp_path):
    values = iter([3.0, 1.0, 2.0, 1.0])
    report, seen = train.Report(tmp_path), []

    def evaluate(params, buffers, batches):
        seen.append(params["weight"].clone())
        return {"val_loss": torch.tensor(next(values))}

    state = fit(report, epochs=4, evaluate=evaluate, best="val_loss")
    assert torch.equal(state.params["weight"], seen[1])
    assert train.read_info(tmp_path / "best")["epoch"] == 2


def test_no_epochs_between_rows():
    with pytest.raises(ValueError, match="every=0: must be 1 or more"):
        fit(train.Report(), epochs=1, every=0)


@pytest.mark.parametrize("every", [1, 2])
def test_the_seconds_of_a_row_are_those_since_the_one_before(monkeypatch, every):
    clock = [0.0]

    class Clock:
        @staticmethod
        def monotonic():
            return clock[0]

    monkeypatch.setattr(sys.modules["funcdl.train.loop"], "time", Clock)

    def taking(seconds, f):
        def slow(*args):
            clock[0] += seconds
            return f(*args)

        return slow

    report = train.Report()
    step = taking(1, train.make_step(MODEL, losses.mse, OPTIMIZER))
    fit(report, step, epochs=4, every=every, evaluate=taking(10, lambda params, buffers, batches: {}))
    since_the_first = [row["seconds"] for row in report.rows[1:]]
    assert since_the_first == [3 * every + 10] * (4 // every - 1)
