"""Table: any unary function of an 8-bit tensor as 256 entries, exact by construction (numerics 5).

The attribute ``function`` names an entry of FUNCTIONS, whose parameters are attributes too; or it
is "Expression", and ``steps`` are the texts of :mod:`knightlite.ops.expressions`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from knightlite import dtypes, numerics
from knightlite.ir import Attribute, Graph, GraphBuilder, Node
from knightlite.ops import expressions, functions
from knightlite.ops.functions import FUNCTIONS, OPEN_SUPPORT
from knightlite.ops.onnx_io import OnnxNode, OnnxWriter
from knightlite.ops.opdef import Constraint, OpDef, View, no_macs, same_rows, same_shape
from knightlite.ops.samples import feature, result

Array = NDArray[Any]


EXPRESSION = "Expression"


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
    """The interval of inputs outside which the node's output is constant."""
    if function_name(view) == EXPRESSION:
        return OPEN_SUPPORT
    low, high = FUNCTIONS[function_name(view)].support(view.node.attributes)
    return float(low), float(high)


def values(view: View, x: Array) -> Array:
    """The real function of float32 values, in float32."""
    if function_name(view) == EXPRESSION:
        return expressions.evaluate(steps_of(view.node), x)
    return functions.evaluate(function_name(view), x, view.node.attributes)


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
    """Gather from the table's entries."""
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
    **parameters: float,
) -> Graph:
    attributes: dict[str, Attribute] = {
        "function": function, **FUNCTIONS[function].parameters, **parameters,
    }  # fmt: skip
    return _graph(name, attributes, x_dtype, y_dtype, y_scale, shape)


def _graph(
    name: str,
    attributes: dict[str, Attribute],
    x_dtype: dtypes.DType,
    y_dtype: dtypes.DType,
    y_scale: float,
    shape: tuple[int, int, int] = (20, 9, 7),
) -> Graph:
    builder = GraphBuilder(name)
    feature(builder, "x", shape, x_dtype, 0.05)
    node = Node("y", "Table", ("x",), ("y",), attributes)
    return result(builder, node, (1, *shape), y_dtype, y_scale)


SILU = ("Sigmoid x", "Mul x %1")


def samples() -> tuple[Graph, ...]:
    """Bounded, unbounded, with a domain, an expression; both types; a tensor that needs tiles."""
    u8, s8 = dtypes.U8, dtypes.S8
    return (
        _case("hard_swish", "HardSwish", s8, s8, 0.04),
        _case("sigmoid", "Sigmoid", s8, u8, 1 / 255, (72, 60, 30)),
        _case("clip", "Clip", u8, u8, 0.05, alpha=1.0, beta=6.0),
        _case("sqrt", "Sqrt", u8, u8, 0.014),
        _case("elu", "Elu", s8, s8, 0.05),
        _graph("silu", {"function": EXPRESSION, "steps": SILU}, s8, s8, 0.05),
    )


def _check_width(view: View) -> str | None:
    wide = [t for t in (view.tensor(0), view.output) if t.dtype.bits != 8]
    if not wide:
        return None
    return f"a table reads and writes 8 bits, but {wide[0].name} has {wide[0].dtype.bits}"


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
            "a table reads and writes 8-bit tensors",
            _check_width,
            lambda: _case("width", "HardSwish", dtypes.S8, dtypes.S16, 0.01),
        ),
    ),
    samples=samples,
    nonnegative=nonnegative,
    wide_output=False,
)
