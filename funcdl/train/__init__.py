"""Training: the state, one step, evaluation, the loop over epochs, checkpoints, and what a run leaves behind."""

from funcdl.train.checkpoint import load, read_info, save
from funcdl.train.files import CheckpointError, WriteError
from funcdl.train.loop import Batches, Interrupted, NonFiniteLossError, Record, fit
from funcdl.train.minimization import minimize
from funcdl.train.report import Report
from funcdl.train.state import TrainState, make_state
from funcdl.train.step import Precision, make_evaluate, make_step

__all__ = [
    "Batches",
    "CheckpointError",
    "Interrupted",
    "NonFiniteLossError",
    "Precision",
    "Record",
    "Report",
    "TrainState",
    "WriteError",
    "fit",
    "load",
    "make_evaluate",
    "make_state",
    "make_step",
    "minimize",
    "read_info",
    "save",
]
