"""What `import funcdl` takes with it."""

import subprocess
import sys

import pytest

import funcdl

SLOW = ["torch._dynamo", "torch._inductor", "torch.fx.experimental", "sympy"]
SLOW += ["matplotlib", "torchvision", "tensorboard", "PIL"]


def printed(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_it_loads_nothing_before_a_name_is_used():
    assert not {"torch", "numpy", "funcdl.tree"} & set(printed("import sys, funcdl; dir(funcdl); print(*sys.modules)"))


def test_its_names_load_what_compiling_and_recipes_need_only_when_they_do():
    before = printed("import sys, torch; print(*sys.modules)")
    loaded = printed("import sys; from funcdl import *; print(*sys.modules)")
    assert "funcdl.train" in loaded
    assert not [name for name in set(loaded) - set(before) for slow in SLOW if f"{name}.".startswith(f"{slow}.")]


def test_it_looks_up_no_private_name_of_torch():
    private = "[name for name in _torch._NAMES if name in vars(_torch)]"
    assert printed(f"from funcdl import *; from funcdl import _torch; print(*{private})") == []


def test_its_names():
    assert set(funcdl.__all__) <= set(dir(funcdl))
    assert [name for name in funcdl.__all__ if not hasattr(funcdl, name)] == []
    assert funcdl.jit is funcdl.transforms.jit
    with pytest.raises(AttributeError, match="module 'funcdl' has no attribute 'sgd'"):
        funcdl.sgd  # noqa: B018
