"""A small problem of classification, with dropout so that the keys of the steps matter."""

import dataclasses

import torch

from funcdl import losses, metrics, nn, optim, random, train

MODEL = nn.serial(nn.linear(8), nn.relu(), nn.dropout(0.25), nn.linear(3), nn.log_softmax(-1))


def clusters(n=40, dtype=torch.float32):
    """Points around three centres, and which one each belongs to."""
    labels = torch.arange(n) % 3
    centres = torch.tensor([[2.0, 0, 0, 1], [0, 2, 0, -1], [0, 0, 2, 0]], dtype=dtype)
    return centres[labels] + 0.5 * random.normal(random.key(99), (n, 4), dtype=dtype), labels


def problem(optimizer=None, seed=0, dtype=torch.float32, **options):
    optimizer = optimizer or optim.adam(lr=0.01)
    state = train.make_state(MODEL, optimizer, random.key(seed), torch.empty(1, 4, dtype=dtype, device="meta"))
    step = train.make_step(MODEL, losses.nll, optimizer, metrics={"accuracy": metrics.accuracy}, **options)
    return state, step


def evaluation():
    return train.make_evaluate(MODEL, {"val_loss": metrics.mean_loss(losses.nll), "val_accuracy": metrics.accuracy})


def fit_flat(state, step, rows, **options):
    """`train.fit` whose groups of options are passed one by one."""
    groups = [
        {field.name: options.pop(field.name) for field in dataclasses.fields(group) if field.name in options}
        for group in (train.Batches, train.Record)
    ]
    batches, record = train.Batches(**groups[0]), train.Record(**groups[1])
    return train.fit(state, step, rows, batches, record=record, **options)
