"""Table: any unary function of an 8-bit tensor as 256 entries, exact by construction (numerics 5).

The attribute ``function`` names an entry of FUNCTIONS; ``alpha``/``beta`` are its parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from knightlite import dtypes, numerics
from knightlite.errors import UnsupportedError
from knightlite.ir import Attribute, Graph, GraphBuilder, Node
from knightlite.ops.onnx_io import OnnxNode, OnnxWriter
from knightlite.ops.opdef import Constraint, OpDef, View, no_macs, same_rows, same_shape
from knightlite.ops.samples import feature, result

Array = NDArray[Any]
Parameters = Mapping[str, Any]
INFINITY = float("inf")


@dataclass(frozen=True, slots=True)
class Function:
    """A unary function: float32 numpy form, and the attributes of the ONNX node of that name.

    ``support`` is the interval outside which it is constant: the quantizer spends no codes there.
    ``nonnegative``: whether no value is below 0.
    """

    evaluate: Callable[[Array, Parameters], Array]
    parameters: Mapping[str, float]  # name -> ONNX default
    support: Callable[[Parameters], tuple[float, float]] = lambda _: (-INFINITY, INFINITY)
    nonnegative: Callable[[Parameters], bool] = lambda _: False


def _clip(x: Array, p: Parameters) -> Array:
    return np.clip(x, np.float32(p["alpha"]), np.float32(p["beta"]))


def _hard_sigmoid(x: Array, p: Parameters) -> Array:
    linear = np.float32(p["alpha"]) * x + np.float32(p["beta"])
    result: Array = np.clip(linear, np.float32(0), np.float32(1))
    return result


def _hard_swish(x: Array, p: Parameters) -> Array:
    gate = np.clip(x / np.float32(6) + np.float32(0.5), np.float32(0), np.float32(1))
    result: Array = x * gate
    return result


def _sigmoid(x: Array, p: Parameters) -> Array:
    result: Array = 1 / (1 + np.exp(-x))
    return result


def _hard_sigmoid_support(p: Parameters) -> tuple[float, float]:
    if p["alpha"] <= 0:
        return -INFINITY, INFINITY
    return -p["beta"] / p["alpha"], (1 - p["beta"]) / p["alpha"]


FUNCTIONS: dict[str, Function] = {
    "Clip": Function(
        _clip,
        {"alpha": -INFINITY, "beta": INFINITY},
        lambda p: (p["alpha"], p["beta"]),
        lambda p: bool(p["alpha"] >= 0),
    ),
    "HardSigmoid": Function(
        _hard_sigmoid, {"alpha": 0.2, "beta": 0.5}, _hard_sigmoid_support, lambda _: True
    ),
    "HardSwish": Function(_hard_swish, {}, lambda _: (-3.0, INFINITY)),
    "Sigmoid": Function(_sigmoid, {}, nonnegative=lambda _: True),
}


def function_name(view: View) -> str:
    """The function of a Table node."""
    return str(view.node.attributes["function"])


def support(view: View) -> tuple[float, float]:
    """The interval of inputs outside which the node's output is constant."""
    low, high = FUNCTIONS[function_name(view)].support(view.node.attributes)
    return float(low), float(high)


