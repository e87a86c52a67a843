"""torch's private names are used by one module alone, and without any of them the library works, if more slowly."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from funcdl import _torch

ROOT = Path(__file__).parent.parent
DOOR = ROOT / "funcdl" / "_torch.py"
FILES = sorted({*(ROOT / "funcdl").rglob("*.py"), *(ROOT / "recipes").rglob("*.py")})
PUBLIC = {"_replace", "_fields", "_asdict", "_make"}  # of every NamedTuple
OF_PYTHON = {"sys._getframe", "os._exit", "atexit._run_exitfuncs"}  # documented by Python
ENVIRONMENT_READERS = {
    ROOT / "funcdl" / "data" / "files.py",  # $FUNCDL_DATA, where data lie
    ROOT / "funcdl" / "transforms" / "engine" / "native" / "compiler.py",  # $CXX and $XDG_CACHE_HOME
}


def is_private(dotted):
    parts = dotted.split(".")
    return parts[:3] == ["torch", "fx", "experimental"] or any(
        part.startswith("_") and not part.startswith("__") for part in parts
    )


def private_names(source):
    """The private names that some code uses, of torch or of what torch returns."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found += [alias.name for alias in names if alias.name.startswith("torch") and is_private(alias.name)]
            case ast.ImportFrom(module=str(module), names=names) if module.partition(".")[0] == "torch":
                found += [f"{module}.{alias.name}" for alias in names if is_private(f"{module}.{alias.name}")]
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                pass
            case ast.Attribute(attr=attr) if is_private(attr) and attr not in PUBLIC:
                found.append(ast.unparse(node))
            case ast.Attribute() if is_private(ast.unparse(node)) and ast.unparse(node).startswith("torch."):
                found.append(ast.unparse(node))
            case ast.Call(func=ast.Name(id="getattr" | "hasattr" | "setattr"), args=[_, ast.Constant(str(name)), *_]):
                found += [name] if is_private(name) and name not in PUBLIC else []
    return [name for name in found if name not in OF_PYTHON]


@pytest.mark.parametrize(
    "source",
    [
        "import torch._dynamo",
        "from torch._subclasses import fake_tensor",
        "from torch.fx.experimental.proxy_tensor import make_fx",
        "from torch.fx import experimental",
        "from torch.utils import _pytree",
        "torch._C._get_dispatch_mode(1)",
        "torch.fx.experimental.proxy_tensor",
        "x.untyped_storage()._cdata",
        "aten._to_copy",
        "getattr(leaf, '_version')",
    ],
)
def test_the_search_finds_private_names(source):
    assert private_names(source)


def test_the_search_finds_nothing_else():
    assert private_names("from torch.fx import GraphModule\nself._x\npack._replace(a=1)\ntorch.__version__") == []


@pytest.mark.parametrize("path", [path for path in FILES if path != DOOR], ids=lambda path: str(path.relative_to(ROOT)))
def test_torchs_private_names_stand_in_one_module(path):
    assert private_names(path.read_text()) == []


def test_every_name_that_is_asked_for_is_known():
    asked = {
        node.attr
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "_torch"
    }
    assert asked <= _torch._NAMES.keys() | vars(_torch).keys()
    assert _torch._FALLBACKS.keys() <= _torch._NAMES.keys()


@pytest.mark.parametrize("name", _torch._NAMES)
def test_this_torch_has_every_name(name):
    needs_newer_torch = {"philox_randint_"}
    if _torch.find(_torch._NAMES[name][0]) is None:
        assert name in needs_newer_torch
    else:
        assert getattr(_torch, name) is not None


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_library_file_mocks_or_sets_the_environment(path):
    source = path.read_text()
    tree = ast.parse(source)
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {name for name in names if name and name.startswith("unittest")}
    uses = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    environment = {use for use in uses if use.startswith(("os.environ", "os.putenv", "os.unsetenv"))}
    assert environment <= ({"os.environ", "os.environ.get"} if path in ENVIRONMENT_READERS else set())


