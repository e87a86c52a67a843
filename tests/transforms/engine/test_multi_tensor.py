"""Equal updates of many leaves are one kernel, and compute what the whole graph would."""

import pytest
import torch

from funcdl import optim, tree
from funcdl.transforms import grad, jit, scan
from funcdl.transforms.engine import backend
from funcdl.transforms.engine.multi_tensor import launch
from tests.transforms.engine.donated import same, storages, whole

SHAPES = 2 * [(3, 4), (5,), (1,), (0, 2), (2, 3, 3), (300, 301)]  # 12 leaves
ENOUGH = launch.MIN_GROUP


@pytest.fixture
def kernels(monkeypatch):
    """The kernels of all graphs compiled in a test, a list for each graph, which take fewer leaves than users' do."""
    made = []
    monkeypatch.setattr(backend, "compile_small", lambda graph: None)
    monkeypatch.setattr(launch, "MIN_GROUP", 6)
    extract_kernels = launch.extract_kernels
    monkeypatch.setattr(launch, "extract_kernels", lambda graph: made.append(extract_kernels(graph)) or made[-1])
    return made


def leaves(seed, dtype=torch.float32, shapes=SHAPES):
    generator = torch.Generator().manual_seed(seed)
    return {f"leaf{i:02}": torch.randn(shape, dtype=dtype, generator=generator) for i, shape in enumerate(shapes)}


def updating(optimizer):
    def update(carried, grads):
        params, state = carried
        updates, state = optimizer.update(grads, state, params)
        return optim.apply_updates(params, updates), state

    return update


def three_steps(optimizer, dtype=torch.float32, close=1e-6):
    """Steps of the compiled update beside the eager one; returns the compiled function and its last result."""
    update = updating(optimizer)
    compiled = jit(update, donate_argnums=0)
    params = leaves(0, dtype)
    expected = found = params, optimizer.init(params)
    found = tree.map(torch.clone, found)
    donors = storages(found)
    for step in range(3):
        grads = leaves(step + 1, dtype)
        expected, found = update(expected, grads), compiled(found, grads)
        for (path, right), leaf in zip(tree.leaves_with_paths(expected), tree.leaves(found), strict=True):
            torch.testing.assert_close(leaf, right, rtol=close, atol=close, msg=lambda text, path=path: path + text)
    written = [where for leaf, where in zip(tree.leaves(found), storages(found), strict=True) if leaf.ndim]
    assert set(written) <= set(donors)
    return compiled, found


def test_complex_leaves(kernels):
    three_steps(optim.adam(lr=0.1, weight_decay=0.1), torch.complex64)
    assert kernels[0]


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_adam_is_one_kernel_for_all_leaves_and_compiles_once(kernels, compiled_graphs, dtype, close):
    compiled, found = three_steps(optim.adam(lr=0.1, weight_decay=0.1), dtype, close)
    compiled(found, leaves(9, dtype))
    assert [[len(kernel.sizes) for kernel in of_graph] for of_graph in kernels] == [[12]]
    assert compiled_graphs() == 1  # the scalars; Dynamo, which counts, has no part in the kernel


def test_a_norm_of_all_leaves_is_computed_before(kernels):
    three_steps(optim.chain(optim.clip_by_global_norm(0.5), optim.sgd(lr=0.1, momentum=0.9)))
    assert len(kernels[0]) == 1


def test_scalars_of_each_leaf(kernels):
    three_steps(optim.lars(lr=0.1))
    assert len(kernels[0]) == 1
    # Each leaf has its own trust ratio.
    assert len({tuple(indices[3:]) for indices in kernels[0][0].indices}) == 12


def test_a_scalar_seen_through_a_view_that_is_written_into(kernels):
    def update(carried, rates):
        rates = rates.clone()
        rate = rates[0]
        before = rate * 2
        rates.add_(1)
        return tree.map(lambda leaf: leaf * before + rate * 2, carried)

    carried, rates = leaves(0), torch.tensor([0.25, 1.0])
    expected = update(carried, rates)
    same(jit(update, donate_argnums=0)(carried, rates), expected)
    assert len(kernels[0]) == 1


def test_two_rates_are_two_arguments_of_one_kernel(kernels):
    rates = {"slow": optim.sgd(lr=0.1), "fast": optim.sgd(lr=0.5)}
    three_steps(optim.partition(rates, lambda path, leaf: "fast" if path.endswith("1") else "slow"))
    assert len(kernels[0]) == 1


