"""Loop with a known number of turns: its body stands in its place as often as it is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from knightlite.frontend.branches import rename_values
from knightlite.frontend.source import SourceNode

if TYPE_CHECKING:
    import onnx

Array = NDArray[Any]
PASSED_ON = ("Cast", "Identity")  # what a condition goes through unchanged


def known(nodes: Sequence[SourceNode], constants: Mapping[str, Array], room: int) -> dict[str, int]:
    """Loops that are run a constant number of times, by their first output: how often.

    ``room``: nodes that they may become in all; what is beyond it is left out.
    """
    found: dict[str, int] = {}
    for node in nodes:
        turns = _turns(node, constants)
        if turns is None:
            continue
        room -= turns * (len(node.attributes["body"].node) + 1)
        if room < 0:
            break
        found[next(name for name in node.outputs if name)] = turns
    return found


def _turns(node: SourceNode, constants: Mapping[str, Array]) -> int | None:
    if node.op_type != "Loop" or node.domain or "body" not in node.attributes:
        return None
    count, first = (constants.get(name) for name in (*node.inputs, "", "")[:2])
    if count is None or count.size != 1 or not any(node.outputs):
        return None
    if node.inputs[1] and (first is None or first.size != 1):
        return None
    body = node.attributes["body"]
    if len(body.input) < 2 or len(body.input) != len(node.inputs):
        return None
    turns = max(0, int(count.reshape(-1)[0]))
    if first is not None and not first.all():
        turns = 0
    elif turns and not _goes_on(body, constants):
        return None
    scanned = len(node.outputs) > len(node.inputs) - 2
    return None if scanned and not turns else turns  # nothing is stacked: of unknown shape


def _goes_on(body: onnx.GraphProto, constants: Mapping[str, Array]) -> bool:
    """True where the condition of a turn is that of the one before, or a constant that holds.

    ``constants``: of the graph around it.
    """
    from onnx import numpy_helper

    makers = {name: node for node in body.node for name in node.output}
    held = {item.name: item for item in body.initializer}
    name = body.output[0].name
    while name in makers and makers[name].op_type in PASSED_ON:
        name = makers[name].input[0]
    maker = makers.get(name)
    if maker is not None:
        written = [item.t for item in maker.attribute if maker.op_type == "Constant"]
        values = [numpy_helper.to_array(item) for item in written]
    elif name in held:
        values = [numpy_helper.to_array(held[name])]
    elif name in {item.name for item in body.input}:
        return bool(name == body.input[1].name)
    else:
        values = [constants[name]] if name in constants else []
    return any(item.all() for item in values)


def inlined(
    nodes: Sequence[onnx.NodeProto], turns: Mapping[str, int], opset: int
) -> list[onnx.NodeProto]:
    """The nodes with the turns of the known Loops in their places."""
    found: list[onnx.NodeProto] = []
    for node in nodes:
        first = next((name for name in node.output if name), "")
        counted = turns.get(first) if node.op_type == "Loop" else None
        found += [node] if counted is None else _unrolled(node, counted, opset)
    return found


def _unrolled(node: onnx.NodeProto, turns: int, opset: int) -> list[onnx.NodeProto]:
    """The nodes of all turns under names of their own, then what the Loop gave."""
    from onnx import helper, numpy_helper

    (body,) = [item.g for item in node.attribute if item.name == "body"]
    stem = next(name for name in node.output if name)  # names of nodes need not be unique
    states = list(node.input[2:])
    stacked: list[list[str]] = [[] for _ in node.output[len(states) :]]
    made: list[onnx.NodeProto] = []

    def constant(name: str, values: onnx.TensorProto) -> str:
        made.append(helper.make_node("Constant", [], [name], name=name, value=values))
        return name

    for turn in range(turns):
        within = f"{stem}/{turn}"
        names = {item.name: f"{within}/{item.name}" for item in body.initializer}
        names |= {name: f"{within}/{name}" for item in body.node for name in item.output if name}
        for item in body.initializer:
            constant(names[item.name], item)
        numbers = (np.asarray(turn, np.int64), np.asarray(True))
        given = [
            constant(f"{within}/{item.name}", numpy_helper.from_array(values))
            for item, values in zip(body.input, numbers, strict=False)
        ]
        names |= dict(zip((item.name for item in body.input), (*given, *states), strict=True))
        for item in body.node:
            copy = type(item).FromString(item.SerializeToString())
            copy.name = f"{within}/{item.name}" if item.name else ""
            rename_values(copy, names)
            made.append(copy)
        results = [names.get(item.name, item.name) for item in body.output[1:]]
        states = results[: len(states)]
        for place, name in enumerate(results[len(states) :][: len(stacked)]):
            row = f"{within}/row{place}"
            made.append(_row(name, row, opset, constant))
            stacked[place].append(row)
    for output, source in zip(node.output, states, strict=False):
        if output:
            made.append(helper.make_node("Identity", [source], [output], name=f"{stem}/{output}"))
    for output, rows in zip(node.output[len(states) :], stacked, strict=True):
        if output:
            made.append(helper.make_node("Concat", rows, [output], name=f"{stem}/{output}", axis=0))
    return made


def _row(name: str, row: str, opset: int, constant: Any) -> onnx.NodeProto:
    """What a turn adds to a stacked output, with an axis to stack along."""
    from onnx import helper, numpy_helper

    if opset < 13:
        return helper.make_node("Unsqueeze", [name], [row], name=row, axes=[0])
    axes = constant(f"{row}/axes", numpy_helper.from_array(np.zeros(1, np.int64)))
    return helper.make_node("Unsqueeze", [name, axes], [row], name=row)