WITHOUT_PRIVATE_NAMES = """
import functools, warnings
import torch
import funcdl as fd
from funcdl import _torch, context, losses, nn, optim, random, train, tree
from funcdl.transforms import eval_shape, grad, hessian_vector_product, jit, scan, value_and_grad, vmap

assert not [name for name in _torch._NAMES if name in vars(_torch)], "import funcdl has looked up private names"
_torch.find = lambda path: None
torch.compile = functools.partial(torch.compile, backend="eager")

# what is under way
assert not context.functorch_is_active() and not context.is_transformed() and not context.in_graph()
assert context.first_order_only() and not context.vmap_is_active()
seen = []
vmap(lambda x: seen.append((context.functorch_is_active(), context.vmap_is_active())) or x)(torch.ones(2))
one = (torch.ones(2),)
torch.func.jvp(lambda x: seen.append((context.is_transformed(), not context.first_order_only())) or x, one, one)
assert seen == [(True, True), (True, True)]

# keys
key = random.key(42)
assert random.split(key)[0].tolist() == [8643895580192075859, 6287785766076502189]
words = [hex(word & 0xFFFFFFFF) for word in random.bits(key, (3,)).tolist()]
assert words == ["0x9ceaf053", "0x77f5493b", "0x12bf50ad"]
assert random.normal(key, (3,)).isfinite().all()

# layers and an optimizer's step
model = nn.serial(
    nn.linear(6), nn.batch_norm1d(), nn.softplus(), nn.dropout(0.5), nn.linear(4), nn.log_softmax(-1)
)
x, y = torch.linspace(-1, 1, 24).view(8, 3), torch.arange(8) % 4
optimizer = optim.chain(optim.clip_by_global_norm(1.0), optim.sgd(lr=0.1, momentum=0.9))
state = train.make_state(model, optimizer, key, x)
step = train.make_step(model, losses.nll, optimizer)
eager, metrics = step(state, (x, y))
assert metrics["loss"].isfinite() and int(eager.step) == 1
layer = nn.gru(5)
params, buffers = layer.init(key, torch.ones(4, 2, 3))
layer.apply(params, buffers, torch.ones(4, 2, 3))
layer = nn.embedding(5, 3)
params, buffers = layer.init(key, torch.tensor([1, 2]))
layer.apply(params, buffers, torch.tensor([1, 2]))

# derivatives
def f(w):
    return (w**3).sum()

w = torch.tensor([1.0, 2.0])
assert grad(f)(w).tolist() == [3.0, 12.0]
assert value_and_grad(f)(w)[0] == 9
assert vmap(grad(f))(w[:, None]).tolist() == [[3.0], [12.0]]
assert grad(lambda w: (grad(f)(w) ** 2).sum())(w).tolist() == [36.0, 288.0]
assert hessian_vector_product(f, w, torch.ones(2)).tolist() == [6.0, 12.0]
assert vmap(lambda key: random.normal(key, (2,)))(random.split(key, 3)).shape == (3, 2)
assert tree.global_norm({"w": w, "b": w}).isfinite()

# loops, shapes, compilation
def cumulate(xs):
    return scan(lambda total, x: (total + x, total), xs[0], xs)

assert cumulate(w)[0] == 4
assert eval_shape(cumulate, w)[1].shape == (2,)
assert eval_shape(lambda x: x @ x.T, torch.ones(1000, 3)).shape == (1000, 1000)
try:
    eval_shape(lambda x: x * float(x.sum()), w)
except TypeError as error:
    assert "meta device" in str(error)
else:
    raise AssertionError
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    assert jit(lambda x: 2 * x)(w).tolist() == [2.0, 4.0]
    assert jit(cumulate)(w)[0] == 4
    fast, _ = jit(step, donate_argnums=0)(tree.map(torch.clone, state), (x, y))
    assert vmap(jit(grad(f)))(w[:, None]).tolist() == [[3.0], [12.0]]
    try:
        jit(lambda x: x)(3.0)
    except TypeError as error:
        assert "is 3.0 of type float" in str(error)
    else:
        raise AssertionError
for one, other in zip(tree.leaves(fast), tree.leaves(eager), strict=True):
    torch.testing.assert_close(one, other)
messages = [str(warning.message) for warning in caught if issubclass(warning.category, RuntimeWarning)]
assert len([message for message in messages if message.startswith("jit: torch")]) == 1, messages
assert not [message for message in messages if "torch.compile fails" in message], messages
print("done")
"""


def test_the_library_works_without_any_private_name():
    done = subprocess.run([sys.executable, "-c", WITHOUT_PRIVATE_NAMES], capture_output=True, text=True, cwd=ROOT)
    assert (done.stdout.strip(), done.returncode) == ("done", 0), done.stderr[-3000:]
