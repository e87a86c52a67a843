"""What TensorBoard is given: all of it is read back from the files of events."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from funcdl import data, models, optim, random, train
from recipes.vision import _digits, visualize
from tests.recipes.small import call, left_in, real_data, sample

EVERYTHING = {"scalars": 0, "histograms": 0, "images": 0, "graph": 0}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run as a newcomer starts it, and its events."""
    folder = tmp_path_factory.mktemp("visualize") / "run"
    before = torch.get_rng_state()
    code, out, err = call("run", "visualize", "--json", "--device", "cpu", "--out", folder)
    assert code == 0, err
    assert torch.equal(torch.get_rng_state(), before)
    assert not any("Warning" in line for line in err)
    events = EventAccumulator(str(folder / "tensorboard"), EVERYTHING).Reload()
    return folder, json.loads(out[-1]), events


def test_scalars(run):
    folder, result, events = run
    assert set(events.Tags()["scalars"]) == {"toy/x", "toy/y", "training/loss"}
    wanted = {"x": [100 * 1.2**n for n in range(1, 31)], "y": [500 / 1.1**n for n in range(1, 31)]}
    for name, values in wanted.items():
        grouped = EventAccumulator(str(folder / "tensorboard" / f"toy_group_{name}")).Reload().Scalars("toy/group")
        for points in (events.Scalars(f"toy/{name}"), grouped):
            assert [point.step for point in points] == list(range(30))
            assert [point.value for point in points] == pytest.approx(values, rel=1e-5)
        assert result["metrics"][f"toy_{name}"] == pytest.approx(values[-1], rel=1e-5)
        assert result["metrics"][f"group_{name}"] is True
    losses = events.Scalars("training/loss")
    assert [point.step for point in losses] == list(range(1, 4 * 45 + 1))
    assert losses[0].value == pytest.approx(2.3026, abs=0.1)  # the logarithm of ten classes
    assert [result["metrics"][f"loss_{step}"] for step in (30, 60, 90)] == [
        losses[step - 1].value for step in (30, 60, 90)
    ]
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for row, epoch in zip(rows, range(4), strict=True):
        mean = sum(point.value for point in losses[45 * epoch : 45 * epoch + 45]) / 45
        assert row["loss"] == pytest.approx(mean, rel=1e-5)
    assert rows[-1]["test_accuracy"] >= 0.95


def test_histograms(run):
    folder, result, events = run
    (file,) = (folder / "checkpoint").glob("*.safetensors")
    saved = load_file(file)
    names = [path.removeprefix("params.") for path in saved if path.startswith("params.")]
    assert len(names) == 8
    tags = {"toy/both", *(f"{group}/{name}" for group in ("weights", "gradients") for name in names)}
    assert set(events.Tags()["histograms"]) == tags == set(result["metrics"]["histograms"].split())
    assert [histogram.step for histogram in events.Histograms("toy/both")] == list(range(30))
    for name in names:
        histograms = events.Histograms(f"weights/{name}")
        assert [histogram.step for histogram in histograms] == [1, 2, 3, 4]
        values, last = saved[f"params.{name}"].double(), histograms[-1].histogram_value
        assert last.num == values.numel()
        assert (last.min, last.max) == (values.min().item(), values.max().item())
        assert last.sum == pytest.approx(values.sum().item(), rel=1e-4, abs=1e-3)
    of_gradient = events.Histograms("gradients/fc2.bias")[-1].histogram_value
    assert of_gradient.sum == pytest.approx(0, abs=1e-5)  # what is added to all logits does not matter
    assert of_gradient.sum_squares > 0


