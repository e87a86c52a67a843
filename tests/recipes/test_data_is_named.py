"""A recipe whose sample stands in for other data says so in its output, every time and in both modes."""

import json

import pytest

from tests.recipes.small import call

STANDING_IN = {
    "titanic": "891 invented passengers",
    "credit": "569 breast tumors from scikit-learn, no debtors",
    "diabetes": "569 breast tumors from scikit-learn, no diabetes",
    "otto": "1,797 handwritten digits of scikit-learn in ten classes, no products",
    "names": "1,500 invented names of six invented languages",
    "sentiment": "2,127 invented phrases",
}


@pytest.mark.parametrize("name", STANDING_IN)
def test_the_output_says_what_the_sample_is_and_text_has_all_results_of_json(name, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "240")
    flags = ("run", name, "--epochs", 1, "--device", "cpu", "--compile", "off")
    code, out, err = call(*flags, "--json", "--out", tmp_path / "json")
    assert code == 0, err
    results = json.loads(out[-1])["metrics"]
    assert results["data"].startswith(STANDING_IN[name])
    code, out, err = call(*flags, "--out", tmp_path / "text")
    assert code == 0, err
    text = " ".join(out)
    assert STANDING_IN[name] in text
    for key, value in results.items():
        shown = f"{value:.6g}" if isinstance(value, float) else str(value)
        assert isinstance(value, list) or shown in text, key


def test_a_rule_about_women_is_said_to_be_about_invented_passengers(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "240")
    _, out, _ = call("run", "titanic", "--epochs", 1, "--device", "cpu", "--out", tmp_path / "run")
    (line,) = [line for line in out if "all women survive" in line]
    assert "(invented passengers)" in line
