"""Members trained as one model learn what each learns alone."""

import pytest
import torch

from funcdl import losses, models, nn, optim, random, train, transforms, tree

MEMBERS = 3


def problem():
    key = random.key(5)
    x = random.normal(random.fold_in(key, 0), (16, MEMBERS, 4))
    return x, random.normal(random.fold_in(key, 1), (16, MEMBERS, 2))


def summed(outputs, targets):
    return MEMBERS * losses.mse(outputs, targets)


def alone(layer, optimizer, whole, i):
    params, buffers = tree.map(lambda leaf: leaf[i], (whole.params, whole.buffers))
    return train.TrainState(params, buffers, optimizer.init(params), whole.key, whole.step)


@pytest.mark.parametrize("norm", [False, True], ids=["plain", "with-buffers"])
def test_each_member_learns_as_it_would_alone(norm):
    parts = [nn.linear(5), nn.batch_norm1d()] if norm else [nn.linear(5)]
    layer = nn.serial(*parts, nn.tanh(), nn.linear(2))
    model, optimizer = models.ensemble(layer, MEMBERS), optim.sgd(lr=0.1, momentum=0.9)
    x, y = problem()
    first = train.make_state(model, optimizer, random.key(0), x)
    state, step = first, train.make_step(model, summed, optimizer)
    for _ in range(5):
        state, _ = step(state, (x, y))
    for i in range(MEMBERS):
        single, single_step = alone(layer, optimizer, first, i), train.make_step(layer, losses.mse, optimizer)
        for _ in range(5):
            single, _ = single_step(single, (x[:, i], y[:, i]))
        expected = tree.map(lambda leaf: leaf[i], (state.params, state.buffers))  # noqa: B023 (called at once)
        tree.map(torch.testing.assert_close, (single.params, single.buffers), expected)


def test_members_are_initialized_from_different_keys():
    x = torch.empty(1, MEMBERS, 4, device="meta")
    params, _ = models.ensemble(nn.linear(2), MEMBERS).init(random.key(3), x)
    for i, key in enumerate(random.split(random.key(3), MEMBERS)):
        expected, _ = nn.linear(2).init(key, torch.empty(1, 4, device="meta"))
        assert all(torch.equal(params[name][i], expected[name]) for name in expected)
    assert not torch.equal(params["weight"][0], params["weight"][1])


def test_members_draw_from_different_keys():
    model = models.ensemble(nn.dropout(0.5), MEMBERS)
    x = torch.ones(64, MEMBERS)
    dropped = model({}, x, key=random.key(1), train=True)
    for i, key in enumerate(random.split(random.key(1), MEMBERS)):
        assert torch.equal(dropped[:, i], nn.dropout(0.5)({}, x[:, i], key=key, train=True))
    assert torch.equal(model({}, x), x)


def test_it_compiles_to_one_graph():
    model = models.ensemble(nn.serial(nn.linear(4), nn.relu(), nn.dropout(0.5), nn.linear(2)), MEMBERS)
    optimizer = optim.adam(lr=0.01)
    x, y = problem()
    state = train.make_state(model, optimizer, random.key(0), x)
    step = train.make_step(model, summed, optimizer)
    _, eager = step(state, (x, y))
    _, compiled = transforms.jit(step)(state, (x, y))
    torch.testing.assert_close(compiled["loss"], eager["loss"])


def test_no_members():
    with pytest.raises(ValueError, match="expected members >= 1, got 0"):
        models.ensemble(nn.linear(1), 0)
