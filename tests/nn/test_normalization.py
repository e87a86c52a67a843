"""Normalizations: running statistics through training, `vmap`, `scan` and donation; options and errors."""

import pytest
import torch

from funcdl import interop, nn, random, transforms, tree
from funcdl.nn import initializers
from tests.nn.test_battery import assert_trees_close, assert_trees_equal

KEY = random.key(0)
SHAPES = {"batch_norm1d": (6, 4), "batch_norm2d": (5, 4, 3, 2), "batch_norm3d": (3, 4, 2, 3, 2)}
SHAPES |= {"instance_norm1d": (5, 4, 6), "instance_norm2d": (5, 4, 3, 2), "instance_norm3d": (3, 4, 2, 3, 2)}
TWINS = {
    name: getattr(torch.nn, name.replace("batch_norm", "BatchNorm").replace("instance_norm", "InstanceNorm"))
    for name in SHAPES
}
TRACKED = {"affine": True, "track_running_stats": True}


def example(*shape, dtype=torch.float32):
    return torch.empty(shape, dtype=dtype, device="meta")


def batches(name, count):
    """Batches whose channels have means and variances of their own."""
    shape = SHAPES[name]
    per_channel = (4, *(1 for _ in shape[2:]))
    scale, shift = random.uniform(random.key(1), (2, *per_channel), dtype=torch.float64)
    return (3 * scale + 0.1) * random.normal(random.key(2), (count, *shape), dtype=torch.float64) + 5 * shift


def gradient_step(layer, params, buffers, x, lr=0.1):
    def f(params):
        y, after = layer.apply(params, buffers, x, train=True)
        return (y**3).mean(), after

    grads, after = transforms.grad(f, has_aux=True)(params)
    return tree.map(lambda p, g: p - lr * g, params, grads), after


@pytest.mark.parametrize("momentum", [0.3, None])
@pytest.mark.parametrize("name", SHAPES)
def test_three_training_steps_are_the_twins(name, momentum, device):
    if momentum is None and name.startswith("instance"):
        pytest.skip("an instance norm has no average of all batches")
    layer, twin = getattr(nn, name)(momentum=momentum, **TRACKED), TWINS[name](4, momentum=momentum, **TRACKED)
    twin = twin.double().to(device)
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.1)
    xs = batches(name, 4).to(device)
    params, buffers = layer.init(random.key(0, device=device), xs[0])
    for x in xs[:3]:
        optimizer.zero_grad()
        (twin(x) ** 3).mean().backward()
        optimizer.step()
        params, buffers = gradient_step(layer, params, buffers, x)
    state = interop.to_state_dict(params, buffers)
    assert state.keys() == twin.state_dict().keys()
    for path, leaf in twin.state_dict().items():
        torch.testing.assert_close(state[path], leaf, rtol=1e-12, atol=1e-12, msg=lambda text, path=path: path + text)
    torch.testing.assert_close(layer.apply(params, buffers, xs[3])[0], twin.eval()(xs[3]), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", SHAPES)
def test_vmap_over_members_and_inputs_trains_each(name):
    layer = getattr(nn, name)(**TRACKED)
    xs = batches(name, 3)
    one = layer.init(KEY, xs[0])
    members = [gradient_step(layer, *one, x) for x in batches(name, 6)[3:]]

    def step(params, buffers, x):
        return gradient_step(layer, params, buffers, x)

    each = tree.stack([step(*member, x) for member, x in zip(members, xs, strict=True)])
    assert_trees_close(transforms.vmap(step)(*tree.stack(members), xs), each)
    one_member = tree.stack([step(*members[0], x) for x in xs])
    assert_trees_close(transforms.vmap(step, (None, None, 0))(*members[0], xs), one_member)
    one_input = tree.stack([step(*member, xs[0]) for member in members])
    assert_trees_close(transforms.vmap(step, (0, 0, None))(*tree.stack(members), xs[0]), one_input)


def test_compiled_scan_and_donation_train_as_a_loop(device):
    model = nn.serial(
        nn.batch_norm2d(momentum=0.3), nn.conv2d(4, 1), nn.instance_norm2d(**TRACKED), nn.batch_norm2d(momentum=None)
    )
    xs = batches("batch_norm2d", 4).to(device)
    state = model.init(random.key(0, device=device), xs[0])
    looped = state
    for x in xs:
        looped = gradient_step(model, *looped, x)

    def step(state, x):
        return gradient_step(model, *state, x), {}

    def epoch(state, xs):
        return transforms.scan(step, state, xs)[0]

    assert_trees_close(epoch(state, xs), looped)
    assert_trees_close(transforms.jit(epoch)(state, xs), looped)
    compiled = transforms.jit(lambda state, x: step(state, x)[0], donate_argnums=0)
    donated = tree.map(torch.clone, state)
    for x in xs:
        donated = compiled(donated, x)
    assert_trees_close(donated, looped)


def test_momentum_none_is_the_cumulative_average():
    xs = batches("batch_norm1d", 5)
    layer = nn.batch_norm1d(momentum=None)
    params, buffers = layer.init(KEY, xs[0])
    for x in xs:
        _, buffers = layer.apply(params, buffers, x, train=True)
    assert buffers["num_batches_tracked"] == 5
    torch.testing.assert_close(buffers["running_mean"], xs.mean((0, 1)))
    torch.testing.assert_close(buffers["running_var"], xs.var(1).mean(0))


def test_no_gradient_flows_into_the_buffers():
    x = batches("batch_norm1d", 1)[0].requires_grad_()
    layer = nn.batch_norm1d()
    params, buffers = layer.init(KEY, x)
    _, after = layer.apply(params, buffers, x, train=True)
    assert not any(leaf.requires_grad for leaf in tree.leaves(after))

    def f(x):
        return layer.apply(params, buffers, x, train=True)[1]["running_var"].sum()

    assert not transforms.grad(f)(x.detach()).any()


def test_statistics_far_from_zero_and_of_a_constant():
    x = 1000 + random.normal(KEY, (64, 4))
    x[:, 3] = 7
    layer, twin = nn.batch_norm1d(3e-4, momentum=1.0), torch.nn.BatchNorm1d(4, 3e-4, momentum=1.0)
    params, buffers = layer.init(KEY, x)
    y, after = layer.apply(params, buffers, x, train=True)
    expected = twin(x).detach()
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(after["running_var"], twin.running_var, rtol=1e-5, atol=1e-10)
    assert after["running_var"].min() >= 0


def test_statistics_may_have_more_precision_than_the_input():
    xs = batches("batch_norm2d", 3).float()
    layer = nn.batch_norm2d()
    params, wide = layer.init(KEY, xs[0])
    narrow, mixed = tree.map(lambda leaf: leaf.bfloat16(), params), wide
    for x in xs:
        _, wide = layer.apply(params, wide, x, train=True)
        y, mixed = layer.apply(narrow, mixed, x.bfloat16(), train=True)
    assert (y.dtype, mixed["running_var"].dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(mixed, wide, rtol=0.01, atol=0.01)
    y, _ = layer.apply(narrow, mixed, xs[0].bfloat16())
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), layer.apply(params, wide, xs[0])[0], rtol=0.02, atol=0.05)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_statistics_in_half_precision(dtype):
    xs = batches("batch_norm2d", 3).to(dtype)
    layer, twin = nn.batch_norm2d(), torch.nn.BatchNorm2d(4).double()
    params, buffers = layer.init(KEY, xs[0])
    for x in xs:
        y, buffers = layer.apply(params, buffers, x, train=True)
        expected = twin(x.double())
    eps = torch.finfo(dtype).eps
    assert buffers["running_var"].dtype == y.dtype == dtype
    torch.testing.assert_close(y.double(), expected.detach(), rtol=0, atol=8 * eps)
    torch.testing.assert_close(buffers["running_mean"].double(), twin.running_mean, rtol=4 * eps, atol=eps)
    torch.testing.assert_close(buffers["running_var"].double(), twin.running_var, rtol=4 * eps, atol=eps)


