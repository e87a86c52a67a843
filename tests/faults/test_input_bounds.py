"""Small files that ask for much, formats that are not meant, and damaged files: one error each, or a result."""

import gzip
import io
import random as python_random
import time
import zipfile
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import funcdl as fd
from funcdl import data, interop
from funcdl.data import DataError
from recipes.sequence import names, sentiment
from recipes.settings import SettingsError
from recipes.vision import _pretrained
from tests.faults.test_image_depths import png

WEIGHTS = {
    "a.weight": torch.arange(12.0).view(3, 4),
    "a.bias": torch.ones(3, dtype=torch.bfloat16),
    "n": torch.tensor(3),
}


def wide_png(width, height):
    """A PNG file of one even surface, which takes a thousandth of its pixels."""
    row = bytes((width + 7) // 8 + 1)
    packer = zlib.compressobj(1)
    content = b"".join(packer.compress(row * 50) for _ in range(height // 50)) + packer.flush()
    whole = png(width, height, 1, 0, [])
    empty = zlib.compress(b"")
    at = whole.index(b"IDAT") - 4
    chunk = b"IDAT" + content
    length = 4 + 4 + len(empty) + 4
    size, crc = len(content).to_bytes(4, "big"), zlib.crc32(chunk).to_bytes(4, "big")
    return whole[:at] + size + chunk + crc + whole[at + length :]


@pytest.mark.parametrize("load", [data.load_image, data.load_digit])
@pytest.mark.parametrize("side", [7100, 13_300, 20_000])
def test_a_picture_of_too_many_pixels(tmp_path, recwarn, load, side):
    path = tmp_path / "x.png"
    path.write_bytes(wide_png(side, side))
    assert path.stat().st_size < 1 << 20
    begun = time.process_time()
    with pytest.raises(
        DataError, match=r"x\.png has (more pixels than the 50,000,000|[\d,]+ x [\d,]+ pixels, expected 1 to 50)"
    ):
        load(path)
    assert time.process_time() - begun < 1
    assert not recwarn.list


def test_a_picture_of_many_pixels_is_read(tmp_path, recwarn):
    (tmp_path / "x.png").write_bytes(wide_png(40_000, 500))
    assert data.load_image(tmp_path / "x.png").shape == (1, 500, 40_000)
    assert not recwarn.list


@pytest.mark.parametrize("ending", ["eps", "pcx", "tga", "ico", "pdf", "sgi", "dds", "jp2"])
@pytest.mark.parametrize("load", [data.load_image, data.load_digit])
def test_formats_that_are_not_meant(tmp_path, ending, load):
    path = tmp_path / f"x.{ending}"
    Image.new("RGB", (30, 30)).save(path)
    path = path.rename(tmp_path / "x.png")
    with pytest.raises(DataError, match=r"x\.png is not an image that Pillow can read; pass a PNG or JPEG file"):
        load(path)


@pytest.mark.parametrize("ending", ["png", "jpg", "gif", "bmp", "tiff", "webp", "ppm"])
def test_formats_that_are_meant(tmp_path, ending):
    path = tmp_path / f"x.{ending}"
    Image.new("RGB", (30, 20), "red").save(path, **({"lossless": True} if ending == "webp" else {}))
    assert (data.load_image(path)[:3].float() - torch.tensor([255.0, 0, 0]).view(3, 1, 1)).abs().max() < 3


@pytest.mark.parametrize(
    "error", [NotImplementedError, AttributeError, KeyError, MemoryError, OverflowError, RuntimeError]
)
def test_whatever_pillow_raises_is_one_error(tmp_path, monkeypatch, error):
    Image.new("RGB", (30, 20)).save(tmp_path / "x.png")

    def fail(*args):
        raise error("unheard of")

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fail)
    with pytest.raises(DataError, match=r"x\.png cannot be read as an image \(.*unheard of.*\); save it again as PNG"):
        data.load_image(tmp_path / "x.png")


def test_a_gzip_file_of_gigabytes(tmp_path):
    packed = gzip.compress(bytes(1 << 26), 1)
    path = tmp_path / "x.csv.gz"
    path.write_bytes(packed * 3)
    begun = time.process_time()
    for read in (data.read_table, data.read_text, lambda path: data.read_idx(path, dimensions=1)):
        with pytest.raises(DataError, match=r"x\.csv\.gz unpacks to more than 64 MiB, .*; unpack it yourself"):
            read(path)
    assert time.process_time() - begun < 5
    path.write_bytes(gzip.compress(b"a\n" + b"1\n" * 100_000, 1))
    assert len(data.read_table(path).values) == 100_000


def test_what_is_no_file(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe")
    for read in (data.load_image, data.load_digit, data.read_table, data.read_text):
        for path in (tmp_path / "pipe", "/dev/zero"):
            with pytest.raises(DataError, match=r"cannot be read.*a pipe or a device"):
                read(path)


def test_text_of_100_000_letters(tmp_path, monkeypatch):
    monkeypatch.setattr(names.companion, "read", lambda *asked: {"classes": ["A"], "letters": "a"})
    with pytest.raises(SettingsError, match=r"a name of 100,000 letters, 'a{60}\.\.\.', expected at most 100$"):
        names.predict(names.Settings(), tmp_path, ["a" * 100_000])
    monkeypatch.setattr(sentiment.companion, "read", lambda *asked: {"words": ["so"]})
    with pytest.raises(SettingsError) as caught:
        sentiment.predict(sentiment.Settings(), tmp_path, ["so " * 100_000])
    assert "has 100,000 words, expected 1 to 128" in str(caught.value)
    assert len(str(caught.value)) < 200


def test_a_row_that_is_not_there():
    rows = torch.arange(10.0)
    for indices in ([-1], [0, 10], [3, -11]):
        with pytest.raises(IndexError, match=r"take: expected row indices from 0 to 9, got"):
            data.take({"x": rows}, torch.tensor(indices))
        with pytest.raises(IndexError):
            data.take({"x": rows}, indices)
    compiled = fd.jit(data.take)
    assert compiled(rows, torch.tensor([9, 0])).tolist() == [9, 0]
    for indices in ([-1, 0], [0, 10], [3, -11]):
        with pytest.raises(RuntimeError, match="out of bounds"):
            compiled(rows, torch.tensor(indices))


def test_weights_that_unpack_to_gigabytes(tmp_path):
    torch.save(WEIGHTS, tmp_path / "w.pt")
    with (
        zipfile.ZipFile(tmp_path / "w.pt") as kept,
        zipfile.ZipFile(tmp_path / "x.pt", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in kept.namelist():
            bomb.writestr(name, kept.read(name))
        bomb.writestr("w/data/9", bytes(1 << 27))
    with pytest.raises(
        ValueError, match=r"load_torch: .*x\.pt .*it unpacks to 134,\d+,\d+ bytes.*; write it with torch\.save"
    ):
        interop.load_torch(tmp_path / "x.pt")


def test_names_of_weights_are_text(tmp_path):
    torch.save({0: torch.ones(1), "a": torch.ones(1)}, tmp_path / "x.pt")
    with pytest.raises(ValueError, match=r"expected a flat dict of tensors in .*, got 0 \(Tensor\) as well"):
        interop.load_torch(tmp_path / "x.pt")
    torch.save({"a": torch.ones(1), "b": torch.ones(1, device="meta")}, tmp_path / "x.pt")
    with pytest.raises(ValueError, match=r"got b \(no data\) as well"):
        interop.load_torch(tmp_path / "x.pt")


@pytest.mark.parametrize(
    "head",
    [torch.tensor(3.0), torch.ones(1).expand(10**7, 512), torch.ones(5), torch.ones(0, 512), torch.ones(5, 512, 1)],
)
def test_weights_whose_head_is_none(tmp_path, head):
    torch.save({"fc.weight": head}, tmp_path / "x.pt")
    with pytest.raises(DataError, match=r"--weights .*x\.pt: cannot be used for resnet18: its fc\.weight has shape"):
        _pretrained.read_backbone("resnet18", str(tmp_path / "x.pt"), torch.device("cpu"))


# ---------------------------------------------------------------- damaged files


def picture(form, **options):
    pixels = (np.add.outer(np.arange(24), np.arange(20)) * 5).astype(np.uint8)
    file = io.BytesIO()
    gray = Image.fromarray(pixels)
    gray = Image.fromarray(pixels.astype(np.uint16) * 257) if options.pop("deep", False) else gray
    options.pop("color", False) and (gray := Image.merge("RGB", [gray] * 3))
    gray.save(file, form, **options)
    return file.getvalue()


def camera():
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x8769] = 6, "hello", {36867: "2020:01:01"}
    return exif


def torch_file(**options):
    file = io.BytesIO()
    torch.save(WEIGHTS, file, **options)
    return file.getvalue()


def safetensors_file(folder):
    save_file(WEIGHTS, folder / "whole")
    return (folder / "whole").read_bytes()


def table(separator, quote=""):
    cells = [[f"{quote}{10 * i + j}.5e0{quote}" for j in range(4)] for i in range(6)]
    return "\n".join(separator.join(row) for row in [list("abcd"), *cells]).encode()


IDX = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, *range(24)])
PICTURES = {
    "png": lambda _: picture("PNG"),
    "deep.png": lambda _: picture("PNG", deep=True),
    "color.png": lambda _: picture("PNG", color=True),
    "jpg": lambda _: picture("JPEG", color=True, exif=camera()),
    "gif": lambda _: picture("GIF", transparency=3),
    "bmp": lambda _: picture("BMP"),
    "tiff": lambda _: picture("TIFF"),
    "lzw.tiff": lambda _: picture("TIFF", compression="tiff_lzw", deep=True),
    "webp": lambda _: picture("WEBP", color=True),
    "ppm": lambda _: picture("PPM", color=True),
}
READERS = {name: (make, load, DataError) for name, make in PICTURES.items() for load in (data.load_digit,)}
READERS |= {f"{name}, plain": (make, data.load_image, DataError) for name, make in PICTURES.items()}
READERS |= {
    "csv": (lambda _: table(","), data.read_table, DataError),
    "tsv": (lambda _: table("\t", '"'), lambda path: data.read_table(path, delimiter="\t", missing=0.0), DataError),
    "white space": (lambda _: table("  "), lambda path: data.read_table(path, delimiter=None), DataError),
    "text table": (lambda _: table(",", '"'), data.read_text_table, DataError),
    "text": (lambda _: "Müller\nDvořák\n".encode(), data.read_text, DataError),
    "csv.gz": (lambda _: gzip.compress(table(",")), data.read_table, DataError),
    "idx": (lambda _: IDX, lambda path: data.read_idx(path, dimensions=3), DataError),
    "idx.gz": (lambda _: gzip.compress(IDX), lambda path: data.read_idx(path, dimensions=3), DataError),
    "pt": (lambda _: torch_file(), interop.load_torch, ValueError),
    "legacy.pt": (lambda _: torch_file(_use_new_zipfile_serialization=False), interop.load_torch, ValueError),
    "safetensors": (safetensors_file, interop.load_safetensors, ValueError),
}
TIMES = 60


def damaged(whole, chance):
    """A file with some bytes changed, put in, left out, or cut off."""
    content = bytearray(whole)
    for _ in range(chance.choice((1, 1, 2, 5))):
        at = chance.randrange(len(content) + 1)
        kind = chance.randrange(5)
        if kind == 0:
            del content[at:]
        elif kind == 1:
            content[at:at] = chance.randbytes(chance.randint(1, 9))
        elif kind == 2:
            del content[at : at + chance.randint(1, 9)]
        elif at < len(content):
            content[at] = chance.choice((0, 255, chance.randrange(256), content[at] ^ 1 << chance.randrange(8)))
    return bytes(content)


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_one_error_or_a_result(name, tmp_path, recwarn):
    make, read, error = READERS[name]
    whole, chance = make(tmp_path), python_random.Random(name)
    path = tmp_path / f"x.{name.split(',')[0].split()[0]}"
    path.write_bytes(whole)
    read(path)
    refused = 0
    for _ in range(TIMES):
        content = damaged(whole, chance)
        path.write_bytes(content)
        try:
            read(path)
        except error as found:
            refused += 1
            message = str(found)
            assert str(path) in message
            assert "\n" not in message
            assert len(message) < 800
    assert refused
    assert not recwarn.list
