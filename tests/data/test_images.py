import os

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps

from funcdl.data import DataError, data_dir, digits, load_digit, mnist
from funcdl.data.digit_images import center


@pytest.fixture(scope="module")
def samples():
    """uint8 (20, 28, 28): two images of each digit."""
    images, labels = digits().train
    return torch.cat([images[labels == digit][:2, 0] for digit in range(10)])


def enlarged(image, side):
    return Image.fromarray(image.numpy()).resize((side, side), Image.Resampling.BICUBIC)


def transparent(picture, color):
    drawn = Image.new("RGBA", picture.size, color)
    drawn.putalpha(picture)
    return drawn


def paper_with_clear_corners(picture):
    sheet = ImageOps.invert(ImageOps.expand(picture, 30)).convert("RGBA")
    mask = Image.new("L", sheet.size, 0)
    ImageDraw.Draw(mask).ellipse([0, 0, sheet.width - 1, sheet.height - 1], fill=255)
    sheet.putalpha(mask)
    return sheet


def palette_with_transparency(picture):
    quantized = picture.point(lambda v: 255 * (v > 127)).convert("P")
    quantized.info["transparency"] = 0
    return quantized


def sixteen_bits(picture):
    return Image.fromarray(np.asarray(picture).astype(np.uint16) * 257)


