"""Layers: constructors with the names, arguments, layouts and initial distributions of `torch.nn`, as pure functions.

>>> import torch
>>> from funcdl import nn, random
>>> model = nn.serial(nn.linear(4), nn.relu(), nn.linear(1))
>>> params, buffers = model.init(random.key(0), torch.empty(8, 3, device="meta"))
>>> y, buffers = model.apply(params, buffers, torch.ones(8, 3))
>>> y.shape
torch.Size([8, 1])
"""

from funcdl.nn.activation import (
    celu,
    elu,
    gelu,
    log_sigmoid,
    mish,
    selu,
    sigmoid,
    silu,
    softplus,
    softsign,
    tanh,
    tanhshrink,
)
from funcdl.nn.adaptive_pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
)
from funcdl.nn.alpha_dropout import alpha_dropout, feature_alpha_dropout
from funcdl.nn.attention import multihead_attention
from funcdl.nn.average_pooling import avg_pool1d, avg_pool2d, avg_pool3d, lp_pool1d, lp_pool2d, lp_pool3d
from funcdl.nn.batch_normalization import batch_norm1d, batch_norm2d, batch_norm3d
from funcdl.nn.combinators import add, concatenate, parallel, residual, serial
from funcdl.nn.convolution import conv1d, conv2d, conv3d
from funcdl.nn.convolution_transpose import conv_transpose1d, conv_transpose2d, conv_transpose3d
from funcdl.nn.dropout import dropout, dropout1d, dropout2d, dropout3d
from funcdl.nn.embedding import embedding, embedding_bag
from funcdl.nn.instance_normalization import instance_norm1d, instance_norm2d, instance_norm3d
from funcdl.nn.layer import Layer, stateless
from funcdl.nn.linear import bilinear, linear
from funcdl.nn.normalization import group_norm, layer_norm, local_response_norm, rms_norm
from funcdl.nn.padding import (
    circular_pad1d,
    circular_pad2d,
    circular_pad3d,
    constant_pad1d,
    constant_pad2d,
    constant_pad3d,
    reflection_pad1d,
    reflection_pad2d,
    reflection_pad3d,
    replication_pad1d,
    replication_pad2d,
    replication_pad3d,
    zero_pad1d,
    zero_pad2d,
    zero_pad3d,
)
from funcdl.nn.pooling import max_pool1d, max_pool2d, max_pool3d, min_pool1d, min_pool2d, min_pool3d
from funcdl.nn.rectifier import (
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    prelu,
    relu,
    relu6,
    rrelu,
    softshrink,
    threshold,
)
from funcdl.nn.recurrent import gru, lstm, rnn
from funcdl.nn.recurrent_cell import gru_cell, lstm_cell, rnn_cell
from funcdl.nn.repetition import repeat, tied
from funcdl.nn.resize import pixel_shuffle, pixel_unshuffle, upsample
from funcdl.nn.shape import flatten, identity, rearrange, unflatten
from funcdl.nn.softmax import glu, log_softmax, softmax, softmax2d, softmin
from funcdl.nn.summary import SummaryRow, summary
from funcdl.nn.transformer import transformer_decoder_layer, transformer_encoder_layer
from funcdl.nn.transformer_stack import transformer, transformer_decoder, transformer_encoder

__all__ = [
    "Layer",
    "SummaryRow",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "add",
    "alpha_dropout",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "batch_norm1d",
    "batch_norm2d",
    "batch_norm3d",
    "bilinear",
    "celu",
    "circular_pad1d",
    "circular_pad2d",
    "circular_pad3d",
    "concatenate",
    "constant_pad1d",
    "constant_pad2d",
    "constant_pad3d",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "elu",
    "embedding",
    "embedding_bag",
    "feature_alpha_dropout",
    "flatten",
    "gelu",
    "glu",
    "group_norm",
    "gru",
    "gru_cell",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "identity",
    "instance_norm1d",
    "instance_norm2d",
    "instance_norm3d",
    "layer_norm",
    "leaky_relu",
    "linear",
    "local_response_norm",
    "log_sigmoid",
    "log_softmax",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "lstm",
    "lstm_cell",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "min_pool1d",
    "min_pool2d",
    "min_pool3d",
    "mish",
    "multihead_attention",
    "parallel",
    "pixel_shuffle",
    "pixel_unshuffle",
    "prelu",
    "rearrange",
    "reflection_pad1d",
    "reflection_pad2d",
    "reflection_pad3d",
    "relu",
    "relu6",
    "repeat",
    "replication_pad1d",
    "replication_pad2d",
    "replication_pad3d",
    "residual",
    "rms_norm",
    "rnn",
    "rnn_cell",
    "rrelu",
    "selu",
    "serial",
    "sigmoid",
    "silu",
    "softmax",
    "softmax2d",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "stateless",
    "summary",
    "tanh",
    "tanhshrink",
    "threshold",
    "tied",
    "transformer",
    "transformer_decoder",
    "transformer_decoder_layer",
    "transformer_encoder",
    "transformer_encoder_layer",
    "unflatten",
    "upsample",
    "zero_pad1d",
    "zero_pad2d",
    "zero_pad3d",
]
