"""One test body for what every operator means, over the sample cases in its definition.

Compile, simulate and compare on every chip: tests of the compiler; here: the meaning itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import Golden
from knightlite import dtypes, numerics
from knightlite.ir import Graph, verify
from knightlite.ops import ALL_OPS, BY_NAME, BY_ONNX_TYPE, Constraint, OpDef, View, conv, float_form
from knightlite.ops.onnx_io import OnnxWriter

Array = NDArray[Any]
Random = np.random.Generator


def view_of(graph: Graph) -> View:
    (node,) = graph.nodes
    return View(graph, node)


CASES = [
    pytest.param(op, view_of(graph), id=f"{op.name}-{graph.name}")
    for op in ALL_OPS
    for graph in op.samples()
]
FEW_VALUES = ("small", "large")  # affine gains at the ends of their range, on purpose
CONSTRAINTS = [
    pytest.param(op, constraint, id=f"{op.name}-{index}")
    for op in ALL_OPS
    for index, constraint in enumerate(op.constraints)
]


def features(view: View) -> list[int]:
    """Which of the node's inputs are features, not constants."""
    return [
        index for index, name in enumerate(view.node.inputs) if name not in view.graph.constants
    ]


def random_inputs(view: View, rng: Random) -> tuple[Array, ...]:
    """Full-range integers for every feature input."""
    return tuple(
        rng.integers(t.dtype.minimum, t.dtype.maximum + 1, t.shape).astype(t.dtype.numpy)
        for t in (view.tensor(index) for index in features(view))
    )


def some_inputs(view: View, rng: Random) -> Iterator[tuple[Array, ...]]:
    """Random integers, and the extremes of the type in every combination of sign."""
    yield random_inputs(view, rng)
    tensors = [view.tensor(index) for index in features(view)]
    yield tuple(np.full(t.shape, t.dtype.minimum, t.dtype.numpy) for t in tensors)
    yield tuple(np.full(t.shape, t.dtype.maximum, t.dtype.numpy) for t in tensors)
    yield tuple(
        np.where(rng.random(t.shape) < 0.5, t.dtype.minimum, t.dtype.maximum).astype(t.dtype.numpy)
        for t in tensors
    )


