import pytest
import torch

from funcdl import interop, nn, random, testing, transforms, tree
from funcdl.nn.recurrent import dispatch
from tests.twins.sequences import packed

T = torch.nn
KEY = random.key(3)
CONSTRUCTORS = [(nn.rnn, T.RNN), (nn.gru, T.GRU), (nn.lstm, T.LSTM)]
SHARP = {"rtol": 1e-10, "atol": 1e-10}
every_kind = pytest.mark.parametrize(("constructor", "twin"), CONSTRUCTORS)


def meta(twin, *args, **kwargs):
    """The module with values of ours, so that torch's global generator has no part in it."""
    module = twin(*args, **kwargs, device="meta").to_empty(device="cpu").double()
    for i, parameter in enumerate(module.parameters()):
        parameter.data = random.normal(random.fold_in(KEY, i), parameter.shape, std=0.5, dtype=torch.float64)
    return module


def draw(*shape, seed=1):
    return random.normal(random.key(seed), shape, dtype=torch.float64)


@every_kind
@pytest.mark.parametrize("lengths", [(5, 1, 3), (5, 5, 5), (2, 2, 1)])
def test_lengths_equal_a_packed_sequence(constructor, twin, lengths):
    module = meta(packed(twin), 3, 4, 2, bidirectional=True)
    inputs = {"input": draw(5, 3, 3), "lengths": torch.tensor(lengths)}
    testing.assert_matches_module(constructor(4, 2, bidirectional=True), module, inputs, **SHARP)


@every_kind
def test_one_sequence_is_a_batch_of_one(constructor, twin):
    x = draw(5, 3)
    testing.assert_matches_module(constructor(4, 2, bidirectional=True), meta(twin, 3, 4, 2, bidirectional=True), x)
    testing.assert_matches_module(constructor(4, batch_first=True), meta(twin, 3, 4, batch_first=True), x)
    layer = constructor(4, bidirectional=True)
    params, _ = layer.init(KEY, x)
    single = layer(params, {"input": x, "lengths": torch.tensor(3)})
    batch = layer(params, {"input": x.unsqueeze(1), "lengths": torch.tensor([3])})
    torch.testing.assert_close(tree.leaves(single), [leaf.squeeze(1) for leaf in tree.leaves(batch)])


@every_kind
def test_an_empty_sequence_keeps_its_state(constructor, twin):
    layer = constructor(4, bidirectional=True)
    x, hx = draw(5, 2, 3), draw(2, 2, 4, seed=2)
    hx = (hx, draw(2, 2, 4, seed=3)) if constructor is nn.lstm else hx
    params, _ = layer.init(KEY, x)
    y, last = layer(params, {"input": x, "hx": hx, "lengths": torch.tensor([0, 4])})
    assert not y[:, 0].any()
    assert all(torch.equal(a[:, 0], b[:, 0]) for a, b in zip(tree.leaves(last), tree.leaves(hx), strict=True))


@every_kind
def test_padding_steps_do_not_matter(constructor, twin):
    layer = constructor(4, 2, bidirectional=True)
    x, lengths = draw(5, 2, 3), torch.tensor([2, 4])
    params, _ = layer.init(KEY, x)

    def f(params, x):
        y, last = layer(params, {"input": x, "lengths": lengths})
        return y.sum() + sum(leaf.sum() for leaf in tree.leaves(last)), (y, last)

    (by_params, gradient), results = transforms.grad(f, (0, 1), has_aux=True)(params, x)
    assert not gradient[2:, 0].any()
    assert not gradient[4:, 1].any()
    assert gradient[:2, 0].all()
    for strange in (torch.nan, torch.inf, 1e30):
        x[2:, 0], x[4:, 1] = strange, -strange
        found = transforms.grad(f, (0, 1), has_aux=True)(params, x)
        same = zip(tree.leaves(found), tree.leaves(((by_params, gradient), results)), strict=True)
        assert all(torch.equal(one, other) for one, other in same)


