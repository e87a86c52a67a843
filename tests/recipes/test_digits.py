"""The recipes of digits that train one network: what they compute, leave behind and predict."""

import json

import pytest
import torch
from PIL import Image

from funcdl import data, interop, random, train, tree
from recipes import registry
from recipes.vision import _digits, digits_cnn, digits_densenet, digits_inception, digits_resnet, digits_softmax
from tests.recipes.small import call, sample
from tests.twins import zoo

RECIPES = {
    "digits-softmax": digits_softmax,
    "digits-cnn": digits_cnn,
    "digits-inception": digits_inception,
    "digits-resnet": digits_resnet,
    "digits-densenet": digits_densenet,
}
LECTURES = {
    "digits-softmax": lambda: zoo.mlp(784, 512, 256, 128, 64, 10),
    "digits-cnn": zoo.LeNet,
    "digits-inception": zoo.InceptionNet,
    "digits-resnet": zoo.ResidualNet,
}
FLAGS = ("--epochs", 1, "--batch-size", 32, "--device", "cpu")


def quick(recipe, report=None, **changed):
    settings = recipe.Settings(**{"epochs": 2, "batch_size": 32, "device": "cpu", **changed})
    return recipe.run(settings, report or train.Report())


def test_every_recipe_of_one_network_is_here():
    listed = {name for name, recipe in registry.RECIPES.items() if recipe.folder == "vision" and name[:6] == "digits"}
    assert listed == RECIPES.keys() | {"digits-convnet", "digits-cnn-deep", "digits-identity"}


@pytest.mark.usefixtures("small_data")
@pytest.mark.parametrize("name", LECTURES)
def test_an_epoch_equals_the_lectures_in_plain_pytorch(name):
    recipe = RECIPES[name]
    (images, labels), test = data.digits()
    state_key, order_key = random.split(random.key(5)).unbind()
    init_key, _ = random.split(state_key).unbind()
    params, _ = recipe.task(recipe.Settings()).model.init(init_key, torch.empty(1, 1, 28, 28, device="meta"))
    with torch.random.fork_rng():
        twin = LECTURES[name]()
    twin.load_state_dict(interop.to_state_dict(params))
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.01, momentum=0.5)
    criterion = torch.nn.CrossEntropyLoss()
    total, right = 0.0, 0
    for indices in data.epoch_indices(random.fold_in(order_key, 1), len(images), 32):
        outputs = twin((images[indices].float() / 255 - 0.1307) / 0.3081)
        loss = criterion(outputs, labels[indices])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total, right = total + loss.item() / 3, right + (outputs.argmax(1) == labels[indices]).sum().item()
    with torch.no_grad():
        outputs = twin((test[0].float() / 255 - 0.1307) / 0.3081)
    metrics = quick(recipe, epochs=1, seed=5).metrics
    assert metrics["loss"] == pytest.approx(total, rel=1e-5)
    assert metrics["accuracy"] == pytest.approx(right / 96)
    assert metrics["test_loss"] == pytest.approx(criterion(outputs, test[1]).item(), rel=1e-5)
    assert metrics["test_accuracy"] == pytest.approx((outputs.argmax(1) == test[1]).float().mean().item())
    assert metrics["prediction"] == outputs[0].argmax().item()
    assert metrics["truth"] == test[1][0].item()


@pytest.mark.parametrize(
    ("recipe", "changed", "count"),
    [
        (digits_softmax, {}, 575_050),
        (digits_softmax, {"network": "wide"}, 682_090),
        (digits_cnn, {}, 8_490),
        (digits_cnn, {"network": "handbook"}, 1_007_590),
        (digits_cnn, {"network": "beginner"}, 28_938),
        (digits_inception, {}, 97_298),
        (digits_resnet, {}, 41_514),
        (digits_densenet, {}, 46_702),
    ],
)
def test_the_networks_have_the_tutorials_numbers_of_parameters(recipe, changed, count):
    params, _ = recipe.task(recipe.Settings(**changed)).model.init(
        random.key(0, device="meta"), torch.empty(1, 1, 28, 28, device="meta")
    )
    assert tree.size(params) == count


@pytest.mark.parametrize(
    ("task", "mean", "deviation"),
    [
        (digits_softmax.task(digits_softmax.Settings()), 0.1307, 0.3081),
        (digits_softmax.task(digits_softmax.Settings(network="wide")), 0, 1),
        (digits_cnn.task(digits_cnn.Settings(network="handbook")), 0.1307, 0.3081),
        (digits_cnn.task(digits_cnn.Settings(network="beginner")), 0, 1),
    ],
)
def test_pixels_are_normalized_as_the_tutorial_does(task, mean, deviation):
    bytes_ = torch.tensor([[0, 255, 51], [102, 0, 0]], dtype=torch.uint8).view(1, 1, 2, 3)
    expected = ((bytes_.double() / 255 - mean) / deviation).float()
    torch.testing.assert_close(task.prepare(bytes_), expected)


def test_the_lectures_range_of_pixels():
    ends = _digits.normalize(torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1)).flatten().tolist()
    assert ends == pytest.approx([-0.4242, 2.8215], abs=5e-5)


