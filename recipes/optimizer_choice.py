"""The optimizer of a recipe: its own, or the one that `--optimizer` names, with its `--optimizer-options`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, get_args

from funcdl import optim, tree
from funcdl.optim.hyperparameters import Count
from funcdl.optim.update_rule import Hyper
from funcdl.tree import Tree

from .settings import OptimizerName, OptimizerSettings, SettingsError

OPTIMIZERS: dict[str, Callable[..., optim.Transformation]] = {
    name: getattr(optim, name) for name in get_args(OptimizerName)
}
USUAL_RATES = {"sgd": 0.01}  # where torch's default, 0.001, hardly moves
NOT_OPTIONS = ("lr", "maximize")


def choose(
    settings: OptimizerSettings, default: Callable[[float], optim.Transformation], lr: float
) -> optim.Transformation:
    """Returns the optimizer that the settings name, or the recipe's own.

    Args:
        settings: of the recipe; its `lr` is the rate, where it is given.
        default: makes the recipe's own optimizer from its rate.
        lr: the rate of the recipe's own optimizer.

    Raises:
        SettingsError: an option is none of that optimizer's, or has an impossible value.
    """
    name, options = settings.optimizer, settings.optimizer_options
    return default(rate(settings, lr)) if name is None else make(name, rate(settings, lr), options)


def rate(settings: OptimizerSettings, lr: float) -> float:
    """Returns the learning rate: that of the settings, or else the usual one of the optimizer that is used."""
    if settings.lr is not None:
        return settings.lr
    return lr if settings.optimizer is None else usual_rate(settings.optimizer)


def usual_rate(name: str) -> float:
    """Returns the rate to begin with for the optimizer of that name.

    >>> usual_rate("adam"), usual_rate("sgd")
    (0.001, 0.01)
    """
    default: float = inspect.signature(OPTIMIZERS[name]).parameters["lr"].default
    return USUAL_RATES.get(name, default)


def make(name: str, lr: float, options: str = "") -> optim.Transformation:
    """Returns the optimizer of that name, with options such as "momentum=0.9,nesterov=true" or "betas=0.9:0.99".

    Raises:
        SettingsError: an option is none of that optimizer's, or has an impossible value.
    """
    try:
        return OPTIMIZERS[name](lr=lr, **_parsed(name, options))
    except SettingsError:
        raise
    except (TypeError, ValueError) as error:  # it names the number and its range
        raise SettingsError(f"--optimizer-options {options}: {error}") from None


def for_members(optimizer: optim.Transformation, members: int) -> optim.Transformation:
    """Returns the optimizer of an ensemble whose loss is the mean over its members, so that each learns as if alone.

    The mean divides the gradient of every member by their number; this one multiplies it again.

    >>> import torch
    >>> together = for_members(optim.sgd(lr=0.1), 5)
    >>> params, grads = {"w": torch.ones(5)}, {"w": torch.full((5,), 2.0)}
    >>> fifths = {"w": grads["w"] / 5}
    >>> together.update(fifths, together.init(params), params)[0]["w"]
    tensor([-0.2000, -0.2000, -0.2000, -0.2000, -0.2000])
    """

    def update(grads: Tree, params: Tree, hyper: Hyper, count: Count) -> Tree:
        return tree.map(lambda g: g * members, grads)

    return optim.chain(optim.stateless("scale_by_members", {}, update), optimizer)


def _parsed(name: str, options: str) -> dict[str, Any]:
    parameters = inspect.signature(OPTIMIZERS[name]).parameters
    known = {option: one.default for option, one in parameters.items() if option not in NOT_OPTIONS}
    values: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in options.split(","))):
        option, _, text = (piece.strip() for piece in part.partition("="))
        if option not in known:
            hint = "; the learning rate is --lr" if option == "lr" else ""
            raise SettingsError(
                f"--optimizer-options {part}: '{name}' has no option '{option}'; it has {', '.join(known)}{hint}"
            )
        if option in values:
            raise SettingsError(f"--optimizer-options {options}: has '{option}' twice; leave one of them out")
        values[option] = _converted(part, text, known[option])
    return values


def _converted(part: str, text: str, default: Any) -> Any:
    """The value of an option, of the type of its default."""
    if isinstance(default, bool):
        if text.lower() not in ("true", "false"):
            raise SettingsError(f"--optimizer-options {part}: must be true or false")
        return text.lower() == "true"
    try:
        if isinstance(default, tuple):
            numbers = tuple(float(one) for one in text.split(":"))
            if len(numbers) != len(default):
                raise ValueError
            return numbers
        return type(default)(text)
    except ValueError:
        kinds = {int: "a whole number", float: "a number"}
        usual = ":".join(f"{one:g}" for one in default) if isinstance(default, tuple) else f"{default:g}"
        what = kinds.get(type(default), f"{len(default) if isinstance(default, tuple) else 1} numbers")
        raise SettingsError(f"--optimizer-options {part}: must be {what}, such as {usual}") from None
