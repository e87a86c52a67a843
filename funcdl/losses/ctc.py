"""Connectionist temporal classification, the loss of label sequences without alignment."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from funcdl.context import values_are_known
from funcdl.losses.reduction import Reduction, reduce

_IMPOSSIBLE = -1e30  # as a log probability; minus infinity would have NaN derivatives


def ctc(
    log_probabilities: Float[Tensor, "time *batch classes"],
    targets: Int[Tensor, "*batch labels"],
    input_lengths: Int[Tensor, "*batch"] | Sequence[int] | int,
    target_lengths: Int[Tensor, "*batch"] | Sequence[int] | int,
    *,
    blank: int = 0,
    reduction: Reduction = "mean",
    zero_infinity: bool = False,
) -> Float[Tensor, "*loss"]:
    """Connectionist temporal classification: minus the log probability of all alignments with the targets.

    An alignment has one class at each time step; collapsing repetitions, then removing blanks, gives the targets.

    Args:
        log_probabilities: (time, batch, classes), or (time, classes) for one sample.
        targets: class numbers without blanks, (batch, labels), or (labels,) for one sample.
        input_lengths: the number of time steps of each sample, from 0 to `time`: (batch,), or ().
        target_lengths: the number of labels of each sample, from 0 to `labels`, likewise. Both may be lists.
        blank: the blank class.
        reduction: "mean" divides each sample's loss by its target length (at least 1), and averages.
        zero_infinity: whether a sample too short for its targets has loss 0 instead of infinity.

    Raises:
        TypeError: lengths are not integers.
        ValueError: inconsistent shapes, `blank` is not a class, or lengths are out of range, which is checked only
            outside of `jit` and `vmap`.

    Source: Graves et al., "Connectionist temporal classification", 2006. Equals `torch.nn.functional.ctc_loss` by plain
    operations, which support `vmap` and `jit`: a loop over time, unrolled in a graph, so that hundreds of steps compile
    slowly. It does not take concatenated targets, and an infinite loss has a gradient of zero.

    >>> uniform = torch.full((4, 1, 3), 1 / 3).log()
    >>> ctc(uniform, torch.tensor([[1, 2]]), torch.tensor([4]), torch.tensor([2]), reduction="sum")
    tensor(1.6864)
    """
    single = log_probabilities.ndim == 2
    if single:
        log_probabilities, targets = log_probabilities.unsqueeze(1), targets.unsqueeze(0)
    time, batch, classes = log_probabilities.shape
    if targets.ndim != 2 or targets.shape[0] != batch:
        raise ValueError(
            f"ctc: expected targets of shape ({batch}, labels), as log_probabilities {tuple(log_probabilities.shape)}, "
            f"got {tuple(targets.shape)}; pad the rows with any class"
        )
    if not 0 <= blank < classes:
        raise ValueError(f"ctc: expected a blank from 0 to {classes - 1}, got {blank}")
    device = log_probabilities.device
    lengths = [torch.as_tensor(each, device=device).reshape(-1, 1) for each in (input_lengths, target_lengths)]
    lengths = [each if each.numel() else each.long() for each in lengths]
    for name, given in zip(("input_lengths", "target_lengths"), lengths, strict=True):
        if given.is_floating_point() or given.is_complex() or given.dtype == torch.bool:
            raise TypeError(f"ctc: expected {name} of integers, got {given.dtype}")
        if len(given) != batch:
            raise ValueError(f"ctc: expected {batch} {name}, one of each sample, got {len(given)}")
        longest = time if name == "input_lengths" else targets.shape[1]
        if values_are_known(given) and not ((given >= 0) & (given <= longest)).all():
            raise ValueError(f"ctc: expected {name} from 0 to {longest}, got {given.flatten().tolist()}")
    num_steps, last = lengths[0], 2 * lengths[1]

    # The states are blank, label 0, blank, label 1, ..., blank. There are transitions from each state to itself and to
    # the next state, and from a label to the next label if the two differ.
    blanks = torch.full_like(targets, blank)
    pairs = torch.stack([blanks, targets], 2).flatten(1)
    states = torch.cat([pairs, targets.new_full((batch, 1), blank)], 1)
    before_last = F.pad(states, (2, 0), value=blank)[:, : states.shape[1]]
    skips = (states != before_last) & (states != blank)
    emissions = log_probabilities.clamp_min(_IMPOSSIBLE).gather(2, states.expand(time, *states.shape))
    positions = torch.arange(states.shape[1], device=states.device)
    alpha = torch.where(
        positions == 0, 0.0, torch.full_like(emissions[:1].sum(0), _IMPOSSIBLE)
    )  # before the first time
    for t in range(time):
        earlier = F.pad(alpha, (2, 0), value=_IMPOSSIBLE)
        skip = torch.where(skips, earlier[:, :-2], _IMPOSSIBLE)
        reached = torch.stack([alpha, earlier[:, 1:-1], skip]).logsumexp(0)  # torch.logaddexp has no second derivative
        alpha = torch.where(t < num_steps, (reached + emissions[t]).clamp_min(_IMPOSSIBLE), alpha)

    ends = (positions == last) | (positions == last - 1)
    each = -torch.where(ends, alpha, _IMPOSSIBLE).logsumexp(1)
    infinity = 0.0 if zero_infinity else torch.inf
    each = torch.where(each > -0.5 * _IMPOSSIBLE, infinity, each)
    if reduction == "mean":
        each = each / lengths[1][:, 0].clamp_min(1)
    return reduce(each[0] if single else each, reduction)
