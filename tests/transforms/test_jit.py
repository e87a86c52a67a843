"""`jit` computes what the function computes, compiles once for each form of the arguments, and says what it refuses."""

import functools
import importlib
import warnings
from collections import OrderedDict
from typing import NamedTuple

import pytest
import torch
from torch._dynamo.utils import compilation_time_metrics

from funcdl import random, tree
from funcdl.transforms import eval_shape, grad, inductor, jit, scan, value_and_grad, vmap

jit_module = importlib.import_module("funcdl.transforms.jit")  # the package's attribute of that name is the function


class Pair(NamedTuple):
    first: torch.Tensor
    second: torch.Tensor


def assert_same(results, expected):
    assert tree.structure(results) == tree.structure(expected)
    for (path, result), right in zip(tree.leaves_with_paths(results), tree.leaves(expected), strict=True):
        torch.testing.assert_close(result, right, msg=lambda m, path=path: f"{path}: {m}")


CLOSED_OVER = torch.tensor([1.0, 2.0, 3.0])


def everything(x, more, *, scale, jit=jit):
    """Trees of every kind go in and come out, with jitted functions, views, unchanged and closed-over tensors."""
    inner = jit(lambda a: {"y": a * scale, "same": a})(x)
    gradient, value = grad(jit(lambda w: (w**3).sum()))(x), jit(lambda w: w.sum())(x)
    return {
        "pair": Pair(more["pair"].second + 1, more["pair"].first),
        "inner": inner,
        "list": [gradient, (value,), {}, ()],
        "closed": (CLOSED_OVER, CLOSED_OVER + x, CLOSED_OVER[1:]),
        "views": (x[1:], x.expand(2, 3), more["matrix"].t()),
        "vmapped": vmap(jit(lambda row, scale: row * scale), in_dims=(0, None))(more["matrix"], scale),
        "twice": (x, x),
        "paths": tree.map_with_path(lambda path, leaf: leaf + len(path), {"empty": {}, "pair": more["pair"]}),
        "ordered": tree.map(lambda leaf: leaf - 1, more["ordered"]),
        "first_ordered": tree.leaves(more["ordered"])[0],
        "uniform": random.uniform(more["key"], (4,)),
        "keys": random.split(more["key"], 3),
        "extremes": tuple(torch.max(more["matrix"], dim=0)),
        "one_argument": jit(lambda x: x + 1)(x=x),
    }


def arguments(device):
    x = torch.arange(3.0, device=device)
    more = {
        "pair": Pair(x + 1, x + 2),
        "matrix": torch.arange(6.0, device=device).view(2, 3),
        "empty": {"nothing": {}, "at_all": ()},
        "ordered": OrderedDict(b=x + 3, a=torch.ones(2, device=device)),
        "key": random.key(3, device=device),
    }
    return x, more, torch.tensor(2.0, device=device)


def test_equals_eager_and_compiles_once(compiled_graphs, monkeypatch, device):
    monkeypatch.setitem(globals(), "CLOSED_OVER", CLOSED_OVER.to(device))
    x, more, scale = arguments(device)
    compiled = jit(everything)
    plain = functools.partial(everything, jit=lambda f: f)
    assert_same(compiled(x, more, scale=scale), plain(x, more, scale=scale))
    again = tree.map(torch.clone, more)
    assert_same(compiled(x + 1, again, scale=scale * 3), plain(x + 1, again, scale=scale * 3))
    assert compiled_graphs() == 1
    assert_same(arguments(device)[:2], (x, more))  # no argument was changed
    assert torch.equal(CLOSED_OVER, torch.tensor([1.0, 2.0, 3.0], device=device))


def test_twelve_functions_of_one_factory_and_twelve_shapes_of_one_function(compiled_graphs, without_inductor):
    def power(exponent):
        return jit(lambda x: x**exponent)

    powers = [power(exponent) for exponent in range(12)]
    x = torch.tensor([1.0, 2.0])
    for _ in range(2):
        for exponent, f in enumerate(powers):
            assert torch.equal(f(x), x**exponent)
    assert compiled_graphs() == 12

    double = jit(lambda x: 2 * x)
    for _ in range(2):
        for n in range(1, 13):
            assert torch.equal(double(torch.ones(n)), torch.full((n,), 2.0))
    assert compiled_graphs() == 24


