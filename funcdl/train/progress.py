"""The progress of a run within an epoch: what a checkpoint needs to go on in the middle of one."""

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
    """The position of a run within its epoch, and the sums of its measurements there."""

    epoch: int
    step: int
    totals: dict[str, Tensor] = field(default_factory=dict)  # float64 sums over rows; "rows" counts them
    started: float = field(default_factory=time.monotonic)
    saved: float = field(default_factory=time.monotonic)

    @classmethod
    def at(cls, state: TrainState, steps: int, saved: dict[str, Any]) -> Progress:
        """The position of a checkpoint: its state, and the info saved with it.

        Raises:
            CheckpointError: the two do not fit together.
        """
        wrong = files.difference(saved, {"totals": {str: float}, "order": [str], "rows": int, "names": [str]})
        totals = {} if wrong else saved["totals"]
        epoch, step = divmod(int(state.step), steps)
        if totals and step == 0:  # all steps of the epoch are done, but not its evaluation
            epoch, step = epoch - 1, steps
        if not wrong and (epoch < 0 or bool(totals) != bool(step)):
            wrong = f"step {int(state.step)} and its totals do not fit together"
        if not wrong and sorted(saved["order"]) != sorted(totals):
            wrong = "the names of its totals are not in order"
        if not wrong and totals and not (totals.keys() >= {"loss", "rows"} and totals["rows"] > 0):
            wrong = "its totals are not a training run's"
        if wrong:
            raise CheckpointError(f"the checkpoint is damaged: {wrong}; start again or use a copy")
        sums = {
            name: torch.tensor(totals[name], dtype=torch.float64, device=state.step.device)
            for name in (saved["order"] if totals else ())
        }
        return cls(epoch + 1, step, sums)

    def add(self, measured: dict[str, Tensor], rows: int) -> None:
        """Adds the means that a step has measured over so many rows.

        Raises:
            CheckpointError: a step before it measured something else.
        """
        self.step += 1
        weighted = {
            name: value.detach().double() * rows
            for name, value in {**measured, "rows": torch.ones_like(measured["loss"])}.items()
        }
        if self.totals and self.totals.keys() != weighted.keys():
            raise CheckpointError(
                f"the checkpoint has sums of {', '.join(self.totals)}, and a step measures {', '.join(measured)}; "
                "resume the run as it was made, or start a new one"
            )
        self.totals = {name: self.totals[name] + one if self.totals else one for name, one in weighted.items()}

    def means(self) -> dict[str, Tensor]:
        """The means over all rows of the epoch so far."""
        rows = self.totals["rows"]
        return {name: total / rows for name, total in self.totals.items() if name != "rows"}
