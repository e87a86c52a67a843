"""The random numbers of a module under `from_module`: from the key, with the module's distributions."""

import math

import pytest
import torch
import torch.nn.functional as F

from funcdl import interop, random, transforms
from tests.test_interop_modules import plain_kernels
from tests.twins.blocks import Function

KEY = random.key(3)


def layer_of(module):
    layer, params, _ = interop.from_module(module)
    return lambda x, key=KEY, train=True: layer(params, x, key=key, train=train)


def attention(dropout):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return torch.nn.MultiheadAttention(8, 2, dropout=dropout, batch_first=True)


DRAWING = {
    "Dropout": (torch.nn.Dropout(0.3), (50, 20)),
    "Dropout-inplace": (torch.nn.Sequential(torch.nn.Identity(), torch.nn.Dropout(0.3, inplace=True)), (50, 20)),
    "Dropout1d": (torch.nn.Dropout1d(0.3), (50, 20, 4)),
    "Dropout2d": (torch.nn.Dropout2d(0.3), (50, 20, 4, 4)),
    "Dropout3d": (torch.nn.Dropout3d(0.3), (50, 20, 2, 2, 2)),
    "AlphaDropout": (torch.nn.AlphaDropout(0.3), (50, 20)),
    "FeatureAlphaDropout": (torch.nn.FeatureAlphaDropout(0.3), (50, 20, 4)),
    "functional": (Function(lambda x: F.dropout(x, 0.3)), (50, 20)),
    "torch.dropout": (Function(lambda x: torch.dropout(x, 0.3, True)), (50, 20)),
    "rand": (Function(lambda x: x + torch.rand(50, 20)), (50, 20)),
    "rand-of-size": (Function(lambda x: x + torch.rand(x.shape, device=x.device)), (50, 20)),
    "randn": (Function(lambda x: x + torch.randn(x.shape)), (50, 20)),
    "rand_like": (Function(lambda x: x + torch.rand_like(x)), (50, 20)),
    "randn_like": (Function(lambda x: x + torch.randn_like(x)), (50, 20)),
    "bernoulli": (Function(lambda x: x + torch.bernoulli(torch.full_like(x, 0.3))), (50, 20)),
    "bernoulli-p": (Function(lambda x: x + x.bernoulli(0.3)), (50, 20)),
    "bernoulli_": (Function(lambda x: x + torch.empty(50, 20).bernoulli_(0.3)), (50, 20)),
    "uniform_": (Function(lambda x: x + torch.empty(50, 20).uniform_(2, 3)), (50, 20)),
    "normal_": (Function(lambda x: x + torch.empty(50, 20).normal_(2, 3)), (50, 20)),
}
every_draw = pytest.mark.parametrize(("module", "shape"), DRAWING.values(), ids=DRAWING)


@every_draw
def test_draws_depend_on_the_key_only(module, shape):
    f, x = layer_of(module), torch.ones(shape)
    y = f(x)
    assert torch.equal(f(x), y)
    assert not torch.equal(f(x, random.key(4)), y)
    assert torch.equal(x, torch.ones(shape))
    with pytest.raises(ValueError, match="which needs a key; pass key= to apply"):
        f(x, None)


