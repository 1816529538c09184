"""The inputs of a network: which are read, of which type they are, in which shape.

Values are real numbers here, whatever their type in the file: of integers only a Cast to a float
may make anything. Those of uint8 and int8 stay integers at scale 1 all the way to the chip.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from onnx import TensorProto

from knightlite import dtypes
from knightlite.errors import Finding
from knightlite.frontend import any_layout
from knightlite.frontend.element_types import INTEGERS
from knightlite.frontend.importer import Importer, Value
from knightlite.frontend.source import Shape, SourceModel, SourceNode
from knightlite.frontend.views import FLOATS, SAME, VIEWS
from knightlite.ir import Graph
from knightlite.ops import host as kinds

"""Types that a Cast may make real numbers of; None: fed as float32."""
MOST_AXES = 6
ROWS: dict[int, Callable[[Shape], Shape]] = {
    4: lambda shape: shape,
    3: lambda shape: (*shape[:2], 1, shape[2]),  # a signal is a picture of one row
    2: lambda shape: (*shape, 1, 1),
}


def declare(state: Importer, name: str) -> None:
    """Declare network input ``name``, or find what is wrong with it."""
    shape, element = state.model.shapes.get(name), state.model.types.get(name)
    quantized = name in state.model.quantized
    if not state.is_read(name):
        sentence = f"nothing reads the network input {name}: it is left out."
        hint = "what is fed to it is ignored"
        state.builder.declared_inputs = state.model.inputs
        state.findings.append(Finding(name, sentence, hint, "warning"))
        return
    state.values[name] = state.stand_in(name)
    kind = TensorProto.DataType.Name(element or 0).lower()
    truth = element == TensorProto.BOOL and _only_chooses(state, name)
    if not quantized and element not in (*FLOATS, *INTEGERS) and not truth:
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
            state.findings.append(Finding(name, sentence, _without(state, name)))
            return
    canonical = None if shape is None else _canonical(state, name, shape)
    if canonical is None and shape is not None and state.any_rank:
        canonical = _of_any_rank(shape)
    if canonical is None:
        sentence = (
            f"the network input {name} must be [1, C, H, W], [1, C, L] or [1, C], not {shape}."
        )
        state.findings.append(Finding(name, sentence, _remedy(state, shape)))
        return
    state.declare(name, canonical)
    state.builder.inputs.append(name)
    state.values[name] = Value(name)
    if shape is not None and (len(shape) not in ROWS or shape[0] != 1):
        any_layout.put(state, name, name, any_layout.factors_of(state, name))
    stored = dtypes.U8 if truth else INTEGERS.get(element or 0)
    if stored is not None and not quantized:
        state.builder.integer_inputs[name] = stored
    elif element != TensorProto.FLOAT and not quantized:
        sentence = f"the network input {name} is of {kind} in the model, here of float32."
        state.findings.append(Finding(name, sentence, "feed it with float32", "warning"))


def _canonical(state: Importer, name: str, shape: Shape) -> Shape | None:
    """The shape of the tensor: as the first operator that is no view of the input sees it.

    Elements have the same order in all views, so that nothing is moved for it. Nor does a Pad of
    the last axis count, [1, L] before a signal [1, 1, L]: it pads rows.
    """
    if len(shape) not in ROWS or shape[0] != 1:
        return None
    length = 0  # of the last axis, in front of a Pad
    while len(shape) < 4:
        readers = [node for node in state.model.nodes if name in node.inputs]
        if len(readers) != 1 or readers[0].op_type not in (*VIEWS, *SAME, "Pad"):
            break
        before = state.model.shapes[name]
        name = readers[0].outputs[0]
        seen = state.model.shapes.get(name, ())
        if readers[0].op_type == "Pad":
            if before[:-1] != seen[:-1] or length:
                break
            length = shape[-1]
            continue
        moves = readers[0].op_type == "Transpose"
        if moves or len(seen) not in ROWS or seen[0] != 1:
            break
        if length and seen[-1] != before[-1]:
            break
        shape = (*seen[:-1], length) if length else seen
    return ROWS[len(shape)](shape)


def _of_any_rank(shape: Shape) -> Shape | None:
    """The same elements as channels, rows and columns; None for more axes than there may be.

    Of more than three long axes all but the last two are channels.
    """
    long = [size for size in shape if size != 1]
    if len(shape) > MOST_AXES or 0 in shape:
        return None
    if len(long) < 3:
        c, h, w = {0: (1, 1, 1), 1: (*long, 1, 1), 2: (*long[:1], 1, *long[1:])}[len(long)]
        return (1, c, h, w)
    return (1, prod(long[:-2]), *long[-2:])


def _remedy(state: Importer, shape: Shape | None) -> str:
    """The shape to give, where only the batch is another one."""
    if shape is None or len(shape) not in ROWS or shape[0] == 1:
        return ""
    if state.model.mixes_frames:
        return f"export it for one frame: among {shape[0]}, one gives something else than alone"
    every = [state.model.shapes.get(name) for name in state.model.inputs]
    if None in every:
        return ""
    words = [f"-is {' '.join(map(str, (1, *sizes[1:])))}" for sizes in every if sizes]
    return f"run it frame by frame: {' '.join(words)}"


def _only_chooses(state: Importer, name: str) -> bool:
    """Whether the truth values of an input are but the condition of Wheres, or become numbers."""
    readers = [node for node in state.model.nodes if name in node.inputs]
    return name not in state.model.outputs and all(
        (node.op_type == "Where" and name not in node.inputs[1:])
        or (node.op_type == "Cast" and node.attributes.get("to") in FLOATS)
        or (
            node.op_type in (*VIEWS, "Identity", "Expand")
            and name == node.inputs[0]
            and _only_chooses(state, node.outputs[0])
        )
        for node in readers
    )


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


def _without(state: Importer, name: str) -> str:
    """What to do about whole numbers: rows that they look up are the program's to look up."""
    readers = [node for node in state.model.nodes if name in node.inputs]
    if not readers or any(
        node.op_type != "Gather" or name != node.inputs[1] or name == node.inputs[0]
        for node in readers
    ):
        return "export the model in float32"
    rows = " ".join(node.outputs[0] for node in readers)
    return (
        f"look the rows up in your program: `knightlite model_modifier -m MODEL --input-names "
        f"{rows}` writes a model that begins behind it"
    )


def other_types(model: SourceModel, graph: Graph) -> list[Finding]:
    """A word about outputs that are real numbers here, and of another type in the file."""
    found = []
    makers = {name: op.op for op in graph.host for name in op.outputs}
    for name in graph.outputs:
        element, maker = model.types.get(name), makers.get(name, "Reshape")
        if maker not in kinds.KINDS or maker == "Cast":
            continue  # ONNX Runtime, or a cast on the host, makes what the file says
        integers = element in INTEGERS and graph.tensors[name].dtype.is_float
        if integers or (element in FLOATS and element != TensorProto.FLOAT):
            kind = TensorProto.DataType.Name(element or 0).lower()
            sentence = f"the network output {name} is of {kind} in the model, here of float32."
            hint = f"a program that wants {kind} casts it"
            found.append(Finding(name, sentence, hint, "warning"))
    return found
