"""The main job as the book writes it in plain PyTorch: `python -m tests.benchmarks.plain_job DATA_DIR`.

`DATA_DIR` holds `MNIST/raw` with the four files unpacked, as torchvision wants them.
"""

import json
import sys

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from tests.twins.convnet import ConvNet


def main(folder):
    torch.manual_seed(0)
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1302,), (0.3069,))])
    train = DataLoader(datasets.MNIST(folder, train=True, transform=transform), batch_size=32, shuffle=True)
    test = DataLoader(datasets.MNIST(folder, train=False, transform=transform), batch_size=500)
    model = ConvNet()
    optimizer = torch.optim.Adadelta(model.parameters(), lr=0.5)
    for epoch in (1, 2):
        model.train()
        for number, (images, labels) in enumerate(train):
            optimizer.zero_grad()
            loss = F.nll_loss(model(images), labels)
            loss.backward()
            optimizer.step()
            if number % 10 == 0:
                print(f"epoch {epoch} batch {number} loss {loss.item():.6f}", file=sys.stderr)
        model.eval()
        loss, correct = 0.0, 0
        with torch.no_grad():
            for images, labels in test:
                outputs = model(images)
                loss += F.nll_loss(outputs, labels, reduction="sum").item()
                correct += (outputs.argmax(1) == labels).sum().item()
        print(json.dumps({"epoch": epoch, "test_loss": loss / 10_000, "test_accuracy": correct / 10_000}))


if __name__ == "__main__":
    main(sys.argv[1])
