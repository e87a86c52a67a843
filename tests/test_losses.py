import itertools

import pytest
import torch
import torch.nn.functional as F

from funcdl import losses, transforms

REDUCTIONS = ["none", "mean", "sum"]
SHAPES = [(6, 4), (4,), (3, 4, 5), (2, 4, 3, 2)]  # (batch, classes, positions); (4,) is a single sample


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def example(shape, seed=0):
    """Logits, class numbers with one that is ignored, class probabilities, class weights."""
    logits = torch.randn(shape, generator=generator(seed), dtype=torch.float64)
    targets = torch.randint(4, (shape[0], *shape[2:]) if len(shape) > 1 else (), generator=generator(seed + 1))
    if targets.ndim:
        targets[0] = 1
        targets.view(-1)[-1] = -100
    probabilities = torch.randn(shape, generator=generator(seed + 2), dtype=torch.float64).softmax(-1)
    weight = torch.rand(4, generator=generator(seed + 3), dtype=torch.float64) + 0.5
    return logits, targets, probabilities, weight


def classification_calls(shape):
    """`(loss, twin, outputs, targets, options)` for the whole grid of options."""
    logits, targets, probabilities, weight = example(shape)
    for reduction, w, ignored in itertools.product(REDUCTIONS, (None, weight), (-100, 1)):
        given = torch.where(targets == -100, ignored, targets)
        options = {"reduction": reduction, "weight": w, "ignore_index": ignored}
        yield losses.nll, F.nll_loss, logits.log_softmax(min(1, len(shape) - 1)), given, options
        for smoothing in (0.0, 0.3):
            yield losses.cross_entropy, F.cross_entropy, logits, given, {**options, "label_smoothing": smoothing}
    for reduction, w, smoothing in itertools.product(REDUCTIONS, (None, weight), (0.0, 0.3)):
        options = {"reduction": reduction, "weight": w, "label_smoothing": smoothing}
        yield losses.cross_entropy, F.cross_entropy, logits, probabilities, options


def regression_calls():
    a, b, weight = (torch.rand(5, 3, generator=generator(i), dtype=torch.float64) for i in range(3))
    for reduction, w in itertools.product(REDUCTIONS, (None, weight)):
        yield losses.mse, F.mse_loss, a, b, {"reduction": reduction, "weight": w}


CALLS = [call for shape in SHAPES for call in classification_calls(shape)] + list(regression_calls())


def by_autograd(twin, outputs, targets, options):
    leaf = outputs.clone().requires_grad_()
    return torch.autograd.grad(twin(leaf, targets, **options).sum(), leaf)[0]


def by_transform(loss, outputs, targets, options):
    return transforms.grad(lambda x: loss(x, targets, **options).sum())(outputs)


def test_equal_torch_for_every_option():
    for loss, twin, outputs, targets, options in CALLS:
        result, expected = loss(outputs, targets, **options), twin(outputs, targets, **options)
        torch.testing.assert_close(result, expected, rtol=1e-14, atol=1e-14, equal_nan=True)  # of no targets: NaN


def test_gradients_for_every_option():
    for loss, twin, outputs, targets, options in CALLS:
        torch.testing.assert_close(
            by_transform(loss, outputs, targets, options),
            by_autograd(twin, outputs, targets, options),
            rtol=1e-10,
            atol=1e-10,
            equal_nan=True,
        )


def test_vmap_is_a_loop_for_every_option():
    for loss, _, outputs, targets, options in CALLS:
        stacked = (
            torch.stack([outputs, outputs.flip(0)]),
            torch.stack([targets, targets.flip(0) if targets.ndim else targets]),
        )

        def f(outputs, targets, loss=loss, options=options):
            return loss(outputs, targets, **options), by_transform(loss, outputs, targets, options)

        looped = [torch.stack(results) for results in zip(*map(f, *stacked), strict=True)]
        for result, expected in zip(transforms.vmap(f)(*stacked), looped, strict=True):
            torch.testing.assert_close(result, expected, equal_nan=True)


def test_compiled_is_eager(device):
    """A sample of the calls in one graph."""
    calls = [call for shape in SHAPES[:3] for call in list(classification_calls(shape))[4::11]] + list(
        regression_calls()
    )

    def everything(examples):
        return [
            (loss(outputs, targets, **options), by_transform(loss, outputs, targets, options))
            for (loss, _, _, _, options), (outputs, targets) in zip(calls, examples, strict=True)
        ]

    calls = [
        (loss, twin, outputs, targets, {n: v.to(device) if torch.is_tensor(v) else v for n, v in options.items()})
        for loss, twin, outputs, targets, options in calls
    ]
    examples = [(outputs.to(device), targets.to(device)) for _, _, outputs, targets, _ in calls]
    torch.testing.assert_close(transforms.jit(everything)(examples), everything(examples), equal_nan=True)


def test_a_mean_over_no_targets_is_nan():
    assert losses.nll(torch.zeros(2, 3), torch.tensor([-100, -100])).isnan()


def test_cross_entropy_is_nll_of_the_log_softmax():
    logits, targets, _, weight = example((6, 4))
    expected = losses.cross_entropy(logits, targets, weight=weight)
    torch.testing.assert_close(losses.nll(logits.log_softmax(1), targets, weight=weight), expected)


def test_targets_that_would_broadcast_are_an_error():
    with pytest.raises(ValueError, match=r"mse: expected targets of shape \(4, 1\), got \(4,\)"):
        losses.mse(torch.zeros(4, 1), torch.zeros(4))
