"""The README's Python blocks run, and what the pages say of files, names, code, versions and commands is so."""

import importlib
import re
from pathlib import Path

import pytest
import torch

import funcdl

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md")
PATH = re.compile(r"(?<![\w/.-])(?:funcdl|recipes|tests|\.ci)/[\w./-]*")
FILE = re.compile(r"[\w.-]+\.(?:cff|md|py|toml|txt|yaml)")
OF_A_RUN = {"config.json", "metrics.jsonl"}
NAME = re.compile(r"([a-z]\w*(?:\.\w+)+)(?:\(.*\))?", re.DOTALL)
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)

every_page = pytest.mark.parametrize("page", PAGES)


def code_spans(page):
    """What stands between backticks in the prose of a page."""
    prose = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]


def exists(name):
    """Whether there is such an attribute or module: `nn.linear` is funcdl's, `nn.Module` torch's."""
    if name.startswith("nn.") and hasattr(torch.nn, name.removeprefix("nn.")):
        return True
    first, *rest = name.replace("funcdl.recipes", "recipes").split(".")  # as it is called where it is installed
    rest = [first, *rest] if first in funcdl.__all__ else rest
    value = importlib.import_module("funcdl" if first == "fd" or first in funcdl.__all__ else first)
    for part in rest:
        if not hasattr(value, part):
            try:
                importlib.import_module(f"{value.__name__}.{part}")
            except (AttributeError, ModuleNotFoundError):
                return False
        value = getattr(value, part)
    return True


def test_the_examples_run():
    blocks = BLOCK.findall(README.read_text())
    assert len(blocks) >= 3
    names: dict = {}
    with torch.random.fork_rng():
        for block in blocks:
            exec(compile(block, str(README), "exec"), names)
    assert names["measured"]["loss"].shape == (5,)
    assert names["state"].step == 1


@every_page
def test_the_files_that_a_page_mentions_exist(page):
    mentioned = {path.rstrip(".") for path in PATH.findall((ROOT / page).read_text())}
    assert {path for path in mentioned if not (ROOT / path).exists()} == set()
    named = {span for span in code_spans(page) if FILE.fullmatch(span)}
    assert {name for name in named if not any(ROOT.glob(name)) and not any(ROOT.glob(f"*/**/{name}"))} == set()


@every_page
def test_the_names_that_a_page_mentions_exist(page):
    roots = {*funcdl.__all__, "fd", "funcdl", "recipes", "tests"}
    names = {match[1] for span in code_spans(page) if (match := NAME.fullmatch(span)) and not FILE.fullmatch(span)}
    assert {name for name in names - OF_A_RUN if name.split(".")[0] in roots and not exists(name)} == set()


@every_page
def test_the_excerpts_of_a_page_stand_in_their_files(page):
    for block in BLOCK.findall((ROOT / page).read_text()):
        first, _, excerpt = block.partition("\n")
        if path := re.fullmatch(r"# ([\w/]+\.py)", first):
            source = (ROOT / path[1]).read_text()
            for part in re.split(r"^ *\.\.\.\n", excerpt, flags=re.MULTILINE):  # "..." stands for lines left out
                assert part in source, f"{path[1]} has no such lines:\n{part}"


def test_one_command_of_the_readme_is_that_of_ci():
    (command,) = re.findall(r"^    python3 -m venv \.venv .*pytest$", README.read_text(), re.MULTILINE)
    assert "-c constraints.txt" in command


def test_the_oldest_torch_that_the_readme_tests_is_the_bound_of_the_requirement():
    oldest = re.search(r'"torch>=([\d.]+)', (ROOT / "pyproject.toml").read_text())[1]
    assert re.findall(r"torch==(\S+)", README.read_text()) == [f"{oldest}.0"]


def test_the_version_is_the_same_everywhere():
    assert re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)[1] == funcdl.__version__
