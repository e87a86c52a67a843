"""Type checkers see a transformed function with the arguments and results of the function."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def test_signatures_are_kept():
    api = pytest.importorskip("mypy.api")
    options = ["--config-file", str(ROOT / "pyproject.toml"), "--warn-unused-ignores", "--follow-imports=silent"]
    report, errors, status = api.run([*options, str(Path(__file__).parent / "typed.py")])
    assert status == 0, report + errors
