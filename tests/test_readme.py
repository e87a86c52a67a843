"""The README's Python blocks run, one after the other, as a newcomer would type them."""

import re
from pathlib import Path

import torch

README = Path(__file__).parent.parent / "README.md"


def test_the_examples_run():
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 3
    names: dict = {}
    with torch.random.fork_rng():
        for block in blocks:
            exec(compile(block, str(README), "exec"), names)
    assert names["measured"]["loss"].shape == (5,)
    assert names["state"].step == 1
