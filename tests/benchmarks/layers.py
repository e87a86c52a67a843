"""Every kind of layer beside its `torch.nn` twin: forwards, and forwards and backwards, eager and compiled."""

import re
import statistics
import time

import torch

import funcdl as fd
from funcdl import interop, nn, random

T = torch.nn
IMAGES = (32, 64, 28, 28)
TEXT = (32, 128, 256)  # batch, time, features

# name: (layer, twin, shape of the input): sizes at which the arithmetic, not the call, takes the time
CASES = {
    "linear": lambda: (nn.linear(1024), T.Linear(1024, 1024), (256, 1024)),
    "conv1d": lambda: (nn.conv1d(64, 5), T.Conv1d(64, 64, 5), (64, 64, 512)),
    "conv2d": lambda: (nn.conv2d(64, 3, padding=1), T.Conv2d(64, 64, 3, padding=1), IMAGES),
    "conv3d": lambda: (nn.conv3d(16, 3), T.Conv3d(16, 16, 3), (8, 16, 16, 16, 16)),
    "conv_transpose2d": lambda: (nn.conv_transpose2d(32, 2, 2), T.ConvTranspose2d(64, 32, 2, 2), IMAGES),
    "max_pool2d": lambda: (nn.max_pool2d(2), T.MaxPool2d(2), IMAGES),
    "avg_pool2d": lambda: (nn.avg_pool2d(2), T.AvgPool2d(2), IMAGES),
    "adaptive_avg_pool2d": lambda: (nn.adaptive_avg_pool2d(1), T.AdaptiveAvgPool2d(1), IMAGES),
    "batch_norm2d": lambda: (nn.batch_norm2d(), T.BatchNorm2d(64), IMAGES),
    "layer_norm": lambda: (nn.layer_norm(256), T.LayerNorm(256), TEXT),
    "rms_norm": lambda: (nn.rms_norm(256), T.RMSNorm(256), TEXT),
    "group_norm": lambda: (nn.group_norm(8), T.GroupNorm(8, 64), IMAGES),
    "instance_norm2d": lambda: (nn.instance_norm2d(), T.InstanceNorm2d(64), IMAGES),
    "dropout": lambda: (nn.dropout(0.5), T.Dropout(0.5), TEXT),
    "relu": lambda: (nn.relu(), T.ReLU(), IMAGES),
    "gelu": lambda: (nn.gelu(), T.GELU(), TEXT),
    "softmax": lambda: (nn.softmax(-1), T.Softmax(-1), TEXT),
    "prelu": lambda: (nn.prelu(), T.PReLU(), IMAGES),
    "upsample": lambda: (nn.upsample(scale_factor=2), T.Upsample(scale_factor=2), IMAGES),
    "multihead_attention": lambda: (
        nn.multihead_attention(8, batch_first=True),
        SelfAttention(256, 8),
        TEXT,
    ),
    "transformer_encoder_layer": lambda: (
        nn.transformer_encoder_layer(8, 1024, 0.0, batch_first=True),
        T.TransformerEncoderLayer(256, 8, 1024, 0.0, batch_first=True),
        TEXT,
    ),
    **{
        f"{kind} T={steps} H={hidden}": lambda kind=kind, steps=steps, hidden=hidden: (
            first(getattr(nn, kind)(hidden)),
            First(getattr(T, kind.upper())(hidden, hidden)),
            (steps, 256, hidden),
        )
        for kind in ("rnn", "gru", "lstm")
        for steps in (16, 64)
        for hidden in (100, 256)
    },
}


def add_arguments(parser):
    parser.add_argument("--only", default="", help="a regular expression that names have to match")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds of about 0.2 s each")
    parser.add_argument("--eager", action="store_true", help="leave the compiled ones out")


def main(arguments):
    print(f"milliseconds, twin and funcdl, and their ratio; {torch.get_num_threads()} threads, medians")
    heads = ("forward, eager", "forward and backward, eager", "forward and backward, jit beside eager twin")
    print(f"{'':27}  " + "  ".join(f"{head:>34}" for head in heads[: 2 if arguments.eager else 3]))
    for name, make in CASES.items():
        if not re.search(arguments.only, name):
            continue
        cells = [f"{twin:10.3f} {ours:10.3f} {ours / twin:8.2f}" for twin, ours in measure_layer(*make(), arguments)]
        print(f"{name:27}  " + "  ".join(f"{cell:>34}" for cell in cells), flush=True)


def measure_layer(layer, twin, shape, arguments):
    key = random.key(0)
    x = random.normal(random.fold_in(key, 1), shape)
    params, buffers = interop.from_state_dict(twin.state_dict(), *layer.init(key, x))
    twin_x = x.clone().requires_grad_()
    wanted = [*twin.parameters(), twin_x]

    def twin_forward():
        with torch.no_grad():
            twin(x)

    def twin_both():
        torch.autograd.grad(twin(twin_x).sum(), wanted)

    def forward(params, x):
        return layer.apply(params, buffers, x, key=key, train=True)[0]

    both = fd.grad(lambda params, x: forward(params, x).sum(), argnums=(0, 1))
    pairs = [(twin_forward, lambda: forward(params, x)), (twin_both, lambda: both(params, x))]
    if not arguments.eager:
        compiled = fd.jit(both)
        pairs.append((twin_both, lambda: compiled(params, x)))
    return [tuple(1e3 * median for median in interleaved(pair, arguments.rounds)) for pair in pairs]


def interleaved(functions, rounds):
    calls = []
    for f in functions:
        f()
        started = time.perf_counter()
        f()
        calls.append(max(1, int(0.2 / (time.perf_counter() - started))))
    seconds = [[] for _ in functions]
    for _ in range(rounds):
        for f, count, values in zip(functions, calls, seconds, strict=True):
            started = time.perf_counter()
            for _ in range(count):
                f()
            values.append((time.perf_counter() - started) / count)
    return [statistics.median(values) for values in seconds]


def first(layer):
    """A recurrent layer without its last state."""
    return nn.Layer(layer.init, lambda *args, **kwargs: ((out := layer.apply(*args, **kwargs))[0][0], out[1]))


class First(T.Module):
    """The same for the twin, whose parameters keep their names."""

    def __init__(self, recurrent):
        super().__init__()
        self.recurrent = recurrent

    def state_dict(self):
        return self.recurrent.state_dict()

    def forward(self, x):
        return self.recurrent(x)[0]


class SelfAttention(T.MultiheadAttention):
    def __init__(self, width, heads):
        super().__init__(width, heads, batch_first=True)

    def forward(self, x):
        return super().forward(x, x, x, need_weights=False)[0]
