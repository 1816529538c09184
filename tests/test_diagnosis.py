"""Planted faults are found: layer, cause, a remedy whose effect is measured. No false alarms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from conftest import DIGITS
from float_nets import RELU, FloatNet
from knightlite.diagnosis import Diagnosis, Finding, diagnose
from knightlite.diagnosis import causes as cause
from knightlite.diagnosis.preprocessing import examine
from knightlite.diagnosis.weight_causes import weight_suspects
from knightlite.frontend import load, load_quantized
from knightlite.inference import session
from knightlite.ir import Graph
from knightlite.onnx_models import write_float
from knightlite.preprocess import Recipe, load_recipe
from knightlite.quantize.data.workload import Forward, PictureFolder, Workload
from knightlite.quantize.settings import DEFAULT_SETTINGS
from planted import Noise, louder, quantized, scaled

Array = NDArray[Any]
SHARED = Path("/work/shared/data")


@pytest.fixture(scope="module")
def digits(digits_chain: Path) -> tuple[Graph, Graph]:
    """The float network, and as it was quantized."""
    return (
        load(digits_chain / "digits.onnx", None, None, None),
        load_quantized(digits_chain / "digits_quantize.onnx"),
    )


def pictures(recipe: Recipe, count: int = 10) -> PictureFolder:
    return PictureFolder(DIGITS / "calib", recipe, 1, count, (1, 3, 32, 32))


def told(graph: Graph, fixed: Graph, workload: Workload, recipe: Recipe | None = None) -> Diagnosis:
    return diagnose(graph, fixed, workload, DEFAULT_SETTINGS, recipe, threads=1)


def only(found: Diagnosis) -> Finding:
    (finding,) = found.findings
    return finding


def test_a_healthy_network_gives_no_alarm(digits: tuple[Graph, Graph]) -> None:
    recipe = load_recipe("digits")
    found = told(*digits, pictures(recipe), recipe)
    assert found.findings == ()
    assert found.healthy
    assert found.pictures == 10
    assert found.score.metric == found.float_metric == 100
    assert found.score.sqnr_db is not None
    assert found.score.sqnr_db > 25
    names = [*digits[0].inputs, *(node.output for node in digits[0].nodes)]
    assert [layer.name for layer in found.layers] == names
    by_name = {layer.name: layer for layer in found.layers}
    # errors add up: what a layer keeps in the whole network is less than it keeps alone
    assert all(item.accumulated_db <= item.isolated_db + 0.5 for item in found.layers)
    assert by_name["x"].weights_db is None
    assert 40 < (by_name["conv2d_0.tmp_0"].weights_db or 0) < 50
    assert found.preprocessing.used == "the normalisation of recipe digits"


@pytest.mark.parametrize("name", ["relu_2.tmp_0", "relu_13.tmp_0", "conv2d_18.tmp_0"])
def test_a_clipped_range(digits: tuple[Graph, Graph], name: str) -> None:
    graph, fixed = digits
    found = only(told(graph, scaled(fixed, name, 1 / 10), pictures(load_recipe("digits"))))
    assert (found.cause, found.layer) == (cause.CLIPPED, name)
    assert found.facts["clipped_share"] > 0.05
    # the range that would fit is about the one that quant chose
    assert found.facts["fitting_limit"] == pytest.approx(10 * found.facts["limit"], rel=0.3)
    assert f"{found.facts['clipped_share']:.2%} of the values lie beyond" in found.sentence
    best = found.remedies[0]
    assert best.switch == "quant -qm mse over this data"
    assert best.gain_db > 10
    assert best.after.metric == 100
    assert found.advice.startswith(f"{best.switch}: {best.before.sqnr_db:.1f} -> ")


def test_a_range_far_too_wide(digits: tuple[Graph, Graph]) -> None:
    graph, fixed = digits
    wide = scaled(fixed, "relu_10.tmp_0", 200)
    found = only(told(graph, wide, pictures(load_recipe("digits"))))
    assert (found.cause, found.layer) == (cause.TOO_WIDE, "relu_10.tmp_0")
    assert found.remedies[0].gain_db > 3


@pytest.mark.parametrize(
    ("name", "factor", "layer", "kind"),
    [
        ("relu_10.tmp_0", 100, "relu_10.tmp_0", cause.WEIGHT_OUTLIER),  # a loud channel
        ("relu_1.tmp_0", 200, "relu_1.tmp_0", cause.WEIGHT_OUTLIER),
        ("relu_10.tmp_0", 1 / 200, "conv2d_11.tmp_0", cause.WEIGHT_OUTLIER),  # of its reader
    ],
)
def test_one_outlier_channel_of_the_weights(
    digits: tuple[Graph, Graph], name: str, factor: float, layer: str, kind: str
) -> None:
    data = pictures(load_recipe("digits"))
    graph = louder(digits[0], name, 3, factor)
    found = only(told(graph, quantized(graph, data), data))
    assert (found.cause, found.layer) == (kind, layer)
    if factor > 1:
        assert found.facts["channels"] == [3]
        assert found.facts["weight_ratio"] > 20
    else:
        assert found.sentence.startswith("weight [0, 3, ")
    switches = [item.switch for item in found.remedies]  # the first one is free on the chip
    assert switches[0] == "quant --effort normal, for its equalization"
    assert any("16" in item for item in switches)
    assert found.remedies[0].gain_db > 2.5


def test_one_outlier_channel_of_a_batchnorm() -> None:
    """The values of one channel are loud, and no weights of a convolution are."""
    net = FloatNet()
    x = net.conv(net.input("x", 4, 6, 6), "a", 16, kernel=(3, 3), pads=(1, 1, 1, 1))
    gain = net.builder.constant("gain", np.ones(16, np.float32))
    offset = net.builder.constant("offset", np.zeros(16, np.float32))
    net.node("Affine", (x, gain, offset), "b", clamp=RELU)
    net.conv("b", "y", 4)
    graph = louder(net.builder.build(("y",)), "b", 5, 100)
    data = Noise((1, 4, 6, 6))
    found = only(told(graph, quantized(graph, data), data))
    assert (found.cause, found.layer) == (cause.OUTLIER_CHANNEL, "b")
    assert found.facts["channels"] == [5]
    assert found.remedies[0].gain_db > 8


def branches() -> FloatNet:
    """Two branches, their Concat, and a convolution over it."""
    net = FloatNet()
    x = net.input("x", 4, 6, 6)
    net.conv(x, "a", 8)
    net.conv(x, "b", 8)
    net.node("Concat", ("a", "b"), "c")
    net.conv("c", "y", 4)
    return net


def test_a_loud_member_of_a_scale_group() -> None:
    graph = branches().builder.build(("y",))
    changed = {name: graph.constants[name] * np.float32(64) for name in ("b.weight", "b.bias")}
    weights = graph.constants["y.weight"].copy()
    weights[:, 8:] /= 64
    graph = graph.with_constants({**changed, "y.weight": weights})
    data = Noise((1, 4, 6, 6))
    findings = told(graph, quantized(graph, data), data).findings
    # the weights that read the loud branch are small beside the others of their channel
    assert {item.cause for item in findings} == {cause.GROUP, cause.WEIGHT_OUTLIER}
    (found,) = (item for item in findings if item.cause == cause.GROUP)
    assert found.layer == "b"
    assert found.facts["quiet"] == "a"
    assert found.facts["ratio"] == pytest.approx(64, rel=0.5)
    assert found.remedies[0].gain_db > 3


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_a_scale_group_pulled_apart(name: str) -> None:
    graph = branches().builder.build(("y",))
    data = Noise((1, 4, 6, 6))
    found = only(told(graph, scaled(quantized(graph, data), name, 1 / 16), data))
    assert found.cause == cause.GROUP
    assert found.layer == name
    assert found.sentence.startswith("it must share one scale and type with ")
    assert found.remedies[0].switch == "quant -qm mse over this data"
    assert found.remedies[0].gain_db > 5


def test_eight_bits_are_few() -> None:
    """A small difference of large values: no range is wrong, and 8 bits do not resolve it."""
    net = FloatNet()
    weights = np.ones((2, 1, 1, 1)) + np.array([0, 0.02]).reshape(2, 1, 1, 1)
    net.conv(net.input("x", 1, 8, 8), "a", 2, weights=weights, bias=np.zeros(2))
    apart = np.array([1, -1]).reshape(1, 2, 1, 1)
    net.conv("a", "y", 1, weights=apart, bias=np.zeros(1))
    graph = net.builder.build(("y",))
    data = Noise((1, 1, 8, 8))
    found = told(graph, quantized(graph, data), data)
    assert found.findings[0].cause == cause.FEW_BITS
    assert found.findings[0].remedies[0].gain_db > 3


# ------------------------------------------------------------------ the preprocessing


@pytest.mark.parametrize("other", ["raw", "ppocr_cls"])
def test_wrong_mean_and_std(digits: tuple[Graph, Graph], other: str) -> None:
    mine, wrong = load_recipe("digits"), load_recipe(other)
    if other == "ppocr_cls":
        wrong = replace(wrong, mean=(3.0, 3.0, 3.0))
    altered = replace(mine, divide_by=wrong.divide_by, mean=wrong.mean, std=wrong.std, name="mine")
    data = pictures(altered, 40)
    found = told(digits[0], quantized(digits[0], data), data, altered)
    first = found.findings[0]
    assert (first.cause, first.layer) == (cause.PREPROCESSING, "x")
    assert found.float_metric is not None
    assert found.float_metric < 60
    assert found.preprocessing.better is not None
    assert found.preprocessing.better.metric >= 95
    assert "divide_by = 255, mean = [" in first.advice


def test_an_answer_that_is_always_the_same_is_no_better(
    digits: tuple[Graph, Graph],
) -> None:
    """Pictures of one class, as the first ones of a folder: pixels 0..255 always give a class."""
    graph, recipe = digits[0], load_recipe("digits")
    raw = replace(recipe, divide_by=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
    answers: list[int] = []
    run = session(write_float(graph), 1)

    def forward(inputs: tuple[Array, ...]) -> list[Array]:
        made = run.run(None, {graph.inputs[0]: inputs[0]})
        answers.extend(made[0].reshape(len(inputs[0]), -1).argmax(1).tolist())
        return list(made)

    pictures(raw, 40).run(forward)
    always = max(set(answers), key=answers.count)
    found = told(graph, digits[1], OneClass(pictures(recipe, 40), always), recipe)
    assert answers.count(always) >= 0.8 * len(answers)
    assert found.float_metric is not None
    assert found.float_metric < 20
    assert found.preprocessing.better is None


@dataclass(frozen=True)
class OneClass:
    """Pictures that are all said to be of one class; the metric is the share of such answers."""

    pictures: PictureFolder
    label: int
    description: str = "pictures of one class"

    def run(self, forward: Forward) -> float | None:
        right: list[bool] = []

        def counted(inputs: tuple[Array, ...]) -> Any:
            outputs = forward(inputs)
            right.extend(outputs[0].reshape(len(inputs[0]), -1).argmax(1) == self.label)
            return outputs

        self.pictures.run(counted)
        return 100 * float(np.mean(right))


def colors(folder: Path) -> Path:
    """Pictures of three classes: mostly red, mostly green, mostly blue."""
    rng = np.random.default_rng(3)
    for label in range(3):
        (folder / str(label)).mkdir(parents=True)
        for number in range(8):
            pixels = rng.integers(0, 120, (8, 8, 3)).astype(np.uint8)
            pixels[:, :, label] += 100
            Image.fromarray(pixels).save(folder / str(label) / f"{number}.png")
    return folder


def test_red_and_blue_exchanged(tmp_path: Path) -> None:
    net = FloatNet()
    net.conv(net.input("x", 3, 8, 8), "a", 3, weights=np.eye(3).reshape(3, 3, 1, 1),
             bias=np.zeros(3))  # fmt: skip
    whole = {"kernel": (8, 8), "strides": (1, 1), "pads": (0,) * 4, "counted_pads": (0,) * 4}
    net.node("AveragePool", ("a",), "y", **whole)
    graph = net.builder.build(("y",))
    right = replace(load_recipe("raw"), resize="none", resize_size=(), crop_size=())
    for recipe in (right, replace(right, color="BGR")):
        data = PictureFolder(colors(tmp_path / recipe.color), recipe, 24, 1, (1, 3, 8, 8))
        found = told(graph, quantized(graph, data), data, recipe)
        if recipe is right:
            assert found.findings == ()
            assert found.float_metric == 100
            continue
        finding = only(found)
        assert finding.cause == cause.PREPROCESSING
        assert "100.00 with the normalisation of recipe raw, red and blue" in finding.sentence
        assert ": 16 won, 0 lost of 24 pictures); " in finding.sentence
        assert " others do about as well on these pictures: " in finding.sentence
        assert "; these pictures do not tell it from the others that do" in finding.advice
        assert "red and blue exchanged, divide_by" in finding.advice
        assert found.preprocessing.better is not None
        assert found.preprocessing.better.metric == 100


@pytest.mark.parametrize("offset", [-50_000.0, 0.0])
def test_a_recipe_that_costs_decibels_but_no_answer(tmp_path: Path, offset: float) -> None:
    """The network takes differences of colours: a wrong mean falls out of float, not of int8."""
    net = FloatNet()
    weights = (1.5 * np.eye(3) - 0.5).reshape(3, 3, 1, 1)
    net.conv(net.input("x", 3, 8, 8), "a", 3, weights=weights, bias=np.zeros(3))
    whole = {"kernel": (8, 8), "strides": (1, 1), "pads": (0,) * 4, "counted_pads": (0,) * 4}
    net.node("AveragePool", ("a",), "y", **whole)
    graph = net.builder.build(("y",))
    right = replace(load_recipe("raw"), resize="none", resize_size=(), crop_size=())
    recipe = replace(right, mean=(offset,) * 3, name="mine")
    data = PictureFolder(colors(tmp_path / "colors"), recipe, 24, 1, (1, 3, 8, 8))
    found = told(graph, quantized(graph, data), data, recipe)
    assert found.float_metric == 100
    unfit = [item for item in found.findings if item.cause == cause.PREPROCESSING]
    assert len(unfit) == (1 if offset else 0)
    for item in unfit:
        assert item.sentence.startswith("the recipe does not fit: quantized anew, outputs keep")
        assert "where the float network reaches 100.00" in item.sentence
        assert item.advice.startswith("a recipe with divide_by = ")


@dataclass(frozen=True)
class Mistaken:
    """Pictures whose arrays a script puts into another order than the network's."""

    pictures: PictureFolder
    order: Callable[[Array], Array]
    description: str = "pictures in another order"

    def run(self, forward: Forward) -> float | None:
        return self.pictures.run(lambda inputs: forward((self.order(inputs[0]),)))


