import pytest
import torch

import funcdl as fd
from funcdl import data, losses, metrics, nn, optim, random, train, tree
from tests.train.problems import MODEL, clusters, evaluation, problem


def batches_of(batch_size=8, epochs=1, **options):
    points = clusters(**options)
    for epoch in range(epochs):
        yield from data.shuffled_batches(random.fold_in(random.key(5), epoch), points, batch_size)


def assert_same_bits(first, second):
    assert tree.structure(first) == tree.structure(second)
    for path, a, b in zip(tree.paths(first), tree.leaves(first), tree.leaves(second), strict=True):
        assert a.dtype == b.dtype, path
        assert torch.equal(a, b), f"{path} differs by {(a.double() - b.double()).abs().max()}"


def graphs():
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


def test_compiled_it_is_one_graph_made_once_and_equals_the_eager_step():
    optimizer = optim.sgd(lr=0.1, momentum=0.9)
    state, step = problem(optimizer, dtype=torch.float64)
    eager, compiled, fast = state, state, fd.jit(step)
    before = graphs()
    for number, batch in enumerate(batches_of(epochs=2, dtype=torch.float64)):
        eager, expected = step(eager, batch)
        compiled, measured = fast(compiled, batch)
        assert graphs() == before + 1, f"step {number} has compiled"
        torch.testing.assert_close(measured, expected, rtol=1e-10, atol=1e-12)
    assert number == 9
    torch.testing.assert_close(compiled.params, eager.params, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(compiled.optimizer, eager.optimizer, rtol=1e-10, atol=1e-12)
    assert compiled.step.item() == eager.step.item() == 10


def test_an_epoch_by_scan_has_the_bits_of_the_compiled_step_in_a_loop():
    state, step = problem()
    batches = list(batches_of(batch_size=4))
    looped, fast, rows = state, fd.jit(step), []
    for batch in batches:
        looped, measured = fast(looped, batch)
        rows.append(measured)
    scanned, stacked_rows = fd.jit(lambda state, batches: fd.scan(step, state, batches))(state, tree.stack(batches))
    assert_same_bits(scanned, looped)
    assert_same_bits(stacked_rows, tree.stack(rows))
    assert len(batches) == 10


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_an_ensemble_by_vmap_equals_its_members_one_by_one(compiled):
    optimizer = optim.sgd(lr=0.1)
    members = [problem(optimizer, seed=seed, dtype=torch.float64)[0] for seed in range(3)]
    step = problem(optimizer)[1]
    together = fd.vmap(step, in_dims=(0, None))
    together = fd.jit(together) if compiled else together
    ensemble = tree.stack(members)
    for batch in batches_of(dtype=torch.float64):
        ensemble, measured = together(ensemble, batch)
        pairs = [step(member, batch) for member in members]
        members = [state for state, _ in pairs]
        torch.testing.assert_close(measured, tree.stack([m for _, m in pairs]), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(ensemble.params, tree.stack(members).params, rtol=1e-10, atol=1e-12)
    assert len(ensemble.params["0"]["weight"].unique(dim=0)) == 3


def test_it_leaves_its_arguments_alone(device):
    state, step = problem()
    state, batch = tree.map(lambda t: t.to(device), (state, next(batches_of())))
    before = tree.map(torch.clone, (state, batch))
    new, measured = step(state, batch)
    assert_same_bits((state, batch), before)
    assert measured.keys() == {"loss", "accuracy"}
    assert all(value.shape == () and not value.requires_grad for value in measured.values())
    assert not any(leaf.requires_grad for leaf in tree.leaves(new))
    assert torch.equal(new.key, state.key)
    assert new.step == state.step + 1
    assert not torch.equal(new.params["0"]["weight"], state.params["0"]["weight"])


def test_it_is_plain_gradient_descent_and_measures_before_the_update():
    model, optimizer = nn.linear(1, bias=False), optim.sgd(lr=0.5)
    state = train.make_state(model, optimizer, random.key(0), torch.empty(1, 1))._replace(
        params={"weight": torch.tensor([[3.0]])}
    )
    step = train.make_step(model, losses.mse, optimizer, prepare=lambda x: x / 2)
    new, measured = step(state, (torch.tensor([[2.0]]), torch.tensor([[1.0]])))
    assert measured["loss"] == 4  # (3 * 2/2 - 1)^2
    assert new.params["weight"] == 3 - 0.5 * 2 * (3 - 1)


def test_each_step_draws_from_the_state_s_key_and_the_number_of_the_step():
    state, step = problem()
    batch = next(batches_of())
    first = step(state, batch)[1]["loss"]
    assert torch.equal(first, step(state, batch)[1]["loss"])
    assert not torch.equal(first, step(state._replace(step=state.step + 1), batch)[1]["loss"])
    assert not torch.equal(first, step(state._replace(key=random.key(8)), batch)[1]["loss"])


def test_bf16_computes_in_bfloat16_and_keeps_everything_in_float32():
    seen = []

    def look(x):
        seen.append(x.dtype)
        return x

    model, optimizer = nn.serial(nn.linear(8), look, nn.relu(), nn.linear(3), nn.log_softmax(-1)), optim.adam(lr=0.05)
    state = train.make_state(model, optimizer, random.key(0), torch.empty(1, 4))
    step = train.make_step(model, losses.nll, optimizer, metrics={"accuracy": metrics.accuracy}, precision="bf16")
    exact = train.make_step(model, losses.nll, optimizer)
    seen.clear()
    measured = []
    for batch in batches_of(epochs=10):
        assert not measured or seen == [torch.bfloat16]
        seen.clear()
        previous = state
        state, row = step(state, batch)
        measured.append(row["loss"])
    assert {leaf.dtype for leaf in tree.leaves(state.params)} == {torch.float32}
    assert [leaf.dtype for leaf in tree.leaves(state)] == [leaf.dtype for leaf in tree.leaves(previous)]
    assert row["loss"].dtype == torch.float32
    assert sum(measured[-5:]) < 0.3 * sum(measured[:5])
    expected = exact(previous, batch)[1]["loss"]
    assert not torch.equal(row["loss"], expected)
    torch.testing.assert_close(row["loss"], expected, rtol=0.1, atol=0.02)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 20])
