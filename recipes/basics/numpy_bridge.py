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
    lesson.show_code("to_numpy", (tensor, array), "2 2 2 2 2, twice", preceding=3)
    array = np.ones(5)
    tensor, copy = torch.from_numpy(array), torch.tensor(array)
    np.add(array, 1, out=array)
    lesson.show_code("from_numpy", (array, tensor), preceding=3)
    lesson.show_code("from_numpy_dtype", tensor.dtype, "torch.float64")
    lesson.show_code("copy", copy)
    lesson.show_code("char", torch.ones(2).char().numpy().dtype)
    lesson.show_code("bfloat16", raised(torch.ones(2).bfloat16().numpy))
    lesson.remark("All tensors but CharTensors convert, the handbook says: int8 does convert, and bfloat16 does not.")


def mathematics(lesson: Lesson) -> None:
    """The same functions in NumPy, first row, and in torch, second row."""
    array, tensor = np.array([-1.0, -2.0, 1.0, 2.0]), torch.tensor([-1.0, -2.0, 1.0, 2.0])
    lesson.show_code("abs", (np.abs(array), torch.abs(tensor)), "1 2 1 2", 5, preceding=1)
    lesson.show_code("sin", (np.sin(array), torch.sin(tensor)), "-0.8415 -0.9093 0.8415 0.9093", 5)
    lesson.show_code("mean", (np.mean(array), torch.mean(tensor)), "0.0", 5)
    lesson.show_code("exp", (np.exp(array), torch.exp(tensor)), "0.3679 0.1353 2.7183 7.3891", 5)
    lesson.show_code("sigmoid", (1 / (1 + np.exp(-array)), torch.sigmoid(tensor)), "0.2689 0.1192 0.7311 0.8808", 5)


def products(lesson: Lesson) -> None:
    """The product of matrices, of elements, and of vectors."""
    array, tensor = np.array([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    lesson.show_code("numpy_matmul", np.matmul(array, array), "7 10, 15 22", preceding=1)
    lesson.show_code("numpy_dot", array.dot(array), "7 10, 15 22")
    lesson.show_code("mm", torch.mm(tensor, tensor), "7 10, 15 22")
    lesson.show_code("elementwise", tensor * tensor, "1 4, 9 16")
    lesson.show_code("flat_dot", tensor.flatten().dot(tensor.flatten()), "30.0")
    lesson.show_code("dot", torch.dot(torch.tensor([2, 3]), torch.tensor([2, 1])), "7")
    lesson.show_code("matrix_dot", raised(tensor.dot, tensor), "30.0")
    lesson.remark("dot takes vectors only now: flatten() gives the tutorial's 30, mm the product of matrices.")
