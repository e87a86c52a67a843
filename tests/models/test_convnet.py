"""The ConvNet of the main job and its training, against the `nn.Module` and `torch.optim` of the book."""

import pytest
import torch
import torch.nn.functional as F

import funcdl as fd
from funcdl import interop, losses, metrics, models, nn, optim, random, testing, train, tree
from tests.twins.convnet import ConvNet, Masked

STEPS = 20


def pixels(count, dtype, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 1, 28, 28, generator=generator, dtype=dtype)


def targets(count, seed=0):
    return torch.randint(0, 10, (count,), generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def twin():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield ConvNet()


def test_parameters_have_the_twins_names_shapes_and_count(twin):
    params, buffers = models.convnet().init(random.key(0), torch.empty(1, 1, 28, 28, device="meta"))
    ours = {name: leaf.shape for name, leaf in interop.to_state_dict(params, buffers).items()}
    assert ours == {name: leaf.shape for name, leaf in twin.state_dict().items()}
    assert tree.size(params) == 300_426


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_output_and_gradients_equal_the_twins(twin, dtype):
    tolerance = {"rtol": 1e-10, "atol": 1e-10} if dtype == torch.float64 else {}
    testing.assert_matches_module(models.convnet(), twin.to(dtype).eval(), pixels(4, dtype), **tolerance)


@pytest.mark.parametrize(("dtype", "compiled"), [(torch.float64, False), (torch.float32, False), (torch.float32, True)])
def test_twenty_updates_with_dropout_equal_the_imperative_ones(twin, dtype, compiled):
    twin = twin.to(dtype)
    twin.dp1, twin.dp2 = Masked(), Masked()
    reference = torch.optim.Adadelta(twin.parameters(), lr=0.5)

    model, optimizer = models.convnet(), optim.adadelta(lr=0.5)
    state = train.make_state(model, optimizer, random.key(3), pixels(1, dtype))
    params, _ = interop.from_state_dict(twin.state_dict(), state.params)
    state = state._replace(params=params)
    step = train.make_step(model, losses.nll, optimizer)
    step = fd.jit(step, donate_argnums=0) if compiled else step

    for number in range(STEPS):
        images, labels = pixels(8, dtype, number), targets(8, number)
        keys = random.split(random.fold_in(state.key, state.step), 12)
        twin.dp1.mask = nn.dropout2d(0.10)({}, torch.ones(8, 32, 12, 12, dtype=dtype), key=keys[5], train=True)
        twin.dp2.mask = nn.dropout(0.25)({}, torch.ones(8, 64, dtype=dtype), key=keys[9], train=True)
        assert twin.dp1.mask.unique().numel() == twin.dp2.mask.unique().numel() == 2

        loss = F.nll_loss(twin(images), labels)
        reference.zero_grad()
        loss.backward()
        reference.step()
        state, measured = step(state, (images, labels))

        tolerance = {"rtol": 1e-10, "atol": 1e-10} if dtype == torch.float64 else {}
        torch.testing.assert_close(measured["loss"], loss.detach(), **tolerance)
    if dtype == torch.float64:
        ours = interop.to_state_dict(state.params)
        torch.testing.assert_close(ours, dict(twin.state_dict()), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_twenty_adadelta_updates_on_the_networks_shapes_equal_torch_optim(twin, dtype):
    params = {name: leaf.detach().to(dtype) for name, leaf in twin.named_parameters()}
    tolerance = {"rtol": 1e-10, "atol": 1e-10} if dtype == torch.float64 else {}
    testing.assert_matches_optimizer(
        optim.adadelta(lr=0.5), lambda ps: torch.optim.Adadelta(ps, lr=0.5), params, steps=STEPS, **tolerance
    )


def test_vmapped_members_equal_single_networks():
    model = models.convnet()
    keys = random.split(random.key(0), 3)
    images = pixels(2, torch.float64)
    example = torch.empty(1, 1, 28, 28, dtype=torch.float64, device="meta")
    members = [model.init(key, example)[0] for key in keys]
    together = fd.vmap(lambda params: model(params, images))(tree.stack(members))
    torch.testing.assert_close(together, torch.stack([model(params, images) for params in members]))


def test_accuracy_metric_reads_the_outputs():
    outputs = torch.eye(10)[torch.tensor([3, 1, 4])].log_softmax(-1)
    assert metrics.accuracy(outputs, torch.tensor([3, 1, 5])) == pytest.approx(2 / 3)
