"""Photographs in class folders: the views, the order, and what is said of files that are none."""

import numpy as np
import pytest
import torch
from PIL import Image

from funcdl.data import DataError, photographs

PLACES = ("train/ants", "train/bees", "val/ants", "val/bees")


@pytest.fixture
def root(tmp_path):
    """Five photographs in each class folder, all different: noise on red for ants, on blue for bees."""
    generator = np.random.default_rng(0)
    for place in PLACES:
        folder = tmp_path / "hymenoptera_data" / place
        folder.mkdir(parents=True)
        for number in range(5):
            pixels = generator.integers(0, 120, (36, 48, 3), dtype=np.uint8)
            pixels[..., 0 if place.endswith("ants") else 2] += 120
            Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path


def read(root, **arguments):
    return photographs(root, **{"size": 28, "workers": 0, **arguments})


def test_classes_in_order_and_files_in_order(root):
    (images, labels), (test_images, test_labels) = read(root).split
    assert images.shape == test_images.shape == (10, 3, 28, 28)
    assert images.dtype == torch.uint8
    assert labels.tolist() == test_labels.tolist() == [0] * 5 + [1] * 5
    means = images.float().mean((2, 3))
    assert torch.equal(means.argmax(1), 2 * labels)  # red, blue
    # The middle of the picture as it is: a short side of 36 is scaled to 32, of which 28 are kept.
    whole = np.asarray(
        Image.open(root / "hymenoptera_data/train/ants/0.png").resize((42, 32), Image.Resampling.BILINEAR)
    )
    middle = torch.from_numpy(whole[2:30, 7:35].copy()).movedim(-1, 0)
    assert (images[0].int() - middle.int()).abs().max() <= 2


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(root, workers):
    alone, helped = read(root, views=3, seed=4), read(root, views=3, seed=4, workers=workers)
    for one, other in zip(alone.split, helped.split, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_views_are_the_photograph_and_parts_of_it_drawn_from_the_seed(root):
    before = torch.get_rng_state()
    plain, three, other = read(root), read(root, views=3), read(root, views=3, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert three.split.train[0].shape == (30, 3, 28, 28)
    assert three.split.train[1].tolist() == [0] * 15 + [1] * 15
    assert torch.equal(three.split.train[0][::3], plain.split.train[0])
    assert torch.equal(three.split.test[0], plain.split.test[0])  # never drawn
    drawn = three.split.train[0].unflatten(0, (10, 3))[:, 1:].flatten(0, 1)
    assert len(drawn.flatten(1).unique(dim=0)) == 20
    assert not torch.equal(three.split.train[0][1], other.split.train[0][1])
    assert torch.equal(three.split.train[0], read(root, views=3).split.train[0])


def test_gray_and_transparent_photographs_have_three_channels(root):
    folder = root / "hymenoptera_data" / "train" / "ants"
    Image.new("L", (40, 40), 77).save(folder / "0.png")
    Image.new("RGBA", (40, 40), (10, 20, 30, 128)).save(folder / "1.png")
    Image.new("CMYK", (40, 40)).save(folder / "2.JPG")
    (folder / "2.png").unlink()
    (folder / "notes.txt").write_text("not a photograph, and not named as one")
    images = read(root).split.train[0]
    assert images.shape == (10, 3, 28, 28)
    assert (images[0] == 77).all()
    assert images[1].amax((1, 2)).tolist() == [10, 20, 30]
    assert (images[2] == 255).all()  # no ink


@pytest.mark.parametrize("workers", [0, 2])
def test_unreadable_photographs_are_all_named_and_skipped_if_asked(root, workers):
    folder = root / "hymenoptera_data"
    (folder / "train/bees/1.png").write_text("no picture")
    cut = folder / "val/ants/3.png"
    cut.write_bytes(cut.read_bytes()[:200])
    with pytest.raises(DataError) as caught:
        read(root, workers=workers, views=2)
    message = str(caught.value)
    assert message.startswith("2 of the photographs cannot be used: ")
    assert message.count(str(folder / "train/bees/1.png")) == message.count(str(cut)) == 1
    assert "--skip-unreadable" in message
    assert "\n" not in message

    whole = read(root, workers=workers, views=2, skip_unreadable=True)
    assert whole.split.train[1].tolist() == [0] * 10 + [1] * 8
    assert whole.split.test[1].tolist() == [0] * 4 + [1] * 5
    assert [reason.split(" ")[0] for reason in whole.skipped] == [str(folder / "train/bees/1.png"), str(cut)]


def remove(folder):
    for file in sorted(folder.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    folder.rmdir()


def test_folders_that_are_missing_or_empty(root):
    folder = root / "hymenoptera_data"
    for number in range(5):
        (folder / f"train/ants/{number}.png").write_text("no picture")
    with pytest.raises(DataError, match=f"{folder / 'train/ants'} has no photograph that can be read"):
        read(root, skip_unreadable=True)
    for number in range(5):
        (folder / f"train/ants/{number}.png").unlink()
    with pytest.raises(DataError, match=r"ants has no photographs; put some there \(.jpg"):
        read(root)
    remove(folder / "train/ants")
    with pytest.raises(DataError, match=r"train needs a folder of photographs for each class.* has only 'bees'"):
        read(root)
    remove(folder / "train/bees")
    with pytest.raises(DataError, match="such as ants and bees, and has none"):
        read(root)
    remove(folder / "train")
    with pytest.raises(
        DataError, match=r"there is no folder .*train; get https://.*hymenoptera_data.zip and unpack it in"
    ):
        read(root)


def test_parts_with_other_classes(root):
    folder = root / "hymenoptera_data"
    (folder / "val/bees").rename(folder / "val/wasps")
    with pytest.raises(DataError, match=r"val has the classes ants, wasps, and .*train ants, bees; both need a folder"):
        read(root)
