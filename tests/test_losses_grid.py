"""Every loss that is not in tests/test_losses.py against torch's, over the grid of its options."""

import functools
import itertools
import warnings

import pytest
import torch
import torch.nn.functional as F

from funcdl import losses, transforms

REDUCTIONS = ("none", "mean", "sum")


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def uniform(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def classes(*shape, seed=0, low=0, high=5):
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(seed))


def grid(**options):
    return [dict(zip(options, values, strict=True)) for values in itertools.product(*options.values())]


A, B, C = (normal(4, 5, seed=i) for i in range(3))
P, Q, W = (uniform(4, 5, seed=i) for i in range(3))
ONE_WEIGHT = uniform(5, seed=4)
SIGNS = normal(4, 5, seed=5).sign()
ROW_SIGNS = torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64)
LOG_P, LOG_Q = A.log_softmax(-1), B.log_softmax(-1)
LABELS = torch.tensor([[3, 0, -1, 1, 2], [-1, 0, 0, 0, 0], [4, 3, 2, 1, 0], [2, 2, 1, -1, -1]])
SPEECH = normal(8, 3, 6, seed=6).log_softmax(-1)
ZERO_ONE = (A > 0).double()
COUNTS = classes(4, 5).double()
CTC = (SPEECH, classes(3, 3, low=1, high=6), torch.tensor([8, 7, 6]), torch.tensor([3, 2, 1]))
TOO_SHORT = (SPEECH, torch.tensor([[1, 1, 1]] * 3), torch.tensor([8, 4, 8]), torch.tensor([3, 3, 0]))

# loss -> (twin, argument lists, grid of options). The floating arguments are differentiated.
TABLE = {
    losses.l1: (F.l1_loss, [(A, B)], grid(weight=[None, W])),
    losses.smooth_l1: (F.smooth_l1_loss, [(A, B)], grid(beta=[1.0, 0.3, 0.0])),
    losses.huber: (F.huber_loss, [(A, B)], grid(delta=[1.0, 0.3], weight=[None, W])),
    losses.binary_cross_entropy: (F.binary_cross_entropy, [(P, Q), (ZERO_ONE, Q)], grid(weight=[None, W, ONE_WEIGHT])),
    losses.binary_cross_entropy_with_logits: (
        F.binary_cross_entropy_with_logits,
        [(A, Q), (100 * A, Q)],
        grid(weight=[None, W], pos_weight=[None, ONE_WEIGHT]),
    ),
    losses.kl_divergence: (
        F.kl_div,
        [(LOG_P, LOG_Q.exp()), (LOG_P, LOG_Q), (LOG_P, ZERO_ONE)],
        grid(log_target=[False, True]),
    ),
    losses.poisson_nll: (
        F.poisson_nll_loss,
        [(P, COUNTS)],
        grid(log_input=[True, False], full=[False, True], eps=[1e-8, 0.1]),
    ),
    losses.gaussian_nll: (
        F.gaussian_nll_loss,
        [(A, B, P), (A, B, P[:, 0]), (A, B, P[:, :1]), (A, B, 0.5)],
        grid(full=[False, True], eps=[1e-6, 0.3]),
    ),
    losses.hinge_embedding: (F.hinge_embedding_loss, [(A, SIGNS), (P, SIGNS)], grid(margin=[1.0, 0.3])),
    losses.multi_margin: (
        F.multi_margin_loss,
        [(A, classes(4)), (A[0], classes())],
        grid(p=[1, 2], margin=[1.0, 0.3], weight=[None, ONE_WEIGHT]),
    ),
    losses.multilabel_margin: (
        F.multilabel_margin_loss,
        [(A, LABELS), (A[0], LABELS[0]), (A[3], LABELS[3])],
        grid(),
    ),
    losses.multilabel_soft_margin: (
        F.multilabel_soft_margin_loss,
        [(A, ZERO_ONE), (A[0], ZERO_ONE[0])],
        grid(weight=[None, ONE_WEIGHT]),
    ),
    losses.margin_ranking: (F.margin_ranking_loss, [(A, B, SIGNS)], grid(margin=[0.0, 0.3])),
    losses.soft_margin: (F.soft_margin_loss, [(A, SIGNS), (40 * A, SIGNS)], grid()),
    losses.triplet_margin: (
        F.triplet_margin_loss,
        [(A, B, C), (A[0], B[0], C[0])],
        grid(margin=[1.0, 0.3], p=[2.0, 3.0], eps=[1e-6, 0.1], swap=[False, True]),
    ),
    losses.cosine_embedding: (
        F.cosine_embedding_loss,
        [(A, B, ROW_SIGNS), (A[0], B[0], ROW_SIGNS[0])],
        grid(margin=[0.0, 0.3]),
    ),
    losses.ctc: (F.ctc_loss, [CTC, TOO_SHORT], grid(blank=[0], zero_infinity=[False, True])),
}
every_loss = pytest.mark.parametrize("loss", [pytest.param(loss, id=loss.__name__) for loss in TABLE])