def test_without_running_statistics_evaluation_uses_the_batch():
    x = batches("batch_norm1d", 1)[0]
    layer = nn.batch_norm1d(track_running_stats=False)
    params, buffers = layer.init(KEY, x)
    assert buffers == {}
    torch.testing.assert_close(layer(params, x).mean(0), torch.zeros(4, dtype=torch.float64))
    assert torch.equal(layer(params, x, train=True), layer(params, x))


def test_second_derivatives_through_batch_statistics():
    x = batches("batch_norm1d", 1)[0]
    layer = nn.batch_norm1d()
    state = layer.init(KEY, x)

    def f(x):
        return (layer.apply(*state, x, train=True)[0] ** 3).mean()

    vector = random.normal(KEY, x.shape, dtype=x.dtype)
    product = transforms.hessian_vector_product(f, x, vector)
    h = 1e-5
    gradient = transforms.grad(f)
    torch.testing.assert_close(
        product, (gradient(x + h * vector) - gradient(x - h * vector)) / (2 * h), rtol=1e-5, atol=1e-7
    )


def test_initial_values():
    layers = [nn.batch_norm1d(), nn.instance_norm1d(**TRACKED), nn.layer_norm((4, 6)), nn.group_norm(2)]
    for layer in layers:
        params, buffers = layer.init(KEY, example(5, 4, 6, dtype=torch.uint8))  # bytes, to be converted: float params
        assert (params["weight"] == 1).all()
        assert (params["bias"] == 0).all()
        assert params["weight"].dtype == torch.get_default_dtype()
        if buffers:
            assert [leaf.unique().tolist() for leaf in buffers.values()] == [[0], [1], [0]]
            assert buffers["num_batches_tracked"].dtype == torch.int64
    inits = {"weight_init": initializers.uniform(2, 3), "bias_init": initializers.constant(-1)}
    for layer in (
        nn.batch_norm1d(**inits), nn.instance_norm1d(affine=True, **inits), nn.layer_norm(6, **inits),
        nn.group_norm(2, **inits), nn.rms_norm(6, weight_init=initializers.uniform(2, 3)),
    ):  # fmt: skip
        params, _ = layer.init(KEY, example(5, 4, 6))
        assert ((params["weight"] >= 2) & (params["weight"] < 3)).all()
        assert len(params["weight"].unique()) > 1
        assert (params.get("bias", torch.tensor(-1)) == -1).all()


