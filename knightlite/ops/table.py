"""Table: any unary function: 256 entries for an 8-bit tensor, exact by construction (numerics 5).

For a 16-bit tensor 2^lut_len + 1 entries and straight lines between them; what that makes of every
one of the 65536 inputs is held to the function itself.

The attribute ``function`` names an entry of FUNCTIONS, whose parameters are attributes too; or it
is "Expression", and ``steps`` are the texts of :mod:`knightlite.ops.expressions`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from knightlite import dtypes, numerics
from knightlite.errors import UsageError
from knightlite.ir import Attribute, Graph, GraphBuilder, Node
from knightlite.ops import expressions, functions
from knightlite.ops.functions import FUNCTIONS, OPEN_SUPPORT
from knightlite.ops.onnx_io import OnnxNode, OnnxWriter
from knightlite.ops.opdef import Constraint, OpDef, View, no_macs, same_rows, same_shape
from knightlite.ops.samples import feature, result

Array = NDArray[Any]


EXPRESSION = "Expression"
LUT_LEN = "lut_len"  # the attribute; without it numerics.LUT_LENGTH
LUT_METADATA = "knightlite.lut_len"  # of a QDQ file: JSON, tensor that a Table makes -> length
# Rounded to a step, result and function are at most one step apart if they are less than 1.5 steps
# apart where the function is not rounded. The rest is for float32 kernels that differ in a digit.
FURTHEST = 1.4


def function_name(view: View) -> str:
    """The function of a Table node."""
    return str(view.node.attributes["function"])


def steps_of(node: Node) -> list[expressions.Step]:
    """The steps of a Table's expression; one where it has a function of its own."""
    attributes = node.attributes
    name = str(attributes["function"])
    if name != EXPRESSION:
        parameters: dict[str, Any] = {key: attributes[key] for key in FUNCTIONS[name].parameters}
        return [expressions.Step(name, (0,), parameters)]
    texts = attributes["steps"]
    assert isinstance(texts, tuple)
    return [expressions.parse(str(text)) for text in texts]


def attributes_of(steps: Sequence[expressions.Step]) -> dict[str, Attribute]:
    """The attributes of a Table that computes ``steps``: a known function, or an expression."""
    known = expressions.recognised(steps)
    if known is not None:
        return {"function": known[0], **known[1]}
    return {"function": EXPRESSION, "steps": tuple(step.text() for step in steps)}


def support(view: View) -> tuple[float, float]:
    """The interval of inputs outside which the node's output is constant.

    That of an expression's first step, where no later one reads the input.
    """
    first, *others = steps_of(view.node)
    reads_x = any(item == 0 and isinstance(item, int) for step in others for item in step.operands)
    if first.op not in FUNCTIONS or reads_x:
        return OPEN_SUPPORT
    low, high = FUNCTIONS[first.op].support(first.parameters)
    return float(low), float(high)


def values(view: View, x: Array) -> Array:
    """The real function of float32 values, in float32."""
    return _evaluate(view.node, x)


def _evaluate(node: Node, x: Array) -> Array:
    if node.attributes["function"] == EXPRESSION:
        return expressions.evaluate(steps_of(node), x)
    return functions.evaluate(str(node.attributes["function"]), x, node.attributes)


def kink(view: View) -> float:
    """The least magnitude of a bend of the function's support other than 0; 0 where it has none."""
    bends = (abs(bound) for bound in support(view) if np.isfinite(bound) and bound)
    return min(bends, default=0.0)


def is_interpolated(view: View) -> bool:
    """True where the input has 16 bits."""
    return view.tensor(0).dtype.bits == 16


def lut_length(view: View) -> int:
    """log2 of the intervals of an interpolated table."""
    value = view.node.attributes.get(LUT_LEN, numerics.LUT_LENGTH)
    assert isinstance(value, int)
    return value


