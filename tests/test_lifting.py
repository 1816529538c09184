"""Lifting changes no float output, finds the tables it may lift, and halves their steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import conformance_checks as checks
from float_nets import PADS, RELU, FloatNet
from knightlite import dtypes
from knightlite.frontend import load, load_quantized
from knightlite.inference import session
from knightlite.ir import Graph
from knightlite.onnx_models import write_float, write_qdq
from knightlite.quantize.groups import felt_interval
from knightlite.quantize.pipeline import quantize_graph
from knightlite.quantize.rewrites.lifting import lift_tables
from knightlite.quantize.settings import Settings

SILU = {"function": "Expression", "steps": ("Sigmoid x", "Mul x %1")}
SWISH = {"function": "HardSwish"}
DIP = {"HardSwish": 0.375, "SiLU": 0.2784645, "Gelu": 0.1699712, "Mish": 0.3088395, "Elu": 1.0}


def net_of(build: Callable[[FloatNet], list[str]], seed: int = 0) -> Graph:
    net = FloatNet(seed=seed)
    net.input("x", 6, 8, 8)
    net.conv("x", "a", 8)
    net.conv("x", "b", 8)
    return net.build(*build(net))


def pointwise(net: FloatNet) -> list[str]:
    """Two readers, one with a clamp and one whose bias both share the name of."""
    net.hard_swish("a", "t")
    return [net.conv("t", "y", 5), net.conv("t", "z", 4, clamp=RELU)]


def grouped(net: FloatNet) -> list[str]:
    net.hard_swish("a", "t")
    return [net.conv("t", "y", 4, group=2)]


def window(net: FloatNet) -> list[str]:
    net.hard_swish("a", "t")
    return [net.conv("t", "y", 5, (3, 3))]


def joined(net: FloatNet) -> list[str]:
    """Both parts are lifted alike, through a pool that pads and through one that averages."""
    net.hard_swish("a", "t")
    net.hard_swish("b", "u")
    net.node("Concat", ("t", "u"), "c", axis=1)
    net.node("MaxPool", ("c",), "m", kernel=(3, 3), strides=(1, 1), pads=PADS)
    net.average("m", "mean")
    return [net.conv("c", "y", 3), net.conv("mean", "z", 3)]


def joined_unlike(net: FloatNet) -> list[str]:
    net.hard_swish("a", "t")
    net.node("Table", ("b",), "u", **SILU)
    net.node("Concat", ("t", "u"), "c", axis=1)
    return [net.conv("c", "y", 3)]


def joined_with_a_convolution(net: FloatNet) -> list[str]:
    net.hard_swish("a", "t")
    net.node("Concat", ("t", "b"), "c", axis=1)
    return [net.conv("c", "y", 3)]


def padded(net: FloatNet) -> list[str]:
    net.hard_swish("a", "t")
    return [net.conv("t", "y", 5, (3, 3), pads=PADS), net.conv("t", "z", 5)]


def padded_apart(net: FloatNet) -> list[str]:
    net.hard_swish("a", "t")
    net.node("Pad", ("t",), "p", begins=(0, 1, 1), ends=(0, 1, 1))
    return [net.conv("p", "y", 5, (3, 3))]


def averaged_with_pads(net: FloatNet) -> list[str]:
    net.hard_swish("a", "t")
    net.node("AveragePool", ("t",), "p", kernel=(3, 3), strides=(1, 1), pads=PADS,
             counted_pads=PADS)  # fmt: skip
    return [net.conv("p", "y", 5)]


def added(net: FloatNet) -> list[str]:
    net.hard_swish("a", "t")
    return [net.conv("t", "y", 8), net.node("Add", ("t", "b"), "sum")]


def delivered(net: FloatNet) -> list[str]:
    net.hard_swish("a", "t")
    return [net.conv("t", "y", 5), "t"]


def depthwise(net: FloatNet) -> list[str]:
    net.hard_swish("a", "t")
    return [net.conv("t", "y", 8, (3, 3), group=8)]


def after_a_relu(net: FloatNet) -> list[str]:
    net.conv("x", "r", 8, clamp=RELU)
    net.hard_swish("r", "t")
    return [net.conv("t", "y", 5)]


LIFTED: tuple[tuple[Callable[[FloatNet], list[str]], set[str]], ...] = (
    (pointwise, {"t"}),
    (grouped, {"t"}),
    (window, {"t"}),
    (joined, {"t", "u", "c", "m", "mean"}),
    (joined_unlike, set()),
    (joined_with_a_convolution, set()),
    (padded, set()),
    (padded_apart, set()),
    (averaged_with_pads, set()),
    (added, set()),
    (delivered, set()),
    (depthwise, set()),
    (after_a_relu, set()),
)


@pytest.mark.parametrize(("build", "names"), LIFTED, ids=lambda item: getattr(item, "__name__", ""))
def test_which_tensors_are_lifted_and_that_no_output_changes(
    build: Callable[[FloatNet], list[str]], names: set[str]
) -> None:
    graph = net_of(build)
    changed, lifted = lift_tables(graph)
    assert {item.tensor for item in lifted} == names
    assert (changed is graph) == (not names)
    inner = sorted(names)
    x = np.random.default_rng(1).normal(0, 3, (4, 6, 8, 8)).astype(np.float32)
    before, after = (
        dict(zip((*item.outputs, *inner), session(write_float(item, inner), 1).run(None, {"x": x}),
                 strict=True))
        for item in (graph, changed)
    )  # fmt: skip
    for name in graph.outputs:
        np.testing.assert_allclose(after[name], before[name], rtol=0, atol=2e-5)
    for name in inner:
        np.testing.assert_allclose(after[name], before[name] + np.float32(0.375), atol=2e-6)
        assert after[name].min() >= 0


@pytest.mark.parametrize(
    ("attributes", "lift"),
    [
        (SWISH, DIP["HardSwish"]),
        (SILU, DIP["SiLU"]),
        ({"function": "Gelu", "approximate": "none"}, DIP["Gelu"]),
        ({"function": "Mish"}, DIP["Mish"]),
        ({"function": "Elu", "alpha": 1.0}, DIP["Elu"]),
        ({"function": "LeakyRelu", "alpha": 0.1}, None),  # no lower bound
        ({"function": "Tanh"}, None),  # as far up as down: s8 loses nothing
        ({"function": "Clip", "alpha": -1.0, "beta": 6.0}, None),
        ({"function": "Expression", "steps": ("Exp x", "Sub %1 1.0")}, None),  # overflows
        ({"function": "Sigmoid"}, None),
    ],
)
def test_how_far_a_function_dips(attributes: dict[str, Any], lift: float | None) -> None:
    def build(net: FloatNet) -> list[str]:
        net.node("Table", ("a",), "t", **attributes)
        return [net.conv("t", "y", 5)]

    _, lifted = lift_tables(net_of(build))
    assert [item.lift for item in lifted] == pytest.approx([] if lift is None else [lift], abs=1e-5)


def test_what_lies_below_minus_3_still_spends_no_codes() -> None:
    graph, _ = lift_tables(net_of(pointwise))
    assert felt_interval(graph, "a") == (-3.0, np.inf)
    assert felt_interval(net_of(pointwise), "a") == (-3.0, np.inf)


class Noise:
    """Sixteen pictures of noise."""

    description = "noise"

    def run(self, forward: object) -> None:
        rng = np.random.default_rng(3)
        for _ in range(16):
            forward((rng.normal(0, 1, (1, 6, 8, 8)).astype(np.float32),))  # type: ignore[operator]


@pytest.mark.parametrize("build", [pointwise, joined])
def test_a_lifted_table_has_half_the_step_and_the_outputs_gain(
    build: Callable[[FloatNet], list[str]],
) -> None:
    graph = net_of(build)
    lifted, plain = (
        quantize_graph(graph, Noise(), Settings(lift_tables=lift)) for lift in (True, False)
    )
    assert (plain.report["lifted"], plain.graph.tensors["t"].dtype) == ([], dtypes.S8)
    assert lifted.report["lifted"][0] == {"tensor": "t", "lift": 0.375}
    assert lifted.graph.tensors["t"].dtype == dtypes.U8
    scales = [item.graph.tensors["t"].scale for item in (lifted, plain)]
    assert scales[0] is not None
    assert scales[1] is not None
    assert 0.45 < float(scales[0]) / float(scales[1]) < 0.6
    gained = [item.report["outputs"][0]["sqnr_db"] for item in (lifted, plain)]
    assert gained[0] > gained[1] + 2


@pytest.mark.parametrize("more", [{"bit_width": 16}, {"bias_correction": "off"}])
def test_at_16_bits_and_without_bias_correction_nothing_is_lifted(more: dict[str, Any]) -> None:
    assert quantize_graph(net_of(pointwise), Noise(), Settings(**more)).report["lifted"] == []


@pytest.mark.parametrize("name", checks.CHIPS)
@pytest.mark.parametrize("build", [pointwise, joined])
def test_files_and_chips_know_lifted_tables(
    build: Callable[[FloatNet], list[str]], name: str, tmp_path: Path
) -> None:
    result = quantize_graph(net_of(build), Noise(), Settings())
    exact, path = tmp_path / "net.onnx", tmp_path / "net_quantize.onnx"
    exact.write_bytes(write_float(result.float_graph).SerializeToString())
    again = load(exact)
    assert again.producers()["t"] == result.float_graph.producers()["t"]
    path.write_bytes(write_qdq(result.graph, {}).SerializeToString())
    back = load_quantized(path)
    assert back.producers()["t"] == result.graph.producers()["t"]
    pictures = np.random.default_rng(4).normal(size=(2, 6, 8, 8)).astype(np.float32)
    judged = checks.judge(checks.build(back, name), back, again, checks.single("x", pictures))
    judged.check()
    assert judged.sqnr_db > 30
