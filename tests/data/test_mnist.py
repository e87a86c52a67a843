import gzip
import hashlib
import os
import struct
from pathlib import Path

import pytest
import torch

from funcdl.data import DataError, data_dir, mnist, read_idx

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx(*shape, fill=None, code=8):
    """The bytes of an IDX file, by default with the values 0, 1, 2, ..."""
    size = torch.Size(shape).numel()
    values = bytes(i % 256 for i in range(size)) if fill is None else bytes([fill]) * size
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, code, len(shape), *shape) + values


@pytest.fixture(scope="module")
def contents():
    """Four files of MNIST's sizes, black everywhere, with a label of its own for each part."""
    return dict(
        zip(
            FILES,
            (idx(60_000, 28, 28, fill=0), idx(60_000, fill=3), idx(10_000, 28, 28, fill=1), idx(10_000, fill=9)),
            strict=True,
        )
    )


def write(folder, contents, *, gz=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        if gz:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content, 1))
        else:
            (folder / name).write_bytes(content)


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """An empty mirror in a folder; torchvision's list points at it alone."""
    from torchvision.datasets import MNIST

    (tmp_path / "mirror").mkdir()
    monkeypatch.setattr(MNIST, "mirrors", [(tmp_path / "mirror").as_uri() + "/"])
    return tmp_path / "mirror"


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize("layout", ["MNIST/raw", "."])
def test_both_layouts_raw_and_gzipped(tmp_path, contents, layout, gz):
    write(tmp_path / layout, contents, gz=gz)
    (images, labels), test = mnist(tmp_path)
    assert images.shape == (60_000, 1, 28, 28)
    assert test[0].shape == (10_000, 1, 28, 28)
    assert images.dtype == test[0].dtype == torch.uint8
    assert labels.dtype == test[1].dtype == torch.int64
    assert labels.eq(3).all()
    assert test[1].eq(9).all()
    assert images.max() == 0
    assert test[0].eq(1).all()


def test_real_mnist():
    if "FUNCDL_DATA" not in os.environ:
        pytest.skip("FUNCDL_DATA is not set, so there is no real MNIST to read")
    if not any(
        (data_dir() / place / f"{FILES[0]}{end}").exists() for place in ("MNIST/raw", "") for end in ("", ".gz")
    ):
        pytest.skip(f"no MNIST in {data_dir()}")
    (images, labels), (test_images, test_labels) = mnist()
    assert labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert test_labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert labels.bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert test_images.shape == (10_000, 1, 28, 28)
    scaled = images.float() / 255
    assert scaled.mean().item() == pytest.approx(0.1307, abs=5e-5)
    assert scaled.std().item() == pytest.approx(0.3081, abs=5e-5)
    # The first image is a 5 whose top stroke begins in row 5: any transposition or shift shows here.
    assert images[0, 0, 5, 12:24].tolist() == [3, 18, 18, 18, 126, 136, 175, 26, 166, 255, 247, 127]
    # The checksums that are published for the unpacked files.
    digest = hashlib.md5(struct.pack(">4I", 2051, 60_000, 28, 28) + images.numpy().tobytes()).hexdigest()
    assert digest == "6bbc9ace898e44ae57da46a324031adb"
    digest = hashlib.md5(struct.pack(">2I", 2049, 10_000) + test_labels.to(torch.uint8).numpy().tobytes()).hexdigest()
    assert digest == "27ae3e4e09519cfbb04c329615203637"


def test_missing_files_are_downloaded_verified_and_stored(tmp_path, contents, mirror, monkeypatch):
    from torchvision.datasets import MNIST

    write(mirror, contents, gz=True)
    sums = [(f"{name}.gz", hashlib.md5((mirror / f"{name}.gz").read_bytes()).hexdigest()) for name in FILES]
    monkeypatch.setattr(MNIST, "resources", sums)
    write(tmp_path / "data", {FILES[1]: contents[FILES[1]]})
    split = mnist(tmp_path / "data")
    assert split.test[1].eq(9).all()
    assert sorted(p.name for p in (tmp_path / "data/MNIST/raw").iterdir()) == sorted(
        f"{name}.gz" for name in FILES if name != FILES[1]
    )
    for path in mirror.iterdir():
        path.unlink()
    assert torch.equal(mnist(tmp_path / "data").train[1], split.train[1])


