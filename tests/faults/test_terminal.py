"""The command line, the terminal: of any encoding, closed, full or gone, and safe from what data would tell it."""

import io
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from funcdl import data, train
from recipes import cli, pictures, registry, terminal
from recipes.lesson import Lesson
from recipes.settings import Outcome
from tests.recipes.small import call

EVIL = "\x1b[31mred\x1b[0m\x07\x08\x9b2J\u202egnp\udcff"
SHOWN = r"\x1b[31mred\x1b[0m\x07\x08\x9b2J\u202egnp\udcff"
NOTHING = registry.find("numpy-bridge").load().Settings
COMMAND = f"{shlex.quote(sys.executable)} -m recipes"


def shell(line, folder, **environment):
    """What a shell gets from a line, in which FUNCDL is the command: its exit code, stdout and stderr."""
    here = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": here, "OMP_NUM_THREADS": "1", **environment}
    line = f"set -o pipefail; {line.replace('FUNCDL', COMMAND)}"
    ran = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, errors="replace", timeout=600, cwd=folder, env=environment
    )
    return ran.returncode, ran.stdout, ran.stderr


def plain(text):
    return all(one.isprintable() or one == "\n" for one in text)


@pytest.mark.parametrize(
    ("line", "code", "out", "err"),
    [
        ("FUNCDL list | head -n 1", 0, 1, 0),
        ("FUNCDL list | true", 0, 0, 0),
        ("FUNCDL list --json | head -c 10", 0, 1, 0),
        ("FUNCDL run tensors --help | head -n 1", 0, 1, 0),
        ("FUNCDL zzz 2>&1 | true", 2, 0, 0),
        ("FUNCDL list >&-", 0, 0, 0),
        ("FUNCDL list 2>&- >/dev/null", 0, 0, 0),
        ("FUNCDL list <&- >&- 2>&-", 0, 0, 0),
        ("FUNCDL run zzz 2>&-", 2, 0, 0),
        ("FUNCDL run zzz >&- 2>&-", 2, 0, 0),
        ("PYTHONUNBUFFERED=1 FUNCDL list | head -n 1", 0, 1, 0),
        ("PYTHONIOENCODING=ascii FUNCDL run zzzé", 2, 0, 1),
        ("PYTHONIOENCODING=ascii FUNCDL run tensors --help >/dev/null", 0, 0, 0),
    ],
)
def test_nobody_listens(line, code, out, err, tmp_path):
    found, stdout, stderr = shell(line, tmp_path)
    assert (found, len(stdout.splitlines()), len(stderr.splitlines())) == (code, out, err), stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_what_is_printed_cannot_be_kept(tmp_path):
    code, _, err = shell("FUNCDL list >/dev/full", tmp_path)
    assert (code, len(err.splitlines())) == (2, 1)
    assert err == "funcdl: stdout: cannot be written (No space left on device)\n"


def test_a_run_goes_on_without_a_terminal(tmp_path):
    code, _, err = shell("FUNCDL run quadratic --epochs 2 --out run <&- >&- 2>&-", tmp_path)
    assert (code, err) == (0, "")
    code, out, _ = shell("FUNCDL run quadratic --epochs 2 --out other 2>&1 | head -n 1", tmp_path)
    assert (code, len(out.splitlines())) == (0, 1)
    for folder in ("run", "other"):  # and no file of the run has got what was to be printed
        rows = [json.loads(line) for line in (tmp_path / folder / "metrics.jsonl").read_text().splitlines()]
        assert [row["epoch"] for row in rows] == [1, 2]


class Quiet:
    """A recipe whose lesson has what it is given."""

    def __init__(self, lesson, rows=()):
        self.lesson, self.rows = lesson, rows
        self.Settings = NOTHING

    def run(self, settings, report):
        for row in self.rows:
            report.row(row)
        return Outcome({}, lesson=self.lesson)


def printed(monkeypatch, tmp_path, lesson, encoding, rows=(), columns=80):
    """What a run with this lesson prints, on a terminal of that encoding."""
    monkeypatch.setattr(registry.Recipe, "load", lambda self: Quiet(lesson, rows))
    monkeypatch.setenv("COLUMNS", str(columns))
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    code = cli.main(["run", "numpy-bridge", "--out", str(tmp_path / "run")])
    stream.flush()
    assert (code, stream.errors) == (0, "strict")
    return stream.buffer.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437", "utf-8"])