def cases(loss):
    """`(loss, twin, arguments)` with the options bound."""
    twin, argument_lists, options = TABLE[loss]
    reductions = (*REDUCTIONS, "batchmean") if loss is losses.kl_divergence else REDUCTIONS
    for arguments, reduction, chosen in itertools.product(argument_lists, reductions, options):
        bound = {"reduction": reduction, **chosen}
        if loss is losses.ctc:  # torch's derivative is right only with a log_softmax before it
            yield after_log_softmax(loss, bound), after_log_softmax(twin, bound), arguments
            continue
        yield functools.partial(loss, **bound), functools.partial(twin, **bound), arguments


def after_log_softmax(ctc, options):
    return lambda logits, *rest: ctc(logits.log_softmax(-1), *rest, **options)


def floating(arguments):
    return tuple(i for i, a in enumerate(arguments) if torch.is_tensor(a) and a.is_floating_point())


def weighted_sum(y):
    return (y * torch.linspace(1, 2, y.numel(), dtype=y.dtype).view_as(y)).sum()


def differentiated(loss, arguments):
    """The numbers of the floating arguments of which the twin has a derivative, which is NaN for counts of zero."""
    return (0,) if loss in (losses.soft_margin, losses.poisson_nll) else floating(arguments)


def by_autograd(twin, arguments, positions):
    leaves = [a.clone().requires_grad_() if i in positions else a for i, a in enumerate(arguments)]
    wanted = [leaves[i] for i in positions]
    return torch.autograd.grad(weighted_sum(twin(*leaves)), wanted, allow_unused=True, materialize_grads=True)


def by_transform(loss, arguments, positions):
    return transforms.grad(lambda *a: weighted_sum(loss(*a)), positions)(*arguments)


def test_every_loss_is_tested():
    assert {loss.__name__ for loss in TABLE} == set(losses.__all__) - {"nll", "cross_entropy", "mse"}


@every_loss
@pytest.mark.filterwarnings("ignore:reduction")
def test_equals_torch_with_its_gradients(loss):
    for mine, twin, arguments in cases(loss):
        torch.testing.assert_close(mine(*arguments), twin(*arguments), rtol=1e-12, atol=1e-12, equal_nan=True)
        positions = differentiated(loss, arguments)
        expected = by_autograd(twin, arguments, positions)
        if loss is losses.ctc:
            expected = [leaf.nan_to_num(0.0) for leaf in expected]  # of an infinite loss: torch's is NaN
        results = by_transform(mine, arguments, positions)
        torch.testing.assert_close(list(results), list(expected), rtol=1e-10, atol=1e-10, equal_nan=True)


@every_loss
@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
def test_vmap_is_a_loop(loss):
    for mine, _, arguments in cases(loss):
        positions = differentiated(loss, arguments)
        mapped = [torch.stack([a, a.flip(0) if a.ndim else a]) if torch.is_tensor(a) else a for a in arguments]
        if loss is losses.ctc:
            mapped[1:] = [torch.stack([a, a]) for a in arguments[1:]]
        dims = tuple(0 if torch.is_tensor(a) else None for a in arguments)

        def f(*arguments, mine=mine, positions=positions):
            return mine(*arguments), *by_transform(mine, arguments, positions)

        members = [[a[i] if torch.is_tensor(a) else a for a in mapped] for i in range(2)]
        looped = [torch.stack(results) for results in zip(*(f(*member) for member in members), strict=True)]
        torch.testing.assert_close(list(transforms.vmap(f, dims)(*mapped)), looped, equal_nan=True)


