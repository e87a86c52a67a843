"""Models: functions that return a `Layer`, with the parameter names of their `nn.Module` twins.

Image models from torchvision have its parameter names, so that `interop.from_state_dict` loads its weights.
"""

from funcdl.models.alexnet import alexnet
from funcdl.models.autoencoder import autoencoder
from funcdl.models.cnn import cnn
from funcdl.models.convnet import convnet
from funcdl.models.densenets import dense_block, dense_transition, densenet, densenet121
from funcdl.models.ensemble import ensemble
from funcdl.models.googlenet import googlenet
from funcdl.models.handbook_cnn import handbook_cnn
from funcdl.models.inception import inception_block, inception_net
from funcdl.models.lenet import lenet
from funcdl.models.mlp import mlp
from funcdl.models.residual import residual_block, residual_net
from funcdl.models.resnet import resnet18, resnet34, resnet50
from funcdl.models.sequences import at, letter_model, name_classifier, phrase_classifier, row_classifier, unrolled
from funcdl.models.transformer import transformer_classifier
from funcdl.models.vgg import vgg

__all__ = [
    "alexnet",
    "at",
    "autoencoder",
    "cnn",
    "convnet",
    "dense_block",
    "dense_transition",
    "densenet",
    "densenet121",
    "ensemble",
    "googlenet",
    "handbook_cnn",
    "inception_block",
    "inception_net",
    "lenet",
    "letter_model",
    "mlp",
    "name_classifier",
    "phrase_classifier",
    "residual_block",
    "residual_net",
    "resnet18",
    "resnet34",
    "resnet50",
    "row_classifier",
    "transformer_classifier",
    "unrolled",
    "vgg",
]
