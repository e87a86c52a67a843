"""The small models as they are written with `nn.Module`."""

import torch
import torch.nn.functional as F
from torch import nn


def mlp(inputs, *widths, activation=nn.ReLU):
    layers = [nn.Flatten()]
    for before, after in zip((inputs, *widths), widths, strict=False):
        layers += [nn.Linear(before, after), activation()]
    return nn.Sequential(*layers[:-1])


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 10, 5)
        self.conv2 = nn.Conv2d(10, 20, 5)
        self.fc = nn.Linear(320, 10)

    def forward(self, x):
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(self.conv2(x), 2))
        return self.fc(x.flatten(1))


class HandbookCNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 10, 5)
        self.conv2 = nn.Conv2d(10, 20, 3)
        self.fc1 = nn.Linear(2000, 500)
        self.fc2 = nn.Linear(500, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.relu(self.conv2(x)).flatten(1)
        return F.log_softmax(self.fc2(F.relu(self.fc1(x))), dim=1)


class CNN(nn.Module):
    def __init__(self, channels=(4, 8, 16), widths=(32, 16)):
        super().__init__()
        layers = []
        for before, after in zip((1, *channels), channels, strict=False):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers)
        self.classifier = mlp(channels[-1] * 9, *widths, 10)

    def forward(self, x):
        return self.classifier(self.features(x))


class Inception(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.branch1x1 = nn.Conv2d(channels, 16, 1)
        self.branch5x5 = nn.Sequential(nn.Conv2d(channels, 16, 1), nn.Conv2d(16, 24, 5, padding=2))
        self.branch3x3 = nn.Sequential(
            nn.Conv2d(channels, 16, 1), nn.Conv2d(16, 24, 3, padding=1), nn.Conv2d(24, 24, 3, padding=1)
        )
        self.pool = nn.Sequential(nn.AvgPool2d(3, 1, 1), nn.Conv2d(channels, 24, 1))

    def forward(self, x):
        return torch.cat([self.branch1x1(x), self.branch5x5(x), self.branch3x3(x), self.pool(x)], dim=1)


class InceptionNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 10, 5)
        self.incep1 = Inception(10)
        self.conv2 = nn.Conv2d(88, 20, 5)
        self.incep2 = Inception(20)
        self.fc = nn.Linear(1408, 10)

    def forward(self, x):
        x = self.incep1(F.relu(F.max_pool2d(self.conv1(x), 2)))
        x = self.incep2(F.relu(F.max_pool2d(self.conv2(x), 2)))
        return self.fc(x.flatten(1))


class ResidualBlock(nn.Module):
    """All variants: which parameters there are follows from the variant."""

    def __init__(self, channels, variant="original"):
        super().__init__()
        self.variant = variant
        body = self
        if variant == "bn-after-add":
            body = self.block = nn.Module()
            self.bn = nn.BatchNorm2d(channels)
        body.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        body.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        if variant.endswith("preactivation"):
            self.bn1, self.bn2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        if variant.endswith("gate"):
            self.gate = nn.Module()
            self.gate.conv = nn.Conv2d(channels, channels, 1)
            nn.init.constant_(self.gate.conv.bias, -6.0)  # a gate begins by letting x pass
        if variant == "conv-shortcut":
            self.shortcut = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        body = self.block if self.variant == "bn-after-add" else self

        def residual():
            return body.conv2(F.relu(body.conv1(x)))

        def gate():
            return torch.sigmoid(self.gate.conv(x))

        return {
            "original": lambda: F.relu(residual() + x),
            "scaled": lambda: F.relu(0.5 * residual() + 0.5 * x),
            "scaled-shortcut": lambda: F.relu(residual() + 0.5 * x),
            "exclusive-gate": lambda: F.relu(gate() * residual() + (1 - gate()) * x),
            "shortcut-gate": lambda: F.relu(residual() + (1 - gate()) * x),
            "conv-shortcut": lambda: F.relu(residual() + self.shortcut(x)),
            "dropout-shortcut": lambda: F.relu(residual() + F.dropout(x, 0.5, self.training)),
            "bn-after-add": lambda: F.relu(self.bn(residual() + x)),
            "relu-before-add": lambda: F.relu(residual()) + x,
            "relu-preactivation": lambda: x + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(F.relu(x)))))),
            "full-preactivation": lambda: x + self.conv2(F.relu(self.bn2(self.conv1(F.relu(self.bn1(x)))))),
        }[self.variant]()


