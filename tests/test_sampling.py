"""Positions of a Resize: ONNX Runtime takes what we say it takes, over many sizes and modes."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from knightlite.inference import session
from knightlite.ops import sampling
from knightlite.ops.resize import size_scale
from knightlite.ops.sampling import COORDINATES, ROUNDINGS, Axis, Line

Array = NDArray[Any]


def onnx_runtime(axis: Axis, **attributes: Any) -> Array:
    """What ONNX Runtime makes of the column 0, 1, 2, ...: the position where linear, else taken."""
    by_sizes = axis.scale == size_scale(axis.inputs, axis.outputs)
    values = (
        np.asarray([axis.outputs], np.int64) if by_sizes else np.asarray([axis.scale], np.float32)
    )
    model = helper.make_model(
        helper.make_graph(
            [
                helper.make_node(
                    "Resize",
                    ["x", "", "", "v"] if by_sizes else ["x", "", "v"],
                    ["y"],
                    axes=[2],
                    coordinate_transformation_mode=axis.mode,
                    **attributes,
                )
            ],
            "resize",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1, axis.inputs, 1])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 1, None, 1])],
            [numpy_helper.from_array(values, "v")],
        ),
        opset_imports=[helper.make_opsetid("", 21)],
        ir_version=10,
    )
    onnx.checker.check_model(model)
    column = np.arange(axis.inputs, dtype=np.float32).reshape(1, 1, -1, 1)
    found: Array = session(model, 1).run(None, {"x": column})[0].reshape(-1)
    return found


@st.composite
def axis_of_any_size(draw: st.DrawFn) -> Axis:
    inputs, mode = draw(st.integers(1, 70)), draw(st.sampled_from(tuple(COORDINATES)))
    if draw(st.booleans()):
        outputs = draw(st.one_of(st.integers(1, 140), st.sampled_from((2, 3, 4, 8)).map(
            lambda factor: factor * inputs
        )))  # fmt: skip
        return Axis(inputs, outputs, mode, size_scale(inputs, outputs))
    scale = np.float32(draw(st.sampled_from((0.5, 2, 1.5, 0.75, 1.3, 0.7, 1 / 3, 2.6))))
    outputs = max(1, int(np.floor(np.float32(inputs) * scale)))
    return Axis(inputs, outputs, mode, float(scale) if scale * inputs >= 1 else outputs / inputs)


@given(axis_of_any_size(), st.sampled_from(tuple(ROUNDINGS)))
@settings(max_examples=150)
def test_nearest_as_in_onnx_runtime(axis: Axis, rounding: str) -> None:
    """Wherever a line is found, it is what ONNX Runtime takes, and next to the exact position."""
    line = sampling.nearest_line(axis, rounding)
    if line is None:
        output = sampling.doubtful_output(axis, rounding)
        assert sampling.position(axis, output) % Fraction(1, 2) == 0  # a tie, nothing else
        return
    found = onnx_runtime(axis, mode="nearest", nearest_mode=rounding)
    assert found.tolist() == line.floors(axis).tolist()
    assert found.tolist() == sampling.nearest_indices(axis, rounding).tolist()


@given(axis_of_any_size())
@settings(max_examples=80)
def test_linear_as_in_onnx_runtime(axis: Axis) -> None:
    blend = sampling.blend(axis)
    exact = (blend.first * (blend.unit - blend.weight) + blend.second * blend.weight) / blend.unit
    np.testing.assert_allclose(onnx_runtime(axis, mode="linear"), exact, atol=2e-5)
    assert np.all((blend.weight >= 0) & (blend.weight < blend.unit))


@pytest.mark.parametrize(
    ("axis", "rounding"),
    [
        (Axis(30, 39, "half_pixel", size_scale(30, 39)), "round_prefer_floor"),
        (Axis(6, 10, "asymmetric", size_scale(6, 10)), "floor"),
        (Axis(55, 27, "half_pixel_symmetric", 0.5), "floor"),
    ],
)
def test_ties_that_float32_spoils(axis: Axis, rounding: str) -> None:
    """The reason for the check: some ties come out as they should, some do not."""
    taken = sampling.nearest_indices(axis, rounding)
    exact = sampling.line(axis)
    shift = 0 if rounding == "floor" else exact.unit // 2
    if sampling.nearest_line(axis, rounding) is None:
        assert (
            taken.tolist()
            != Line(exact.step, exact.offset + shift, exact.unit).floors(axis).tolist()
        )
    else:
        assert taken.tolist() == onnx_runtime(axis, mode="nearest", nearest_mode=rounding).tolist()


def test_usual_ratios_have_no_doubt() -> None:
    """Whole factors and halves in every mode that exporters write: at every size."""
    for inputs in range(1, 200):
        for factor in (Fraction(2), Fraction(4), Fraction(8), Fraction(1, 2)):
            if inputs * factor % 1:
                continue
            outputs = int(inputs * factor)
            for mode, rounding in (
                ("asymmetric", "floor"),
                ("half_pixel", "round_prefer_floor"),
                ("align_corners", "round_prefer_floor"),
                ("half_pixel", "floor"),
            ):
                axis = Axis(inputs, outputs, mode, size_scale(inputs, outputs))
                if mode == "align_corners":
                    continue  # its ratio is another one
                assert sampling.nearest_line(axis, rounding), (inputs, outputs, mode, rounding)


def test_exact_scale() -> None:
    assert Axis(10, 13, "half_pixel", float(np.float32(1.3))).exact_scale == Fraction(13, 10)
    assert Axis(5, 6, "half_pixel", float(np.float32(1.3))).exact_scale == Fraction(13, 10)
    assert Axis(5, 7, "half_pixel", 1.5).exact_scale == Fraction(3, 2)
    assert sampling.line(Axis(7, 14, "half_pixel", 2.0)) == Line(2, -1, 4)
    assert sampling.line(Axis(7, 1, "align_corners", size_scale(7, 1))) == Line(0, 0, 1)
