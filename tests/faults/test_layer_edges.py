"""What layers and losses refuse, each by its name, and what they take: batches of none, lists of lengths."""

import inspect

import pytest
import torch

from funcdl import losses, nn, random, testing, transforms, tree
from tests.nn.cases import NAMED_CASES
from tests.nn.test_battery import inputs_of, twin_of

NAN = float("nan")
RECURRENT = (nn.rnn, nn.gru, nn.lstm)


def ramp(*shape):
    return torch.linspace(0.1, 0.9, torch.Size(shape).numel()).view(shape)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("make", RECURRENT)
def test_a_recurrent_network_of_no_sequences(make, bidirectional):
    layer = make(4, 2, batch_first=True, bidirectional=bidirectional)
    x = torch.ones(0, 5, 3)
    params, _ = layer.init(random.key(0), x)
    for inputs in (x, {"input": x, "lengths": []}):
        y, last = layer(params, inputs)
        assert y.shape == (0, 5, 8 if bidirectional else 4)
        assert all(part.shape == (4 if bidirectional else 2, 0, 4) for part in tree.leaves(last))
        slopes = transforms.grad(lambda params, inputs=inputs: layer(params, inputs)[0].sum())(params)
        assert all(leaf.eq(0).all() for leaf in tree.leaves(slopes))
    with pytest.raises(ValueError, match=r"expected \(batch, time, inputs\)"):
        layer(params, torch.ones(2, 0, 3))


@pytest.mark.parametrize("make", RECURRENT)
def test_lengths_may_be_a_list(make):
    layer = make(4)
    x = random.normal(random.key(1), (5, 2, 3))
    params, _ = layer.init(random.key(0), x)
    expected = layer(params, (x, None, torch.tensor([5, 2])))
    for lengths in ([5, 2], (5, 2)):
        found = layer(params, {"input": x, "lengths": lengths})
        assert all(torch.equal(a, b) for a, b in zip(tree.leaves(found), tree.leaves(expected), strict=True))
    layer(params, {"input": x[:, 0], "lengths": 3})
    with pytest.raises(ValueError, match=r"expected lengths from 0 to 5, .* got \[7, 1\]"):
        layer(params, {"input": x, "lengths": [7, 1]})
    with pytest.raises(TypeError, match="expected lengths of an integer dtype"):
        layer(params, {"input": x, "lengths": [2.5, 1.0]})


def without_batch(x):
    return tree.map(lambda leaf: leaf[:0], x)


# Layers of other families have their batch elsewhere, or no twin that takes none.
BATCH_FIRST = [
    pytest.param(case, id=name)
    for name, case in NAMED_CASES
    if not name.startswith(("rnn0", "rnn1", "gru0", "gru1", "gru2", "lstm0", "lstm1", "lstm2", "multihead", "transf"))
]


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("case", BATCH_FIRST)
def test_a_batch_of_none_is_the_twins(case, train):
    x = inputs_of(case)
    params, buffers = case.layer.init(random.key(0), x)
    y, after = case.layer.apply(params, buffers, without_batch(x), key=random.key(1), train=train)
    assert all(leaf.isfinite().all() for leaf in tree.leaves(after))
    try:
        with torch.random.fork_rng():
            twin = twin_of(case, params, buffers).train(train)
            expected = testing.call(twin, without_batch(x))
    except (RuntimeError, IndexError, ValueError):
        return  # the twin refuses
    shapes, expected_shapes = ([tuple(leaf.shape) for leaf in tree.leaves(value)] for value in (y, expected))
    assert shapes == expected_shapes
    if "num_batches_tracked" in buffers and not isinstance(twin, torch.nn.modules.instancenorm._InstanceNorm):
        torch.testing.assert_close(after, dict(twin.named_buffers()))


