"""The float form of a node: the operator itself, then its gain, then its merged activation."""

from __future__ import annotations

import numpy as np

from knightlite.ops import expressions
from knightlite.ops.onnx_io import OnnxWriter
from knightlite.ops.opdef import OPEN, OpDef, View


def write_node(
    definition: OpDef, view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str
) -> None:
    """Write ``view``'s node; reading it back gives the same node with the same attributes."""
    name = view.node.output
    clamped, scaled = view.clamp != OPEN, view.gain != 1
    linear = writer.fresh(f"{name}/linear") if clamped else output
    plain = writer.fresh(f"{name}/unscaled") if scaled else linear
    definition.to_onnx(view, writer, inputs, plain)
    if scaled:
        gain = writer.constant(f"{name}/gain", np.float32(view.gain))
        writer.node("Mul", [plain, gain], linear)
    if clamped:
        expressions.write_clip(writer, linear, *view.clamp, output)
