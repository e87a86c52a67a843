"""Each operation that a kernel may hold computes what torch computes, of whatever dtype and size."""

import functools

import pytest
import torch

from funcdl.transforms import jit
from funcdl.transforms.engine import backend
from funcdl.transforms.engine.multi_tensor import codegen, launch
from tests.transforms.engine.donated import compiled_together

SCALAR = torch.tensor(0.3, dtype=torch.float64)
REAL = {  # the operations of real numbers, of leaves x, y, z
    "copy": lambda x, y, z: (x + y).copy_(z),
    "clone": lambda x, y, z: x.clone().add_(y),
    "_to_copy": lambda x, y, z: (x.to(torch.float64) / 3).to(x.dtype),
    "neg": lambda x, y, z: -x,
    "abs": lambda x, y, z: x.abs(),
    "sign": lambda x, y, z: x.sign(),
    "sqrt": lambda x, y, z: x.sqrt(),
    "rsqrt": lambda x, y, z: x.rsqrt(),
    "reciprocal": lambda x, y, z: x.reciprocal(),
    "pow": lambda x, y, z: x.square() + y**2,
    "add": lambda x, y, z: torch.add(x, y, alpha=-0.1) + 0.1 + SCALAR,
    "sub": lambda x, y, z: torch.sub(x, y, alpha=0.7) - z,
    "rsub": lambda x, y, z: 1 - x,
    "mul": lambda x, y, z: (x * y).mul_(0.1) * SCALAR,
    "div": lambda x, y, z: (x / y).div_(0.7),
    "addcmul": lambda x, y, z: torch.addcmul(x, y, z) - torch.addcmul(x, y, z, value=0.3),
    "addcdiv": lambda x, y, z: torch.addcdiv(x, y, z) - torch.addcdiv(x, y, z, value=0.3),
    "maximum": lambda x, y, z: torch.maximum(x, y),
    "minimum": lambda x, y, z: torch.minimum(x, y),
    "clamp": lambda x, y, z: x.clamp(-0.5, 0.25) + x.clamp(max=0.125) + x.clamp(y, z) + x.clamp(min=y),
    "where": lambda x, y, z: torch.where(x > 0, y, z),
    "lt": lambda x, y, z: torch.where(x < y, x, y) + torch.where(x < 0.3, 1.0, z),
    "le": lambda x, y, z: torch.where(x <= y, x, y) + torch.where(x <= 0.3, 1.0, z),
    "gt": lambda x, y, z: torch.where(x > y, x, y) + torch.where(x > SCALAR, 1.0, z),
    "ge": lambda x, y, z: torch.where(x >= y, x, y) + torch.where(x >= 0, 1.0, z),
    "eq": lambda x, y, z: torch.where(x == y, x, z) + torch.where(x == 0, 1.0, z),
    "ne": lambda x, y, z: torch.where(x != x, y, x),
    "bitwise_and": lambda x, y, z: torch.where((x > 0) & (y > 0), x, z),
    "bitwise_or": lambda x, y, z: torch.where((x > 0) | (y > 0), x, z),
    "logical_and": lambda x, y, z: torch.where(torch.logical_and(x, y), y, z),
    "logical_or": lambda x, y, z: torch.where(torch.logical_or(x > 0, y > 0), x, z),
    "logical_not": lambda x, y, z: torch.where(torch.logical_not(x), y, z),
}
COMPLEX = {"copy", "clone", "neg", "add", "sub", "mul", "where"}
SIZES = [0, 1, 100, 128, 129, 40_000]  # beside a block of the loop, and enough for all threads
REAL_DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
SEVERAL_DTYPES = [torch.float32, torch.float16, torch.complex64]
CORNERS = [0.0, -0.0, 1.0, 0.25, torch.inf, -torch.inf, torch.nan]


