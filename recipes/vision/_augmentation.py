"""Digits altered by chance while a network is trained, so that it learns more hands and pens than the data has."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure
from torch import Tensor

from funcdl import nn, random, tree

TURN, SLANT, SIZE, SHIFT = 0.25, 0.3, 0.15, 2.0  # at most: radians, a share of the height, of the size, pixels
BEND, CELLS = 0.8, 5  # pixels by which a place is moved, on average; places in a row of the image
SHARPEN = 2.5  # times the contrast at the edge of a stroke, at most, is this and 1


def augmented(model: nn.Layer, black: float, white: float) -> nn.Layer:
    """The same network, which is shown altered digits in training and digits as they are in use.

    Args:
        model: images in.
        black: the value of a pixel without ink in these images.
        white: the value of full ink.
    """

    def apply(
        params: tree.Tree, buffers: tree.Tree, x: Tensor, *, key: Tensor | None = None, train: bool = False
    ) -> tuple[Tensor, tree.Tree]:
        if train:
            if key is None:
                raise ValueError("augmented: draws random numbers in training; pass key=")
            alter_key, key = random.split(key).unbind()
            ink = altered(alter_key, (x.float() - black) / (white - black))
            x = (ink * (white - black) + black).to(x.dtype)
        return model.apply(params, buffers, x, key=key, train=train)

    return nn.Layer(model.init, apply)


def altered(key: Tensor, ink: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n 1 h w"]:
    """Draws thinner or thicker strokes, turns, slants, scales, moves and bends each image, and sharpens its edges.

    The ink is from 0 to 1.

    >>> image = torch.zeros(2, 1, 28, 28)
    >>> image[:, :, 8:20, 13:15] = 1
    >>> changed = altered(random.key(0), image)
    >>> changed.shape, bool((changed >= 0).all() and (changed <= 1).all()), torch.equal(changed[0], changed[1])
    (torch.Size([2, 1, 28, 28]), True, False)
    """
    stroke_key, place_key, bend_key, edge_key = random.split(key, 4).unbind()
    n = len(ink)
    share = random.uniform(stroke_key, (n, 1, 1, 1), low=-1, high=1)
    thick, thin = F.max_pool2d(ink, 3, 1, 1), -F.max_pool2d(-ink, 3, 1, 1)
    ink = torch.lerp(ink, torch.where(share > 0, thick, thin), share.abs())
    ink = F.grid_sample(ink, _places(place_key, ink) + _bends(bend_key, ink), align_corners=False)
    contrast = random.uniform(edge_key, (n, 1, 1, 1), low=1, high=SHARPEN)
    return ((ink / ink.amax((1, 2, 3), keepdim=True).clamp(min=0.1) - 0.5) * contrast + 0.5).clamp(0, 1)


def picture(key: Tensor, images: UInt8[Tensor, "n 1 28 28"]) -> Figure:
    """The images as they are, and below as the network might be shown them in three epochs."""
    ink = images.float() / 255
    rows = [ink, *(altered(one, ink) for one in random.split(key, 3).unbind())]
    figure = Figure(figsize=(1.1 * len(images), 5), layout="constrained")
    figure.suptitle("Training digits as they are (top row), and as the network is shown them")
    for axes, image in zip(figure.subplots(len(rows), len(images)).flat, torch.cat(rows), strict=True):
        axes.imshow(image[0].numpy(force=True), cmap="gray", vmin=0, vmax=1)
        axes.set_axis_off()
    return figure


def _places(key: Tensor, ink: Tensor) -> Tensor:
    """Where each pixel of the result is taken from, for a random linear map and a shift, an image each."""
    turn, slant, wide, high, right, down = random.uniform(key, (6, len(ink)), low=-1, high=1).unbind()
    cosine, sine = torch.cos(TURN * turn), torch.sin(TURN * turn)
    wide, high, pixel = 1 + SIZE * wide, 1 + SIZE * high, 2 / ink.shape[-1]
    rows = (
        torch.stack([cosine * wide, (SLANT * slant - sine) * high, SHIFT * pixel * right], 1),
        torch.stack([sine * wide, cosine * high, SHIFT * pixel * down], 1),
    )
    return F.affine_grid(torch.stack(rows, 1), list(ink.shape), align_corners=False)


def _bends(key: Tensor, ink: Tensor) -> Tensor:
    """How far each pixel is moved besides: smoothly, as if the paper were of rubber."""
    coarse = random.normal(key, (len(ink), 2, CELLS, CELLS)) * BEND * 2 / ink.shape[-1]
    return F.interpolate(coarse, ink.shape[-2:], mode="bicubic", align_corners=True).permute(0, 2, 3, 1)
