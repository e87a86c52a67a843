"""The table of layers: what it counts, and what it prints."""

import pytest
import torch

from funcdl import interop, models, nn, random, tree
from funcdl.nn.children import observer


def rows_of(layer, x):
    return {row.path: row for row in nn.summary(layer, x)}


def block():
    body = nn.serial(
        conv1=nn.conv2d(8, 3, padding=1, bias=False), relu=nn.relu(), conv2=nn.conv2d(8, 3, padding=1, groups=2)
    )
    return nn.residual(body, downsample=nn.serial(nn.conv2d(8, 1)), combine=nn.serial(nn.add(), nn.relu()))


def test_every_number_of_the_table(capsys):
    model = nn.serial(stem=block(), flatten=nn.flatten(), fc=nn.serial(nn.linear(5), torch.tanh, lambda x: 2 * x))
    rows = rows_of(model, torch.empty(2, 4, 6, 6))
    assert list(rows) == [
        "",
        "stem",
        "stem.downsample",
        "stem.downsample.0",
        "stem.conv1",
        "stem.relu",
        "stem.conv2",
        "stem.combine",
        "stem.combine.0",
        "stem.combine.1",
        "flatten",
        "fc",
        "fc.0",
        "fc.1",
        "fc.2",
    ]
    positions = 2 * 6 * 6
    assert rows["stem.conv1"][1:] == ("conv2d", (2, 8, 6, 6), 288, 4 * 288, positions * 288)
    assert rows["stem.conv2"][1:] == ("conv2d", (2, 8, 6, 6), 8 * 4 * 9 + 8, 4 * 296, positions * 8 * 4 * 9)
    assert rows["stem.downsample.0"][1:] == ("conv2d", (2, 8, 6, 6), 40, 160, positions * 32)
    assert rows["stem"][3:] == tuple(
        sum(rows[f"stem.{name}"][i] for name in ("conv1", "conv2", "downsample")) for i in (3, 4, 5)
    )
    assert rows["fc.0"][1:] == ("linear", (2, 5), 288 * 5 + 5, 4 * 1445, 2 * 288 * 5)
    assert [rows[path].kind for path in ("", "stem", "stem.relu", "stem.combine.0", "fc.1", "fc.2")] == [
        "serial",
        "residual",
        "relu",
        "add",
        "tanh",
        "<lambda>",
    ]
    assert rows[""].parameters == rows["stem"].parameters + rows["fc"].parameters
    assert rows[""].multiply_adds == rows["stem"].multiply_adds + rows["fc"].multiply_adds
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split() == ["layer", "kind", "output", "parameters", "bytes", "multiply-adds"]
    assert len(printed) == 1 + len(rows)
    assert printed[1 + list(rows).index("stem.conv1")].split() == (
        ["conv1", "conv2d", "(2,", "8,", "6,", "6)", "288", "1,152", "20,736"]
    )


def test_of_a_model(capsys):
    model = models.convnet()
    x = torch.empty(1, 1, 28, 28, device="meta")
    params, _ = model.init(random.key(0), x)
    rows = rows_of(model, x)
    assert rows[""].parameters == tree.size(params)
    assert rows[""].bytes == 4 * tree.size(params)
    for path, leaf in tree.leaves_with_paths(params):
        assert rows[path.rpartition(".")[0]].parameters >= leaf.numel()


def test_buffers_dtypes_and_several_outputs(capsys):
    counts = nn.Layer(
        lambda key, x: ({}, {"calls": torch.zeros((), dtype=torch.int64)}), lambda params, buffers, x, **_: (x, buffers)
    )
    rows = rows_of(nn.serial(counts, nn.parallel(a=nn.linear(2), b=torch.tanh)), torch.empty(4, 3, dtype=torch.float64))
    assert rows["0"].bytes == 8
    assert rows["0"].parameters == 0
    assert rows["1.a"].bytes == 8 * 8
    assert rows[""].output == ((4, 2), (4, 3))


def test_a_converted_module_is_one_row(capsys):
    with torch.random.fork_rng(devices=[]):
        layer, _, _ = interop.from_module(torch.nn.Linear(3, 2))
    (row,) = nn.summary(layer, torch.empty(4, 3))
    assert row == ("", "from_module", (4, 2), 8, 32, 24)


def test_a_failing_model_resets_the_observer(capsys):
    with pytest.raises(ValueError, match="expected"):
        nn.summary(nn.serial(nn.conv2d(1, 3)), torch.empty(3))
    assert observer.get() is None
    assert len(nn.summary(nn.serial(nn.linear(2)), torch.empty(1, 3))) == 2
    nn.serial(nn.linear(2)).init(random.key(0), torch.empty(1, 3))
    assert "linear" in capsys.readouterr().out
