import pytest
import torch

from funcdl import losses, metrics, transforms, tree


def data(device="cpu"):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(100, 5, generator=generator)
    return logits.to(device), torch.randint(5, (100,), generator=generator).to(device)


def test_accuracy_is_the_fraction_of_correct_predictions(device):
    logits, targets = data(device)
    expected = (logits.argmax(1) == targets).float().mean()
    torch.testing.assert_close(metrics.accuracy(logits, targets), expected)


def test_mean_loss_is_the_mean_of_the_loss(device):
    logits, targets = data(device)
    torch.testing.assert_close(
        metrics.mean_loss(losses.cross_entropy)(logits, targets), losses.cross_entropy(logits, targets)
    )
    a, b = logits, logits.flip(0)
    torch.testing.assert_close(metrics.mean_loss(losses.mse)(a, b), losses.mse(a, b))


def test_values_at_several_positions_are_averaged():
    logits = torch.randn(4, 5, 3, 2, generator=torch.Generator().manual_seed(0))
    targets = torch.randint(5, (4, 3, 2), generator=torch.Generator().manual_seed(1))
    expected = (logits.argmax(1) == targets).float().mean()
    torch.testing.assert_close(metrics.accuracy(logits, targets), expected)


@pytest.mark.parametrize("metric", [metrics.accuracy, metrics.mean_loss(losses.cross_entropy)])
@pytest.mark.parametrize("padding", [float("nan"), float("inf"), 0.0])
def test_padded_batches_sum_to_the_data_set(metric, padding):
    logits, targets = data()
    total = None
    for start in range(0, 100, 32):
        rows = slice(start, start + 32)
        weights = torch.zeros(32)
        weights[: len(targets[rows])] = 1
        batch_logits = torch.full((32, 5), padding)
        batch_logits[: len(targets[rows])] = logits[rows]
        batch_targets = torch.zeros(32, dtype=torch.int64)
        batch_targets[: len(targets[rows])] = targets[rows]
        statistics = metric.accumulate(batch_logits, batch_targets, weights)
        total = statistics if total is None else tree.map(torch.add, total, statistics)
    assert metric.compute(total).dtype == torch.float32
    torch.testing.assert_close(metric.compute(total), metric(logits, targets), rtol=0, atol=0)


def test_samples_are_weighted():
    statistics = metrics.accuracy.accumulate(torch.eye(2), torch.tensor([0, 0]), torch.tensor([3.0, 1.0]))
    assert metrics.accuracy.compute(statistics) == 0.75


def test_sums_are_in_float64():
    statistics = {
        "total": torch.tensor(2.0**24, dtype=torch.float64),
        "weight": torch.tensor(2.0**25, dtype=torch.float64),
    }
    one = metrics.accuracy.accumulate(torch.eye(1), torch.tensor([0]), torch.ones(1))
    total = tree.map(torch.add, statistics, one)
    assert total["total"] == 2**24 + 1


def test_transforms(device):
    logits, targets = data(device)
    metric = metrics.mean_loss(losses.cross_entropy)
    members = logits.view(4, 25, 5), targets.view(4, 25)
    looped = torch.stack([metric(*member) for member in zip(*members, strict=True)])
    torch.testing.assert_close(transforms.vmap(metric)(*members), looped)
    compiled = transforms.jit(lambda *batch: (metrics.accuracy(*batch), metric(*batch)))
    torch.testing.assert_close(compiled(logits, targets), (metrics.accuracy(logits, targets), metric(logits, targets)))
