"""Folders of runs that a stranger made, or a disk has damaged: one sentence in answer, and nothing touched outside."""

import contextlib
import copy
import hashlib
import io
import json
import math
import os
import random
import shutil
import signal
import socket

import pytest
import safetensors.torch
import torch
from matplotlib.figure import Figure
from PIL import Image

from funcdl import data, models, train, tree
from funcdl.train import files
from recipes import companion, results
from recipes.classification import titanic
from recipes.regression import thermometer
from recipes.sequence import names, sine
from recipes.settings import Settings
from recipes.vision import _pretrained, digits_cnn_deep, finetune
from tests.recipes.small import call, sample

COMMANDS = {
    "names": ("--epochs", 2, "--batch-size", 16, "--validation", 0.3),
    "digits-convnet": ("--epochs", 1, "--batch-size", 16),
    "digits-cnn-deep": ("--epochs", 1, "--batch-size", 16),
    "blobs": ("--epochs", 3),
}
DEEP = "[" * 5000 + "]" * 5000


@pytest.fixture(scope="module", autouse=True)
def small():
    """Tiny data, networks and pictures."""
    split, texts = sample(32, 8), data.synthetic_names()
    few = [part._replace(texts=part.texts[::30], labels=part.labels[::30]) for part in texts[:2]]
    texts = texts._replace(train=few[0], test=few[1])
    png = io.BytesIO()
    Image.new("L", (2, 2)).save(png, "PNG")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "digits", lambda: split)
        patch.setattr(data, "synthetic_names", lambda: texts)
        patch.setattr(names, "network", lambda classes: models.name_classifier(classes, hidden_size=2))
        patch.setattr(digits_cnn_deep, "SIZES", {"S": ((1, 1, 2), (4, 4)), "M": ((1, 2, 2), (4, 4))})
        patch.setattr(Figure, "savefig", lambda figure, file, **options: file.write(png.getvalue()))
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished run of each command, without what nothing reads."""
    folder = tmp_path_factory.mktemp("made")
    for name, flags in COMMANDS.items():
        code, _, err = call("run", name, *flags, "--device", "cpu", "--out", folder / name)
        assert code == 0, err
        for path in [*(folder / name).rglob("*.png"), *(folder / name).rglob("events*")]:
            path.unlink()
    Image.effect_noise((60, 60), 90).save(folder / "noise.png")
    return folder


@pytest.fixture
def run(made, tmp_path):
    return lambda name: shutil.copytree(made / name, tmp_path / name, symlinks=True)


@pytest.fixture(autouse=True)
def in_time():
    """What hangs, on a pipe for instance, fails."""

    def late(number, frame):
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def answers(made, name, folder):
    """Resumes and asks for predictions; returns the exit codes and the sentences."""
    asked = [("run", name, "--resume", "--out", folder, "--json")]
    if name in ("names", "digits-convnet"):
        asked.append(("predict", folder, "abel" if name == "names" else made / "noise.png"))
    given = []
    for arguments in reversed(asked):  # the resumed run may mend what is damaged
        code, _, err = call(*arguments)
        sentences = [line for line in err if line.startswith("funcdl: ")]
        assert code in (0, 2), (arguments, err)
        assert len(sentences) == (code == 2), (arguments, err)
        assert all(sentence.isprintable() and len(sentence) < 2000 for sentence in sentences), sentences
        given.append((code, sentences[0] if sentences else ""))
    return given


ODD = [
    None, True, False, -1, 0, 1, 2, 3, 0.5, math.nan, math.inf, -math.inf, 2**40, 2**63, 10**20, 10**400, [], [[]], {},
    [1] * 50, {"a": 1}, "", "x", "../x", "/dev/zero", "\x1b[2J", "\ud800", "x" * 3000, "cuda", "on", "bf16",
]  # fmt: skip


def spoil_value(value, draw):
    """Changes, removes or adds something anywhere in what JSON has said."""
    value = copy.deepcopy(value)
    parent, key, part = None, None, value
    while isinstance(part, (dict, list)) and part and draw.random() < 0.8:
        key = draw.choice(sorted(part) if isinstance(part, dict) else range(len(part)))
        parent, part = part, part[key]
    if parent is None:
        return draw.choice(ODD)
    what = draw.choice(["change", "change", "change", "remove", "add"])
    if what == "remove":
        del parent[key]
    elif what == "add" and isinstance(parent, dict):
        parent[draw.choice(["epoch", "zzz", "\x1b[31m"])] = draw.choice(ODD)
    elif key != "epochs":  # which may well be large, and the run long
        parent[key] = draw.choice(ODD)
    else:
        parent[key] = draw.choice([None, "2", 0, 1.5, True, [], 10**30])
    return value


def spoil_bytes(content, draw):
    what = draw.choice(["cut", "flip", "insert", "nothing", "deep", "zeros", "utf16", "twice"])
    at = draw.randrange(len(content) + 1)
    if what == "flip":
        at = min(at, len(content) - 1)
        return content[:at] + bytes([content[at] ^ draw.randrange(1, 256)]) + content[at + 1 :]
    return {
        "cut": content[:at],
        "insert": content[:at] + draw.randbytes(5) + content[at:],
        "nothing": b"",
        "deep": DEEP.encode(),
        "zeros": content[:at] + bytes(len(content) - at),
        "utf16": content.decode().encode("utf-16"),
        "twice": content + content,
    }[what]


def spoil(path, draw):
    content = path.read_bytes()
    if draw.random() < 0.3:
        path.write_bytes(spoil_bytes(content, draw))
    elif path.suffix == ".jsonl":
        lines = [json.loads(line) for line in content.splitlines()]
        number = draw.randrange(len(lines))
        lines[number] = spoil_value(lines[number], draw)
        path.write_text("".join(json.dumps(line) + "\n" for line in draw.choice([lines, lines[::-1], lines[1:]])))
    else:
        path.write_text(json.dumps(spoil_value(json.loads(content), draw)))


NAMES = ("config.json", "metrics.jsonl", "checkpoint.json", "vocabulary.json")


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_spoilt_the_answer_is_one_sentence(made, run, seed):
    draw = random.Random(seed)
    for name in COMMANDS:
        for _ in range(3):
            folder = run(name)
            paths = sorted(path for path in folder.rglob("*.json*") if path.name in NAMES)
            kind = draw.choice(sorted({path.name for path in paths}))
            spoil(draw.choice([path for path in paths if path.name == kind]), draw)
            answers(made, name, folder)
            shutil.rmtree(folder)


def refused(made, name, folder, *parts):
    for code, sentence in answers(made, name, folder):
        assert code == 2
        assert all(part in sentence for part in parts), sentence


def edit(path, change):
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("lr", "fast"),
        ("lr", [1]),
        ("lr", True),
        ("lr", 10**400),
        ("seed", "0"),
        ("seed", 1.5),
        ("seed", True),
        ("batch_size", 0),
        ("batch_size", None),
        ("dataset", "cifar"),
        ("dataset", None),
        ("device", 3),
        ("validation", 2),
        ("validation", math.nan),
        ("epochs", "2"),
        ("epochs", 10**30),
        ("compile", "\x1b[2J"),
    ],
)
def test_a_setting_that_none_could_have_is_named_with_its_file(made, run, setting, value):
    folder = run("names")
    edit(folder / "config.json", lambda config: {**config, "settings": {**config["settings"], setting: value}})
    refused(made, "names", folder, str(folder / "config.json"), setting.replace("_", "-")[:5])


ROW = '{"epoch": 1, "loss": 0.5, "accuracy": 0.5, "test_loss": 0.5, "test_accuracy": 0.5, "seconds": 1}\n'


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("", "has 0 rows up to epoch 1, but the checkpoint was saved after 1"),
        ("[1]\n", "line 1 is not a row"),
        ("3\n", "line 1 is not a row"),
        ('{"loss": 1}\n', "has no 'epoch'"),
        ('{"epoch": "1"}\n', "at 'epoch' it has '1', expected a whole number"),
        ('{"epoch": 1, "loss": "low"}\n', "at 'loss' it has 'low', expected a number"),
        ('{"epoch": 1, "loss": null}\n', "at 'loss' it has None"),
        ('{"epoch": 1, "loss": 1' + "0" * 400 + "}\n", "at 'loss' it has 1000"),
        (f'{{"epoch": 1, "loss": {DEEP}}}\n', "line 1 is not a row"),
        ('{"epoch": 1, "lo\n' + ROW, "line 1 is not a row"),
        (ROW + ROW, "line 2 is not a row of numbers (epoch 1 follows epoch 1)"),
    ],
)
def test_rows_that_are_none_are_named_with_their_line(run, content, part):
    folder = run("digits-convnet")
    (folder / "metrics.jsonl").write_text(content)
    code, _, err = call("run", "digits-convnet", "--resume", "--out", folder)
    assert code == 2
    assert err[-1].startswith(f"funcdl: {folder / 'metrics.jsonl'}: ")
    assert part in err[-1]


def test_a_row_that_lacks_what_is_looked_for_is_named(run):
    folder = run("names")
    path = folder / "metrics.jsonl"
    for count, part in ((1, "has no 'val_accuracy' in the row of epoch 1"), (2, "its last row has ")):
        path.write_text(path.read_text().replace("val_accuracy", "other", count))
        code, _, err = call("run", "names", "--resume", "--out", folder)
        assert (code, f"{path}: {part}" in err[-1]) == (2, True), err


@pytest.mark.parametrize("half", ['{"epoch": 2, "lo', "{", '{"epoch": 2, "loss": 1', "\0\0\0\0"])
def test_a_last_line_that_a_kill_left_unfinished_is_dropped_with_a_word(run, half):
    folder = run("digits-convnet")
    before = (folder / "metrics.jsonl").read_text()
    (folder / "metrics.jsonl").write_text(before + half)
    code, _, err = call("run", "digits-convnet", "--resume", "--out", folder)
    assert code == 0, err
    assert f"{folder / 'metrics.jsonl'}: the last line is incomplete and is removed" in err
    assert (folder / "metrics.jsonl").read_text() == before


@pytest.mark.parametrize(
    "name",
    [
        "/dev/zero",
        "../x",
        "../checkpoint/x.safetensors",
        "/x.safetensors",
        "",
        ".",
        "..",
        "a\0.safetensors",
        "x.json",
        3,
        None,
        ["x.safetensors"],
    ],
)
def test_a_checkpoint_names_only_a_file_of_tensors_beside_it(made, run, name):
    folder = run("digits-convnet")
    edit(folder / "checkpoint" / "checkpoint.json", lambda description: {**description, "file": name})
    refused(made, "digits-convnet", folder, str(folder / "checkpoint" / "checkpoint.json"), "at 'file' it has ")


def rewrite(folder, change):
    """Changes a checkpoint's tensors, with a name and a checksum that fit."""
    description = json.loads((folder / "checkpoint.json").read_text())
    tensors = safetensors.torch.load((folder / description["file"]).read_bytes())
    payload = safetensors.torch.save(change(tensors))
    digest = hashlib.sha256(payload).hexdigest()
    (folder / description["file"]).unlink()
    (folder / f"{digest[:16]}.safetensors").write_bytes(payload)
    edit(folder / "checkpoint.json", lambda old: {**old, "file": f"{digest[:16]}.safetensors", "sha256": digest})


