"""The first five lessons, tensors to activations: their figures to all printed digits."""

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from funcdl import train
from recipes import registry
from recipes.basics import _neuron
from tests.recipes.small import call

LESSONS = ["tensors", "storage", "numpy-bridge", "autograd", "activations"]
PICTURES = {"activations": {"activations", "book", "composition", "ranges"}, "autograd": {"neuron", "zero_grad"}}


def run(name, report=None, **settings):
    module = registry.find(name).load()
    return module.run(module.Settings(**settings), report or train.Report())


@pytest.fixture(scope="module")
def metrics():
    return {name: run(name).metrics for name in LESSONS}


class Album(train.Report):
    """Keeps the figures instead of writing them."""

    def __init__(self):
        super().__init__()
        self.figures = {}

    def picture(self, name, figure):
        self.figures[name] = figure


# tensors


def test_tensors_are_made_of_shapes_and_values(metrics):
    found = metrics["tensors"]
    assert found["tensor"] == [5.5, 3.0]
    assert found["empty"] == [5, 3]
    assert found["zeros"] == [[0] * 3] * 5
    assert all(type(number) is int for row in found["zeros"] for number in row)
    assert found["new_ones"] == "torch.float64"
    assert found["normal"] == ["torch.float32", 5, 3]
    assert found["ranks"] == [0, 1, 2, 3]


def test_four_ways_to_add_agree_and_only_one_changes_its_argument(metrics):
    found = metrics["tensors"]
    assert found["add_equal"] == [True, True, True]
    assert found["add_keeps"] is True
    assert found["add_changes"] is False
    assert found["turn"] is True
    assert found["zero"] == [[0.0] * 5] * 3


def test_views_parts_and_new_dims(metrics):
    found = metrics["tensors"]
    assert found["view"] == [[4, 4], [16], [2, 8]]
    assert found["index"] == [[1.0, 4.0], [4.0, 1.0, 5.0], [4.0]]
    assert repr(found["item"]) == "-0.23680149018764496"
    assert found["unsqueeze"] == [100, 1]
    assert found["unsqueeze_dims"] == [-2, -1, 0, 1]
    assert found["unsqueeze_error"].startswith("IndexError: ")
    assert found["broadcast"] == [[3, 1], [3, 3], [2, 3, 3]]


def test_dtypes_and_devices(metrics):
    found = metrics["tensors"]
    assert repr(found["pi"]) == "3.143322229385376"
    assert found["whole"] == [3] * 5
    assert found["dtypes"] == ["torch.int64", "torch.int32", "torch.int16", "torch.int8", "torch.uint8"]
    assert f"{found['half']:.4f}" == "3.1426"
    assert found["round_trip"] == [float(np.float32(3.1433223) + np.float32(1)), "torch.float64"]


def test_saved_tensors_come_back_whole_and_in_part(metrics):
    assert metrics["tensors"]["saved"] == [[1.0, 4.0], [2.0, 1.0], [3.0, 5.0]]
    assert metrics["tensors"]["last_two"] == [[2.0, 1.0], [3.0, 5.0]]


def test_the_seed_decides_what_is_random_and_nothing_else():
    first, again, other = (run("tensors", seed=seed).metrics for seed in (1, 1, 2))
    assert first == again
    assert {name for name in first if first[name] != other[name]} == {"uniform"}
    assert all(0 <= number < 1 for row in first["uniform"] for number in row)
    assert first["uniform_inside"] is True
    assert [len(first["uniform"]), len(first["uniform"][0])] == [5, 3]


# storage


def test_a_matrix_is_a_view_of_its_storage(metrics):
    found = metrics["storage"]
    assert found["storage"] == [1, 4, 2, 1, 3, 5]
    assert [found["length"], found["bytes"], found["size"], found["offset"]] == [6, 24, [3, 2], 0]
    assert found["stride"] == [2, 1]
    assert [found["row_offset"], found["row_stride"]] == [2, [1]]
    assert [found["column_offset"], found["column_stride"]] == [1, [2]]
    assert found["elements"] == [[1, 4], [2, 1], [3, 5]]


def test_a_transpose_has_the_same_storage_and_other_strides(metrics):
    found = metrics["storage"]
    assert found["turned_stride"] == [1, 2]
    assert found["turned_shares"] is True
    assert found["turned_contiguous"] is False
    assert found["turned_storage"] == [4, 1, 5, 3, 2, 1]
    assert [found["laid_stride"], found["laid_storage"]] == [[3, 1], [4, 5, 2, 1, 3, 1]]
    assert [found["some_stride"], found["swapped_stride"]] == [[20, 5, 1], [1, 5, 20]]


