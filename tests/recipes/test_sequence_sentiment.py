import json

import pytest
import torch
from PIL import Image

from funcdl import data, random, train
from funcdl.data.sentiment import CLASSES
from recipes import companion
from recipes.sequence import sentiment
from tests.recipes.small import call


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run as a newcomer starts it."""
    folder = tmp_path_factory.mktemp("sentiment") / "run"
    code, out, err = call("run", "sentiment", "--json", "--out", folder)
    assert code == 0, err
    return folder, json.loads(out[-1])["metrics"]


def test_the_rule_is_learned(finished):
    folder, found = finished
    assert found["val_accuracy"] >= 0.9 > found["majority"] + 0.3
    for name in ("curves", "confusion"):
        with Image.open(folder / f"{name}.png") as picture:
            assert min(picture.size) > 200


def test_predict_judges_sentences_and_says_what_it_never_saw(finished):
    folder, _ = finished
    texts = ["the film is superb", "The plot is not superb", "the music is zzz"]
    code, out, err = call("predict", folder, *texts, "--json")
    assert (code, err) == (0, [])
    good, bad, strange = json.loads(out[0])
    assert (good["prediction"], bad["prediction"]) == ("positive", "negative")
    assert list(good["probabilities"]) == list(CLASSES)
    assert sum(good["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert (good["notes"], strange["notes"]) == ([], ["never saw zzz"])
    assert call("predict", folder, " ")[0] == 2
    assert call("predict", folder, "word " * 129)[0] == 2


@pytest.mark.parametrize("model", ["lstm", "transformer"])
def test_the_split_is_by_sentence_and_the_vocabulary_is_the_training_parts(tmp_path, monkeypatch, model):
    phrases = data.synthetic_phrases()
    own = [f"{text} w{sentence}" for text, sentence in zip(phrases.texts, phrases.sentences.tolist(), strict=True)]
    few = phrases.sentences <= 40  # a word of its own in each sentence
    count = int(few.sum())
    small = data.Phrases(own[:count], phrases.labels[:count], phrases.sentences[:count])
    monkeypatch.setattr(data, "synthetic_phrases", lambda: small)
    given = {}
    fit = train.fit

    def watching_fit(state, step, known, *arguments, **options):
        given["known"] = known
        return fit(state, step, known, *arguments, **options)

    monkeypatch.setattr(train, "fit", watching_fit)
    report = train.Report(tmp_path)
    sentiment.run(sentiment.Settings(epochs=1, model=model, device="cpu"), report)
    report.close()
    words = companion.read(tmp_path, "vocabulary")["words"]
    ids = torch.arange(1, 41)
    held_out = ids[random.permutation(random.fold_in(random.key(0), 2), 40)[:8]]
    expected = {f"w{sentence}" for sentence in ids.tolist() if sentence not in held_out}
    assert {word for word in words if word.startswith("w") and word[1:].isdigit()} == expected
    assert len(given["known"][1]) == int((~torch.isin(small.sentences, held_out)).sum())
    assert (given["known"][0]["input"] != 1).all()  # no unknown word in training
    (one,) = sentiment.predict(sentiment.Settings(model=model), tmp_path, ["the film is superb"])
    assert sum(one["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_the_transformer_does_not_look_at_padding():
    model = sentiment.make_model(sentiment.Settings(model="transformer"), 30)
    phrases = data.pad_sequences([[2, 3, 4], [5]])
    params, _ = model.init(random.key(0), phrases)
    wide = {**phrases, "input": torch.nn.functional.pad(phrases["input"], (0, 4))}
    torch.testing.assert_close(model(params, phrases), model(params, wide), rtol=0, atol=2e-7)


def test_bad_data_is_one_line(tmp_path):
    flags = ("--dataset", "sentiment", "--data-dir", tmp_path, "--out", tmp_path / "run")
    assert "Kaggle" in call("run", "sentiment", *flags)[2][-1]
    (tmp_path / "sentiment").mkdir()
    path = tmp_path / "sentiment" / "train.tsv"
    path.write_bytes(b"PhraseId\tSentenceId\tPhrase\tSentiment\n1\t1\tgood\t7\n")
    code, out, err = call("run", "sentiment", *flags)
    assert (code, out) == (2, [])
    assert f"{path}, line 2, column 'Sentiment': the label is '7'" in err[-1]


@pytest.mark.full
def test_sixty_percent_of_kaggles_phrases_by_epoch_six():
    report = train.Report()
    settings = sentiment.Settings(dataset="sentiment", epochs=6, device="cpu", compile="on")
    found = sentiment.run(settings, report).metrics
    assert max(row["val_accuracy"] for row in report.rows) >= 0.60
    assert found["majority"] == pytest.approx(0.51, abs=0.01)
