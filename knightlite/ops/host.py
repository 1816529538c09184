"""The host's share in ONNX: host operations written as nodes, alone or behind a network.

``KINDS`` are the operators that every host can run; ``sim.host`` computes them with numpy. Any
other operator of ONNX needs ONNX Runtime, and travels in the ``.cfg`` as an ONNX model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from knightlite import dtypes
from knightlite.errors import Finding
from knightlite.ir import Attribute, Graph, HostOp, Tensor
from knightlite.ops import host_forms
from knightlite.ops.onnx_io import OnnxWriter

if TYPE_CHECKING:
    import onnx

BATCH = "N"
UNARY = ("Abs", "Exp", "Log", "Neg", "Relu", "Sigmoid", "Sqrt", "Tanh")
BINARY = ("Add", "Div", "Max", "Min", "Mul", "Pow", "Sub")
SOFT = ("LogSoftmax", "Softmax")
REDUCING = ("ReduceMax", "ReduceSum")
KINDS = (
    "ArgMax", "Cast", "Clip", "Concat", "Pad", "Reshape", "Slice", "Transpose",
    *SOFT, *REDUCING, *UNARY, *BINARY,
)  # fmt: skip
SLICE = ("starts", "ends", "axes", "steps")  # inputs in ONNX, in this order
# what is an attribute here and an input in ONNX
AS_INPUTS = {"Pad": ("pads",), "Slice": SLICE, **dict.fromkeys(REDUCING, ("axes",))}
# what a Cast may make, as numpy calls it
CASTS = (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64",
)  # fmt: skip
CLIP = ("min", "max")

Described = tuple[tuple[int | str | None, ...] | None, int]


def needs_onnx_runtime(graph: Graph) -> bool:
    """True where an operator of the host's share is not one of ``KINDS``, in our form of it."""
    return any(op.op not in KINDS or not in_own_form(op) for op in graph.host)


def in_own_form(op: HostOp) -> bool:
    """False where operands say, as in ONNX, what is an attribute here.

    So it is behind what selects (NonZero), where shapes are not known beforehand.
    """
    if op.op == "Reshape":
        return "shape" in op.attributes
    if op.op == "Cast":
        return isinstance(op.attributes["to"], str)
    if op.op == "Clip":
        return len(op.inputs) == 1
    return True


def sentence(op: HostOp) -> str:
    """What every user of a network with this operation is told."""
    by = "" if op.op in KINDS else " by ONNX Runtime"
    return f"{op.op} runs on the host{by}, after the NPU."


def told(op: HostOp) -> Finding:
    """The same as a warning, with what it asks of the user."""
    hint = "sim, eval and Session run it; a program on a board has to do it itself"
    return Finding(op.name, sentence(op), hint, "warning")


def append(graph: Graph, writer: OnnxWriter, values: Mapping[str, str]) -> None:
    """Write what runs behind the chip; ``values``: the float value that stands for a tensor."""
    write(graph.host, graph.tensors, writer, values)


def write(
    operations: Sequence[HostOp],
    tensors: Mapping[str, Tensor],
    writer: OnnxWriter,
    values: Mapping[str, str],
    *,
    one_frame: bool = False,
    spelled: Mapping[str, Described] | None = None,
) -> None:
    """Write host operations.

    ``values``: how what they read and make is called in the model, where not by its own name.
    ``one_frame``: the model never sees several. ``spelled``: shapes and types of what they read,
    by its own name: functions are written as docs/numerics.md defines them.
    """
    for op in operations:
        constants = {
            name: writer.constant(name, array) for name, array in sorted(op.constants.items())
        }
        inputs = [constants.get(name) or values.get(name, name) for name in op.inputs]
        first = (spelled or {}).get(op.inputs[0], (None, 0))
        if host_forms.spell(op, writer, inputs, values.get(op.output, op.output), first):
            continue
        attributes = dict(op.attributes)
        if not in_own_form(op):
            pass
        elif op.op == "Reshape":
            attributes = {}
            target = integers(op, "shape") if one_frame else _reshape_target(tensors, op)
            shape = np.asarray(target, np.int64)
            inputs.append(writer.constant(f"{op.output}/shape", shape))
        elif op.op == "Cast":
            attributes["to"] = _element_type(attributes["to"])
        elif op.op == "Clip":
            for name in CLIP:
                bound = attributes.pop(name, None)
                array = np.asarray(0 if bound is None else bound, np.float32)
                at = f"{op.output}/{name}"
                inputs.append("" if bound is None else writer.constant(at, array))
        for name in AS_INPUTS.get(op.op, ()):
            if name in attributes:
                numbers = np.asarray(attributes.pop(name), np.int64)
                inputs.append(writer.constant(f"{op.output}/{name}", numbers))
        given = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in attributes.items()
        }
        outputs = [values.get(name, name) for name in op.outputs]
        writer.node_with(outputs, op.op, inputs, **given)