@pytest.mark.parametrize("n", [1, 7, 10])
def test_evaluation_is_the_plain_mean_over_the_data(n, batch_size, device):
    state, _ = problem()
    inputs, targets = clusters(n)
    outputs = MODEL(state.params, inputs)
    expected = {
        "val_loss": torch.nn.functional.nll_loss(outputs, targets),
        "val_accuracy": (outputs.argmax(1) == targets).float().mean(),
    }
    arguments = (state.params, state.buffers, data.stacked_batches((inputs, targets), batch_size))
    measured = evaluation()(*tree.map(lambda t: t.to(device), arguments))
    torch.testing.assert_close(measured, expected, check_device=False)


def test_evaluation_compiles_to_one_graph_with_the_same_result():
    state, _ = problem()
    batches = data.stacked_batches(clusters(11), 4)
    fast, before = fd.jit(evaluation()), graphs()
    measured = fast(state.params, state.buffers, batches)
    torch.testing.assert_close(measured, evaluation()(state.params, state.buffers, batches))
    fast(tree.map(lambda p: 2 * p, state.params), state.buffers, batches)
    assert graphs() == before + 1


def test_evaluation_prepares_its_inputs():
    model = nn.linear(1, bias=False)
    evaluate = train.make_evaluate(model, {"loss": metrics.mean_loss(losses.mse)}, prepare=lambda x: x.float() / 255)
    batches = data.stacked_batches((torch.full((3, 1), 255, dtype=torch.uint8), torch.zeros(3, 1)), 2)
    assert evaluate({"weight": torch.tensor([[2.0]])}, {}, batches) == {"loss": torch.tensor(4.0)}