REQUIRED = {
    "linear": (3,), "bilinear": (3,), "embedding": (5, 3), "embedding_bag": (5, 3), "conv2d": (4, 3),
    "conv_transpose2d": (4, 3), "group_norm": (2,), "layer_norm": (4,), "rms_norm": (4,), "local_response_norm": (3,),
    "pixel_shuffle": (2,), "pixel_unshuffle": (2,), "multihead_attention": (2,), "transformer_encoder_layer": (2,),
    "transformer_decoder_layer": (2,), "rnn": (4,), "gru": (4,), "lstm": (4,), "rnn_cell": (4,), "gru_cell": (4,),
    "lstm_cell": (4,), "max_pool2d": (2,), "avg_pool2d": (2,), "lp_pool2d": (2.0, 2), "adaptive_avg_pool2d": (2,),
    "zero_pad2d": (1,), "constant_pad2d": (1, 0.0), "min_pool2d": (2,), "circular_pad2d": (1,),
    "transformer_encoder": (nn.relu(), 2), "transformer_decoder": (nn.relu(), 2),
    "repeat": (torch.tanh, 2), "tied": (torch.tanh, 2),
}  # fmt: skip
SIZES = [
    "out_features", "num_embeddings", "embedding_dim", "out_channels", "kernel_size", "stride", "dilation", "groups",
    "num_groups", "hidden_size", "num_layers", "nhead", "num_heads", "dim_feedforward", "upscale_factor",
    "downscale_factor", "output_size", "size", "n", "num_parameters",
]  # fmt: skip
FRACTIONS = ["p", "dropout", "momentum"]
OTHERS = {"eps": (-1e-5, NAN), "layer_norm_eps": (-1e-5, NAN), "alpha": (NAN,), "negative_slope": (NAN,),
          "lambd": (-1, NAN), "beta": (NAN,), "k": (NAN,), "init": (NAN,), "padding": (2.5, NAN),
          "lower": (NAN,), "min_val": (2, NAN), "norm_type": (0, NAN)}  # fmt: skip
WRONG = {**dict.fromkeys(SIZES, (-1, 2.5, NAN)), **dict.fromkeys(FRACTIONS, (-0.1, 1.5, NAN)), **OTHERS}


def wrong_calls():
    """Every constructor with every argument that has a range, at values outside of it."""
    for name in nn.__all__:
        constructor = getattr(nn, name)
        for position, argument in enumerate(inspect.signature(constructor).parameters):
            if argument == "alpha" and name == "celu":
                yield name, position, argument, 0
            for value in WRONG.get(argument, ()):
                init_is_a_function = name == "parametric"
                if name.endswith(("1d", "3d")) or inspect.isclass(constructor) or init_is_a_function:
                    continue
                yield name, position, argument, value


@pytest.mark.parametrize(("name", "position", "argument", "value"), wrong_calls())
def test_arguments_out_of_range(name, position, argument, value):
    required = [*REQUIRED.get(name, ())]
    options = {argument: value}
    if position < len(required):
        required[position] = options.pop(argument)
    with pytest.raises(ValueError, match="expected"):
        getattr(nn, name)(*required, **options)


A, COLUMN, ROW = ramp(3), ramp(3, 1), ramp(1, 3)
TWO_ARGUMENTS = ["mse", "l1", "smooth_l1", "huber", "poisson_nll", "kl_divergence", "binary_cross_entropy",
                 "binary_cross_entropy_with_logits", "soft_margin", "multilabel_soft_margin", "hinge_embedding",
                 "multilabel_margin"]  # fmt: skip


