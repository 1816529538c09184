"""ConvTranspose: phases against a plain scatter, every spelling in ONNX, weights in QDQ form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from float_nets import FloatNet
from knightlite.errors import UnsupportedError
from knightlite.frontend import load, load_quantized
from knightlite.frontend.survey import survey
from knightlite.ir import Graph
from knightlite.lower import Placement
from knightlite.lower.transposed import Window, _every, window
from knightlite.ops import View, transposed
from onnx_nets import Net, checked, operators
from test_qdq import assert_equal, quantized, write

# ------------------------------------------------------------------ phases


@st.composite
def axes(draw: st.DrawFn) -> tuple[int, int, int, int, int, int]:
    """kernel, stride, dilation, pad, input size, output size of one axis."""
    kernel, stride, dilation = (draw(st.integers(1, high)) for high in (6, 5, 4))
    pad, size = draw(st.integers(0, dilation * (kernel - 1))), draw(st.integers(1, 6))
    full = (size - 1) * stride + dilation * (kernel - 1) + 1 - pad
    outputs = full + draw(st.integers(-min(3, full - 1), stride - 1))
    return kernel, stride, dilation, pad, size, outputs


def scattered(
    kernel: int, stride: int, dilation: int, pad: int, size: int, outputs: int
) -> list[set[tuple[int, int]]]:
    """What every output receives, as (tap, input), straight from the definition."""
    found: list[set[tuple[int, int]]] = [set() for _ in range(outputs)]
    for pixel in range(size):
        for tap in range(kernel):
            place = pixel * stride + tap * dilation - pad
            if 0 <= place < outputs:
                found[place].add((tap, pixel))
    return found


@settings(max_examples=300)
@given(axes(), st.data())
def test_windows_of_a_tile_are_the_scatter(axis: tuple[int, ...], data: st.DataObject) -> None:
    """Any tile of outputs, from the input rows that its region names, as Matrix would read them."""
    kernel, stride, dilation, pad, size, outputs = axis
    wanted = scattered(kernel, stride, dilation, pad, size, outputs)
    first = data.draw(st.integers(0, outputs - 1))
    last = data.draw(st.integers(first + 1, outputs))
    pixels = region(axis, (first, last))
    found: dict[int, set[tuple[int, int]]] = {}
    for phase in transposed.phases(kernel, stride, dilation, pad):
        place = window(phase, stride, (first, last), pixels)
        if place is None:
            continue
        assert place.inputs >= 1
        assert 0 <= place.begin < place.begin + place.inputs <= pixels[1] - pixels[0]
        for number in range(place.outputs):
            seen = set()
            for index, tap in enumerate(phase.taps):
                at = number - place.pad + index * phase.dilation
                if 0 <= at < place.inputs:
                    seen.add((tap, pixels[0] + place.begin + at))
            output = first + place.first + number * stride
            assert output not in found
            found[output] = seen
    assert found == {output: wanted[output] for output in range(first, last)}


def region(axis: tuple[int, ...], rows: tuple[int, int]) -> tuple[int, int]:
    """The region of an operator that has this axis as its height."""
    return transposed.region(View(graph := one(axis), graph.nodes[0]), 0, rows)


def one(axis: tuple[int, ...]) -> Graph:
    kernel, stride, dilation, pad, size, outputs = axis
    extra = outputs + pad - (size - 1) * stride - dilation * (kernel - 1) - 1
    net = FloatNet()
    net.input("x", 1, size, 1)
    weight = net.builder.constant("w", np.ones((1, 1, kernel, 1), np.float32))
    net.node(
        "ConvTranspose", ("x", weight), "y", strides=(stride, 1), dilations=(dilation, 1),
        pads=(pad, 0, max(0, -extra), 0), output_padding=(max(0, extra), 0), group=1,
    )  # fmt: skip
    graph = net.build("y")
    assert graph.tensors["y"].shape == (1, 1, outputs, 1)
    return graph


@settings(max_examples=100)
@given(axes(), axes())
def test_coverage_and_bound_count_the_scatter(first: Any, second: Any) -> None:
    net = FloatNet()
    net.input("x", 1, first[4], second[4])
    weight = net.builder.constant("w", np.ones((1, 1, first[0], second[0]), np.int8))
    pads, extra = [0] * 4, [0] * 2
    for side, (kernel, stride, dilation, pad, size, outputs) in enumerate((first, second)):
        more = outputs + pad - (size - 1) * stride - dilation * (kernel - 1) - 1
        pads[side], pads[side + 2], extra[side] = pad, max(0, -more), max(0, more)
    net.node(
        "ConvTranspose", ("x", weight), "y", strides=(first[1], second[1]),
        dilations=(first[2], second[2]), pads=tuple(pads), output_padding=tuple(extra), group=1,
    )  # fmt: skip
    graph = net.build("y")
    view = View(graph, graph.nodes[0])
    rows, columns = scattered(*first), scattered(*second)
    shares = [
        [sum(any(tap == k for tap, _ in got) for got in axis) / len(axis) for k in range(size)]
        for axis, size in ((rows, first[0]), (columns, second[0]))
    ]
    np.testing.assert_allclose(
        transposed.tap_coverage(view), np.outer(shares[0], shares[1]), rtol=1e-12
    )


def test_only_the_taps_of_one_phase_add_up() -> None:
    """4x4 taps with strides 2 are 2x2 for every output; the bound is reached, not passed."""
    (graph,) = (item for item in transposed.samples() if item.name == "worst")
    view = View(graph, graph.nodes[0])
    products = 140 * 2 * 2 * 127 * 255
    assert transposed.accumulator_bound(view) <= products + (1 << 15)
    assert transposed.accumulator_bound(view) >= products


# ------------------------------------------------------------------ from ONNX


def start() -> Net:
    net = Net()
    net.input("x", ("N", 4, 7, 6))
    return net


def transpose(net: Net, x: str, output: str, shape: tuple[int, ...], **attributes: Any) -> str:
    weight = net.random(f"{output}_w", shape, -0.5, 0.5)
    bias = net.random(f"{output}_b", (shape[1] * attributes.get("group", 1),))
    return net.node("ConvTranspose", [x, weight, bias], output, **attributes)


SPELLINGS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "plain": ((4, 6, 3, 3), {}),
    "strides": ((4, 6, 2, 3), {"strides": [2, 3]}),
    "pads": ((4, 6, 4, 4), {"strides": [2, 2], "pads": [1, 0, 2, 3]}),
    "output_padding": ((4, 6, 3, 3), {"strides": [2, 3], "output_padding": [1, 2]}),
    "dilations": ((4, 6, 3, 2), {"strides": [2, 1], "dilations": [2, 3]}),
    "same_upper": ((4, 6, 3, 4), {"strides": [2, 3], "auto_pad": "SAME_UPPER"}),
    "same_lower": ((4, 6, 4, 3), {"strides": [3, 2], "auto_pad": "SAME_LOWER"}),
    "valid": ((4, 6, 3, 3), {"strides": [2, 2], "auto_pad": "VALID"}),
    "output_shape": ((4, 6, 4, 4), {"strides": [2, 2], "output_shape": [13, 14]}),
    "depthwise": ((4, 1, 4, 4), {"strides": [2, 2], "pads": [1, 1, 1, 1], "group": 4}),
    "multiplier": ((4, 3, 2, 2), {"strides": [2, 2], "group": 4}),
    "groups": ((4, 3, 3, 3), {"strides": [2, 2], "group": 2}),
    "shared_inputs": ((4, 1, 3, 3), {"strides": [2, 2], "group": 2}),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_spelling_is_what_onnx_runtime_computes(tmp_path: Path, name: str) -> None:
    shape, attributes = SPELLINGS[name]
    net = start()
    transpose(net, "x", "y", shape, **attributes)
    graph = checked(net.save(tmp_path, "y"))
    assert operators(graph) == ["ConvTranspose"]
    outputs = shape[1] * attributes.get("group", 1)
    inputs = 1 if name == "depthwise" else 4
    assert graph.constants["y.weight"].shape == (outputs, inputs, *shape[2:])
    assert graph.nodes[0].attributes["group"] == (4 if name == "depthwise" else 1)


def test_norm_folds_in_and_a_clamp_is_taken_over(tmp_path: Path) -> None:
    for group in (1, 4):
        net = start()
        transpose(net, "x", "t", (4, 4 // group, 4, 4), strides=[2, 2], group=group)
        net.norm("t", "n", 4)
        net.node("Relu", ["n"], "y")
        assert operators(checked(net.save(tmp_path, "y"))) == ["ConvTranspose"]


def test_an_offset_in_front_stays_where_outputs_see_gaps(tmp_path: Path) -> None:
    net = start()
    net.norm("x", "n", 4)
    transpose(net, "n", "y", (4, 6, 2, 2), strides=[2, 2])
    assert operators(checked(net.save(tmp_path, "y"))) == ["Affine", "ConvTranspose"]
    net = start()
    net.node("Mul", ["x", net.random("gain", (4, 1, 1))], "n")
    transpose(net, "n", "y", (4, 6, 3, 3), strides=[2, 2])
    assert operators(checked(net.save(tmp_path, "y"))) == ["ConvTranspose"]
    net = start()  # one tap, no gaps, no border: an ordinary 1x1 convolution
    net.norm("x", "n", 4)
    transpose(net, "n", "y", (4, 6, 1, 1))
    assert operators(checked(net.save(tmp_path, "y"))) == ["ConvTranspose"]


@pytest.mark.parametrize(
    ("shape", "attributes", "said"),
    [
        (
            (4, 6, 2, 2),
            {"pads": [0, 2, 0, 0]},
            "ConvTranspose: pads must be smaller than the dilated kernel (2, 2), not (0, 2, 0, 0).",
        ),
        (
            (4, 6, 3, 3),
            {"strides": [2, 2], "output_padding": [0, 2]},
            "ConvTranspose: output_padding must be smaller than the strides (2, 2), not (0, 2).",
        ),
        (
            (4, 6, 2, 2),
            {"output_shape": [12, 12]},
            "ConvTranspose: output_padding must be smaller than the strides (1, 1), not (4, 5).",
        ),
        (
            (3, 6, 2, 2),
            {},
            "ConvTranspose ConvTranspose_y must have weights of 4 input channels in 1 groups, "
            "not 3.",
        ),
    ],
)
def test_refusals(
    tmp_path: Path, shape: tuple[int, ...], attributes: dict[str, Any], said: str
) -> None:
    net = start()
    transpose(net, "x", "y", shape, **attributes)
    with pytest.raises(UnsupportedError) as caught:
        load(net.save(tmp_path, "y"))
    assert [str(item) for item in caught.value.findings] == [f"ConvTranspose_y: {said}"]


def test_weights_must_be_constant(tmp_path: Path) -> None:
    net = start()
    net.input("w", (1, 6, 2, 2))
    net.node("ConvTranspose", ["x", "w"], "y")
    with pytest.raises(UnsupportedError) as caught:
        load(net.save(tmp_path, "y"))
    assert caught.value.findings[0].sentence == (
        "ConvTranspose ConvTranspose_y must have constant weights and a constant bias."
    )


def test_survey_counts_every_tap_of_every_pixel(tmp_path: Path) -> None:
    net = start()
    transpose(net, "x", "a", (4, 6, 2, 2), strides=[2, 2])
    transpose(net, "a", "y", (6, 1, 4, 4), strides=[2, 2], pads=[1, 1, 1, 1], group=6)
    found = survey(net.save(tmp_path, "y"))
    assert found.macs == found.npu_macs == 7 * 6 * 4 * 6 * 4 + 14 * 12 * 6 * 16
    assert found.graph is not None
    made = [transposed.macs(View(found.graph, node)) for node in found.graph.nodes]
    assert sum(made) == found.macs


@pytest.mark.parametrize(("kernel", "sizes"), [(1, (10, 13)), (2, (11, 14))])
def test_where_no_tap_falls_one_of_zero_is_multiplied(
    tmp_path: Path, kernel: int, sizes: tuple[int, int]
) -> None:
    """Pixels three apart: between them outputs see a tap, or the bias alone."""
    net = Net(13)
    transpose(net, net.input("x", (1, 3, 4, 5)), "y", (3, 2, kernel, kernel), strides=[3, 3])
    found = survey(net.save(tmp_path, "y"))
    assert found.graph is not None
    assert found.graph.tensors["y"].shape == (1, 2, *sizes)
    (node,) = found.graph.nodes
    assert transposed.macs(View(found.graph, node)) == sizes[0] * sizes[1] * 3 * 2


# ------------------------------------------------------------------ QDQ form


def upsampler(folder: Path) -> Graph:
    net = start()
    transpose(net, "x", "a", (4, 6, 2, 2), strides=[2, 2])
    net.node("Relu", ["a"], "r")
    transpose(net, "r", "y", (6, 1, 4, 4), strides=[2, 2], pads=[1, 1, 1, 1], group=6)
    return load(net.save(folder, "y"))


def test_write_then_read(tmp_path: Path) -> None:
    graph = quantized(upsampler(tmp_path))
    path = write(tmp_path, graph)
    assert_equal(graph, load_quantized(path))
    model = onnx.load(path)
    shapes = {item.name: tuple(item.dims) for item in model.graph.initializer}
    axes = {
        node.input[0]: (shapes[node.input[0]], shapes[node.input[1]], node.attribute[0].i)
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0].endswith(".weight")
    }
    assert axes == {
        "r.weight": ((4, 6, 2, 2), (6,), 1),
        "y.weight": ((6, 1, 4, 4), (6,), 0),
    }


@pytest.mark.parametrize(
    ("rows", "columns", "strides"),
    [(2, 3, (1400, 44)), (1, 3, (700, 44)), (2, 1, (1400, 11)), (1, 1, (700, 11))],
)
def test_strides_of_a_phase(rows: int, columns: int, strides: tuple[int, int]) -> None:
    """Every second row and fourth column; one alone leads nowhere, and its stride stays small."""
    down, right = Window(3, rows, 0, 1, 0), Window(1, columns, 0, 1, 0)
    place = _every(Placement(5, 700, 11), down, right, (2, 4))
    assert place == (5 + 3 * 700 + 11, *strides)


def test_scales_along_the_input_channels_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, quantized(upsampler(tmp_path)))
    model = onnx.load(path)
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] == "r.weight":
            node.attribute[0].i = 0
    onnx.save(model, path)
    with pytest.raises(UnsupportedError) as caught:
        load_quantized(path)
    assert "r.weight: it must have one scale per output channel (6,) along axis 1." in [
        f"{item.where}: {item.sentence}" for item in caught.value.findings
    ]
