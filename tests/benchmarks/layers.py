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

SIGNALS, VOLUMES = (32, 64, 784), (8, 32, 16, 16, 16)
BATCHES = {1: SIGNALS, 2: IMAGES, 3: VOLUMES}

ACTIVATIONS = """CELU ELU GELU GLU Hardshrink Hardsigmoid Hardswish Hardtanh LeakyReLU LogSigmoid LogSoftmax Mish PReLU
    ReLU ReLU6 RReLU SELU Sigmoid SiLU Softmax Softmin Softplus Softshrink Softsign Tanh Tanhshrink""".split()  # noqa: SIM905


def snake(name):
    for old, new in (("PReLU", "prelu"), ("ReLU", "relu"), ("SiLU", "silu"), ("RReLU", "rrelu")):
        if name == old:
            return new
    if name.isupper():
        return name.lower()
    name = name.replace("RReLU", "rrelu").replace("ReLU6", "relu6").replace("LeakyReLU", "Leaky_relu")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def over_axes(ours, theirs, *arguments, axes=(1, 2, 3), channels=False, **options):
    """Rows for the versions of a layer in one to three dimensions."""

    def row(n):
        first = (BATCHES[n][1],) if channels else ()
        layer, twin = getattr(nn, f"{ours}{n}d"), getattr(T, f"{theirs}{n}d")
        return layer(*arguments, **options), twin(*first, *arguments, **options), BATCHES[n]

    return {f"{ours}{n}d": lambda n=n: row(n) for n in axes}


def activation(name):
    dim = (-1,) if "Softm" in name or "LogSoftm" in name else ()
    return getattr(nn, snake(name))(*dim), getattr(T, name)(*dim), TEXT


# name: (layer, twin, shape of the input, or what makes it): sizes at which the arithmetic, not the call, takes the time
CASES = {
    "linear": lambda: (nn.linear(1024), T.Linear(1024, 1024), (256, 1024)),
    "embedding": lambda: (nn.embedding(10000, 256), T.Embedding(10000, 256), words),
    "embedding_bag": lambda: (nn.embedding_bag(10000, 256), T.EmbeddingBag(10000, 256), words),
    "conv1d": lambda: (nn.conv1d(64, 5), T.Conv1d(64, 64, 5), SIGNALS),
    "conv2d": lambda: (nn.conv2d(64, 3, padding=1), T.Conv2d(64, 64, 3, padding=1), IMAGES),
    "conv3d": lambda: (nn.conv3d(16, 3), T.Conv3d(32, 16, 3), VOLUMES),
    "conv_transpose1d": lambda: (nn.conv_transpose1d(32, 2, 2), T.ConvTranspose1d(64, 32, 2, 2), SIGNALS),
    "conv_transpose2d": lambda: (nn.conv_transpose2d(32, 2, 2), T.ConvTranspose2d(64, 32, 2, 2), IMAGES),
    "conv_transpose3d": lambda: (nn.conv_transpose3d(16, 2, 2), T.ConvTranspose3d(32, 16, 2, 2), VOLUMES),
    **over_axes("max_pool", "MaxPool", 2),
    **over_axes("avg_pool", "AvgPool", 2),
    **over_axes("lp_pool", "LPPool", 2, 2),
    **over_axes("adaptive_avg_pool", "AdaptiveAvgPool", 1),
    **over_axes("adaptive_max_pool", "AdaptiveMaxPool", 1),
    **over_axes("batch_norm", "BatchNorm", channels=True),
    **over_axes("instance_norm", "InstanceNorm", channels=True),
    **over_axes("dropout", "Dropout", 0.5),
    **over_axes("zero_pad", "ZeroPad", 1),
    **over_axes("reflection_pad", "ReflectionPad", 1),
    **over_axes("replication_pad", "ReplicationPad", 1),
    **over_axes("circular_pad", "CircularPad", 1),
    "layer_norm": lambda: (nn.layer_norm(256), T.LayerNorm(256), TEXT),
    "rms_norm": lambda: (nn.rms_norm(256), T.RMSNorm(256), TEXT),
    "group_norm": lambda: (nn.group_norm(8), T.GroupNorm(8, 64), IMAGES),
    "local_response_norm": lambda: (nn.local_response_norm(5), T.LocalResponseNorm(5), IMAGES),
    "dropout": lambda: (nn.dropout(0.5), T.Dropout(0.5), TEXT),
    "alpha_dropout": lambda: (nn.alpha_dropout(0.5), T.AlphaDropout(0.5), TEXT),
    "feature_alpha_dropout": lambda: (nn.feature_alpha_dropout(0.5), T.FeatureAlphaDropout(0.5), IMAGES),
    "pixel_shuffle": lambda: (nn.pixel_shuffle(2), T.PixelShuffle(2), IMAGES),
    "pixel_unshuffle": lambda: (nn.pixel_unshuffle(2), T.PixelUnshuffle(2), IMAGES),
    "upsample": lambda: (nn.upsample(scale_factor=2), T.Upsample(scale_factor=2), IMAGES),
    **{snake(name): lambda name=name: activation(name) for name in ACTIVATIONS},
    "softmax2d": lambda: (nn.softmax2d(), T.Softmax2d(), IMAGES),
    "threshold": lambda: (nn.threshold(0.1, 0.0), T.Threshold(0.1, 0.0), TEXT),
    "rnn_cell": lambda: (nn.rnn_cell(256), T.RNNCell(256, 256), (256, 256)),
    "gru_cell": lambda: (nn.gru_cell(256), T.GRUCell(256, 256), (256, 256)),
    "multihead_attention": lambda: (
        nn.multihead_attention(8, batch_first=True, need_weights=False),
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
    x = shape(key) if callable(shape) else random.normal(random.fold_in(key, 1), shape)
    params, buffers = interop.from_state_dict(twin.state_dict(), *layer.init(key, x))
    floating = x.is_floating_point()
    twin_x = x.clone().requires_grad_(floating)
    wanted = [*twin.parameters(), *([twin_x] if floating else [])]

    def twin_forward():
        with torch.no_grad():
            twin(x)

    def twin_both():
        torch.autograd.grad(twin(twin_x).sum(), wanted)

    def forward(params, x):
        return layer.apply(params, buffers, x, key=key, train=True)[0]

    both = fd.grad(lambda params, x: forward(params, x).sum(), argnums=(0, 1) if floating else 0)
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


def words(key):
    return random.randint(random.fold_in(key, 1), (64, 128), 0, 10000)


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
