"""Each notebook runs from start to end, gives what is stored in it, and is built as a lesson is.

They take minutes, so that `python -m pytest -m notebooks` runs them and the usual command does not.
"""

import re

import pytest

from tests.notebooks.execute import FOLDER, code_cells, execute, read, steady_outputs

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MOST_BYTES = 400_000


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.mark.notebooks
def test_running_it_gives_what_is_stored(path):
    stored = read(path)
    assert steady_outputs(execute(stored)) == steady_outputs(stored)


def test_it_is_small_and_was_run_from_start_to_end_without_warnings(path):
    assert path.stat().st_size < MOST_BYTES
    cells = code_cells(read(path))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]


def test_it_says_first_what_it_is_for_in_two_languages_and_ends_with_exercises(path):
    texts = [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]
    assert re.match(r"# .*[\u4e00-\u9fff]", texts[0]), "the heading is in English and Chinese"
    for needed in ("## What you will be able to do", "## 你将学会", "pip install"):
        assert any(needed in text for text in texts[:3]), needed
    assert texts[-2].startswith("## Exercises")
    assert texts[-2].count("<details>") == 3, "three exercises, each with its solution folded below"
    assert texts[-1].startswith("## Where to read on")


def test_every_picture_has_a_title(path):
    for cell in code_cells(read(path)):
        if any("image/png" in output.get("data", {}) for output in cell.outputs):
            assert re.search(r"title|pictures\.|drawings\.|report", cell.source), cell.source
