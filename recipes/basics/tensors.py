"""Tensors: how to make, combine, view, index, convert, move and save them."""

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
    """Make tensors, add them in four ways, look at them from other sides, convert, move, broadcast and save them.

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
    lesson.show("empty", "torch.empty(5, 3).size()", torch.empty(5, 3).size(), "Size([5, 3])")
    drawn = lesson.show("uniform", "drawn = random.uniform(key, (5, 3))", random.uniform(uniform_key, (5, 3)), "rand")
    lesson.show("uniform_inside", "((drawn >= 0) & (drawn < 1)).all()", ((drawn >= 0) & (drawn < 1)).all(), "(0, 1)")
    lesson.remark("Uniform numbers lie in [0, 1): 0 can come up, 1 cannot; the tutorial excludes both.")
    lesson.show("zeros", "torch.zeros(5, 3, dtype=torch.long)", torch.zeros(5, 3, dtype=torch.long))
    x = lesson.show("tensor", "x = torch.tensor([5.5, 3])", torch.tensor([5.5, 3]), "5.5000, 3.0000")
    ones = x.new_ones(5, 3, dtype=torch.double)
    lesson.show("new_ones", "ones = x.new_ones(5, 3, dtype=torch.double); ones.dtype", ones.dtype, "torch.float64")
    noise = random.normal(normal_key, ones.shape)
    lesson.show("normal", "noise = random.normal(key, ones.shape)", [noise.dtype, *noise.size()], "float, Size([5, 3])")
    ranks = [torch.ones(size).dim() for size in ((), (3,), (3, 3), (2, 3, 4))]
    lesson.show("ranks", "torch.ones(size).dim(): (), (3,), (3, 3), (2, 3, 4)", ranks, "0, 1, 2, n")


def add(lesson: Lesson, key: Tensor) -> None:
    """Four ways to add; one changes its argument, as every method does whose name ends in an underscore."""
    x, y = random.uniform(key, (2, 5, 3))
    before, total, result = y.clone(), x + y, torch.empty(5, 3)
    lesson.show("add_keeps", "before = y.clone(); x + y; torch.equal(y, before)", torch.equal(y, before), "y is kept")
    equal = [torch.equal(way, total) for way in (torch.add(x, y), torch.add(x, y, out=result), y.add_(x))]
    lesson.show("add_equal", "x + y against torch.add(x, y), out=result, y.add_(x)", equal, "all the same")
    lesson.show("add_changes", "y.add_(x); torch.equal(y, before)", torch.equal(y, before), "y has changed")
    lesson.show("turn", "torch.equal(y.copy_(x).t_(), x.t())", torch.equal(y.copy_(x).t_(), x.t()), "y has changed")
    lesson.show("zero", "y.zero_()", y.zero_())
    lesson.remark("Functional code writes y = x + y: the old y stays what it was, for all who hold it.")


def look(lesson: Lesson, key: Tensor) -> None:
    """Other shapes of the same numbers, and parts of them."""
    x = random.normal(key, (4, 4))
    views = [x.size(), x.view(16).size(), x.view(-1, 8).size()]
    lesson.show("view", "the sizes of x, x.view(16), x.view(-1, 8)", views, "[4, 4], [16], [2, 8]")
    points = torch.tensor([[1.0, 4.0], [2.0, 1.0], [3.0, 5.0]])
    parts = [points[0], points[:, 1], [float(points[0, 1])]]
    lesson.show("index", "points[0], points[:, 1], float(points[0, 1])", parts, "1 4, 4 1 5, 4.0")
    item = torch.tensor(-0.23680149).item()
    lesson.show("item", "torch.tensor(-0.23680149).item()", item, "-0.2368014901876 b4496", digits=17)
    lesson.remark("The notes' print of a float32 as a Python number has a stray ' b' among its digits.")
    x = torch.linspace(-1, 1, 100)
    lesson.show("unsqueeze", "x = torch.linspace(-1, 1, 100); torch.unsqueeze(x, 1).size()", x.unsqueeze(1).size())
    legal = [dim for dim in range(-5, 5) if not raised(torch.unsqueeze, x, dim)]
    lesson.show("unsqueeze_dims", "dims that unsqueeze takes for a vector", legal, "-2, -1, 0, 1")
    lesson.show("unsqueeze_error", "torch.unsqueeze(x, 2)", raised(torch.unsqueeze, x, 2), "IndexError")
    lesson.remark("unsqueeze takes dims from -d - 1 up to d, not d + 1, for a tensor of d dims.")
    x, y, z, a = torch.tensor(2.0), torch.ones(3, 1), torch.ones(1, 3), torch.ones(2, 1, 1)
    sizes = [(x * y).size(), (y * z).size(), (y * z * a).size()]
    lesson.show("broadcast", "() * (3, 1), (3, 1) * (1, 3), and * (2, 1, 1)", sizes, "(3, 1), (3, 3), (2, 3, 3)")


def convert(lesson: Lesson, device: torch.device) -> None:
    """Other dtypes, and another device and back."""
    x = torch.tensor(3.1433223)
    lesson.show("pi", "x = torch.tensor(3.1433223); x.item()", x.item(), "3.143322229385376", digits=16)
    whole = [x.long(), x.int(), x.short(), x.char(), x.byte()]
    lesson.show("whole", "x.long(), x.int(), x.short(), x.char(), x.byte()", whole, "3 each")
    lesson.show("dtypes", "their dtypes", [one.dtype for one in whole])
    lesson.show("half", "x.half().item()", x.half().item(), "3.1426")
    lesson.show("others", "x.bool(), x.bfloat16()", [x.bool(), x.bfloat16()])
    lesson.remark("There are more dtypes than the tutorials' lists have: bool, bfloat16 and the complex ones.")
    back = (x.to(device) + torch.ones_like(x, device=device)).to("cpu", torch.double)
    expression = f"back = (x.to({device.type!r}) + 1).to('cpu', torch.double); back, back.dtype"
    lesson.show("round_trip", expression, [back, back.dtype], "the same value, torch.float64")


def save(lesson: Lesson) -> None:
    """Files of tensors: torch.save, and a format that can be read in parts, as the book's HDF5 can."""
    points = torch.tensor([[1.0, 4.0], [2.0, 1.0], [3.0, 5.0]])
    with tempfile.TemporaryDirectory() as folder:
        torch.save(points, f"{folder}/points.t")
        read = torch.load(f"{folder}/points.t", weights_only=True)
        save_file({"coords": points}, f"{folder}/points.safetensors")
        with safe_open(f"{folder}/points.safetensors", framework="pt") as file:
            last = file.get_slice("coords")[-2:]
    lesson.show("saved", "torch.save(points, path); torch.load(path)", read, "the points again")
    lesson.show("last_two", 'safe_open(path, "pt").get_slice("coords")[-2:]', last, "the last two, read alone")