def test_any_encoding_takes_the_tables(encoding, monkeypatch, tmp_path):
    lesson = Lesson()
    lesson.show("square", "x²…", ["°C", "é", "Σ", "日本"], "─│╭", digits=3)
    lesson.show("long", "w" * 60, "1234567890" * 30)
    lesson.remark("“quoted” 😀")
    text = printed(monkeypatch, tmp_path, lesson, encoding, [{"epoch": 1, "a_long_name" * 3: 0.5}] * 2, columns=40)
    assert text.splitlines()[-1].startswith("what the run leaves behind is in")
    found = "".join(text.split()).replace("|", "").replace("│", "")
    assert found.count("0123456789") + found.count("1234567890") > 5  # all of it, in lines, not cut off by "…"
    if encoding == "ascii":
        assert "x^2..." in text
        assert r"\u03a3" in "".join(text.split())


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_the_table_obeys_no_cell(encoding, monkeypatch, tmp_path):
    lesson = Lesson()
    lesson.show("names", f"classes of {EVIL}", [EVIL, "two\nlines"], EVIL)
    lesson.remark(EVIL)
    rows = [{"epoch": 1, EVIL[:-1]: 0.5, "[bold]loss[/bold]": 1.0}]
    text = printed(monkeypatch, tmp_path, lesson, encoding, rows, columns=400)
    assert plain(text)
    assert text.count(SHOWN) == 4
    assert text.count(SHOWN.removesuffix(r"\udcff")) == 5
    assert "[bold]loss[/bold]" in text