@pytest.mark.parametrize("name", [name for name in losses.__all__ if name in TWO_ARGUMENTS])
def test_losses_do_not_broadcast_predictions_and_targets(name):
    loss = getattr(losses, name)
    for predictions, targets in ((COLUMN, A), (A, COLUMN), (COLUMN, ROW), (ramp(2, 3), A)):
        with pytest.raises(ValueError, match=r"\((3,|3, 1|2, 3|1, 3)\)|\[(3|3, 1)\]"):
            loss(predictions, targets.long() if name == "multilabel_margin" else targets)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.gaussian_nll(COLUMN, A, torch.ones(3, 1)), r"gaussian_nll: .* \(3, 1\), got \(3,\)"),
        (lambda: losses.gaussian_nll(A, A, A, eps=-1), "gaussian_nll: expected eps > 0, got -1"),
        (lambda: losses.margin_ranking(COLUMN, ROW, COLUMN), "margin_ranking: expected three tensors of one shape"),
        (lambda: losses.triplet_margin(ramp(2, 3), ROW, ROW), "triplet_margin: expected three tensors of one"),
        (lambda: losses.triplet_margin(ROW, ROW, ROW, p=0), "triplet_margin: expected p > 0 and eps >= 0, got 0"),
        (lambda: losses.triplet_margin(ROW, ROW, ROW, margin=NAN), "triplet_margin: expected margin > 0, got nan"),
        (lambda: losses.cosine_embedding(ramp(2, 3), ROW, torch.ones(2)), r"second of shape \(2, 3\), got \(1,"),
        (lambda: losses.cosine_embedding(ROW, ROW, torch.ones(1, 1)), r"targets of shape \(1,\), got \(1, 1\)"),
        (lambda: losses.cosine_embedding(ROW, ROW, torch.ones(1), margin=2), "margin from -1 to 1, got 2"),
        (lambda: losses.multi_margin(ramp(2, 3), torch.tensor([0])), r"targets of shape \(2,\), got \(1,\)"),
        (lambda: losses.nll(ramp(2, 3), torch.tensor([[0], [1]])), r"nll: .* \(2,\), got \(2, 1\)"),
        (lambda: losses.nll(ramp(2, 3), torch.tensor([0, 1]), weight=torch.ones(2)), r"weight of shape \(3,\)"),
        (lambda: losses.cross_entropy(ramp(2, 3), torch.tensor([0, 1]), label_smoothing=2), "from 0 to 1, got 2"),
        (lambda: losses.cross_entropy(ramp(2, 3), ramp(2, 3), label_smoothing=-0.1), "from 0 to 1, got -0"),
        (lambda: losses.cross_entropy(ramp(2, 3), ramp(1, 3)), r"targets of shape \(2, 3\), got \(1, 3\)"),
        (lambda: losses.l1(A, A, weight=torch.ones(1)), r"l1: expected weight of shape \(3,\), got \(1,\)"),
        (lambda: losses.binary_cross_entropy_with_logits(COLUMN, COLUMN, pos_weight=A), "pos_weight that broadcasts"),
        (lambda: losses.poisson_nll(A, A, eps=-1), "poisson_nll: expected eps >= 0, got -1"),
        (lambda: losses.huber(A, A, delta=NAN), "huber: expected delta > 0, got nan"),
        (lambda: losses.smooth_l1(A, A, beta=NAN), "smooth_l1: expected beta >= 0, got nan"),
    ],
)
def test_losses_refuse(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("name", losses.__all__)
def test_a_mistyped_reduction(name):
    a, numbers, signs = ramp(2, 3), torch.tensor([0, 1]), torch.ones(2, 3)
    arguments = {
        "nll": (a, numbers), "cross_entropy": (a, numbers), "multi_margin": (a, numbers), "gaussian_nll": (a, a, a),
        "multilabel_margin": (a, torch.tensor([[0, -1, 1]] * 2)), "margin_ranking": (a, a, signs),
        "triplet_margin": (a, a + 1, a), "cosine_embedding": (a, a, torch.ones(2)),
        "ctc": (ramp(4, 2, 3), torch.tensor([[1], [2]]), torch.tensor([4, 4]), torch.tensor([1, 1])),
    }.get(name, (a, a))  # fmt: skip
    for wrong in ("avg", "means", None):
        with pytest.raises(ValueError, match=f"reduction.*{wrong}"):
            getattr(losses, name)(*arguments, reduction=wrong)


OUT_OF_RANGE = (-1, 5, 10**6)


@pytest.mark.parametrize("index", OUT_OF_RANGE)
def test_an_index_out_of_range_below_vmap_is_nan(index):
    """Not a row of another member, as torch has it."""
    weights = random.normal(random.key(0), (3, 5, 2))
    indices = torch.tensor([[0, 1], [index, 2], [3, 4]])
    for layer in (nn.embedding(5, 2), nn.embedding(5, 2, padding_idx=0)):

        def f(weight, indices, layer=layer):
            return layer({"weight": weight}, indices)

        y = transforms.vmap(f)(weights, indices)
        assert y[1, 0].isnan().all()
        assert y.isnan().sum() == 2
        slopes = transforms.vmap(transforms.grad(lambda w, i, f=f: f(w, i).sum()))(weights, indices)
        assert slopes[1].isnan().any()
        assert slopes[[0, 2]].isfinite().all()
        with pytest.raises(IndexError):
            f(weights[0], indices[1])
    bag = nn.embedding_bag(5, 2)
    assert transforms.vmap(lambda w, i: bag({"weight": w}, i[None]))(weights, indices)[1].isnan().all()


def test_class_numbers_and_indices_out_of_range_compiled():
    """A gradient alone forgets to look its numbers up; a loss that is used raises or is NaN."""
    embedding = nn.embedding(5, 2)

    def slopes(weight, indices, logits, targets):
        embedded = transforms.grad(lambda w: embedding({"weight": w}, indices).sum())(weight)
        found = [transforms.grad(lambda x, f=f: f(x, targets))(logits) for f in (losses.nll, losses.cross_entropy)]
        return [embedded, embedding({"weight": weight}, indices), *found]

    weight, logits = random.normal(random.key(0), (5, 2)), random.normal(random.key(1), (3, 4)).log_softmax(-1)
    arguments = weight, torch.tensor([0, 4]), logits, torch.tensor([0, -100, 3])
    compiled = transforms.jit(slopes)
    torch.testing.assert_close(compiled(*arguments), slopes(*arguments))
    for index, target in ((5, 4), (-1, -1), (10**6, 10**6)):
        found = compiled(weight, torch.tensor([0, index]), logits, torch.tensor([0, target, 3]))
        assert found[0].isnan().any()
        assert found[1][1].isnan().all()
        assert found[1][0].isfinite().all()
        for slope in found[2:]:
            assert slope[1].isnan().all()
            assert slope[[0, 2]].isfinite().all()


@pytest.mark.parametrize("loss", [losses.nll, losses.cross_entropy])
def test_class_numbers_out_of_range(loss):
    logits = torch.zeros(2, 3, 4)
    for wrong in (3, -1):
        targets = torch.zeros(2, 4, dtype=torch.int64).index_fill(1, torch.tensor([1]), wrong)
        for f in (loss, transforms.grad(loss)):
            with pytest.raises((IndexError, RuntimeError)):
                f(logits, targets)
            with pytest.raises((IndexError, RuntimeError)):
                transforms.vmap(f)(logits[None], targets[None])


WITH_PARAMETERS = [pytest.param(case, id=name) for name, case in NAMED_CASES if name.endswith("0")]


@pytest.mark.parametrize("case", WITH_PARAMETERS)
def test_each_missing_parameter_is_named(case):
    x = inputs_of(case)
    params, buffers = case.layer.init(random.key(0), x)
    for path in tree.paths(params):
        without = tree.map(lambda leaf: leaf, params)
        *levels, last = path.split(".")
        parent = without
        for level in levels:
            parent = parent[level]
        del parent[last]
        with pytest.raises(KeyError, match=rf"^\w+(\(.*\))?: expected a parameter '({last}|\w+)', got ") as caught:
            case.layer.apply(without, buffers, x)
        assert str(caught.value).endswith("pass what init() returned")


def test_missing_parameters_and_buffers():
    layer = nn.linear(2)
    with pytest.raises(KeyError, match=r"linear\(2\): expected a parameter 'weight', got 'w', 'b'; pass what init"):
        layer({"w": 1, "b": 2}, torch.ones(3))
    with pytest.raises(KeyError, match=r"linear\(2\): expected a parameter 'weight', got tuple"):
        layer((torch.ones(2, 3),), torch.ones(3))
    with pytest.raises(KeyError, match="expected a parameter 'weight', got none") as caught:
        nn.serial(nn.relu(), nn.linear(2))({"0": {}}, torch.ones(3))
    assert caught.value.__notes__ == ["in layer 1"]
    with pytest.raises(KeyError, match=r"batch_norm1d\(\): expected a buffer 'running_mean', got none"):
        nn.batch_norm1d(affine=False).apply({}, {}, torch.ones(3, 2))


def test_apply_and_init_that_return_no_pair():
    """A tensor of two rows could be taken for an output and buffers."""
    x = torch.ones(2, 3)
    alone = nn.Layer(lambda key, x: ({}, {}), lambda params, buffers, x, *, key=None, train=False: x)
    for model in (nn.serial(torch.tanh, alone), nn.parallel(torch.tanh, alone), nn.residual(nn.serial(alone))):
        with pytest.raises(TypeError, match=r"layer \d: expected apply\(\) to return \(y, buffers\), got a Tensor"):
            model.apply({}, {}, x)
        with pytest.raises(TypeError, match=r"layer \d: expected apply\(\) to return \(y, buffers\), got a Tensor"):
            model.init(random.key(0), x)
    with pytest.raises(TypeError, match=r"expected apply\(\) to return \(y, buffers\), got a Tensor"):
        alone({}, x)
    lacking = nn.Layer(lambda key, x: {}, lambda params, buffers, x, *, key=None, train=False: (x, buffers))
    with pytest.raises(TypeError, match=r"layer 0: expected init\(\) to return \(params, buffers\), got a dict"):
        nn.serial(lacking).init(random.key(0), x)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_the_eps_of_rms_norm_is_that_of_what_is_computed_in(dtype):
    x = torch.full((4,), 2e-4, dtype=dtype)
    eps = torch.finfo(torch.promote_types(dtype, torch.float32)).eps
    expected = x.double() / (x.double().square().mean() + eps).sqrt()
    torch.testing.assert_close(nn.rms_norm(4, elementwise_affine=False)({}, x).double(), expected, rtol=1e-2, atol=0)
