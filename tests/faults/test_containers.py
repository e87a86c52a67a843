"""What a function puts into a container that it is given stays with it; and a new carry is paired by key."""

from collections import OrderedDict

import torch

import funcdl as fd


def test_grad_leaves_the_dicts_and_lists_of_other_arguments():
    others = {"b": torch.zeros(2), "seen": [torch.tensor(1.0)]}

    def f(p, d):
        d["b"] = p * 2
        d["seen"].append(p)
        return d["b"].sum()

    assert fd.grad(f)(torch.ones(2), others).tolist() == [2.0, 2.0]
    assert fd.value_and_grad(lambda p, *, d: f(p, d))(torch.ones(2), d=others)[0] == 4
    assert others["b"].tolist() == [0.0, 0.0]
    assert len(others["seen"]) == 1


def test_scan_leaves_the_first_carry_and_xs(without_inductor):
    def f(carry, x):
        carry["a"] = carry["a"] + x["x"]
        x["y"] = x["x"]
        return carry, carry["a"]

    def run(first, xs):
        return fd.scan(f, first, xs)

    for loop in (run, fd.jit(run)):
        first, xs = {"a": torch.tensor(1.0)}, {"x": torch.arange(1.0, 4.0)}
        last, ys = loop(first, xs)
        assert (last["a"].item(), ys.tolist()) == (7.0, [2.0, 4.0, 7.0])
        assert (first, list(xs)) == ({"a": torch.tensor(1.0)}, ["x"])


def test_a_carry_in_another_order_is_paired_by_key(without_inductor):
    firsts = [
        OrderedDict(a=torch.tensor(1.0), b=torch.tensor(2.0)),
        {"b": torch.tensor(2.0), "a": torch.tensor(1.0)},
        OrderedDict(b=torch.tensor(2.0), a=torch.tensor(1.0)),
    ]
    kinds = [
        lambda a, b: OrderedDict(b=b, a=a),
        lambda a, b: OrderedDict(a=a, b=b),
        lambda a, b: {"b": b, "a": a},
    ]

    def run(firsts, xs):
        return [
            fd.scan(lambda c, x, kind=kind: (kind(c["a"], c["b"] + x), ()), first, xs)[0]
            for first in firsts
            for kind in kinds
        ]

    for loop in (run, fd.jit(run)):
        for index, last in enumerate(loop(firsts, torch.arange(3.0))):
            first = firsts[index // len(kinds)]
            assert type(last) is type(first)
            assert list(last) == list(first)
            assert (last["a"].item(), last["b"].item()) == (1.0, 5.0)
