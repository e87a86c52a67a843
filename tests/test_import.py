"""What `import funcdl` takes with it, and what its names take when they are used."""

import subprocess
import sys

import pytest

import funcdl

LATE = (  # what compiling and recipes need, and take a second or more
    "PIL",
    "matplotlib",
    "sympy",
    "tensorboard",
    "torch._dynamo",
    "torch._inductor",
    "torch.fx.experimental",
    "torchvision",
)


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_it_loads_nothing_before_a_name_is_used():
    assert not {"torch", "numpy", "funcdl.tree"} & set(run("import sys, funcdl; dir(funcdl); print(*sys.modules)"))


def test_its_names_load_what_compiling_and_recipes_need_only_when_they_do():
    loaded = run(
        "import sys, torch; before = set(sys.modules); from funcdl import *; print(*set(sys.modules) - before)"
    )
    assert "funcdl.train" in loaded
    assert [name for name in loaded if any(f"{name}.".startswith(f"{late}.") for late in LATE)] == []


def test_its_names_look_up_no_private_name_of_torch():
    code = "from funcdl import *; from funcdl import _torch; print(*(set(_torch._NAMES) & set(vars(_torch))))"
    assert run(code) == []


def test_its_names():
    assert set(funcdl.__all__) <= set(dir(funcdl))
    assert [name for name in funcdl.__all__ if not hasattr(funcdl, name)] == []
    assert funcdl.jit is funcdl.transforms.jit
    with pytest.raises(AttributeError, match="module 'funcdl' has no attribute 'sgd'"):
        funcdl.sgd  # noqa: B018
