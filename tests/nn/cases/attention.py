import torch

from funcdl import nn
from tests.nn.cases.case import Case
from tests.twins.sequences import MultiheadAttention

T = torch.nn
query = (5, 2, 8)  # (time, batch, E)


def case(layer, twin, shape, *, exact=True):
    return Case(layer, twin, shape, unbatched=False, exact=exact)


CASES = {
    "multihead_attention": [
        case(nn.multihead_attention(2), lambda: MultiheadAttention(8, 2), query, exact=False),
        case(
            nn.multihead_attention(4, bias=False, average_attn_weights=False),
            lambda: MultiheadAttention(8, 4, bias=False, kdim=6, vdim=5, average_attn_weights=False),
            {"query": query, "key": (6, 2, 6), "value": (6, 2, 5), "key_padding_mask": (2, 6), "attn_mask": (8, 5, 6)},
            exact=False,
        ),
        case(
            nn.multihead_attention(2, 0.25, add_bias_kv=True, add_zero_attn=True, batch_first=True),
            lambda: MultiheadAttention(8, 2, 0.25, add_bias_kv=True, add_zero_attn=True, batch_first=True),
            {"query": (2, 5, 8), "key": (2, 6, 8), "attn_mask": (5, 6)},
            exact=False,
        ),
        case(
            nn.multihead_attention(2, batch_first=True, need_weights=False, is_causal=True),
            lambda: MultiheadAttention(8, 2, batch_first=True, need_weights=False, causal=True),
            (2, 5, 8),
            exact=False,  # torch turns batch-first inputs around before it projects them
        ),
    ],
}
