"""The progress of a run within an epoch, which a checkpoint stores so that a run can resume in the middle of one."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from funcdl.train import files
from funcdl.train.files import CheckpointError
from funcdl.train.state import TrainState


@dataclass
class Progress:
    """The position of a run within its epoch, and the sums of what was measured in that epoch so far."""

    epoch: int
    step: int
    totals: dict[str, Tensor] = field(default_factory=dict)  # float64 sums over rows; "rows" counts them
    started: float = field(default_factory=time.monotonic)
    saved: float = field(default_factory=time.monotonic)

    @classmethod
    def at(cls, state: TrainState, steps: int, saved: dict[str, Any]) -> Progress:
        """Returns the progress stored in a checkpoint.

        Args:
            state: the state in the checkpoint.
            steps: the number of steps per epoch.
            saved: the info in the checkpoint.

        Raises:
            CheckpointError: the state and the info are inconsistent.
        """
        wrong = files.find_mismatch(saved, {"totals": {str: float}, "order": [str], "rows": int, "names": [str]})
        totals = {} if wrong else saved["totals"]
        epoch, step = divmod(int(state.step), steps)
        if totals and step == 0:  # saved after the last step of an epoch, but before its evaluation
            epoch, step = epoch - 1, steps
        if not wrong and (epoch < 0 or bool(totals) != bool(step)):
            wrong = f"its totals do not match step {int(state.step)}"
        if not wrong and sorted(saved["order"]) != sorted(totals):
            wrong = "its 'order' does not list the names of its totals"
        if not wrong and totals and not (totals.keys() >= {"loss", "rows"} and totals["rows"] > 0):
            wrong = "its totals lack the loss or the number of rows"
        if wrong:
            raise CheckpointError(f"the checkpoint is damaged: {wrong}; start again or use a copy")
        sums = {
            name: torch.tensor(totals[name], dtype=torch.float64, device=state.step.device)
            for name in (saved["order"] if totals else ())
        }
        return cls(epoch + 1, step, sums)

    def add(self, measured: dict[str, Tensor], rows: int) -> None:
        """Adds the measurements of one step, which are means over `rows` rows.

        Raises:
            CheckpointError: an earlier step of the epoch measured other quantities.
        """
        self.step += 1
        weighted = {
            name: value.detach().double() * rows
            for name, value in {**measured, "rows": torch.ones_like(measured["loss"])}.items()
        }
        if self.totals and self.totals.keys() != weighted.keys():
            raise CheckpointError(
                f"the checkpoint has sums of {', '.join(self.totals)}, but a step measures {', '.join(measured)}; "
                "resume with the original settings, or start a new run"
            )
        self.totals = {name: self.totals[name] + one if self.totals else one for name, one in weighted.items()}

    def means(self) -> dict[str, Tensor]:
        """Returns the means over all rows of the epoch so far."""
        rows = self.totals["rows"]
        return {name: total / rows for name, total in self.totals.items() if name != "rows"}