def test_each_form_of_the_arguments_has_its_graph(compiled_graphs, without_inductor):
    f = jit(lambda tree: {key: 2 * value for key, value in tree.items()})
    forms = [
        {"x": torch.ones(2)},
        {"y": torch.ones(2)},
        {"x": torch.ones(2, dtype=torch.int64)},
        {"x": torch.ones(2, 2)},
        {"x": torch.ones(2, requires_grad=True)},
        {"x": torch.arange(4.0).view(2, 2).t()},
    ]
    for _ in range(2):
        for form in forms:
            result = f(form)
            assert_same(tree.map(torch.detach, result), tree.map(lambda leaf: 2 * leaf.detach(), form))
            assert all(leaf.requires_grad == before.requires_grad for leaf, before in zip(
                tree.leaves(result), tree.leaves(form), strict=True))  # fmt: skip
        assert compiled_graphs() == len(forms)
    with torch.no_grad():  # not a recompilation either
        assert_same(f(forms[0]), {"x": torch.full((2,), 2.0)})
    f(forms[0])
    assert compiled_graphs() == len(forms) + 1


def test_a_tree_that_goes_on_below_a_leaf_of_the_first_has_a_graph_of_its_own(compiled_graphs, without_inductor):
    f, x = jit(lambda whole: tree.map(lambda leaf: 2 * leaf, whole)), torch.ones(2)
    forms = [{"first": x, "rest": 2 * x}, {"first": x, "rest": (2 * x,)}, {"first": {}, "rest": 2 * x}]
    for form in (*forms, *forms):
        assert_same(f(form), tree.map(lambda leaf: 2 * leaf, form))
    assert compiled_graphs() == 3
    g = jit(lambda tree: 2 * tree["x"])
    g({"x": x})
    with pytest.raises(TypeError, match=r"argument '0\.x' is 3\.0 of type float"):
        g({"x": 3.0})


def test_the_order_of_an_ordered_dict_matters(compiled_graphs, without_inductor):
    f = jit(lambda named, x: functools.reduce(lambda x, w: torch.relu(x @ w), named.values(), x))
    a, b, x = torch.tensor([[1.0, -2.0], [0.5, 1.0]]), torch.tensor([[0.0, 1.0], [-1.0, 2.0]]), torch.ones(2)
    for _ in range(2):
        assert torch.equal(f(OrderedDict(a=a, b=b), x), torch.relu(torch.relu(x @ a) @ b))
        assert torch.equal(f(OrderedDict(b=b, a=a), x), torch.relu(torch.relu(x @ b) @ a))
    assert compiled_graphs() == 2


def test_arguments_that_are_one_tensor_have_a_graph_of_their_own(compiled_graphs, without_inductor):
    f, x, y = jit(lambda pair, c: pair[0] - 2 * pair[1] + 4 * c), torch.tensor([1.0]), torch.tensor([8.0])
    for _ in range(2):
        for a, b, c in [(x, x, x), (x, y, y), (x, y, x), (x, x, y), (x, y, torch.tensor([64.0])), (y, x, x + y)]:
            assert torch.equal(f((a, b), c), a - 2 * b + 4 * c)
    assert compiled_graphs() == 5


def test_a_global_setting_that_a_graph_depends_on_makes_another(compiled_graphs, without_inductor):
    f, x = jit(lambda x: (x @ x, torch.ones(()))), torch.ones(2, 2)
    for _ in range(2):
        assert [y.dtype for y in f(x)] == [torch.float32, torch.float32]
        with torch.autocast("cpu"):
            assert [y.dtype for y in f(x)] == [torch.bfloat16, torch.float32]
        torch.set_default_dtype(torch.float64)
        try:
            assert [y.dtype for y in f(x)] == [torch.float32, torch.float64]
        finally:
            torch.set_default_dtype(torch.float32)
    assert compiled_graphs() == 3


def test_is_traced_once():
    """A float that is closed over, or a 0-dim float64 argument, would make Dynamo trace everything a second time."""

    def second_attempts():
        return len(compilation_time_metrics.get("compile_attempt_1", ()))

    before, factor = second_attempts(), 1.5
    f = jit(lambda x, rate: x * (factor * rate).to(x.dtype))
    with torch._inductor.config.patch(force_disable_caches=True):
        assert_same(f(torch.ones(2), torch.tensor(2.0, dtype=torch.float64)), torch.full((2,), 3.0))
    assert second_attempts() == before


def test_of_transforms_and_under_transforms():
    def loss(params, x):
        return (torch.tanh(params["w"] @ x + params["b"]) ** 2).sum()

    generator = torch.Generator().manual_seed(0)
    members = {
        "w": torch.randn(4, 3, 2, generator=generator),
        "b": torch.randn(4, 3, generator=generator),
        "empty": {},
    }
    x = torch.randn(2, generator=generator)
    transformed = vmap(value_and_grad(loss), in_dims=(0, None))
    expected = transformed(members, x)
    assert_same(jit(transformed)(members, x), expected)
    assert_same(vmap(value_and_grad(jit(loss)), in_dims=(0, None))(members, x), expected)
    first = tree.unstack(members)[0]
    assert_same(grad(jit(loss))(first, x), grad(loss)(first, x))
    assert eval_shape(jit(loss), first, x).shape == ()


