"""General: what the host computes in the middle of a network, between two segments of the chip.

``node.host`` are operators of ONNX from real values of its inputs, [1, C, H, W], to those of its
output: ``q(f(dq(x), ...))``, f in float32 as the host computes it, q as an input is quantized. What
is not a number becomes 0. Operands and result lie in DDR; nothing on the chip runs meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from knightlite import dtypes, numerics
from knightlite.ir import Graph, GraphBuilder, HostOp, Node, Tensor
from knightlite.ops import host, host_forms
from knightlite.ops.onnx_io import OnnxWriter
from knightlite.ops.opdef import OpDef, Region, View, no_macs
from knightlite.ops.samples import feature, result

if TYPE_CHECKING:
    import onnx

Array = NDArray[Any]
Shape = tuple[int, ...]

GENERAL_NAME = "General"
READS, MAKES = "reads", "makes"
"""Attributes: how the operators call inputs and output, which keep these names in them."""
LAYER_TYPE = "layer_type"
"""Attribute of a user-defined layer: by which number a board's program knows its handler."""
LAYER_TYPES_METADATA = "knightlite.layer_types"
"""Metadata property: the numbers of user-defined layers by what they make, JSON."""
GENERAL_METADATA = "knightlite.general"
"""Metadata property of a quantized file: what general layers make, JSON, in order."""


def infer(view: View) -> tuple[int, ...]:
    """As the front-end said: what an operator of any kind makes is its own affair."""
    return view.output.shape


