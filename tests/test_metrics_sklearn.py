"""Every metric against scikit-learn's: one batch, padded batches, members under vmap, and a compiled evaluation."""

import pytest
import sklearn.metrics
import torch

from funcdl import losses, metrics, nn, random, train, transforms, tree

CLASSES = 5


def generator(seed):
    return torch.Generator().manual_seed(seed)


SCORES = torch.randn(40, CLASSES, generator=generator(0))
SCORES[:, 4] = -10  # never predicted
TARGETS = torch.randint(CLASSES, (40,), generator=generator(1))
LOGITS, ANSWERS = torch.randn(40, generator=generator(2)), torch.randint(2, (40,), generator=generator(3))
NUMBERS, TRUTH = torch.randn(40, 3, generator=generator(4)), torch.randn(40, 3, generator=generator(5)) + 7


def of_classes(function, **options):
    return lambda outputs, targets: function(targets, outputs.argmax(1), **options)


def of_answers(function):
    return lambda outputs, targets: function(targets, outputs > 0, zero_division=0)


AVERAGES = {
    f"{name}-{average}": (
        getattr(metrics, name)(CLASSES, average=average),
        of_classes(
            getattr(sklearn.metrics, f"{name}_score"), average=None if average == "none" else average, zero_division=0
        ),
        (SCORES, TARGETS),
    )
    for name in ("precision", "recall", "f1")
    for average in ("macro", "micro", "weighted", "none")
}
BINARY = {
    name: (
        getattr(metrics, name)(2, average="binary"),
        of_answers(getattr(sklearn.metrics, f"{name}_score")),
        (LOGITS, ANSWERS),
    )
    for name in ("precision", "recall", "f1")
}
TABLE = {
    **AVERAGES,
    **{f"{name}-binary": case for name, case in BINARY.items()},
    "accuracy": (metrics.accuracy, of_classes(sklearn.metrics.accuracy_score), (SCORES, TARGETS)),
    **{
        f"top_k-{k}": (
            metrics.top_k(k),
            lambda outputs, targets, k=k: sklearn.metrics.top_k_accuracy_score(targets, outputs, k=k),
            (SCORES, TARGETS),
        )
        for k in (1, 2, 3)
    },
    "binary_accuracy": (
        metrics.binary_accuracy(threshold=0.5),
        lambda outputs, targets: sklearn.metrics.accuracy_score(targets > 0.5, outputs > 0.5),
        (NUMBERS[:, 0], (TRUTH[:, 0] > 0).float()),
    ),
    "confusion_matrix": (
        metrics.confusion_matrix(CLASSES),
        of_classes(sklearn.metrics.confusion_matrix),
        (SCORES, TARGETS),
    ),
    "perplexity": (
        metrics.perplexity(),
        lambda outputs, targets: losses.cross_entropy(outputs.double(), targets).exp(),
        (SCORES, TARGETS),
    ),
    "mean_absolute_error": (
        metrics.mean_absolute_error,
        lambda outputs, targets: sklearn.metrics.mean_absolute_error(targets, outputs),
        (NUMBERS, TRUTH),
    ),
    "mean_squared_error": (
        metrics.mean_squared_error,
        lambda outputs, targets: sklearn.metrics.mean_squared_error(targets, outputs),
        (NUMBERS, TRUTH),
    ),
    "r2": (metrics.r2, lambda outputs, targets: sklearn.metrics.r2_score(targets, outputs), (NUMBERS, TRUTH)),
    "r2-of-one": (
        metrics.r2,
        lambda outputs, targets: sklearn.metrics.r2_score(targets, outputs),
        (NUMBERS[:, 0], TRUTH[:, 0]),
    ),
}
every_metric = pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in TABLE.items()])


def expected_of(case):
    _, reference, batch = case
    return torch.as_tensor(reference(*batch), dtype=torch.float32)


def test_every_metric_is_tested():
    assert {name.split("-")[0] for name in TABLE} == set(metrics.__all__) - {"Metric", "mean_loss", "sample_mean"}


@every_metric
def test_equals_the_reference(case):
    metric, _, batch = case
    torch.testing.assert_close(metric(*batch), expected_of(case), rtol=1e-6, atol=1e-6)


@every_metric
@pytest.mark.parametrize("padding", [float("nan"), 0.0])
def test_padded_batches_sum_to_the_data_set(case, padding):
    metric, _, (outputs, targets) = case
    total = None
    for start in range(0, 40, 16):
        cases = slice(start, start + 16)
        missing = 16 - len(targets[cases])
        batch = (
            torch.cat([outputs[cases], torch.full((missing, *outputs.shape[1:]), padding)]),
            torch.cat([targets[cases], torch.zeros(missing, *targets.shape[1:], dtype=targets.dtype)]),
            torch.cat([torch.ones(16 - missing), torch.zeros(missing)]),
        )
        statistics = metric.accumulate(*batch)
        total = statistics if total is None else tree.map(torch.add, total, statistics)
    torch.testing.assert_close(metric.compute(total), expected_of(case), rtol=1e-6, atol=1e-6)


