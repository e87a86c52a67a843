"""Runs that end at a bad moment go on to the same bits, and never from what is not theirs."""

import contextlib
import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from tensorboard.summary.writer.record_writer import RecordWriter

from funcdl import data, train
from recipes import results, runtime, summary, tables, training
from recipes.settings import SettingsError
from recipes.vision import digits_cnn_deep
from tests.recipes.small import call, files, left_in, sample

ROOT = Path(__file__).parents[2]
NETWORKS = ("run", "digits-cnn-deep", "--epochs", 1, "--batch-size", 32, "--device", "cpu")
SINE = ("run", "sine", "--epochs", 3, "--hidden", 2, "--device", "cpu")
HELLO = ("run", "hello", "--epochs", 3, "--device", "cpu")


@pytest.fixture(autouse=True)
def signals():
    """Those of a program in the foreground: nohup, and a script's &, have others ignored."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


SCENARIOS = ("descend", "sine", "fit", "best", "comparison")


def survey(folder, kills, errors, *scenarios):
    arguments = [sys.executable, "-m", "tests.faults.killing", folder, kills, errors, *scenarios]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(list(map(str, arguments)), cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["scenario"] for one in found] == list(scenarios)
    assert all(one["moments"] > 30 for one in found)
    assert [one for one in found if one["wrong"]] == []


def test_killed_or_refused_before_a_file_operation_a_run_goes_on_to_the_same_bits(tmp_path):
    survey(tmp_path, 19, 47, *SCENARIOS)


@pytest.mark.full
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_it_does_so_before_every_file_operation(tmp_path, scenario):
    survey(tmp_path, 1, 1, scenario)


@pytest.fixture
def small_data(monkeypatch):
    split = sample()
    monkeypatch.setattr(data, "digits", lambda: split)


@pytest.fixture
def small_networks(monkeypatch):
    monkeypatch.setattr(digits_cnn_deep, "SIZES", {"S": ((1, 1, 2), (4, 4)), "M": ((1, 2, 2), (4, 4))})


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def refused(*arguments):
    code, out, err = call(*arguments)
    assert (code, out) == (2, []), err
    (line,) = [line for line in err if line.startswith("funcdl: ")]
    return line


@pytest.mark.usefixtures("small_data", "small_networks")
def test_a_comparison_that_fails_can_be_resumed(tmp_path, monkeypatch):
    assert call(*NETWORKS, "--out", tmp_path / "whole")[0] == 0
    fit = training.fit

    def failing(settings, report, *arguments, **options):
        if report.directory.name == "M":
            raise train.NonFiniteLossError("the loss is not finite")
        return fit(settings, report, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(training, "fit", failing)
        assert "not finite" in refused(*NETWORKS, "--out", tmp_path / "run")
    before = (tmp_path / "run" / "S" / "metrics.jsonl").read_bytes()
    code, _, err = call("run", "digits-cnn-deep", "--resume", "--out", tmp_path / "run")
    assert code == 0, err
    assert (tmp_path / "run" / "S" / "metrics.jsonl").read_bytes() == before
    for name in "SM":
        assert left_in(tmp_path / "run" / name) == left_in(tmp_path / "whole" / name)


@pytest.mark.usefixtures("small_data", "small_networks")
def test_a_rate_that_is_far_too_high_leaves_a_comparison_that_is_a_run(tmp_path):
    assert "not finite" in refused(*NETWORKS, "--lr", "1e30", "--out", tmp_path / "run")
    assert (tmp_path / "run" / "config.json").exists()
    assert "holds a run already" in refused(*NETWORKS, "--out", tmp_path / "run")


@pytest.mark.usefixtures("small_data", "small_networks")
@pytest.mark.parametrize("flags", [(), ("--lr", "0.5"), ("--seed", "3"), ("--epochs", "2")])
def test_a_new_comparison_does_not_go_on_from_what_another_left(tmp_path, flags):
    assert call(*NETWORKS, *flags, "--out", tmp_path / "whole")[0] == 0
    assert call(*NETWORKS, "--out", tmp_path / "run")[0] == 0
    (tmp_path / "run" / "config.json").unlink()
    code, _, err = call(*NETWORKS, *flags, "--out", tmp_path / "run")
    assert code == 0, err
    assert not any("resuming" in line for line in err)
    for name in "SM":
        assert left_in(tmp_path / "run" / name) == left_in(tmp_path / "whole" / name)


@pytest.mark.usefixtures("small_data", "small_networks", "threads")
def test_a_comparison_resumes_with_its_threads_and_what_auto_chose(tmp_path, monkeypatch):
    torch.set_num_threads(1)
    with monkeypatch.context() as patch:
        patch.setattr(training, "fit", lambda *arguments, **options: os.kill(os.getpid(), signal.SIGINT))
        assert call(*NETWORKS, "--out", tmp_path / "run")[0] == 130
    torch.set_num_threads(2)
    monkeypatch.setattr(runtime, "REPAY_STEPS", 1)  # auto would compile now
    code, out, err = call("run", "digits-cnn-deep", "--resume", "--out", tmp_path / "run", "--json")
    assert code == 0, err
    assert json.loads(out[-1])["compiled"] is False
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("command", [SINE, ("run", "blobs", "--epochs", 3), HELLO])
def test_a_run_that_has_ended_resumes_to_itself(tmp_path, command):
    run = tmp_path / "run"
    first = call(*command, "--out", run, "--json")
    before = {path.name: path.read_bytes() for path in (run / "checkpoint").iterdir()}, rows(run)
    code, out, err = call(*command[:2], "--resume", "--out", run, "--json")
    assert code == 0, err
    assert ({path.name: path.read_bytes() for path in (run / "checkpoint").iterdir()}, rows(run)) == before
    one, other = (json.loads(lines[-1])["metrics"] for lines in (first[1], out))
    assert one == other


def rows(run):
    read = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [[(name, value) for name, value in row.items() if name != "seconds"] for row in read]


def during_a_step(monkeypatch, at, act):
    """Makes step number `at` of the next runs do something first."""
    made, calls = train.make_step, []

    def make_step(*args, **kwargs):
        step = made(*args, **kwargs)

        def acting(state, batch):
            calls.append(1)
            if len(calls) == at:
                act()
            return step(state, batch)

        return acting

    monkeypatch.setattr(train, "make_step", make_step)


@pytest.mark.parametrize("second", [("run", "hello", "--resume"), HELLO])
def test_two_at_once_are_one_too_many(tmp_path, monkeypatch, second):
    run, lines = tmp_path / "run", []
    with monkeypatch.context() as patch:
        during_a_step(patch, 2, lambda: lines.append(refused(*second, "--out", run)))
        assert call(*HELLO, "--out", run)[0] == 0
    expected = "another process works in it" if second != HELLO else "holds a run already"
    assert expected in lines[0]
    assert len(rows(run)) == 3
    with monkeypatch.context() as patch:
        during_a_step(patch, 1, lambda: pytest.fail("it has ended"))
        assert call("run", "hello", "--resume", "--out", run)[0] == 0  # let go
    assert len(rows(run)) == 3


def test_two_that_begin_at_once(tmp_path, monkeypatch):
    run, lines, locked = tmp_path / "run", [], results.locked

    @contextlib.contextmanager
    def late(*arguments):  # between the look at the folder and the lock another run is made
        if not lines:
            lines.append(None)
            assert call(*SINE, "--out", run)[0] == 0
        with locked(*arguments):
            yield

    monkeypatch.setattr(results, "locked", late)
    assert "holds a run already" in refused(*HELLO, "--out", run)
    assert json.loads((run / "config.json").read_text())["recipe"] == "sine"


def test_a_killed_process_lets_go(tmp_path):
    run = tmp_path / "run"
    assert call(*SINE, "--out", run)[0] == 0
    program = f"import fcntl, os, time; fcntl.flock(os.open({str(run)!r}, 0), fcntl.LOCK_EX); print(1); time.sleep(60)"
    other = subprocess.Popen([sys.executable, "-uc", program], stdout=subprocess.PIPE)
    try:
        other.stdout.readline()
        before = files(run)
        assert "another process works in it" in refused("run", "sine", "--resume", "--out", run)
        assert files(run) == before
    finally:
        other.kill()
        other.wait()
        other.stdout.close()
    assert call("run", "sine", "--resume", "--out", run)[0] == 0


def test_a_worker_that_outlives_its_run_does_not_keep_the_lock(tmp_path):
    (here, there), (end, until) = os.pipe(), os.pipe()
    with results.locked(tmp_path, print):
        worker = os.fork()
        if worker == 0:
            os.close(until)
            os.write(there, b"1")
            os.read(end, 1)  # until the parent closes the other one
            os._exit(0)
        os.read(here, 1)
    try:
        with results.locked(tmp_path, print):
            pass
    finally:
        os.close(until)
        os.waitpid(worker, 0)
        for descriptor in (here, there, end):
            os.close(descriptor)


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF])
def test_a_file_system_without_locks_is_told_of(tmp_path, monkeypatch, code):
    def flock(descriptor, operation):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    done, _, err = call(*SINE, "--out", tmp_path / "run")
    assert done == 0
    assert f"{tmp_path / 'run'} cannot be locked ({os.strerror(code)}); see that no other process works in it" in err[0]


@pytest.mark.usefixtures("small_data")
def test_after_an_interruption_rows_and_tables_have_their_names_where_they_were(tmp_path, monkeypatch):
    flags = ("run", "digits-convnet", "--epochs", 2, "--device", "cpu")
    code, table, _ = call(*flags, "--out", tmp_path / "whole")
    assert code == 0
    for at in (2, 3):  # within the epoch, and between its last step and its evaluation
        run = tmp_path / f"cut{at}"
        with monkeypatch.context() as patch:
            during_a_step(patch, at, lambda: os.kill(os.getpid(), signal.SIGINT))
            assert call(*flags, "--out", run)[0] == 130
        code, again, _ = call("run", "digits-convnet", "--resume", "--out", run)
        assert code == 0
        assert rows(run) == rows(tmp_path / "whole")
        assert [line.split()[:7] for line in again[:4]] == [line.split()[:7] for line in table[:4]]


def test_a_table_has_its_values_below_their_names(capsys):
    made = [{"epoch": 1, "loss": 0.25, "accuracy": 0.5}, {"accuracy": 0.75, "epoch": 2, "loss": 0.125, "late": 9.0}]
    result = {
        "recipe": "r",
        "dataset": "d",
        "seed": 0,
        "seconds": 1,
        "device": "cpu",
        "compiled": False,
        "run_dir": "x",
    }
    tables.print_summary(summary.Summary(result, {}, made))
    cells = [[cell.strip() for cell in line.split(line[0])[1:-1]] for line in capsys.readouterr().out.splitlines()[2:6]]
    assert cells[0] == ["epoch", "loss", "accuracy", "late"]
    assert [cells[2], cells[3]] == [["1", "0.2500", "0.5000", ""], ["2", "0.1250", "0.7500", "9.0000"]]


SIGNALS = [signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_to_end_is_taken_as_ctrl_c(tmp_path, monkeypatch, number):
    assert call(*HELLO, "--out", tmp_path / "whole")[0] == 0
    before = [signal.getsignal(one) for one in (*SIGNALS, signal.SIGINT)]
    with monkeypatch.context() as patch:
        during_a_step(patch, 2, lambda: os.kill(os.getpid(), number))
        code, _, err = call(*HELLO, "--out", tmp_path / "run")
    assert (code, "interrupted after step 2, and saved in" in err[-1]) == (130, True)
    assert [signal.getsignal(one) for one in (*SIGNALS, signal.SIGINT)] == before
    assert call("run", "hello", "--resume", "--out", tmp_path / "run")[0] == 0
    assert left_in(tmp_path / "run") == left_in(tmp_path / "whole")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_what_saves_nothing_too_and_where_ctrl_c_is_ignored(tmp_path, monkeypatch, number):
    minimize = train.minimize

    def ended(*arguments, **options):
        os.kill(os.getpid(), number)
        return minimize(*arguments, **options)

    monkeypatch.setattr(train, "minimize", ended)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as for a job that a script starts by &
    try:
        code, _, err = call("run", "curve-fit", "--epochs", 3, "--out", tmp_path / "run")
    finally:
        signal.signal(signal.SIGINT, before)
    assert (code, "--resume" in err[-1]) == (130, True)


def test_hanging_up_is_ignored_under_nohup(tmp_path, monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        during_a_step(monkeypatch, 2, lambda: os.kill(os.getpid(), signal.SIGHUP))
        assert call(*HELLO, "--out", tmp_path / "run")[0] == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_last_step_to_infinity_is_no_result(tmp_path):
    code, _, err = call("run", "sine", "--epochs", 1, "--lr", 1e39, "--hidden", 2, "--out", tmp_path / "run")
    assert (code, "not finite" in err[-1]) == (2, True), err
    assert not (tmp_path / "run" / "result.json").exists()


def test_a_terminal_that_is_gone_does_not_end_a_run(tmp_path, monkeypatch):
    class Gone:
        def write(self, text):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        flush = isatty = write

    report = train.Report(tmp_path, progress=True)
    monkeypatch.setattr(sys, "stderr", Gone())
    report.log("hello")
    report.row({"epoch": 1, "loss": 0.5})
    monkeypatch.setattr(sys, "stderr", None)
    report.log("hello")
    with report.bar("epoch", 1) as bar:
        bar.update(1)
    report.close()


def test_where_the_events_cannot_be_written_the_file_is_named(tmp_path, monkeypatch):
    report = train.Report(tmp_path)
    report.row({"epoch": 1, "loss": 0.5})
    (events,) = tmp_path.glob("events*")

    def write(descriptor, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(train.WriteError, match=rf"{events}: cannot be written \(No space left on device\); make room"):
        report.scalar("loss", 0.25, 2)


@pytest.mark.usefixtures("small_data")
@pytest.mark.parametrize("at", [0, 7, 60])
def test_a_full_disk_is_one_sentence_where_tensorboard_writes_by_itself(tmp_path, monkeypatch, capfd, at):
    write, calls = RecordWriter.write, []

    def full(writer, content):
        calls.append(1)
        if len(calls) > at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(writer, content)

    monkeypatch.setattr(RecordWriter, "write", full)
    hook = threading.excepthook
    line = refused("run", "visualize", "--epochs", 1, "--out", tmp_path / "run")
    assert str(tmp_path / "run") in line
    assert "No space left on device" in line
    assert "make room on that disk; then go on with: " in line
    assert threading.excepthook is hook
    assert "Traceback" not in "".join(capfd.readouterr())
    monkeypatch.setattr(RecordWriter, "write", write)
    assert call("run", "visualize", "--resume", "--out", tmp_path / "run")[0] == 0


def test_a_lock_is_of_one_folder(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with (
        results.locked(tmp_path / "a", print),
        results.locked(tmp_path / "b", print),
        pytest.raises(SettingsError, match="another process works in it"),
        results.locked(tmp_path / "a", print),
    ):
        pass
