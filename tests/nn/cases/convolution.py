import torch

from funcdl import nn
from tests.nn.cases.case import Case, image, sequence, volume

T = torch.nn

CHANNELS = 4  # of every input


def case(name, shape, *args, **arguments):
    """A case whose twin is the class of that name, with the same arguments and the number of input channels first."""
    twin = getattr(T, name.replace("conv_transpose", "ConvTranspose").replace("conv", "Conv"))
    return Case(getattr(nn, name)(*args, **arguments), lambda: twin(CHANNELS, *args, **arguments), shape)


CASES = {
    "conv1d": [
        case("conv1d", sequence, 6, 3),
        case("conv1d", sequence, 6, 3, 2, 1, 2, 2, False),
        case("conv1d", sequence, 5, 4, padding="same", dilation=2),
        *(
            case("conv1d", sequence, 3, 5, padding=2, padding_mode=mode)
            for mode in ("reflect", "replicate", "circular")
        ),
    ],
    "conv2d": [
        case("conv2d", image, 6, 3),
        case("conv2d", image, 6, (3, 2), (2, 1), (1, 0)),
        case("conv2d", image, 6, [2, 3], dilation=(2, 3), groups=2),
        case("conv2d", image, 8, 3, groups=4, bias=False),
        case("conv2d", image, 5, 4, padding="same"),
        case("conv2d", image, 5, 3, padding="valid"),
        *(case("conv2d", image, 3, 3, 2, (1, 2), padding_mode=mode) for mode in ("reflect", "replicate", "circular")),
        case("conv2d", image, 3, (4, 3), padding="same", padding_mode="reflect"),
    ],
    "conv3d": [
        case("conv3d", volume, 6, 3),
        case("conv3d", volume, 6, (1, 3, 2), (1, 2, 1), (0, 1, 2), (1, 1, 2), 2, bias=False),
        case("conv3d", volume, 2, (2, 3, 1), padding="same"),
        *(
            case("conv3d", volume, 2, 2, 1, (0, 1, 2), padding_mode=mode)
            for mode in ("reflect", "replicate", "circular")
        ),
    ],
    "conv_transpose1d": [
        case("conv_transpose1d", sequence, 6, 3),
        case("conv_transpose1d", sequence, 6, 4, 3, 1, 2, 2, False),
        case("conv_transpose1d", sequence, 2, 3, 1, padding=2, output_padding=1, dilation=2),
    ],
    "conv_transpose2d": [
        case("conv_transpose2d", image, 6, 3),
        case("conv_transpose2d", image, 3, (3, 2), (2, 3), (1, 0), (1, 2)),
        case("conv_transpose2d", image, 8, 3, 2, groups=4, bias=False),
        case("conv_transpose2d", image, 6, 2, groups=2, dilation=(1, 3), output_padding=(0, 2)),
    ],
    "conv_transpose3d": [
        case("conv_transpose3d", volume, 3, 2),
        case("conv_transpose3d", volume, 6, (1, 3, 2), (1, 2, 2), (0, 1, 0), (0, 1, 1), 2, dilation=(1, 1, 2)),
    ],
}