VARIANTS = {
    "odd size": lambda image: enlarged(image, 91),
    "smaller": lambda image: enlarged(image, 24),
    "dark on light": lambda image: ImageOps.invert(enlarged(image, 140)),
    "dark on light at 28": lambda image: ImageOps.invert(Image.fromarray(image.numpy())),
    "off centre, not square": lambda image: ImageOps.expand(enlarged(image, 200), (90, 10, 10, 55)),
    "red on yellow": lambda image: ImageOps.colorize(enlarged(image, 140), (250, 240, 120), (180, 20, 20)),
    "faint": lambda image: ImageOps.colorize(enlarged(image, 140), (120, 120, 120), (160, 160, 160)),
    "on dark gray at 28": lambda image: ImageOps.colorize(Image.fromarray(image.numpy()), (60,) * 3, (200,) * 3),
    "16 bits": lambda image: sixteen_bits(enlarged(image, 99)),
    "16 bits, dark on light": lambda image: sixteen_bits(ImageOps.invert(enlarged(image, 99))),
    "black ink, no paper": lambda image: transparent(enlarged(image, 120), "black"),
    "white ink, no paper": lambda image: transparent(enlarged(image, 120), "white"),
    "round paper": lambda image: paper_with_clear_corners(enlarged(image, 120)),
    "gray with alpha": lambda image: transparent(enlarged(image, 120), "blue").convert("LA"),
    "palette": lambda image: ImageOps.invert(enlarged(image, 112)).convert("P"),
    "palette with a clear color": lambda image: palette_with_transparency(enlarged(image, 112)),
    "black and white": lambda image: enlarged(image, 112).point(lambda v: 255 * (v > 127)).convert("1"),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_however_it_was_saved_the_digit_is_the_same(samples, variant, tmp_path):
    path = tmp_path / "digit.png"
    for image in samples:
        VARIANTS[variant](image).save(path)
        loaded = load_digit(path)
        assert loaded.shape == (1, 28, 28)
        assert loaded.dtype == torch.uint8
        assert loaded.max() == 255
        assert_similar(loaded[0], image)


def test_jpeg_and_cmyk(samples, tmp_path):
    for image in samples[::4]:
        ImageOps.invert(enlarged(image, 140)).convert("CMYK").save(tmp_path / "digit.jpg", quality=80)
        assert_similar(load_digit(str(tmp_path / "digit.jpg"))[0], image)


def test_the_exif_orientation_is_applied(samples, tmp_path):
    image = samples[4]
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it turned clockwise
    enlarged(image, 140).transpose(Image.Transpose.ROTATE_90).save(tmp_path / "digit.jpg", exif=exif, quality=95)
    assert_similar(load_digit(tmp_path / "digit.jpg")[0], image)


def assert_similar(loaded, image, least=0.9):
    """Their correlation is high, up to the pixel that rounding may have moved the centre of mass by."""
    shifted = [loaded.roll((down, right), (0, 1)) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    rows = torch.stack([image.flatten(), *(picture.flatten() for picture in shifted)]).double()
    assert torch.corrcoef(rows)[0, 1:].max() > least


def test_the_measure_of_similarity_detects_wrong_images(samples):
    for image in samples:
        for wrong in (image.rot90(), image.roll(3, 0), 255 - image):
            with pytest.raises(AssertionError):
                assert_similar(wrong, image)


def test_an_image_like_mnists_is_returned_unchanged(samples, tmp_path):
    for image in samples:
        Image.fromarray(image.numpy()).save(tmp_path / "digit.png")
        assert torch.equal(load_digit(tmp_path / "digit.png")[0], image)
        Image.fromarray(image.numpy()).convert("RGB").save(tmp_path / "digit.png")
        assert torch.equal(load_digit(tmp_path / "digit.png")[0], image)


def test_real_mnist_survives_being_saved(tmp_path):
    if "FUNCDL_DATA" not in os.environ:
        pytest.skip("FUNCDL_DATA is not set, so there is no real MNIST to read")
    if not (data_dir() / "MNIST" / "raw").exists():
        pytest.skip(f"no MNIST in {data_dir()}")
    for image in mnist().test[0][:60, 0]:
        Image.fromarray(image.numpy()).save(tmp_path / "digit.png")
        assert torch.equal(load_digit(tmp_path / "digit.png")[0], image)
        for variant in ("odd size", "dark on light", "red on yellow", "16 bits, dark on light", "round paper"):
            VARIANTS[variant](image).save(tmp_path / "digit.png")
            assert_similar(load_digit(tmp_path / "digit.png")[0], image, least=0.85)


@pytest.mark.parametrize("digit", range(10))
def test_typed_digits_are_scaled_and_centered_as_in_mnist(digit, tmp_path):
    for size, at, paper, ink in ((40, (5, 5), "white", "black"), (90, (60, 8), "navy", "orange")):
        picture = Image.new("RGB", (160, 120), paper)
        ImageDraw.Draw(picture).text(at, str(digit), fill=ink, font=ImageFont.load_default(size))
        picture.save(tmp_path / "digit.png")
        image = load_digit(tmp_path / "digit.png")[0].double()
        rows, columns = image.amax(1).nonzero()[:, 0], image.amax(0).nonzero()[:, 0]
        extent = (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1)
        assert 19 <= max(extent) <= 20
        assert extent[0] > extent[1]  # the proportions stay
        for profile in (image.sum(1), image.sum(0)):
            assert abs(profile @ torch.arange(28.0, dtype=torch.float64) / image.sum() - 14) <= 0.51
        assert image[0].max() == image[-1].max() == 0


def test_a_thin_stroke_keeps_its_ink(tmp_path):
    picture = Image.new("L", (1000, 1400), 255)
    ImageDraw.Draw(picture).line([(500, 200), (500, 1200)], fill=0, width=8)
    picture.save(tmp_path / "digit.png")
    image = load_digit(tmp_path / "digit.png")[0]
    assert (image == 255).any(1).sum() >= 18


def test_a_digit_that_fills_the_picture(tmp_path):
    Image.new("L", (3, 3), 0).save(tmp_path / "blank.png")
    picture = Image.new("L", (5, 50), 0)
    ImageDraw.Draw(picture).rectangle([1, 0, 3, 49], fill=255)
    picture.save(tmp_path / "digit.png")
    assert load_digit(tmp_path / "digit.png")[0].amax(1).count_nonzero() == 20


@pytest.mark.parametrize(
    ("size", "mode", "color"),
    [
        ((40, 30), "L", 255),
        ((40, 30), "RGB", "teal"),
        ((28, 28), "L", 0),
        ((1, 1), "L", 9),
        ((9, 9), "I;16", 4000),
        ((40, 30), "RGBA", (0, 0, 0, 0)),
        ((40, 30), "RGBA", (200, 0, 0, 255)),
    ],
)
def test_blank_pictures_are_refused(size, mode, color, tmp_path):
    Image.new(mode, size, color).save(tmp_path / "blank.png")
    message = rf"blank\.png shows one even surface of {size[0]} x {size[1]} pixels, expected a digit on a plain"
    with pytest.raises(DataError, match=message):
        load_digit(tmp_path / "blank.png")


def test_noise_alone_is_blank(tmp_path):
    noise = torch.randint(118, 128, (50, 50), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    Image.fromarray(noise.numpy()).save(tmp_path / "noise.png")
    with pytest.raises(DataError, match="one even surface"):
        load_digit(tmp_path / "noise.png")


def test_files_that_are_no_images(tmp_path):
    with pytest.raises(DataError, match=r"absent.png does not exist; pass the path of a picture"):
        load_digit(tmp_path / "absent.png")
    (tmp_path / "text.png").write_text("not a picture")
    with pytest.raises(DataError, match=r"text.png is not an image that Pillow can read; pass a PNG or JPEG file"):
        load_digit(tmp_path / "text.png")
    with pytest.raises(DataError, match=r"cannot be read as an image \(.*Is a directory"):
        load_digit(tmp_path)


@pytest.mark.parametrize("name", ["digit.png", "digit.jpg", "digit.bmp"])
def test_truncated_images(samples, name, tmp_path):
    enlarged(samples[0], 300).save(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    for kept in (len(content) // 2, 60):
        (tmp_path / name).write_bytes(content[:kept])
        with pytest.raises(DataError, match=rf"{name} (cannot be read as an image|is not an image)"):
            load_digit(tmp_path / name)


def test_center_moves_each_center_of_mass_to_14_and_loses_no_ink():
    generator = torch.Generator().manual_seed(0)
    ink = torch.rand(50, 20, 20, generator=generator) * (torch.rand(50, 20, 1, generator=generator) > 0.6)
    placed = center(ink)
    assert placed.shape == (50, 28, 28)
    assert torch.equal(placed.flatten(1).sort().values[:, -400:], ink.flatten(1).sort().values)
    corner = torch.zeros(2, 20, 20)
    corner[0, 0, 0] = corner[1, 19, 19] = 1.0  # more than the margin away: as near as the frame allows
    assert center(corner).nonzero().tolist() == [[0, 8, 8], [1, 19, 19]]
    assert torch.equal(center(torch.zeros(1, 20, 20)), torch.zeros(1, 28, 28))
