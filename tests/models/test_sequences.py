"""The classifiers of sequences against their `nn.Module` twins, with packed sequences."""

import pytest
import torch

import funcdl as fd
from funcdl import data, losses, models, nn, random, testing, tree
from tests.twins import classifiers

WORDS = data.encode_letters(["Maclean", "Vajnichy", "Li", "Antonowitsch", "A"])
SHARP = {"rtol": 1e-9, "atol": 1e-12}


def twin_of(make, *arguments, **options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make(*arguments, **options).double().eval()


def test_names_have_the_lectures_parameters():
    params, _ = models.name_classifier(18).init(random.key(0), WORDS)
    sizes = {name: tree.size(part) for name, part in params.items()}
    assert sizes == {"embedding": 12_800, "gru": 302_400, "fc": 3_618}
    assert tree.size(params) == 318_818


@pytest.mark.parametrize(
    ("layer", "twin", "inputs"),
    [
        (models.name_classifier(18), (classifiers.NameClassifier, 18), WORDS),
        (models.phrase_classifier(5, 128, 8), (classifiers.PhraseClassifier, 5, 128, 8), WORDS),
        (models.row_classifier(), (classifiers.RowClassifier,), random.uniform(random.key(0), (3, 28, 28))),
        (
            models.letter_model("rnn", 4, 10, 8, 2),
            (classifiers.LetterModel, torch.nn.RNN, 4, 10, 8, 2),
            torch.tensor([[1, 0, 2, 2, 3]]),
        ),
        (
            models.letter_model("gru", 4, 4, 4),
            (classifiers.LetterModel, torch.nn.GRU, 4, 4, 4),
            torch.tensor([[1, 0, 2, 2, 3]]),
        ),
        (
            models.letter_model("lstm", 4, 4, 4),
            (classifiers.LetterModel, torch.nn.LSTM, 4, 4, 4),
            torch.tensor([[1, 0, 2, 2, 3]]),
        ),
        (models.unrolled(nn.rnn_cell(4)), (classifiers.Unrolled, 3, 4), random.normal(random.key(0), (2, 5, 3))),
    ],
    ids=["names", "phrases", "rows", "letters rnn", "letters gru", "letters lstm", "unrolled"],
)
def test_outputs_and_gradients_equal_the_twins(layer, twin, inputs):
    testing.assert_matches_module(layer, twin_of(*twin), inputs, **SHARP)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    "layer", [models.name_classifier(18), models.phrase_classifier(5, 128)], ids=["names", "phrases"]
)
def test_more_padding_does_not_change_the_result(layer, compiled):
    """Outputs and gradients within an ulp of the largest, whatever the padding holds."""
    params, _ = layer.init(random.key(0), WORDS)
    labels = torch.tensor([0, 1, 2, 3, 4])

    def f(params, words):
        logits = layer(params, words)
        return losses.cross_entropy(logits, labels), logits

    run = fd.value_and_grad(f, has_aux=True)
    words, further = WORDS, ((1, 0), (9, 0), (9, 77))
    if compiled:  # a graph for each width, the smaller the faster to compile
        run, words, further = fd.jit(run), data.encode_letters(["Mac", "Va", "Li", "Ant", "A"]), ((3, 0), (3, 77))
    (loss, logits), gradients = run(params, words)
    for extra, filling in further:
        wider = torch.nn.functional.pad(words["input"], (0, extra), value=filling)
        (wide_loss, wide_logits), wide_gradients = run(params, {**words, "input": wider})
        assert one_ulp(loss, wide_loss)
        assert one_ulp(logits, wide_logits)
        for path, ours in tree.leaves_with_paths(gradients):
            other = dict(tree.leaves_with_paths(wide_gradients))[path]
            torch.testing.assert_close(ours, other, rtol=1e-5, atol=1e-7, msg=lambda text, path=path: f"{path}: {text}")


def one_ulp(a, b):
    return bool(((a - b).abs() <= torch.finfo(a.dtype).eps * a.abs().clamp(min=a.abs().max() / 8)).all())


def test_the_padding_of_phrases_gets_no_gradient_and_names_of_one_batch_do_not_meet():
    layer = models.name_classifier(18)
    params, _ = layer.init(random.key(0), WORDS)
    together = layer(params, WORDS)
    alone = torch.cat([layer(params, data.encode_letters([name])) for name in ("Maclean", "Li", "A")])
    torch.testing.assert_close(together[[0, 2, 4]], alone, rtol=1e-5, atol=1e-6)

    layer = models.phrase_classifier(5, 128)
    params, _ = layer.init(random.key(0), WORDS)
    gradient = fd.grad(lambda params: layer(params, WORDS).square().sum())(params)
    assert not params["embedding"]["weight"][0].any()
    assert not gradient["embedding"]["weight"][0].any()
