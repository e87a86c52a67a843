import pytest
import safetensors.torch
import torch

from funcdl import interop, nn, random, tree

MODEL = nn.serial(fc1=nn.linear(4), relu=nn.relu(), block=nn.serial(nn.linear(2, bias=False)))
PARAMS, _ = MODEL.init(random.key(0), torch.empty(1, 3))
BUFFERS = {"bn": {"running_mean": torch.zeros(4), "num_batches_tracked": torch.tensor(7)}}


def test_round_trip():
    state = interop.to_state_dict(PARAMS, BUFFERS)
    assert sorted(state) == [
        "block.0.weight",
        "bn.num_batches_tracked",
        "bn.running_mean",
        "fc1.bias",
        "fc1.weight",
    ]
    assert state["fc1.weight"] is PARAMS["fc1"]["weight"]
    params, buffers = interop.from_state_dict(state, *tree.zeros_like((PARAMS, BUFFERS)))
    assert tree.structure((params, buffers)) == tree.structure((PARAMS, BUFFERS))
    torch.testing.assert_close((params, buffers), (PARAMS, BUFFERS), rtol=0, atol=0)


def test_two_digit_numbers_keep_their_places():
    model = nn.serial(*[nn.linear(2)] * 11)
    params, _ = model.init(random.key(0), torch.empty(1, 2))
    loaded, _ = interop.from_state_dict(interop.to_state_dict(params), tree.zeros_like(params))
    torch.testing.assert_close(loaded, params, rtol=0, atol=0)


def test_values_are_copies_with_dtype_and_device_of_the_template(device):
    state = {name: leaf.double().requires_grad_() for name, leaf in interop.to_state_dict(PARAMS).items()}
    template = tree.map(lambda leaf: leaf.to(device), PARAMS)
    params, buffers = interop.from_state_dict(state, template)
    assert buffers == {}
    for path, leaf in tree.leaves_with_paths(params):
        assert leaf.dtype == torch.float32
        assert leaf.device == tree.at(template, path).get().device
        assert not leaf.requires_grad
    same_dtype, _ = interop.from_state_dict(interop.to_state_dict(PARAMS), PARAMS)
    same_dtype["fc1"]["bias"].zero_()
    assert PARAMS["fc1"]["bias"].any()


def test_one_error_lists_all_problems():
    state = interop.to_state_dict(PARAMS, BUFFERS)
    del state["fc1.bias"], state["bn.running_mean"]
    state |= {"fc9.weight": torch.zeros(1), "fc1.weight": torch.zeros(3, 4)}
    with pytest.raises(ValueError, match="from_state_dict") as caught:
        interop.from_state_dict(state, PARAMS, BUFFERS)
    for part in (
        "missing fc1.bias",
        "missing bn.running_mean",
        "unexpected fc9.weight",
        "fc1.weight of shape (3, 4) instead of (4, 3)",
    ):
        assert part in str(caught.value)
    assert "block.0.weight" not in str(caught.value)


def test_a_name_in_both_trees_is_an_error():
    with pytest.raises(
        ValueError, match=r"to_state_dict: expected each name once, got fc\.scale in params and in buffers"
    ):
        interop.to_state_dict({"fc": {"scale": torch.zeros(1)}}, {"fc": {"scale": torch.zeros(1)}})


def test_weight_files(tmp_path):
    state = interop.to_state_dict(PARAMS, BUFFERS)
    torch.save(state, tmp_path / "twin.pt")
    safetensors.torch.save_file(state, tmp_path / "twin.safetensors")
    for loaded in (interop.load_torch(tmp_path / "twin.pt"), interop.load_safetensors(tmp_path / "twin.safetensors")):
        torch.testing.assert_close(loaded, state, rtol=0, atol=0)
        interop.from_state_dict(loaded, PARAMS, BUFFERS)


def test_files_without_weights_are_an_error(tmp_path):
    for load in (interop.load_torch, interop.load_safetensors):
        with pytest.raises(FileNotFoundError, match=r"there is no file .*twin\.pt"):
            load(tmp_path / "twin.pt")
    path = tmp_path / "other"
    path.write_bytes(b"neither the one nor the other")
    with pytest.raises(
        ValueError, match=r"load_torch: .*other holds more than tensors, or is not a file of torch\.save"
    ):
        interop.load_torch(path)
    with pytest.raises(ValueError, match=r"load_safetensors: .*other is not a safetensors file .* try load_torch"):
        interop.load_safetensors(path)
    torch.save(torch.nn.Linear(2, 2, device="meta"), path)
    with pytest.raises(ValueError, match=r"load_torch: .*holds more than tensors"):
        interop.load_torch(path)
    torch.save({"model": {"fc.weight": torch.zeros(1)}, "epoch": 3}, path)
    with pytest.raises(ValueError, match=r"flat dict of tensors in .*, got model \(dict\), epoch \(int\) as well"):
        interop.load_torch(path)
    torch.save([torch.zeros(1)], path)
    with pytest.raises(ValueError, match=r"expected a dict of tensors in .*, got list"):
        interop.load_torch(path)
