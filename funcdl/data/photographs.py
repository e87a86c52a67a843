"""Reading photographs from one folder per class, by worker processes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from funcdl._extras import require
from funcdl.data.errors import DataError
from funcdl.data.files import data_dir
from funcdl.data.images import MAX_PIXELS, load_image
from funcdl.data.splits import Split

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # as torchvision's ImageFolder
URL = "https://download.pytorch.org/tutorial/{name}.zip"
SKIPPED_FOLDERS = ("__MACOSX", "@eaDir")  # metadata of archives and file servers, with the names of images
WORKER_BATCH = 16  # images that a worker returns at once


class Photographs(NamedTuple):
    """Photographs for training and testing, the names of the classes, and the files that could not be read.

    Attributes:
        split: `train` and `test`, each uint8 images (n, 3, size, size) and int64 classes (n,).
        classes: the names of the classes, by index.
        skipped: the error message of each file that could not be read.
    """

    split: Split
    classes: tuple[str, ...]
    skipped: tuple[str, ...]


def photographs(
    path: str | os.PathLike[str] | None = None,
    *,
    name: str = "hymenoptera_data",
    parts: tuple[str, str] = ("train", "val"),
    size: int = 224,
    views: int = 1,
    seed: int = 0,
    workers: int = 2,
    skip_unreadable: bool = False,
) -> Photographs:
    """Reads photographs with paths such as `name/train/ants/*.jpg`: a folder per class, in a folder per part.

    Nested folders belong to their class. Hidden files and folders, such as `._1.jpg`, and folders called `__MACOSX` or
    `@eaDir` are ignored.

    Each photograph is resized so that its shorter side is 256 / 224 of `size`, and center-cropped to a square. Training
    images may have additional views: random crops, resized to `size` and randomly flipped, by torchvision's v2
    transforms.

    Args:
        path: the folder of data sets; None means what `data_dir` says.
        name: the folder of this data set; ants and bees by default.
        parts: the folders of the training and the test images.
        size: the side of the images in pixels.
        views: the number of views of each training photograph; the first is the center crop, the others are random.
        seed: the seed of the random views, which do not depend on the number of workers.
        workers: the number of processes that read; 0 reads in this process.
        skip_unreadable: whether to skip files that cannot be read, instead of raising an error.

    Raises:
        DataError: a folder or a class is missing, a photograph lies beside the classes' folders, or files cannot be
            read; the message names all of them.

    >>> import tempfile
    >>> from PIL import Image
    >>> root = Path(tempfile.mkdtemp())
    >>> for number, place in enumerate(("train/ants", "train/bees", "val/ants", "val/bees")):
    ...     (root / "insects" / place).mkdir(parents=True)
    ...     Image.new("RGB", (40, 30), (number, 0, 0)).save(root / "insects" / place / "one.png")
    >>> read = photographs(root, name="insects", size=28, workers=0)
    >>> read.classes, read.split.train[0].shape, read.split.test[1]
    (('ants', 'bees'), torch.Size([2, 3, 28, 28]), tensor([0, 1]))
    """
    root = data_dir(path) / name
    listed = [_list_classes(root / part, name) for part in parts]
    classes = tuple(listed[0])
    if tuple(listed[1]) != classes:
        raise DataError(
            f"{root / parts[1]} has the classes {', '.join(listed[1])}, and {root / parts[0]} {', '.join(classes)}; "
            "both need a folder for each"
        )
    read, failures = [], []
    for part, files in zip(parts, listed, strict=True):
        samples = [(file, label) for label, folder in enumerate(classes) for file in files[folder]]
        images, labels, failed = _read(samples, size, views if part == parts[0] else 1, seed, workers)
        read.append((images, labels))
        failures += failed
        empty = [folder for label, folder in enumerate(classes) if not (labels == label).any()]
        if empty and (skip_unreadable or not failures):
            raise DataError(f"{root / part / empty[0]} has no photograph that can be read")
    if failures and not skip_unreadable:
        raise DataError(
            f"{len(failures)} of the photographs cannot be used: {'; '.join(failures)}. Mend or delete them, or skip "
            "them: skip_unreadable=True (--skip-unreadable)"
        )
    return Photographs(Split(*read), classes, tuple(failures))


class _Views(Dataset[tuple[Tensor | None, int, str]]):
    """A data set of the views of photographs: `(image, class, error)`; the image is None if it cannot be read."""

    def __init__(self, samples: Sequence[tuple[Path, int]], size: int, views: int, seed: int) -> None:
        require("torchvision", "data.photographs")
        from torchvision.transforms import v2  # imported here because it takes a second

        self.samples, self.views, self.seed = samples, views, seed
        self.short = size * 256 // 224
        self.plain = v2.Compose([v2.Resize(self.short, antialias=True), v2.CenterCrop(size)])
        self.random_view = v2.Compose([v2.RandomResizedCrop(size, antialias=True), v2.RandomHorizontalFlip()])

    def __len__(self) -> int:
        return len(self.samples) * self.views

    def __getitem__(self, index: int) -> tuple[Tensor | None, int, str]:
        number, view = divmod(index, self.views)
        file, label = self.samples[number]
        try:
            pixels = _rgb(load_image(file))
            short, long = sorted(pixels.shape[1:])
            if self.short**2 * long > MAX_PIXELS * short:  # after resizing it would take gigabytes
                height, width = pixels.shape[1:]
                raise DataError(f"{file} has {width:,} x {height:,} pixels, too long a strip; cut it")
        except DataError as error:
            return None, label, "" if view else str(error)  # reported once
        if view == 0:
            return self.plain(pixels), label, ""
        # v2 uses torch's global generator. Its state is restored, because without workers it is the caller's.
        before = torch.get_rng_state()
        torch.default_generator.manual_seed((self.seed * 1_000_003 + index) % 2**63)
        try:
            return self.random_view(pixels), label, ""
        finally:
            torch.set_rng_state(before)


def _list_classes(folder: Path, name: str) -> dict[str, list[Path]]:
    """Returns the photographs in each class folder, by the name of the folder."""
    if not folder.is_dir():
        raise DataError(
            f"there is no folder {folder}; get {URL.format(name=name)} and unpack it in {folder.parents[1]}"
        )
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not _is_hidden(path.name))
    if len(classes) < 2:
        found = f"only '{classes[0].name}'" if classes else "none"
        raise DataError(
            f"{folder} needs a folder of photographs for each class, such as ants and bees, and has {found}"
        )
    beside = sorted(path for path in folder.iterdir() if path.is_file() and _is_photograph(path.name))
    if beside:
        raise DataError(f"{beside[0]} is in no class; move it to the folder of one, such as {classes[0]}")
    files = {path.name: list(_walk(path)) for path in classes}
    if empty := [path for path in classes if not files[path.name]]:
        raise DataError(f"{empty[0]} has no photographs; put some there ({' '.join(EXTENSIONS)})")
    return files


def _walk(folder: Path) -> Iterator[Path]:
    """Yields the photographs in a folder, then those in its subfolders, sorted by name."""

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}") from None

    seen = set()
    for here, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        place = os.path.realpath(here)
        folders[:] = [] if place in seen else sorted(name for name in folders if not _is_hidden(name))
        names = [] if place in seen else sorted(filter(_is_photograph, names))
        seen.add(place)
        yield from (Path(here, name) for name in names)


def _is_photograph(name: str) -> bool:
    return not _is_hidden(name) and Path(name).suffix.lower() in EXTENSIONS


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in SKIPPED_FOLDERS


def _read(
    samples: Sequence[tuple[Path, int]], size: int, views: int, seed: int, workers: int
) -> tuple[UInt8[Tensor, "n 3 size size"], Tensor, list[str]]:
    """Returns all views of the readable photographs, their classes, and the error messages of the other files."""
    loader = DataLoader(
        _Views(samples, size, views, seed),
        WORKER_BATCH,
        num_workers=workers,
        collate_fn=_collate,
        generator=torch.Generator(),  # otherwise the loader draws a seed from the global generator
    )
    images = torch.empty(len(samples) * views, 3, size, size, dtype=torch.uint8)
    labels: list[int] = []
    failures: list[str] = []
    for pixels, classes, failed in loader:
        if classes:
            images[len(labels) : len(labels) + len(classes)] = pixels
        labels += classes
        failures += failed
    return images[: len(labels)], torch.tensor(labels, dtype=torch.int64), failures


def _collate(batch: Sequence[tuple[Tensor | None, int, str]]) -> tuple[Tensor, list[int], list[str]]:
    good = [(pixels, label) for pixels, label, _ in batch if pixels is not None]
    failed = [reason for _, _, reason in batch if reason]
    if not good:
        return torch.empty(0, dtype=torch.uint8), [], failed
    return torch.stack([pixels for pixels, _ in good]), [label for _, label in good], failed


def _rgb(pixels: UInt8[Tensor, "channels height width"]) -> UInt8[Tensor, "3 height width"]:
    """Converts gray to three equal channels, and removes alpha from RGBA."""
    return pixels.expand(3, -1, -1) if len(pixels) == 1 else pixels[:3]