def test_writing_into_a_view_changes_the_parent_and_into_a_clone_does_not(metrics):
    found, before, after = metrics["storage"], [[1, 4], [2, 1], [3, 5]], [[1, 4], [10, 1], [3, 5]]
    assert [found["written"], found["cloned"]] == [after, before]
    assert [found["replaced"], found["unchanged"]] == [after, before]


# numpy-bridge


def test_arrays_and_tensors_share_memory(metrics):
    found = metrics["numpy-bridge"]
    assert found["to_numpy"] == [[2.0] * 5] * 2
    assert found["from_numpy"] == [[2.0] * 5] * 2
    assert found["from_numpy_dtype"] == "torch.float64"
    assert found["copy"] == [1.0] * 5
    assert found["char"] == "int8"
    assert found["bfloat16"].startswith("TypeError: ")


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("abs", ["1.0000", "2.0000", "1.0000", "2.0000"]),
        ("sin", ["-0.8415", "-0.9093", "0.8415", "0.9093"]),
        ("sigmoid", ["0.2689", "0.1192", "0.7311", "0.8808"]),
        ("exp", ["0.3679", "0.1353", "2.7183", "7.3891"]),
    ],
)
def test_numpy_and_torch_compute_the_same(metrics, name, figures):
    for row in metrics["numpy-bridge"][name]:
        assert [f"{number:.4f}" for number in row] == figures


def test_means_and_products(metrics):
    found, product = metrics["numpy-bridge"], [[7.0, 10.0], [15.0, 22.0]]
    assert found["mean"] == [0.0, 0.0]
    assert [found["mm"], found["numpy_matmul"], found["numpy_dot"]] == [product] * 3
    assert found["elementwise"] == [[1.0, 4.0], [9.0, 16.0]]
    assert [found["flat_dot"], found["dot"]] == [30.0, 7]
    assert found["matrix_dot"] == "RuntimeError: 1D tensors expected, but got 2D and 2D tensors"


# autograd

WAYS = ("by_hand", "backward", "grad")


@pytest.mark.parametrize(
    ("name", "gradient"),
    [
        ("mean", [[0.5, 1.0], [1.5, 2.0]]),
        ("sum", [[1.0] * 5] * 2),
        ("custom", 5.0),
        ("chain", [15.0, 10.0]),
        ("linear", -2.0),
        ("exercise_1", -8.0),
        ("exercise_2", [2.0, 2.0]),
    ],
)
def test_each_way_gives_the_tutorials_gradient_exactly(metrics, name, gradient):
    for way in WAYS:
        assert metrics["autograd"][f"{name}_{way}"] == gradient, way


def test_the_thermometers_gradient_to_the_books_digits(metrics):
    for way in WAYS:
        slope, intercept = metrics["autograd"][f"thermometer_{way}"]
        assert [f"{slope:.4f}", f"{intercept:.4f}"] == ["4517.2969", "82.6000"], way


@pytest.mark.parametrize("seed", range(5))
def test_all_gradients_agree_in_three_ways(seed):
    found = run("autograd", seed=seed).metrics
    names = [name.removesuffix("_by_hand") for name in found if name.endswith("_by_hand")]
    assert len(names) == 11
    for name in names:
        for way in WAYS[1:]:
            torch.testing.assert_close(
                torch.tensor(found[f"{name}_{way}"]), torch.tensor(found[f"{name}_by_hand"]), rtol=1e-6, atol=1e-6
            )
    two, one = found["two_linear"]
    assert two == pytest.approx(one, rel=1e-12)


def test_powers_and_the_hidden_layer_against_the_formulas(metrics):
    found = metrics["autograd"]
    x, y = (torch.tensor(gradients) for gradients in found["powers_grad"])
    x, y = x / 2, (y / 3).sqrt()
    assert ((x >= 0) & (x < 1) & (y >= 0) & (y < 1)).all()  # 2 x and 3 y² of uniform numbers
    h = math.tanh(1)
    residual = h - 2
    assert found["hidden_grad"] == pytest.approx([2 * residual * (1 - h**2), 2 * residual * h], rel=1e-6)


