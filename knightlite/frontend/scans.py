"""Scan as a Loop that picks what every turn scans: a Loop of known turns is unrolled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from knightlite.frontend.source import Shape

if TYPE_CHECKING:
    import onnx


def as_loops(
    nodes: Iterable[onnx.NodeProto], shapes: Mapping[str, Shape]
) -> list[onnx.NodeProto] | None:
    """The nodes with Loops for Scans of known length; None where there is none of them."""
    found: list[onnx.NodeProto] = []
    changed = False
    for node in nodes:
        made = _as_loop(node, shapes) if node.op_type == "Scan" and not node.domain else None
        found += [node] if made is None else made
        changed = changed or made is not None
    return found if changed else None


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    from onnx import helper

    return {item.name: helper.get_attribute_value(item) for item in node.attribute}


def _as_loop(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> list[onnx.NodeProto] | None:
    from onnx import AttributeProto, TensorProto, helper, numpy_helper

    given = _attributes(node)
    count, body = given.get("num_scan_inputs", 0), given.get("body")
    if not body or not 0 < count <= len(node.input) or len(body.input) != len(node.input):
        return None
    scanned = list(node.input[-count:])
    states = list(node.input[: len(node.input) - count])
    axes = list(given.get("scan_input_axes", [0] * count))
    backward = list(given.get("scan_input_directions", [0] * count))
    if not all(shapes.get(name) for name in scanned):
        return None
    turns = {shapes[name][axis] for name, axis in zip(scanned, axes, strict=True)}
    if len(turns) != 1 or 0 in turns:
        return None
    (length,) = turns
    stem = next(name for name in node.output if name)
    inner = type(body).FromString(body.SerializeToString())
    picked: list[onnx.NodeProto] = []
    turn, goes_on = f"{stem}/turn", f"{stem}/goes_on"
    last = numpy_helper.from_array(np.asarray(length - 1, np.int64), f"{stem}/last")
    if any(backward):
        inner.initializer.append(last)
        back = helper.make_node("Sub", [last.name, turn], [f"{stem}/back"], name=f"{stem}/back")
        picked.append(back)
    entries = list(inner.input)[len(states) :]
    for entry, name, axis, turned in zip(entries, scanned, axes, backward, strict=True):
        index = f"{stem}/back" if turned else turn
        picked.append(helper.make_node("Gather", [name, index], [entry.name], axis=int(axis)))
    own = [*picked, *inner.node, helper.make_node("Identity", [goes_on], [f"{stem}/on"])]
    graph = helper.make_graph(
        own,
        inner.name or stem,
        [
            helper.make_tensor_value_info(turn, TensorProto.INT64, []),
            helper.make_tensor_value_info(goes_on, TensorProto.BOOL, []),
            *list(inner.input)[: len(states)],
        ],
        [helper.make_tensor_value_info(f"{stem}/on", TensorProto.BOOL, []), *inner.output],
        list(inner.initializer),
    )
    times = numpy_helper.from_array(np.asarray(length, np.int64), f"{stem}/times")
    outputs = list(node.output)
    made = [helper.make_node("Constant", [], [times.name], value=times)]
    tails = _outputs(outputs, len(states), given, length, stem, shapes)
    loop = helper.make_node("Loop", [times.name, "", *states], outputs, name=node.name)
    loop.attribute.append(helper.make_attribute("body", graph))
    assert loop.attribute[0].type == AttributeProto.GRAPH
    return [*made, loop, *tails]


def _outputs(
    outputs: list[str],
    states: int,
    given: Mapping[str, Any],
    length: int,
    stem: str,
    shapes: Mapping[str, Shape],
) -> list[onnx.NodeProto]:
    """What brings stacked outputs to their axes and directions; ``outputs`` get other names."""
    from onnx import helper, numpy_helper

    stacked = len(outputs) - states
    axes = list(given.get("scan_output_axes", [0] * stacked))
    backward = list(given.get("scan_output_directions", [0] * stacked))
    made = []
    for place, (axis, turned) in enumerate(zip(axes, backward, strict=True), start=states):
        name = outputs[place]
        if not name or (not axis and not turned):
            continue
        source = outputs[place] = f"{stem}/stacked{place}"
        if turned:
            order = numpy_helper.from_array(np.arange(length)[::-1].copy(), f"{source}/order")
            made.append(helper.make_node("Constant", [], [order.name], value=order))
            target = f"{source}/forward" if axis else name
            made.append(helper.make_node("Gather", [source, order.name], [target], axis=0))
            source = target
        if axis:
            rank = len(shapes[name])
            perm = list(range(1, rank))
            perm.insert(int(axis) % rank, 0)
            made.append(helper.make_node("Transpose", [source], [name], perm=perm))
    return made