def run(model: Any, feeds: dict[str, Array]) -> Array:
    """The model's first output from ONNX Runtime, a third party."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    result: Array = session.run(None, feeds)[0]
    return result


def golden_model(op: OpDef, view: View) -> Any:
    writer = OnnxWriter("golden")
    for index in features(view):
        tensor = view.tensor(index)
        writer.input(tensor.name, tensor.shape, tensor.dtype)
    op.to_golden(view, writer, view.node.inputs, view.node.output)
    writer.output(view.node.output, view.output.shape, view.output.dtype)
    return writer.model()


def float_model(op: OpDef, view: View) -> Any:
    """The operator on real numbers, with its merged clamp."""
    writer = OnnxWriter("float")
    names = []
    for index, name in enumerate(view.node.inputs):
        if view.node.inputs[index] not in view.graph.constants:
            names.append(writer.input(name, view.tensor(index).shape, dtypes.F32))
        elif view.tensor(index).dtype.is_float:
            names.append(writer.constant(name, view.constant(index)))
        else:
            scale = view.scale(index).reshape((-1,) + (1,) * (view.constant(index).ndim - 1))
            values = (view.constant(index) * scale).astype(np.float32)
            if index == 1 and op.kernel is not None:
                values = np.swapaxes(values, 0, op.kernel.onnx_axis(view.integer("group")))
            names.append(writer.constant(name, values))
    float_form.write_node(op, view, writer, tuple(names), "y")
    writer.output("y", view.output.shape, dtypes.F32)
    return writer.model()


def along_channels(scale: Array) -> Array:
    return scale.reshape((1, -1, 1, 1)) if scale.ndim else scale


# ------------------------------------------------------------------ every operator, every case


def test_names_are_unique() -> None:
    assert list(BY_NAME.values()) == list(ALL_OPS)
    assert sum(len(op.onnx_types) for op in ALL_OPS) == len(BY_ONNX_TYPE)
    for op in ALL_OPS:
        names = [graph.name for graph in op.samples()]
        assert len(set(names)) == len(names) >= 2, op.name
        assert (op.from_onnx is None) == (not op.onnx_types)


@pytest.mark.parametrize("op", ALL_OPS, ids=lambda op: op.name)
def test_samples_are_the_same_each_time(op: OpDef) -> None:
    for first, second in zip(op.samples(), op.samples(), strict=True):
        assert first.nodes == second.nodes
        for name, values in first.constants.items():
            np.testing.assert_array_equal(values, second.constants[name])


@pytest.mark.parametrize(("op", "view"), CASES)
def test_sample_is_sound(op: OpDef, view: View) -> None:
    verify(view.graph)
    assert view.node.op == op.name
    assert [constraint.check(view) for constraint in op.constraints] == [None] * len(op.constraints)
    if "clamp" in view.node.attributes:
        assert op.clampable
    if view.output.per_channel:
        assert op.per_channel_output
    if any(view.tensor(index).per_channel for index in features(view)):
        assert op.per_channel_input


@pytest.mark.parametrize(("op", "view"), CASES)
def test_inferred_is_the_references_shape(op: OpDef, view: View, rng: Random) -> None:
    y = op.reference(view, random_inputs(view, rng))
    assert y.shape == op.infer(view) == view.output.shape
    assert y.dtype == view.output.dtype.numpy
    # a sample whose output says nothing is none
    assert len(np.unique(y)) >= (2 if view.graph.name in FEW_VALUES else 16)


@pytest.mark.parametrize(("op", "view"), CASES)
def test_golden_in_onnx_runtime_is_the_reference(op: OpDef, view: View, rng: Random) -> None:
    model = golden_model(op, view)
    names = [view.node.inputs[index] for index in features(view)]
    for inputs in some_inputs(view, rng):
        found = run(model, dict(zip(names, inputs, strict=True)))
        np.testing.assert_array_equal(found, op.reference(view, inputs))


def test_large_products_round_half_to_even_in_the_golden_model() -> None:
    """Sums of 48 bits: halves above even and odd quotients, what is next to them, both ends."""
    m, q, limit = 1 << 14, 20, numerics.WIDE.maximum
    wide = np.array([*range(-320, 321), *(limit - np.arange(64)), *(np.arange(64) - limit)])
    writer = OnnxWriter("golden")
    sums = writer.cast(writer.input("x", [wide.size], dtypes.S32), 11, "sums")  # in float64
    scaled = writer.temporary("Mul", [sums, writer.constant("one", 1.0)], "scaled")
    far = writer.temporary(
        "Add", [scaled, writer.constant("far", (wide - np.arange(wide.size)).astype(float))], "far"
    )
    ends = dtypes.S16.minimum, dtypes.S16.maximum
    unit = np.array(1 << q)
    writer.rescale_whole(far, np.array(m), unit, *ends, dtypes.S16, "y")
    writer.output("y", [wide.size], dtypes.S16)
    found = run(writer.model(), {"x": np.arange(wide.size, dtype=np.int32)})
    wanted = [max(ends[0], min(ends[1], round(Fraction(int(x) * m, 1 << q)))) for x in wide]
    assert found.tolist() == wanted


@pytest.mark.parametrize(("op", "view"), CASES)
def test_float_form_rounds_to_the_reference(op: OpDef, view: View, rng: Random) -> None:
    """The float operator, quantized once, is the integer reference up to one step.

    One step: the multiplier has 15 bits. A scale so small that the output range is that of the
    type keeps the comparison meaningful (at least 16 values, see above).
    """
    inputs = random_inputs(view, rng)
    feeds = {
        view.node.inputs[index]: (x * along_channels(view.scale(index))).astype(np.float32)
        for index, x in zip(features(view), inputs, strict=True)
    }
    real = run(float_model(op, view), feeds)
    scale = along_channels(view.output_scale)
    wanted = numerics.quantize_input(real, scale.astype(np.float32), view.output.dtype)
    difference = np.abs(op.reference(view, inputs).astype(int) - wanted.astype(int))
    assert difference.max() <= step(view)
    if view.output.dtype.bits == 8:
        assert np.mean(difference == 0) > 0.9


def step(view: View) -> int:
    """Largest difference allowed: 2^-15 relative of the multiplier, and one for the rounding.

    Tables have no multiplier, those of two operands 23 bits where the output has 16.
    """
    exact = view.node.op in ("Table", "Add", "Sub", "Mul", "Max", "Min")
    return 1 if view.output.dtype.bits == 8 or exact else 2


@pytest.mark.parametrize(("op", "view"), CASES)
def test_region_covers_what_the_reference_reads(op: OpDef, view: View, rng: Random) -> None:
    height = view.output.shape[2]
    middle = height // 2
    ranges = {(0, 1), (height - 1, height), (middle, min(height, middle + 2)), (0, height)}
    inputs = random_inputs(view, rng)
    y = op.reference(view, inputs)
    for rows in sorted(ranges):
        for place, index in enumerate(features(view)):
            first, last = op.region(view, index, rows)
            x = inputs[place]
            assert 0 <= first <= last <= x.shape[2]
            other = random_inputs(view, rng)[place]
            other[:, :, first:last] = x[:, :, first:last]
            changed = op.reference(view, (*inputs[:place], other, *inputs[place + 1 :]))
            np.testing.assert_array_equal(changed[:, :, slice(*rows)], y[:, :, slice(*rows)])


@pytest.mark.parametrize(("op", "view"), CASES)
def test_region_is_no_larger_than_needed(op: OpDef, view: View, rng: Random) -> None:
    """The first and the last row of a region are read: setting them to extremes is seen.

    An operand may be too small beside the other one to be seen at all ("far_apart", "small").
    """
    height = view.output.shape[2]
    rows = slice(height // 3, height // 3 + 1)
    for place, index in enumerate(features(view)):
        first, last = op.region(view, index, (rows.start, rows.stop))
        inputs = random_inputs(view, rng)

        def answers(touched: slice, place: int = place, inputs: Any = inputs) -> int:
            seen = set()
            dtype = inputs[place].dtype
            low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
            mixed = np.random.default_rng(0).integers(low, high + 1, inputs[place].shape)
            for value in (low, high, mixed[:, :, touched]):  # a softmax sees differences only
                x = inputs[place].copy()
                x[:, :, touched] = value
                y = op.reference(view, (*inputs[:place], x, *inputs[place + 1 :]))
                seen.add(y[:, :, rows].tobytes())
            return len(seen)

        if first == last:  # these rows are another input's
            assert answers(slice(None)) == 1
            continue
        if answers(slice(None)) == 1:
            assert view.graph.name in ("far_apart", "small")
            continue
        for row in {first, last - 1}:
            assert answers(slice(row, row + 1)) >= 2, f"row {row} of {first, last} is not read"


@pytest.mark.parametrize(("op", "view"), CASES)
def test_what_is_never_negative_is_not(op: OpDef, view: View, rng: Random) -> None:
    for positive in (False, True):
        if not op.nonnegative(view, (positive,) * len(features(view))):
            continue
        for inputs in some_inputs(view, rng):
            fed = tuple(np.maximum(x, 0) for x in inputs) if positive else inputs
            assert op.reference(view, fed).min() >= 0


@pytest.mark.parametrize("graph", BY_NAME["Conv"].samples(), ids=lambda graph: graph.name)
def test_the_bound_of_sums_by_hand(graph: Graph) -> None:
    """All products at their largest: 255, or 128 and 32768, which only negative numbers reach."""
    view = view_of(graph)
    largest = {"u8": 255, "s8": 128, "s16": 32768}[view.tensor(0).dtype.name]
    weights = np.abs(view.constant(1).astype(np.int64)).reshape(len(view.constant(1)), -1)
    bias = np.abs(view.constant(2).astype(np.int64)) if len(view.node.inputs) > 2 else 0
    assert conv.accumulator_bound(view) == (weights.sum(axis=1) * largest + bias).max()


@pytest.mark.parametrize(("op", "view"), CASES)
def test_no_attribute_is_too_odd_for_the_constraints(op: OpDef, view: View) -> None:
    """What a file holds may be 0 or negative: a reason, no error of Python's."""
    for name, value in view.node.attributes.items():
        if isinstance(value, int):
            for odd in (0, -1):
                node = replace(view.node, attributes={**view.node.attributes, name: odd})
                reasons = list(op.broken(View(view.graph, node), structural=True))
                assert all(isinstance(reason, str) for reason in reasons)


