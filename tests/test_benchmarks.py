"""The plain scripts of the benchmarks train what the recipes train: the same networks, begun and trained alike."""

import pytest
import torch

from funcdl import data, interop, random, testing, train
from recipes import registry
from recipes.sequence import _classifier
from tests.benchmarks import plain_digits, plain_sequences

SHARP = {"rtol": 1e-10, "atol": 1e-10}
DIGITS = [(name, network) for name, job in plain_digits.JOBS.items() for network in job.networks]
SAMPLES = {"names": data.synthetic_names, "sentiment": data.synthetic_phrases}


def digits_recipe(name):
    """The tasks of a recipe of digits on MNIST, by their names in the plain script, and its settings."""
    module = registry.find(name).load()
    settings = module.Settings(dataset="mnist")
    if hasattr(module, "tasks"):
        return module.tasks(settings), settings
    (only,) = plain_digits.JOBS[name].networks
    return {only: module.task(settings)}, settings


def assert_same_network(layer, make, inputs):
    """Names, shapes, outputs and gradients are the same with the same weights, and weights are drawn alike."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = make()
    drawn = interop.to_state_dict(*layer.init(random.key(0), inputs))
    for name, leaf in module.state_dict().items():
        ours, theirs = drawn[name].double(), leaf.double()
        if theirs.min() == theirs.max():
            assert torch.equal(ours, theirs), name
        else:
            spread, doubt = theirs.std(), 5 / theirs.numel() ** 0.5
            assert abs((ours.std() / spread).log()) < doubt, name
            assert abs(ours.mean() - theirs.mean()) < 2 * doubt * spread, name
    testing.assert_matches_module(layer, module.double(), inputs, **SHARP)


@pytest.mark.parametrize(("name", "network"), DIGITS, ids=[" ".join(pair) for pair in DIGITS])
def test_plain_network_of_digits(name, network):
    tasks, _ = digits_recipe(name)
    images = random.normal(random.key(0), (3, 1, 28, 28))
    assert_same_network(tasks[network].model, plain_digits.JOBS[name].networks[network], images)


@pytest.mark.parametrize("name", plain_digits.JOBS)
def test_plain_training_of_digits(name):
    tasks, settings = digits_recipe(name)
    job = plain_digits.JOBS[name]
    assert list(tasks) == list(job.networks)
    assert settings.batch_size == job.batch_size
    assert hasattr(settings, job.flag.removeprefix("--")) == (len(tasks) > 1)
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    mean, deviation = job.normalize
    outputs, labels = torch.tensor([[0.25, 2.0], [1.0, -3.0]]), torch.tensor([1, 1])
    for task in tasks.values():
        assert task.epochs == job.epochs
        torch.testing.assert_close(task.prepare(pixels), (pixels / 255 - mean) / deviation)
        torch.testing.assert_close(task.loss(outputs, labels), job.loss(outputs, labels))
        testing.assert_matches_optimizer(task.optimizer, job.optimizer, {"w": torch.ones(3, dtype=torch.float64)})


@pytest.mark.parametrize("name", SAMPLES)
def test_plain_network_data_and_settings_of_sequences(name, monkeypatch):
    begun = []

    def fit(*arguments, **options):
        begun.extend(arguments)
        raise StopIteration

    monkeypatch.setattr(_classifier, "fit", fit)
    module = registry.find(name).load()
    with pytest.raises(StopIteration):
        module.run(module.Settings(), train.Report())
    settings, _, layer, *parts = begun[:5]
    job = plain_sequences.JOBS[name]
    assert (settings.batch_size, _classifier.LR) == (job.batch_size, plain_sequences.RATE)
    with torch.random.fork_rng():
        *plain_parts, _ = job.prepare(SAMPLES[name]())
    for rows, (sequences, targets) in zip(plain_parts, parts, strict=True):
        assert len(rows) == len(targets)
        for index, row in enumerate(rows):
            input, lengths, label = job.collate([row])
            assert torch.equal(input[0], sequences["input"][index, : lengths[0]])
            assert (lengths[0], label[0]) == (sequences["lengths"][index], targets[index])
    input, lengths, _ = job.collate(plain_parts[0][:8])
    inputs = {"input": input, "lengths": lengths}
    assert_same_network(layer, lambda: job.prepare(SAMPLES[name]())[2], inputs)


@pytest.mark.parametrize("collate", [plain_sequences.letters, plain_sequences.words])
def test_plain_batches_have_the_longest_first_and_their_labels_with_them(collate):
    texts = ["Li", "Maclean", "Ada"]
    rows = texts if collate is plain_sequences.letters else [torch.tensor([ord(one) for one in text]) for text in texts]
    input, lengths, labels = collate(list(zip(rows, (0, 1, 2), strict=True)))
    assert (lengths.tolist(), labels.tolist()) == ([7, 3, 2], [1, 2, 0])
    assert input[1].tolist() == [65, 100, 97, 0, 0, 0, 0]
