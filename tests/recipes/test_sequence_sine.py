import math

import pytest
import torch
from PIL import Image

from funcdl import train
from recipes.sequence import sine
from recipes.settings import SettingsError


def run(report=None, **options):
    return sine.run(sine.Settings(device="cpu", **options), report or train.Report()).metrics


def test_the_loss_is_at_most_one_hundredth_after_300_windows_for_five_seeds():
    results = [run(seed=seed) for seed in range(5)]
    assert all(result["loss"] <= 0.01 for result in results), results
    assert all(result["first_loss"] > 0.1 for result in results)


def test_windows_follow_the_curve_without_a_gap():
    time = sine.windows(5).double()
    assert time.shape == (5, 10, 1)
    expected = torch.linspace(2 * math.pi, 3 * math.pi, 10, dtype=torch.float64)
    torch.testing.assert_close(time[2].sin().squeeze(1), expected.sin(), rtol=0, atol=1e-6)
    torch.testing.assert_close(time[3].cos().squeeze(1), -expected.cos(), rtol=0, atol=1e-6)
    torch.testing.assert_close(time[:-1, -1].cos(), time[1:, 0].cos(), rtol=0, atol=1e-6)


def test_it_is_trained_as_in_plain_pytorch_with_the_state_carried_on():
    settings = sine.Settings(seed=2, device="cpu", epochs=20)
    report = train.Report()
    found = sine.run(settings, report)
    from funcdl import nn, random

    rnn, out = torch.nn.RNN(1, 64, device="meta"), torch.nn.Linear(64, 1, device="meta")
    keys = random.split(random.key(2)).unbind()
    examples = torch.empty(10, 1), torch.empty(10, 64)
    for module, layer, key, x in zip((rnn, out), (nn.rnn(64), nn.linear(1)), keys, examples, strict=True):
        module.to_empty(device="cpu").load_state_dict(layer.init(key, x)[0])
    optimizer = torch.optim.Adam([*rnn.parameters(), *out.parameters()], lr=settings.lr)
    hidden, losses = None, []
    for index in range(20):
        time = torch.linspace(index * math.pi, (index + 1) * math.pi, 10, dtype=torch.float64).unsqueeze(1)
        states, hidden = rnn(time.sin().float(), hidden)
        hidden = hidden.detach()
        loss = (out(states) - time.cos().float()).square().mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert found.metrics["first_loss"] == pytest.approx(losses[0], rel=1e-5)
    assert [row["loss"] for row in report.rows] == pytest.approx(losses[1::2], rel=1e-3)


def test_what_it_leaves(tmp_path):
    report = train.Report(tmp_path)
    found = run(report, epochs=30, hidden=8)
    report.close()
    assert report.rows[-1] == {"epoch": 30, "loss": found["loss"]}
    for name in ("curves", "loss"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert min(picture.size) > 200
    assert (tmp_path / "checkpoint" / "checkpoint.json").exists()


def test_an_impossible_size():
    with pytest.raises(SettingsError, match="--hidden 0: must be 1"):
        run(hidden=0)


def test_a_rate_far_too_high():
    with pytest.raises(train.NonFiniteLossError, match="lower --lr"):
        run(lr=1e38, epochs=30)