def test_values_and_what_is_recorded(metrics):
    found = metrics["autograd"]
    assert found["mean"] == 7.5
    assert found["linear"] == [-1.0, 1.0]
    assert found["leaves"] == [True, False]
    assert found["graph"] == ["PowBackward0", "PowBackward0"]
    assert [found["recorded_true"], found["recorded_false"], found["no_grad"]] == [True, False, False]


# activations

ORACLES = {
    "relu": F.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softplus": F.softplus,
    "hardtanh": F.hardtanh,
    "leaky_relu(0.1)": lambda x: F.leaky_relu(x, 0.1),
}


def test_backward_through_a_neuron_step_by_step(metrics):
    found = metrics["autograd"]
    a = 1 / (1 + math.exp(-0.5))  # sigmoid(0.5 * 2 - 0.5)
    assert (found["neuron_z"], found["neuron_a"]) == pytest.approx((0.5, a))
    assert found["neuron_loss"] == pytest.approx((a - 1) ** 2)
    slope = 2 * (a - 1) * a * (1 - a)
    assert (found["neuron_da"], found["neuron_dz"]) == pytest.approx((2 * (a - 1), slope))
    assert (found["neuron_dw"], found["neuron_db"]) == pytest.approx((2 * slope, slope))
    assert found["network_p"] == pytest.approx(1.5 * a + 0.25)
    assert found["network_dz"] == pytest.approx(2 * (1.5 * a - 0.75) * 1.5 * a * (1 - a))  # longer by v
    assert found["neuron_equal"] is found["network_equal"] is True


def test_backward_goes_from_the_loss_to_the_parameters(metrics):
    names = [name for name in metrics["autograd"] if name.startswith("network_d")]
    assert names == [f"network_d{name}" for name in ("p", "h", "z", "w", "b", "v", "c")]


def test_a_wrong_step_of_the_chain_rule_is_noticed(monkeypatch):
    def wrong(w, b):
        return [step._replace(gradient=2 * step.gradient) for step in _neuron.neuron(w, b)]

    assert _neuron.agree(_neuron.neuron, {"w": torch.tensor(0.5), "b": torch.tensor(0.0)}, torch.zeros(2)) is False
    given = {"w": torch.tensor(0.5), "b": torch.tensor(-0.5)}
    by_hand = torch.stack([step.gradient for step in wrong(**given) if step.name in given])
    assert _neuron.agree(_neuron.neuron, given, by_hand) is False


def test_the_picture_of_a_neuron_has_every_value_and_gradient(metrics):
    album = Album()
    run("autograd", album)
    texts = "\n".join(text.get_text() for axes in album.figures["neuron"].axes for text in axes.texts)
    found = metrics["autograd"]
    for name, value in found.items():
        if name.startswith(("neuron_", "network_")) and not name.endswith("_equal"):
            assert f"{value:.4g}" in texts, name


def test_gradients_add_up_unless_they_are_zeroed_or_returned(metrics):
    found = metrics["autograd"]
    assert found["grad_added"] == [-4, -8, -12]
    assert found["grad_zeroed"] == found["grad_returned"] == [-4, -4, -4]
    without, zeroed, returned = found["descents"]
    assert abs(without - 3) > 0.5  # swings about the lowest point
    assert zeroed == returned == pytest.approx(3 - 2 * 0.8**30, abs=1e-5)


def test_activations_at_some_points(metrics):
    found = metrics["activations"]
    assert [found["points"], found["book_points"]] == [200, 61]
    assert f"{found['leaky_relu']:.1f}" == "-0.3"
    assert found["leaky_slope"] == pytest.approx([0.1, 1.0])
    assert [f"{number:.4f}" for number in found["composition"]] == ["1.6885", "1.6655"]
    assert found["sigmoid_range"] == pytest.approx([0, 1])
    assert [found["tanh_range"], found["hardtanh_range"], found["relu_range"]] == [[-1, 1], [-1, 1], [0, 100]]
    assert found["hardtanh_0_10"] == [0, 5, 10]
    for name in ("relu", "sigmoid", "tanh", "softplus"):
        assert found[f"{name}_derivative"] is True
        points = torch.tensor([-5.0, 0.0, 5.0], dtype=torch.float64)
        assert found[name][0] == pytest.approx(ORACLES[name](points).tolist(), rel=1e-5)
    assert found["sigmoid"][1][1] == 0.25
    assert found["softplus"][1] == pytest.approx(found["sigmoid"][0])


