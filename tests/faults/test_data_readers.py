"""Tables, folders of photographs and text: errors name the place, and no value is misread."""

import math
import time

import pytest
import torch
from PIL import Image

from funcdl import data, random
from funcdl.data import DataError
from tests.recipes.small import call


def table(tmp_path, text, **options):
    path = tmp_path / "t.csv"
    path.write_text(text, newline="")
    return data.read_table(path, **options)


@pytest.mark.parametrize(
    "cell",
    [
        "1_2",
        "1_000",
        "infinity",
        "-Infinity",
        " nan",
        "NaN",
        "\uff11\uff12",
        "\u0663",
        "0x10",
        "1e5_0",
        "\u00a01",
        "\x0b1",
        '"1\n"',
        "1,5",
    ],
)
@pytest.mark.parametrize("missing", [None, -1.0])
def test_only_plain_numbers_are_numbers(tmp_path, cell, missing):
    cell = f'"{cell}"' if "," in cell else cell
    with pytest.raises(DataError, match=r"line [34], column 2 'b': '.*' is not a (finite )?number") as caught:
        table(tmp_path, f"a,b\n1,2\n3,{cell}\n", missing=missing)
    assert str(caught.value).startswith(f"{tmp_path}")


@pytest.mark.parametrize("cell", ["12", " 12 ", "+12", "12.", "1.2e1", "1.2E+01", "\t12", "0012", "120e-1"])
@pytest.mark.parametrize("missing", [None, -1.0])
def test_plain_numbers_stay_numbers(tmp_path, cell, missing):
    assert table(tmp_path, f"a,b\n{cell},.5\n", missing=missing).values.tolist() == [[12.0, 0.5]]


@pytest.mark.parametrize(
    ("cell", "dtype"),
    [
        ("1e39", torch.float32),
        ("-3.5e38", torch.float32),
        ("70000", torch.float16),
        ("1.5", torch.int64),
        ("300", torch.uint8),
        ("-1", torch.uint8),
        ("9007199254740993", torch.int64),
        ("1e19", torch.int64),
        ("2", torch.bool),
    ],
)
def test_a_value_that_the_dtype_cannot_represent(tmp_path, cell, dtype):
    text = f"a,b\n1,0\n1,{cell}\n"
    with pytest.raises(DataError, match=rf"line 3, column 2 'b': '{cell}' is not a number that {dtype} holds; "):
        table(tmp_path, text, dtype=dtype)
    assert table(tmp_path, text, dtype=torch.float64).values[1, 1] == float(cell)


def test_values_that_the_dtype_can_represent(tmp_path):
    assert table(tmp_path, "a\n3.4e38\n1e-60\n").values.tolist() == [[torch.tensor(3.4e38).item()], [0.0]]
    assert table(tmp_path, "a\n-7\n").values.dtype == torch.float32
    assert table(tmp_path, "a\n-7\n", dtype=torch.int16).values.tolist() == [[-7]]
    assert table(tmp_path, "a,b\n,1\n", missing=math.nan).values.isnan().tolist() == [[True, False]]


def test_columns_of_one_name(tmp_path):
    text = "a,b,a,c\n1,2,3,4\n"
    with pytest.raises(DataError, match=r"t\.csv, line 1: columns 1 and 3 are both called 'a'; rename one"):
        table(tmp_path, text)
    with pytest.raises(DataError, match="both called 'a'"):
        table(tmp_path, text, columns=["b", "a"])
    with pytest.raises(DataError, match="both called 'a'"):
        data.read_text_table(tmp_path / "t.csv")
    assert table(tmp_path, text, columns=["c", "b"]).values.tolist() == [[4, 2]]


def test_a_conversion_to_more_than_a_float_can_represent(tmp_path):
    with pytest.raises(DataError, match=r"line 2, column 1 'a': '1000.*\.\.\.' is not what is expected there"):
        table(tmp_path, f"a\n1{'0' * 400}\n", convert={"a": int})


def test_messages_do_not_repeat_a_whole_cell(tmp_path):
    with pytest.raises(DataError) as caught:
        table(tmp_path, f"a\n{'x' * 10_000}\n")
    assert len(str(caught.value)) < 400


