"""What `import funcdl` takes with it."""

import subprocess
import sys

import pytest

import funcdl


def modules_after(code):
    """The names of all modules that are loaded once `code` has run."""
    code = f"import sys; {code}; print(*sys.modules)"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_it_loads_nothing_before_a_name_is_used():
    assert not {"torch", "numpy", "funcdl.tree"} & set(modules_after("import funcdl; dir(funcdl)"))


def test_its_names_load_what_compiling_and_recipes_need_only_when_they_do():
    loaded = modules_after("from funcdl import *")
    assert "funcdl.train" in loaded
    assert not {"torch._dynamo", "torch._inductor", "matplotlib", "torchvision", "tensorboard", "PIL"} & set(loaded)


def test_its_names():
    assert set(funcdl.__all__) <= set(dir(funcdl))
    assert [name for name in funcdl.__all__ if not hasattr(funcdl, name)] == []
    assert funcdl.jit is funcdl.transforms.jit
    with pytest.raises(AttributeError, match="module 'funcdl' has no attribute 'sgd'"):
        funcdl.sgd  # noqa: B018
