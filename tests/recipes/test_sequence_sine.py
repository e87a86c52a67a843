import json
import math

import pytest
import torch
from PIL import Image

from funcdl import random, train
from recipes.sequence import _wave, sine
from recipes.settings import SettingsError
from tests.recipes.small import call


def run(report=None, **options):
    settings = sine.Settings(device="cpu", **options)
    settings.check()
    return sine.run(settings, report or train.Report()).metrics


def test_the_loss_is_at_most_one_hundredth_after_150_waves_for_ten_seeds():
    results = [run(seed=seed) for seed in range(10)]
    assert all(result["loss"] <= 0.01 for result in results), results
    assert all(result["first_loss"] > 0.1 for result in results)


def test_windows_follow_the_curve_without_a_gap():
    angles = sine.windows().double()
    assert angles.shape == (2, 10, 1)
    expected = torch.linspace(math.pi, 2 * math.pi, 10, dtype=torch.float64)
    torch.testing.assert_close(angles[1].squeeze(1), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(angles[0, -1], angles[1, 0])
    torch.testing.assert_close(angles[1, -1].cos(), angles[0, 0].cos(), rtol=0, atol=1e-6)


def test_it_is_trained_as_in_plain_pytorch_with_the_state_carried_on():
    report = train.Report()
    found = run(report, seed=2, epochs=10)
    params, _ = _wave.network(64).init(random.split(random.split(random.key(2))[0])[0], torch.empty(1, 10, 1))
    rnn, out = torch.nn.RNN(1, 64, device="meta"), torch.nn.Linear(64, 1, device="meta")
    for name, module in (("rnn", rnn), ("out", out)):
        module.to_empty(device="cpu").load_state_dict(params[name])
    optimizer = torch.optim.Adam([*rnn.parameters(), *out.parameters()], lr=7e-4)
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
    assert found["first_loss"] == pytest.approx(losses[0], rel=1e-5)
    waves = [(one + two) / 2 for one, two in zip(losses[::2], losses[1::2], strict=True)]
    assert [row["loss"] for row in report.rows] == pytest.approx(waves, rel=1e-3)


def test_what_it_leaves_and_predicts(tmp_path):
    code, out, err = call("run", "sine", "--epochs", 60, "--device", "cpu", "--json", "--out", tmp_path / "run")
    assert code == 0, err
    found = json.loads(out[-1])["metrics"]
    for name in ("curves", "wave"):
        with Image.open(tmp_path / "run" / f"{name}.png") as picture:
            assert min(picture.size) > 200
    angles = sine.windows().flatten()
    path = tmp_path / "wave.csv"
    path.write_text("\n".join(["sine", *map(repr, angles.sin().tolist())]))
    code, out, err = call("predict", tmp_path / "run", path, "--json")
    assert code == 0, err
    given = torch.tensor([one["prediction"] for one in json.loads(out[0])])
    assert (given - angles.cos()).square().mean().item() == pytest.approx(found["final_loss"], rel=1e-4)
    code, out, err = call("predict", tmp_path / "run", "0", "0.5", "-1.5", "--json")
    assert code == 0, err
    assert [one["notes"] for one in json.loads(out[0])] == [[], [], ["a sine is from -1 to 1"]]


def test_an_impossible_size():
    with pytest.raises(SettingsError, match="--hidden 0: must be 1"):
        run(hidden=0)


def test_a_rate_far_too_high():
    with pytest.raises(train.NonFiniteLossError, match="lower learning rate"):
        run(lr=1e38, epochs=30)
