import pytest
import torch

from funcdl import nn, random, testing, transforms
from funcdl.transforms import tracing

T = torch.nn
KEY = random.key(3)


def bag_twin(**options):
    module = T.EmbeddingBag(5, 3, **options, device="meta").to_empty(device="cpu").double()
    module.weight.data = random.normal(KEY, (5, 3), dtype=torch.float64)
    return module


def test_default_distribution():
    params, _ = nn.embedding(200, 100).init(KEY, torch.zeros(1, dtype=torch.int64))
    weight = params["weight"].double()
    n = weight.numel()
    assert abs(weight.mean()) < 5 / n**0.5
    assert abs((weight**2).mean() - 1) < 5 * (2 / n) ** 0.5
    assert abs((weight**4).mean() - 3) < 5 * (96 / n) ** 0.5


@pytest.mark.parametrize("constructor", [nn.embedding, nn.embedding_bag])
def test_padding_starts_at_zero(constructor):
    params, _ = constructor(5, 3, padding_idx=-2).init(KEY, torch.zeros(1, 1, dtype=torch.int64))
    assert (params["weight"] == 0).all(1).tolist() == [False, False, False, True, False]


def test_padding_gets_no_gradient():
    layer, x = nn.embedding(5, 3, padding_idx=0), torch.tensor([0, 1, 1])
    params, _ = layer.init(KEY, x)
    gradient = transforms.grad(lambda params: layer(params, x).sum())(params)["weight"]
    assert gradient[:, 0].tolist() == [0, 2, 0, 0, 0]


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding", [None, 2])
@pytest.mark.parametrize("last", [False, True])
def test_bags_by_offsets(mode, padding, last):
    x = torch.tensor([4, 2, 0, 2, 1, 1, 3])
    offsets = torch.tensor([0, 1, 2, 2, 6, 7] if last else [0, 1, 2, 2, 6])  # one of padding alone, one empty
    testing.assert_matches_module(
        nn.embedding_bag(5, 3, mode=mode, padding_idx=padding, include_last_offset=last),
        bag_twin(mode=mode, padding_idx=padding, include_last_offset=last),
        (x, offsets),
        rtol=1e-12,
        atol=1e-12,
    )


def test_an_empty_last_bag():
    inputs = torch.tensor([4, 2, 0]), torch.tensor([0, 3])
    testing.assert_matches_module(nn.embedding_bag(5, 3), bag_twin(), inputs)


def test_per_sample_weights_in_a_table():
    class Weighted(T.EmbeddingBag):
        def forward(self, input, per_sample_weights):
            return super().forward(input, None, per_sample_weights)

    module = Weighted(5, 3, mode="sum", device="meta").to_empty(device="cpu").double()
    module.weight.data = random.normal(KEY, (5, 3), dtype=torch.float64)
    factors = random.normal(KEY, (2, 4), dtype=torch.float64)
    inputs = {"input": torch.tensor([[1, 0, 3, 3], [2, 2, 2, 4]]), "per_sample_weights": factors}
    testing.assert_matches_module(nn.embedding_bag(5, 3, mode="sum"), module, inputs)


def calls(graph):
    """The operations of a graph that have to do with embeddings."""
    return {str(node.target) for node in graph.graph.nodes if "embedding" in str(node.target)}


def test_a_graph_keeps_the_gradient_of_a_table_as_torchs_own_function():
    layer, x = nn.embedding(5, 3, padding_idx=0), torch.tensor([0, 1, 1])
    params, _ = layer.init(KEY, x)
    gradient = transforms.grad(lambda weight: (layer({"weight": weight}, x) ** 2).sum())
    graph = tracing.trace(lambda weight: [gradient(weight)], [params["weight"]])
    assert calls(graph) == {"aten.embedding.default", "funcdl.embedding_gradient.default"}
    assert torch.equal(graph(params["weight"])[0], gradient(params["weight"]))
    assert torch.equal(transforms.jit(gradient)(params["weight"]), gradient(params["weight"]))