@every_metric
def test_vmap_is_a_loop(case):
    metric, _, batch = case
    members = tuple(leaf.view(4, 10, *leaf.shape[1:]) for leaf in batch)
    looped = torch.stack([metric(*member) for member in zip(*members, strict=True)])
    torch.testing.assert_close(transforms.vmap(metric)(*members), looped)


def test_a_compiled_evaluation(device):
    identity = nn.stateless(lambda x: x)
    for kind in (SCORES, LOGITS, NUMBERS):
        chosen = {name: case for name, case in TABLE.items() if case[2][0] is kind}
        outputs, targets = next(iter(chosen.values()))[2]
        batches = tuple(
            leaf.view(4, 10, *leaf.shape[1:]).to(device) for leaf in (outputs, targets, torch.ones(len(targets)))
        )
        evaluate = transforms.jit(train.make_evaluate(identity, {name: case[0] for name, case in chosen.items()}))
        measured = evaluate({}, {}, batches)
        for name, case in chosen.items():
            torch.testing.assert_close(measured[name].cpu(), expected_of(case), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "metric", [metrics.confusion_matrix(CLASSES), metrics.f1(CLASSES), metrics.perplexity(), metrics.top_k(2)]
)
def test_positions_count_like_samples(metric):
    outputs = random.normal(random.key(0), (3, CLASSES, 4))
    targets = random.randint(random.key(1), (3, 4), 0, CLASSES)
    flat = outputs.movedim(1, -1).flatten(0, 1), targets.flatten()
    torch.testing.assert_close(metric(outputs, targets), metric(*flat))


@pytest.mark.parametrize(
    "metric", [metrics.confusion_matrix(CLASSES), metrics.precision(CLASSES), metrics.perplexity()]
)
def test_ignored_targets_have_no_effect(metric):
    some = TARGETS.clone()
    some[::3] = -100
    torch.testing.assert_close(metric(SCORES, some), metric(SCORES[some >= 0], some[some >= 0]))


def test_targets_outside_the_classes_have_no_effect():
    metric, known = metrics.confusion_matrix(CLASSES - 1), TARGETS < CLASSES - 1
    scores = SCORES[:, :-1]
    torch.testing.assert_close(metric(scores, TARGETS), metric(scores[known], TARGETS[known]))


def test_the_confusion_matrix_is_weighted():
    weights = torch.arange(40.0)
    statistics = metrics.confusion_matrix(CLASSES).accumulate(SCORES, TARGETS, weights)
    expected = sklearn.metrics.confusion_matrix(TARGETS, SCORES.argmax(1), sample_weight=weights)
    torch.testing.assert_close(statistics["counts"], torch.as_tensor(expected))


def test_predicted_classes_as_outputs():
    metric = metrics.confusion_matrix(CLASSES)
    torch.testing.assert_close(metric(SCORES.argmax(1), TARGETS), metric(SCORES, TARGETS))


@pytest.mark.parametrize("name", ["precision", "recall", "f1"])
@pytest.mark.parametrize("average", ["macro", "weighted", "micro"])
def test_absent_classes_are_left_out_of_averages(name, average):
    more, exact = (getattr(metrics, name)(classes, average=average) for classes in (CLASSES + 2, CLASSES))
    torch.testing.assert_close(more(SCORES, TARGETS), exact(SCORES, TARGETS))


def test_r2_of_constant_targets():
    ones = torch.ones(4)
    assert metrics.r2(ones, ones) == 1
    assert metrics.r2(ones + 1, ones) == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.top_k(0), "top_k: expected k >= 1, got 0"),
        (lambda: metrics.top_k(6)(SCORES, TARGETS), r"top_k\(6\): expected at least 6 classes, .* \(40, 5\)"),
        (lambda: metrics.f1(5, average="mean"), "f1: expected an average of macro, .* got 'mean'"),
        (lambda: metrics.recall(5, average="binary"), "recall: expected 2 classes for average='binary', got 5"),
        (lambda: metrics.r2(NUMBERS, TRUTH[:, 0]), r"of one shape, got \(40, 3\) and \(40,\)"),
        (lambda: metrics.mean_absolute_error(NUMBERS, TRUTH[:, :1]), r"of one shape, got \(40, 3\) and \(40, 1\)"),
    ],
)
def test_wrong_use(call, message):
    with pytest.raises(ValueError, match=message):
        call()
