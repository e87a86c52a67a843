"""What users compile by `torch.compile` themselves, which interprets all of it, where `jit` would run it once."""

import pytest
import torch

from funcdl import losses, metrics, nn, optim, random, train, tree
from funcdl.transforms import jit, scan
from tests.transforms.test_jit import arguments, assert_same, everything


def training_step(x, y):
    layer = nn.serial(nn.linear(8), nn.batch_norm1d(), jit(torch.relu), nn.dropout(0.5), nn.linear(3))
    optimizer = optim.chain(optim.clip_by_global_norm(1.0), optim.sgd(lr=0.1, momentum=0.9))
    state = train.make_state(layer, optimizer, random.key(0), x)
    return (
        train.make_step(layer, losses.cross_entropy, optimizer, metrics={"accuracy": metrics.accuracy}),
        state,
        (x, y),
    )


def scanned(init, xs):
    """A loop with another in it, that closes over an argument."""

    def body(carry, x):
        inner, _ = scan(lambda c, x: (c * init["w"] + x, ()), carry["w"], x["rows"])
        return {"w": inner, "n": carry["n"] + 1}, {"norm": inner.norm(), "x": x["rows"][0]}

    return scan(body, init, xs)


CASES = {
    "trees": lambda: ((lambda x, more, scale: everything(x, more, scale=scale)), *arguments("cpu")),
    "step": lambda: training_step(torch.linspace(-1, 1, 20).view(4, 5), torch.tensor([0, 1, 2, 0])),
    "scan": lambda: (
        scanned,
        {"w": torch.tensor([0.5, 2.0]), "n": torch.tensor(0)},
        {"rows": torch.linspace(0, 1, 24).view(3, 4, 2)},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_equals_eager(name):
    f, *args = CASES[name]()
    expected = f(*args)
    assert_same(torch.compile(f, fullgraph=True, dynamic=False, backend="aot_eager")(*args), expected)
    assert_same(jit(f)(*args), expected)
    assert tree.leaves(expected)
