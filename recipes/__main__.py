"""`python -m recipes`, and the command `funcdl`, which is the same."""

import gc
import sys

from recipes.cli import main


def command() -> int:
    """Runs the command line of this process and returns its exit code."""
    code = main()
    gc.freeze()  # or the exit takes a second to look through all that a compiler has left behind
    return code


if __name__ == "__main__":
    sys.exit(command())
