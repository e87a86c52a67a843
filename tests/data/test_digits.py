import numpy as np
import pytest
import torch
from PIL import Image

from funcdl.data import digits


@pytest.fixture(scope="module")
def split():
    return digits()


def test_shapes_and_types(split):
    for (images, labels), count in ((split.train, 1442), (split.test, 355)):
        assert images.shape == (count, 1, 28, 28)
        assert labels.shape == (count,)
        assert images.dtype == torch.uint8
        assert labels.dtype == torch.int64
        assert images.is_contiguous()


def test_it_is_the_same_every_time(split):
    again = digits()
    for part, other in zip(split, again, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(part, other, strict=True))


def test_the_classes_have_equal_shares(split):
    train, test = split.train[1].bincount(), split.test[1].bincount()
    assert torch.equal(test, (train + test) // 5)
    assert (train + test).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_no_image_is_in_both_parts(split):
    train = {image.numpy().tobytes() for image in split.train[0]}
    assert not any(image.numpy().tobytes() in train for image in split.test[0])


def test_it_looks_like_mnist(split):
    """MNIST has a mean of 0.1307, deviation of 0.3081, full ink in each image, and its centre of mass at 14 +- 0.5."""
    for images, _ in split:
        ink = images[:, 0].double() / 255
        assert 0.12 < ink.mean() < 0.18
        assert 0.28 < ink.std() < 0.34
        assert ink.amax((1, 2)).min() > 0.95
        places = torch.arange(28.0, dtype=torch.float64)
        mass = ink.sum((1, 2))
        for profile in (ink.sum(2), ink.sum(1)):
            assert ((profile @ places) / mass - 14).abs().max() < 0.51


def test_each_image_is_its_original_enlarged_to_20_pixels(split):
    """The first ten originals, one of each digit and all in the training part, stand whole in the first ten images."""
    from sklearn.datasets import load_digits

    originals = load_digits().images[:10].astype(np.float32)
    assert split.train[1][:10].tolist() == list(range(10))
    for image, original in zip(split.train[0][:10, 0].double(), originals, strict=True):
        enlarged = np.asarray(Image.fromarray(original).resize((20, 20), Image.Resampling.BICUBIC))
        windows = image.unfold(0, 20, 1).unfold(1, 20, 1).reshape(-1, 400)
        together = torch.cat([torch.from_numpy(enlarged.copy()).double().reshape(1, 400), windows])
        assert torch.corrcoef(together)[0, 1:].max() > 0.985


def test_class_means_of_the_training_set_classify_the_test_set(split):
    """Nearest class mean: above 85 % only if images and labels belong together in both parts."""
    (images, labels), (test_images, test_labels) = split
    means = torch.stack([images[labels == digit].float().mean(0).flatten() for digit in range(10)])
    predicted = torch.cdist(test_images.float().flatten(1), means).argmin(1)
    assert (predicted == test_labels).float().mean() > 0.85
