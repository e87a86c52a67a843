"""Networks of torchvision and torch through `from_module`: what they compute, and how they train."""

import contextlib

import pytest
import torch
import torch.nn.functional as F
import torchvision
from onnx.reference import ReferenceEvaluator

from funcdl import interop, losses, metrics, models, nn, optim, random, train, transforms, tree


def built(make):
    """A module with its own random initial values; the global generator is put back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make()


def transformer():
    return torch.nn.Transformer(16, 2, 2, 2, 32, dropout=0.0, batch_first=True)


def images(size):
    return random.normal(random.key(1), (2, 3, size, size), dtype=torch.float64)


def sequences():
    return tuple(random.normal(random.key(i), (2, length, 16), dtype=torch.float64) for i, length in enumerate((5, 3)))


# name -> (module, inputs); without dropout, so that the imperative twin can be followed in training
NETWORKS = {
    "resnet18": (lambda: torchvision.models.resnet18(num_classes=10), lambda: images(33)),
    "densenet121": (lambda: torchvision.models.densenet121(num_classes=10), lambda: images(64)),
    "googlenet": (
        lambda: torchvision.models.googlenet(num_classes=10, init_weights=False, dropout=0.0, dropout_aux=0.0),
        lambda: images(64),
    ),
    "vit_b_16": (lambda: torchvision.models.vit_b_16(image_size=32, num_classes=10), lambda: images(32)),
    "transformer": (transformer, sequences),
}


@contextlib.contextmanager
def plain_kernels(module):
    """Neither the fused inference kernel, nor the other way of folding matrix products where a gradient is recorded."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    module.requires_grad_(False)
    yield
    module.requires_grad_(True)
    torch.backends.mha.set_fastpath_enabled(enabled)


def call(module, x):
    return module(*x) if isinstance(x, tuple) else module(x)


def score(y):
    """One number, of all outputs (googlenet's auxiliary ones too)."""
    return sum(((leaf - 1) ** 2).mean() for leaf in tree.leaves(y))


def assert_same(a, b, **tolerance):
    a, b = dict(tree.leaves_with_paths(a)), dict(tree.leaves_with_paths(b))
    torch.testing.assert_close(a, b, **(tolerance or {"rtol": 0, "atol": 0}))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_computes_and_trains_like_its_module(name):
    make, inputs = NETWORKS[name]
    module, x = built(make).double(), inputs()
    layer, params, buffers = interop.from_module(module)

    state = interop.to_state_dict(params, buffers)
    assert_same(state, dict(module.state_dict()))
    back = interop.from_state_dict(module.state_dict(), *tree.zeros_like((params, buffers)))
    assert_same(back, (params, buffers))

    with plain_kernels(module):
        assert_same(layer.apply(params, buffers, x)[0], call(module.eval(), x))
        y, after = layer.apply(params, buffers, x, train=True)
        assert_same(y, call(module.train(), x))
        assert_same(interop.to_state_dict(params, after), dict(module.state_dict()))
    module.load_state_dict(state)

    if name == "vit_b_16":  # 86 million numbers: the last layers are enough to train
        module.encoder.layers[:11].requires_grad_(False)
    trained = [n for n, parameter in module.named_parameters() if parameter.requires_grad]
    learning, fixed = tree.partition(params, lambda path, _: path in trained)
    imperative = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], lr=1e-3, momentum=0.9)
    functional = optim.sgd(lr=1e-3, momentum=0.9)
    optimizer_state = functional.init(learning)

    def loss(learning, buffers):
        y, buffers = layer.apply(tree.combine(learning, fixed), buffers, x, train=True)
        return score(y), buffers

    for _ in range(3):
        imperative.zero_grad()
        score(call(module, x)).backward()
        imperative.step()
        grads, buffers = transforms.grad(loss, has_aux=True)(learning, buffers)
        updates, optimizer_state = functional.update(grads, optimizer_state, learning)
        learning = optim.apply_updates(learning, updates)
    moved = interop.to_state_dict(tree.combine(learning, fixed), buffers)
    assert_same(moved, dict(module.state_dict()), rtol=1e-8, atol=1e-8)
    assert any(not torch.equal(moved[n], state[n]) for n in trained)


class Tied(torch.nn.Module):
    """An embedding that is also the output layer."""

    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(7, 4)
        self.output = torch.nn.Linear(4, 7, bias=False)
        self.output.weight = self.embedding.weight

    def forward(self, tokens):
        return self.output(self.embedding(tokens))


def test_tied_weights_are_one_parameter():
    module, tokens = built(Tied), torch.tensor([0, 3, 6])
    layer, params, _ = interop.from_module(module)
    assert tree.paths(params) == ["embedding.weight"]
    assert_same(layer(params, tokens), module(tokens))
    score(module(tokens)).backward()
    grads = transforms.grad(lambda params: score(layer(params, tokens)))(params)
    torch.testing.assert_close(grads["embedding"]["weight"], module.embedding.weight.grad)
    moved = tree.map(lambda leaf: leaf + 1, params)
    module.embedding.weight.data += 1
    assert_same(layer(moved, tokens), module(tokens))


