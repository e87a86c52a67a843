"""Runs that are killed, interrupted and resumed end as those that never were."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import pytest
import torch

from funcdl import train
from recipes import runtime
from recipes.vision import digits_convnet
from tests.recipes.small import call, files, left_in

FLAGS = ["--epochs", "3", "--batch-size", "64", "--device", "cpu"]


def start(out, *flags):
    arguments = [sys.executable, "-m", "recipes", "run", "digits-convnet", "--out", str(out), *flags, "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def end(process):
    out, err = process.communicate(timeout=600)
    return process.returncode, out, err


def wait_for(path, process):
    while not path.exists():
        assert process.poll() is None, end(process)
        time.sleep(0.01)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    code, out, err = end(start(folder, *FLAGS))
    assert code == 0, err
    return left_in(folder), json.loads(out)["metrics"]


def test_killed_at_random_moments_it_ends_with_the_same_bytes(tmp_path, whole):
    draw = random.Random(0)
    run = tmp_path / "run"
    kills, process = 0, start(run, *FLAGS)
    wait_for(run / "config.json", process)  # before that there is no run to resume
    for longest in (0.5, 2.5, 4.0):
        time.sleep(draw.uniform(0, longest))
        process.kill()
        process.wait()
        kills += process.returncode == -signal.SIGKILL
        process = start(run, "--resume")
        time.sleep(2)
    code, out, err = end(process)
    assert code == 0, err
    assert kills >= 2
    assert left_in(run) == whole[0]
    assert json.loads(out)["metrics"] == whole[1]


def test_ctrl_c_saves_and_exits_130_and_it_resumes_to_the_same_bytes(tmp_path, whole):
    run = tmp_path / "run"
    process = start(run, *FLAGS)
    wait_for(run / "checkpoint" / "checkpoint.json", process)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    code, out, err = end(process)
    assert (code, out) == (130, "")
    assert "Traceback" not in err
    assert f"go on with: funcdl run digits-convnet --resume --out {run}" in err.splitlines()[-1]
    assert "and saved" in err.splitlines()[-1]
    process = start(run, "--resume", *FLAGS)  # repeating flags is allowed
    code, out, err = end(process)
    assert code == 0, err
    assert left_in(run) == whole[0]
    assert json.loads(out)["metrics"] == whole[1]


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def interrupt(at, presses=1):
    """A stand-in for `make_step` whose step number `at` sees Ctrl-C."""
    made, calls = train.make_step, []

    def make_step(*args, **kwargs):
        step = made(*args, **kwargs)

        def interrupted(state, batch):
            result = step(state, batch)
            calls.append(1)
            if len(calls) == at:
                for _ in range(presses):
                    os.kill(os.getpid(), signal.SIGINT)
            return result

        return interrupted

    return make_step


SMALL = ("--epochs", 2, "--device", "cpu")  # three steps each


@pytest.mark.usefixtures("small_data", "threads")
def test_it_resumes_with_the_threads_and_the_compile_choice_that_it_began_with(tmp_path, monkeypatch):
    torch.set_num_threads(1)
    assert call("run", "digits-convnet", *SMALL, "--out", tmp_path / "whole")[0] == 0
    with monkeypatch.context() as patch:
        patch.setattr(train, "make_step", interrupt(at=2))
        code, _, err = call("run", "digits-convnet", *SMALL, "--out", tmp_path / "cut")
        assert (code, err[-1].startswith("funcdl: interrupted after step 2")) == (130, True)
    torch.set_num_threads(2)
    monkeypatch.setattr(runtime, "REPAY_STEPS", 1)  # auto would compile now
    code, out, err = call("run", "digits-convnet", "--compile", "auto", "--resume", "--out", tmp_path / "cut", "--json")
    assert code == 0, err
    assert json.loads(out[0])["compiled"] is False
    assert torch.get_num_threads() == 1
    assert left_in(tmp_path / "cut") == left_in(tmp_path / "whole")
    config = json.loads((tmp_path / "cut" / "config.json").read_text())
    assert config["settings"]["compile"] == "auto"  # still what was asked for


@pytest.mark.usefixtures("threads")
def test_what_auto_chose_is_restored_from_the_checkpoint(tmp_path):
    made = {"device": "cpu", "compiled": True, "threads": 3}
    train.save(tmp_path / "checkpoint", {}, {"run": made})
    settings = runtime.restore_settings(digits_convnet.Settings(seed=7), tmp_path)
    assert (settings.compile, settings.device, settings.seed) == ("on", "cpu", 7)
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("small_data")
def test_a_second_ctrl_c_stops_at_once_and_loses_nothing_saved(tmp_path, monkeypatch):
    assert call("run", "digits-convnet", *SMALL, "--out", tmp_path / "whole")[0] == 0
    with monkeypatch.context() as patch:
        patch.setattr(train, "make_step", interrupt(at=5, presses=2))
        code, out, err = call("run", "digits-convnet", *SMALL, "--out", tmp_path / "cut")
    assert (code, out) == (130, [])
    assert "and saved" not in err[-1]
    assert "--resume" in err[-1]
    assert train.read_info(tmp_path / "cut" / "checkpoint")["totals"] == {}  # that of the first epoch's end
    assert call("run", "digits-convnet", "--resume", "--out", tmp_path / "cut")[0] == 0
    assert left_in(tmp_path / "cut") == left_in(tmp_path / "whole")


@pytest.mark.usefixtures("small_data")
def test_a_run_stopped_before_its_first_checkpoint_begins_again(tmp_path, monkeypatch):
    assert call("run", "digits-convnet", *SMALL, "--out", tmp_path / "whole")[0] == 0

    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train, "make_state", stop)
        code, _, err = call("run", "digits-convnet", *SMALL, "--out", tmp_path / "cut")
        assert (code, len(err)) == (130, 2)
    assert not (tmp_path / "cut" / "checkpoint").exists()
    code, _, err = call("run", "digits-convnet", "--resume", "--out", tmp_path / "cut")
    assert code == 0, err
    assert left_in(tmp_path / "cut") == left_in(tmp_path / "whole")


@pytest.mark.usefixtures("small_data")
def test_a_run_that_failed_before_it_began_leaves_its_folder_free(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call("run", "digits-convnet", *SMALL, "--json")[0] == 0
    (run,) = (tmp_path / "runs" / "digits-convnet").iterdir()
    assert call("run", "digits-convnet", "--batch-size", 9999)[0] == 2
    assert list((tmp_path / "runs" / "digits-convnet").iterdir()) == [run]  # so --resume goes on with this one
    assert call("run", "digits-convnet", "--batch-size", 9999, "--out", "new")[0] == 2
    assert call("run", "digits-convnet", *SMALL, "--out", "new")[0] == 0


@pytest.mark.usefixtures("small_data")
def test_a_finished_run_goes_on_for_more_epochs_and_ends_as_one_that_had_them(tmp_path):
    flags = ("--device", "cpu", "--out")
    assert call("run", "digits-convnet", "--epochs", 3, *flags, tmp_path / "whole")[0] == 0
    assert call("run", "digits-convnet", "--epochs", 1, *flags, tmp_path / "part")[0] == 0
    code, out, err = call("run", "digits-convnet", "--resume", "--epochs", 3, "--json", "--out", tmp_path / "part")
    assert code == 0, err
    assert json.loads(out[0])["epochs"] == 3
    assert left_in(tmp_path / "part") == left_in(tmp_path / "whole")
    assert call("run", "digits-convnet", "--resume", "--out", tmp_path / "part")[0] == 0  # it has 3 now

    before = files(tmp_path / "part")
    code, _, err = call("run", "digits-convnet", "--resume", "--epochs", 2, "--out", tmp_path / "part")
    assert code == 2
    assert "with epochs=2 this run ends at step 6; resume it with 3 epochs or more" in err[-1]
    assert files(tmp_path / "part") == before


@pytest.mark.usefixtures("small_data")
def test_interrupted_and_resumed_the_table_is_that_of_a_whole_run(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")

    def table(lines):
        rows = [re.split("[│┃]", line)[1:-1] for line in lines if re.search("epoch ┃|│ +[12] +│", line)]
        return [[cell.strip() for cell in row[:-1]] for row in rows]  # without seconds

    flags = ("--epochs", 2, "--device", "cpu", "--out")
    with monkeypatch.context() as patch:
        patch.setattr(train, "make_step", interrupt(at=2))
        assert call("run", "digits-cnn", *flags, tmp_path / "cut", "--batch-size", 32)[0] == 130
    _, resumed, _ = call("run", "digits-cnn", "--resume", "--out", tmp_path / "cut")
    _, again, _ = call("run", "digits-cnn", *flags, tmp_path / "again", "--batch-size", 32)
    assert table(again)[0] == ["epoch", "loss", "accuracy", "test_loss", "test_accuracy"]
    assert table(resumed) == table(again)
    assert len(table(resumed)) == 3
    for cells in table(resumed)[1:]:
        assert float(cells[1]) > 1 > float(cells[2])  # the loss of the first epochs, and the accuracy
