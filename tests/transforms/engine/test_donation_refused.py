"""What `jit(..., donate_argnums)` refuses: leaves that share memory or require a gradient, and missing arguments."""

import pytest
import torch

from funcdl.transforms import jit
from funcdl.transforms.engine import backend
from tests.transforms.engine.donated import same, whole


def test_donated_leaf_twice_in_the_tree_is_refused_by_name_and_works_once_cloned():
    def f(state):
        return {"ema": 2 * state["params"], "params": state["ema"]}

    step, params = jit(f, donate_argnums=0), whole(3)
    with pytest.raises(ValueError, match=r"'0\.ema' is donated, but shares its memory with '0\.params'; clone one"):
        step({"params": params, "ema": params})
    with pytest.raises(ValueError, match="shares its memory"):  # and nothing planned for these leaves is kept
        step({"params": params, "ema": params.detach()})
    state = {"params": whole(3), "ema": whole(3, start=1)}
    same(step(state), f({"params": whole(3), "ema": whole(3, start=1)}))


def test_views_of_one_tensor_are_refused():
    halves = whole(4).view(2, 2).unbind()
    with pytest.raises(ValueError, match=r"'0\.0' is donated, but shares its memory with '0\.1'"):
        jit(lambda s: s, donate_argnums=0)(halves)


def test_donated_leaf_that_another_argument_holds_is_refused():
    w = whole(3)
    step = jit(lambda s, inputs: {"w": s["w"] + inputs}, donate_argnums=0)
    with pytest.raises(ValueError, match=r"'0\.w' is donated, but shares its memory with '1'; clone one"):
        step({"w": w}, w)
    step({"w": whole(3)}, w)
    state = {"w": w.clone()}
    with pytest.raises(ValueError, match="shares its memory"):  # by the compiled program too
        step(state, state["w"])
    assert torch.equal(w, whole(3))


def test_sharing_is_refused_without_a_compiler_too(monkeypatch):
    monkeypatch.setattr(backend, "missing_compiler", lambda: "no compiler")
    step = jit(lambda a, b: (a + 1, b), donate_argnums=0)
    with pytest.warns(RuntimeWarning, match="no compiler"):
        step(whole(2), whole(2))
    w = whole(2)
    with pytest.raises(ValueError, match="shares its memory"):
        step(w, w)


def test_donated_leaf_that_requires_a_gradient_is_refused():
    state = {"w": whole(3).requires_grad_()}
    with pytest.raises(ValueError, match=r"'0\.w' is donated, but requires a gradient; detach it first"):
        jit(lambda s: {"w": s["w"] + 1}, donate_argnums=0)(state)


@pytest.mark.parametrize("argnum", [1, -1])
def test_donated_position_that_is_not_there_is_refused(argnum):
    step = jit(lambda a, b: a + b, donate_argnums=argnum)
    with pytest.raises(
        ValueError, match=rf"names argument {argnum}, but the call has 1 positional arguments; pass donated"
    ):
        step(whole(2), b=whole(2))
