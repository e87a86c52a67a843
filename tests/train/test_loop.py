import json
import math
import os
import signal
import threading
import time

import pytest
import torch

from funcdl import data, losses, nn, optim, random, train, tree
from funcdl.train import loop
from tests.train.problems import clusters, evaluation, fit_flat, problem

EPOCHS, STEPS = 3, 5  # of 8 rows each


class Crash(Exception):
    pass


def fit(folder, *, seed=0, at=0, disturb=None, wrap=None, report=None, **options):
    """A small run; `disturb()` is called in its step number `at`, or with at="evaluate" in its second evaluation."""
    state, step = problem(seed=seed)
    measure = evaluation()
    test = data.stacked_batches(clusters(7), 4)
    calls = {"step": 0, "evaluate": 0}

    def disturbed_step(state, batch):
        result = step(state, batch)
        calls["step"] += 1
        if disturb and calls["step"] == at:
            disturb()
        return result

    def evaluate(params, buffers, batches):
        calls["evaluate"] += 1
        if disturb and at == "evaluate" and calls["evaluate"] == 2:
            disturb()
        return measure(params, buffers, batches)

    arguments = {"key": random.key(seed + 100), "epochs": EPOCHS, "batch_size": 8, **options}
    report = report or train.Report(folder)
    try:
        arguments |= {"evaluate": evaluate, "evaluation_data": test, "report": report}
        return fit_flat(state, disturbed_step, clusters(), **arguments), report
    finally:
        report.close()


