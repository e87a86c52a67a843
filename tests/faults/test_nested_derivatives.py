"""Derivatives of derivatives of every layer, loss and activation, in every order and below and above `vmap`.

Each case of the layers' table and of the losses' grid is tried, so that a new one joins by its case.
"""

import itertools

import mpmath
import pytest
import torch
from torch.func import jvp

from funcdl import losses, nn, random, transforms, tree
from tests import test_losses, test_losses_grid
from tests.nn.cases import CASES
from tests.nn.cases.activation import CASES as ACTIVATIONS
from tests.nn.test_battery import floating, init_of, inputs_of

grad, vmap = transforms.grad, transforms.vmap

# torch.func warns that embedding_bag and others have no rule for vmap, and that its own scripts are deprecated
pytestmark = [
    pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning"),
]


def close(found, expected, tolerance=1e-5):
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(
            a, b, rtol=tolerance, atol=tolerance * (1 + b.abs().max().item() if b.numel() else 1)
        )


def dot(xs, ys):
    return sum((x * y).sum() for x, y in zip(xs, ys, strict=True))


def check(f, first, second, others, frozen=None):
    """Compares second derivatives of `f(a, b, rest)` in all compositions with differences of its gradient in a loop.

    Two members of each: `first` and `second` (2, size) are differentiated, `others` is a tree of what is not.
    `frozen` (size,) is True where `first` gets no gradient, whatever its differences say.
    """
    a_vectors, b_vectors = (
        random.normal(random.key(seed), x.shape, dtype=torch.float64) for seed, x in ((5, first), (6, second))
    )
    a_vectors = a_vectors if frozen is None else a_vectors.masked_fill(frozen, 0)
    vectors = (a_vectors, b_vectors)
    rests = [tree.map(lambda leaf, k=k: leaf[k], others) for k in range(2)]

    def gradient(a, b, rest):
        return grad(f, (0, 1))(a, b, rest)

    def differences(a, b, rest, v, step=1e-5):
        up, down = (gradient(a + s * v[0], b + s * v[1], rest) for s in (step, -step))
        made = [(x - y) / (2 * step) for x, y in zip(up, down, strict=True)]
        return made if frozen is None else [made[0].masked_fill(frozen, 0), made[1]]

    def reverse_reverse(a, b, rest, v):
        return grad(lambda a, b: dot(gradient(a, b, rest), v), (0, 1))(a, b)

    def forward_reverse(a, b, rest, v):
        return jvp(lambda a, b: gradient(a, b, rest), (a, b), v)[1]

    def reverse_forward(a, b, rest, v):
        return grad(lambda a, b: jvp(lambda a, b: f(a, b, rest), (a, b), v)[1], (0, 1))(a, b)

    def forward_forward(a, b, rest, v):
        def inner(a, b):
            return jvp(lambda a, b: f(a, b, rest), (a, b), v)[1]

        return [jvp(inner, (a, b), v)[1]]

    def loop(h, shared=(False, False), same_vector=False):
        results = []
        for k in range(2):
            a, b = (x[0 if same else k] for x, same in zip((first, second), shared, strict=True))
            v = tuple(x[0 if same_vector and same else k] for x, same in zip(vectors, shared, strict=True))
            results.append(h(a, b, rests[0 if shared[1] else k], v))
        return [torch.stack(parts) for parts in zip(*results, strict=True)]

    expected = loop(differences)
    slope = loop(lambda a, b, rest, v: [dot(gradient(a, b, rest), v)])
    step = 1e-6
    rise = loop(lambda a, b, rest, v: [
        (f(a + step * v[0], b + step * v[1], rest) - f(a - step * v[0], b - step * v[1], rest)) / (2 * step)
    ])  # fmt: skip
    close(slope, rise)
    close(loop(lambda a, b, rest, v: [jvp(lambda a, b: f(a, b, rest), (a, b), v)[1]]), rise)
    orders = (reverse_reverse, forward_reverse, reverse_forward)
    for h in orders:
        close(loop(h), expected)
        close(vmap(h)(first, second, others, vectors), expected)
    quadratic = [sum((x * v).sum(1) for x, v in zip(expected, vectors, strict=True))]
    close(vmap(forward_forward)(first, second, others, vectors), quadratic)

    # Of one argument alone the others have no tangent at all, which some kernels do not expect.
    a, b, rest = first[0], second[0], rests[0]
    if a.numel():
        alone = vmap(lambda v: jvp(lambda a: grad(f)(a, b, rest), (a,), (v,))[1])(a_vectors)  # a Hessian's columns
        close([alone[0]], loop(lambda a, b, rest, v: differences(a, b, rest, (v[0], torch.zeros_like(v[1]))))[0][:1])

    for shared in ((False, False), (True, False), (False, True)):
        dims = tuple(None if same else 0 for same in (*shared, shared[1]))
        a, b = (x[0] if same else x for x, same in zip((first, second), shared, strict=True))
        rest = rests[0] if shared[1] else others
        mapped = vmap(gradient, dims)
        reference = expected if shared == (False, False) else loop(differences, shared)
        summed = [x.sum(0) if same else x for x, same in zip(reference, shared, strict=True)]
        found = grad(lambda a, b, mapped=mapped, rest=rest: dot(mapped(a, b, rest), vectors), (0, 1))(a, b)
        close(found, summed)
        v = tuple(x[0] if same else x for x, same in zip(vectors, shared, strict=True))
        found = jvp(lambda a, b, mapped=mapped, rest=rest: mapped(a, b, rest), (a, b), v)[1]
        close(found, loop(differences, shared, same_vector=True))