def to_onnx(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """The operators as they are."""
    values = {**dict(zip(reads_of(view.node), inputs, strict=True)), made_by(view.node): output}
    alone = not keeps_batch(view.node)
    host.write(view.node.host, view.graph.tensors, writer, values, one_frame=alone)


def reads_of(node: Node) -> tuple[str, ...]:
    """How its operators call the inputs of a General, in their order."""
    names = node.attributes.get(READS, node.inputs)
    assert isinstance(names, tuple)
    return tuple(map(str, names))


def made_by(node: Node) -> str:
    """How its operators call the output of a General."""
    return str(node.attributes.get(MAKES, node.output))


def keeps_batch(node: Node) -> bool:
    """True where several pictures along axis 0 stay apart; False where that is not known."""
    return all(map(host.keeps_batch, node.host))


def float_model(
    operations: Sequence[HostOp],
    inputs: Mapping[str, Shape],
    output: str,
    shape: Shape,
    spelled: Mapping[str, host.Described] | None = None,
) -> onnx.ModelProto:
    """The operators as an ONNX model of one frame: real values of ``inputs`` to ``output``.

    ``spelled``: as for :func:`host.write`.
    """
    writer = OnnxWriter(GENERAL_NAME)
    for name, sizes in inputs.items():
        writer.input(name, sizes, dtypes.F32)
    host.write(operations, {}, writer, {}, one_frame=True, spelled=spelled)
    writer.output(output, shape, dtypes.F32)
    return writer.model()


def exact_model(
    operations: Sequence[HostOp], inputs: Mapping[str, Shape], output: str, shape: Shape
) -> onnx.ModelProto:
    """The same with functions in operators that every processor computes alike."""
    known: Mapping[str, host.Described] = {}
    if any(op.op in host_forms.FORMS for op in operations):
        known = host.shapes(float_model(operations, inputs, output, shape))
    return float_model(operations, inputs, output, shape, known)


def reference(view: View, inputs: tuple[Array, ...]) -> Array:
    """The operators in onnx's own evaluator, between real numbers and integers."""
    from onnx.reference import ReferenceEvaluator

    names = reads_of(view.node)
    shapes = {name: view.tensor(index).shape for index, name in enumerate(names)}
    model = exact_model(view.node.host, shapes, made_by(view.node), view.output.shape)
    feeds = {
        name: values.astype(np.float32) * np.float32(view.scale(index))
        for index, (name, values) in enumerate(zip(names, inputs, strict=True))
    }
    with np.errstate(all="ignore"):  # Log(0) and the like, in all branches of a Where
        (found,) = ReferenceEvaluator(model).run(None, feeds)
    known = np.where(np.isnan(found), np.float32(0), found)
    return numerics.quantize_input(known, view.output_scale, view.output.dtype)


def to_golden(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """The same float operators between DequantizeLinear and QuantizeLinear."""
    node, made = view.node, view.output
    values = {
        name: _linear(writer, "DequantizeLinear", given, view.tensor(index), f"{output}/real")
        for index, (name, given) in enumerate(zip(reads_of(node), inputs, strict=True))
    }
    last = made_by(node)
    for op in node.host:
        for name in filter(None, op.outputs):
            values[name] = writer.fresh(f"{output}/host" if name == last else name)
    shaped: Mapping[str, host.Described] = {}
    if any(op.op in host_forms.FORMS for op in node.host):
        shapes = {name: view.tensor(index).shape for index, name in enumerate(reads_of(node))}
        shaped = host.shapes(float_model(node.host, shapes, last, made.shape))
    host.write(node.host, view.graph.tensors, writer, values, one_frame=True, spelled=shaped)
    real = values[last]
    odd = writer.temporary("IsNaN", [real], f"{output}/odd")
    zero = writer.constant(f"{output}/none", np.float32(0))
    known = writer.temporary("Where", [odd, zero, real], f"{output}/known")
    _linear(writer, "QuantizeLinear", known, made, output)


def _linear(writer: OnnxWriter, kind: str, value: str, tensor: Tensor, hint: str) -> str:
    assert tensor.scale is not None, f"tensor {tensor.name} is not quantized"
    scale = writer.constant(f"{tensor.name}/scale", tensor.scale)
    zero = writer.constant(f"{tensor.name}/zero", np.zeros((), tensor.dtype.numpy))
    if kind == "QuantizeLinear":
        return writer.node(kind, [value, scale, zero], hint)
    return writer.temporary(kind, [value, scale, zero], hint)


def region(view: View, index: int, rows: Region) -> Region:
    """All of every operand."""
    return (0, view.tensor(index).shape[2])


def _case(name: str, dtype: dtypes.DType, scale: float, inner: tuple[HostOp, ...]) -> Graph:
    """``inner``: from "x", [1, 6, 5, 4], to "y" of the same shape."""
    builder = GraphBuilder(name)
    feature(builder, "x", (6, 5, 4), dtype, scale)
    node = Node("y", GENERAL_NAME, ("x",), ("y",), host=inner)
    return result(builder, node, (1, 6, 5, 4), dtype, scale)


def samples() -> tuple[Graph, ...]:
    """Operators that every float processor computes alike, 8 and 16 bits."""
    half = {"half": np.asarray(0.5, np.float32)}
    halved = (
        HostOp("most", "ReduceMax", ("x",), ("most",), {"axes": (2,), "keepdims": 1}),
        HostOp("h", "Mul", ("most", "half"), ("h",), {}, half),
        HostOp("y", "Sub", ("x", "h"), ("y",)),
    )
    shape = (6, 20)
    turned = (
        HostOp("flat", "Reshape", ("x",), ("flat",), {"shape": shape}),
        HostOp("most", "ReduceMax", ("flat",), ("most",), {"axes": (1,), "keepdims": 1}),
        HostOp("less", "Sub", ("flat", "most"), ("less",)),
        HostOp("y", "Reshape", ("less",), ("y",), {"shape": (1, 6, 5, 4)}),
    )
    return (
        _case("halved", dtypes.S8, 0.1, halved),
        _case("turned", dtypes.U8, 0.1, (*turned[:2], _swapped(turned[2]), turned[3])),
        _case("wide", dtypes.S16, 0.01, turned),
    )


def _swapped(op: HostOp) -> HostOp:
    return HostOp(op.name, op.op, op.inputs[::-1], op.outputs)


GENERAL = OpDef(
    name=GENERAL_NAME,
    onnx_types=(),
    from_onnx=None,
    infer=infer,
    to_onnx=to_onnx,
    reference=reference,
    to_golden=to_golden,
    region=region,
    macs=no_macs,
    constraints=(),
    samples=samples,
    hosted=True,
)
