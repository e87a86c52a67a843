import json

import pytest
import torch
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from funcdl import train


def row(epoch, loss):
    return {"epoch": epoch, "loss": loss, "seconds": 0.5}


def test_without_a_directory_and_progress_it_leaves_and_says_nothing(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    report = train.Report()
    report.log("hello")
    report.row(row(1, 0.5))
    report.scalar("x", 1.0, 1)
    report.picture("figure", Figure())
    report.save({"w": torch.ones(1)}, {})
    report.restore_rows(1)
    with report.bar("epoch", 2) as bar:
        bar.update(1)
        bar.set_postfix_str("loss")
    report.close()
    assert report.rows == [row(1, 0.5)]
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_progress_goes_to_stderr_only(capfd):
    report = train.Report(progress=True)
    report.log("hello")
    report.row(row(2, 0.123456))
    with report.bar("epoch", 2) as bar:  # no terminal here, so no bar
        bar.update(1)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines() == ["hello", "epoch 2  loss 0.1235  seconds 0.5000"]


def test_rows_pictures_and_events_are_in_its_directory(tmp_path):
    report = train.Report(tmp_path / "new" / "run")
    for epoch in (1, 2):
        report.row(row(epoch, 1 / epoch))
    report.scalar("step_loss", 0.25, 50)
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([1, 2])
    report.picture("curves", figure)
    report.close()
    folder = tmp_path / "new" / "run"
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [row(1, 1.0), row(2, 0.5)]
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    events = EventAccumulator(str(folder)).Reload()
    assert [(point.step, point.value) for point in events.Scalars("loss")] == [(1, 1.0), (2, 0.5)]
    assert [(point.step, point.value) for point in events.Scalars("step_loss")] == [(50, 0.25)]
    assert set(events.Tags()["scalars"]) == {"loss", "seconds", "step_loss"}
    assert events.Tags()["images"] == ["curves"]


def test_rows_are_read_back_without_later_and_unfinished_ones(tmp_path):
    first = train.Report(tmp_path)
    for epoch in (1, 2, 3):
        first.row(row(epoch, 1 / epoch))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 4, "lo')
    first.close()
    second = train.Report(tmp_path)
    second.restore_rows(2)
    assert second.rows == first.rows[:2]
    assert (tmp_path / "metrics.jsonl").read_text().count("\n") == 2
    second.row(row(3, 0.1))
    second.close()
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 3


def test_its_checkpoint_comes_back(tmp_path):
    report = train.Report(tmp_path)
    report.save({"w": torch.ones(2)}, {"epoch": 1})
    assert report.load({"w": torch.zeros(2)})[1] == {"epoch": 1}
    assert (tmp_path / "checkpoint" / "checkpoint.json").exists()
    with pytest.raises(train.CheckpointError, match="without a directory"):
        train.Report().load({})