@every_kind
def test_the_fused_loop_equals_the_plain_loop(constructor, twin, monkeypatch, device):
    """Values and first derivatives, in all that `first_order_only` lets through, against the loop of cell steps."""
    layer = constructor(4, 2, bidirectional=True)
    x = draw(6, 3, 2).to(device)
    params, _ = layer.init(random.key(0, device=device), x)
    lengths = torch.tensor([6, 2, 5], device=device)

    def f(params, x):
        y, last = layer(params, {"input": x, "lengths": lengths})
        return (y**2).sum() + sum((leaf**3).sum() for leaf in tree.leaves(last)), (y, last)

    fast = transforms.grad(f, (0, 1), has_aux=True)(params, x)
    torch.testing.assert_close(f(params, x)[1], fast[1], **SHARP)  # by torch's own operator, where there is no gradient
    monkeypatch.setattr(dispatch, "first_order_only", lambda: False)
    plain = transforms.grad(f, (0, 1), has_aux=True)(params, x)
    torch.testing.assert_close(tree.leaves(fast), tree.leaves(plain), **SHARP)


@pytest.mark.parametrize("wrap", [lambda f: f, transforms.jit], ids=["eager", "jit"])
@pytest.mark.parametrize("used", [lambda y, h, c: y, lambda y, h, c: h, lambda y, h, c: c], ids=["y", "h", "c"])
def test_an_lstm_with_one_used_output(used, wrap):
    module, layer, x = meta(T.LSTM, 3, 4, bidirectional=True), nn.lstm(4, bidirectional=True), draw(5, 2, 3)

    def cost(results):
        y, (h, c) = results
        return (used(y, h, c) ** 2).sum()

    params, _ = interop.from_state_dict(module.state_dict(), *layer.init(KEY, x))
    found = wrap(transforms.grad(lambda params: cost(layer(params, x))))(params)
    expected = torch.autograd.grad(cost(module(x)), list(module.parameters()))
    names = [name for name, _ in module.named_parameters()]
    torch.testing.assert_close([found[name] for name in names], list(expected), **SHARP)


@every_kind
def test_second_derivatives(constructor, twin):
    layer = constructor(3)
    x = draw(4, 2, 2)
    params, _ = layer.init(KEY, x)

    def f(x):
        return (layer(params, x)[0] ** 2).sum()

    v, eps = draw(4, 2, 2, seed=5), 1e-6
    slope = (transforms.grad(f)(x + eps * v) - transforms.grad(f)(x - eps * v)) / (2 * eps)
    torch.testing.assert_close(transforms.hessian_vector_product(f, x, v), slope, rtol=1e-6, atol=1e-8)
    twice = transforms.grad(lambda x: (transforms.grad(f)(x) * v).sum())(x)
    torch.testing.assert_close(twice, slope, rtol=1e-6, atol=1e-8)
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(f(leaf), leaf, create_graph=True)
    torch.testing.assert_close(torch.autograd.grad((gradient * v).sum(), leaf)[0], slope, rtol=1e-6, atol=1e-8)


@every_kind
def test_dropout_between_layers(constructor, twin):
    layer, x = constructor(50, 2, dropout=0.5), draw(3, 4, 5)
    params, _ = layer.init(KEY, x)
    below = constructor(50)
    first, _ = below({name: leaf for name, leaf in params.items() if "l0" in name}, x)
    kept = nn.dropout(0.5)({}, first, key=random.split(KEY)[0], train=True)
    above = {name.replace("l1", "l0"): leaf for name, leaf in params.items() if "l1" in name}
    torch.testing.assert_close(layer(params, x, key=KEY, train=True)[0], below(above, kept)[0])
    with pytest.raises(ValueError, match=r"dropout\(p=0.5\): train=True needs a key"):
        layer(params, x, train=True)
    constructor(50, dropout=0.5)(params, x, train=True)  # a single layer has nothing to drop


@pytest.mark.parametrize("constructor", [nn.rnn, nn.gru, nn.lstm, nn.rnn_cell, nn.gru_cell, nn.lstm_cell])
def test_default_distribution(constructor):
    params, _ = constructor(100).init(KEY, torch.empty(2, 60, dtype=torch.float64))
    for leaf in params.values():  # U(-0.1, 0.1), whatever the number of inputs
        scaled = leaf.flatten() * 10
        assert 0.98 < scaled.abs().max() <= 1
        assert abs(scaled.mean()) < 5 * (1 / 3 / scaled.numel()) ** 0.5
        assert abs((scaled**2).mean() - 1 / 3) < 5 * (4 / 45 / scaled.numel()) ** 0.5
    assert len({leaf.flatten()[0].item() for leaf in params.values()}) == len(params)