def test_compiled_is_eager(device):
    """Every loss, with the last of its options, in one graph."""

    def to_device(value):
        return value.to(device) if torch.is_tensor(value) else value

    chosen = []
    for loss, (_, argument_lists, options) in TABLE.items():
        bound = {name: to_device(value) for name, value in (options[-1]).items()}
        chosen.append((functools.partial(loss, **bound), tuple(to_device(a) for a in argument_lists[0])))

    def everything(arguments):
        return [(f(*a), by_transform(f, a, (0,))) for (f, _), a in zip(chosen, arguments, strict=True)]

    arguments = [a for _, a in chosen]
    torch.testing.assert_close(transforms.jit(everything)(arguments), everything(arguments))


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_dtypes(loss, dtype):
    if loss is losses.ctc and dtype == torch.bfloat16:
        pytest.skip("torch computes it in float32 and float64 only")
    arguments = [a.to(dtype) if torch.is_tensor(a) and a.is_floating_point() else a for a in TABLE[loss][1][0]]
    expected = loss(*[a.double() if torch.is_tensor(a) and a.is_floating_point() else a for a in arguments])
    result = loss(*arguments)
    assert result.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float32 else 0.03
    torch.testing.assert_close(result.double(), expected, rtol=tolerance, atol=tolerance)


def test_variances_below_eps_keep_their_derivative():
    tiny = torch.full((3,), 1e-9, dtype=torch.float64)
    _, _, gradient = transforms.grad(losses.gaussian_nll, (0, 1, 2))(A[0, :3], B[0, :3], tiny)
    assert (gradient < 0).all()


def test_soft_margin_is_finite_where_torchs_overflows():
    score, target = torch.tensor([200.0]), torch.tensor([-1.0])
    assert F.soft_margin_loss(score, target).isinf()
    assert losses.soft_margin(score, target) == 200


def test_kl_divergence_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        losses.kl_divergence(LOG_P, LOG_Q.exp())


def test_ctc_of_log_probabilities_of_minus_infinity():
    """A class of probability zero, which the alignments can avoid."""
    certain = torch.full((4, 1, 3), 0.5, dtype=torch.float64)
    certain[:, :, 2] = 0
    arguments = certain.log(), torch.tensor([[1]]), torch.tensor([4]), torch.tensor([1])
    torch.testing.assert_close(losses.ctc(*arguments), F.ctc_loss(*arguments))
    assert transforms.grad(losses.ctc)(*arguments).isfinite().all()
    certain[0, :, :2] = 0  # now none can begin
    arguments = certain.log(), *arguments[1:]
    assert losses.ctc(*arguments).isinf()
    assert (transforms.grad(losses.ctc)(*arguments) == 0).all()


def test_ctc_of_one_sample():
    arguments = SPEECH[:, 0], CTC[1][0], torch.tensor(8), torch.tensor(3)
    torch.testing.assert_close(losses.ctc(*arguments, reduction="none"), F.ctc_loss(*arguments, reduction="none"))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.ctc(SPEECH, torch.tensor([1, 2, 3]), *CTC[2:]), r"ctc: expected targets of .* got \(3,\)"),
        (lambda: losses.ctc(*CTC, blank=6), "ctc: expected a blank from 0 to 5, got 6"),
        (lambda: losses.smooth_l1(A, B, beta=-1), "smooth_l1: expected beta >= 0, got -1"),
        (lambda: losses.huber(A, B, delta=0), "huber: expected delta > 0, got 0"),
        (lambda: losses.multi_margin(A, classes(4), p=3), "multi_margin: expected p of 1 or 2, got 3"),
        (lambda: losses.multilabel_margin(A, LABELS[:, :3]), r"expected targets of shape \(4, 5\).* got \(4, 3\)"),
        (lambda: losses.margin_ranking(A, B[0], SIGNS), r"margin_ranking: expected three .*\(4, 5\) and \(5,\)"),
        (lambda: losses.triplet_margin(A, B[0], C), r"triplet_margin: expected three .*\(4, 5\) and \(5,\)"),
        (lambda: losses.triplet_margin(A, B, C, margin=0), "triplet_margin: expected margin > 0, got 0"),
        (lambda: losses.gaussian_nll(A, B, P[:2]), r"gaussian_nll: expected variances of shape \(4, 5\).*got \(2, 5\)"),
        (lambda: losses.gaussian_nll(A, B, -1.0), "gaussian_nll: expected variances >= 0, got -1"),
        (lambda: losses.soft_margin(A, SIGNS, reduction="average"), "'none', 'mean' or 'sum', got 'average'"),
        (lambda: losses.binary_cross_entropy(P, Q[0]), r"expected targets of shape \(4, 5\), got \(5,\)"),
    ],
)
def test_wrong_use(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_probabilities_outside_zero_to_one_are_an_error():
    with pytest.raises(RuntimeError, match="between 0 and 1"):
        losses.binary_cross_entropy(A, Q)