def first(change):
    """Changes the first parameter of a network."""

    def apply(tensors):
        name = min(name for name in tensors if name.startswith("params."))
        return {**tensors, name: change(tensors[name].clone())}

    return apply


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda tensors: {}, "has nothing at 'params."),
        (lambda tensors: {name: leaf for name, leaf in tensors.items() if "params" not in name}, "has nothing at"),
        (first(lambda leaf: torch.cat([leaf, leaf])), "beside it says"),
        (first(torch.Tensor.double), "has float64"),
        (first(lambda leaf: leaf.view(torch.int32)), "has int32"),
        (first(lambda leaf: leaf * math.nan), "is not finite"),
        (first(lambda leaf: leaf + math.inf), "is not finite"),
        (lambda tensors: {**tensors, "huge": torch.zeros(10**8 + 10**6, dtype=torch.uint8)}, "expected at most"),
    ],
)
def test_tensors_that_are_not_as_described(made, run, change, part):
    folder = run("digits-convnet")
    rewrite(folder / "checkpoint", change)
    refused(made, "digits-convnet", folder, str(folder / "checkpoint"), part)


def test_a_state_from_beyond_the_end(made, run):
    for step in (2**62, 3, -1):
        folder = run("digits-convnet")
        rewrite(folder / "checkpoint", lambda tensors, step=step: {**tensors, "step": torch.tensor(step)})
        (_, sentence) = answers(made, "digits-convnet", folder)[-1]
        assert "this run ends at step 2" in sentence or "do not match step" in sentence
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"threads": 10**9}, "threads"),
        ({"threads": 0}, "threads"),
        ({"threads": "2"}, "threads"),
        ({"device": "tpu"}, "device"),
        ({"device": None}, "device"),
        ({"compiled": "no"}, "compiled"),
    ],
)
def test_how_it_was_computed_is_looked_at(run, changes, part):
    for name in ("digits-convnet", "digits-cnn-deep", "blobs"):
        folder = run(name)
        path = folder / "checkpoint" / "checkpoint.json"
        edit(path, lambda old: {**old, "info": {**old["info"], "run": {**old["info"]["run"], **changes}}})
        code, _, err = call("run", name, "--resume", "--out", folder)
        assert (code, f"at '{part}' it has" in err[-1]) == (2, True), err


