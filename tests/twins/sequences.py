"""Modules of torch.nn for sequences, whose `forward` takes only tensors, as a functional layer does."""

import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


def packed(recurrent):
    """`torch.nn.RNN`, `GRU` or `LSTM` with a `lengths` argument, by way of a packed sequence."""

    class Packed(recurrent):
        def forward(self, input, lengths, hx=None):
            time = input.shape[1 if self.batch_first else 0]
            sequences = pack_padded_sequence(input, lengths.cpu(), self.batch_first, enforce_sorted=False)
            output, last = super().forward(sequences, hx)
            return pad_packed_sequence(output, self.batch_first, total_length=time)[0], last

    return Packed


class MultiheadAttention(torch.nn.MultiheadAttention):
    """With the options of `forward` as attributes, and self-attention as the default."""

    def __init__(self, *args, causal=False, need_weights=True, average_attn_weights=True, **kwargs):
        super().__init__(*args, **kwargs)
        self.causal = causal
        self.options = {"need_weights": need_weights, "average_attn_weights": average_attn_weights}

    def forward(self, query, key=None, value=None, key_padding_mask=None, attn_mask=None):
        key = query if key is None else key
        value = key if value is None else value
        if self.causal:
            axis = 1 if self.batch_first else 0
            attn_mask = torch.ones(query.shape[axis], key.shape[axis], dtype=torch.bool, device=query.device).triu(1)
        y, weights = super().forward(query, key, value, key_padding_mask, attn_mask=attn_mask, **self.options)
        return (y, weights) if self.options["need_weights"] else y
