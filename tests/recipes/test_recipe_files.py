"""Where recipes stand: a folder's files are its recipes, named as their IDs, and helpers begin with an underscore."""

from pathlib import Path

import pytest
import torch

import recipes
from funcdl import models, random, tree
from recipes import registry
from recipes.classification import otto
from recipes.sequence import digits_rows, names, sentiment
from recipes.vision import (
    digits_cnn,
    digits_cnn_deep,
    digits_convnet,
    digits_inception,
    digits_resnet,
    digits_softmax,
    visualize,
)

FOLDERS = ("basics", "regression", "classification", "vision", "sequence")
IMAGES = torch.empty(2, 1, 28, 28)
WORDS = {"input": torch.tensor([[5, 2, 0], [3, 4, 1]]), "lengths": torch.tensor([2, 3])}


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_lists_its_recipes(folder):
    files = {path.stem for path in (Path(recipes.__file__).parent / folder).glob("*.py") if path.stem[0] != "_"}
    assert files == {name.replace("-", "_") for name, recipe in registry.RECIPES.items() if recipe.folder == folder}


@pytest.mark.parametrize(
    ("ours", "model", "inputs"),
    [
        (digits_convnet.network(), models.convnet(), IMAGES),
        (digits_cnn.network(), models.lenet(), IMAGES),
        (digits_inception.network(), models.inception_net(), IMAGES),
        (digits_resnet.network(), models.residual_net(), IMAGES),
        (digits_softmax.network(512, 256, 128, 64), models.mlp(512, 256, 128, 64, 10), IMAGES),
        (digits_cnn_deep.network((8, 16, 32), (64, 32)), models.cnn((8, 16, 32), (64, 32), padding=1), IMAGES),
        (visualize.network(), models.handbook_cnn(), IMAGES),
        (digits_rows.network(), models.row_classifier(), torch.empty(2, 28, 28)),
        (otto.network(64, 32, 9), models.mlp(64, 32, 9), torch.empty(2, 93)),
        (names.network(18), models.name_classifier(18), WORDS),
        (sentiment.make_model(sentiment.Settings(), 6), models.phrase_classifier(5, 8), WORDS),
    ],
)
def test_a_network_written_in_a_recipe_is_the_model_of_the_library(ours, model, inputs):
    if isinstance(inputs, torch.Tensor):
        inputs = random.normal(random.key(1), inputs.shape)
    (params, buffers), expected = ours.init(random.key(0), inputs), model.init(random.key(0), inputs)
    assert [path for path, _ in tree.leaves_with_paths(params)] == [p for p, _ in tree.leaves_with_paths(expected[0])]
    assert all(map(torch.equal, tree.leaves(params), tree.leaves(expected[0])))
    options = {"key": random.key(2), "train": True}
    found = ours.apply(params, buffers, inputs, **options)[0]
    assert torch.equal(found, model.apply(*expected, inputs, **options)[0])
