import json

import pytest
import torch
from PIL import Image

from funcdl import data, models, train
from recipes.sequence import classifier, names
from tests.recipes.small import call


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run as a newcomer starts it."""
    folder = tmp_path_factory.mktemp("names") / "run"
    code, out, err = call("run", "names", "--json", "--out", folder)
    assert code == 0, err
    return folder, json.loads(out[-1]), err


def test_the_sample_is_learned_and_its_overlap_is_said(finished):
    folder, result, err = finished
    assert list(result) == [
        "recipe", "dataset", "seed", "device", "compiled", "epochs", "seconds", "metrics", "run_dir",
    ]  # fmt: skip
    found = result["metrics"]
    assert found["test_accuracy"] >= 0.95
    split = data.invented_names()
    seen = set(zip(split.train.texts, split.train.labels.tolist(), strict=True))
    new = [pair not in seen for pair in zip(split.test.texts, split.test.labels.tolist(), strict=True)]
    assert found["test_share_seen"] == pytest.approx(1 - sum(new) / len(new))
    assert any(f"{100 * found['test_share_seen']:.1f}% of the test pairs" in line for line in err)
    assert any("cut to 6, 8, 10, 12 steps: a graph for each" in line for line in err)
    right, right_of_new = found["test_accuracy"] * len(new), found["test_accuracy_unseen"] * sum(new)
    assert (right, right_of_new) == pytest.approx((round(right), round(right_of_new)), abs=1e-3)
    assert 0 <= round(right - right_of_new) <= len(new) - sum(new)  # the others that are right
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert {"loss", "accuracy", "test_loss", "test_accuracy"} < rows[-1].keys()
    assert rows[-1]["test_accuracy"] == pytest.approx(found["test_accuracy"])
    for name in ("curves", "confusion"):
        with Image.open(folder / f"{name}.png") as picture:
            assert min(picture.size) > 200


def test_predict_folds_accents_and_says_what_it_never_saw(finished):
    folder, _, _ = finished
    code, out, err = call("predict", folder, "Rolorini", "Färlello", "Xa'ng", "--json")
    assert (code, err) == (0, [])
    plain, folded, strange = json.loads(out[0])
    assert plain["prediction"] == "Dalian"
    assert plain["notes"] == []
    assert next(iter(plain["probabilities"])) == "Dalian"
    assert len(plain["probabilities"]) == names.SHOWN
    assert 0.9 < sum(plain["probabilities"].values()) <= 1.0001
    assert folded["notes"] == ["read as Farlello"]
    (same,) = names.predict(names.Settings(), folder, ["Farlello"])
    assert same["probabilities"] == pytest.approx(folded["probabilities"], rel=1e-4)
    assert strange["notes"] == ["never saw the characters ' X"]

    code, out, _ = call("predict", folder, "Färlello")
    assert code == 0
    assert out[0].startswith("Färlello: ")
    assert "(read as Farlello)" in out[0]
    assert len(out) == 1 + names.SHOWN
    assert all("%" in line for line in out[1:])


@pytest.mark.parametrize("name", ["", "  ", "東京"])
def test_predict_refuses_what_is_no_name(finished, name):
    code, out, err = call("predict", finished[0], "Farlello", name)
    assert (code, out, len(err)) == (2, [], 1)
    assert "'東京'" in err[0] if name.strip() else "is empty" in err[0]


def test_predict_without_the_vocabulary(finished, tmp_path):
    import shutil

    run = shutil.copytree(finished[0], tmp_path / "run")
    (run / "vocabulary.json").write_text("{")
    assert "vocabulary.json: is not JSON" in call("predict", run, "Farlello")[2][0]
    (run / "vocabulary.json").unlink()
    assert "vocabulary.json: cannot be read" in call("predict", run, "Farlello")[2][0]


@pytest.fixture
def small_names(monkeypatch):
    split = data.invented_names()
    parts = [
        data.LabelledText(part.texts[:count], part.labels[:count])
        for part, count in zip(split[:2], (200, 60), strict=True)
    ]
    monkeypatch.setattr(data, "invented_names", lambda: data.TextSplit(*parts, split.classes))
    classifier_of = models.name_classifier
    monkeypatch.setattr(models, "name_classifier", lambda classes: classifier_of(classes, hidden_size=8))


@pytest.mark.usefixtures("small_names")
def test_validation_keeps_the_best_epoch_and_never_looks_at_the_test(tmp_path):
    report = train.Report(tmp_path)
    settings = names.Settings(validation=0.25, epochs=6, lr=0.05, batch_size=50, device="cpu")
    found = names.run(settings, report).metrics
    report.close()
    assert all("test_accuracy" not in row for row in report.rows)
    best = max(report.rows, key=lambda row: row["val_accuracy"])
    assert found["best_epoch"] == best["epoch"]
    assert found["val_accuracy"] == best["val_accuracy"]
    model = models.name_classifier(6)
    test = data.invented_names().test
    letters = data.letter_numbers(test.texts)
    params = classifier.load(settings, tmp_path / "best", model, letters)
    right = (model(params, letters).argmax(1) == test.labels).float().mean().item()
    assert right == pytest.approx(found["test_accuracy"])
    (one,) = names.predict(settings, tmp_path, ["Aanen"])
    expected = model(params, data.letter_numbers(["Aanen"])).softmax(1).max().item()
    assert next(iter(one["probabilities"].values())) == pytest.approx(expected, rel=1e-4)


@pytest.mark.usefixtures("small_names")
@pytest.mark.parametrize("validation", ["-0.1", "1", "nan"])
def test_impossible_validation(tmp_path, validation):
    code, _, err = call("run", "names", "--validation", validation, "--out", tmp_path / "run")
    assert code == 2
    assert "--validation" in err[-1]


@pytest.mark.usefixtures("small_names")
def test_compiled_it_makes_a_graph_for_each_width_in_the_first_epochs_and_none_after(monkeypatch):
    monkeypatch.setattr(classifier, "WIDTHS", 2)
    split = data.invented_names()
    short = [  # graphs of fewer letters compile faster
        part._replace(texts=[text[: 1 + number % 2] for number, text in enumerate(part.texts)]) for part in split[:2]
    ]
    monkeypatch.setattr(data, "invented_names", lambda: split._replace(train=short[0], test=short[1]))
    made, fit = [], train.fit

    def graphs():
        return torch._dynamo.utils.counters["stats"]["unique_graphs"]

    def counting_fit(*arguments, evaluate, **options):
        def counted(params, buffers):
            made.append(graphs() - before)
            return evaluate(params, buffers)

        return fit(*arguments, evaluate=counted, **options)

    monkeypatch.setattr(train, "fit", counting_fit)
    before = graphs()
    results = [
        names.run(names.Settings(epochs=3, compile=wanted, device="cpu", batch_size=40), train.Report())
        for wanted in ("on", "off")
    ]
    assert results[0].compiled
    assert made == [2, 2, 2, 2, 2, 2]
    assert results[0].metrics["loss"] == pytest.approx(results[1].metrics["loss"], rel=1e-3)


def test_bad_data_is_one_line(tmp_path):
    (tmp_path / "names").mkdir()
    (tmp_path / "names" / "names_train.csv").write_bytes(b'"Li","Chinese"\r\n"","Czech"\r\n')
    code, out, err = call("run", "names", "--dataset", "names", "--data-dir", tmp_path, "--out", tmp_path / "run")
    assert (code, out) == (2, [])
    assert "names_train.csv, line 2, column 1: the name is empty" in err[-1]
    assert not (tmp_path / "run").exists()


@pytest.mark.full
def test_the_lectures_names():
    report = train.Report()
    outcome = names.run(names.Settings(dataset="names", epochs=25, device="cpu", compile="on"), report)
    accuracies = [row["test_accuracy"] for row in report.rows]
    assert outcome.metrics["parameters"] == 318_818
    assert outcome.metrics["test_share_seen"] == pytest.approx(0.115, abs=5e-4)
    assert max(accuracies[:2]) >= 0.66
    assert max(accuracies[:10]) >= 0.80
    assert max(accuracies) >= 0.83
