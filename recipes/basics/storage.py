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
        writes(lesson)
    return Outcome(lesson.metrics, device=device.type, lesson=lesson)


def views(lesson: Lesson) -> None:
    """A matrix, one of its rows, and the rule that finds an element."""
    points = torch.tensor([[1.0, 4.0], [2.0, 1.0], [3.0, 5.0]])
    lesson.show("storage", "storage(points)", storage(points), "1, 4, 2, 1, 3, 5")
    lesson.show("length", "len(storage(points))", len(storage(points)), "6")
    lesson.show("bytes", "points.untyped_storage().nbytes()", points.untyped_storage().nbytes())
    lesson.show("size", "points.size()", points.size(), "3, 2")
    lesson.show("offset", "points.storage_offset()", points.storage_offset(), "0")
    lesson.show("stride", "points.stride()", points.stride(), "2, 1")
    lesson.show("row_offset", "points[1].storage_offset()", points[1].storage_offset(), "2")
    lesson.show("row_stride", "points[1].stride()", points[1].stride(), "1")
    lesson.show("column_offset", "points[:, 1].storage_offset()", points[:, 1].storage_offset())
    lesson.show("column_stride", "points[:, 1].stride()", points[:, 1].stride())
    flat, offset, (rows, columns) = storage(points), points.storage_offset(), points.stride()
    found = [[flat[offset + rows * i + columns * j] for j in range(2)] for i in range(3)]
    lesson.show("elements", "storage[offset + stride[0] * i + stride[1] * j]", found, "1 4, 2 1, 3 5")
    lesson.remark("The storage has one dim; a tensor has any number, as a view of it by offset, size and stride.")
    lesson.remark("A stride is the way in the storage when the index of that dim grows by 1, not when a dim is added.")
    lesson.remark("The offset is above 0 where a view begins inside a storage, as points[1] does; no size decides it.")
    lesson.remark("points.storage() is deprecated: untyped_storage() is what lies there, 24 bytes for 6 float32.")


def copies(lesson: Lesson) -> None:
    """The transpose has the same numbers and other strides; contiguous() lays them out anew."""
    points = torch.tensor([[4.0, 1.0], [5.0, 3.0], [2.0, 1.0]])
    turned = points.t()
    lesson.show("turned_stride", "turned = points.t(); turned.stride()", turned.stride(), "1, 2")
    shared = turned.untyped_storage().data_ptr() == points.untyped_storage().data_ptr()
    lesson.show("turned_shares", "it has the storage of points", shared, "True")
    lesson.show("turned_contiguous", "turned.is_contiguous()", turned.is_contiguous(), "False")
    lesson.show("turned_storage", "storage(turned)", storage(turned), "4, 1, 5, 3, 2, 1")
    laid = turned.contiguous()
    lesson.show("laid_stride", "laid = turned.contiguous(); laid.stride()", laid.stride(), "3, 1")
    lesson.show("laid_storage", "storage(laid)", storage(laid), "4, 5, 2, 1, 3, 1")
    some = torch.ones(3, 4, 5)
    lesson.show("some_stride", "some = torch.ones(3, 4, 5); some.stride()", some.stride(), "20, 5, 1")
    lesson.show("swapped_stride", "some.transpose(0, 2).stride()", some.transpose(0, 2).stride(), "1, 5, 20")


def writes(lesson: Lesson) -> None:
    """What is written into a view is written into all views of that storage."""
    points = torch.tensor([[1.0, 4.0], [2.0, 1.0], [3.0, 5.0]])
    kept = points.clone()
    replaced = torch.select_scatter(points, torch.tensor([10.0, 1.0]), dim=0, index=1)
    lesson.show("replaced", "torch.select_scatter(points, torch.tensor([10., 1.]), 0, 1)", replaced)
    lesson.show("unchanged", "points", points.clone())
    row = points[1]
    row[0] = 10.0
    lesson.show("written", "row = points[1]; row[0] = 10; points", points, "1 4, 10 1, 3 5: the parent changes")
    row = kept[1].clone()
    row[0] = 10.0
    lesson.show("cloned", "row = points[1].clone(); row[0] = 10; points", kept, "1 4, 2 1, 3 5: it does not")
    lesson.remark("select_scatter, index_put and where give a new tensor with the change in it: use them in functions.")
