import torch

from funcdl import nn, optim, random, train, tree


def test_the_two_halves_of_the_key_go_to_the_parameters_and_to_the_steps(device):
    model, key = nn.linear(2), random.key(3, device=device)
    state = train.make_state(model, optim.sgd(lr=0.1, momentum=0.9), key, torch.empty(5, 3, device="meta"))
    init_key, step_key = random.split(key).unbind()
    params, buffers = model.init(init_key, torch.empty(1, 3))
    assert tree.structure(state.params) == tree.structure(params)
    assert all(torch.equal(a, b) for a, b in zip(tree.leaves(state.params), tree.leaves(params), strict=True))
    assert state.buffers == buffers
    assert torch.equal(state.key, step_key)
    assert (state.step.item(), state.step.dtype, state.step.shape) == (0, torch.int64, ())
    assert {leaf.device.type for leaf in tree.leaves(state)} == {device.type}


def test_no_two_leaves_share_memory_so_that_the_state_can_be_donated():
    state = train.make_state(nn.linear(2), optim.adam(), random.key(0), torch.empty(1, 3))
    storages = [leaf.untyped_storage().data_ptr() for leaf in tree.leaves(state)]
    assert len(set(storages)) == len(storages)
