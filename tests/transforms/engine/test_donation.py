"""`jit(..., donate_argnums)` computes what the pure function computes, and reuses memory where that is safe."""

import functools
from typing import NamedTuple

import pytest
import torch

from funcdl import random, tree
from funcdl.transforms import jit, scan, value_and_grad, vmap
from funcdl.transforms.engine import backend
from tests.transforms.engine.donated import same, storages, whole


class Counted(NamedTuple):
    w: torch.Tensor
    step: torch.Tensor


def sum_of_squares(w):
    return (w**2).sum() / 2, {"old": w}


def descend(state, other):
    (loss, aux), gradient = value_and_grad(sum_of_squares, has_aux=True)(state["w"])
    return {"w": state["w"] - 2 * gradient}, {"loss": loss, "aux": aux}


def draw(state, other):
    key, now = random.split(state["key"])
    return {"key": key}, {"bits": random.bits(now, (3,))}


def lookahead(state, other):
    fast = state["fast"] + 1
    slow = torch.where(state["count"] % 2 == 0, state["slow"], fast + state["slow"])
    return {"fast": torch.where(state["count"] % 2 == 0, fast, slow), "slow": slow, "count": state["count"] + 1}, {}


CONSTANTS = {kind: whole(3, start=2).to(kind) for kind in ("cpu", "cuda") if kind == "cpu" or torch.cuda.is_available()}


def constant(state, other):
    value = CONSTANTS[state["w"].device.type]  # a captured tensor comes back as state, and is then donated
    return {"w": value, "n": state["n"] + state["w"].sum()}, {"row": value[1:]}


# name: (state and other for a size of its own, `step(state, other) -> (state, out)`, results found in donated memory)
STEPS = {
    "swap": (lambda n: ((whole(n), whole(n, start=1)), ()), lambda s, o: ((s[1], s[0]), ()), "0.0 0.1"),
    "rotate": (
        lambda n: ((whole(n), whole(n, start=1), whole(n, start=2)), ()),
        lambda s, o: ((s[1], s[2], s[0]), ()),
        "0.0 0.1 0.2",
    ),
    "shift": (
        lambda n: ((whole(n), whole(n, start=1), whole(n, start=2)), ()),
        lambda s, o: ((s[1], s[2], s[0] - s[1]), ()),
        "0.0 0.1 0.2",
    ),
    "swap_of_fresh": (
        lambda n: ((whole(n), whole(n, start=1)), ()),
        lambda s, o: ((s[1] + 1, s[0] - 1), ()),
        "0.0 0.1",
    ),
    "history": (
        lambda n: ({"history": (whole(n), whole(n, start=1)), "w": whole(n, start=2)}, {"gradient": whole(n)}),
        lambda s, o: ({"history": (s["history"][1], s["w"]), "w": s["w"] - o["gradient"]}, ()),
        "0.history.0 0.history.1 0.w",
    ),
    "lookahead": (
        lambda n: ({"fast": whole(n), "slow": whole(n, start=1), "count": torch.zeros(n, dtype=torch.int64)}, {}),
        lookahead,
        "0.fast 0.slow 0.count",
    ),
    "views_of_donated": (
        lambda n: ({"w": whole(2, n)}, {}),
        lambda s, o: ({"w": s["w"] + 1}, {"row": s["w"][0], "transposed": s["w"].t(), "flat": s["w"].view(-1)}),
        "0.w",
    ),
    "views_of_other": (
        lambda n: ({"w": whole(n), "v": whole(2, n)}, {"w": whole(n, start=1), "m": whole(n, 2)}),
        lambda s, o: ({"w": o["w"], "v": o["m"].t()}, {"row": o["m"][1], "other": o["w"]}),
        "",
    ),
    "old_leaf_as_metric": (
        lambda n: ({"w": whole(n)}, {}),
        lambda s, o: ({"w": s["w"] + 1}, {"old": s["w"], "new": s["w"] + 1}),
        "1.old",
    ),
    "detached_leaf_as_metric": (
        lambda n: ({"w": whole(n)}, {}),
        lambda s, o: ({"w": s["w"] + 1}, s["w"].detach()),
        "1",
    ),
    "leaf_in_two_slots": (
        lambda n: ((whole(n), whole(n, start=1)), ()),
        lambda s, o: ((s[0], s[0]), {"lost": s[1] + 1}),
        "0.0 1.lost",
    ),
    "fresh_in_two_slots": (
        lambda n: ((whole(n), whole(n, start=1)), ()),
        lambda s, o: ((fresh := s[0] - s[1], fresh), ()),
        "0.0 0.1",
    ),
    "unchanged": (
        lambda n: ({"w": whole(n), "frozen": whole(n, start=1)}, {}),
        lambda s, o: ({"w": s["w"] - s["frozen"], "frozen": s["frozen"]}, {}),
        "0.w 0.frozen",
    ),
    "constant": (
        lambda n: ({"w": whole(3), "n": whole(n)}, {}),
        constant,
        "0.w 0.n",
    ),
    "read_backwards": (
        lambda n: ((whole(2, n), whole(2, n, start=1)), ()),
        lambda s, o: ((s[0].flip(1) - s[1], s[1].roll(1, 1) + s[0].flip(0)), ()),
        "0.0 0.1",
    ),
    "expanded_result": (
        lambda n: ({"w": whole(n)}, {}),
        lambda s, o: ({"w": (s["w"][1] + 1).expand(s["w"].shape)}, ()),
        "0.w",
    ),
    "zero_size": (lambda n: ({"w": torch.zeros(0, n)}, {}), lambda s, o: ({"w": s["w"] * 2}, {}), "0.w"),
    "key": (lambda n: ({"key": random.key(n)}, {}), draw, "0.key"),
    "named_tuple": (
        lambda n: (Counted(whole(n), torch.zeros((), dtype=torch.int64)), ()),
        lambda s, o: (s._replace(w=s.w + s.step, step=s.step + 1), {"steps": s.step}),
        "0.w 1.steps",
    ),
    "aux_of_a_gradient": (lambda n: ({"w": whole(n)}, {}), descend, "1.aux.old"),
    "vmapped_swap": (
        lambda n: ((whole(2, n), whole(2, n, start=1)), ()),
        lambda s, o: (vmap(lambda a, b: (b, a))(*s), ()),
        "0.0 0.1",
    ),
    "scanned_swap": (
        lambda n: ((whole(n), whole(n, start=1)), ()),
        lambda s, o: scan(lambda carry, _: ((carry[1], carry[0]), carry[0]), s, length=3),
        "0.0 0.1",
    ),
    "vmapped_scanned_swap": (
        lambda n: ((whole(2, n), whole(2, n, start=1)), ()),
        lambda s, o: vmap(lambda s: scan(lambda carry, _: ((carry[1], carry[0]), ()), s, length=3))(s),
        "0.0 0.1",
    ),
}