def with_lut_length(graph: Graph, length: int) -> Graph:
    """The graph with tables of 2^length intervals where their input has, or gets, 16 bits."""
    if length not in numerics.LUT_LENGTHS:
        raise UsageError(f"lut_len must lie in 8 to 12 (a table of 2^8 to 2^12), not {length}.")
    return with_lut_lengths(
        graph, {node.output: length for node in graph.nodes if node.op == "Table"}
    )


def with_lut_lengths(graph: Graph, lengths: Mapping[str, int]) -> Graph:
    """The graph with the Tables that make these tensors so long; the usual length is not noted."""
    nodes = []
    for node in graph.nodes:
        length = lengths.get(node.output)
        if node.op == "Table" and length is not None:
            attributes = {key: value for key, value in node.attributes.items() if key != LUT_LEN}
            if length != numerics.LUT_LENGTH:
                attributes[LUT_LEN] = length
            node = replace(node, attributes=attributes)
        nodes.append(node)
    return graph.with_nodes(nodes)


def lut_lengths(graph: Graph) -> dict[str, int]:
    """The tensors that interpolated tables of an unusual length make, with that."""
    views = [View(graph, node) for node in graph.nodes if LUT_LEN in node.attributes]
    return {view.node.output: lut_length(view) for view in views if is_interpolated(view)}


def interval(view: View) -> int:
    """Inputs from one entry of an interpolated table to the next."""
    return 1 << (numerics.INPUT_BITS - lut_length(view))


@lru_cache(maxsize=16)
def _curve(attributes: tuple[tuple[str, Attribute], ...], scale: float) -> Array:
    """The function at -32768..32768 steps of ``scale``: all inputs s16 and the last breakpoint."""
    node = Node("", "Table", (), (), dict(attributes))
    codes = np.arange(-(1 << 15), (1 << 15) + 1)
    return _evaluate(node, codes.astype(np.float32) * np.float32(scale))


def curve(view: View) -> Array:
    """The function's float32 values [65537] at every s16 input, and at 32768."""
    return _curve(tuple(sorted(view.node.attributes.items())), float(view.scale(0)))


def interpolated_entries(view: View) -> tuple[Array, int]:
    """The 2^lut_len + 1 entries, and how many of their bits are fraction."""
    points = curve(view)[:: interval(view)]
    return numerics.interpolated_entries(points, float(view.output_scale), view.output.dtype)


def entries(view: View) -> Array:
    """The 256 table entries, indexed by x - minimum of the input type."""
    return numerics.table(
        lambda x: values(view, x),
        float(view.scale(0)),
        view.tensor(0).dtype,
        float(view.output_scale),
        view.output.dtype,
    )


def reference(view: View, inputs: tuple[Array, ...]) -> Array:
    """Look every element up."""
    if is_interpolated(view):
        return numerics.interpolate(inputs[0], *interpolated_entries(view), view.output.dtype)
    return entries(view)[inputs[0].astype(np.int64) - view.tensor(0).dtype.minimum]


def furthest(view: View) -> float:
    """Over all s16 inputs, how far an interpolated table is from the function, in output steps.

    The function is not rounded, only saturated: half a step is the least there can be.
    """
    dtype = view.output.dtype
    y = curve(view)[:-1].astype(np.float64)
    wanted = np.clip(np.where(np.isnan(y), 0, y) / view.output_scale, dtype.minimum, dtype.maximum)
    found = numerics.interpolate(np.arange(-(1 << 15), 1 << 15), *interpolated_entries(view), dtype)
    return float(np.max(np.abs(found - wanted)))


def finest_step(view: View) -> float:
    """The output scale in which lines between s16 entries stay within a step of the function.

    Entry and result are each rounded by half a step; the rest of FURTHEST is for the lines. And
    nothing may saturate: a line across the end of the range would be far off.
    """
    if not is_interpolated(view):
        return 0.0
    y = curve(view).astype(np.float64)
    if not np.all(np.isfinite(y)):
        return 0.0  # no step is coarse enough: the constraint says so
    step = interval(view)
    codes = np.arange(y.size)
    lines = np.interp(codes, codes[::step], y[::step])
    apart = float(np.max(np.abs(lines - y)))
    return max(apart / (FURTHEST - 1), float(np.max(np.abs(y))) / view.output.dtype.maximum)


