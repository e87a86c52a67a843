"""`fit` with an order of its own and with the best state kept."""

import pytest
import torch

from funcdl import data, losses, metrics, nn, optim, random, train, tree
from tests.recipes.small import left_in
from tests.train.problems import fit_flat

X = torch.linspace(-1, 1, 24).unsqueeze(1)
Y = 3 * X + 1
SCORES = [1.0, 5.0, 2.0, 5.0, 3.0]


def start(report, scores=SCORES, donated=False, **options):
    model, optimizer = nn.linear(1), optim.sgd(lr=0.1)
    state = train.make_state(model, optimizer, random.key(0), X)
    update = train.make_step(model, losses.mse, optimizer)
    seen = []

    def step(state, batch):
        new, measured = update(state, batch)
        new = tree.map(torch.clone, new)
        for leaf in tree.leaves(state) if donated else ():
            leaf.view(torch.uint8 if leaf.ndim else leaf.dtype).zero_()  # as a compiled step may
        return new, measured

    def evaluate(params, buffers, batches):
        seen.append(tree.map(torch.clone, params))
        return {"score": torch.tensor(scores[len(report.rows)])}

    options = {"epochs": len(scores), "batch_size": 8, "evaluate": evaluate, "key": random.key(1), **options}
    return fit_flat(state, step, (X, Y), report=report, **options), seen


def equal(a, b):
    return all(torch.equal(x, y) for x, y in zip(tree.leaves(a), tree.leaves(b), strict=True))


@pytest.mark.parametrize("folder", [None, "run"])
def test_the_first_of_the_best_states_is_returned_and_saved(tmp_path, folder):
    report = train.Report(folder and tmp_path / folder)
    state, seen = start(report, best="score")
    assert equal(state.params, seen[1])
    assert int(state.step) == 6
    last, _ = start(train.Report())
    assert not equal(state.params, last.params)
    if folder:
        saved, info = report.load(state, "best")
        assert equal(saved, state)
        assert info == {"epoch": 2}
        assert equal(report.load(state)[0], last)


def test_a_step_may_write_over_the_state_it_is_given():
    state, seen = start(train.Report(), best="score", donated=True)
    assert equal(state.params, seen[1])


@pytest.mark.parametrize("stop", [1, 2, 4])
def test_a_resumed_run_keeps_the_best_of_both_sittings(tmp_path, stop):
    whole, _ = start(train.Report(tmp_path / "whole"), best="score")
    start(train.Report(tmp_path / "run"), best="score", epochs=stop)
    resumed, _ = start(train.Report(tmp_path / "run"), best="score", resume=True)
    assert equal(resumed, whole)
    assert left_in(tmp_path / "run")[1] == left_in(tmp_path / "whole")[1]


def test_an_order_of_its_own_decides_the_batches():
    drawn = []

    def order(key):
        drawn.append(key.tolist())
        return torch.arange(24).split(8)

    report = train.Report()
    state, _ = start(report, order=order)
    assert drawn == [random.fold_in(random.key(1), epoch).tolist() for epoch in range(1, 6)]
    by_hand = train.make_state(nn.linear(1), optim.sgd(lr=0.1), random.key(0), X)
    step = train.make_step(nn.linear(1), losses.mse, optim.sgd(lr=0.1))
    for _ in range(5):
        for rows in torch.arange(24).split(8):
            by_hand, _ = step(by_hand, data.take((X, Y), rows))
    assert equal(state.params, by_hand.params)


def test_a_list_of_stacks_is_evaluated_as_one_data_set():
    model = nn.linear(1)
    params, _ = model.init(random.key(0), X)
    evaluate = train.make_evaluate(model, {"loss": metrics.mean_loss(losses.mse)})
    whole = evaluate(params, {}, data.stacked_batches((X, Y), 8))
    parts = [data.stacked_batches((X[:5], Y[:5]), 2), data.stacked_batches((X[5:], Y[5:]), 7)]
    torch.testing.assert_close(evaluate(params, {}, parts), whole)