def test_leaves_of_two_dtypes_are_two_kernels(kernels):
    params = {"single": leaves(0), "double": leaves(1, torch.float64)}
    update = updating(optimizer := optim.sgd(lr=0.1, momentum=0.9))
    expected = update((params, optimizer.init(params)), params)
    grads = tree.map(torch.clone, params)
    found = jit(update, donate_argnums=0)((params, optimizer.init(params)), grads)
    for right, leaf in zip(tree.leaves(expected), tree.leaves(found), strict=True):
        torch.testing.assert_close(leaf, right)
    assert len(kernels[0]) == 2


def test_updates_that_read_what_the_other_writes_are_one_piece(kernels):
    optimizer = optim.lion(lr=0.1, weight_decay=0.1)  # both the step and the average read the last average
    three_steps(optimizer)
    assert [len(kernel.sizes) for kernel in kernels[0]] == [12]


def test_below_autocast(kernels):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        three_steps(optim.adam(lr=0.1))
    assert kernels[0]


def test_leaves_that_start_within_their_memory_and_are_as_many_as_users_need(kernels, monkeypatch):
    monkeypatch.setattr(launch, "MIN_GROUP", ENOUGH)

    def parts(start):
        return [whole(10, start=start + i)[4:].view(2, 3) for i in range(40)]

    step = jit(lambda params, grads: [p - 2 * g for p, g in zip(params, grads, strict=True)], donate_argnums=0)
    same(step(parts(0), parts(50)), [p - 2 * g for p, g in zip(parts(0), parts(50), strict=True)])
    assert kernels[0]


def test_swaps(kernels):
    def swap(state):
        return [pair for a, b in zip(state[::2], state[1::2], strict=True) for pair in (b + 1, a + 1)]

    def initial():
        return [whole(2, 3, start=i) for i in range(16)]

    compiled, state, expected = jit(swap, donate_argnums=0), initial(), initial()
    for _ in range(3):
        state, expected = compiled(state), swap(expected)
    same(state, expected)
    assert [len(kernel.sizes) for kernel in kernels[0]] == [8]


def test_updates_that_read_other_donated_leaves_stay_in_the_graph(kernels):
    def turn(state):
        return [leaf + 1 for leaf in state[1:]] + [state[0] + state[1]]

    def initial():
        return [whole(2, 3, start=i) for i in range(8)]

    compiled, state, expected = jit(turn, donate_argnums=0), initial(), initial()
    for _ in range(3):
        state, expected = compiled(state), turn(expected)
    same(state, expected)
    assert kernels == [[]]


def test_gradients_that_lie_otherwise_in_memory_stay_in_the_graph(kernels):
    params = [whole(3, 4, start=i) for i in range(8)]
    grads = [whole(4, 3, start=i) for i in range(8)]
    compiled = jit(lambda p, g: tree.map(lambda p, g: p - g.T, p, g), donate_argnums=0)
    same(compiled(tree.map(torch.clone, params), grads), [p - g.T for p, g in zip(params, grads, strict=True)])
    assert kernels == [[]]


def test_a_result_that_is_also_returned_as_it_is(kernels):
    params = [whole(3, 4, start=i) for i in range(8)]
    compiled = jit(lambda p: ([leaf * 2 for leaf in p], [(leaf * 2).sum() for leaf in p]), donate_argnums=0)
    found, sums = compiled(tree.map(torch.clone, params))
    same(found, [leaf * 2 for leaf in params])
    same(sums, [(leaf * 2).sum() for leaf in params])
    assert len(kernels[0]) == 1


def test_a_training_step_is_bit_for_bit_that_of_a_scan(kernels):
    optimizer = optim.adam(lr=0.01)

    def loss(params, x):
        for weight in params:
            x = torch.tanh(x @ weight) + x
        return x.square().mean()

    def step(carried, x):
        params, state = carried
        updates, state = optimizer.update(grad(loss)(params, x), state, params)
        return (optim.apply_updates(params, updates), state), x.sum()

    generator = torch.Generator().manual_seed(0)
    params = [torch.randn(7, 7, generator=generator) / 7 for _ in range(8)]
    batches = torch.randn(4, 5, 7, generator=generator)
    epoch, _ = jit(lambda carried, batches: scan(step, carried, batches))((params, optimizer.init(params)), batches)
    compiled, carried = jit(step, donate_argnums=0), tree.map(torch.clone, (params, optimizer.init(params)))
    for batch in batches:
        carried, _ = compiled(carried, batch)
    same(carried, epoch)