def _element_type(name: Attribute) -> int:
    """ONNX's number of a type that is called as numpy calls it."""
    from onnx import helper

    return int(helper.np_dtype_to_tensor_dtype(np.dtype(str(name))))


def _reshape_target(tensors: Mapping[str, Tensor], op: HostOp) -> tuple[int, ...]:
    """The shape, its first dimension 0 (keep) where that is the batch."""
    target = integers(op, "shape")
    source = tensors.get(op.inputs[0])
    batched = target[:1] == (1,) and (source is None or source.shape[:1] == (1,))
    return (0, *target[1:]) if batched else target


def keeps_batch(op: HostOp) -> bool:
    """True where several pictures along axis 0 stay apart; False where that is not known."""
    if op.op == "Reshape":
        return in_own_form(op) and integers(op, "shape")[:1] == (1,)
    if op.op == "Transpose":
        return integers(op, "perm")[:1] == (0,)
    if op.op == "Pad":
        return True  # of height and width
    if op.op == "Slice" or op.op in REDUCING:
        return "axes" in op.attributes and 0 not in integers(op, "axes")
    if op.op in ("ArgMax", "Concat", *SOFT):
        axis = op.attributes.get("axis", -1)
        return axis != 0 and not op.constants
    return op.op in (*UNARY, "Cast", "Clip") or (
        op.op in BINARY and all(values.shape[:1] in ((), (1,)) for values in op.constants.values())
    )


def integers(op: HostOp, name: str) -> tuple[int, ...]:
    """An attribute that is a tuple of integers."""
    value = op.attributes[name]
    assert isinstance(value, tuple)
    return tuple(int(item) for item in value)


def model(graph: Graph) -> onnx.ModelProto:
    """The host's share by itself: real values of the chip's outputs to the network's outputs."""
    import onnx

    found = share(graph)
    for name, (shape, kind) in _describe(graph).items():
        found.graph.output.append(onnx.helper.make_tensor_value_info(name, kind, shape))
    onnx.checker.check_model(found)
    return found


def outputs(graph: Graph) -> dict[str, Described]:
    """Shape (batch ``N``) and ONNX element type of every network output."""
    return _describe(graph)


def share(graph: Graph, batch: int | str = BATCH) -> onnx.ModelProto:
    """As :func:`model`, without what it delivers: that needs shapes of everything."""
    writer = OnnxWriter(f"{graph.name}_host")
    for name in graph.chip_outputs:
        writer.input(name, (batch, *graph.tensors[name].shape[1:]), dtypes.F32)
    append(graph, writer, {})
    return writer.model(checked=False)


def shapes(unfinished: onnx.ModelProto) -> dict[str, Described]:
    """Shape and ONNX element type of every value of a :func:`share`, as ONNX infers them."""
    from onnx import shape_inference

    inferred = shape_inference.infer_shapes(unfinished, data_prop=True)
    found: dict[str, Described] = {}
    for item in (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output):
        tensor = item.type.tensor_type
        shape: Sequence[int | str | None] | None = None
        if tensor.HasField("shape"):
            shape = [
                dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None
                for dim in tensor.shape.dim
            ]
        found[item.name] = (None if shape is None else tuple(shape), tensor.elem_type)
    return found


def _describe(graph: Graph) -> dict[str, Described]:
    """What ONNX's shape inference says of the network's outputs."""
    from onnx import TensorProto

    found = shapes(share(graph))
    return {name: found.get(name, (None, TensorProto.FLOAT)) for name in graph.outputs}