@pytest.fixture
def folder(tmp_path):
    """Ants and bees, two to train on and two to test with, told apart by their brightness."""
    for number, place in enumerate(("train/ants", "train/bees", "val/ants", "val/bees")):
        paint(tmp_path / "set" / place / "one.png", 10 * number)
    return tmp_path


def paint(path, level):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (40, 40), level).save(path)


def read(folder, **options):
    return data.photographs(folder, name="set", size=28, workers=0, **options)


def test_hidden_files_and_folders_are_no_photographs(folder):
    for place in ("train/ants", "train/bees", "val/ants", "val/bees"):
        for name in ("._one.png", ".DS_Store", "Thumbs.db", "desktop.ini", ".hidden.jpg"):
            (folder / "set" / place / name).write_bytes(b"\0\5\26\7")
        for name in ("__MACOSX", ".thumbnails", "@eaDir"):
            (folder / "set" / place / name).mkdir()
            (folder / "set" / place / name / "one.png").write_bytes(b"none")
    for part in ("train", "val"):
        for name in ("__MACOSX", ".cache"):
            paint(folder / "set" / part / name / "one.png", 0)
    found = read(folder)
    assert found.classes == ("ants", "bees")
    assert (len(found.split.train[1]), len(found.split.test[1]), found.skipped) == (2, 2, ())


def test_nested_photographs_belong_to_the_class_above_as_in_torchvision(folder):
    from torchvision.datasets import ImageFolder

    paint(folder / "set/train/ants/brown/old/x.png", 70)
    paint(folder / "set/train/ants/brown/b.png", 80)
    paint(folder / "set/train/bees/a.jpg/one.png", 90)  # a folder that is called as a picture is
    (folder / "set/train/bees/loop").symlink_to(folder / "set/train/bees")
    (images, labels), _ = read(folder).split
    (folder / "set/train/bees/loop").unlink()
    theirs = [
        (int(picture.convert("L").getpixel((0, 0))), label) for picture, label in ImageFolder(folder / "set/train")
    ]
    assert [(int(image.unique()), label) for image, label in zip(images, labels.tolist(), strict=True)] == theirs
    assert len(theirs) == 5


def test_damaged_exif_metadata_is_a_damaged_image(folder):
    path = folder / "set/train/ants/two.jpg"
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "an ant"
    block = exif.tobytes().replace(b"\x01\x0e", b"\x01\x07")  # a text where a number belongs
    Image.new("RGB", (40, 40)).save(path, exif=block)
    with pytest.raises(DataError, match=r"two\.jpg cannot be read as an image \(.*\); save it again as PNG"):
        data.load_image(path)
    assert "two.jpg" in read(folder, skip_unreadable=True).skipped[0]
    with pytest.raises(DataError, match=r"1 of the photographs cannot be used: .*two\.jpg"):
        read(folder)


def test_a_long_strip_is_not_scaled_up_to_gigabytes(folder):
    Image.new("L", (30_000, 1)).save(folder / "set/train/ants/strip.png")
    begun = time.perf_counter()
    with pytest.raises(DataError, match=r"strip\.png has 30,000 x 1 pixels, too long a strip; cut it"):
        data.photographs(folder, name="set", workers=0)
    assert time.perf_counter() - begun < 30


def sentiment_file(folder, *rows):
    (folder / "sentiment").mkdir(exist_ok=True)
    lines = ["PhraseId\tSentenceId\tPhrase\tSentiment", *("\t".join(("1", *row)) for row in rows)]
    (folder / "sentiment/train.tsv").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("number", [str(2**63), "9" * 5000, "\u0661", "-1", "1.0", ""])
def test_sentence_ids(tmp_path, number):
    sentiment_file(tmp_path, ("1", "fine", "3"), (number, "good", "4"))
    with pytest.raises(DataError, match=r"line 3, column 'SentenceId': '.*' is not a number of at most 18 digits"):
        data.sentiment(tmp_path)