def flat(value):
    leaves = tree.leaves(value)
    return torch.cat([leaf.reshape(-1) for leaf in leaves]) if leaves else torch.zeros(0, dtype=torch.float64)


def unflat(vector, like):
    leaves, structure = tree.flatten(like)
    parts = vector.split([leaf.numel() for leaf in leaves]) if leaves else []
    return tree.unflatten(structure, [part.view(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)])


LAYERS = [
    pytest.param(rows[index], train, id=f"{name}{index}{'' if train else '-evaluated'}")
    for name, rows in CASES.items()
    for index in sorted({len(rows) - 1} if name.endswith(("2d", "3d")) else {0, len(rows) - 1})
    for train in ((True, False) if "norm" in name else (True,))
]


@pytest.mark.parametrize(("case", "train"), LAYERS)
def test_layers(case, train):
    xs = inputs_of(case, dtype=torch.float64, members=(2,))
    first_x, *_ = tree.unstack(xs)
    (params, buffers), (others, _) = (
        init_of(case, key, first_x, torch.float64) for key in random.split(random.key(0), 2)
    )
    floats, integers = floating(xs)
    like_x = tree.map(lambda leaf: leaf[0], floats)
    frozen = None
    if case.frozen_row is not None:
        mask = tree.map(lambda leaf: (torch.arange(len(leaf)) == case.frozen_row)[:, None].expand_as(leaf), params)
        frozen = flat(mask)

    def f(p, x, rest):
        y, _ = case.layer.apply(
            unflat(p, params), buffers, tree.combine(unflat(x, like_x), rest), key=random.key(9), train=train
        )
        total = torch.zeros((), dtype=torch.float64)
        for leaf in tree.leaves(y):
            weights = torch.linspace(-1, 2, leaf.numel(), dtype=torch.float64).view(leaf.shape)
            total = total + (weights * (leaf + leaf**2 / 2 + leaf**3 / 6)).sum()
        return total

    xs_flat = torch.stack([flat(member) for member in tree.unstack(floats)]) if tree.leaves(floats) else None
    xs_flat = torch.zeros(2, 0, dtype=torch.float64) if xs_flat is None else xs_flat
    check(f, torch.stack([flat(params), flat(others)]), xs_flat, integers, frozen)


def loss_rows():
    """Each loss with each of its arguments and options, by turns with each reduction."""
    for loss, (_, argument_lists, options) in test_losses_grid.TABLE.items():
        reductions = itertools.cycle(test_losses_grid.REDUCTIONS)
        for number, (arguments, chosen) in enumerate(itertools.product(argument_lists, options)):
            yield loss, number, arguments, {"reduction": next(reductions), **chosen}
    for number, (loss, _, outputs, targets, options) in enumerate(test_losses.CALLS):
        if number % 11 == 0 or loss is losses.mse:
            yield loss, number, (outputs, targets), options


