"""Layers that quantization alone spoils: predicted from histograms, held to what is measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from conformance_checks import Pictures
from knightlite import dtypes
from knightlite.frontend import load
from knightlite.quantize.pipeline import QuantizeResult, quantize_graph
from knightlite.quantize.settings import Settings
from knightlite.quantize.weak_layers import WeakLayer, findings
from onnx_nets import Net
from seeded_pictures import pictures

Build = Callable[[Net], str]


def quantized(folder: Path, build: Build, bits: int = 8) -> QuantizeResult:
    """A network of input [1, 3, 16, 16]; ``build`` gives the name of its output."""
    net = Net(15)
    net.input("x", (1, 3, 16, 16))
    graph = load(net.save(folder, build(net)))
    batch = pictures(6, (3, 16, 16))
    return quantize_graph(graph, Pictures(batch), Settings(bit_width=bits), threads=1)


def told(result: QuantizeResult) -> list[str]:
    return [str(item) for item in result.warnings if "even of exact inputs" in item.sentence]


def scaled(net: Net, factor: float) -> str:
    return net.node("Mul", ["x", net.weight("factor", np.float32(factor))], "m")


STEPPED: dict[str, Build] = {
    "Sign": lambda net: net.node("Sign", ["x"], "y"),
    "Floor of Mul": lambda net: net.node("Floor", [scaled(net, 4)], "y"),
    "Ceil": lambda net: net.node("Ceil", ["x"], "y"),
}


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("name", STEPPED)
def test_steps_limit_what_a_table_keeps(tmp_path: Path, name: str, bits: int) -> None:
    result = quantized(tmp_path, STEPPED[name], bits)
    (sentence,) = told(result)
    measured = result.report["outputs"][0]["sqnr_db"]
    predicted = float(sentence.split("about ")[1].split(" dB")[0])
    assert abs(predicted - measured) < 1
    assert f"because its function {name} has steps" in sentence
    assert "more bits hardly help" in sentence


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("place", [0.7, 1.5, -1.1])
def test_the_one_step_of_a_table_lies_between_two_codes(
    tmp_path: Path, place: float, bits: int
) -> None:
    """A threshold: every value is on its side of it; what reads beside keeps its own scale."""
    result = quantized(
        tmp_path, lambda net: net.node("ThresholdedRelu", ["x"], "y", alpha=place), bits
    )
    assert told(result) == []
    tensor = result.graph.tensors["x"]
    assert tensor.dtype == dtypes.S8
    scale = tensor.scale
    assert scale is not None
    (x,) = result.inputs
    codes = np.rint(x / scale).clip(-128, 127)
    assert np.array_equal(codes * scale > place, x > np.float32(place))
    usual = quantized(tmp_path, lambda net: net.node("Abs", ["x"], "y")).graph.tensors["x"].scale
    assert usual is not None
    assert usual < scale < 1.07 * usual
    assert result.report["outputs"][0]["sqnr_db"] > 35


ALL_PLACED: dict[str, tuple[Build, Sequence[float]]] = {
    "Round": (lambda net: net.node("Round", ["x"], "y"), (-1.5, -0.5, 0.5, 1.5, 2.5)),
    "Round of Mul": (lambda net: net.node("Round", [scaled(net, 4)], "y"), (-0.375, 0.125, 0.625)),
}


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("name", ALL_PLACED)
def test_steps_at_odd_multiples_all_lie_between_codes(tmp_path: Path, name: str, bits: int) -> None:
    build, places = ALL_PLACED[name]
    result = quantized(tmp_path, build, bits)
    assert told(result) == []
    scale = result.graph.tensors["x"].scale
    assert scale is not None
    (x,) = result.inputs
    codes = np.rint(x / scale).clip(-128, 127)
    for place in places:
        assert np.array_equal(codes * scale > place, x > np.float32(place))


CONTINUOUS: dict[str, Build] = {
    "Sigmoid": lambda net: net.node("Sigmoid", ["x"], "y"),
    "HardSigmoid": lambda net: net.node("HardSigmoid", [scaled(net, 20)], "y"),  # steep, no step
    "Exp": lambda net: net.node("Exp", [scaled(net, 32)], "y"),  # by its peak
    "Conv": lambda net: net.node("Relu", [net.conv("x", "c", (8, 3, 3, 3))], "y"),
}


@pytest.mark.parametrize("name", CONTINUOUS)
def test_nothing_is_said_of_sound_layers(tmp_path: Path, name: str) -> None:
    result = quantized(tmp_path, CONTINUOUS[name])
    assert result.report["outputs"][0]["sqnr_db"] > 20
    assert told(result) == []


@pytest.mark.parametrize("kind", ["Sin", "Cos"])
def test_a_function_that_is_too_steep_for_its_codes(tmp_path: Path, kind: str) -> None:
    result = quantized(tmp_path, lambda net: net.node(kind, [scaled(net, 40)], "y"))
    (sentence,) = told(result)
    measured = result.report["outputs"][0]["sqnr_db"]
    predicted = float(sentence.split("about ")[1].split(" dB")[0])
    assert abs(predicted - measured) < 1
    assert f"its function {kind} of Mul differs much between neighbouring s8 codes" in sentence
    assert "give what it reads 16 bits" in sentence


def test_shares_too_small_for_the_steps_of_a_softmax(tmp_path: Path) -> None:
    def build(net: Net) -> str:
        net.conv("x", "c", (250, 3, 1, 1))
        net.node("Softmax", ["c"], "p", axis=1)
        return net.conv("p", "y", (4, 250, 1, 1))

    (sentence,) = told(quantized(tmp_path, build))
    assert sentence.startswith("p: even of exact inputs it keeps about ")
    assert "because its u8 result always has steps of 0.003922." in sentence
    assert "with -on" in sentence


@pytest.mark.parametrize("count", range(1, 10))
def test_every_layer_of_a_cause_is_named_or_counted(count: int) -> None:
    layers = [WeakLayer(f"t{k}", 3.0 + k, "it is so", "the remedy") for k in range(count)]
    (told,) = findings(layers)
    _, also, names = told.sentence.partition(" So also ")
    assert bool(also) == (count > 1)
    listed, more, rest = names.removesuffix(".").partition(" and ")
    shown = [item.split() for item in listed.split(", ") if item]
    assert shown == [[f"t{k}", f"{3.0 + k:.1f}"] for k in range(1, min(count, 6))]
    assert (f"{more}{rest}") == (f" and {count - 6} more" if count > 6 else "")


def test_one_finding_for_a_cause() -> None:
    layers = [WeakLayer(f"t{k}", 3.0 + k, f"cause {k}", "the remedy") for k in range(8)]
    other = WeakLayer("s", 9.0, "another", "another remedy")
    assert [str(item) for item in findings([*layers, other])] == [
        "t0: even of exact inputs it keeps about 3.0 dB, because cause 0. So also t1 4.0, t2 5.0, "
        "t3 6.0, t4 7.0, t5 8.0 and 2 more. Hint: the remedy",
        "s: even of exact inputs it keeps about 9.0 dB, because another. Hint: another remedy",
    ]
