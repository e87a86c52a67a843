"""Names and phrases in plain PyTorch, by packed sequences: `python -m tests.benchmarks.plain_sequences ID DATA_DIR`.

The last line of stdout is JSON, `{"rows": [{"seconds", "accuracy"}, ...]}`, with a row for each epoch and its test.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

from funcdl import data, random
from funcdl.data.sentiment import CLASSES
from tests.twins.classifiers import NameClassifier, PhraseClassifier

RATE, EVALUATION_BATCH = 1e-3, 256


def names(split):
    """The names and the numbers of their countries, to train on and to test on; and the network."""
    known, test = (list(zip(part.texts, part.labels.tolist(), strict=True)) for part in (split.train, split.test))
    return known, test, NameClassifier(len(split.classes))


def letters(batch):
    """The lecture's tensors: ASCII codes, filled up by 0, the longest name first."""
    texts, labels = zip(*batch, strict=True)
    codes = [[ord(letter) for letter in text] for text in texts]
    lengths = torch.tensor([len(row) for row in codes])
    padded = torch.zeros(len(codes), int(lengths.max()), dtype=torch.long)
    for row, numbers in zip(padded, codes, strict=True):
        row[: len(numbers)] = torch.tensor(numbers)
    lengths, order = lengths.sort(descending=True)
    return padded[order], lengths, torch.tensor(labels)[order]


def sentiment(phrases):
    """The numbers of words and the class of each phrase: the recipe's sentences to train on, the others; the network.

    Words are looked up once, ahead of all epochs.
    """
    ids = phrases.sentences.unique()
    order = random.permutation(random.fold_in(random.key(0), 2), len(ids))
    held_out = torch.isin(phrases.sentences, ids[order[: len(ids) // 5]]).tolist()
    numbers = data.vocabulary(text for text, out in zip(phrases.texts, held_out, strict=True) if not out)
    sequences = data.encode_words(phrases.texts, numbers)
    rows = [row[:length] for row, length in zip(sequences["input"], sequences["lengths"].tolist(), strict=True)]
    samples = list(zip(rows, phrases.labels.tolist(), held_out, strict=True))
    known, validation = ([(row, label) for row, label, out in samples if out == part] for part in (False, True))
    return known, validation, PhraseClassifier(len(CLASSES), len(numbers) + 2)


def words(batch):
    """Numbers of words, filled up by 0, the longest phrase first."""
    rows, labels = zip(*batch, strict=True)
    lengths, order = torch.tensor([len(row) for row in rows]).sort(descending=True)
    return pad_sequence(rows, batch_first=True)[order], lengths, torch.tensor(labels)[order]


class Job(NamedTuple):
    read: Callable
    prepare: Callable
    collate: Callable
    batch_size: int
    epochs: int  # of a measurement


JOBS = {
    "names": Job(data.names, names, letters, batch_size=256, epochs=6),
    "sentiment": Job(data.sentiment, sentiment, words, batch_size=64, epochs=3),
}


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.plain_sequences")
    parser.add_argument("id", choices=JOBS)
    parser.add_argument("data_dir")
    parser.add_argument("--epochs", type=int)
    arguments = parser.parse_args()
    job = JOBS[arguments.id]
    torch.manual_seed(0)
    known, held_out, model = job.prepare(job.read(arguments.data_dir))
    train_loader = DataLoader(known, job.batch_size, shuffle=True, collate_fn=job.collate)
    test_loader = DataLoader(held_out, EVALUATION_BATCH, collate_fn=job.collate)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    rows = []
    for _ in range(arguments.epochs or job.epochs):
        started = time.perf_counter()
        train(model, optimizer, train_loader)
        rows.append({"accuracy": test(model, test_loader), "seconds": time.perf_counter() - started})
        print(rows[-1], file=sys.stderr)
    print(json.dumps({"rows": rows}))


def train(model, optimizer, loader):
    model.train()
    total = 0.0
    for number, (input, lengths, labels) in enumerate(loader, 1):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(input, lengths, enforce_sorted=True), labels)
        loss.backward()
        optimizer.step()
        total += loss.item()
        if number % 10 == 0:
            print(f"batch {number} loss {total / number:.6f}", file=sys.stderr)


def test(model, loader):
    model.eval()
    correct = 0
    with torch.no_grad():
        for input, lengths, labels in loader:
            correct += (model(input, lengths, enforce_sorted=True).argmax(1) == labels).sum().item()
    return correct / len(loader.dataset)


if __name__ == "__main__":
    main()