DERIVATIVES = {
    "grad": lambda f: transforms.grad(lambda weight: (f(weight) ** 3).sum()),
    "a gradient's gradient": lambda f: transforms.grad(
        lambda weight: (transforms.grad(lambda weight: (f(weight) ** 3).sum())(weight) ** 2).sum()
    ),
    "a gradient for each table": lambda f: (
        lambda weight: transforms.vmap(transforms.grad(lambda weight: (f(weight) ** 3).sum()))(
            torch.stack([weight, 2 * weight])
        )
    ),
    "jacrev": torch.func.jacrev,
    "jacfwd": torch.func.jacfwd,
    "by the cotangent": lambda f: (
        lambda weight: transforms.grad(lambda cotangent: (torch.func.vjp(f, weight)[1](cotangent)[0] ** 2).sum())(
            torch.ones(2, 3, dtype=weight.dtype)
        )
    ),
}


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # of jacrev, for each of its vectors
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("derivative", DERIVATIVES)
def test_derivatives_of_bags_in_a_graph(derivative, mode):
    layer, x = nn.embedding_bag(5, 3, mode=mode, padding_idx=3), torch.tensor([[1, 2, 1], [0, 3, 3]])
    weight = random.normal(KEY, (5, 3), dtype=torch.float64)
    f = DERIVATIVES[derivative](lambda weight: layer({"weight": weight}, x))
    graph = tracing.trace(lambda weight: [f(weight)], [weight])
    assert ("aten._embedding_bag.default" in calls(graph)) == (derivative in ("grad", "jacrev"))
    torch.testing.assert_close(graph(weight)[0], f(weight), rtol=1e-12, atol=1e-12)


def test_a_gradient_of_bags_in_a_graph_is_differentiated_from_outside():
    layer, x = nn.embedding_bag(5, 3), torch.tensor([[1, 2, 1], [0, 3, 3]])
    gradient = transforms.grad(lambda weight: (layer({"weight": weight}, x) ** 3).sum())
    weight = random.normal(KEY, (5, 3), dtype=torch.float64)
    found = []
    for f in (gradient, transforms.jit(gradient)):
        leaf = weight.clone().requires_grad_()
        (f(leaf) ** 2).sum().backward()
        found.append(leaf.grad)
    torch.testing.assert_close(*found)


def test_wrong_inputs():
    layer, bag = nn.embedding(5, 3), nn.embedding_bag(5, 3)
    x = torch.zeros(2, 2, dtype=torch.int64)
    params, _ = layer.init(KEY, x)
    with pytest.raises(TypeError, match=r"embedding\(5, 3\): expected int32 or int64 indices, got torch.float32; conv"):
        layer(params, torch.ones(2))
    with pytest.raises(TypeError, match=r"embedding\(5, 3\): expected int32 or int64 indices"):
        layer.init(KEY, torch.ones(2))
    with pytest.raises(IndexError):
        layer(params, torch.tensor([5]))
    with pytest.raises(ValueError, match=r"embedding\(5, 3\): expected padding_idx from -5 to 4, got 5"):
        nn.embedding(5, 3, 5)
    with pytest.raises(ValueError, match=r"embedding_bag\(5, 3\): expected mode sum, mean or max, got 'prod'"):
        nn.embedding_bag(5, 3, mode="prod")
    with pytest.raises(ValueError, match=r"embedding_bag\(5, 3\): expected input .* got shape \(4,\) without offsets"):
        bag(params, x.flatten())
    with pytest.raises(ValueError, match=r'embedding_bag\(5, 3\): expected mode="sum" with per_sample_weights'):
        bag(params, {"input": x, "per_sample_weights": torch.ones(2, 2)})
    with pytest.raises(ValueError, match=r"per_sample_weights of the shape of input, \(2, 2\), got \(2,\)"):
        nn.embedding_bag(5, 3, mode="sum")(params, {"input": x, "per_sample_weights": torch.ones(2)})