def test_images_and_graph(run, tmp_path):
    _, result, events = run
    (sheet,) = events.Images("digits")
    assert [sheet.height, sheet.width] == result["metrics"]["picture"] == [4 * 28, 8 * 28]
    (tmp_path / "sheet.png").write_bytes(sheet.encoded_image_string)
    pixels = np.asarray(Image.open(tmp_path / "sheet.png"))[..., 0]
    test_images = data.digits().test[0]
    for number in (0, 7, 8, 31):
        row, column = 28 * (number // 8), 28 * (number % 8)
        assert np.array_equal(pixels[row : row + 28, column : column + 28], test_images[number, 0].numpy())
    nodes = events.Graph().node
    assert len(nodes) == result["metrics"]["graph"]
    operations = [node.op for node in nodes]
    for operation, count in (("convolution", 2), ("max_pool2d", 1), ("linear", 2), ("log_softmax", 1)):
        assert sum(operation in op for op in operations) == count, operations


def test_the_embedding_is_the_last_hidden_layer(run):
    folder, result, _ = run
    (place,) = (folder / "tensorboard").rglob("tensors.tsv")
    features = torch.tensor([[float(x) for x in line.split("\t")] for line in place.read_text().splitlines()])
    assert list(features.shape) == result["metrics"]["embedding"] == [200, 500]
    images, labels = (leaf[:200] for leaf in data.digits().test)
    assert [int(line) for line in place.with_name("metadata.tsv").read_text().split()] == labels.tolist()
    with Image.open(place.with_name("sprite.png")) as sprite:
        assert sprite.size == (15 * 28, 15 * 28)
    assert "hidden_layer" in (folder / "tensorboard" / "projector_config.pbtxt").read_text()
    model, inputs = models.handbook_cnn(), _digits.normalize(images)
    like = train.make_state(model, optim.adam(lr=0.001), random.key(0), inputs)
    state, _ = train.load(folder / "checkpoint", like)
    last = state.params["fc2"]
    outputs = (features @ last["weight"].T + last["bias"]).log_softmax(-1)
    torch.testing.assert_close(outputs, model(state.params, inputs), rtol=1e-3, atol=1e-3)


def test_a_report_without_a_folder_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    split = sample(64, 40)
    monkeypatch.setattr(data, "digits", lambda: split)
    outcome = visualize.run(visualize.Settings(epochs=1, device="cpu"), train.Report())
    assert outcome.metrics["counted"] == 1_000_000
    assert outcome.metrics["embedding"] == [40, 500]
    assert not list(tmp_path.iterdir())


def test_interrupted_and_resumed(tmp_path, monkeypatch):
    split = sample(64, 40)
    monkeypatch.setattr(data, "digits", lambda: split)
    flags = ("--epochs", 2, "--device", "cpu")
    assert call("run", "visualize", *flags, "--out", tmp_path / "whole")[0] == 0
    make, calls = train.make_evaluate, []

    def stop(*arguments, **named):
        evaluate = make(*arguments, **named)

        def measured(*state):
            calls.append(state)
            if len(calls) == 2:
                raise KeyboardInterrupt
            return evaluate(*state)

        return measured

    with monkeypatch.context() as patch:
        patch.setattr(train, "make_evaluate", stop)
        assert call("run", "visualize", *flags, "--out", tmp_path / "cut")[0] == 130
    code, _, err = call("run", "visualize", "--resume", "--out", tmp_path / "cut")
    assert code == 0, err
    assert left_in(tmp_path / "cut") == left_in(tmp_path / "whole")
    events = EventAccumulator(str(tmp_path / "cut" / "tensorboard"), EVERYTHING).Reload()
    assert {point.step for point in events.Scalars("training/loss")} == {1, 2, 3, 4}
    assert len(events.Scalars("toy/x")) == 30


@pytest.mark.usefixtures("small_data")
def test_a_rate_that_is_far_too_high(tmp_path):
    code, _, err = call("run", "visualize", "--lr", "1e30", "--out", tmp_path / "run")
    assert code == 2
    assert "not finite" in err[-1]
    assert (tmp_path / "run" / "checkpoint" / "checkpoint.json").exists()


def test_a_batch_that_is_larger_than_the_data(tmp_path):
    code, out, err = call("run", "visualize", "--batch-size", 1443, "--out", tmp_path / "run")
    assert (code, out) == (2, [])
    assert err == ["funcdl: --batch-size 1443: must be at most 1442, the samples to train on"]
    assert not (tmp_path / "run").exists()


@pytest.mark.full
def test_the_losses_of_the_handbooks_batches():
    """The public run printed 0.352312, 0.202950 and 0.156494: single batches of 512 after 30, 60 and 90 steps."""
    folder = real_data("MNIST")
    for seed in range(5):
        settings = visualize.Settings(dataset="mnist", data_dir=folder, seed=seed)
        metrics = visualize.run(settings, train.Report()).metrics
        assert 0.22 <= metrics["loss_30"] <= 0.55, (seed, metrics["loss_30"])
        assert 0.10 <= metrics["loss_60"] <= 0.33, (seed, metrics["loss_60"])
        assert 0.07 <= metrics["loss_90"] <= 0.27, (seed, metrics["loss_90"])
        assert metrics["test_accuracy"] >= 0.955
