import pytest
import torch

from funcdl import interop, nn, random, testing, transforms, tree
from funcdl.nn import attention
from tests.twins.sequences import MultiheadAttention

T = torch.nn
KEY = random.key(3)
SHARP = {"rtol": 1e-10, "atol": 1e-10}


def draw(*shape, seed=1):
    return random.normal(random.key(seed), shape, dtype=torch.float64)


def module_like(layer, twin, x):
    with torch.device("meta"):
        module = twin()
    module.load_state_dict(interop.to_state_dict(*layer.init(KEY, x)), assign=True)
    return module


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_boolean_masks(need_weights, batch_first):
    layer = nn.multihead_attention(2, batch_first=batch_first, need_weights=need_weights)
    x = draw(3, 5, 8) if batch_first else draw(5, 3, 8)
    module = module_like(layer, lambda: MultiheadAttention(8, 2, batch_first=batch_first, need_weights=need_weights), x)
    padding = torch.tensor([[False] * 5, [False] * 3 + [True] * 2, [False] * 4 + [True]])
    for mask in (torch.ones(5, 5).triu(1).bool(), torch.ones(6, 5, 5).triu(1).bool()):
        inputs = {"query": x, "attn_mask": mask, "key_padding_mask": padding}
        testing.assert_matches_module(layer, module, inputs, **SHARP)


@pytest.mark.parametrize("need_weights", [False, True])
def test_causal_is_the_triangular_mask(need_weights):
    x, mask = draw(5, 3, 8), torch.ones(5, 5).triu(1).bool()
    causal = nn.multihead_attention(2, need_weights=need_weights, is_causal=True)
    masked = nn.multihead_attention(2, need_weights=need_weights)
    params, _ = causal.init(KEY, x)
    torch.testing.assert_close(causal(params, x), masked(params, {"query": x, "attn_mask": mask}))


def test_unbatched_input_equals_a_batch_of_one():
    layer = nn.multihead_attention(2)
    q, k = draw(5, 8), draw(6, 8, seed=2)
    testing.assert_matches_module(layer, module_like(layer, lambda: MultiheadAttention(8, 2), q), (q, k), **SHARP)


def test_fused_kernel_equals_plain_operations(monkeypatch, device):
    layer, x = nn.transformer_encoder_layer(2, 16, is_causal=True), draw(6, 3, 8).to(device)
    params, _ = layer.init(random.key(0, device=device), x)
    fused = transforms.value_and_grad(lambda params: (layer(params, x) ** 2).sum())(params)
    monkeypatch.setattr(attention, "first_order_only", lambda: False)
    plain = transforms.value_and_grad(lambda params: (layer(params, x) ** 2).sum())(params)
    torch.testing.assert_close(tree.leaves(fused), tree.leaves(plain), **SHARP)


def test_second_derivatives():
    layer, x, v = nn.transformer_encoder_layer(2, 16, activation="gelu"), draw(4, 2, 8), draw(4, 2, 8, seed=5)
    params, _ = layer.init(KEY, x)

    def f(x):
        return (layer(params, x) ** 3).sum()

    slope = (transforms.grad(f)(x + 1e-6 * v) - transforms.grad(f)(x - 1e-6 * v)) / 2e-6
    torch.testing.assert_close(transforms.hessian_vector_product(f, x, v), slope, rtol=1e-6, atol=1e-6)


def test_dropout_of_weights():
    layer, x = nn.multihead_attention(2, dropout=0.25, average_attn_weights=False), draw(40, 8, 8)
    params, _ = layer.init(KEY, x)
    plain, weights = layer(params, x)
    y, kept = layer(params, x, key=KEY, train=True)
    dropped = kept == 0
    assert abs(dropped.double().mean() - 0.25) < 5 * (0.25 * 0.75 / kept.numel()) ** 0.5
    torch.testing.assert_close(kept[~dropped], weights[~dropped] / 0.75)
    assert not torch.allclose(y, plain)
    fused = nn.multihead_attention(2, dropout=0.25, need_weights=False)
    torch.testing.assert_close(fused(params, x, key=KEY, train=True), y)
    with pytest.raises(ValueError, match=r"dropout\(p=0.25\): train=True needs a key"):
        layer(params, x, train=True)


