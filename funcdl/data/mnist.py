"""The MNIST handwritten digits, and reading IDX files, the format of MNIST."""

from __future__ import annotations

import math
import os
from pathlib import Path

import torch
from torch import Tensor

from funcdl._extras import require
from funcdl.data.download import download
from funcdl.data.errors import DataError
from funcdl.data.files import data_dir, read_bytes
from funcdl.data.splits import Split

COUNTS = {"train": 60_000, "t10k": 10_000}


def mnist(path: str | os.PathLike[str] | None = None) -> Split:
    """Returns MNIST: 60,000 images of handwritten digits for training and 10,000 for testing.

    Files are read from `path/MNIST/raw`, as in torchvision, or from `path` itself; their names are for example
    `train-images-idx3-ubyte` or `train-images-idx3-ubyte.gz`. Missing files are downloaded to `path/MNIST/raw` from
    torchvision's mirrors and verified by its checksums.

    Args:
        path: the folder of data sets; None means what `data_dir` says.

    Returns:
        `Split(train, test)` of `(images, labels)`: uint8 (n, 1, 28, 28), 0 the background and 255 full ink, and
        int64 (n,) in [0, 9].

    Raises:
        DataError: a file is missing and cannot be downloaded, is damaged, or contains something else.

    Source: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", 1998. The same
    pixels as `torchvision.datasets.MNIST(root=path).data`, with a channel dimension.
    """
    folder = data_dir(path)
    return Split(train=_part(folder, "train"), test=_part(folder, "t10k"))


def read_idx(path: str | os.PathLike[str], dimensions: int) -> Tensor:
    """Reads an IDX file of unsigned bytes, gzipped if its name ends in `.gz`.

    An IDX file has two zero bytes, the type (8 for unsigned bytes), the number of dimensions, each size as a big-endian
    32-bit integer, and then the values, with the last dimension varying fastest.

    Args:
        path: the file.
        dimensions: the required number of dimensions: 1 for labels, 3 for images.

    Returns:
        A uint8 tensor of the shape in the file.

    Raises:
        DataError: the file is missing, not gzip although its name says so, of another type, or has too few or too many
            bytes.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "labels"
    >>> _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 4]))
    >>> read_idx(path, dimensions=1)
    tensor([5, 0, 4], dtype=torch.uint8)
    """
    path = Path(path)
    content = read_bytes(path)
    magic, header = bytes([0, 0, 8, dimensions]), 4 + 4 * dimensions
    if content[:4] != magic[: len(content)]:
        raise DataError(
            f"{path} is not an IDX file of unsigned bytes in {dimensions} dimension{'s'[: dimensions != 1]}: it starts "
            f"with 0x{content[:4].hex()}, expected 0x{magic.hex()}; delete it and get it again"
        )
    shape = [int.from_bytes(content[i : i + 4], "big") for i in range(4, header, 4)]
    expected = header + (math.prod(shape) if len(content) >= header else 0)
    if len(content) != expected:
        state = "truncated" if len(content) < expected else "too long"
        raise DataError(f"{path} is {state}: {len(content)} bytes, expected {expected}; delete it and get it again")
    if math.prod(size or 1 for size in shape) >= 2**63:  # also if another size is 0
        raise DataError(f"{path} states the sizes {shape}, which no tensor has; delete it and get it again")
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)[header:].reshape(shape)


def _part(folder: Path, part: str) -> tuple[Tensor, Tensor]:
    count = COUNTS[part]
    images_path, labels_path = _file(folder, f"{part}-images-idx3-ubyte"), _file(folder, f"{part}-labels-idx1-ubyte")
    images, labels = read_idx(images_path, dimensions=3), read_idx(labels_path, dimensions=1)
    for path, found, expected in [(images_path, images, (count, 28, 28)), (labels_path, labels, (count,))]:
        if found.shape != expected:
            raise DataError(f"{path} has the shape {tuple(found.shape)}, expected {expected}; put MNIST's file there")
    if labels.max() > 9:
        raise DataError(f"{labels_path} has the label {labels.max()}, expected 0 to 9; delete it and get it again")
    return images.unsqueeze(1), labels.long()


def _file(folder: Path, name: str) -> Path:
    """Returns the path of a file in either folder; downloads it if it is in neither."""
    candidates = [parent / file for parent in (folder / "MNIST" / "raw", folder) for file in (name, f"{name}.gz")]
    for path in candidates:
        if path.exists():
            return path
    require("torchvision", "downloading MNIST")
    from torchvision.datasets import MNIST  # imported here because it takes a second and only a download needs it

    checksum = dict(MNIST.resources)[f"{name}.gz"]
    return download([f"{mirror}{name}.gz" for mirror in MNIST.mirrors], candidates[1], md5=checksum)
