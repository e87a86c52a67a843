"""Pictures of every kind that Pillow knows are read with their own brightness, color and opacity, or refused."""

import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from funcdl.data import DataError, load_digit, load_image, photographs

LEVELS = np.arange(0, 240, 10, dtype=np.uint8).reshape(4, 6)  # what 8 bits of each picture below show
GRAY = torch.from_numpy(LEVELS)[None]
DEEP = LEVELS.astype(np.uint16) * 257


def png(width, height, bits, color, rows, transparent=b""):
    """A PNG file of these rows of bytes, which Pillow does not write in every form."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    clear = chunk(b"tRNS", transparent) if transparent else b""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + clear + chunk(b"IDAT", data) + chunk(b"IEND", b"")


GRAYS = {  # how it is saved, and the end of the file's name
    "16 bits": (lambda: Image.fromarray(DEEP), "png"),
    "16 bits, TIFF": (lambda: Image.fromarray(DEEP), "tiff"),
    "16 bits, big end first": (lambda: Image.fromarray(DEEP.astype(">u2")), "tiff"),
    "16 bits, PPM": (lambda: Image.fromarray(DEEP), "pgm"),
    "32 bits of a byte": (lambda: Image.fromarray(LEVELS).convert("I"), "tiff"),
    "32 bits of two bytes": (lambda: Image.fromarray(DEEP.astype(np.int32)), "tiff"),
    "32 bits": (lambda: Image.fromarray((LEVELS / 255 * (2**31 - 1)).astype(np.int32)), "tiff"),
    "floats in [0, 1]": (lambda: Image.fromarray(LEVELS.astype(np.float32) / 255), "tiff"),
    "floats of a byte": (lambda: Image.fromarray(LEVELS).convert("F"), "tiff"),
    "floats of two bytes": (lambda: Image.fromarray(DEEP.astype(np.float32)), "tiff"),
    "8 bits": (lambda: Image.fromarray(LEVELS), "png"),
}


@pytest.mark.parametrize("kind", GRAYS)
def test_gray_of_any_depth_keeps_its_brightness(kind, tmp_path):
    make, ending = GRAYS[kind]
    path = tmp_path / f"gray.{ending}"
    make().save(path)
    image = load_image(path)
    assert image.dtype == torch.uint8
    assert torch.equal(image, GRAY)


def test_gray_of_16_bits_is_rounded_to_the_nearest_of_8(tmp_path):
    values = np.array([[0, 128, 129, 255, 256, 300, 32767, 32768, 65406, 65407, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "gray.png")
    assert load_image(tmp_path / "gray.png").tolist() == [(values / 257).round().astype(int).tolist()]


@pytest.mark.parametrize(
    ("values", "tags"),
    [
        (DEEP // 16, {258: 12}),  # packed below
        (65535 - DEEP, {262: 0}),
        ((LEVELS.astype(np.int64) * 32767 // 255).astype(np.int16), {339: 2}),
        ((LEVELS.astype(np.int64) * (2**32 - 1) // 255).astype(np.uint32), {}),
    ],
    ids=["12 bits", "white is zero", "signed 16 bits", "unsigned 32 bits"],
)
def test_tiff_says_what_its_numbers_mean(values, tags, tmp_path):
    path = tmp_path / "gray.tiff"
    content = values.tobytes()
    if tags.get(258) == 12:
        first, second = values.reshape(-1, 2).T
        content = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], 1).astype(np.uint8).tobytes()
    path.write_bytes(tiff(6, 4, {258: 8 * values.itemsize} | tags, content))
    assert (load_image(path).int() - GRAY.int()).abs().max() <= (tags.get(258) == 12)


def tiff(width, height, tags, content):
    """A TIFF file of one strip of gray."""
    tags = {256: width, 257: height, 259: 1, 262: 1, 273: 0, 277: 1, 278: height, 279: len(content), 339: 1} | tags
    tags[273] = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, tags[tag]) for tag in sorted(tags))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + b"\0\0\0\0" + content


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[0.0, np.nan]], dtype=np.float32), "has values from nan to nan, expected"),
        (np.array([[0.0, np.inf]], dtype=np.float32), r"has values from 0 to inf, expected .* or \[0, 65535\]"),
        (np.array([[-0.5, 0.5]], dtype=np.float32), r"has values from -0.5 to 0.5, expected \[0, 1\]"),
        (np.array([[0.0, 1.01]], dtype=np.float32), r"has values from 0 to 1.01, expected .*; scale or clip them"),
        (np.array([[0.0, 1e6]], dtype=np.float32), r"has values from 0 to 1e\+06"),
        (np.array([[-1, 7]], dtype=np.int32), r"has values from -1 to 7, expected \[0, 255\] or \[0, 65535\]"),
    ],
)
def test_numbers_of_no_brightness_are_refused(values, message, tmp_path):
    path = tmp_path / "gray.tiff"
    Image.fromarray(values).save(path)
    for load in (load_image, load_digit):
        with pytest.raises(DataError, match=rf"gray\.tiff {message}"):
            load(path)


def shown(picture, path, **options):
    picture.save(path, **options)
    return load_image(path).movedim(0, -1).tolist()


def test_colors_and_opacity_of_every_mode(tmp_path):
    red, green = (200, 90, 80), (90, 200, 120)
    pair = Image.new("RGB", (2, 1), red)
    pair.putpixel((1, 0), green)
    half = pair.copy()
    half.putalpha(Image.fromarray(np.array([[255, 100]], dtype=np.uint8)))
    png_file, tiff_file = tmp_path / "x.png", tmp_path / "x.tiff"
    assert shown(Image.fromarray(np.array([[0, 255]], dtype=np.uint8)).convert("1"), png_file) == [[[0], [255]]]
    assert shown(pair, png_file) == [[[*red], [*green]]]
    assert shown(half, png_file) == [[[*red, 255], [*green, 100]]]
    assert shown(pair.convert("RGBX"), tiff_file) == [[[*red], [*green]]]
    assert shown(pair.convert("CMYK"), tiff_file) == [[[*red], [*green]]]
    gray = Image.fromarray(np.array([[[70, 255], [90, 8]]], dtype=np.uint8), "LA")
    assert shown(gray, png_file) == [[[70, 70, 70, 255], [90, 90, 90, 8]]]
    palette = pair.quantize(2)
    first = palette.getpixel((0, 0))
    assert shown(palette, png_file) == [[[*red], [*green]]]
    assert shown(palette, png_file, transparency=first) == [[[*red, 0], [*green, 255]]]
    assert shown(palette, tmp_path / "x.gif", transparency=first)[0][1] == [*green, 255]
    alphas = bytes([77, 128] if first == 0 else [128, 77])
    assert shown(palette, png_file, transparency=alphas) == [[[*red, 77], [*green, 128]]]
    for mode in ("YCbCr", "LAB"):
        if mode == "LAB":
            profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
            converted = ImageCms.profileToProfile(pair, *profiles, outputMode="LAB")
        else:
            converted = pair.convert(mode)
        back = torch.tensor(shown(converted, tiff_file))
        assert (back - torch.tensor([[red, green]])).abs().max() < 8


@pytest.mark.parametrize(
    ("bits", "color", "rows", "clear", "expected"),
    [
        (8, 0, [bytes([7, 9])], (7,), [[7, 7, 7, 0], [9, 9, 9, 255]]),
        (4, 0, [bytes([0x79])], (7,), [[119] * 3 + [0], [153] * 3 + [255]]),
        (2, 0, [bytes([0b01100000])], (1,), [[85] * 3 + [0], [170] * 3 + [255]]),
        (1, 0, [bytes([0b01000000])], (1,), [[0, 0, 0, 255], [255, 255, 255, 0]]),
        (16, 0, [struct.pack(">HH", 30000, 30001)], (30000,), [[117] * 3 + [0], [117] * 3 + [255]]),
        (8, 2, [bytes([1, 2, 3, 4, 5, 6])], (4, 5, 6), [[1, 2, 3, 255], [4, 5, 6, 0]]),
        (16, 2, [struct.pack(">6H", 257, 514, 771, 1028, 1285, 1542)], (257, 514, 771), [[1, 2, 3, 0], [4, 5, 6, 255]]),
        (16, 2, [struct.pack(">6H", 257, 514, 771, 1028, 1285, 1542)], (), [[1, 2, 3], [4, 5, 6]]),
        (16, 4, [struct.pack(">4H", 257, 514, 771, 1028)], (), [[1, 1, 1, 2], [3, 3, 3, 4]]),
        (16, 6, [struct.pack(">8H", *(257 * i for i in range(8)))], (), [[0, 1, 2, 3], [4, 5, 6, 7]]),
    ],
)
def test_a_png_of_any_depth_with_and_without_a_clear_color(bits, color, rows, clear, expected, tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(png(2, 1, bits, color, rows, b"".join(struct.pack(">H", value) for value in clear)))
    assert load_image(path).movedim(0, -1).tolist() == [expected]


def test_photographs_and_digits_of_16_bits(tmp_path):
    for number, place in enumerate(("train/ants", "train/bees", "val/ants", "val/bees")):
        (tmp_path / "set" / place).mkdir(parents=True)
        values = np.full((40, 40), 257 * (50 + number), dtype=np.uint16)
        Image.fromarray(values).save(tmp_path / "set" / place / "one.png")
    split = photographs(tmp_path, name="set", size=28, workers=0).split
    assert [int(image.unique()) for part in split for image in part[0]] == [50, 51, 52, 53]
    stroke = np.zeros((60, 60), dtype=np.uint8)
    stroke[10:50, 25:33] = 200
    Image.fromarray(stroke).save(tmp_path / "8.png")
    for name, picture in (
        ("16.png", Image.fromarray(stroke.astype(np.uint16) * 257)),
        ("32.tiff", Image.fromarray(stroke).convert("I")),
        ("float.tiff", Image.fromarray(stroke).convert("F")),
        ("unit.tiff", Image.fromarray(stroke.astype(np.float32) / 255)),
    ):
        picture.save(tmp_path / name)
        assert torch.equal(load_digit(tmp_path / name), load_digit(tmp_path / "8.png"))