def test_words_that_are_not_the_run_s(made, run):
    for content in (b"[]", b"{}", b"{", b'{"classes": [1], "letters": ""}', b"\xff", DEEP.encode()):
        folder = run("names")
        before = (folder / "vocabulary.json").read_bytes()
        (folder / "vocabulary.json").write_bytes(content)
        code, _, err = call("predict", folder, "abel")
        assert (code, len(err)) == (2, 1)
        assert f"{folder / 'vocabulary.json'}: is " in err[0]
        assert "resume the run, which writes it again" in err[0]
        assert call("run", "names", "--resume", "--out", folder)[0] == 0
        assert (folder / "vocabulary.json").read_bytes() == before
        assert call("predict", folder, "abel")[0] == 0
        shutil.rmtree(folder)


def test_words_that_fit_their_checksum_and_are_none(run):
    folder = run("names")
    content = b'{"classes": 3, "letters": []}'
    (folder / "vocabulary.json").write_bytes(content)
    train.save(folder / "checkpoint", {}, {"run": {"vocabulary": hashlib.sha256(content).hexdigest()}})
    with pytest.raises(train.CheckpointError, match="at 'classes' it has 3, expected a list"):
        companion.read(folder, "vocabulary", {"classes": [str], "letters": str})


@pytest.mark.parametrize("kind", ["pipe", "folder", "link", "device", "socket", "sparse"])
def test_what_is_no_file_of_a_run_is_not_read(made, run, tmp_path, kind):
    for name in ("names", "blobs"):
        read = [path.relative_to(made / name) for path in (made / name).rglob("*") if path.is_file()]
        for path in read:
            folder = run(name)
            shutil.copy(folder / path, tmp_path / "elsewhere")
            (folder / path).unlink()
            harm(folder / path, kind, tmp_path / "elsewhere")
            given = answers(made, name, folder)
            if path.name == "config.json" or ("checkpoint" in path.parts and "safetensors" not in path.name):
                assert all(code == 2 for code, _ in given), (path, given)
            shutil.rmtree(folder)