def test_a_layer_with_buffers_is_not_called():
    layer = nn.batch_norm1d()
    params, _ = layer.init(KEY, example(6, 4))
    with pytest.raises(TypeError, match=r"has buffers \(num_batches_tracked, running_mean, running_var"):
        layer(params, torch.ones(6, 4))


def test_the_order_of_buffers_does_not_matter():
    x = batches("batch_norm1d", 1)[0]
    layer = nn.batch_norm1d()
    params, buffers = layer.init(KEY, x)
    _, after = layer.apply(params, buffers, x, train=True)
    _, same = layer.apply(params, dict(sorted(buffers.items())), x, train=True)
    assert_trees_equal(same, after)


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (
            nn.batch_norm1d(),
            (2, 4, 3, 3),
            r"batch_norm1d\(\): expected \(batch, channels, length\) or \(batch, channels\)",
        ),
        (
            nn.batch_norm2d(),
            (4, 3, 3),
            r"batch_norm2d\(\): expected \(batch, channels, height, width\), got .*\(4, 3, 3\)",
        ),
        (nn.batch_norm3d(), (2, 4, 3, 3), r"batch_norm3d\(\): expected \(batch, channels, depth, height, width\), got"),
        (
            nn.instance_norm1d(),
            (4,),
            r"instance_norm1d\(\): expected \(batch, .*\) or \(channels, length\), got shape \(4,",
        ),
        (nn.instance_norm2d(), (4, 3), r"instance_norm2d\(\): expected .* or \(channels, height, width\), got shape"),
        (nn.layer_norm(5), (4, 3), r"layer_norm\(5\): expected \(\.\.\., 5\), got shape \(4, 3\)"),
        (nn.layer_norm((2, 3)), (3,), r"layer_norm\(\(2, 3\)\): expected \(\.\.\., 2, 3\), got shape \(3,\)"),
        (nn.rms_norm(5), (4, 3), r"rms_norm\(5\): expected \(\.\.\., 5\), got shape \(4, 3\)"),
        (nn.group_norm(3), (2, 4, 5), r"group_norm\(3\): expected .* channels divisible by 3, got shape \(2, 4, 5\)"),
        (nn.group_norm(3), (6,), r"group_norm\(3\): expected \(batch, channels, \.\.\.\) .* got shape \(6,\)"),
    ],
)
def test_wrong_ranks_and_sizes(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        layer.init(KEY, example(*shape))
    with pytest.raises(ValueError, match=message):
        layer.apply({}, {}, torch.ones(shape))


@pytest.mark.parametrize(
    "layer", [nn.batch_norm1d(), nn.batch_norm1d(affine=False), nn.instance_norm1d(affine=True), nn.group_norm(2)]
)
def test_wrong_channels_or_dtype(layer):
    params, buffers = layer.init(KEY, example(2, 4, 5))
    with pytest.raises(ValueError, match=r"norm.*: expected 4 channels.* got shape \(2, 6, 5\)"):
        layer.apply(params, buffers, torch.ones(2, 6, 5))
    with pytest.raises(TypeError, match=r"norm.*: expected an input of .* torch.float32, got torch.float64"):
        layer.apply(params, buffers, torch.ones(2, 4, 5, dtype=torch.float64))


def test_one_value_per_channel_is_an_error():
    layer = nn.batch_norm1d()
    params, buffers = layer.init(KEY, example(1, 4))
    assert layer.apply(params, buffers, torch.ones(1, 4))[0].shape == (1, 4)
    with pytest.raises(
        ValueError, match=r"batch_norm1d\(\): expected more than one value per channel .*a larger batch"
    ):
        layer.apply(params, buffers, torch.ones(1, 4), train=True)
    with pytest.raises(ValueError, match=r"instance_norm1d\(\): expected more than one value .*pass larger inputs"):
        nn.instance_norm1d()({}, torch.ones(3, 4, 1))


def test_impossible_options():
    with pytest.raises(ValueError, match=r"group_norm\(0\): expected at least 1 group"):
        nn.group_norm(0)
    with pytest.raises(ValueError, match=r"local_response_norm\(0\): expected a size of at least 1"):
        nn.local_response_norm(0)
    with pytest.raises(ValueError, match=r"local_response_norm\(2\): expected .*3 or more dimensions, got \(4, 3\)"):
        nn.local_response_norm(2)({}, torch.ones(4, 3))
    with pytest.raises(ValueError, match=r"layer_norm\(\(\)\): expected at least one dimension"):
        nn.layer_norm(())


def test_autocast_converts(device):
    layer = nn.serial(nn.conv2d(4, 1), nn.batch_norm2d(), nn.layer_norm(3))
    x = torch.ones(2, 3, 3, 3, device=device)
    params, buffers = layer.init(random.key(0, device=device), x)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        _, after = layer.apply(params, buffers, x, train=True)
    assert after["1"]["running_mean"].dtype == torch.float32
