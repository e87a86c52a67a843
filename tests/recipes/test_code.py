"""The plain scripts of `funcdl code` compute what the recipes do: outputs, losses, and the parameters after steps."""

import dataclasses
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

import funcdl as fd
from funcdl import data, optim, random, tree
from recipes import code, registry, training
from recipes.minimization import Minimizer
from tests.recipes.small import call

STEPS = 3
FLAGS = {  # which leave one member of those that are trained side by side
    "titanic": ["--seeds", "1"],
    "hello": ["--seeds", "1"],
    "optimizers": ["--only", "adam"],
    "overfitting": ["--seeds", "1", "--only", "plain"],
}
LOCALS = {  # the data of a recipe that minimizes, by its own names; the others call them x and y
    "thermometer": lambda run: (run["x"][run["rows"]], run["celsius"][run["rows"]]),
    "thermometer-network": lambda run: (run["x"][run["rows"]], run["celsius"][run["rows"]]),
    "overfitting": lambda run: (run["points"].x, run["points"].y[0]),
    "dimension-reduction": lambda run: (run["pixels"], run["pixels"]),
}


@dataclasses.dataclass
class Training(Exception):
    """What a recipe trains."""

    params: tree.Tree
    buffers: tree.Tree
    optimizer: optim.Transformation
    value_and_grad: Callable[..., Any]  # of the parameters, the buffers and a batch: ((loss, new buffers), gradients)
    batches: list[Any]


def training_of(name, folder, monkeypatch):
    """Returns what a recipe trains, from random or from its own parameters, without dropout."""

    def fit(settings, report, task, known, held_out=None, **options):
        batch = data.take(known, torch.arange(min(12, task.batch_size, len(known[1]))))
        inputs, targets = task.collate(batch) if task.collate else batch
        state = options.get("state") or training.make_state(task, random.key(0), known[0])
        inputs = task.prepare(inputs) if task.prepare else inputs
        params, buffers = state.params, state.buffers
        if name != "hello":  # which makes floats of its letters itself
            params, buffers, inputs, targets = map(doubled, (params, buffers, inputs, targets))

        def objective(params, buffers, _):
            outputs, buffers = task.model.apply(params, buffers, inputs)
            return task.loss(outputs, targets), buffers

        arguments = tuple(inputs.values()) if isinstance(inputs, dict) else (inputs,)
        batch = tuple(leaf[:, 0] if name == "hello" else leaf for leaf in (*arguments, targets))
        raise Training(params, buffers, task.optimizer, fd.value_and_grad(objective, has_aux=True), [batch] * STEPS)

    def minimize(self, value_and_grad, params, optimizer, xs=(), **options):
        def with_buffers(params, buffers, batch):
            loss, grads = value_and_grad(params, xs[0] if name == "overfitting" else batch)  # of a key, not of data
            return (loss, buffers), grads

        run = sys._getframe(1).f_locals
        if name in LOCALS or not len(xs):
            batches = [LOCALS[name](run) if name in LOCALS else (run["x"], run["y"])] * STEPS
        else:
            batches = [tree.map(lambda leaf, index=index: leaf[index], xs) for index in range(STEPS)]
        raise Training(params, (), optimizer, with_buffers, batches)

    monkeypatch.setattr(training, "fit", fit)
    monkeypatch.setattr(Minimizer, "__call__", minimize)
    with pytest.raises(Training) as caught:
        call("run", name, "--out", folder / "run", *FLAGS.get(name, []))
    return caught.value


def doubled(values):
    """`values` in float64, so that rounding decides no sign of a gradient."""
    return tree.map(lambda leaf: leaf.double() if leaf.is_floating_point() else leaf, values)


def script(name):
    """The names that a plain script defines."""
    defined = {}
    with torch.random.fork_rng():
        exec(compile(code.plain_code(name), name, "exec"), defined)
    return defined


def ordered(params):
    """The leaves in the order in which the layers were made, as in `model.parameters()`."""
    return [leaf for part in params.values() for leaf in ordered(part)] if isinstance(params, dict) else [params]


@pytest.mark.parametrize("name", code.names())
def test_the_plain_script_trains_as_the_recipe_does(name, tmp_path, monkeypatch):
    ours, theirs = training_of(name, tmp_path, monkeypatch), script(name)
    drawn = [leaf[0] if name in FLAGS else leaf for leaf in ordered(ours.params)]
    theirs["model"].to(drawn[0].dtype).eval()
    theirs |= {key: value.to(drawn[0].dtype) for key, value in theirs.items() if isinstance(value, torch.Tensor)}
    parameters = list(theirs["model"].parameters())
    assert [leaf.shape for leaf in drawn] == [parameter.shape for parameter in parameters]
    with torch.no_grad():
        for parameter, leaf in zip(parameters, drawn, strict=True):
            parameter.copy_(leaf)
    params, buffers, state = ours.params, ours.buffers, ours.optimizer.init(ours.params)
    for batch in ours.batches:
        (loss, buffers), grads = ours.value_and_grad(params, buffers, batch)
        updates, state = ours.optimizer.update(grads, state, params, value=loss)
        params = optim.apply_updates(params, updates)
        plain_loss = theirs["step"](*batch[: theirs["step"].__code__.co_argcount])
        assert plain_loss == pytest.approx(loss.item(), rel=1e-5)
    for parameter, leaf in zip(parameters, ordered(params), strict=True):
        torch.testing.assert_close(parameter.detach(), leaf[0] if name in FLAGS else leaf, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", registry.RECIPES)
@pytest.mark.parametrize("columns", [80, 170])
def test_the_code_of_every_recipe_is_shown_within_the_width(name, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    exit_code, out, err = call("code", name)
    assert (exit_code, err) == (0, [])
    assert max(map(len, out)) <= columns
    shown = "".join("".join(line.strip("│ ").split()) for line in out)
    assert "def" in shown
    if name in code.names():
        assert ("with funcdl" in out[0]) == ("in plain PyTorch" not in out[0] or columns == 170)
        exit_code, out, _ = call("code", name, "--plain")
        assert exit_code == 0
        assert "\n".join(out) + "\n" == code.plain_code(name)


def test_every_recipe_that_trains_a_network_has_a_plain_script():
    without = set(registry.RECIPES) - set(code.names())
    assert without == {
        "tensors",
        "storage",
        "numpy-bridge",
        "autograd",
        "activations",
        "layers",
        "loss-functions",
        "real-data",
        "batching",
        "finetune",
    }
    assert len(list(code.FOLDER.iterdir())) == len(code.names())  # and no file is anything else's


def test_what_is_quoted_is_the_source_without_docstrings():
    module = registry.find("digits-convnet").load()
    text = code.quoted(module, "make_task")
    assert text.startswith("def make_task(")
    assert "return _digits.make_task(" in text
    assert '"""' not in text
    assert "loss=losses.nll" in text
    assert code.quoted(module, "Settings/batch_size").startswith("batch_size: int")
    assert code.quoted(module, "funcdl.train.step:make_step/step").startswith("def step(state: TrainState")
    assert code.quoted(module, "._digits:EPOCHS").startswith("EPOCHS = ")
    with pytest.raises(ValueError, match="has no nothing/here"):
        code.quoted(module, "nothing/here")


def test_a_recipe_that_is_none_is_refused():
    exit_code, out, err = call("code", "digits-convne")
    assert (exit_code, out) == (2, [])
    assert "did you mean 'digits-convnet'?" in err[0]
    exit_code, _, err = call("code", "tensors", "--plain")
    assert exit_code == 2
    assert "tensors: trains no network" in err[0]