def harm(path, kind, elsewhere):
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "sparse":
        path.touch()
        os.truncate(path, 2**40)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made, contextlib.chdir(path.parent):  # its name must be short
            made.bind(path.name)
    else:
        path.symlink_to(elsewhere if kind == "link" else "/dev/zero")


LEAVES = ("names", "digits-cnn-deep", "curve-fit", "visualize")


@pytest.mark.parametrize("name", LEAVES)
def test_nothing_is_written_through_a_link(tmp_path, name):
    flags = ("run", name, *COMMANDS.get(name, ("--epochs", 1)), "--device", "cpu")
    assert call(*flags, "--out", tmp_path / "whole")[0] == 0
    left = [path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*")]
    written = [path for path in left if (tmp_path / "whole" / path).is_file()]
    parts = [path for path in left if (tmp_path / "whole" / path).is_dir()]
    outside, precious = tmp_path / "outside", tmp_path / "precious"
    for resumed in (False, True):
        for trap in ["files", "temporaries", *parts]:
            precious.write_text("mine")
            outside.mkdir()
            folder = shutil.copytree(tmp_path / "whole", tmp_path / "run")
            for path in written if trap == "files" else [p.with_name(f".{p.name}.tmp") for p in written]:
                if trap in ("files", "temporaries") and (path.name != "config.json" or not resumed):
                    (folder / path).unlink(missing_ok=True)
                    (folder / path).symlink_to(precious)
            if trap in parts:
                shutil.rmtree(folder / trap)
                (folder / trap).symlink_to(outside)
            if not resumed:
                (folder / "config.json").unlink(missing_ok=True)
            code, _, err = call(*((*flags[:2], "--resume") if resumed else flags), "--out", folder)
            assert code in (0, 2), err
            assert precious.read_text() == "mine", (trap, resumed)
            assert list(outside.iterdir()) == [], (trap, resumed)
            shutil.rmtree(folder)
            outside.rmdir()


@pytest.mark.parametrize("name", [None, "x\x1b[2J", "digits-convne", "x" * 10**6])
def test_the_name_of_a_recipe_is_looked_for_in_reason(run, name):
    folder = run("blobs")
    edit(folder / "config.json", lambda config: {**config, "recipe": name})
    code, _, err = call("predict", folder, "x")
    assert (code, len(err)) == (2, 1)
    assert err[0].isprintable()
    assert len(err[0]) < 500


def test_what_json_may_be():
    assert files.find_mismatch({"a": [1, {"b": None}]}, {"a": list}) is None
    assert files.find_mismatch([1, "x"], [int]) == "at '1' it has 'x', expected a whole number"
    assert files.find_mismatch({"a": {"b": 1.5}}, {"a": {str: int}}) == "at 'a.b' it has 1.5, expected a whole number"
    assert files.find_mismatch(1, float) is None
    for value, kind in ((True, int), (True, float), (10**400, float), (2**64, int), (1, bool), (1, str), (None, dict)):
        assert files.find_mismatch(value, kind)
    with pytest.raises(ValueError, match="nested too deeply"):
        files.parse(("[" * 300 + "]" * 300).encode())


@pytest.mark.parametrize("module", [sine, names, titanic, thermometer, finetune, digits_cnn_deep])
def test_the_settings_of_a_recipe_come_back(tmp_path, module):
    settings = module.Settings(epochs=3, seed=2**63)
    results.write_config(tmp_path, "x", settings)
    config = results.read_config(tmp_path)
    assert isinstance(settings, Settings)
    assert results.read_settings(module.Settings, config, tmp_path) == settings


def test_a_tree_of_a_pretrained_network_is_no_deeper_than_json_may_be():
    params = _pretrained.network(5).init(torch.tensor([0, 0], dtype=torch.uint64), torch.empty(1, 1, 28, 28))[0]
    assert max(path.count(".") for path in tree.paths(params)) * 2 < files.MAX_DEPTH / 4
