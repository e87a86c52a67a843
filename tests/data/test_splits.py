"""Holding out and scaling: nothing lost, nothing known before, and the numbers of scikit-learn."""

import pytest
import torch
from sklearn.preprocessing import StandardScaler

from funcdl import data, random


def test_every_row_is_in_one_part_and_pairs_stay_pairs():
    x = torch.arange(11)
    (known, twice), (held_out, also) = data.hold_out(random.key(0), (x, 2 * x), 0.2)
    assert (len(known), len(held_out)) == (9, 2)
    assert torch.equal(torch.cat([known, held_out]).sort().values, x)
    assert torch.equal(twice, 2 * known)
    assert torch.equal(also, 2 * held_out)


def test_the_key_decides():
    x = torch.arange(100)
    first, second = (data.hold_out(random.key(seed), x, 0.3)[1] for seed in (0, 1))
    assert torch.equal(first, data.hold_out(random.key(0), x, 0.3)[1])
    assert not torch.equal(first.sort().values, second.sort().values)


@pytest.mark.parametrize("share", [0.0, 0.05, 1.0, -0.5, 1.5])
def test_a_part_that_would_be_empty(share):
    with pytest.raises(ValueError, match=f"share={share} of 10 rows"):
        data.hold_out(random.key(0), torch.arange(10), share)


def test_scaling_is_scikit_learns():
    known = 50 * random.normal(random.key(0), (40, 3)) + torch.tensor([0.0, 1e4, -3.0])
    known[:, 2] = 0.1  # whose mean in float32 is not 0.1
    held_out = random.normal(random.key(1), (7, 3))
    scaler = StandardScaler().fit(known.double().numpy())
    for part in (known, held_out):
        scaled = data.standardize(part, by=known)
        expected = torch.from_numpy(scaler.transform(part.double().numpy())).float()
        assert scaled.dtype == torch.float32
        torch.testing.assert_close(scaled, expected, atol=1e-5, rtol=1e-5)