class ResidualNet(nn.Module):
    def __init__(self, variant="original"):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 5)
        self.rblock1 = ResidualBlock(16, variant)
        self.conv2 = nn.Conv2d(16, 32, 5)
        self.rblock2 = ResidualBlock(32, variant)
        self.fc = nn.Linear(512, 10)

    def forward(self, x):
        x = self.rblock1(F.max_pool2d(F.relu(self.conv1(x)), 2))
        x = self.rblock2(F.max_pool2d(F.relu(self.conv2(x)), 2))
        return self.fc(x.flatten(1))


class DenseLayer(nn.Module):
    def __init__(self, channels, growth):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x):
        y = self.conv1(F.relu(self.norm1(x)))
        return torch.cat([x, self.conv2(F.relu(self.norm2(y)))], dim=1)


class DenseBlock(nn.Sequential):
    def __init__(self, layers, channels, growth):
        super().__init__()
        for i in range(layers):
            self.add_module(f"denselayer{i + 1}", DenseLayer(channels + i * growth, growth))


class DenseTransition(nn.Module):
    def __init__(self, before, after):
        super().__init__()
        self.norm = nn.BatchNorm2d(before)
        self.conv = nn.Conv2d(before, after, 1, bias=False)

    def forward(self, x):
        return F.avg_pool2d(self.conv(F.relu(self.norm(x))), 2)


class DenseNet(nn.Module):
    def __init__(self, growth=12):
        super().__init__()
        self.features = nn.Sequential()
        self.features.add_module("conv0", nn.Conv2d(1, 2 * growth, 5, bias=False))
        self.features.add_module("pool0", nn.MaxPool2d(2))
        self.features.add_module("denseblock1", DenseBlock(3, 24, growth))
        self.features.add_module("transition1", DenseTransition(60, 30))
        self.features.add_module("denseblock2", DenseBlock(3, 30, growth))
        self.features.add_module("norm3", nn.BatchNorm2d(66))
        self.classifier = nn.Linear(66, 10)
        nn.init.zeros_(self.classifier.bias)
        for layer in self.modules():  # as torchvision's begins
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)

    def forward(self, x):
        return self.classifier(F.relu(self.features(x)).mean((2, 3)))


class Autoencoder(nn.Module):
    def __init__(self, *widths):
        super().__init__()
        self.encoder = mlp(784, *widths, activation=nn.Tanh)
        self.decoder = mlp(widths[-1], *reversed(widths[:-1]), 784, activation=nn.Tanh)

    def forward(self, x):
        return torch.sigmoid(self.decoder(self.encoder(x))).view(x.shape)


class TransformerClassifier(nn.Module):
    def __init__(self, vocabulary, classes, d_model=8, nhead=2, num_layers=2, dim_feedforward=16, max_length=12):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, d_model)
        self.position = nn.Embedding(max_length, d_model)
        block = nn.TransformerEncoderLayer(d_model, nhead, dim_feedforward, 0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(block, num_layers, enable_nested_tensor=False)
        self.fc = nn.Linear(d_model, classes)

    def forward(self, tokens):
        padded = tokens == 0
        x = self.embedding(tokens) + self.position(torch.arange(tokens.shape[1]))
        x = self.encoder(x, src_key_padding_mask=padded)
        means = [row[~mask].mean(0) for row, mask in zip(x, padded, strict=True)]
        return self.fc(torch.stack(means))
