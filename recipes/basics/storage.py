"""Storage: a tensor is a view of a row of numbers, by an offset, a size and a stride."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from funcdl import train

from .. import runtime, settings
from ..lesson import Lesson
from ..settings import Outcome


@dataclass(frozen=True, kw_only=True)
class Settings(settings.DeviceSettings):
    """See what lies under a tensor: one row of numbers, the storage, and how offset, size and stride make a view of it.

    Element (i, j) of a matrix x is storage[offset + stride[0] * i + stride[1] * j], so that a row, a column and the
    transpose need no copy. They share their numbers instead, which is why functional code does not write into a tensor.
    """


def storage(x: Tensor) -> Tensor:
    """Returns the numbers that `x` is a view of, as they lie in memory."""
    count = x.untyped_storage().nbytes() // x.element_size()
    return x.as_strided((count,), (1,), storage_offset=0)


def run(settings: Settings, report: train.Report) -> Outcome:
    """Shows each expression with its result."""
    lesson = Lesson()
    with runtime.choose_device(settings.device) as device:
        views(lesson)
        copies(lesson)
        in_place(lesson)
    return Outcome(lesson.metrics, device=device.type, lesson=lesson)


def views(lesson: Lesson) -> None:
    """A matrix, one of its rows, and the rule that finds an element."""
    points = torch.tensor([[1.0, 4.0], [2.0, 1.0], [3.0, 5.0]])
    lesson.show_code("storage", storage(points), "1, 4, 2, 1, 3, 5", preceding=1)
    lesson.show_code("length", len(storage(points)), "6")
    lesson.show_code("bytes", points.untyped_storage().nbytes())
    lesson.show_code("size", points.size(), "3, 2")
    lesson.show_code("offset", points.storage_offset(), "0")
    lesson.show_code("stride", points.stride(), "2, 1")
    lesson.show_code("row_offset", points[1].storage_offset(), "2")
    lesson.show_code("row_stride", points[1].stride(), "1")
    lesson.show_code("column_offset", points[:, 1].storage_offset())
    lesson.show_code("column_stride", points[:, 1].stride())
    numbers, offset, stride = storage(points), points.storage_offset(), points.stride()
    elements = [[numbers[offset + stride[0] * i + stride[1] * j] for j in range(2)] for i in range(3)]
    lesson.show_code("elements", elements, "1 4, 2 1, 3 5", preceding=2)
    lesson.remark(
        "A storage is a row of numbers; a tensor of any number of dims is a view of it by offset, size and stride."
    )
    lesson.remark("A stride is how far to go in the storage when the index along that dim grows by 1; no dim is added.")
    lesson.remark(
        "The offset is above 0 where a view begins inside the storage, as points[1] does, however large that is."
    )
    lesson.remark("points.storage() is deprecated: untyped_storage() is what lies there, 24 bytes for 6 float32.")


def copies(lesson: Lesson) -> None:
    """The transpose has the same storage and other strides; contiguous() copies it into a storage of its own."""
    points = torch.tensor([[4.0, 1.0], [5.0, 3.0], [2.0, 1.0]])
    turned = points.t()
    lesson.show_code("turned_stride", turned.stride(), "1, 2", preceding=2)
    lesson.show_code(
        "turned_shares", turned.untyped_storage().data_ptr() == points.untyped_storage().data_ptr(), "True"
    )
    lesson.show_code("turned_contiguous", turned.is_contiguous(), "False")
    lesson.show_code("turned_storage", storage(turned), "4, 1, 5, 3, 2, 1")
    copy = turned.contiguous()
    lesson.show_code("laid_stride", copy.stride(), "3, 1", preceding=1)
    lesson.show_code("laid_storage", storage(copy), "4, 5, 2, 1, 3, 1")
    some = torch.ones(3, 4, 5)
    lesson.show_code("some_stride", some.stride(), "20, 5, 1", preceding=1)
    lesson.show_code("swapped_stride", some.transpose(0, 2).stride(), "1, 5, 20")


def in_place(lesson: Lesson) -> None:
    """Writing into a view changes all views of its storage."""
    points = torch.tensor([[1.0, 4.0], [2.0, 1.0], [3.0, 5.0]])
    lesson.show_code("replaced", torch.select_scatter(points, torch.tensor([10.0, 1.0]), dim=0, index=1))
    lesson.show_code("unchanged", points)
    row = points[1]
    row[0] = 10.0
    lesson.show_code("written", points, "1 4, 10 1, 3 5: the parent changes", preceding=2)
    points = torch.tensor([[1.0, 4.0], [2.0, 1.0], [3.0, 5.0]])
    row = points[1].clone()
    row[0] = 10.0
    lesson.show_code("cloned", points, "1 4, 2 1, 3 5: it does not", preceding=3)
    lesson.remark("select_scatter, index_put and where give a new tensor with the change in it: use them in functions.")
