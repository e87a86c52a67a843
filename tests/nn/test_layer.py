"""The Layer contract and the combinators: names, keys, buffers, errors."""

import pytest
import torch

from funcdl import nn, random, transforms, tree
from tests.nn.test_battery import assert_trees_equal

KEY = random.key(0)


def example(*shape, dtype=torch.float32):
    return torch.empty(shape, dtype=dtype, device="meta")


def counter():
    """A layer with a buffer: counts its calls in training."""

    def init(key, x):
        return {}, {"calls": torch.zeros((), dtype=torch.int64, device=key.device)}

    def apply(params, buffers, x, *, key=None, train=False):
        return x, {"calls": buffers["calls"] + 1} if train else buffers

    return nn.Layer(init, apply)


def noise():
    """A layer that returns its key's words."""
    return nn.Layer(
        lambda key, x: ({}, {}),
        lambda params, buffers, x, *, key=None, train=False: (
            torch.zeros(4, dtype=torch.int32) if key is None else random.bits(key, (4,)),
            buffers,
        ),
    )


def test_keys_of_a_block_are_those_of_torchvision():
    def conv(channels, kernel_size, stride=1):
        return nn.conv2d(channels, kernel_size, stride, kernel_size // 2, bias=False)

    def block(channels, stride, **shortcut):
        body = nn.serial(conv1=conv(channels, 3, stride), relu=nn.relu(), conv2=conv(channels, 3))
        return nn.residual(body, combine=nn.serial(nn.add(), nn.relu()), **shortcut)

    model = nn.serial(
        conv1=conv(8, 7, 2),
        maxpool=nn.max_pool2d(3, 2, 1),
        layer1=nn.serial(block(8, 1), block(8, 1)),
        layer2=nn.serial(block(16, 2, downsample=nn.serial(conv(16, 1, 2))), block(16, 1)),
        flatten=nn.flatten(),
        fc=nn.linear(10),
    )
    params, buffers = model.init(KEY, example(2, 3, 32, 32))
    assert tree.paths(params) == sorted(
        ["conv1.weight", "fc.bias", "fc.weight", "layer2.0.downsample.0.weight"]
        + [f"layer{i}.{j}.conv{k}.weight" for i in (1, 2) for j in (0, 1) for k in (1, 2)]
    )
    assert buffers == {}
    assert model(params, torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_layers_without_parameters_are_numbered_but_have_no_entry():
    params, buffers = nn.serial(nn.relu(), nn.linear(2), torch.tanh, nn.linear(3)).init(KEY, example(1, 4))
    assert list(params) == ["1", "3"]
    assert buffers == {}


def test_only_changed_buffers_are_returned_as_new():
    model = nn.serial(nn.linear(2), counter(), nn.residual(counter(), combine=nn.add()), nn.parallel(a=counter()))
    params, buffers = model.init(KEY, example(1, 3))
    assert tree.paths(buffers) == ["1.calls", "2.calls", "3.a.calls"]
    x = torch.ones(1, 3)
    assert model.apply(params, buffers, x)[1] is buffers
    _, after = model.apply(params, buffers, x, train=True)
    assert tree.leaves(after) == [1, 1, 1]
    assert tree.leaves(buffers) == [0, 0, 0]
    assert list(after) == list(buffers)


def test_buffers_keep_their_order_when_some_change():
    constant = nn.Layer(lambda key, x: ({}, {"offset": torch.ones(())}), lambda params, buffers, x, **_: (x, buffers))
    model = nn.serial(constant, counter())
    params, buffers = model.init(KEY, example(3))
    _, after = model.apply(params, buffers, torch.ones(3), train=True)
    assert list(after) == list(buffers) == ["0", "1"]
    assert after["0"] is buffers["0"]


def test_buffers_of_body_and_shortcut_are_separate():
    model = nn.residual(nn.serial(bn=counter()), shortcut=nn.serial(bn=counter()))
    params, buffers = model.init(KEY, example(3))
    assert tree.paths(buffers) == ["bn.calls", "shortcut.bn.calls"]
    _, after = model.apply(params, buffers, torch.ones(3), train=True)
    assert after == {"bn": {"calls": 1}, "shortcut": {"bn": {"calls": 1}}}


def test_without_a_shortcut_its_name_is_free_for_the_body():
    model = nn.residual(nn.serial(identity=nn.linear(3), shortcut=counter()))
    params, buffers = model.init(KEY, example(1, 3))
    assert tree.paths((params, buffers)) == ["0.identity.bias", "0.identity.weight", "1.shortcut.calls"]
    x = torch.ones(1, 3)
    y, after = model.apply(params, buffers, x, train=True)
    torch.testing.assert_close(y, x + x @ params["identity"]["weight"].T + params["identity"]["bias"])
    assert after == {"shortcut": {"calls": 1}}


def test_compiled_buffers(device):
    model = nn.serial(counter(), nn.residual(counter()))
    params, buffers = model.init(random.key(0, device=device), example(3))
    step = transforms.jit(lambda buffers, x: model.apply(params, buffers, x, train=True))
    y, after = step(buffers, torch.ones(3, device=device))
    assert tree.leaves(after) == [1, 1]
    assert y.tolist() == [2, 2, 2]


def test_layer_i_gets_child_i_of_the_key():
    words = [random.bits(random.fold_in(KEY, i), (4,)) for i in range(4)]
    parallel = nn.parallel(noise(), noise(), noise())
    assert_trees_equal(parallel({}, torch.zeros(4), key=KEY), tuple(words[:3]))
    last = nn.serial(nn.relu(), torch.relu, noise())
    assert_trees_equal(last({}, torch.zeros(4), key=KEY), words[2])
    block = nn.residual(noise(), shortcut=noise(), combine=lambda pair: torch.stack(pair))
    assert_trees_equal(block({}, torch.zeros(4), key=KEY), torch.stack(words[:2]))
    combined = nn.parallel(nn.relu(), nn.relu(), combine=noise())
    assert_trees_equal(combined({}, torch.zeros(4), key=KEY), words[2])


def test_layers_are_initialized_independently():
    params, _ = nn.serial(nn.linear(3), nn.linear(3), nn.parallel(nn.linear(3), nn.linear(3))).init(KEY, example(1, 3))
    weights = [leaf for path, leaf in tree.leaves_with_paths(params) if path.endswith("weight")]
    biases = [leaf for path, leaf in tree.leaves_with_paths(params) if path.endswith("bias")]
    assert len({tuple(leaf.flatten().tolist()) for leaf in weights}) == 4
    assert len({tuple(leaf.tolist()) for leaf in biases}) == 4


def test_repeated_layers_are_initialized_independently():
    params, _ = nn.repeat(nn.linear(3), 2).init(KEY, example(1, 3))
    assert not torch.equal(params["0"]["weight"], params["1"]["weight"])


def test_a_tied_layer_updates_key_and_buffers_at_each_application():
    words = [random.bits(random.fold_in(KEY, i), (4,)) for i in range(4)]
    heard = []

    def listen(x, key=None):
        heard.append(random.bits(key, (4,)))
        return x

    layer = nn.Layer(
        counter().init,
        lambda params, buffers, x, *, key, train: counter().apply(params, buffers, listen(x, key), train=train),
    )

    def times(x, key, train):
        heard.append(random.bits(key, (4,)))
        return torch.tensor(2)

    buffers = {"calls": torch.tensor(0)}
    _, after = nn.tied(layer, 3).apply({}, buffers, torch.ones(2), key=KEY, train=True)
    assert after == {"calls": 3}
    assert_trees_equal(heard, words[:3])
    heard.clear()
    _, after = nn.tied(layer, 3, times=times).apply({}, buffers, torch.ones(2), key=KEY, train=True)
    assert after == {"calls": 2}
    assert_trees_equal(heard, [words[3], *words[:3]])
    assert nn.tied(counter(), 3).apply({}, buffers, torch.ones(2))[1] is buffers


@pytest.mark.parametrize("count", [0, 1, 3, 5])
def test_a_tied_layer_is_applied_times_times(count):
    layer = nn.tied(lambda x: 2 * x, 3, times=lambda x, key, train: torch.tensor(count))
    assert layer({}, torch.ones(())) == 2 ** min(count, 3)


def test_times_drawn_from_the_key(device):
    layer = nn.tied(lambda x: x + 1, 4, times=lambda x, key, train: random.randint(key, (), 0, 5))
    keys = random.split(random.key(0, device=device), 50)

    def f(key):
        return layer({}, torch.zeros((), device=device), key=key)

    expected = [int(random.randint(random.fold_in(key, 4), (), 0, 5)) for key in keys]
    assert set(expected) == {0, 1, 2, 3, 4}
    assert transforms.vmap(f)(keys).tolist() == expected
    compiled = transforms.jit(f)
    assert [int(compiled(key)) for key in keys[:5]] == expected[:5]


def test_integer_inputs_give_parameters_of_the_default_dtype():
    model = nn.serial(lambda x: x.double() / 255, nn.linear(2))
    params, _ = model.init(KEY, example(4, 3, dtype=torch.uint8))
    assert params["1"]["weight"].dtype == torch.float64
    assert model(params, torch.zeros(4, 3, dtype=torch.uint8)).dtype == torch.float64
    params, _ = nn.linear(2).init(KEY, example(4, 3, dtype=torch.uint8))
    assert params["weight"].dtype == torch.get_default_dtype()


def test_calling_a_layer_with_buffers_is_an_error():
    offset = nn.Layer(
        lambda key, x: ({}, {"calls": torch.zeros(())}),
        lambda params, buffers, x, *, key=None, train=False: (x + buffers["calls"], buffers),
    )
    returns_them = nn.Layer(offset.init, lambda params, buffers, x, **_: (x, {"calls": torch.ones(())}))
    for layer in (counter(), nn.serial(nn.relu(), counter()), offset, nn.residual(offset), returns_them):
        with pytest.raises(TypeError, match=r"this layer has buffers .*calls.* call y, buffers = layer\.apply"):
            layer({}, torch.ones(2), train=True)


def test_a_missing_parameter_is_named():
    with pytest.raises(KeyError, match="weight"):
        nn.serial(nn.linear(2))({}, torch.ones(1, 3))


def test_errors_have_a_note_with_the_path_of_the_layer():
    model = nn.serial(features=nn.serial(nn.relu(), nn.residual(nn.serial(cn2=nn.conv2d(1, 1)))), fc=nn.linear(2))
    params, _ = model.init(KEY, example(5, 1, 4, 4))
    with pytest.raises(ValueError, match=r"conv2d\(1, kernel_size=1\): expected 1 channels") as caught:
        model(params, torch.ones(5, 2, 4, 4))
    assert caught.value.__notes__ == ["in layer features.1.cn2"]
    with pytest.raises(ValueError, match="expected") as caught:
        model.init(KEY, example(5, 4))
    assert caught.value.__notes__ == ["in layer features.1.cn2"]


def test_a_compiled_model_raises_the_layers_message():
    layer = nn.serial(nn.linear(2))
    params, _ = layer.init(KEY, example(1, 3))
    with pytest.raises(Exception, match=r"linear\(2\): expected \(\.\.\., 3\)"):
        transforms.jit(lambda x: layer(params, x))(torch.ones(1, 4))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.serial(nn.relu(), fc=nn.linear(2)), "serial: expected all layers positional or all named"),
        (lambda: nn.parallel(nn.relu(), fc=nn.linear(2)), "parallel: expected all layers positional or all named"),
        (lambda: nn.serial(nn.relu(), 3), "serial: expected a Layer or a function of a tensor as layer 1, got 3"),
        (lambda: nn.serial(torch.nn.ReLU()), r"as layer 0, got ReLU\(\)"),
        (lambda: nn.serial(**{"a.b": nn.relu()}), "serial: expected names without a dot, got 'a.b'"),
        (lambda: nn.residual(nn.relu(), a=nn.relu(), b=nn.relu()), "residual: expected at most one shortcut, got a, b"),
        (lambda: nn.serial(nn.flatten)({}, torch.ones(2)), r"flatten: expected a layer, got .*write flatten\(\)"),
    ],
)
def test_wrong_use_of_a_combinator(make, message):
    with pytest.raises(TypeError, match=message):
        make()


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.residual(nn.linear(3), weight=nn.linear(3)), "residual: the body has an entry 'weight' as well"),
        (nn.residual(nn.serial(a=counter()), a=nn.linear(3)), "residual: the body has an entry 'a' as well"),
        (nn.residual(nn.relu(), combine=nn.serial(nn.add(), nn.linear(2))), "expected a combine without parameters"),
        (nn.tied(nn.linear(4), 2), r"tied: expected .* got \(5, 4\) of torch.float32 from \(5, 3\) of torch.float32"),
        (nn.tied(lambda x: x.double(), 2), r"tied: expected .* got \(5, 3\) of torch.float64 from"),
        (nn.serial(nn.residual(nn.linear(4))), r"add: expected tensors of one shape, got \(5, 3\) and \(5, 4\)"),
    ],
)
def test_init_rejects_inconsistent_blocks(layer, message):
    with pytest.raises(ValueError, match=message):
        layer.init(KEY, example(5, 3))


@pytest.mark.parametrize("make", [nn.repeat, nn.tied])
def test_negative_numbers_of_layers(make):
    with pytest.raises(ValueError, match=rf"{make.__name__}: expected n >= 0, got -1"):
        make(nn.relu(), -1)