@every_draw
def test_draws_have_the_modules_distribution(module, shape):
    """Mean, spread, and how often neighbors along the last dimensions are equal, beside the module's own."""
    x = torch.ones(shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        theirs = torch.stack([module.train()(x.clone()) for _ in range(20)])
    mine = torch.stack([layer_of(module)(x, key) for key in random.split(random.key(5), 20)])
    count = mine.numel() / math.prod(shape[2:])  # independent draws
    spread = theirs.std()
    assert abs(mine.mean() - theirs.mean()) < 6 * spread / math.sqrt(count)
    assert abs(mine.std() / spread - 1) < 6 / math.sqrt(count)
    for dim in range(1, x.ndim + 1):
        mine_equal, theirs_equal = ((y.diff(dim=dim) == 0).float().mean() for y in (mine, theirs))
        assert abs(mine_equal - theirs_equal) < 6 / math.sqrt(count)


def test_evaluation_draws_nothing():
    for name in ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout"):
        module, shape = DRAWING[name]
        x = torch.ones(shape)
        assert torch.equal(layer_of(module)(x, None, False), x)


def test_successive_draws_differ():
    y = layer_of(Function(lambda x: torch.stack([F.dropout(x), F.dropout(x)])))(torch.ones(100))
    assert not torch.equal(y[0], y[1])


@pytest.mark.parametrize("options", [{}, {"need_weights": False}])
def test_dropout_within_multi_head_attention(options):
    x = random.normal(random.key(1), (3, 5, 8))
    module = attention(0.5)
    layer, params, _ = interop.from_module(module)
    arguments = {"query": x, "key": x, "value": x, **options}
    without = attention(0.0)(**arguments)[0]

    def f(key):
        return layer(params, arguments, key=key, train=True)[0]

    with plain_kernels(module.eval()):
        assert torch.equal(layer(params, arguments)[0], module(**arguments)[0])
    assert torch.equal(f(KEY), f(KEY))
    assert not torch.equal(f(KEY), without)
    mean = torch.stack([f(key) for key in random.split(random.key(2), 2000)]).mean(0)
    torch.testing.assert_close(mean, without, rtol=0, atol=0.05)
    assert (f(KEY) - without).abs().max() > 0.2  # so that the closeness of the mean says something


@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"scale": 0.1}, {"mask": "bool"}, {"mask": "float"}])
def test_dropout_within_attention(options):
    query, key_, value = (random.normal(random.key(i), (2, 4, 5, 8)) for i in range(3))
    options = dict(options)
    if mask := options.pop("mask", None):
        banned = (torch.arange(5) > 2).expand(5, 5)
        options["attn_mask"] = ~banned if mask == "bool" else torch.zeros(5, 5).masked_fill(banned, -math.inf)
    expected = F.scaled_dot_product_attention(query, key_, value, **options)

    def f(p, key):
        module = Function(lambda *qkv: F.scaled_dot_product_attention(*qkv, dropout_p=p, **options))
        return layer_of(module)((query, key_, value), key)

    torch.testing.assert_close(f(0.0, None), expected)
    torch.testing.assert_close(f(1e-9, KEY), expected)
    mean = torch.stack([f(0.3, key) for key in random.split(random.key(2), 1000)]).mean(0)
    torch.testing.assert_close(mean, expected, rtol=0, atol=0.2)


def test_grouped_queries():
    query, key_, value = (random.normal(random.key(i), (2, heads, 5, 8)) for i, heads in enumerate((4, 2, 2)))
    module = Function(lambda *qkv: F.scaled_dot_product_attention(*qkv, dropout_p=1e-9, enable_gqa=True))
    expected = F.scaled_dot_product_attention(query, key_, value, enable_gqa=True)
    torch.testing.assert_close(layer_of(module)((query, key_, value)), expected)


def test_draws_compile_and_map(device):
    with torch.random.fork_rng(devices=[]):
        module = torch.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.5, device=device)
    layer, params, _ = interop.from_module(module)
    x = random.normal(random.key(1, device=device), (5, 3, 8))

    def f(key):
        return layer(params, x, key=key, train=True)

    keys = random.split(random.key(2, device=device), 3)
    looped = torch.stack([f(key) for key in keys])
    compiled = transforms.jit(f)
    for results in (transforms.vmap(f)(keys), torch.stack([compiled(key) for key in keys])):
        torch.testing.assert_close(results, looped, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("module", "x", "name"),
    [
        (torch.nn.RReLU(), torch.ones(3), "rrelu"),
        (Function(lambda x: F.gumbel_softmax(x)), torch.ones(3), "gumbel_softmax"),
        (Function(lambda x: x + torch.randint(3, (3,))), torch.ones(3), "randint"),
        (Function(lambda x: x.clone().exponential_()), torch.ones(3), "exponential_"),
        (torch.nn.LSTM(3, 2, 2, dropout=0.5), torch.ones(4, 3), "lstm"),
        (torch.nn.GRU(3, 2, 2, dropout=0.5), torch.ones(4, 3), "gru"),
        (torch.nn.RNN(3, 2, 2, dropout=0.5), torch.ones(4, 3), "rnn_tanh"),
    ],
)
def test_other_random_functions_are_an_error(module, x, name):
    with pytest.raises(NotImplementedError, match=rf"calls {name}, which cannot draw from a key"):
        layer_of(module)(x)


def test_recurrent_modules_without_dropout_work():
    for make in (torch.nn.LSTM, torch.nn.GRU, torch.nn.RNN):
        with torch.random.fork_rng(devices=[]):
            module = make(3, 2, 2)
        x = random.normal(KEY, (4, 3))
        packed = torch.nn.utils.rnn.pack_sequence([x, x[:2]])
        assert torch.equal(layer_of(module)(x)[0], module(x)[0])
        assert torch.equal(layer_of(module)((packed,))[0].data, module(packed)[0].data)
