"""`python -m recipes`, and the command `funcdl`, which is the same."""

import atexit
import os
import sys
from typing import NoReturn

from . import terminal
from .cli import BAD_INPUT, main


def command() -> NoReturn:
    """Runs the command line of this process and ends it with the exit code."""
    terminal.open_streams()
    code = main()
    # All is written and closed by now; Python would take a second more to dismantle what a compiler leaves behind.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    if lost := terminal.lost():
        print(f"funcdl: stdout: cannot be written ({lost.strerror})", file=sys.stderr)
        code = code or BAD_INPUT
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    command()
