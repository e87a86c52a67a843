import torch

from funcdl import nn
from tests.nn.cases.case import Case, image

T = torch.nn
sequence, volume = (3, 4, 7), (2, 4, 5, 3, 4)


def without_bias(module):
    """Torch before 2.12 has no `bias=False` here."""
    module.register_parameter("bias", None)
    return module


def batch_norms(constructor, twin, shape):
    return [
        Case(constructor(), lambda: twin(4), shape, unbatched=False),
        Case(constructor(1e-3, 0.3), lambda: twin(4, 1e-3, 0.3), shape, unbatched=False),
        Case(constructor(momentum=None), lambda: twin(4, momentum=None), shape, unbatched=False),
        Case(constructor(affine=False), lambda: twin(4, affine=False), shape, unbatched=False),
        Case(
            constructor(track_running_stats=False), lambda: twin(4, track_running_stats=False), shape, unbatched=False
        ),
        Case(constructor(bias=False), lambda: without_bias(twin(4)), shape, unbatched=False),
    ]


def instance_norms(constructor, twin, shape):
    return [
        Case(constructor(), lambda: twin(4), shape),
        Case(constructor(1e-3, affine=True), lambda: twin(4, 1e-3, affine=True), shape),
        Case(
            constructor(momentum=0.3, affine=True, track_running_stats=True),
            lambda: twin(4, momentum=0.3, affine=True, track_running_stats=True),
            shape,
        ),
        Case(constructor(affine=True, bias=False), lambda: without_bias(twin(4, affine=True)), shape),
    ]


CASES = {
    "batch_norm1d": [
        *batch_norms(nn.batch_norm1d, T.BatchNorm1d, (6, 4)),
        Case(nn.batch_norm1d(), lambda: T.BatchNorm1d(4), sequence, unbatched=False),
    ],
    "batch_norm2d": batch_norms(nn.batch_norm2d, T.BatchNorm2d, image)[:2],
    "batch_norm3d": batch_norms(nn.batch_norm3d, T.BatchNorm3d, volume)[:1],
    "instance_norm1d": instance_norms(nn.instance_norm1d, T.InstanceNorm1d, sequence),
    "instance_norm2d": instance_norms(nn.instance_norm2d, T.InstanceNorm2d, image)[2:3],
    "instance_norm3d": instance_norms(nn.instance_norm3d, T.InstanceNorm3d, volume)[2:3],
    "layer_norm": [
        Case(nn.layer_norm(8), lambda: T.LayerNorm(8), image),
        Case(nn.layer_norm((9, 8), 1e-3), lambda: T.LayerNorm((9, 8), 1e-3), image),
        Case(nn.layer_norm([8], bias=False), lambda: T.LayerNorm([8], bias=False), image),
        Case(nn.layer_norm(8, elementwise_affine=False), lambda: T.LayerNorm(8, elementwise_affine=False), image),
    ],
    "rms_norm": [
        Case(nn.rms_norm(8), lambda: T.RMSNorm(8), image),
        Case(nn.rms_norm((9, 8), 1e-3), lambda: T.RMSNorm((9, 8), 1e-3), image),
        Case(nn.rms_norm([8], elementwise_affine=False), lambda: T.RMSNorm([8], elementwise_affine=False), image),
    ],
    "group_norm": [
        Case(nn.group_norm(2), lambda: T.GroupNorm(2, 4), image, unbatched=False),
        Case(nn.group_norm(1, 1e-3), lambda: T.GroupNorm(1, 4, 1e-3), sequence, unbatched=False),
        Case(nn.group_norm(4, affine=False), lambda: T.GroupNorm(4, 4, affine=False), volume, unbatched=False),
        Case(nn.group_norm(2, bias=False), lambda: without_bias(T.GroupNorm(2, 8)), (5, 8), unbatched=False),
    ],
    "local_response_norm": [
        Case(nn.local_response_norm(2), lambda: T.LocalResponseNorm(2), image, unbatched=False),
        Case(
            nn.local_response_norm(3, 0.3, 0.5, 2.0),
            lambda: T.LocalResponseNorm(3, 0.3, 0.5, 2.0),
            sequence,
            unbatched=False,
        ),
        Case(nn.local_response_norm(5, 0.1), lambda: T.LocalResponseNorm(5, 0.1), volume, unbatched=False),
    ],
}