def is_whole(x):
    return not torch.is_tensor(x) or not x.is_floating_point() or bool((x == x.round()).all())


LOSSES = [
    pytest.param(*row, id=f"{row[0].__name__}{number}")
    for row in loss_rows()
    for number in [row[1]]
    if not is_whole(row[2][0])
]


@pytest.mark.parametrize(("loss", "number", "arguments", "options"), LOSSES)
def test_losses_of_mapped_predictions_and_targets(loss, number, arguments, options):
    if not loss(*arguments, **options).isfinite().all():
        pytest.skip("these arguments have an infinite loss")
    outputs, *rest = arguments
    smooth = [not is_whole(x) and loss is not losses.gaussian_nll for x in rest]  # below eps a variance has its own
    stacked = [torch.stack([x, x.flip(0) if x.ndim and loss is not losses.ctc else x]) if torch.is_tensor(x) else x
               for x in rest]  # fmt: skip
    like = [x for x, is_smooth in zip(rest, smooth, strict=True) if is_smooth]
    fixed = {str(i): x for i, x in enumerate(stacked) if torch.is_tensor(x) and not smooth[i]}

    def f(a, b, fixed):
        parts = iter(unflat(b, like))
        others = [next(parts) if smooth[i] else fixed.get(str(i), x) for i, x in enumerate(rest)]
        logits = a.view(outputs.shape)
        y = loss(logits.log_softmax(-1) if loss is losses.ctc else logits, *others, **options)
        return y if y.ndim == 0 else test_losses_grid.weighted_sum(y)

    mapped = torch.stack([flat(outputs), flat(outputs.flip(0) if loss is not losses.ctc else outputs)])
    seconds = [torch.stack([x[k].reshape(-1) for k in range(2)]) for x, s in zip(stacked, smooth, strict=True) if s]
    seconds = torch.cat(seconds, 1) if seconds else torch.zeros(2, 0, dtype=torch.float64)
    check(f, mapped, seconds, fixed)

    hessian = torch.func.hessian(f)(mapped[0], seconds[0], {name: x[0] for name, x in fixed.items()})
    assert hessian.isfinite().all()
    close([hessian], [hessian.mT], 1e-10)


@pytest.mark.parametrize("name", ["layer_norm", "batch_norm1d", "instance_norm1d"])
def test_third_derivatives_through_statistics(name):
    layer = nn.layer_norm(4) if name == "layer_norm" else getattr(nn, name)(affine=True)
    x = random.normal(random.key(0), (3, 4) if name == "layer_norm" else (3, 2, 4), dtype=torch.float64)
    params, buffers = layer.init(random.key(1), x)
    v = random.normal(random.key(2), x.shape, dtype=torch.float64)

    def f(x):
        y = layer.apply(params, buffers, x, train=True)[0]
        return (y**3 * v).sum()

    def curvature(x):
        return (transforms.hessian_vector_product(f, x, v) * v).sum()

    def plainly(x):
        (first,) = torch.autograd.grad(f(x), x, create_graph=True)
        (second,) = torch.autograd.grad((first * v).sum(), x, create_graph=True)
        return torch.autograd.grad((second * v).sum(), x)[0]

    expected = (curvature(x + 1e-5 * v) - curvature(x - 1e-5 * v)) / 2e-5
    for found in (grad(curvature)(x), jvp(grad(curvature), (x,), (v,))[0], plainly(x.clone().requires_grad_())):
        close([(found * v).sum()], [expected])


def test_the_row_of_the_padding_has_no_derivative_in_any_direction():
    layer = nn.embedding(4, 2, padding_idx=1)
    weight, indices = random.normal(random.key(0), (4, 2), dtype=torch.float64), torch.tensor([0, 1, 1, 3])

    def f(weight):
        return (layer({"weight": weight}, indices) ** 3).sum()

    hessian = torch.func.hessian(f)(weight).view(8, 8)
    assert torch.equal(hessian, hessian.mT)
    assert hessian[2:4].abs().sum() == 0
    assert jvp(f, (weight,), (torch.eye(4, dtype=torch.float64)[:, 1:2].expand(4, 2).contiguous(),))[1] == 0


