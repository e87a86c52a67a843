"""What `import funcdl` takes with it."""

import subprocess
import sys

SLOW = [
    "torch._dynamo",
    "torch._inductor",
    "torch.fx.experimental",
    "sympy",
    "matplotlib",
    "torchvision",
    "tensorboard",
]


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_it_loads_what_compiling_and_recipes_need_only_when_they_do():
    loaded = "{name for name in sys.modules for slow in SLOW if f'{name}.'.startswith(f'{slow}.')}"
    code = f"import sys, torch; SLOW = {SLOW}; before = {loaded}; import funcdl; print(sorted({loaded} - before))"
    assert run(code) == "[]"


def test_it_looks_up_no_private_name_of_torch():
    code = "import funcdl; from funcdl import _torch; print([name for name in _torch._NAMES if name in vars(_torch)])"
    assert run(code) == "[]"
