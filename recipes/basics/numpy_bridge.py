"""The bridge to NumPy: arrays and tensors that share memory, and the mathematics that both have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from funcdl import train

from .. import settings
from ..lesson import Lesson, raised
from ..settings import Outcome


@dataclass(frozen=True, kw_only=True)
class Settings(settings.Settings):
    """Turn tensors to NumPy's arrays and back, and compute the same with both.

    The bridge costs nothing because nothing is copied: array and tensor are two views of one memory, and what changes
    one in place changes the other. `torch.tensor(array)` copies. The bridge is on the CPU; a GPU has its own memory.
    """


def run(settings: Settings, report: train.Report) -> Outcome:
    """Shows each expression with its result."""
    lesson = Lesson()
    bridge(lesson)
    mathematics(lesson)
    products(lesson)
    return Outcome(lesson.metrics, lesson=lesson)


def bridge(lesson: Lesson) -> None:
    """There and back, without a copy."""
    tensor = torch.ones(5)
    array = tensor.numpy()
    tensor.add_(1)
    both = [tensor, array.tolist()]
    lesson.show("to_numpy", "tensor = torch.ones(5); array = tensor.numpy(); tensor.add_(1)", both, "2 2 2 2 2, twice")
    array = np.ones(5)
    tensor, copy = torch.from_numpy(array), torch.tensor(array)
    np.add(array, 1, out=array)
    both = [array.tolist(), tensor]
    lesson.show("from_numpy", "array = np.ones(5); tensor = torch.from_numpy(array); np.add(array, 1, out=array)", both)
    lesson.show("from_numpy_dtype", "tensor.dtype", tensor.dtype, "torch.float64")
    lesson.show("copy", "torch.tensor(array), made before the sum", copy)
    lesson.show("char", "torch.ones(2).char().numpy().dtype", torch.ones(2).char().numpy().dtype)
    lesson.show("bfloat16", "torch.ones(2).bfloat16().numpy()", raised(torch.ones(2).bfloat16().numpy))
    lesson.remark("All tensors but CharTensors convert, the handbook says: int8 does convert, and bfloat16 does not.")


def mathematics(lesson: Lesson) -> None:
    """The same functions in NumPy, first row, and in torch, second row."""
    numbers = [-1.0, -2.0, 1.0, 2.0]
    array, tensor = np.array(numbers), torch.tensor(numbers)
    for name, in_numpy, in_torch, tutorial in (
        ("abs", np.abs, torch.abs, "1 2 1 2"),
        ("sin", np.sin, torch.sin, "-0.8415 -0.9093 0.8415 0.9093"),
        ("mean", np.mean, torch.mean, "0.0"),
        ("exp", np.exp, torch.exp, "0.3679 0.1353 2.7183 7.3891"),
    ):
        both = [in_numpy(array).tolist(), in_torch(tensor)]
        lesson.show(name, f"np.{name}(array), torch.{name}(tensor)", both, tutorial, digits=5)
    both = [(1 / (1 + np.exp(-array))).tolist(), torch.sigmoid(tensor)]
    tutorial = "0.2689 0.1192 0.7311 0.8808"
    lesson.show("sigmoid", "1 / (1 + np.exp(-array)), torch.sigmoid(tensor)", both, tutorial, digits=5)


def products(lesson: Lesson) -> None:
    """The product of matrices, of elements, and of vectors."""
    numbers = [[1.0, 2.0], [3.0, 4.0]]
    array, tensor = np.array(numbers), torch.tensor(numbers)
    lesson.show("numpy_matmul", "np.matmul(array, array)", np.matmul(array, array).tolist(), "7 10, 15 22")
    lesson.show("numpy_dot", "array.dot(array)", array.dot(array).tolist(), "7 10, 15 22")
    lesson.show("mm", "torch.mm(tensor, tensor)", torch.mm(tensor, tensor), "7 10, 15 22")
    lesson.show("elementwise", "tensor * tensor", tensor * tensor, "1 4, 9 16")
    lesson.show("flat_dot", "tensor.flatten().dot(tensor.flatten())", tensor.flatten().dot(tensor.flatten()), "30.0")
    dot = torch.dot(torch.tensor([2, 3]), torch.tensor([2, 1]))
    lesson.show("dot", "torch.dot(torch.tensor([2, 3]), torch.tensor([2, 1]))", dot, "7")
    lesson.show("matrix_dot", "tensor.dot(tensor)", raised(tensor.dot, tensor), "30.0")
    lesson.remark("dot takes vectors only now: flatten() gives the tutorial's 30, mm the product of matrices.")