class Counter(torch.nn.Module):
    """Puts a new tensor in the place of its buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()), persistent=False)

    def forward(self, x):
        if self.training:
            self.calls = self.calls + 1
        return x + self.calls


def small():
    return torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Dropout(0.5), Counter(), torch.nn.Linear(4, 2)
    )


def test_arguments_are_not_modified():
    module = built(small)
    before = tree.map(torch.clone, dict(module.state_dict()))
    layer, params, buffers = interop.from_module(module)
    kept = tree.map(torch.clone, (params, buffers))
    x = random.normal(random.key(0), (5, 3))
    y, after = layer.apply(params, buffers, x, key=random.key(1), train=True)
    assert_same((params, buffers), kept)
    assert_same(dict(module.state_dict()), before)
    assert module.training
    assert after["3"]["calls"] == 1
    assert after["1"]["num_batches_tracked"] == 1
    assert layer.apply(params, buffers, x)[1] is buffers
    module[0].weight.data.zero_()
    assert_same(layer.apply(params, buffers, x, key=random.key(1), train=True)[0], y)
    tree.map(lambda leaf: leaf.zero_() if leaf.is_floating_point() else leaf, params)
    assert_same(layer.init(random.key(5), x), kept)


def test_a_module_within_a_model_and_its_training_step(device):
    layer, _, _ = interop.from_module(built(small))
    model = nn.serial(body=layer, head=nn.linear(2))
    optimizer = optim.sgd(lr=0.1)
    x = random.normal(random.key(0, device=device), (6, 3))
    state = train.make_state(model, optimizer, random.key(0, device=device), x)
    step = train.make_step(model, losses.cross_entropy, optimizer, metrics={"accuracy": metrics.accuracy})
    batch = x, torch.tensor([0, 1, 0, 1, 0, 1], device=device)
    eager, measured = step(state, batch)
    compiled, measured_compiled = transforms.jit(step)(state, batch)
    assert_same(
        (compiled.params, compiled.buffers, measured_compiled), (eager.params, eager.buffers, measured), **CLOSE
    )


CLOSE = {"rtol": 1e-5, "atol": 1e-6}


def test_members_under_vmap():
    layer, params, buffers = interop.from_module(built(small))
    stacked = tree.stack([(params, buffers), tree.map(lambda leaf: leaf * 2, (params, buffers))])
    keys = random.split(random.key(0))
    x = random.normal(random.key(1), (5, 3))

    def apply(params, buffers, key):
        return layer.apply(params, buffers, x, key=key, train=True)

    looped = tree.stack([apply(*member, key) for member, key in zip(tree.unstack(stacked), keys, strict=True)])
    assert_same(transforms.vmap(apply)(*stacked, keys), looped, **CLOSE)


def test_keyword_arguments():
    module = built(transformer)
    layer, params, _ = interop.from_module(module)
    source, target = tree.map(torch.Tensor.float, sequences())
    mask = torch.nn.Transformer.generate_square_subsequent_mask(3)
    with plain_kernels(module):
        expected = module(source, target, tgt_mask=mask)
    assert_same(layer(params, {"src": source, "tgt": target, "tgt_mask": mask}), expected)


def test_trees_of_another_module_are_an_error():
    layer, params, buffers = interop.from_module(built(small))
    with pytest.raises(ValueError, match="expected the module's 6 parameters, got 1"):
        layer.apply({"weight": torch.zeros(1)}, buffers, torch.ones(2, 3))
    with pytest.raises(ValueError, match="expected the module's 4 buffers, got 0"):
        layer.apply(params, {}, torch.ones(2, 3))


def test_to_module_and_its_export():
    layer = nn.serial(fc1=nn.linear(4), drop=nn.dropout(0.5), block=nn.residual(nn.serial(fc=nn.linear(4))))
    x = random.normal(random.key(0), (5, 3))
    params, buffers = layer.init(random.key(1), x)
    module = interop.to_module(layer, params, buffers)
    assert_same(dict(module.state_dict()), interop.to_state_dict(params, buffers))
    assert_same(module(x), layer(params, x))
    program = torch.export.export(module, (x,)).module()
    assert_same(program(x), layer(params, x))
    score(module(x)).backward()
    expected = transforms.grad(lambda params: score(layer(params, x)))(params)
    torch.testing.assert_close(module.get_parameter("fc1.weight").grad, expected["fc1"]["weight"])
    key = random.key(2)
    assert_same(module.train()(x, key=key), layer(params, x, key=key, train=True))
    with pytest.raises(ValueError, match="train=True needs a key"):
        module(x)


def test_a_network_exports_to_onnx():
    """The standard's own interpreter computes what the network does."""
    layer, x = models.convnet(), random.normal(random.key(0), (2, 1, 28, 28))
    params, buffers = layer.init(random.key(1), x)
    module = interop.to_module(layer, params, buffers).eval()
    graph = torch.onnx.export(module, (x,), dynamo=True, verbose=False).model_proto
    (result,) = ReferenceEvaluator(graph).run(None, {graph.graph.input[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(result), layer(params, x))


def test_round_trip_with_buffers_and_several_inputs():
    layer, params, buffers = interop.from_module(built(lambda: torch.nn.BatchNorm1d(3)))
    module = interop.to_module(layer, params, buffers).train()
    x = random.normal(random.key(0), (5, 3))
    module(x)
    _, after = layer.apply(params, buffers, x, train=True)
    assert_same(dict(module.named_buffers()), after)
    assert buffers["num_batches_tracked"] == 0
    both = interop.to_module(nn.add(), {})
    assert_same(both(x, x), 2 * x)
    exported = torch.export.export(interop.to_module(layer, params, after), (x,)).module()
    assert_same(exported(x), F.batch_norm(x, after["running_mean"], after["running_var"]), **CLOSE)