def entries(view: View) -> Array:
    """The 256 table entries, indexed by x - minimum of the input type."""
    function = FUNCTIONS[function_name(view)]

    def evaluate(x: Array) -> Array:
        return function.evaluate(x, view.node.attributes)

    return numerics.table(
        evaluate,
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
    return FUNCTIONS[function_name(view)].nonnegative(view.node.attributes)


def to_onnx(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """The ONNX operator of the same name."""
    name = function_name(view)
    attributes = view.node.attributes
    if name == "Clip":
        write_clip(writer, inputs[0], float(attributes["alpha"]), float(attributes["beta"]), output)  # type: ignore[arg-type]  # attributes of Clip are floats
        return
    parameters = {key: attributes[key] for key in FUNCTIONS[name].parameters}
    writer.node(name, inputs, output, **parameters)


def write_clip(writer: OnnxWriter, value: str, low: float, high: float, output: str) -> None:
    """Relu where the clip is [0, inf), else Clip with the finite bounds."""
    if low == 0 and high == INFINITY:
        writer.node("Relu", [value], output)
        return
    bounds = [
        writer.constant(f"{output}/low", np.float32(low)) if low > -INFINITY else "",
        writer.constant(f"{output}/high", np.float32(high)) if high < INFINITY else "",
    ]
    writer.node("Clip", [value, *bounds], output)


def to_golden(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """Gather from the table's entries."""
    index = writer.cast(inputs[0], TensorProto.INT32, f"{output}/index")
    if view.tensor(0).dtype.minimum:
        offset = writer.constant(f"{output}/offset", np.int32(-view.tensor(0).dtype.minimum))
        index = writer.temporary("Add", [index, offset], f"{output}/position")
    writer.node("Gather", [writer.constant(f"{output}/table", entries(view)), index], output)


# ------------------------------------------------------------------ from ONNX


def from_onnx(node: OnnxNode, builder: GraphBuilder) -> None:
    """Relu, Clip, and the functions called like their ONNX operator."""
    if node.op_type in ("Relu", "Clip"):
        low, high = clip_bounds(node)
        attributes: dict[str, Attribute] = {"function": "Clip", "alpha": low, "beta": high}
    else:
        attributes = {"function": node.op_type}
        for name, default in FUNCTIONS[node.op_type].parameters.items():
            # ONNX keeps attributes in float32: the same value before and after writing
            attributes[name] = float(np.float32(node.attributes.get(name, default)))
    builder.node("Table", (node.inputs[0],), node.output, attributes)


def clip_bounds(node: OnnxNode) -> tuple[float, float]:
    """Real bounds of a Relu or Clip, from attributes (opset < 11) or constant inputs."""
    if node.op_type == "Relu":
        return 0.0, INFINITY
    bounds = []
    for index, (name, default) in enumerate((("min", -INFINITY), ("max", INFINITY)), start=1):
        value = float(node.attributes.get(name, default))
        if node.has(index):
            array = node.constant(index)
            if array is None:
                raise UnsupportedError(f"Clip {node.name} must have constant bounds.")
            value = float(array.reshape(-1)[0])
        bounds.append(value if abs(value) < 3e38 else float(np.copysign(INFINITY, value)))
    return bounds[0], bounds[1]


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
    builder = GraphBuilder(name)
    feature(builder, "x", shape, x_dtype, 0.05)
    attributes: dict[str, Attribute] = {
        "function": function, **FUNCTIONS[function].parameters, **parameters,
    }  # fmt: skip
    node = Node("y", "Table", ("x",), ("y",), attributes)
    return result(builder, node, (1, *shape), y_dtype, y_scale)


def samples() -> tuple[Graph, ...]:
    """Every function, signed and unsigned, and a tensor that needs tiles."""
    u8, s8 = dtypes.U8, dtypes.S8
    return (
        _case("hard_swish", "HardSwish", s8, s8, 0.04),
        _case("hard_sigmoid", "HardSigmoid", s8, u8, 1 / 255, alpha=0.2, beta=0.5),
        _case("sigmoid", "Sigmoid", s8, u8, 1 / 255, (72, 60, 30)),
        _case("relu", "Clip", s8, u8, 0.03, alpha=0.0),
        _case("clip", "Clip", u8, u8, 0.05, alpha=1.0, beta=6.0),
    )


def _check_width(view: View) -> str | None:
    wide = [t for t in (view.tensor(0), view.output) if t.dtype.bits != 8]
    if not wide:
        return None
    return f"a table reads and writes 8 bits, but {wide[0].name} has {wide[0].dtype.bits}"


TABLE = OpDef(
    name="Table",
    onnx_types=("Relu", "Clip", "HardSigmoid", "HardSwish", "Sigmoid"),
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
