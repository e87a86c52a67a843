import json

import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from funcdl import data, random, train
from recipes.vision import _augmentation, digits_convnet
from tests.recipes.drawn_digits import drawings
from tests.recipes.small import call

SEEDS = range(5)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Full runs on the sample data, as a newcomer starts them, one for each seed."""
    folder = tmp_path_factory.mktemp("runs")
    results, threads = [], torch.get_num_threads()
    torch.set_num_threads(1)  # small steps that other processes disturb least so
    for seed in SEEDS:
        code, out, err = call("run", "digits-convnet", "--json", "--seed", seed, "--out", folder / str(seed))
        assert code == 0, err
        results.append(json.loads(out[-1]))
    torch.set_num_threads(threads)
    return folder, results


def test_it_reads_97_percent_of_the_test_digits_in_the_mean_over_five_seeds(runs):
    accuracies = [result["metrics"]["test_accuracy"] for result in runs[1]]
    assert sum(accuracies) / len(accuracies) >= 0.97, accuracies
    assert len({result["metrics"]["test_loss"] for result in runs[1]}) == len(SEEDS)


def test_everything_a_run_leaves_is_there_and_agrees(runs):
    folder, results = runs[0] / "0", runs[1]
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(1, 13))
    final = {name: results[0]["metrics"][name] for name in ("loss", "accuracy", "test_loss", "test_accuracy")}
    assert final == {name: rows[-1][name] for name in final}
    assert rows[-1]["loss"] < rows[0]["loss"]

    events = EventAccumulator(str(folder)).Reload()
    for name in final:
        points = events.Scalars(name)
        assert [point.step for point in points] == list(range(1, 13))
        assert [point.value for point in points] == pytest.approx([row[name] for row in rows], rel=1e-6)
    assert {"curves", "predictions", "altered", "confusion", "mistakes"} == set(events.Tags()["images"])
    for name in ("curves", "predictions", "altered"):
        with Image.open(folder / f"{name}.png") as picture:
            picture.load()
            assert min(picture.size) > 200
            assert len(picture.convert("RGB").getcolors(1 << 20)) > 20  # something is drawn
    assert json.loads((folder / "config.json").read_text())["recipe"] == "digits-convnet"


def pictures_of(image, folder):
    """One digit as people have it: as it is, large, dark on light, in color, on a transparent sheet, as JPEG."""
    gray = Image.fromarray(image.numpy(), mode="L")
    large = gray.resize((211, 190), Image.Resampling.BICUBIC)
    inverted = Image.eval(large, lambda value: 255 - value)
    navy = Image.composite(Image.new("RGB", large.size, "navy"), Image.new("RGB", large.size, "ivory"), large)
    transparent = Image.new("RGBA", large.size, "black")
    transparent.putalpha(large)
    for name, picture in {
        "plain.png": gray,
        "large.png": large,
        "inverted.png": inverted,
        "navy.png": navy,
        "transparent.png": transparent,
        "photo.jpg": navy,
    }.items():
        picture.save(folder / name)
        yield folder / name


def test_it_predicts_digits_from_pictures_of_any_kind(runs, tmp_path):
    run_dir = runs[0] / "0"
    images, labels = data.digits().test
    right = []
    for index in range(10, 20):
        paths = list(pictures_of(images[index, 0], tmp_path))
        code, out, err = call("predict", run_dir, *paths, "--json")
        assert (code, err, len(out)) == (0, [], 1)
        predictions = json.loads(out[0])
        assert [one["input"] for one in predictions] == [str(path) for path in paths]
        for one in predictions:
            assert one.keys() == {"input", "prediction", "probabilities", "notes"}
            assert list(one["probabilities"]) == list("0123456789")
            assert sum(one["probabilities"].values()) == pytest.approx(1, abs=1e-5)
            assert str(one["prediction"]) == max(one["probabilities"], key=one["probabilities"].get)
            right.append(one["prediction"] == labels[index])
    assert sum(right) >= 0.9 * len(right)

    code, out, err = call("predict", run_dir, tmp_path / "plain.png")
    assert (code, err) == (0, [])
    assert out[0] == f"{tmp_path / 'plain.png'}: {predictions[0]['prediction']}"
    assert [line.split()[0] for line in out[1:]] == [str(digit) for digit in range(10)]
    assert all("%" in line for line in out[1:])


def test_it_reads_digits_that_a_program_draws_in_varied_pens_sizes_and_papers(runs, tmp_path):
    """Of 30 digits at least 27, in each of three sets, and of all seeds and sets together 94 in 100."""
    truth, paths, read = [], [], []
    for number in range(3):
        for index, (digit, picture) in enumerate(drawings(number)):
            paths.append(tmp_path / f"{number}-{index}.png")
            picture.save(paths[-1])
            truth.append(digit)
    for seed in SEEDS:
        found = digits_convnet.predict(digits_convnet.Settings(), runs[0] / str(seed), list(map(str, paths)))
        right = [one["prediction"] == digit for one, digit in zip(found, truth, strict=True)]
        sets = [sum(right[first : first + 30]) for first in (0, 30, 60)]
        assert min(sets) >= (27 if seed == 0 else 26), (seed, sets)
        read += right
        for one in found:
            certain = max(one["probabilities"].values()) >= 0.9
            assert certain == (not one["notes"])
    assert sum(read) / len(read) >= 0.94


def test_training_on_digits_as_they_are_is_the_books(monkeypatch):
    """On MNIST, and without augmentation, the network is shown what is in the data."""
    for options, augment in (
        ({}, True),
        ({"augment": "off"}, False),
        ({"dataset": "mnist"}, False),
        ({"dataset": "mnist", "augment": "on"}, True),
    ):
        model = digits_convnet.task(digits_convnet.Settings(**options)).model
        x = digits_convnet.task(digits_convnet.Settings()).prepare(data.digits().test[0][:8])
        plain = digits_convnet.network()
        params, buffers = plain.init(random.key(0), x)
        seen = {}
        monkeypatch.setattr(_augmentation, "altered", lambda key, ink, seen=seen: seen.setdefault("ink", ink))
        model.apply(params, buffers, x, key=random.key(1), train=True)
        assert bool(seen) == augment
        assert torch.equal(model.apply(params, buffers, x)[0], plain.apply(params, buffers, x)[0])


def test_altered_digits_are_still_digits_but_others():
    images = data.digits().train[0][:200].float() / 255
    changed = _augmentation.altered(random.key(0), images)
    assert 0 <= changed.min() <= changed.max() <= 1
    rows = torch.stack([images.flatten(1), changed.flatten(1)], 1)
    similar = torch.stack([torch.corrcoef(pair)[0, 1] for pair in rows])
    assert 0.4 < similar.median() < 0.9
    ink, before = changed.sum((1, 2, 3)), images.sum((1, 2, 3))
    assert (ink / before).min() < 0.6
    assert (ink / before).max() > 1.3


def test_predict_uses_the_trained_network(runs, tmp_path):
    image = data.digits().test[0][3]
    (path, *_) = pictures_of(image[0], tmp_path)
    settings = digits_convnet.Settings()
    (one,) = digits_convnet.predict(settings, runs[0] / "0", [str(path)])
    (other,) = digits_convnet.predict(settings, runs[0] / "1", [str(path)])
    assert one["probabilities"] != other["probabilities"]


@pytest.mark.usefixtures("small_data")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_seed_gives_the_same_metrics_and_another_seed_others(precision):
    def run(seed):
        report = train.Report()
        settings = digits_convnet.Settings(epochs=2, seed=seed, precision=precision, device="cpu")
        return digits_convnet.run(settings, report).metrics

    first = run(3)
    assert first == run(3)
    assert all(first[name] != run(4)[name] for name in ("loss", "test_loss"))


def test_pixels_are_normalized_as_the_book_does():
    pixels = torch.tensor([[0, 255, 51], [102, 0, 0]], dtype=torch.uint8).view(1, 1, 2, 3)
    normalized = digits_convnet.task(digits_convnet.Settings()).prepare(pixels)
    torch.testing.assert_close(normalized, ((pixels.double() / 255 - 0.1302) / 0.3069).float())
    assert normalized.shape == (1, 1, 2, 3)


@pytest.mark.usefixtures("small_data")
def test_compiled_it_makes_one_graph_in_the_first_epoch_and_none_after(monkeypatch):
    def graphs():
        return torch._dynamo.utils.counters["stats"]["unique_graphs"]

    made = []
    fit = train.fit

    def counting_fit(*args, evaluate, **kwargs):
        def counted(params, buffers, batches):
            measured = evaluate(params, buffers, batches)
            made.append(graphs() - before)
            return measured

        return fit(*args, evaluate=counted, **kwargs)

    monkeypatch.setattr(train, "fit", counting_fit)
    before = graphs()
    outcome = digits_convnet.run(
        digits_convnet.Settings(epochs=3, compile="on", device="cpu", batch_size=32), train.Report()
    )
    assert outcome.compiled
    assert made == [1, 1, 1]
    eager = digits_convnet.run(
        digits_convnet.Settings(epochs=3, compile="off", device="cpu", batch_size=32), train.Report()
    )
    assert outcome.metrics["loss"] == pytest.approx(eager.metrics["loss"], rel=1e-3)


def test_auto_compiles_long_runs_only():
    said = []

    class Listening(train.Report):
        def log(self, text):
            said.append(text)

    from recipes import runtime

    assert not runtime.choose_compile("auto", torch.device("cpu"), runtime.REPAY_STEPS - 1, Listening())
    assert runtime.choose_compile("auto", torch.device("cpu"), runtime.REPAY_STEPS, Listening())
    assert ["off" in said[0], "on" in said[1]] == [True, True]
    assert all(str(runtime.REPAY_STEPS) in text for text in said)
