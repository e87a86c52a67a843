import torch

from funcdl import nn
from tests.nn.cases.case import Case

T = torch.nn
query, source = (5, 2, 8), (6, 2, 8)  # (time, batch, E)


def case(layer, twin, shape, *, exact=True):
    return Case(layer, twin, shape, unbatched=False, exact=exact)


CASES = {
    "transformer_encoder_layer": [
        case(nn.transformer_encoder_layer(2, 16), lambda: T.TransformerEncoderLayer(8, 2, 16), query),
        case(
            nn.transformer_encoder_layer(2, 16, 0.0, "gelu", 1e-3, True, True, False),
            lambda: T.TransformerEncoderLayer(8, 2, 16, 0.0, "gelu", 1e-3, True, True, False),
            {"src": (2, 5, 8), "src_mask": (5, 5), "src_key_padding_mask": (2, 5)},
            exact=False,
        ),
    ],
    "transformer_decoder_layer": [
        case(
            nn.transformer_decoder_layer(2, 16, 0.0),
            lambda: T.TransformerDecoderLayer(8, 2, 16, 0.0),
            {
                "tgt": query,
                "memory": source,
                "tgt_mask": (5, 5),
                "memory_mask": (4, 5, 6),
                "tgt_key_padding_mask": (2, 5),
                "memory_key_padding_mask": (2, 6),
            },
        ),
        case(
            nn.transformer_decoder_layer(2, 16, activation=torch.tanh, norm_first=True, bias=False),
            lambda: T.TransformerDecoderLayer(8, 2, 16, activation=torch.tanh, norm_first=True, bias=False),
            [query, source],
        ),
    ],
    "transformer_encoder": [
        case(
            nn.transformer_encoder(nn.transformer_encoder_layer(2, 16, 0.0), 2, nn.layer_norm(8)),
            lambda: T.TransformerEncoder(T.TransformerEncoderLayer(8, 2, 16, 0.0), 2, T.LayerNorm(8), False),
            {"src": query, "mask": (4, 5, 5)},
        ),
        case(  # one layer, since code for the last case is compiled
            nn.transformer_encoder(nn.transformer_encoder_layer(2, 16, 0.0), 1, nn.layer_norm(8)),
            lambda: T.TransformerEncoder(T.TransformerEncoderLayer(8, 2, 16, 0.0), 1, T.LayerNorm(8), False),
            {"src": query, "mask": (4, 5, 5)},
        ),
    ],
    "transformer_decoder": [
        case(
            nn.transformer_decoder(nn.transformer_decoder_layer(2, 16, 0.0, "gelu"), 2),
            lambda: T.TransformerDecoder(T.TransformerDecoderLayer(8, 2, 16, 0.0, "gelu"), 2),
            {"tgt": query, "memory": source, "tgt_mask": (5, 5)},
        ),
        case(
            nn.transformer_decoder(nn.transformer_decoder_layer(2, 16, 0.0, "gelu"), 1),
            lambda: T.TransformerDecoder(T.TransformerDecoderLayer(8, 2, 16, 0.0, "gelu"), 1),
            {"tgt": query, "memory": source, "tgt_mask": (5, 5)},
        ),
    ],
    "transformer": [
        case(
            nn.transformer(2, 1, 1, 16, 0.0, batch_first=True),
            lambda: T.Transformer(8, 2, 1, 1, 16, 0.0, batch_first=True),
            {"src": (2, 6, 8), "tgt": (2, 5, 8), "src_mask": (6, 6), "memory_key_padding_mask": (2, 6)},
            exact=False,
        )
    ],
}