# As above; these results have another form than the state had, so that they cannot be fed back.
ONCE = {
    "dtype": (lambda n: ({"w": whole(n)}, {}), lambda s, o: ({"w": s["w"].double()}, {}), ""),
    "shape": (lambda n: ({"w": whole(2, n)}, {}), lambda s, o: ({"w": s["w"][:, :2] + 1}, {"flat": s["w"].sum(0)}), ""),
    "dropped": (lambda n: ({"w": whole(n), "v": whole(n)}, {}), lambda s, o: ({"w": s["w"] + 1}, {}), "0.w"),
    "transposed": (lambda n: ({"w": whole(n, 2).t()}, {}), lambda s, o: ({"w": s["w"] + 1}, {}), ""),
    "transposed_and_unchanged": (lambda n: ({"w": whole(n, 2).t()}, {}), lambda s, o: (s, {}), "0.w"),
    "expanded": (lambda n: ({"w": whole(2, 1).expand(2, n)}, {}), lambda s, o: ({"w": s["w"] + 1}, {}), ""),
    "expanded_and_unchanged": (
        lambda n: ({"w": whole(2, 1).expand(2, n)}, {}),
        lambda s, o: (s, {"sum": s["w"] + 1}),
        "0.w",
    ),
    "strided": (lambda n: ({"w": whole(2 * n)[::2]}, {}), lambda s, o: ({"w": s["w"] - 1}, {}), ""),
    "bit_pattern": (
        lambda n: ({"w": whole(n)}, {}),
        lambda s, o: ({"w": s["w"].view(torch.int32)}, {"w": s["w"].view(torch.int32) + 1}),
        "",
    ),
    "transposed_result": (
        lambda n: ({"w": whole(n, n)}, {}),
        lambda s, o: ({"w": s["w"].t()}, {"w": s["w"].t() + 1}),
        "1.w",
    ),
    "slice_of_leaf": (lambda n: ({"w": whole(2, n), "v": whole(n)}, {}), lambda s, o: ({"v": s["w"][0]}, {}), ""),
}

N = {name: 5 + 2 * position for position, name in enumerate([*STEPS, *ONCE])}  # no case can use another's memory


def make(cases, device):
    made = {name: case[0](N[name]) for name, case in cases.items()}
    # .to() would keep views as they are on the CPU and break them up elsewhere: both are right here.
    return tuple({name: tree.map(lambda leaf: leaf.to(device), m[part]) for name, m in made.items()} for part in (0, 1))