def test_texts_of_excessive_length(tmp_path):
    sentiment_file(tmp_path, ("1", "fine", "3"), ("2", "so " * 129, "4"))
    with pytest.raises(DataError, match=r"line 3, column 'Phrase': 129 words, expected at most 128"):
        data.sentiment(tmp_path)
    (tmp_path / "names").mkdir()
    (tmp_path / "names/names_train.csv").write_text(f"Ada,Alban\n{'a' * 101},Alban\n")
    with pytest.raises(DataError, match=r"line 2, column 1: a name of 101 letters, 'a{60}\.\.\.', expected"):
        data.names(tmp_path)


@pytest.mark.parametrize("sizes", [(2**32 - 1, 2**32 - 1, 0), (0, 2**32 - 1, 2**32 - 1), (2**32 - 1,) * 3])
def test_sizes_that_no_tensor_has(tmp_path, sizes):
    path = tmp_path / "images"
    path.write_bytes(bytes([0, 0, 8, 3]) + b"".join(size.to_bytes(4, "big") for size in sizes))
    with pytest.raises(DataError, match=r"images (states the sizes|is truncated)"):
        data.read_idx(path, dimensions=3)
    path.write_bytes(bytes([0, 0, 8, 3, *[0] * 7, 28, 0, 0, 0, 28]))
    assert data.read_idx(path, dimensions=3).shape == (0, 28, 28)


def test_too_few_rows_for_a_held_out_part_are_a_data_error():
    with pytest.raises(DataError, match=r"hold_out: share=0\.1 of 5 rows leaves one of the parts empty; more rows"):
        data.hold_out(random.key(0), torch.arange(5), 0.1)


def rows_of(dataset, n):
    """A file of `n` rows in the form of a data set."""
    if dataset == "credit":
        return "credit/german.data-numeric", "".join(f"{' '.join('7' * 24)} {1 + i % 2}\n" for i in range(n))
    if dataset == "titanic":
        rows = [f"{i % 2},{1 + i % 3},{'male' if i % 2 else 'female'},,0,0,7.5,{'SCQ'[i % 3]}" for i in range(n)]
        return "titanic/train.csv", "\n".join(["Survived,Pclass,Sex,Age,SibSp,Parch,Fare,Embarked", *rows])
    if dataset == "otto":
        rows = [f"{','.join('3' * 93)},Class_{1 + i % 9}" for i in range(n)]
        return "otto/train.csv", "\n".join([f"{','.join(f'feat_{i}' for i in range(1, 94))},target", *rows])
    rows = [f"{i}\t{i}\tgood film\t{i % 5}" for i in range(n)]
    return "sentiment/train.tsv", "\n".join(["PhraseId\tSentenceId\tPhrase\tSentiment", *rows])


@pytest.mark.parametrize("n", [1, 4, 5])
@pytest.mark.parametrize("dataset", ["credit", "titanic", "otto", "sentiment"])
def test_a_tiny_table_is_refused_in_one_sentence(tmp_path, dataset, n):
    name, text = rows_of(dataset, n)
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text(text + "\n")
    flags = ("--dataset", dataset, "--data-dir", tmp_path, "--out", tmp_path / "run", "--compile", "off")
    code, _, lines = call("run", dataset, *flags)
    assert (code, sum(line.startswith("funcdl: ") for line in lines)) == (2, 1)


def test_a_column_without_a_value_in_the_training_part(tmp_path):
    name, text = rows_of("titanic", 20)
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text(text + "\n")
    flags = ("--dataset", "titanic", "--data-dir", tmp_path, "--out", tmp_path / "run", "--batch-size", "2")
    code, _, lines = call("run", "titanic", *flags)
    assert (code, lines[-1].split(";")[0]) == (
        2,
        "funcdl: no passenger of the training part has a value in column 'Age'",
    )


def test_a_photograph_beside_the_classes_is_not_dropped(folder):
    (folder / "set" / "val" / "._x.png").write_bytes(b"")
    (folder / "set" / "val" / "readme.txt").write_text("")
    read(folder)
    paint(folder / "set" / "val" / "x.png", 5)
    with pytest.raises(DataError, match=r"val.x\.png is in no class; move it to the folder of one, such as .*ants"):
        read(folder)