@pytest.mark.parametrize("norm_first", [False, True])
def test_dropouts_of_a_block_are_independent_and_cover_every_branch(norm_first):
    layer, x = nn.transformer_encoder_layer(2, 16, 0.5, norm_first=norm_first), draw(4, 2, 8)
    params, _ = layer.init(KEY, x)
    a, b = (layer(params, x, key=random.key(seed), train=True) for seed in (1, 2))
    assert not torch.allclose(a, b)
    nothing = nn.transformer_encoder_layer(2, 16, 1.0, norm_first=True)  # both branches dropped: the input is left
    assert torch.equal(nothing(params, x, key=KEY, train=True), x)


def test_default_distributions():
    layer = nn.multihead_attention(4, add_bias_kv=True)
    params, _ = layer.init(KEY, draw(2, 2, 64))
    bound = (6 / (64 + 192)) ** 0.5
    assert 0.99 * bound < params["in_proj_weight"].abs().max() <= bound
    assert 0.99 / 8 < params["out_proj"]["weight"].abs().max() <= 1 / 8
    assert not params["in_proj_bias"].any()
    assert not params["out_proj"]["bias"].any()
    std = (2 / (64 + 64)) ** 0.5  # what torch makes of the shape (1, 1, 64)
    for name in ("bias_k", "bias_v"):
        assert abs(params[name].std() / std - 1) < 5 / (2 * 64) ** 0.5
    params, _ = layer.init(KEY, (draw(2, 2, 64), draw(2, 2, 16), draw(2, 2, 32)))
    for letter, inputs in (("q", 64), ("k", 16), ("v", 32)):
        bound = (6 / (64 + inputs)) ** 0.5
        assert 0.98 * bound < params[f"{letter}_proj_weight"].abs().max() <= bound


def test_a_transformer_draws_all_weights_by_xavier_uniform():
    params, _ = nn.transformer(2, 1, 1, 48).init(KEY, (draw(3, 2, 32), draw(3, 2, 32)))
    for path, leaf in tree.leaves_with_paths(params):
        if leaf.ndim == 2:
            bound = (6 / sum(leaf.shape)) ** 0.5
            assert 0.97 * bound < leaf.abs().max() <= bound, path
    layers = nn.transformer_encoder(nn.transformer_encoder_layer(2, 16), 2).init(KEY, draw(3, 2, 8))[0]["layers"]
    assert not torch.equal(layers["0"]["linear1"]["weight"], layers["1"]["linear1"]["weight"])


def test_wrong_inputs():
    layer, x = nn.multihead_attention(3), torch.ones(5, 2, 6)
    params, _ = layer.init(KEY, x)
    name = r"multihead_attention\(3\)"
    with pytest.raises(ValueError, match=name + ": expected a query of a size divisible by num_heads, got 8"):
        layer.init(KEY, torch.ones(5, 2, 8))
    with pytest.raises(
        ValueError, match=name + r": expected a key \(\.\.\., 6\), as in init\(\), got shape \(5, 2, 3\)"
    ):
        layer(params, (x, x[..., :3]))
    with pytest.raises(ValueError, match=name + r": expected query and key \(time, batch, E\) of one batch size"):
        layer(params, (x, x[:, :1]))
    with pytest.raises(ValueError, match=name + r": expected query, key and value .* got \(6,\)"):
        layer(params, x[0, 0])
    with pytest.raises(ValueError, match=name + r": expected attn_mask \(5, 5\) or \(6, 5, 5\), got shape \(5, 4\)"):
        layer(params, {"query": x, "attn_mask": torch.ones(5, 4)})
    with pytest.raises(ValueError, match=name + r": expected key_padding_mask \(2, 5\), got shape \(5, 2\)"):
        layer(params, {"query": x, "key_padding_mask": torch.ones(5, 2)})
    with pytest.raises(TypeError, match=name + r": expected masks of torch.bool or .* got torch.int64"):
        layer(params, {"query": x, "attn_mask": torch.ones(5, 5, dtype=torch.int64)})
    with pytest.raises(TypeError, match=name + r": expected an input of the parameters' dtype"):
        layer(params, x.double())
    with pytest.raises(ValueError, match=r"transformer_encoder_layer\(2\): expected activation relu, gelu or a func"):
        nn.transformer_encoder_layer(2, activation="tanh")
    with pytest.raises(ValueError, match=r"transformer_decoder: expected num_layers of at least 1, got 0"):
        nn.transformer_decoder(nn.transformer_decoder_layer(2), 0)
    with pytest.raises(ValueError, match=r"transformer\(2\): expected the inputs src, tgt and of .* any, got src"):
        nn.transformer(2).init(KEY, x)
    with pytest.raises(ValueError, match=r"transformer\(2\): expected src and tgt of one size E, got shapes"):
        nn.transformer(2).init(KEY, (x, x[..., :4]))