def all_outlined(monkeypatch):
    """Outlines all that can be, without compiling the rest; the kernels of all graphs, and what was left of these."""
    made = []
    extract_kernels = launch.extract_kernels
    monkeypatch.setattr(
        launch, "extract_kernels", lambda graph: made.append((extract_kernels(graph), graph)) or made[-1][0]
    )
    monkeypatch.setattr(launch, "MIN_GROUP", 1)
    monkeypatch.setattr(backend, "compile_small", lambda graph: None)
    monkeypatch.setattr(backend, "compile_graph", lambda graph: graph.forward)
    return made


@pytest.fixture
def kernels_of(monkeypatch):
    return all_outlined(monkeypatch)


def numbers(seed, dtype):
    """Leaves that begin with corner cases, each of which meets each in three such lists."""
    generator = torch.Generator().manual_seed(seed)
    leaves = []
    for size in SIZES:
        leaf = torch.randn(size, generator=generator, dtype=torch.float64)
        corners = torch.tensor(CORNERS, dtype=torch.float64)
        corners = torch.cartesian_prod(corners, corners, corners)[:size, seed]
        leaf[: len(corners)] = corners
        leaves.append(leaf.to(dtype))
    return leaves


def complex_numbers(seed):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(size, dtype=torch.complex64, generator=generator) for size in SIZES]


def mixed(dtype):
    """Leaves of a dtype for updates that compute in others too; of complex numbers no corner cases."""
    if not dtype.is_complex:
        return [numbers(seed, dtype) for seed in range(3)]
    parts = [[leaf.to(dtype) for leaf in numbers(seed, torch.float32)] for seed in range(3)]
    return [[leaf.nan_to_num(0.5, 2.0, -2.0) for leaf in leaves] for leaves in parts]


WHOLE = {
    "whole": lambda x, y, z: torch.where(x > 2, x.clamp(-3, 4), y.abs() * 2) - z.sign() + (x & 3),
}
SEVERAL = {
    "double": lambda x, y, z: (x + y.double() * 3).to(x.dtype),
    "bool": lambda x, y, z: x * (y != z) - (y == 0) * 2,
    "scalars": lambda x, y, z: x + SCALAR + torch.tensor(3) * x + torch.tensor(True),
    "where": lambda x, y, z: torch.where(y != z, x, SCALAR).to(x.dtype),
}
# kind: (updates by name, the leaves x, y and z)
KINDS = {
    **{f"real {dtype}": (REAL, [numbers(seed, dtype) for seed in range(3)]) for dtype in REAL_DTYPES},
    "complex": (
        {name: REAL[name] for name in sorted(COMPLEX - {"where"})}
        | {"where": lambda x, y, z: torch.where(SCALAR > 0, x, y) * z},
        [complex_numbers(seed) for seed in range(3)],
    ),
    "whole": (WHOLE, 3 * [[torch.arange(size) % 11 - 5 for size in SIZES]]),
    **{f"several {dtype}": (SEVERAL, mixed(dtype)) for dtype in SEVERAL_DTYPES},
}


@functools.cache  # one C++ file for all kernels of a kind; each is then judged in a test of its own
def run(kind):
    """Returns of each update the expected and the found leaves, the kernels, and the graph of the rest."""
    updates, (xs, ys, zs) = KINDS[kind]
    numbered, together, programs = {}, [], {}

    def loaded(source):  # does nothing until all kernels are known
        number = numbered.setdefault(source, len(numbered))
        return lambda *arguments: together and together[0](number, *arguments)

    with pytest.MonkeyPatch.context() as monkeypatch:
        made = all_outlined(monkeypatch)
        monkeypatch.setattr(backend, "compile_cpp", loaded)
        for name, f in updates.items():
            program = jit(lambda *leaves, f=f: [f(x, y, z) for x, y, z in zip(*leaves, strict=True)], donate_argnums=0)
            program(list(map(torch.clone, xs)), ys, zs)
            programs[name] = program, *made.pop()
        together.append(compiled_together(list(numbered)))
        return {
            name: (list(map(updates[name], xs, ys, zs)), program(list(map(torch.clone, xs)), ys, zs), kernels, graph)
            for name, (program, kernels, graph) in programs.items()
        }


