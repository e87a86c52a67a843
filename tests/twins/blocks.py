"""`nn.Module` versions of blocks that torch.nn has no class for."""

import torch


class Residual(torch.nn.Module):
    """A body of layers that stand at the block's own level, and a shortcut called `downsample`."""

    def __init__(self, downsample=None, concatenate=False, **body):
        super().__init__()
        for name, layer in body.items():
            self.add_module(name, layer)
        self.body = list(body)
        self.downsample = downsample
        self.concatenate = concatenate

    def forward(self, x):
        y = x
        for name in self.body:
            y = getattr(self, name)(y)
        x = x if self.downsample is None else self.downsample(x)
        return torch.cat([x, y], 1) if self.concatenate else torch.relu(x + y)


class Parallel(torch.nn.Module):
    """Branches of one input, side by side, and what is made of their outputs."""

    def __init__(self, combine=None, **branches):
        super().__init__()
        for name, layer in branches.items():
            self.add_module(name, layer)
        self.branches = list(branches)
        self.combine = combine

    def forward(self, x):
        outputs = tuple(getattr(self, name)(x) for name in self.branches)
        return self.combine(*outputs) if self.combine else outputs


class Function(torch.nn.Module):
    """A function of tensors."""

    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, *xs):
        return self.f(*xs)


class Again(torch.nn.Sequential):
    """Layers applied several times in a row: `times(x)`."""

    def __init__(self, times, *layers):
        super().__init__(*layers)
        self.times = times

    def forward(self, x):
        for _ in range(self.times(x)):
            x = super().forward(x)
        return x