def last(pictures: Array) -> Array:
    """The memory of [N, H, W, C] arrays called [N, C, H, W]."""
    return np.ascontiguousarray(pictures.transpose(0, 2, 3, 1)).reshape(pictures.shape)


@pytest.mark.parametrize(
    ("order", "advice"),
    [
        (last, "transpose [H, W, C] arrays to [C, H, W] instead of reshaping them, divide_by"),
        (lambda item: item.transpose(0, 1, 3, 2), "transpose the pictures' height and width, "),
    ],
)
def test_arrays_in_another_order(
    digits: tuple[Graph, Graph], order: Callable[[Array], Array], advice: str
) -> None:
    recipe = load_recipe("digits")
    data = Mistaken(pictures(recipe, 40), order)
    found = told(digits[0], quantized(digits[0], data), data, recipe)
    finding = found.findings[0]
    assert (finding.cause, finding.layer) == (cause.PREPROCESSING, "x")
    assert finding.advice.startswith(advice)
    assert found.preprocessing.better is not None
    assert found.preprocessing.better.metric >= 95


@pytest.mark.parametrize("clamped", ["a", "b"])
def test_data_of_another_range_than_calibration(clamped: str) -> None:
    """No labels: the range that calibration stored still tells, and nothing behind tells it again.

    Where ``a`` is clamped, its own range fits any data, and weights of no account are beside it;
    where ``b`` is, the range of ``a`` ends where that of the input does.
    """
    net = FloatNet()
    clamps: dict[str, Any] = {clamped: {"clamp": (0.0, 0.5)}}
    net.conv(net.input("x", 4, 6, 6), "a", 8, **clamps.get("a", {}))
    net.conv("a", "b", 8, **clamps.get("b", {}))
    graph = net.builder.build(("b",))
    weights, bias = (graph.constants[f"a.{kind}"].copy() for kind in ("weight", "bias"))
    weights[3], bias[3] = 1e-9 * weights[3], 1.0  # its scale is raised, which costs nothing
    graph = graph.with_constants({"a.weight": weights, "a.bias": bias})
    fixed = quantized(graph, Noise((1, 4, 6, 6)))
    assert [item.cause for item in weight_suspects(graph, fixed)] == [cause.RAISED]

    class Loud(Noise):
        def run(self, forward):  # type: ignore[no-untyped-def]
            return super().run(lambda inputs: forward((inputs[0] * np.float32(8),)))

    found = told(graph, fixed, Loud((1, 4, 6, 6)))
    (first,) = found.findings
    assert (first.cause, first.layer) == (cause.DATA_RANGE, "x")
    assert "calibrate with the recipe and the pictures that the network will see" in first.advice