def softplus(x):
    return mpmath.log(1 + mpmath.exp(x))


SMOOTH = {
    "gelu": lambda x: x * mpmath.ncdf(x),
    "silu": lambda x: x / (1 + mpmath.exp(-x)),
    "mish": lambda x: x * mpmath.tanh(softplus(x)),
    "softplus": softplus,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "log_sigmoid": lambda x: -softplus(-x),
    "tanh": mpmath.tanh,
    "tanhshrink": lambda x: x - mpmath.tanh(x),
    "elu": lambda x: x if x > 0 else mpmath.exp(x) - 1,
    "celu": lambda x: x if x > 0 else mpmath.exp(x) - 1,
    "selu": lambda x: 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * (mpmath.exp(x) - 1)),
    "softsign": lambda x: x / (1 + abs(x)),
}
LARGE = (1.5, 19.0, 36.0, 89.0, 100.0, 710.0, 1e4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", SMOOTH)
def test_derivatives_of_smooth_activations_far_out(name, dtype):
    layer = getattr(nn, name)()
    x = torch.tensor([sign * size for size in LARGE for sign in (1, -1)], dtype=dtype)
    with mpmath.workdps(40):
        exact = [[float(mpmath.diff(SMOOTH[name], mpmath.mpf(v), n, h=mpmath.mpf(10) ** -12)) for v in x.tolist()]
                 for n in (1, 2)]  # fmt: skip
    tolerance = 3e-9 if dtype == torch.float64 else 2e-6  # softplus is the identity above 20, as torch's
    for derivative, expected in zip(all_derivatives(layer, x), exact, strict=True):
        for found in derivative:
            torch.testing.assert_close(
                found.double(), torch.tensor(expected, dtype=torch.float64), rtol=tolerance, atol=tolerance
            )


@pytest.mark.parametrize("name", [name for name, rows in ACTIVATIONS.items() if rows[0].shape == (16, 3)])
def test_derivatives_of_activations_at_special_values(name):
    """All orders are finite and agree, ties and both zeros among them, which no difference can tell."""
    x = torch.tensor([0.0, -0.0, 0.5, -0.5, 3, -3, 6, 20, 1e2, -1e2, 1e4, -1e4, 1e10, -1e10], dtype=torch.float64)
    for derivative in all_derivatives(getattr(nn, name)(), x):
        for found in derivative:
            assert found.isfinite().all()
            torch.testing.assert_close(found, derivative[0], rtol=1e-6, atol=1e-12)


def all_derivatives(layer, x):
    """First and second derivatives at each element of `x`, each in every order there is."""

    def f(x):
        return layer({}, x)

    one = torch.ones_like(x)

    def forward(f):
        return lambda x: jvp(f, (x,), (torch.ones_like(x),))[1]

    def total(f):
        return lambda x: f(x).sum()

    first = [grad(total(f))(x), forward(f)(x), vmap(grad(f))(x)]
    second = [
        grad(total(grad(total(f))))(x),
        transforms.hessian_vector_product(total(f), x, one),
        grad(total(forward(f)))(x),
        forward(forward(f))(x),
        grad(lambda x: vmap(grad(f))(x).sum())(x),
    ]
    return first, second


def test_counts_of_zero_have_a_derivative():
    counts = torch.tensor([0.0, 1.0, 3.0], dtype=torch.float64)
    slope = grad(lambda t: losses.poisson_nll(torch.zeros(3, dtype=torch.float64), t, full=True, reduction="sum"))
    assert slope(counts).isfinite().all()
    assert slope(counts)[:2].eq(0).all()


@pytest.mark.parametrize("labels", [0, 2])
@pytest.mark.parametrize("zero_infinity", [False, True])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_ctc_of_no_labels_and_no_times(labels, zero_infinity, reduction):
    speech = random.normal(random.key(0), (5, 3, 4), dtype=torch.float64).log_softmax(-1)
    targets = torch.tensor([[1, 2], [3, 3], [2, 1]])[:, :labels]
    for times in ([5, 4, 3], [0, 5, 1], [0, 0, 0]):
        for counted in ([0, 0, 0], [0, 1, 2], [2, 2, 0]):
            if max(counted) > labels:
                continue
            arguments = speech, targets, torch.tensor(times), torch.tensor(counted)
            options = {"reduction": reduction, "zero_infinity": zero_infinity}
            expected = torch.nn.functional.ctc_loss(*arguments, **options)
            torch.testing.assert_close(losses.ctc(*arguments, **options), expected)
            slopes = grad(lambda x, rest=arguments[1:]: losses.ctc(x, *rest, zero_infinity=zero_infinity))(speech)
            assert slopes.isfinite().all()


BLIND = {
    "weights": (nn.multihead_attention(2, batch_first=True), "query", "attn_mask", "key_padding_mask"),
    "kernel": (nn.multihead_attention(2, batch_first=True, need_weights=False), "query", "attn_mask",
               "key_padding_mask"),
    "causal": (nn.multihead_attention(2, batch_first=True, need_weights=False, is_causal=True), "query", "attn_mask",
               "key_padding_mask"),
    "encoder": (nn.transformer_encoder_layer(2, 8, 0.0, batch_first=True), "src", "src_mask", "src_key_padding_mask"),
    "decoder": (nn.transformer_decoder_layer(2, 8, 0.0, batch_first=True), "tgt", "memory_mask",
                "memory_key_padding_mask"),
}  # fmt: skip


def blind_example(name, form):
    """A layer as a function of its parameters and mask, where query 1 of each sample, or all of sample 1, are blind."""
    layer, query, mask_name, padding_name = BLIND[name]
    x = random.normal(random.key(0), (2, 3, 4), dtype=torch.float64)
    inputs = {query: x, "memory": x} if query == "tgt" else {query: x}
    params, _ = layer.init(random.key(1), inputs)
    if form == "padding":
        mask = torch.zeros(2, 3, dtype=torch.bool).index_fill(0, torch.tensor([1]), True)
    else:
        mask = torch.zeros(3, 3, dtype=torch.bool).index_fill(0, torch.tensor([1]), True)
    if form == "float":
        mask = torch.zeros(3, 3, dtype=torch.float64).masked_fill(mask, -torch.inf)

    def f(params, mask):
        y = layer(params, {**inputs, (padding_name if form == "padding" else mask_name): mask})
        return y[0] if isinstance(y, tuple) else y

    return f, params, mask


@pytest.mark.parametrize("form", ["bool", "float", "padding"])
@pytest.mark.parametrize("name", BLIND)
def test_a_query_that_sees_no_key(name, form):
    f, params, mask = blind_example(name, form)
    y = f(params, mask)
    if name in ("weights", "kernel", "causal"):  # the heads give zero, and the outer bias is zero at first
        assert (y[1] if form == "padding" else y[:, 1]).eq(0).all()
    slopes = grad(lambda params: f(params, mask).square().sum())
    both = tree.stack([params, params])
    results = (y, slopes(params))
    assert all(leaf.isfinite().all() for leaf in tree.leaves(results))
    mapped = vmap(lambda params: (f(params, mask), slopes(params)))(both)
    for found, expected in zip(tree.leaves(mapped), tree.leaves(results), strict=True):
        torch.testing.assert_close(found[0], expected)
    curvature = transforms.hessian_vector_product(lambda params: f(params, mask).square().sum(), params, params)
    assert all(leaf.isfinite().all() for leaf in tree.leaves(curvature))


def test_a_query_that_sees_no_key_compiled():
    examples = [blind_example(name, form) for name, form in (("weights", "bool"), ("kernel", "float"))]

    def everything(examples):
        return [
            (f(params, mask), grad(lambda params, f=f, mask=mask: f(params, mask).square().sum())(params))
            for (f, _, _), (params, mask) in zip(functions, examples, strict=True)
        ]

    functions, arguments = examples, [example[1:] for example in examples]
    for found, expected in zip(
        tree.leaves(transforms.jit(everything)(arguments)), tree.leaves(everything(arguments)), strict=True
    ):
        torch.testing.assert_close(found, expected)
