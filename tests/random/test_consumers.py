"""What takes a key takes a Threefry key: layers, initializers, modules, batches, noise, training and checkpoints."""

import pytest
import torch

import funcdl as fd
from funcdl import data, interop, nn, optim, random, train, tree
from funcdl.nn import initializers
from tests.train.problems import MODEL, clusters, problem

X = torch.ones(6, 4)
IMAGES = torch.ones(2, 4, 5, 5)
SEQUENCE = torch.linspace(-1, 1, 5 * 2 * 8).view(5, 2, 8)


def applied(layer, x):
    def draw(key):
        params, buffers = layer.init(random.fold_in(key, 0), x)
        return layer.apply(params, buffers, x, key=random.fold_in(key, 1), train=True)[0]

    return draw


def from_module(module, x):
    layer, params, _ = interop.from_module(module)
    return lambda key: layer(params, x, key=key, train=True)


def noisy_step(key):
    optimizer, params = optim.noisy_sgd(key, lr=0.1), {"w": torch.ones(5)}
    return optimizer.update(params, optimizer.init(params), params)[0]["w"]


CONSUMERS = {
    "dropout": applied(nn.dropout(0.5), X),
    "dropout2d": applied(nn.dropout2d(0.5), IMAGES),
    "alpha_dropout": applied(nn.alpha_dropout(0.5), X),
    "feature_alpha_dropout": applied(nn.feature_alpha_dropout(0.5), IMAGES),
    "rrelu": applied(nn.rrelu(), -X),
    "linear": applied(nn.serial(nn.linear(3), nn.dropout(0.5)), X),
    "lstm": lambda key: applied(nn.lstm(3, num_layers=2, dropout=0.5), SEQUENCE)(key)[0],
    "transformer": applied(nn.transformer_encoder_layer(2, dim_feedforward=6), SEQUENCE),
    "repeated": applied(nn.repeat(nn.dropout(0.5), 3), X),
    "module": from_module(torch.nn.Dropout(), X),
    "rows": lambda key: data.batch_indices(key, 50, 7),
    "noisy_sgd": noisy_step,
    "uniform": lambda key: initializers.uniform()(key, (3, 4), torch.float32),
    "normal": lambda key: initializers.normal()(key, (3, 4), torch.bfloat16),
    "truncated_normal": lambda key: initializers.truncated_normal()(key, (3, 4), torch.float32),
    "kaiming_uniform": lambda key: initializers.kaiming_uniform()(key, (3, 4), torch.float64),
    "xavier_normal": lambda key: initializers.xavier_normal()(key, (3, 4), torch.float64),
    "orthogonal": lambda key: initializers.orthogonal()(key, (3, 4), torch.float32),
    "sparse": lambda key: initializers.sparse(0.5)(key, (8, 4), torch.float32),
}


@pytest.mark.parametrize("name", CONSUMERS)
def test_it_draws_from_either_kind_of_key(name):
    draw = CONSUMERS[name]
    first = draw(random.key(3, "threefry2x32"))
    assert torch.equal(first, draw(random.key(3, "threefry2x32")))
    assert not torch.equal(first, draw(random.key(4, "threefry2x32")))
    other = draw(random.key(3, "philox"))
    assert not torch.equal(first, other)
    assert (first.dtype, first.shape) == (other.dtype, other.shape)


def test_training_with_a_threefry_key_eager_compiled_in_an_ensemble_and_from_a_checkpoint(tmp_path):
    double = {"dtype": torch.float64}
    optimizer = optim.sgd(lr=0.1, momentum=0.9)
    key = random.key(7, "threefry2x32")
    state = train.make_state(MODEL, optimizer, key, torch.empty(1, 4, **double, device="meta"))
    assert (state.key.dtype, state.key.shape) == (torch.int32, (2,))
    step = problem(optimizer, **double)[1]
    batches = list(data.shuffled_batches(random.fold_in(key, 9), clusters(**double), 8))

    eager, compiled, fast = state, state, fd.jit(step)
    for batch in batches:
        eager, expected = step(eager, batch)
        compiled, measured = fast(compiled, batch)
        torch.testing.assert_close(measured, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(compiled.params, eager.params, rtol=1e-10, atol=1e-12)
    assert len(batches) == eager.step == 5

    members = [state._replace(key=member) for member in random.split(key, 2)]
    together = fd.vmap(step, in_dims=(0, None))(tree.stack(members), batches[0])[0]
    for index, member in enumerate(members):
        alone = step(member, batches[0])[0]
        torch.testing.assert_close(tree.map(lambda leaf, i=index: leaf[i], together.params), alone.params)

    train.save(tmp_path, eager)
    loaded = train.load(tmp_path, state)[0]
    again, more = step(loaded, batches[0]), step(eager, batches[0])
    for path, a, b in zip(tree.paths(more), tree.leaves(again), tree.leaves(more), strict=True):
        assert a.dtype == b.dtype, path
        assert torch.equal(a, b), path
    philox = problem(optimizer, **double)[0]
    with pytest.raises(train.CheckpointError, match=r"at 'key' it has int32 \(2,\), expected uint64 \(2,\)"):
        train.load(tmp_path, philox)
