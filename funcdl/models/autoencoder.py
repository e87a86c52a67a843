"""An autoencoder of linear layers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from funcdl import nn
from funcdl.models.mlp import mlp
from funcdl.nn import Layer


def autoencoder(shape: Sequence[int] = (1, 28, 28), widths: Sequence[int] = (128, 64, 12, 3)) -> Layer:
    """An autoencoder: compresses images to a code of a few numbers, and reconstructs them: `decoder(encoder(x))`.

    Args:
        shape: the shape of one image.
        widths: the sizes of the encoder's layers; the last is the size of the code. The decoder has them in reverse.

    Input (batch, *shape), output likewise, with values in (0, 1). The activation is tanh. Parameters: `encoder`
    and `decoder`, each as in `mlp`; `mlp(*widths, activation=torch.tanh)(params["encoder"], images)` is the code.

    Source: Hinton and Salakhutdinov, "Reducing the dimensionality of data with neural networks", 2006.

    >>> import torch
    >>> from funcdl import random
    >>> model, images = autoencoder(), torch.zeros(5, 1, 28, 28)
    >>> params, buffers = model.init(random.key(0), images)
    >>> model(params, images).shape, params["encoder"]["7"]["weight"].shape
    (torch.Size([5, 1, 28, 28]), torch.Size([3, 12]))
    """
    return nn.serial(
        encoder=mlp(*widths, activation=nn.tanh()),
        decoder=mlp(*reversed(widths[:-1]), math.prod(shape), activation=nn.tanh()),
        sigmoid=nn.sigmoid(),
        unflatten=nn.unflatten(1, shape),
    )
