import torch

from funcdl import nn
from tests.nn.cases.case import Case, image

T = torch.nn

CASES = {
    "dropout": [
        Case(nn.dropout(), T.Dropout, (4, 3)),
        Case(nn.dropout(0.25), lambda: T.Dropout(0.25), image),
    ],
    "dropout1d": [Case(nn.dropout1d(0.25), lambda: T.Dropout1d(0.25), (3, 4, 7))],
    "dropout2d": [Case(nn.dropout2d(0.25), lambda: T.Dropout2d(0.25), image)],
    "dropout3d": [Case(nn.dropout3d(0.25), lambda: T.Dropout3d(0.25), (2, 4, 5, 3, 4))],
    "alpha_dropout": [Case(nn.alpha_dropout(0.25), lambda: T.AlphaDropout(0.25), (4, 3))],
    "feature_alpha_dropout": [Case(nn.feature_alpha_dropout(0.25), lambda: T.FeatureAlphaDropout(0.25), image)],
}
