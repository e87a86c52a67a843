import gzip

import pytest
import torch

from funcdl import data
from funcdl.data import DataError


@pytest.fixture
def write(tmp_path):
    def write(content, name="table.csv"):
        path = tmp_path / name
        content = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path

    return write


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_numbers_and_names(write, name, end):
    table = data.read_table(write(end.join(['"a";"b c"', "1;-2.5", "", "3e2;4", ""]), name), delimiter=";", columns=2)
    assert table.names == ("a", "b c")
    assert torch.equal(table.values, torch.tensor([[1, -2.5], [300, 4]]))
    assert torch.equal(table.column("b c"), torch.tensor([-2.5, 4]))


def test_without_header_by_white_space_in_double(write):
    table = data.read_table(write(" 1  2\n\t3 0.1\n"), delimiter=None, header=False, columns=2, dtype=torch.float64)
    assert table.names == ()
    assert table.values.tolist() == [[1.0, 2.0], [3.0, 0.1]]


def test_chosen_columns_codes_conversions_and_gaps(write):
    path = write('id,name,sex,age\n1,"Braund, Mr.",male,22\n2,Heikkinen,female,\n')
    table = data.read_table(
        path,
        columns=["age", "sex", "id"],
        convert={"sex": {"male": 0, "female": 1}, "id": lambda s: 10.0 * int(s)},
        missing=-1,
    )
    assert table.names == ("age", "sex", "id")
    assert table.values.tolist() == [[22, 0, 10], [-1, 1, 20]]
    text = data.read_text_table(path, columns=["name"])
    assert (text.rows, text.lines) == ([["Braund, Mr."], ["Heikkinen"]], [2, 3])
    assert data.read_table(path, columns=["age"], missing=float("nan")).values.isnan().tolist() == [[False], [True]]


def test_quotes_are_text_if_not_quoted(write):
    path = write('id\tphrase\n1\tsay "no\n2\t\n')
    assert data.read_text_table(path, delimiter="\t", quoted=False).rows == [["1", 'say "no'], ["2", ""]]


def test_a_quoted_cell_over_two_lines_counts_both(write):
    with pytest.raises(DataError, match=r"table.csv, line 4, column 3: the row has 3 columns, expected 2"):
        data.read_text_table(write('a,b\n"x\ny",2\n3,4,5\n'))


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("a,b\n1,2\n3\n", {}, r"line 3, column 2: the row has 1 column, expected 2 separated by ','"),
        ("a,b\n1,2\n3,4,5\n", {}, r"line 3, column 3: the row has 3 columns, expected 2"),
        ("a,b\n1,2\n", {"columns": 3}, r"line 1, column 3: the row has 2 columns, expected 3"),
        ("1 2\n3\n", {"header": False, "delimiter": None}, r"line 2, column 2: .* separated by white space"),
        ("a,b\n1,2\n3,x\n", {}, r"line 3, column 2 'b': 'x' is not a number"),
        ("1,2\n3,x\n", {"header": False}, r"line 2, column 2: 'x' is not a number"),
        ("a,b\n1,\n", {}, r"line 2, column 2 'b': '' is not a number"),
        ("a,b\n1,2\n1,inf\n", {}, r"line 3, column 2 'b': 'inf' is not a finite number"),
        ("a,b\n1,nan\n", {"missing": 0.0}, r"line 2, column 2 'b': 'nan' is not a finite number"),
        (
            "a,b\n1,red\n",
            {"convert": {"b": {"green": 1, "blue": 2}}},
            r"line 2, column 2 'b': 'red' is not one of green, blue",
        ),
        ("a,b\n1,x\n", {"convert": {"b": float}}, r"line 2, column 2 'b': 'x' is not what is expected there"),
        ("a,b\n1,2\n", {"columns": ["c"]}, r"line 1: there is no column 'c' among a, b"),
        ("a,b\n1,2\n", {"convert": {"c": float}}, r"line 1: there is no column 'c' among a, b"),
        ("", {}, r"line 1, column 1: the file is empty"),
        ("\n\n", {}, r"line 1, column 1: the file is empty"),
        ("a,b\n", {}, r"line 2, column 1: no rows follow the header"),
        ('a,b\n1,"2\n', {}, r"line 2: unexpected end of data"),
        (b"a,b\n1,\xff\n", {}, r"line 2, column 3: byte 0xff is not UTF-8"),
    ],
)
def test_errors_name_line_and_column(write, content, options, message):
    with pytest.raises(DataError, match=rf"^\S*table.csv, {message}") as raised:
        data.read_table(write(content), **options)
    assert "\n" not in str(raised.value)


def test_missing_and_damaged_files(tmp_path):
    with pytest.raises(DataError, match=r"absent.csv cannot be read: No such file"):
        data.read_table(tmp_path / "absent.csv")
    damaged = tmp_path / "damaged.csv.gz"
    damaged.write_bytes(gzip.compress(b"a,b\n1,2\n")[:-6])
    with pytest.raises(DataError, match=r"damaged.csv.gz is a damaged gzip file"):
        data.read_table(damaged)


def test_columns_by_name_need_a_header(write):
    with pytest.raises(ValueError, match=r"columns can be chosen by name only in a file with a header"):
        data.read_table(write("1,2\n"), header=False, columns=["a"])


def test_a_byte_order_mark_is_no_text(write):
    assert data.read_text(write("\ufeffThe\n")) == "The\n"


def test_a_file_is_found_plain_or_gzipped_and_else_downloaded(write, tmp_path):
    published = write("a\n1\n", "published.csv")
    folder = tmp_path / "data"
    with pytest.raises(DataError, match=r"could not download table.csv.*put it at \S*data/set/table.csv"):
        data.find_or_download("set/table.csv", folder)
    found = data.find_or_download("set/table.csv", folder, urls=published.as_uri())
    assert (found, found.read_text()) == (folder / "set" / "table.csv", "a\n1\n")
    found.rename(folder / "set" / "table.csv.gz")
    assert data.find_or_download("set/table.csv", folder) == folder / "set" / "table.csv.gz"
    with pytest.raises(DataError, match=r"sha256"):
        data.find_or_download("set/other.csv", folder, urls=published.as_uri(), sha256="0" * 64)


def test_images_come_with_their_channels_first(tmp_path):
    from PIL import Image

    for mode, channels in (("L", 1), ("RGB", 3), ("RGBA", 4), ("CMYK", 3), ("P", 3)):
        path = tmp_path / f"{mode}.{'jpg' if mode == 'CMYK' else 'png'}"
        Image.new(mode, (5, 2)).save(path)
        image = data.load_image(path)
        assert (image.shape, image.dtype) == ((channels, 2, 5), torch.uint8)
    Image.new("RGB", (1, 2), (9, 8, 7)).save(path)
    assert data.load_image(path).tolist() == [[[9], [9]], [[8], [8]], [[7], [7]]]
    path.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"is not an image"):
        data.load_image(path)
