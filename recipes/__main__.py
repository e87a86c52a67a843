"""`python -m recipes`: the same as the command `funcdl`."""

import sys

from recipes.cli import main

if __name__ == "__main__":
    sys.exit(main())