def together(cases):
    def f(states, others):
        results = {name: case[1](states[name], others[name]) for name, case in cases.items()}
        return tuple({name: result[part] for name, result in results.items()} for part in (0, 1))

    return f


@functools.cache  # one graph for all cases; each case is then judged in a test of its own
def run(group, device):
    """Feeds the state back for some steps; returns for each the expected and the found (state, out) and the donors."""
    cases, steps = (STEPS, 5) if group == "steps" else (ONCE, 1)
    f, compiled = together(cases), jit(together(cases), donate_argnums=0)
    expected_states, _ = make(cases, device)
    states, others = make(cases, device)
    history = []
    for _ in range(steps):
        expected_states, expected_out = f(expected_states, others)
        donors = {name: storages(state) for name, state in states.items()}
        states, out = compiled(states, others)
        # What is kept for the tests must not be donated in the next round.
        memory = {name: storages((states[name], out[name])) for name in cases}
        kept = tree.map(torch.clone, (states, out))
        history.append(((expected_states, expected_out), kept, donors, memory))
    return history, others, make(cases, device)[1]


CASES = [*(("steps", name) for name in STEPS), *(("once", name) for name in ONCE)]


@pytest.mark.parametrize(("group", "name"), CASES, ids=[name for _, name in CASES])
def test_computes_what_the_pure_function_computes(group, name, device):
    history, others, others_before = run(group, device)
    for expected, found, _, _ in history:
        same(tuple(part[name] for part in found), tuple(part[name] for part in expected))
    same(others[name], others_before[name])
    assert torch.equal(CONSTANTS[device.type], whole(3, start=2).to(device))


@pytest.mark.parametrize(("group", "name"), CASES, ids=[name for _, name in CASES])
def test_reuses_memory_where_that_is_safe(group, name, device):
    reused = {**STEPS, **ONCE}[name][2].split()
    history, others, _ = run(group, device)
    for _, found, donors, memory in history:
        paths = tree.paths(tuple(part[name] for part in found))
        assert [path for path, where in zip(paths, memory[name], strict=True) if where in donors[name]] == [
            path for path in paths if path in reused
        ]
        assert len(set(memory[name])) == len(memory[name]), "two results share memory"
        assert not set(memory[name]) & set(storages(others)), "a result shares memory with an argument not donated"


def test_a_leaf_that_is_a_row_of_a_larger_tensor_overwrites_that_row_alone(device):
    matrix = whole(4, 3).to(device)
    result = jit(lambda w: w + 10, donate_argnums=(0,))(matrix[1])
    assert torch.equal(matrix, whole(4, 3).to(device) + 10 * torch.eye(4)[1].to(device)[:, None])
    assert result.data_ptr() == matrix[1].data_ptr()


def test_results_that_are_computed_alike_do_not_share_memory(device):
    step = jit(lambda w: (w + 1, twice := 2 * w, twice, 2 * w), donate_argnums=0)
    results = step(whole(3).to(device))
    same(results, (whole(3).to(device) + 1, *3 * [2 * whole(3).to(device)]))
    assert len(set(storages(results))) == 4


def test_two_donated_arguments_and_a_keyword(device):
    step = jit(lambda a, b, *, c: (b["w"], {"w": a - c}), donate_argnums=(0, 1))
    a, b, c = whole(3).to(device), {"w": whole(3, start=1).to(device)}, whole(3, start=2).to(device)
    donors = storages(a, b)
    results = step(a, b, c=c)
    same(results, (whole(3, start=1).to(device), {"w": (whole(3) - whole(3, start=2)).to(device)}))
    assert sorted(storages(results)) == sorted(donors)
    assert torch.equal(c, whole(3, start=2).to(device))


@pytest.fixture
def uncompiled(monkeypatch):
    monkeypatch.setattr(backend, "compile_graph", lambda graph: graph.forward)


def test_conjugate_is_not_the_unchanged_leaf(uncompiled):
    result = jit(lambda c: c.conj(), donate_argnums=0)(torch.tensor([1 + 2j]))
    assert torch.equal(result, torch.tensor([1 - 2j]))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.int64])
def test_a_0_dim_leaf_takes_its_new_value(dtype, device):
    """Torch 2.11 loses what a graph writes over a 0-dim float64 input on the CPU."""
    double = jit(lambda tree: {"a": tree["a"] * 2, "b": tree["b"] + tree["a"]}, donate_argnums=0)
    result = double({"a": torch.tensor(3, dtype=dtype, device=device), "b": torch.ones(4, dtype=dtype, device=device)})
    assert result["a"].item() == 6
    assert result["b"].tolist() == [4] * 4