def test_backward_through_a_compiled_function():
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(jit(lambda w: (w**3).sum())(w), w)
    assert_same(gradient, torch.tensor([3.0, 12.0]))


def test_without_arguments_and_with_a_raveled_tree():
    _, unravel = tree.ravel({"w": torch.zeros(2, 2), "empty": {}, "b": torch.zeros(1, dtype=torch.float64)})
    f = jit(lambda: unravel(torch.arange(5.0)))
    assert_same(f(), {"w": torch.arange(1.0, 5.0).view(2, 2), "empty": {}, "b": torch.zeros(1, dtype=torch.float64)})


def test_keeps_the_name_and_documentation():
    def named(x):
        """Says what it does."""
        return x

    assert (jit(named).__name__, jit(named).__doc__) == ("named", "Says what it does.")
    assert torch.equal(jit(functools.partial(torch.add, torch.ones(1)))(torch.ones(1)), torch.tensor([2.0]))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((3,), r"jit\(f\): argument '0' is 3 of type int; pass a tensor, or close over a number that never changes"),
        ((torch.ones(1), {"lr": 0.1}), r"jit\(f\): argument '1\.lr' is 0\.1 of type float"),
        ((torch.ones(1), [torch.ones(1), "x"]), r"jit\(f\): argument '1\.1' is 'x' of type str"),
    ],
)
def test_argument_that_is_no_tensor(args, message):
    def f(*args):
        return args[0]

    with pytest.raises(TypeError, match=message):
        jit(f)(*args)


def test_keyword_argument_that_is_no_tensor():
    with pytest.raises(TypeError, match=r"jit\(<lambda>\): argument 'train' is True of type bool"):
        jit(lambda x, train: x)(torch.ones(1), train=True)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (2, r"jit\(f\): the result is 2 of type int; return tensors only"),
        ({"loss": 1.5}, r"jit\(f\): result 'loss' is 1\.5 of type float; return tensors only"),
        ((torch.ones(1), "text"), r"jit\(f\): result '1' is 'text' of type str"),
    ],
)
def test_result_that_is_no_tensor(result, message):
    def f(x):
        return result

    with pytest.raises(TypeError, match=message):
        jit(f)(torch.ones(1))


def test_an_error_of_the_function_is_raised_as_it_is():
    with pytest.raises(KeyError, match="weight"):
        jit(lambda params: params["weight"])({"w": torch.ones(1)})


@pytest.fixture
def no_compiler():
    inductor.missing_compiler.cache_clear()
    jit_module._warn_once.cache_clear()
    with torch._inductor.config.patch("cpp.cxx", (None, "/no/such/compiler")):
        yield
    inductor.missing_compiler.cache_clear()
    jit_module._warn_once.cache_clear()


def test_without_a_compiler_it_warns_once_and_runs_uncompiled(no_compiler, compiled_graphs):
    double = jit(lambda x: {"y": 2 * x}, donate_argnums=0)
    with pytest.warns(RuntimeWarning, match=r"no C\+\+ compiler found .*set CXX.*; running uncompiled") as caught:
        results = double(torch.ones(2)), double(torch.ones(3)), jit(lambda: torch.ones(2))()
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert_same(results, ({"y": torch.full((2,), 2.0)}, {"y": torch.full((3,), 2.0)}, torch.ones(2)))
    assert compiled_graphs() == 0


def test_with_a_compiler_it_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        assert inductor.missing_compiler() is None


def test_missing_python_headers_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(inductor.sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    assert "Python's C headers are missing" in inductor.missing_compiler.__wrapped__()


def test_eval_shape_computes_nothing():
    def never(x, params):
        last, ys = scan(lambda carry, x: (carry + x, {"y": x}), params["w"], x)
        return {"big": x @ x.T, "last": last, "ys": ys, "jitted": jit(lambda x: x[:2])(x)}

    x = torch.empty(10**6, 3)
    shapes = eval_shape(never, x, {"w": torch.zeros(3), "empty": {}})
    assert tree.map(lambda leaf: leaf.shape, shapes) == {
        "big": (10**6, 10**6),
        "last": (3,),
        "ys": {"y": (10**6, 3)},
        "jitted": (2, 3),
    }