def test_a_stream_that_is_closed_within_python(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert cli.main(["list"]) == 0
    assert cli.main(["run", "zzz"]) == 2
    assert (sys.stdout, sys.stderr) == (None, None)


def said(*words):
    """The one line of a command that is refused."""
    code, out, err = call(*words)
    assert (code, out, len(err)) == (2, [], 1), err
    assert plain(err[0])
    return err[0]


@pytest.mark.parametrize(
    "words",
    [
        [EVIL],
        ["list", EVIL],
        ["run", EVIL],
        ["run", "tensors", EVIL],
        ["run", "tensors", f"--{EVIL}"],
        ["run", "tensors", "--seed", EVIL],
        ["run", "tensors", "--device", EVIL],
        ["run", "optimizers", "--only", EVIL],
        ["run", "tensors", "--resume", "--out", EVIL],
        ["predict", EVIL, "x"],
    ],
)
def test_no_message_obeys_what_it_cites(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert r"\x1b[31mred" in said(*words)


@pytest.mark.parametrize(
    "words",
    [
        ["{}"],
        ["list", "{}"],
        ["run", "{}"],
        ["run", "tensors", "{}"],
        ["run", "tensors", "--{}"],
        ["run", "tensors", "--seed", "{}"],
        ["run", "tensors", "--device", "{}"],
        ["run", "tensors", "--out", "{}"],
        ["run", "tensors", "--out", "~{}"],
        ["predict", "{}", "x"],
    ],
)
def test_a_message_cites_no_100_000_letters(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = call(*(word.format("a" * 100_000) for word in words))
    assert code == 2
    assert len(err) == 1
    assert len(err[0]) <= 10_100
    assert err[0].startswith("funcdl: ")


def test_a_message_about_a_cell_does_not_obey_it(tmp_path):
    (tmp_path / "otto").mkdir()
    header = ",".join(["id", *(f"feat_{n}" for n in range(1, 94)), "target"])
    rows = [",".join([str(i), *["0"] * 93, name]) for i, name in enumerate(("Class_1", EVIL[:-1]))]
    (tmp_path / "otto" / "train.csv").write_text("\n".join([header, *rows]))
    line = said("run", "otto", "--dataset", "otto", "--data-dir", tmp_path, "--out", tmp_path / "run")
    assert SHOWN.removesuffix(r"\udcff") in line
    assert "train.csv, line 3" in line


@pytest.fixture
def skipping(monkeypatch):
    """Photographs of which one cannot be read, whose file and class have names that would command a terminal."""
    from recipes.vision import finetune

    def photographs(*args, **kwargs):
        return data.Photographs(None, (EVIL, "bees"), (f"{EVIL}.jpg: cannot be read",))

    monkeypatch.setattr(finetune, "read_backbone", lambda *args: None)
    monkeypatch.setattr(data, "photographs", photographs)


@pytest.mark.usefixtures("skipping")
def test_a_warning_about_data_is_shown_escaped(tmp_path):
    from recipes.vision import finetune

    warned = []
    report = train.Report()
    report.log = warned.append
    key = torch.tensor([0, 0])
    with pytest.raises(AttributeError, match="'NoneType'"):  # there are no images to go on with
        finetune.begin(finetune.Settings(dataset="hymenoptera", weights="x"), report, key, key)
    assert warned == [f"warning: skipped: {SHOWN}.jpg: cannot be read"]


def test_predictions_obey_no_name(tmp_path, monkeypatch):
    recipe = Quiet(None)
    one = {"input": EVIL, "prediction": EVIL, "probabilities": {EVIL: 0.75, "b": 0.25}, "notes": [f"read as {EVIL}"]}
    recipe.predict = lambda settings, run_dir, inputs: [one]
    monkeypatch.setattr(registry.Recipe, "load", lambda self: recipe)
    (tmp_path / "config.json").write_text(json.dumps({"recipe": "numpy-bridge", "settings": {}}))
    code, out, err = call("predict", tmp_path, "x")
    assert (code, err) == (0, [])
    assert out[0] == f"{SHOWN}: {SHOWN} (read as {SHOWN})"
    assert out[1].split() == [SHOWN, "75.00%", "#" * 30]
    assert out[2].split() == ["b", "25.00%", "#" * 10]
    code, out, _ = call("predict", tmp_path, "x", "--json")
    assert (code, json.loads(out[0])) == (0, [one])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", [EVIL, "$x^{$", "a$b$", "two\nlines", "long" * 20_000])
def test_pictures_show_names_as_they_are(name):
    figure = pictures.confusion(torch.eye(2), [name, "b"], "names")
    figure.savefig(io.BytesIO(), format="png")
    (axes, _) = figure.axes
    for shown, _ in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert shown.get_text().replace(r"\$", "$")[:20] == terminal.escaped(name)[:20]
        assert shown.get_text().isprintable()
        assert len(shown.get_text()) < 30


@pytest.mark.parametrize("text", ["plain", "café 日本\u3000x\xa0y", "😀", ""])
def test_what_a_terminal_shows_stays(text):
    assert terminal.escaped(text) == text


def test_every_character_a_terminal_obeys_is_escaped():
    for number in (
        *range(0x20),
        *range(0x7F, 0xA0),
        0xAD,
        *range(0x200B, 0x2010),
        *range(0x2028, 0x202F),
        0x2066,
        0xFEFF,
    ):
        assert terminal.escaped(f"a{chr(number)}b").isprintable(), hex(number)


def test_a_leading_tilde_is_the_home_folder(tmp_path, monkeypatch):
    home, work = tmp_path / "home", tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("HOME", str(home))
    code, out, err = call("run", "numpy-bridge", "--out=~/x", "--json")
    assert code == 0, err
    assert json.loads(out[0])["run_dir"] == str(home / "x")
    assert call("run", "numpy-bridge", "--resume", "--out", "~/x")[0] == 0
    assert "has nothing to predict" in said("predict", "~/x", "1")
    assert str(home / "d" / "otto") in said("run", "otto", "--dataset=otto", "--data-dir=~/d", "--out=~/y")
    weights = said("run", "finetune", "--dataset=hymenoptera", "--weights=~/w.pth", "--out=~/y")
    assert str(home / "w.pth") in weights
    assert list(work.iterdir()) == []


@pytest.mark.parametrize("value", ["", " ", "a\0b", "~nobody-has-this-name/x"])
@pytest.mark.parametrize(
    "words",
    [["run", "numpy-bridge", "--out"], ["run", "numpy-bridge", "--resume", "--out"], ["run", "otto", "--data-dir"]],
    ids=" ".join,
)
def test_what_names_no_folder_is_refused(words, value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert words[-1] in said(*words, value)
    assert words[-1] in said(*words[:-1], f"{words[-1]}={value}")
    assert "predict RUN_DIR" in said("predict", value, "x")
    assert list(tmp_path.iterdir()) == []