def nonnegative(view: View, inputs: tuple[bool, ...]) -> bool:
    """As its function is."""
    if function_name(view) == EXPRESSION:
        return expressions.nonnegative(steps_of(view.node), inputs[0])
    return FUNCTIONS[function_name(view)].nonnegative(view.node.attributes, inputs[0])


def to_onnx(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """The ONNX operator of the function's name, or one for each step of an expression."""
    name = function_name(view)
    if name == EXPRESSION:
        expressions.to_onnx(steps_of(view.node), writer, inputs[0], output)
    else:
        expressions.write_function(writer, name, view.node.attributes, inputs[0], output)


def to_golden(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """Gather from the table's entries; for 16 bits two of them, mixed in float64 (exact)."""
    if is_interpolated(view):
        _golden_lines(view, writer, inputs[0], output)
        return
    index = writer.cast(inputs[0], TensorProto.INT32, f"{output}/index")
    if view.tensor(0).dtype.minimum:
        offset = writer.constant(f"{output}/offset", np.int32(-view.tensor(0).dtype.minimum))
        index = writer.temporary("Add", [index, offset], f"{output}/position")
    writer.node("Gather", [writer.constant(f"{output}/table", entries(view)), index], output)


def _golden_lines(view: View, writer: OnnxWriter, x: str, output: str) -> None:
    shift = numerics.INPUT_BITS - lut_length(view)
    table, fraction = interpolated_entries(view)

    def number(value: float) -> str:
        return writer.constant(f"{output}/number", np.float64(value))

    wide = writer.cast(x, TensorProto.DOUBLE, f"{output}/wide")
    position = writer.temporary("Add", [wide, number(1 << 15)], f"{output}/position")
    scaled = writer.temporary("Mul", [position, number(2.0**-shift)], f"{output}/scaled")
    place = writer.temporary("Floor", [scaled], f"{output}/place")
    rest = writer.temporary("Sub", [scaled, place], f"{output}/rest")
    index = writer.cast(place, TensorProto.INT32, f"{output}/index")
    ends = []
    for part in (table[:-1], table[1:]):
        values = writer.constant(f"{output}/table", part.astype(np.float64))
        ends.append(writer.temporary("Gather", [values, index], f"{output}/end"))
    rise = writer.temporary("Sub", [ends[1], ends[0]], f"{output}/rise")
    more = writer.temporary("Mul", [rise, rest], f"{output}/more")
    total = writer.temporary("Add", [ends[0], more], f"{output}/total")
    dtype = view.output.dtype
    writer.rescale(total, 2.0**-fraction, dtype.minimum, dtype.maximum, dtype, output)


# ------------------------------------------------------------------ from ONNX


def from_onnx(node: OnnxNode, builder: GraphBuilder) -> None:
    """Relu, Clip, Pow, and the functions called like their ONNX operator."""
    append(builder, node.inputs[0], *functions.from_node(node), node.output)


def append(
    builder: GraphBuilder,
    source: str,
    function: str,
    parameters: Mapping[str, Attribute],
    output: str,
) -> None:
    """Append a Table of an entry of FUNCTIONS."""
    builder.node("Table", (source,), output, {"function": function, **parameters})


# ------------------------------------------------------------------ constraints and samples


def _case(
    name: str,
    function: str,
    x_dtype: dtypes.DType,
    y_dtype: dtypes.DType,
    y_scale: float,
    shape: tuple[int, int, int] = (20, 9, 7),
    x_scale: float = 0.05,
    **parameters: float,
) -> Graph:
    attributes: dict[str, Attribute] = {
        "function": function, **FUNCTIONS[function].parameters, **parameters,
    }  # fmt: skip
    return _graph(name, attributes, x_dtype, y_dtype, y_scale, shape, x_scale)


def _graph(
    name: str,
    attributes: dict[str, Attribute],
    x_dtype: dtypes.DType,
    y_dtype: dtypes.DType,
    y_scale: float,
    shape: tuple[int, int, int] = (20, 9, 7),
    x_scale: float = 0.05,
) -> Graph:
    builder = GraphBuilder(name)
    feature(builder, "x", shape, x_dtype, x_scale)
    node = Node("y", "Table", ("x",), ("y",), attributes)
    return result(builder, node, (1, *shape), y_dtype, y_scale)


SILU = ("Sigmoid x", "Mul x %1")


def samples() -> tuple[Graph, ...]:
    """Bounded, unbounded, with a domain, an expression; types; a tensor that needs tiles."""
    u8, s8, s16 = dtypes.U8, dtypes.S8, dtypes.S16
    silu: dict[str, Attribute] = {"function": EXPRESSION, "steps": SILU}
    return (
        _case("hard_swish", "HardSwish", s8, s8, 0.04),
        _case("sigmoid", "Sigmoid", s8, u8, 1 / 255, (72, 60, 30)),
        _case("clip", "Clip", u8, u8, 0.05, alpha=1.0, beta=6.0),
        _case("sqrt", "Sqrt", u8, u8, 0.014),
        _case("elu", "Elu", s8, s8, 0.05),
        _graph("silu", silu, s8, s8, 0.05),
        _graph("silu_in", silu, s16, s8, 0.06, x_scale=2.0**-12),
        _graph("silu_all", silu | {LUT_LEN: 11}, s16, s16, 3e-4, (36, 60, 30), x_scale=2.0**-12),
        _case("sigmoid_out", "Sigmoid", s8, s16, 2.0**-15),
        _case("sigmoid_in", "Sigmoid", s16, u8, 1 / 255, (72, 60, 30), 3e-4),
        _case("swish_all", "HardSwish", s16, s16, 0.006, x_scale=3e-4),
        _case("leaky", "LeakyRelu", s16, s16, 3e-4, x_scale=2e-4),
        _graph("coarse", {"function": "Tanh", LUT_LEN: 8}, s16, s8, 1 / 127, x_scale=2e-4),
    )


def _check_length(view: View) -> str | None:
    length = lut_length(view)
    if length in numerics.LUT_LENGTHS:
        return None
    return f"its table must have 2^8 to 2^12 intervals, not 2^{length}"


def _check_lines(view: View) -> str | None:
    if not is_interpolated(view) or _check_length(view):
        return None
    apart = furthest(view)
    if apart <= FURTHEST:
        return None
    return (
        f"with 2^{lut_length(view)} intervals its table is up to {apart:.3g} steps of "
        f"{view.output.name} away from the function, more than {FURTHEST}; {view.tensor(0).name} "
        "needs 8 bits, or the table more intervals"
    )


TABLE = OpDef(
    name="Table",
    onnx_types=("Relu", *FUNCTIONS),
    from_onnx=from_onnx,
    infer=same_shape,
    to_onnx=to_onnx,
    reference=reference,
    to_golden=to_golden,
    region=same_rows,
    macs=no_macs,
    constraints=(
        Constraint(
            "the table of a 16-bit tensor has 2^8 to 2^12 intervals",
            _check_length,
            lambda: _graph("length", {"function": "Tanh", LUT_LEN: 7}, dtypes.S16, dtypes.S8, 0.01),
            structural=True,
        ),
        Constraint(
            "the table of a 16-bit tensor follows its function: within 1.4 steps for every input",
            _check_lines,
            lambda: _case("lines", "Sqrt", dtypes.S16, dtypes.U8, 0.05, x_scale=0.005),
        ),
    ),
    samples=samples,
    nonnegative=nonnegative,
    finest_step=finest_step,
)
