import torch

from funcdl import nn
from tests.nn.cases.case import Case, image, sequence, volume

T = torch.nn


def upsample(shape, **arguments):
    return Case(nn.upsample(**arguments), lambda: T.Upsample(**arguments), shape, unbatched=False)


CASES = {
    "upsample": [
        upsample(sequence, scale_factor=2),
        upsample(image, size=5),
        upsample(volume, scale_factor=(1.5, 2, 0.7)),
        upsample(image, scale_factor=1.7, mode="nearest-exact"),
        upsample(sequence, scale_factor=2.3, mode="linear"),
        upsample(image, size=(12, 5), mode="bilinear", align_corners=True),
        upsample(image, scale_factor=(2.5, 0.6), mode="bilinear", align_corners=True),
        upsample(image, scale_factor=1.3, mode="bilinear", recompute_scale_factor=True),
        upsample(image, scale_factor=2.2, mode="bicubic", align_corners=False),
        upsample(volume, scale_factor=2, mode="trilinear"),
        upsample(volume, size=(4, 5, 3), mode="area"),
    ],
    "pixel_shuffle": [Case(nn.pixel_shuffle(2), lambda: T.PixelShuffle(2), (2, 8, 3, 4))],
    "pixel_unshuffle": [Case(nn.pixel_unshuffle(3), lambda: T.PixelUnshuffle(3), (2, 2, 6, 9))],
}
