"""Optional packages, which only some functions need and which `pip install funcdl` does not install."""

from __future__ import annotations

import importlib.util

DISTRIBUTIONS = {  # by import name
    "PIL": "pillow",
    "matplotlib": "matplotlib",
    "rich": "rich",
    "sklearn": "scikit-learn",
    "tensorboard": "tensorboard",
    "torchvision": "torchvision",
}


def require(module: str, user: str) -> None:
    """Checks that an optional package is installed, without importing it.

    Args:
        module: the package's top-level module.
        user: the function that needs it, for the message.

    Raises:
        ModuleNotFoundError: it is not installed; the message has the command that installs it.

    >>> require("sklearn", "data.digits")
    """
    if importlib.util.find_spec(module) is None:
        raise ModuleNotFoundError(missing(module, user), name=module)


def missing(module: str, user: str) -> str:
    """Returns a message that says which package is missing and how to install it.

    >>> missing("sklearn", "data.digits")
    "data.digits needs scikit-learn, which is not installed; install it with: pip install 'funcdl[recipes]'"
    """
    package = DISTRIBUTIONS[module]
    return f"{user} needs {package}, which is not installed; install it with: pip install 'funcdl[recipes]'"
