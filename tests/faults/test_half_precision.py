"""float16 has no 1e-8 and no square of 300: optimizers compute with it in float32, and give float16 back."""

import functools

import pytest
import torch

from funcdl import optim, tree
from tests.optim.cases import CASES

OPTIMIZERS = {name: case.make() for name, case in CASES.items()}
every = pytest.mark.parametrize("name", CASES)

# Nothing, less than float16 can hold the square of, and more than it can.
SIZES = [[0.0, 0.0, 0.0], [6e-8, -6e-8, 6e-8], [300.0, -1e4, 6e4], [0.0, 300.0, 6e-8], [6e4, 6e4, 6e4]]


def params_of(name, dtype):
    generator = torch.Generator().manual_seed(0)
    shapes = CASES[name].shapes
    drawn = {key: torch.randn(shape, generator=generator, dtype=torch.float64) for key, shape in shapes.items()}
    return tree.map(lambda leaf: leaf.to(torch.float16).to(dtype), drawn)


def gradients(params, sizes, step):
    def fill(leaf):
        sizes_now = torch.tensor(sizes[step:] + sizes[:step], dtype=torch.float16)
        return sizes_now.repeat(leaf.numel())[: leaf.numel()].view(leaf.shape).to(leaf.dtype)

    return tree.map(fill, params)


@functools.cache
def steps(name, dtype, which):
    """The updates and states of four steps, each from the parameters of the start."""
    params, way = params_of(name, dtype), []
    state = OPTIMIZERS[name].init(params)
    for step in range(4):
        grads = gradients(params, SIZES[which], step % 3)
        updates, state = OPTIMIZERS[name].update(grads, state, params, value=torch.ones(()))
        way.append((tree.leaves(updates), tree.leaves(state)))
    return way


@every
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_nothing_is_lost_that_float32_keeps(name, dtype):
    limit = torch.finfo(dtype).max
    for which, sizes in enumerate(SIZES):
        for (updates, state), (wide_updates, wide_state) in zip(
            steps(name, dtype, which), steps(name, torch.float32, which), strict=True
        ):
            for leaf, wide in zip(updates, wide_updates, strict=True):
                assert leaf.dtype == dtype
                assert torch.equal(leaf.isfinite(), wide.isfinite() & (wide.abs() <= limit)), sizes
            for leaf, wide in zip(state, wide_state, strict=True):
                assert not leaf.is_floating_point() or torch.equal(leaf.isfinite(), wide.isfinite()), sizes


@every
def test_updates_are_those_of_float32_rounded(name):
    for which in range(len(SIZES)):
        for (updates, state), (wide_updates, wide_state) in zip(
            steps(name, torch.float16, which), steps(name, torch.float32, which), strict=True
        ):
            expected = [leaf.to(torch.float16) for leaf in wide_updates]
            torch.testing.assert_close(updates, expected, rtol=0, atol=0, equal_nan=True)
            torch.testing.assert_close(state, wide_state, rtol=0, atol=0, equal_nan=True)


@every
def test_the_state_keeps_its_dtypes(name):
    params = params_of(name, torch.float16)
    states = [tree.leaves(OPTIMIZERS[name].init(params)), *(state for _, state in steps(name, torch.float16, 3))]
    forms = [[(leaf.dtype, leaf.shape) for leaf in state] for state in states]
    assert all(form == forms[0] for form in forms)
    assert all(dtype != torch.float16 for dtype, _ in forms[0])


def test_a_chain_does_not_round_between_its_parts():
    params, grads = {"w": torch.ones(1, dtype=torch.float16)}, {"w": torch.full((1,), 6e4, dtype=torch.float16)}
    optimizer = optim.chain(optim.chain(optim.trace(1.0)), optim.masked(optim.scale_by_learning_rate(1e-3), "w"))
    state = optimizer.init(params)
    for step in range(1, 4):
        updates, state = optimizer.update(grads, state, params)
        assert updates["w"].dtype == torch.float16
        assert round(updates["w"].item()) == -60 * step


def test_masks_see_the_dtype_that_a_parameter_has():
    params = {"half": torch.ones(1, dtype=torch.float16), "full": torch.ones(1)}
    frozen = optim.chain(optim.sgd(0.5), optim.freeze(lambda path, leaf: leaf.dtype == torch.float16))
    updates, _ = frozen.update(params, frozen.init(params), params)
    assert (updates["half"].item(), updates["full"].item()) == (0, -0.5)
    assert (updates["half"].dtype, updates["full"].dtype) == (torch.float16, torch.float32)


@pytest.mark.parametrize(
    ("optimizer", "read"),
    [
        (optim.sam(optim.adam(0.1)), optim.sam_eval_params),
        (optim.schedule_free_adamw(0.1), optim.schedule_free_eval_params),
    ],
)
def test_parameters_to_evaluate_have_their_own_dtype(optimizer, read):
    params = {"w": torch.ones(3, dtype=torch.float16)}
    updates, state = optimizer.update(params, optimizer.init(params), params)
    params = optim.apply_updates(params, updates)
    assert {leaf.dtype for leaf in (params["w"], updates["w"], read(state, params)["w"])} == {torch.float16}


def test_a_complex_half_moves_as_the_pair_of_its_parts():
    params = {"w": torch.tensor([1 + 1j, 2 - 1j]).to(torch.complex32)}
    grads = {"w": torch.tensor([0 + 300j, 6e4 - 6e-8j]).to(torch.complex32)}
    parts, part_grads = tree.map(torch.view_as_real, params), tree.map(torch.view_as_real, grads)
    for optimizer in (optim.adamw(0.1), optim.lookahead(optim.sgd(0.1, 0.9), 1), optim.sam(optim.adam(0.1))):
        updates, _ = optimizer.update(grads, optimizer.init(params), params)
        expected, _ = optimizer.update(part_grads, optimizer.init(parts), parts)
        torch.testing.assert_close(torch.view_as_real(updates["w"]), expected["w"], rtol=0, atol=0)
