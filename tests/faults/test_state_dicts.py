"""Values of a state dict that a leaf's dtype does not hold are refused, not changed."""

import pytest
import torch

from funcdl.interop import from_state_dict

ONES = torch.ones(2)
NAN = torch.tensor([1.0, float("nan")])


@pytest.mark.parametrize(
    ("value", "dtype", "said"),
    [
        (ONES + 2j, torch.float32, "w of torch.complex64 instead of torch.float32"),
        (ONES.to(torch.int8), torch.float32, "w of torch.int8 instead of torch.float32"),
        (ONES.bool(), torch.bfloat16, "w of torch.bool instead of torch.bfloat16"),
        (ONES / 2, torch.int64, "w of torch.float32 instead of torch.int64"),
        (ONES.bool(), torch.int64, "w of torch.bool instead of torch.int64"),
        (ONES.long(), torch.bool, "w of torch.int64 instead of torch.bool"),
        (NAN, torch.float32, "w with NaN"),
        (NAN + 0j, torch.complex64, "w with NaN"),
        (ONES.double() * 1e39, torch.float32, "w with numbers out of the range of torch.float32"),
        ((ONES * 7e4).bfloat16(), torch.float16, "w with numbers out of the range of torch.float16"),
        (torch.tensor([1, 300]), torch.uint8, "w with numbers out of the range of torch.uint8"),
        (torch.tensor([1, -1]), torch.uint64, "w with numbers out of the range of torch.uint64"),
        (ONES.numpy(), torch.float32, "w a ndarray instead of a tensor"),
    ],
    ids=lambda part: str(part) if isinstance(part, str) else None,
)
@pytest.mark.parametrize("where", ["params", "buffers"])
def test_refused(value, dtype, said, where):
    leaf = torch.zeros(2, dtype=dtype)
    trees = ({"w": leaf}, {}) if where == "params" else ({}, {"w": leaf})
    with pytest.raises(ValueError, match=said):
        from_state_dict({"w": value}, *trees)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (ONES.double(), torch.float32),
        (ONES.bfloat16(), torch.float64),
        (ONES, torch.complex128),  # exact
        (ONES.int(), torch.int64),
        (ONES.long(), torch.uint8),
        (torch.full((2,), -torch.inf), torch.float16),  # as a mask has
    ],
)
def test_taken_as_they_are(value, dtype):
    taken, _ = from_state_dict({"w": value}, {"w": torch.zeros(2, dtype=dtype)})
    assert taken["w"].dtype == dtype
    assert torch.equal(taken["w"], value.to(dtype))


def test_all_of_them_are_listed():
    with pytest.raises(ValueError, match=r"a of torch\.complex64 instead of torch\.float32; b with NaN"):
        from_state_dict({"a": ONES + 1j, "b": NAN}, {"a": ONES, "b": ONES})
