"""Tensors: how to make, add, view, index, convert, move and save them."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from funcdl import random, train

from .. import runtime, settings
from ..lesson import Lesson, raised
from ..settings import Outcome


@dataclass(frozen=True, kw_only=True)
class Settings(settings.SeedSettings, settings.DeviceSettings):
    """Make tensors, add them by four functions, reshape, index, convert, move, broadcast and save them.

    Two habits of functional code show from the first line: random numbers come from a key, which is an argument, where
    torch.rand moves a generator that nobody sees; and what changes is a new tensor, where `add_` changes an old one.
    """


def run(settings: Settings, report: train.Report) -> Outcome:
    """Shows each expression with its result."""
    lesson = Lesson()
    with runtime.choose_device(settings.device) as device:
        for part, key in zip((make, add, look), random.split(random.key(settings.seed), 3), strict=True):
            part(lesson, key)
        convert(lesson, device)
        save(lesson)
    return Outcome(lesson.metrics, device=device.type, lesson=lesson)


def make(lesson: Lesson, key: Tensor) -> None:
    """Tensors of given shapes and values."""
    uniform_key, normal_key = random.split(key).unbind()
    lesson.show_code("empty", torch.empty(5, 3).size(), "Size([5, 3])")
    drawn = lesson.show_code("uniform", random.uniform(uniform_key, (5, 3)), "rand")
    lesson.show_code("uniform_inside", ((drawn >= 0) & (drawn < 1)).all(), "(0, 1)")
    lesson.remark("Uniform numbers lie in [0, 1): 0 can come up, 1 cannot; the tutorial excludes both.")
    lesson.show_code("zeros", torch.zeros(5, 3, dtype=torch.long))
    x = lesson.show_code("tensor", torch.tensor([5.5, 3]), "5.5000, 3.0000")
    ones = x.new_ones(5, 3, dtype=torch.double)
    lesson.show_code("new_ones", ones.dtype, "torch.float64", preceding=1)
    noise = random.normal(normal_key, ones.shape)
    lesson.show_code("normal", (noise.dtype, *noise.size()), "float, Size([5, 3])", preceding=1)
    lesson.show_code("ranks", [torch.ones(size).dim() for size in ((), (3,), (3, 3), (2, 3, 4))], "0, 1, 2, n")


def add(lesson: Lesson, key: Tensor) -> None:
    """Four functions that add; one changes its argument, as every method does whose name ends in an underscore."""
    x, y = random.uniform(key, (2, 5, 3))
    before, total = y.clone(), x + y
    lesson.show_code("add_keeps", torch.equal(y, before), "y is kept", preceding=1)
    sums = torch.add(x, y), torch.add(x, y, out=torch.empty(5, 3)), y.add_(x)
    lesson.show_code("add_equal", [torch.equal(each, total) for each in sums], "all the same", preceding=1)
    lesson.show_code("add_changes", torch.equal(y, before), "y has changed")
    lesson.show_code("turn", torch.equal(y.copy_(x).t_(), x.t()), "y has changed")
    lesson.show_code("zero", y.zero_())
    lesson.remark("Functional code writes y = x + y, a new tensor: whatever else refers to the old y keeps its values.")


def look(lesson: Lesson, key: Tensor) -> None:
    """Other shapes of the same numbers, and parts of them."""
    x = random.normal(key, (4, 4))
    lesson.show_code("view", (x.size(), x.view(16).size(), x.view(-1, 8).size()), "[4, 4], [16], [2, 8]")
    points = torch.tensor([[1.0, 4.0], [2.0, 1.0], [3.0, 5.0]])
    lesson.show_code("index", (points[0], points[:, 1], [float(points[0, 1])]), "1 4, 4 1 5, 4.0")
    lesson.show_code("item", torch.tensor(-0.23680149).item(), "-0.2368014901876 b4496", digits=17)
    lesson.remark("Where the notes print a float32 as a Python number, a stray ' b' stands among the digits.")
    x = torch.linspace(-1, 1, 100)
    lesson.show_code("unsqueeze", torch.unsqueeze(x, 1).size(), preceding=1)
    legal = [dim for dim in range(-5, 5) if not raised(torch.unsqueeze, x, dim)]
    lesson.show("unsqueeze_dims", "dims that unsqueeze takes for a vector", legal, "-2, -1, 0, 1")
    lesson.show_code("unsqueeze_error", raised(torch.unsqueeze, x, 2), "IndexError")
    lesson.remark("unsqueeze takes dims from -d - 1 up to d, not d + 1, for a tensor of d dims.")
    x, y, z, a = torch.tensor(2.0), torch.ones(3, 1), torch.ones(1, 3), torch.ones(2, 1, 1)
    sizes = (x * y).size(), (y * z).size(), (y * z * a).size()
    lesson.show_code("broadcast", sizes, "(3, 1), (3, 3), (2, 3, 3)", preceding=2)


def convert(lesson: Lesson, device: torch.device) -> None:
    """Other dtypes, and another device and back."""
    x = torch.tensor(3.1433223)
    lesson.show_code("pi", x.item(), "3.143322229385376", digits=16, preceding=1)
    integers = lesson.show_code("whole", (x.long(), x.int(), x.short(), x.char(), x.byte()), "3 each")
    lesson.show_code("dtypes", [integer.dtype for integer in integers])
    lesson.show_code("half", x.half().item(), "3.1426")
    lesson.show_code("others", (x.bool(), x.bfloat16()))
    lesson.remark("There are more dtypes than the tutorials' lists have: bool, bfloat16 and the complex ones.")
    back = (x.to(device) + torch.ones_like(x, device=device)).to("cpu", torch.double)
    lesson.show_code("round_trip", (back, back.dtype), "the same value, torch.float64", preceding=1)


def save(lesson: Lesson) -> None:
    """Files of tensors: torch.save, and a format that can be read in parts, as the book's HDF5 can."""
    points = torch.tensor([[1.0, 4.0], [2.0, 1.0], [3.0, 5.0]])
    with tempfile.TemporaryDirectory() as folder:
        torch.save(points, f"{folder}/points.t")
        lesson.show_code("saved", torch.load(f"{folder}/points.t", weights_only=True), "the points again", preceding=1)
        save_file({"coords": points}, f"{folder}/points.safetensors")
        with safe_open(f"{folder}/points.safetensors", "pt") as file:
            lesson.show_code("last_two", file.get_slice("coords")[-2:], "the last two, read alone")