def test_pictures_show_each_function_and_its_derivative_on_the_tutorials_axes():
    album = Album()
    run("activations", album)
    assert set(album.figures) == PICTURES["activations"]
    limits = {axes.get_title(): axes.get_ylim() for axes in album.figures["activations"].axes}
    assert limits == {"relu": (-1, 5), "sigmoid": (-0.2, 1.2), "tanh": (-1.2, 1.2), "softplus": (-0.2, 6)}
    assert [axes.get_title() for axes in album.figures["book"].axes] == [
        "tanh",
        "hardtanh",
        "sigmoid",
        "softplus",
        "relu",
        "leaky_relu(0.1)",
    ]
    for name, ends in (("activations", (-5, 5)), ("book", (-3, 3))):
        for axes in album.figures[name].axes:
            curve, slope = axes.lines
            x = torch.tensor(curve.get_xdata(), requires_grad=True)
            assert (x[0].item(), x[-1].item()) == pytest.approx(ends)
            y = ORACLES[axes.get_title()](x)
            y.sum().backward()
            np.testing.assert_allclose(curve.get_ydata(), y.detach().numpy(), atol=1e-6)
            np.testing.assert_allclose(slope.get_ydata(), x.grad.numpy(), atol=1e-6)
            assert axes.get_xlabel()
            assert axes.get_ylabel()
        assert album.figures[name].legends
    composed = album.figures["composition"].axes[-1].lines[0].get_ydata()
    assert [f"{number:.4f}" for number in composed[[0, -1]]] == ["1.6885", "1.6655"]


def test_the_picture_of_ranges_ends_where_the_activations_do():
    album = Album()
    run("activations", album)
    (axes,) = album.figures["ranges"].axes
    ranges = dict(zip([label.get_text() for label in axes.get_yticklabels()], axes.texts, strict=True))
    assert {name: text.get_text() for name, text in ranges.items()} == {
        "tanh": "-1 to 1",
        "hardtanh": "-1 to 1",
        "sigmoid": "0 to 1",
        "softplus": "0 to infinity",
        "relu": "0 to infinity",
        "leaky_relu(0.1)": "-infinity to infinity",
    }


# all five, by the command line


@pytest.mark.parametrize("name", LESSONS)
def test_the_metrics_are_json_and_the_table_has_every_line(name, tmp_path):
    code, out, err = call("run", name, "--json", "--out", tmp_path / "json")
    assert (code, len(out)) == (0, 1), err
    result = json.loads(out[0])
    assert (result["recipe"], result["dataset"], result["compiled"], result["epochs"]) == (name, "sample", False, 0)
    lesson = run(name).lesson
    assert result["metrics"] == lesson.metrics
    assert len(lesson.remarks) >= 2
    pictures = {path.stem for path in (tmp_path / "json").glob("*.png")}
    assert pictures == PICTURES.get(name, set())
    for picture in pictures:
        with Image.open(tmp_path / "json" / f"{picture}.png") as image:
            assert min(image.size) > 300
    code, out, err = call("run", name, "--out", tmp_path / "table")
    assert (code, err) == (0, [])
    assert sum(line.startswith("- ") for line in out) == len(lesson.remarks)


@pytest.mark.parametrize(
    ("name", "flags", "says"),
    [
        ("autograd", ["--dataset", "mnist"], "--dataset: 'autograd' has no such flag, as it would change nothing"),
        ("numpy-bridge", ["--device", "cuda"], "--device: 'numpy-bridge' has no such flag"),
        ("tensors", ["--lr", "0"], "it has --device, --seed, --out, --resume, --json"),
        ("storage", ["--device", "tpu"], "--device: invalid choice 'tpu'; it is one of auto, cpu, cuda"),
        ("activations", ["--slope", "2"], "--slope"),
    ],
)
def test_bad_flags_are_refused_in_one_line(name, flags, says, tmp_path):
    code, out, err = call("run", name, *flags, "--out", tmp_path / "run")
    assert (code, out, len(err)) == (2, [], 1)
    assert says in err[0]
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("name", ["tensors", "storage", "autograd", "activations"])
def test_a_gpu_that_is_not_there_is_refused(name, tmp_path):
    code, _, err = call("run", name, "--device", "cuda", "--out", tmp_path / "run")
    assert (code, len(err)) == (2, 1)
    assert "--device cuda" in err[0]