def test_initializers_are_used():
    ones, zeros = nn.initializers.ones, nn.initializers.zeros
    params, _ = nn.lstm(4, proj_size=2, weight_init=ones, bias_init=zeros).init(KEY, torch.empty(2, 3, 3))
    assert all((leaf == (0 if "bias" in name else 1)).all() for name, leaf in params.items())


def test_autocast(device):
    layer, x = nn.gru(4, bidirectional=True), torch.ones(3, 2, 3, device=device)
    params, _ = layer.init(random.key(0, device=device), x)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        y, _ = layer(params, x)
    torch.testing.assert_close(y.float(), layer(params, x)[0], rtol=0.05, atol=0.02)


@every_kind
def test_wrong_inputs(constructor, twin):
    layer, x = constructor(4), torch.ones(5, 2, 3)
    name = rf"{constructor.__name__}\(4\)"
    params, _ = layer.init(KEY, x)
    with pytest.raises(ValueError, match=name + r": expected lengths from 0 to 5, the time steps .* got \[6, 2\]"):
        layer(params, {"input": x, "lengths": torch.tensor([6, 2])})
    with pytest.raises(ValueError, match=name + r": expected lengths of shape \(2,\), got \(3,\)"):
        layer(params, {"input": x, "lengths": torch.tensor([1, 2, 3])})
    with pytest.raises(TypeError, match=name + r": expected lengths of an integer dtype, got torch.float32"):
        layer(params, {"input": x, "lengths": torch.ones(2)})
    with pytest.raises(ValueError, match=name + r": expected \(\.\.\., 3\), as in init\(\), got shape \(5, 2, 4\)"):
        layer(params, torch.ones(5, 2, 4))
    with pytest.raises(ValueError, match=name + r": expected \(time, batch, inputs\) or .*, got shape \(3,\)"):
        layer(params, torch.ones(3))
    with pytest.raises(ValueError, match=name + r": expected hx of shape \(1, 2, 4\).*, got \(2, 4\)"):
        layer(params, (x, torch.ones(2, 4)))
    with pytest.raises(TypeError, match=name + r": expected an input of the parameters' dtype .* got torch.float64"):
        layer(params, x.double())
    with pytest.raises(
        ValueError, match=name + r": expected the input input and of hx, lengths any, got input, length"
    ):
        layer(params, {"input": x, "length": torch.tensor([1, 2])})
    with pytest.raises(ValueError, match=name + r": expected at most 3 inputs"):
        layer(params, (x, x, x, x))


def test_impossible_options():
    with pytest.raises(ValueError, match=r"rnn\(4\): expected nonlinearity tanh or relu, got 'gelu'"):
        nn.rnn(4, nonlinearity="gelu")
    with pytest.raises(ValueError, match=r"gru\(0\): expected hidden_size and num_layers of at least 1, got 0, 1"):
        nn.gru(0)
    with pytest.raises(ValueError, match=r"lstm\(4\): expected a proj_size from 0 .* to hidden_size - 1, got 4"):
        nn.lstm(4, proj_size=4)
    with pytest.raises(ValueError, match=r"lstm_cell\(4\): expected hx of shape \(2, 4\) and \(2, 4\), got \(2, 4\)"):
        nn.lstm_cell(4)(nn.lstm_cell(4).init(KEY, torch.ones(2, 3))[0], (torch.ones(2, 3), torch.ones(2, 4)))


@every_kind
def test_float32_in_a_graph_and_in_both_directions(constructor, twin):
    """Float32 has kernels of its own, which the battery's compiled cases in float64 do not reach."""
    layer, x = constructor(4, 2, bidirectional=True), draw(5, 2, 3).float()
    params, _ = layer.init(KEY, x)
    module = twin(3, 4, 2, bidirectional=True, device="meta").to_empty(device="cpu")
    module.load_state_dict(interop.to_state_dict(params, {}))

    def f(params, x):
        return (layer(params, x)[0] ** 2).sum()

    leaf = x.clone().requires_grad_()
    expected = torch.autograd.grad((module(leaf)[0] ** 2).sum(), [*module.parameters(), leaf])
    by_name = {name: grad for (name, _), grad in zip(module.named_parameters(), expected, strict=False)}
    for gradient in (transforms.grad(f, (0, 1)), transforms.jit(transforms.grad(f, (0, 1)))):
        by_params, by_x = gradient(params, x)
        torch.testing.assert_close(by_params, by_name)
        torch.testing.assert_close(by_x, expected[-1])
