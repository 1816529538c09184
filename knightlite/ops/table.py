"""Table: any unary function: 256 entries for an 8-bit tensor, exact by construction (numerics 5).

For a 16-bit tensor 2^lut_len + 1 entries and straight lines between them; what that makes of every
one of the 65536 inputs is held to the function itself.

The attribute ``function`` names an entry of FUNCTIONS, whose parameters are attributes too; or it
is "Expression", and ``steps`` are the texts of :mod:`knightlite.ops.expressions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from knightlite import dtypes, numerics
from knightlite.ir import Attribute, Graph, GraphBuilder, Node
from knightlite.ops import expressions, functions, wide_table
from knightlite.ops.bends import bends, support
from knightlite.ops.functions import FUNCTIONS
from knightlite.ops.onnx_io import OnnxNode, OnnxWriter
from knightlite.ops.opdef import Constraint, Lookup, OpDef, View, no_macs, same_rows, same_shape
from knightlite.ops.samples import feature, result
from knightlite.ops.table_functions import (
    EXPRESSION,
    computing,
    function_name,
    function_names,
    steps_of,
    values,
)
from knightlite.ops.wide_table import LUT_LEN

Array = NDArray[Any]


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
    if wide_table.is_interpolated(view):
        return numerics.interpolate(
            inputs[0], *wide_table.interpolated_entries(view), view.output.dtype
        )
    return entries(view)[inputs[0].astype(np.int64) - view.tensor(0).dtype.minimum]


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
    if wide_table.is_interpolated(view):
        wide_table.to_golden(view, writer, inputs[0], output)
        return
    index = writer.cast(inputs[0], TensorProto.INT32, f"{output}/index")
    if view.tensor(0).dtype.minimum:
        offset = writer.constant(f"{output}/offset", np.int32(-view.tensor(0).dtype.minimum))
        index = writer.temporary("Add", [index, offset], f"{output}/position")
    writer.node("Gather", [writer.constant(f"{output}/table", entries(view)), index], output)


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
        _graph(
            "silu_all",
            silu | {LUT_LEN: 11},
            s16,
            s16,
            3e-4,
            (36, 60, 30),
            x_scale=2.0**-12,
        ),
        _case("sigmoid_out", "Sigmoid", s8, s16, 2.0**-15),
        _case("sigmoid_in", "Sigmoid", s16, u8, 1 / 255, (72, 60, 30), 3e-4),
        _case("swish_all", "HardSwish", s16, s16, 0.006, x_scale=3e-4),
        _case("leaky", "LeakyRelu", s16, s16, 3e-4, x_scale=2e-4),
        _graph("coarse", {"function": "Tanh", LUT_LEN: 8}, s16, s8, 1 / 127, x_scale=2e-4),
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
            wide_table.check_length,
            lambda: _graph("length", {"function": "Tanh", LUT_LEN: 7}, dtypes.S16, dtypes.S8, 0.01),
            structural=True,
        ),
        Constraint(
            "the table of a 16-bit tensor follows its function: within 1.4 steps for every input",
            wide_table.check_lines,
            lambda: _case("lines", "Sqrt", dtypes.S16, dtypes.U8, 0.05, x_scale=0.005),
        ),
    ),
    samples=samples,
    nonnegative=nonnegative,
    lookup=Lookup(support, bends, wide_table.interval, steps_of, computing),
    aliases=function_names,
    finest_step=wide_table.finest_step,
)
