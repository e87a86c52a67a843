"""`python -m recipes`, and the command `funcdl`, which is the same."""

import atexit
import os
import sys
from typing import NoReturn

from recipes.cli import main


def command() -> NoReturn:
    """Runs the command line of this process and ends it with the exit code."""
    code = main()
    # All is written and closed by now; Python would take a second more to dismantle what a compiler leaves behind.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    command()