@pytest.mark.parametrize(("op", "constraint"), CONSTRAINTS)
def test_constraint_is_broken_by_its_case(op: OpDef, constraint: Constraint) -> None:
    view = view_of(constraint.breaks())
    assert view.node.op == op.name
    assert constraint.check(view) is not None


def test_what_the_constraints_say(golden: Golden) -> None:
    lines = []
    for op in ALL_OPS:
        for constraint in op.constraints:
            reason = constraint.check(view_of(constraint.breaks()))
            lines.append(f"{op.name}: {constraint.rule}\n    {reason}\n")
    golden.text("ops_constraints.txt", "".join(lines))


# ------------------------------------------------------------------ single facts


def test_multiply_accumulates() -> None:
    cases = {graph.name: View(graph, graph.nodes[0]) for graph in BY_NAME["Conv"].samples()}
    conv = BY_NAME["Conv"]
    assert conv.macs(cases["pointwise"]) == 16 * 5 * 7 * 8
    assert conv.macs(cases["stem"]) == 24 * 11 * 10 * 3 * 49
    assert conv.macs(cases["depthwise"]) == 18 * 10 * 9 * 9
    up = {graph.name: View(graph, graph.nodes[0]) for graph in BY_NAME["ConvTranspose"].samples()}
    transposed = BY_NAME["ConvTranspose"]
    assert transposed.macs(up["double"]) == 20 * 10 * 12 * 12  # one tap each
    assert transposed.macs(up["odd"]) == 18 * 9 * (6 + 6 * 2) * (5 + 5 * 2)
    assert transposed.macs(up["bilinear"]) == 20 * 10 * 8 * 4
    products = BY_NAME["MatMul"]
    pairs = {graph.name: view_of(graph) for graph in products.samples()}
    assert products.macs(pairs["keys"]) == 16 * 21 * 3 * 5
    assert products.macs(pairs["keys_heads"]) == 3 * 8 * 21 * 21
    assert products.macs(pairs["turned"]) == 3 * 12 * 20 * 3 * 7
    assert products.macs(pairs["values"]) == 21 * 16 * 3 * 5
    assert products.macs(pairs["values_heads"]) == 3 * 21 * 8 * 21
    others = [op for op in ALL_OPS if op.kernel is None and op is not products]
    assert [op.macs(view_of(graph)) for op in others for graph in op.samples()] == [0] * sum(
        len(op.samples()) for op in others
    )


@pytest.mark.parametrize("op", [op for op in ALL_OPS if op.value_preserving], ids=lambda o: o.name)
def test_value_preserving_operators_only_move_values(op: OpDef, rng: Random) -> None:
    for graph in op.samples():
        view = view_of(graph)
        inputs = random_inputs(view, rng)
        known = set(np.concatenate([x.ravel() for x in inputs]).tolist())
        # zero, which a Pad adds, is zero in every scale
        assert set(op.reference(view, inputs).ravel().tolist()) <= known | {0}
