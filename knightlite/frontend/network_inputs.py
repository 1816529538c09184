"""The inputs of a network: which are read, of which type they are, in which shape.

Values are real numbers here, whatever their type in the file: of integers only a Cast to a float
may make anything. Those of uint8 and int8 stay integers at scale 1 all the way to the chip.
"""

from __future__ import annotations

from onnx import TensorProto

from knightlite import dtypes
from knightlite.dtypes import DType
from knightlite.errors import Finding
from knightlite.frontend.importer import Importer, Value
from knightlite.frontend.source import SourceModel, SourceNode
from knightlite.frontend.views import FLOATS, VIEWS
from knightlite.ir import Graph

INTEGERS: dict[int, DType | None] = {
    TensorProto.UINT8: dtypes.U8,
    TensorProto.INT8: dtypes.S8,
    TensorProto.INT16: dtypes.S16,
    TensorProto.UINT16: None,
    TensorProto.INT32: None,
    TensorProto.UINT32: None,
    TensorProto.INT64: None,
    TensorProto.UINT64: None,
}
"""Types that a Cast may make real numbers of; None: fed as float32."""


def declare(state: Importer, name: str) -> None:
    """Declare network input ``name``, or find what is wrong with it."""
    shape, element = state.model.shapes.get(name), state.model.types.get(name)
    quantized = name in state.model.quantized
    if not state.is_read(name):
        sentence = f"nothing reads the network input {name}: it is left out."
        hint = "feed the network without it"
        state.findings.append(Finding(name, sentence, hint, "warning"))
        return
    state.values[name] = state.stand_in(name)
    kind = TensorProto.DataType.Name(element or 0).lower()
    if not quantized and element not in (*FLOATS, *INTEGERS):
        sentence = f"the network input {name} must be of numbers, not of {kind}."
        state.findings.append(Finding(name, sentence, "export the model in float32"))
        return
    if not quantized and element in INTEGERS:
        reader = _computes(state, name)
        if reader is not None:
            sentence = (
                f"{reader.op_type} {reader.name} computes with the {kind} of the network input "
                f"{name}, which only a Cast to float32 may read."
            )
            state.findings.append(Finding(name, sentence, "export the model in float32"))
            return
    if shape is None or len(shape) != 4 or shape[0] != 1:
        sentence = f"the network input {name} must be [1, C, H, W], not {shape}."
        state.findings.append(Finding(name, sentence, _remedy(state, shape)))
        return
    state.declare(name, shape)
    state.builder.inputs.append(name)
    state.values[name] = Value(name)
    stored = INTEGERS.get(element or 0)
    if stored is not None and not quantized:
        state.builder.integer_inputs[name] = stored
    elif element != TensorProto.FLOAT and not quantized:
        sentence = f"the network input {name} is of {kind} in the model, here of float32."
        state.findings.append(Finding(name, sentence, severity="warning"))


def _remedy(state: Importer, shape: tuple[int, ...] | None) -> str:
    """The shape to give, where only the batch is another one and there is one input."""
    if shape is None or len(shape) != 4:
        return ""
    example = " ".join(map(str, (1, *shape[1:]))) if len(state.model.inputs) == 1 else "1 C H W"
    return f"run it frame by frame: -is {example}"


def _computes(state: Importer, name: str) -> SourceNode | None:
    """A node that reads the integers of an input, or a view of them, as anything but a Cast."""
    integers = {name}
    for node in state.model.nodes:
        if not integers.intersection(node.inputs):
            continue
        if node.op_type in (*VIEWS, "Identity") and not node.domain:
            integers.update(node.outputs)
        elif node.op_type != "Cast" or node.attributes.get("to") not in FLOATS:
            return node
    return None


def other_types(model: SourceModel, graph: Graph) -> list[Finding]:
    """A word about outputs that are real numbers here, and of another type in the file."""
    found = []
    for name in graph.outputs:
        element = model.types.get(name)
        integers = element in INTEGERS and graph.tensors[name].dtype.is_float
        if integers or (element in FLOATS and element != TensorProto.FLOAT):
            kind = TensorProto.DataType.Name(element or 0).lower()
            sentence = f"the network output {name} is of {kind} in the model, here of float32."
            found.append(Finding(name, sentence, severity="warning"))
    return found
