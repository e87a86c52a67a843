"""`train.minimize` for recipes: on the device of the settings, and compiled where they ask for it or it saves time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from funcdl import train
from funcdl.optim import Transformation
from funcdl.tree import Tree

from . import runtime
from .lesson import Lesson
from .settings import DeviceSettings, Outcome


@dataclass(frozen=True)
class Minimizer:
    """Calls `train.minimize`, with the same device, compilation and report each time."""

    device: torch.device
    compiled: bool
    report: train.Report

    def __call__(
        self,
        value_and_grad: Callable[[Any, Any], tuple[Tensor, Tree]],
        params: Tree,
        optimizer: Transformation,
        xs: Tree = (),
        *,
        report: bool = True,
        **options: Any,
    ) -> tuple[Any, dict[str, Tensor]]:
        """Returns the last parameters and the history; `options` are those of `train.minimize`.

        With report=False, the run's report gets neither rows nor a checkpoint.
        """
        return train.minimize(
            value_and_grad,
            params,
            optimizer,
            xs,
            compile=self.compiled,
            report=self.report if report else None,
            info=runtime.environment(self.device, self.compiled),
            **options,
        )

    def outcome(self, lesson: Lesson, epochs: int) -> Outcome:
        """Returns the outcome of the recipe, with the metrics of the lesson."""
        return Outcome(lesson.metrics, epochs, self.device.type, self.compiled, lesson)


def minimizer(
    settings: DeviceSettings, report: train.Report, steps: int, repay: int = runtime.REPAY_SMALL_STEPS
) -> Minimizer:
    """Chooses the device and, if the recipe has the flag --compile, whether to compile so many steps.

    Raises:
        SettingsError: the device is missing.
    """
    device = runtime.choose_device(settings.device)
    wanted = getattr(settings, "compile", None)
    compiled = wanted is not None and runtime.choose_compile(wanted, device, steps, report, repay)
    return Minimizer(device, compiled, report)