# ------------------------------------------------------------------ real networks, where at hand


@pytest.mark.skipif(not SHARED.is_dir(), reason="the trained models are not here")
def test_a_right_recipe_that_another_network_s_mean_beats_by_chance() -> None:
    """Of 100 words 77 are right, and 83 with another mean; of all 400 it is 345, and 344."""
    with np.load(SHARED / "ppocr_cls" / "words.npz") as stored:
        words = {"x": stored["x"][:100], "y": stored["y"][:100]}
    files = SHARED / "models" / "ppocr_cls"
    shape = (1, 3, 48, 192)
    graph = load(files / "ocrV3_cls.pdmodel", files / "ocrV3_cls.pdiparams", None, [shape])
    recipe = load_recipe("ppocr_cls")
    labels = words["y"]

    class Words:
        description = "100 words"

        def run(self, forward: Forward) -> float | None:
            right = 0
            for pixels, label in zip(words["x"], labels, strict=False):
                x = ((pixels / np.float32(255) - 0.5) / 0.5).astype(np.float32)
                right += int(np.argmax(forward((x.reshape(shape),))[0]) == label)
            return 100 * right / len(labels)

    found = examine(
        graph, Words(), 77.0, 100, (-1.0, 1.0), recipe, 2, threads=1, wanted=labels.astype(np.intp)
    )
    assert (found.better, found.implausible) == (None, None)
    assert found.trials[0].metric == 83
    assert found.doubt is not None
    assert "+6.00 points, 95 % interval for all 16 tried -1.91 to +6.00: 6 won, 0" in found.doubt


@pytest.mark.skipif(not SHARED.is_dir(), reason="the trained models are not here")
def test_a_trained_network() -> None:
    graph = load(SHARED / "models" / "resnet20_cifar10.onnx", None, None, None)
    right = load_recipe("cifar10")
    shape = graph.tensors[graph.inputs[0]].shape
    for recipe, causes in (
        (right, []),
        (replace(right, color="BGR"), [cause.PREPROCESSING]),
        (replace(right, divide_by=1.0), [cause.PREPROCESSING]),
    ):
        data = PictureFolder(SHARED / "cifar10" / "calib", recipe, 4, 25, shape)
        found = told(graph, quantized(graph, data), data, recipe)
        assert [item.cause for item in found.findings] == causes