def left_in(folder):
    """What a run leaves that must not depend on interruptions: the checkpoint's bytes and the rows, without seconds."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        assert row.pop("seconds") >= 0
    return {path.name: path.read_bytes() for path in (folder / "checkpoint").iterdir()}, rows


def crash():
    raise Crash


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    fit(folder)
    return left_in(folder)


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(tmp_path, whole):
    fit(tmp_path / "again")
    assert left_in(tmp_path / "again") == whole
    fit(tmp_path / "other", seed=1)
    checkpoint, rows = left_in(tmp_path / "other")
    assert checkpoint.keys() != whole[0].keys()  # the file's name is its checksum
    assert all(row[name] != other[name] for row, other in zip(rows, whole[1], strict=True) for name in ("loss",))


def test_the_rows_are_means_over_the_epoch_and_what_evaluate_measured(whole):
    _, rows = whole
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert all(row.keys() == {"epoch", "loss", "accuracy", "val_loss", "val_accuracy"} for row in rows)
    state, step = problem()
    points = clusters()
    for epoch, row in enumerate(rows, 1):
        measured = []
        for batch in data.shuffled_batches(random.fold_in(random.key(100), epoch), points, 8):
            state, one = step(state, batch)
            measured.append(one["loss"].double())
        assert row["loss"] == pytest.approx(torch.stack(measured).mean().item(), rel=1e-12)
        expected = evaluation()(state.params, state.buffers, data.stacked_batches(clusters(7), 4))
        assert row["val_loss"] == expected["val_loss"].item()


@pytest.mark.parametrize("save_seconds", [0.0, 60.0], ids=["saved each step", "saved each epoch"])
@pytest.mark.parametrize("at", [1, 3, STEPS, STEPS + 1, 2 * STEPS - 1, EPOCHS * STEPS, "evaluate"])
def test_after_a_crash_anywhere_it_goes_on_to_the_same_bits(tmp_path, monkeypatch, whole, at, save_seconds):
    monkeypatch.setattr(loop, "SAVE_SECONDS", save_seconds)
    with pytest.raises(Crash):
        fit(tmp_path, at=at, disturb=crash)
    fit(tmp_path, resume=True)
    assert left_in(tmp_path) == whole


@pytest.mark.parametrize("at", [1, 3, STEPS, STEPS + 1, 2 * STEPS, EPOCHS * STEPS, "evaluate"])
def test_ctrl_c_saves_and_it_goes_on_to_the_same_bits(tmp_path, whole, at):
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(train.Interrupted, match=f"interrupted after step .* saved in {tmp_path}"):
        fit(tmp_path, at=at, disturb=press_ctrl_c)
    assert signal.getsignal(signal.SIGINT) is handler
    state, _ = train.load(tmp_path / "checkpoint", problem()[0])
    assert state.step == (2 * STEPS if at == "evaluate" else at)
    _, report = fit(tmp_path, resume=True)
    assert left_in(tmp_path) == whole
    assert [row["epoch"] for row in report.rows] == [1, 2, 3]


def test_interrupted_at_every_step_it_still_ends_with_the_same_bits(tmp_path, whole):
    for sitting in range(EPOCHS * STEPS):
        with pytest.raises(train.Interrupted):
            fit(tmp_path, at=1, disturb=press_ctrl_c, resume=sitting > 0)
    fit(tmp_path, resume=True)
    assert left_in(tmp_path) == whole


def test_a_second_ctrl_c_does_not_wait_and_loses_nothing_that_was_saved(tmp_path, whole):
    def press_twice():
        press_ctrl_c()
        press_ctrl_c()
        time.sleep(0)

    with pytest.raises(KeyboardInterrupt) as caught:
        fit(tmp_path, at=STEPS + 2, disturb=press_twice)
    assert not isinstance(caught.value, train.Interrupted)
    state, _ = train.load(tmp_path / "checkpoint", problem()[0])
    assert state.step == STEPS
    fit(tmp_path, resume=True)
    assert left_in(tmp_path) == whole


def test_a_row_written_just_before_the_crash_is_not_there_twice(tmp_path, monkeypatch, whole):
    rows = []

    class Dying(train.Report):
        def row(self, values):
            super().row(values)
            rows.append(values)
            if len(rows) == 2:
                with (self.directory / "metrics.jsonl").open("a") as file:
                    file.write('{"epoch": 3, "lo')
                raise Crash

    with pytest.raises(Crash):
        fit(tmp_path, report=Dying(tmp_path))
    fit(tmp_path, resume=True)
    assert left_in(tmp_path) == whole


def test_a_finished_run_resumes_to_itself(tmp_path, whole):
    first, _ = fit(tmp_path)
    again, report = fit(tmp_path, resume=True, at=1, disturb=crash)
    assert all(torch.equal(a, b) for a, b in zip(tree.leaves(first), tree.leaves(again), strict=True))
    assert left_in(tmp_path) == whole
    assert len(report.rows) == EPOCHS


def test_a_new_run_in_an_old_one_s_place_does_not_keep_its_rows(tmp_path, whole):
    fit(tmp_path, seed=1)
    fit(tmp_path)
    assert left_in(tmp_path) == whole


def test_it_runs_outside_the_main_thread_too(tmp_path, whole):
    thread = threading.Thread(target=fit, args=(tmp_path,))
    thread.start()
    thread.join()
    assert left_in(tmp_path) == whole


def test_a_kept_short_batch_counts_by_its_rows(tmp_path):
    state, step = problem()
    seen = []

    def counting(state, batch):
        new, measured = step(state, batch)
        seen.append((len(batch[1]), measured["loss"].item()))
        return new, measured

    report = train.Report()
    batches = train.Batches(random.key(1), 8, drop_last=False)
    train.fit(state, counting, clusters(20), batches, epochs=2, record=train.Record(report))
    assert [rows for rows, _ in seen] == [8, 8, 4, 8, 8, 4]
    expected = sum(rows * loss for rows, loss in seen[3:]) / 20
    assert report.rows[1]["loss"] == pytest.approx(expected, rel=1e-12)


def test_resuming_with_a_short_batch_keeps_the_bits(tmp_path):
    fit(tmp_path / "whole", batch_size=12, drop_last=False)
    with pytest.raises(train.Interrupted):
        fit(tmp_path / "cut", batch_size=12, drop_last=False, at=4, disturb=press_ctrl_c)  # the short one
    fit(tmp_path / "cut", batch_size=12, drop_last=False, resume=True)
    assert left_in(tmp_path / "cut") == left_in(tmp_path / "whole")


def test_a_loss_that_is_not_finite_stops_the_run_and_the_last_finite_state_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    model, optimizer = nn.linear(1), optim.sgd(lr=1e18)
    x = torch.ones(8, 1)
    state = train.make_state(model, optimizer, random.key(0), x)
    step = train.make_step(model, losses.mse, optimizer)
    record = train.Record(train.Report(tmp_path))
    with pytest.raises(train.NonFiniteLossError, match=rf"not finite at step \d+; try a lower .* in {tmp_path}"):
        train.fit(state, step, (x, 3 * x), train.Batches(random.key(1), 4), epochs=9, record=record)
    kept, _ = train.load(tmp_path / "checkpoint", state)
    assert all(leaf.isfinite().all() for leaf in tree.leaves(kept.params))
    assert kept.step > 0
    assert "NaN" not in (tmp_path / "metrics.jsonl").read_text()


@pytest.mark.parametrize("spoilt", ["loss", "params"])
def test_either_a_loss_or_a_parameter_that_is_nan_is_found_within_the_epoch(tmp_path, monkeypatch, spoilt):
    monkeypatch.setattr(loop, "CHECK_STEPS", 1)
    state, step = problem()
    taken = []

    def spoiling(state, batch):
        state, measured = step(state, batch)
        taken.append(state.step)
        if spoilt == "loss":
            return state, {**measured, "loss": torch.tensor(math.nan)}
        return state._replace(params=tree.map(lambda p: p * math.nan, state.params)), measured

    pattern = "mean loss of epoch 1 is nan" if spoilt == "loss" else "parameter '0.bias' is not finite"
    with pytest.raises(train.NonFiniteLossError, match=pattern):
        train.fit(state, spoiling, clusters(), train.Batches(random.key(1), 8), epochs=1)
    assert len(taken) == 1


def test_what_a_run_cannot_be_resumed_with_is_named(tmp_path):
    with pytest.raises(train.Interrupted):
        fit(tmp_path, at=3, disturb=press_ctrl_c, info={"precision": "fp32", "shape": (1, 2)})
    same = {"precision": "fp32", "shape": (1, 2)}
    before = left_in(tmp_path)[0] if (tmp_path / "metrics.jsonl").exists() else None
    for changed, message in (
        ({"info": {**same, "precision": "bf16"}}, "made with precision=fp32, but this one has precision=bf16"),
        ({"info": same, "batch_size": 4}, "made with batch_size=8, but this one has batch_size=4"),
        ({"info": same, "drop_last": False}, "made with drop_last=True, but this one has drop_last=False"),
        ({"info": same, "key": random.key(7)}, "made with key="),
    ):
        with pytest.raises(train.CheckpointError, match=message):
            fit(tmp_path, resume=True, **changed)
    assert before is None or left_in(tmp_path)[0] == before
    fit(tmp_path, resume=True, info=same)


def test_a_checkpoint_that_no_run_made_is_refused(tmp_path):
    train.save(tmp_path / "checkpoint", problem()[0])
    with pytest.raises(train.CheckpointError, match="made with batch_size=None"):
        fit(tmp_path, resume=True)
    with pytest.raises(train.CheckpointError, match="holds no checkpoint"):
        fit(tmp_path / "nowhere", resume=True)
    with pytest.raises(train.CheckpointError, match="without a directory"):
        fit(None, report=train.Report(), resume=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs=0: must be 1 or more"),
        ({"epochs": -1}, "epochs=-1"),
        ({"batch_size": 41}, "batch_size=41 exceeds the 40 rows"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_numbers_out_of_range_are_refused_before_anything_is_written(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        fit(tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_batch_is_collated_before_its_step_and_on_step_follows_each_step():
    state, step = problem()
    given, seen = [], []

    def collate(batch):
        given.append(len(batch[1]))
        return tree.map(lambda leaf: leaf[:4], batch)

    def on_step(state, measured):
        seen.append((int(state.step), measured["loss"].item()))

    def half(state, batch):
        assert len(batch[1]) == 4
        return step(state, batch)

    batches = train.Batches(random.key(1), 8, collate=collate)
    train.fit(state, half, clusters(20), batches, epochs=2, on_step=on_step)
    assert given == [8] * 4
    assert [number for number, _ in seen] == [1, 2, 3, 4]
