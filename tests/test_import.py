"""What `import funcdl` takes with it."""

import subprocess
import sys


def test_it_loads_what_compiling_and_recipes_need_only_when_they_do():
    slow = ["torch._dynamo", "torch._inductor", "matplotlib", "torchvision", "tensorboard"]
    code = f"import sys, funcdl; print([name for name in {slow} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
