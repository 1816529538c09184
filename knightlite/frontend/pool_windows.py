"""Pools with ceil_mode, as ONNX defines them and its shape inference does not count them.

The inference of opsets before 22 counts windows that would start in the padding at the end. ONNX's
reference and ONNX Runtime drop them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from knightlite.errors import UnsupportedError
from knightlite.frontend.source import Shape
from knightlite.ops.windows import output_size, resolve_pads

if TYPE_CHECKING:
    import onnx

POOLS = ("AveragePool", "LpPool", "MaxPool")


def miscounted(graph: onnx.GraphProto, shapes: Mapping[str, Shape]) -> dict[str, tuple[int, ...]]:
    """Pools whose output has another shape than ``shapes`` say, by output: pads that give it."""
    found = {}
    for node in graph.node:
        source, output = shapes.get(node.input[0]) if node.input else None, node.output[0]
        if node.op_type not in POOLS or node.domain not in ("", "ai.onnx") or source is None:
            continue
        windows = _windows(node, source)
        if windows is not None and output in shapes and windows[0] != shapes[output][2:]:
            found[output] = windows[1]
    return found


def _windows(node: onnx.NodeProto, source: Shape) -> tuple[Shape, tuple[int, ...]] | None:
    """How many windows there are along each axis, and pads with which floor counts as many."""
    from onnx import helper

    attributes: dict[str, Any] = {
        item.name: helper.get_attribute_value(item) for item in node.attribute
    }
    kernel = attributes.get("kernel_shape", ())
    ones = (1,) * len(kernel)
    strides = attributes.get("strides") or ones
    dilations = attributes.get("dilations") or ones
    attributes["auto_pad"] = attributes.get("auto_pad", b"NOTSET").decode(errors="replace")
    whole = len(source) == len(kernel) + 2 and min((*strides, *dilations, *kernel), default=0) > 0
    if not attributes.get("ceil_mode") or not whole:
        return None
    try:
        pads = resolve_pads(attributes, source[2:], kernel, strides, dilations, ceil_mode=True)
    except (UnsupportedError, IndexError):
        return None  # the operator itself will say why
    rank = len(kernel)
    padded = [size + pads[i] + pads[i + rank] for i, size in enumerate(source[2:])]
    made = map(output_size, padded, kernel, strides, dilations)
    return tuple(made), pads


def counted(model: onnx.ModelProto, pads: Mapping[str, tuple[int, ...]]) -> onnx.ModelProto:
    """A copy in which these pools have explicit pads: their shapes are inferred right."""
    import onnx
    from onnx import helper

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for node in copy.graph.node:
        if node.output[0] in pads:
            kept = [item for item in node.attribute
                    if item.name not in ("auto_pad", "ceil_mode", "pads")]  # fmt: skip
            kept.append(helper.make_attribute("pads", pads[node.output[0]]))
            kept = [type(item).FromString(item.SerializeToString()) for item in kept]
            del node.attribute[:]
            node.attribute.extend(kept)
    return copy