@pytest.mark.parametrize(("network", "loss_scale"), [("handbook", 1), ("beginner", 1)])
@pytest.mark.usefixtures("small_data")
def test_the_other_cnns_train_by_adam(network, loss_scale):
    metrics = quick(digits_cnn, network=network, optimizer="adam", lr=1e-3, epochs=6).metrics
    assert metrics["loss"] < 1.9 * loss_scale
    assert metrics["test_accuracy"] > 0.5


@pytest.mark.usefixtures("small_data")
@pytest.mark.parametrize("name", RECIPES)
def test_what_a_run_leaves_behind(name, tmp_path):
    code, out, err = call("run", name, *FLAGS, "--json", "--out", tmp_path / "run")
    assert code == 0, err
    result = json.loads(out[-1])
    assert (result["recipe"], result["dataset"], result["epochs"], result["compiled"]) == (name, "sample", 1, False)
    metrics = result["metrics"]
    (row,) = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    for key in ("loss", "accuracy", "test_loss", "test_accuracy"):
        assert metrics[key] == row[key]
    assert metrics["majority"] == pytest.approx(max(data.digits().test[1].bincount().tolist()) / 40)
    assert all(len(metrics[key]) == 10 for key in ("precision", "recall", "f1", "confusion"))
    assert sum(metrics["confusion"][i][i] for i in range(10)) / 40 == pytest.approx(metrics["test_accuracy"])
    for picture in ("curves", "predictions", "confusion", "mistakes"):
        with Image.open(tmp_path / "run" / f"{picture}.png") as image:
            image.load()
            assert min(image.size) > 200

    image = Image.fromarray(data.digits().test[0][3, 0].numpy(), mode="L").resize((90, 90))
    image.save(tmp_path / "digit.png")
    code, out, err = call("predict", tmp_path / "run", tmp_path / "digit.png", "--json")
    assert code == 0, err
    (one,) = json.loads(out[0])
    assert sum(one["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert str(one["prediction"]) == max(one["probabilities"], key=one["probabilities"].get)


def test_read_gives_the_softmax_of_the_trained_network_and_draws_the_first_and_the_mistakes(monkeypatch):
    split, shown = sample(), {}
    monkeypatch.setattr(data, "digits", lambda: split)

    def keep(images, labels, probabilities, title, columns=6):
        shown[len(shown)] = (images, labels, probabilities)

    monkeypatch.setattr(_digits.pictures, "digit_sheet", keep)
    quick(digits_cnn)
    (first, _, _), (images, labels, probabilities) = shown[0], shown[1]
    assert torch.equal(first, split.test[0][:12])
    confidence, predicted = probabilities.max(1)
    assert len(images) == 12
    assert (predicted != labels).all()  # after two epochs there are enough of them
    assert torch.equal(confidence, confidence.sort(descending=True).values)


@pytest.mark.usefixtures("small_data")
@pytest.mark.parametrize("recipe", [digits_cnn, digits_densenet])
def test_a_seed_decides_everything(recipe):
    first = quick(recipe, seed=3).metrics
    assert first == quick(recipe, seed=3).metrics
    assert first["loss"] != quick(recipe, seed=4).metrics["loss"]


@pytest.mark.usefixtures("small_data")
def test_bfloat16_trains_a_network_with_batch_norm():
    metrics = quick(digits_densenet, precision="bf16", epochs=4).metrics
    assert metrics["loss"] < 2.3


def test_the_lectures_cnn_reads_the_sample_in_the_mean_over_five_seeds():
    accuracies = [
        digits_cnn.run(digits_cnn.Settings(seed=s), train.Report()).metrics["test_accuracy"] for s in range(5)
    ]
    assert sum(accuracies) / 5 >= 0.96, accuracies
    assert min(accuracies) >= 0.94, accuracies


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["digits-densenet", "--growth", "0"], ["--growth 0", "1 or more"]),
        (["digits-cnn", "--network", "deep"], ["--network", "'deep'", "handbook"]),
        (["digits-softmax", "--dataset", "cifar"], ["--dataset", "'cifar'", "mnist"]),
        (["digits-identity", "--variant", "none"], ["--variant", "'none'", "full-preactivation"]),
        (["digits-cnn-deep", "--batch-size", "1443"], ["--batch-size 1443", "at most 1442"]),
    ],
)
def test_impossible_settings(arguments, parts, tmp_path):
    code, _, err = call("run", *arguments, "--out", tmp_path / "run")
    assert code == 2
    assert all(part in err[-1] for part in parts), err
    assert not (tmp_path / "run" / "config.json").exists()


FULL = {  # what the lecture reaches: after one epoch, and after all, of MNIST's test digits
    "digits-softmax": (0.88, 0.965),
    "digits-cnn": (0.955, 0.983),
    "digits-inception": (0.95, 0.985),
    "digits-resnet": (0.965, 0.987),
    "digits-densenet": (0.95, 0.985),
}


@pytest.mark.full
@pytest.mark.parametrize("name", FULL)
def test_mnist_as_the_tutorial_trains_it(name, tmp_path):
    code, out, err = call("run", name, "--dataset", "mnist", "--json", "--out", tmp_path)
    assert code == 0, err
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    first, last = FULL[name]
    assert rows[0]["test_accuracy"] >= first
    assert json.loads(out[-1])["metrics"]["test_accuracy"] >= last