def test_a_download_with_the_wrong_checksum_is_refused(tmp_path, contents, mirror):
    write(mirror, contents, gz=True)
    with pytest.raises(DataError, match=r"its md5 is .*, expected f68b3c2dcbeaaa9fbdd348bbdeb94873"):
        mnist(tmp_path / "data")
    assert not any((tmp_path / "data/MNIST/raw").iterdir())


def test_without_a_network_the_message_names_the_file_its_address_and_its_place(tmp_path, mirror):
    with pytest.raises(DataError) as caught:
        mnist(tmp_path / "data")
    message = str(caught.value)
    assert message.startswith("could not download train-images-idx3-ubyte.gz: ")
    assert f"{mirror.as_uri()}/train-images-idx3-ubyte.gz (" in message
    assert message.endswith(f"put it at {tmp_path}/data/MNIST/raw/train-images-idx3-ubyte.gz")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (FILES[0], idx(10, 28, 28), r"train-images-.* has the shape \(10, 28, 28\), expected \(60000, 28, 28\)"),
        (FILES[1], idx(59_999), r"train-labels-.* has the shape \(59999,\), expected \(60000,\)"),
        (FILES[2], idx(10_000, 28, 27, fill=0), r"t10k-images-.*\(10000, 28, 27\), expected \(10000, 28, 28\)"),
        (FILES[3], idx(10_000, fill=10), r"t10k-labels-.* has the label 10, expected 0 to 9"),
        (FILES[0], idx(60_000, fill=0), r"train-images-.*starts with 0x00000801, expected 0x00000803"),
    ],
)
def test_files_that_are_not_mnists_are_refused(tmp_path, contents, name, content, message):
    write(tmp_path, contents | {name: content})
    with pytest.raises(DataError, match=message):
        mnist(tmp_path)


@pytest.mark.parametrize("name", ["a", "a.gz"])
def test_idx_values_come_in_the_files_order(tmp_path, name):
    content = idx(2, 3, 4)
    (tmp_path / name).write_bytes(gzip.compress(content) if name == "a.gz" else content)
    assert torch.equal(read_idx(tmp_path / name, 3), torch.arange(24, dtype=torch.uint8).reshape(2, 3, 4))


def test_idx_sizes_are_big_endian_and_may_be_zero(tmp_path):
    (tmp_path / "a").write_bytes(idx(258, 1))
    assert read_idx(str(tmp_path / "a"), 2).shape == (258, 1)
    (tmp_path / "b").write_bytes(idx(0, 28, 28))
    assert read_idx(tmp_path / "b", 3).shape == (0, 28, 28)


# `mtime=0`: a header with the time of day gives every process that collects tests other ids of them.
GOOD, PACKED = idx(2, 3, 4), gzip.compress(idx(2, 3, 4), mtime=0)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a", GOOD[:-1], r"a is truncated: 39 bytes, expected 40; delete it and get it again"),
        ("a", GOOD + b"\0", r"a is too long: 41 bytes, expected 40"),
        ("a", GOOD[:10], r"a is truncated: 10 bytes, expected 16"),
        ("a", GOOD[:2], r"a is truncated: 2 bytes, expected 16"),
        ("a", b"", r"a is truncated: 0 bytes, expected 16"),
        ("a.gz", b"", r"a.gz is truncated: 0 bytes, expected 16"),
        ("a", PACKED, r"a is not an IDX file .* in 3 dimensions: it starts with 0x1f8b08.., expected 0x00000803"),
        ("a", b"<html>", r"it starts with 0x3c68746d"),
        ("a", idx(24), r"it starts with 0x00000801"),
        ("a", idx(2, 3, 4, code=13), r"it starts with 0x00000d03, expected 0x00000803"),
        ("a.gz", GOOD, r"a.gz is not a gzip file \(Not a gzipped file.*\); delete it and get it again"),
        ("a.gz", PACKED[:-12], r"a.gz is a damaged gzip file \(Compressed file ended"),
        ("a.gz", PACKED[:10] + b"\xff\xff" + PACKED[12:], r"a.gz is a damaged gzip file \(Error -3"),
        ("a.gz", PACKED[:-8] + bytes(8), r"a.gz is not a gzip file \(CRC check failed"),
        ("a.gz", gzip.compress(GOOD[:-1], mtime=0), r"a.gz is truncated: 39 bytes, expected 40"),
    ],
)
def test_damaged_idx_files_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(tmp_path / name, 3)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match=r"absent cannot be read: No such file"):
        read_idx(Path(tmp_path / "absent"), 1)
    with pytest.raises(DataError, match=r"cannot be read: Is a directory"):
        read_idx(tmp_path, 1)