def check(kind, name):
    """That one kernel holds the updates of all sizes, and computes what torch does."""
    expected, found, made, graph = run(kind)[name]
    assert [sorted(kernel.sizes) for kernel in made] == [SIZES]
    for leaf, right in zip(found, expected, strict=True):
        eps = 0 if leaf.dtype is torch.int64 else torch.finfo(leaf.dtype).eps
        torch.testing.assert_close(leaf, right, rtol=2 * eps, atol=8 * eps, equal_nan=True)
    return left(graph)


def left(graph):
    """What the graph still computes of leaves."""
    return [node for node in graph.graph.nodes if node.op == "call_function" and node.meta["val"].ndim]


@pytest.mark.parametrize("dtype", REAL_DTYPES)
@pytest.mark.parametrize("name", REAL)
def test_of_real_numbers(name, dtype):
    assert not check(f"real {dtype}", name)


@pytest.mark.parametrize("name", sorted(COMPLEX))
def test_of_complex_numbers(name):
    assert not check("complex", name)


def test_of_whole_numbers():
    assert not check("whole", "whole")


@pytest.mark.parametrize("dtype", SEVERAL_DTYPES)
@pytest.mark.parametrize("name", SEVERAL)
def test_of_several_dtypes(name, dtype):
    check(f"several {dtype}", name)


def unlike_torch_in_cpp():
    """Updates of x that are left to Inductor: C++ would compute something else, or not compile."""
    whole, half = torch.tensor([1, 0, 5]), torch.tensor([0.5, 0.0, 0.3])
    tiny, huge = torch.tensor([1e-38]), torch.tensor([1e40], dtype=torch.float64)
    spins = torch.tensor([1 + 2j, 3 - 1j])
    return [
        (lambda x, y: x + (2**53 + 1), whole, half),
        (lambda x, y: torch.where(x == 2**62 + 1, x, x & 0x0FFFFFFFFFFFFFFF), whole, half),
        (lambda x, y: (x * 1).logical_and_(y), whole, half),
        (lambda x, y: (x * 1).mul_(y), tiny, huge),
        (lambda x, y: (x * 2).copy_(y) + x, torch.ones(2), spins),
        (lambda x, y: x + y.conj(), spins.clone(), spins),
        (lambda x, y: x * 0.5 + y, spins.clone(), spins.conj()),
        (lambda x, y: x + y, torch.ones(1), torch.tensor([1 + 2j]).conj().imag),
        (lambda x, y: x**y, torch.tensor([2.0, 3.0]), torch.tensor([0.5, 2.0])),
    ]


@pytest.mark.parametrize(("f", "x", "y"), unlike_torch_in_cpp())
def test_what_is_left_to_inductor(kernels_of, f, x, y):
    expected = f(x, y)
    torch.testing.assert_close(jit(f, donate_argnums=0)(x.clone(), y), expected, rtol=0, atol=0)
    ((_, graph),) = kernels_of
    assert left(graph)


def test_sums_of_large_whole_numbers_wrap(kernels_of):
    x = torch.tensor([2**63 - 1, 5])
    found = jit(lambda x: torch.where(x + 1 > x, x, x - 7), donate_argnums=0)(x.clone())
    assert found.tolist() == [2**63 - 8, 5]
    assert kernels_of[0][0]


def test_autograd_refuses_to_go_back_through_what_was_overwritten(kernels_of):
    x, w = torch.ones(3), torch.ones(3, requires_grad=True)
    y = (w * x).sum()
    jit(lambda x: x * 2, donate_argnums=0)(x)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()
    assert kernels_of[0][0]


def test_all_operations_are_tested():
    assert REAL.keys() == codegen._OPERATIONS.keys()
    assert COMPLEX == codegen._COMPLEX_OPERATIONS
