import hashlib
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from funcdl import random, train, tree
from funcdl.train import checkpoint


class Pair(NamedTuple):
    first: torch.Tensor
    second: tuple


class Other(NamedTuple):
    first: torch.Tensor
    second: tuple


def example():
    base = torch.arange(12.0)
    return {
        "keys": random.split(random.key(2**63 + 5), 3),
        "half": [base.to(torch.bfloat16), base.to(torch.float16)],
        "flags": base > 3,
        "counter": torch.tensor(2**62 + 1),
        "scalar": torch.tensor(0.1, dtype=torch.float64),
        "bytes": torch.arange(5, dtype=torch.uint8),
        "empty": torch.zeros(0, 3),
        "transposed": base.reshape(3, 4).T,
        "strided": base[::5],
        "expanded": torch.tensor(7.0).expand(2, 2),
        "shared": (base, base[2:4], base),
        "special": torch.tensor([float("nan"), float("inf"), -0.0]),
        "named": Pair(torch.ones(1), (torch.zeros(2), [])),
        "nothing": {},
    }


def files(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def assert_equal(first, second):
    assert tree.structure(first) == tree.structure(second)
    for path, a, b in zip(tree.paths(first), tree.leaves(first), tree.leaves(second), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape), path
        as_bytes = [t.contiguous().reshape(-1).view(torch.uint8) for t in (a, b)]
        assert torch.equal(*as_bytes), path


def test_every_kind_of_leaf_and_container_comes_back(tmp_path):
    train.save(tmp_path, example(), {"epoch": 3, "note": None})
    like = tree.map(torch.zeros_like, example())
    loaded, info = train.load(tmp_path, like)
    assert_equal(loaded, example())
    assert info == {"epoch": 3, "note": None} == train.read_info(tmp_path)
    storages = [leaf.untyped_storage().data_ptr() for leaf in tree.leaves(loaded) if leaf.numel()]
    assert len(set(storages)) == len(storages)
    assert all(address % 64 == 0 for address in storages)  # as torch allocates: kernels may choose by it
    assert all(leaf.numel() == 0 or not leaf.any() for leaf in tree.leaves(like))


def test_a_single_leaf_and_a_tree_on_meta(tmp_path):
    train.save(tmp_path, torch.ones(2))
    assert torch.equal(train.load(tmp_path, torch.empty(2, device="meta"))[0], torch.ones(2))


def test_leaves_are_put_where_the_tree_asked_for_lies(tmp_path, device):
    train.save(tmp_path, {"w": torch.ones(2, device=device)})
    assert train.load(tmp_path, {"w": torch.zeros(2, device=device)})[0]["w"].device.type == device.type
    assert train.load(tmp_path, {"w": torch.zeros(2)})[0]["w"].device.type == "cpu"


def test_equal_trees_give_equal_bytes(tmp_path):
    first = example()
    second = {key: tree.map(torch.clone, first[key]) for key in sorted(first, reverse=True)}
    train.save(tmp_path / "a", first, {"x": 1, "y": 2})
    train.save(tmp_path / "b", second, {"y": 2, "x": 1})
    train.save(tmp_path / "b", second, {"y": 2, "x": 1})
    assert files(tmp_path / "a") == files(tmp_path / "b")
    train.save(tmp_path / "b", {**second, "empty": torch.zeros(0, 4)}, {"y": 2, "x": 1})
    assert files(tmp_path / "a") != files(tmp_path / "b")


def test_a_new_checkpoint_takes_the_place_of_the_old_and_of_nothing_else(tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(b"mine")
    (tmp_path / ".mine.tmp").write_bytes(b"mine")
    for value in range(3):
        train.save(tmp_path, {"w": torch.tensor(value)})
    names = set(files(tmp_path))
    assert len(names) == 4
    assert names > {"weights.safetensors", ".mine.tmp", "checkpoint.json"}


class PowerCut(BaseException):
    pass


@pytest.mark.parametrize("call", range(8))
def test_a_save_cut_off_at_any_call_leaves_the_old_checkpoint_or_the_new(tmp_path, monkeypatch, call):
    train.save(tmp_path, {"w": torch.zeros(3)}, {"which": 0})
    calls = iter(range(100))

    def cutting(f):
        def g(*args, **kwargs):
            if next(calls) == call:
                raise PowerCut
            return f(*args, **kwargs)

        return g

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", cutting(os.fsync))
        patch.setattr(Path, "replace", cutting(Path.replace))
        patch.setattr(Path, "unlink", cutting(Path.unlink))
        with pytest.raises(PowerCut) if call < 7 else monkeypatch.context():
            train.save(tmp_path, {"w": torch.ones(3)}, {"which": 1})
    loaded, info = train.load(tmp_path, {"w": torch.zeros(3)})
    assert info["which"] == (0 if call < 5 else 1)
    assert torch.equal(loaded["w"], torch.full((3,), float(info["which"])))
    train.save(tmp_path, {"w": torch.full((3,), 2.0)})
    assert len(files(tmp_path)) == 2


KILL = """
import itertools, os, random, signal, sys, time
import torch
from funcdl import train
torch.set_num_threads(1)
folder, draw, seen = sys.argv[1], random.Random(0), set()
train.save(folder, {"w": torch.zeros(100_000)}, {"which": 0})
for kill in range(30):
    read, write = os.pipe()
    start = train.read_info(folder)["which"]
    child = os.fork()
    if not child:
        for number in itertools.count(start + 1):
            train.save(folder, {"w": torch.full((100_000,), float(number))}, {"which": number})
            if number == start + 1:
                os.write(write, b".")
    if kill % 2:  # on a busy machine the others may die before their first save
        os.read(read, 1)
    time.sleep(draw.uniform(0.005, 0.05))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    loaded, info = train.load(folder, {"w": torch.zeros(100_000)})
    assert (loaded["w"] == info["which"]).all()
    seen.add(info["which"])
assert len(seen) > 3, seen
train.save(folder, {"w": torch.zeros(100_000)})
assert len(os.listdir(folder)) == 2, os.listdir(folder)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_random_moments_the_checkpoint_is_always_whole(tmp_path):
    subprocess.run([sys.executable, "-c", KILL, str(tmp_path)], check=True, timeout=600)


def replace_leaf(path, leaf):
    return lambda values: tree.at(values, path).set(leaf)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            replace_leaf("named.first", torch.ones(2)),
            r"at 'named.first' it has float32 \(1,\), expected float32 \(2,\)",
        ),
        (replace_leaf("counter", torch.tensor(1.0)), r"at 'counter' it has int64 \(\), expected float32 \(\)"),
        (replace_leaf("half", torch.ones(2)), r"at 'half' it has a list of 0, 1, expected float32 \(2,\)"),
        (
            replace_leaf("nothing", {"new": torch.ones(2)}),
            "at 'nothing' it has a dict of nothing, expected a dict of new",
        ),
        (
            replace_leaf("half", (torch.ones(1), torch.ones(1))),
            "at 'half' it has a list of 0, 1, expected a tuple of 0, 1",
        ),
        (lambda values: {**values, "named": Other(*values["named"])}, "at 'named' it has a Pair .* expected a Other"),
        (lambda values: list(values.values()), "at the top it has a dict of .*, expected a list of"),
    ],
)
def test_another_tree_is_refused_and_the_difference_named(tmp_path, change, message):
    train.save(tmp_path, example())
    with pytest.raises(train.CheckpointError, match=message):
        train.load(tmp_path, change(example()))


def damage(name):
    def write(content):
        def apply(folder):
            (path,) = folder.glob(name)
            path.write_bytes(content(path.read_bytes()))

        return apply

    return write


def remove(name):
    return lambda folder: next(folder.glob(name)).unlink()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (remove("*.json"), "holds no checkpoint"),
        (remove("*.safetensors"), "cannot be read"),
        (damage("*.safetensors")(lambda b: b[:-1]), "is damaged"),
        (damage("*.safetensors")(lambda b: b[:-1] + b"\xff"), "is damaged"),
        (damage("*.safetensors")(lambda b: b""), "is damaged"),
        (damage("*.json")(lambda b: b[:50]), "is not JSON"),
        (damage("*.json")(lambda b: b"\x80\xff"), "is not JSON"),
        (damage("*.json")(lambda b: b"[]"), "does not describe a checkpoint"),
        (damage("*.json")(lambda b: b'{"format": "funcdl checkpoint 1"}'), "does not describe a checkpoint"),
        (damage("*.json")(lambda b: b.replace(b"checkpoint 1", b"checkpoint 9")), "does not describe a checkpoint"),
    ],
)
def test_damaged_and_foreign_files_are_named_in_one_line(tmp_path, harm, message):
    train.save(tmp_path, {"w": torch.ones(100)})
    harm(tmp_path)
    before = files(tmp_path)
    with pytest.raises(train.CheckpointError, match=message) as caught:
        train.load(tmp_path, {"w": torch.ones(100)})
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert files(tmp_path) == before


def test_a_folder_that_is_none(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(train.CheckpointError, match="holds no checkpoint"):
        train.load(tmp_path / "nowhere", {})
    with pytest.raises(train.CheckpointError, match="cannot be read"):
        train.load(tmp_path / "file", {})


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_it_never_unpickles(tmp_path):
    payload = pickle.dumps(Bomb(tmp_path / "exploded"))
    train.save(tmp_path, {"w": torch.ones(1)})
    (tmp_path / "bomb.safetensors").write_bytes(payload)
    description = json.loads((tmp_path / "checkpoint.json").read_text())
    description |= {"file": "bomb.safetensors", "sha256": hashlib.sha256(payload).hexdigest()}
    (tmp_path / "checkpoint.json").write_text(json.dumps(description))
    with pytest.raises(train.CheckpointError, match="is not a safetensors file"):
        train.load(tmp_path, {"w": torch.ones(1)})
    (tmp_path / "checkpoint.json").write_bytes(payload)
    with pytest.raises(train.CheckpointError, match="is not JSON"):
        train.load(tmp_path, {"w": torch.ones(1)})
    assert not (tmp_path / "exploded").exists()
    pickle.loads(payload)
    assert (tmp_path / "exploded").exists()  # so the bomb was live


def test_what_cannot_be_told_apart_or_written_is_refused_before_anything_is_touched(tmp_path):
    train.save(tmp_path, {"w": torch.ones(1)})
    before = files(tmp_path)
    with pytest.raises(ValueError, match=r"the path 'a\.b' is taken"):
        train.save(tmp_path, {"a.b": torch.ones(1), "a": {"b": torch.zeros(1)}})
    with pytest.raises(ValueError, match="'__metadata__' is taken"):
        train.save(tmp_path, {"__metadata__": torch.ones(1)})
    with pytest.raises(TypeError, match="JSON"):
        train.save(tmp_path, {"w": torch.zeros(1)}, {"key": torch.ones(1)})
    assert files(tmp_path) == before


def test_writing_atomically_leaves_only_the_file(tmp_path):
    for content in (b"old", b"new"):
        checkpoint.write_atomically(tmp_path / "name", content)
        assert files(tmp_path) == {"name": content}
