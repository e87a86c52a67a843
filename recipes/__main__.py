"""The command `funcdl`, and in the repository `python -m recipes`, which is the same."""

import atexit
import os
import sys
from typing import NoReturn

from funcdl import _extras

from . import terminal
from .cli import BAD_INPUT, main


def command() -> NoReturn:
    """Runs the command line of this process and ends it with the exit code."""
    terminal.open_streams()
    try:
        code = main()
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in _extras.DISTRIBUTIONS:
            raise
        print(f"funcdl: {_extras.missing(module, 'this recipe')}", file=sys.stderr)
        code = BAD_INPUT
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
