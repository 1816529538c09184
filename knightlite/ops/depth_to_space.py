"""DepthToSpace and SpaceToDepth: b x b blocks of pixels against b*b channels; values only move.

``mode`` says how the channels of a block are numbered: DCR (row of the block, column, channel) or
CRD (channel, row, column), as PixelShuffle does. ONNX has CRD for DepthToSpace only.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from knightlite import dtypes
from knightlite.ir import Attribute, GraphBuilder
from knightlite.ops.onnx_io import OnnxNode, OnnxWriter
from knightlite.ops.opdef import Constraint, OpDef, Region, View, as_inputs, no_macs
from knightlite.ops.rearranging import Steps, case, rearrange, write
from knightlite.ops.sharing import same_scale

Array = NDArray[Any]
MODES = ("DCR", "CRD")


def depth_steps(shape: tuple[int, ...], block: int, mode: str) -> Steps:
    """[1, C, H, W] -> [1, C / b^2, H * b, W * b]."""
    _, channels, height, width = shape
    inner = channels // block**2
    joined = (1, inner, height * block, width * block)
    if mode == "DCR":
        return Steps((1, block, block, inner, height, width), (0, 3, 4, 1, 5, 2), joined)
    return Steps((1, inner, block, block, height, width), (0, 1, 4, 2, 5, 3), joined)


def space_steps(shape: tuple[int, ...], block: int, mode: str) -> Steps:
    """[1, C, H, W] -> [1, C * b^2, H / b, W / b]."""
    _, channels, height, width = shape
    split = (1, channels, height // block, block, width // block, block)
    order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
    return Steps(split, order, (1, channels * block**2, height // block, width // block))


def mode_of(view: View) -> str:
    """DCR or CRD."""
    return str(view.node.attributes["mode"])


def _steps(view: View) -> Steps:
    make = depth_steps if view.node.op == "DepthToSpace" else space_steps
    return make(view.tensor(0).shape, view.integer("block"), mode_of(view))


def infer(view: View) -> tuple[int, ...]:
    """The shape that the axes are joined to."""
    return _steps(view).joined


def reference(view: View, inputs: tuple[Array, ...]) -> Array:
    """The pixels at their new places."""
    return rearrange(inputs[0], _steps(view))


def golden(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """Reshape, Transpose, Reshape: for every integer type, in every mode."""
    write(_steps(view), writer, inputs[0], output)


def to_onnx(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """The ONNX operator where it has the mode."""
    mode, block = mode_of(view), view.integer("block")
    if view.node.op == "DepthToSpace":
        writer.node("DepthToSpace", inputs, output, blocksize=block, mode=mode)
    elif mode == "DCR":
        writer.node("SpaceToDepth", inputs, output, blocksize=block)
    else:
        golden(view, writer, inputs, output)


def depth_region(view: View, index: int, rows: Region) -> Region:
    """A block of rows comes from one row."""
    block = view.integer("block")
    return rows[0] // block, -(-rows[1] // block)


def space_region(view: View, index: int, rows: Region) -> Region:
    """A row comes from a block of rows."""
    block = view.integer("block")
    return rows[0] * block, rows[1] * block


def from_onnx(node: OnnxNode, builder: GraphBuilder) -> None:
    """Both operators; SpaceToDepth has one mode."""
    mode = node.attributes.get("mode", b"DCR")
    name = mode.decode() if isinstance(mode, bytes) else str(mode)
    values: dict[str, Attribute] = {"block": int(node.attributes["blocksize"]), "mode": name}
    builder.node(node.op_type, (node.inputs[0],), node.output, values)


def _depth(name: str, shape: tuple[int, int, int], block: int, mode: str, **more: Any) -> Any:
    return case("DepthToSpace", name, shape, {"block": block, "mode": mode}, infer, **more)


def _space(name: str, shape: tuple[int, int, int], block: int, mode: str, **more: Any) -> Any:
    return case("SpaceToDepth", name, shape, {"block": block, "mode": mode}, infer, **more)


def depth_samples() -> tuple[Any, ...]:
    """Both modes, types, tiles that begin within a block."""
    return (
        _depth("dcr", (12, 3, 4), 2, "DCR", dtype=dtypes.U8),
        _depth("crd", (18, 4, 3), 3, "CRD"),
        _depth("wide", (8, 3, 4), 2, "CRD", dtype=dtypes.S16),
        _depth("tiles", (48, 75, 50), 2, "DCR"),
    )


def space_samples() -> tuple[Any, ...]:
    """Both modes, types, rows that do not fit at once."""
    return (
        _space("dcr", (3, 6, 8), 2, "DCR", dtype=dtypes.U8),
        _space("crd", (5, 6, 9), 3, "CRD", dtype=dtypes.S16),
        _space("tiles", (12, 150, 100), 2, "DCR"),
    )


def _check_channels(view: View) -> str | None:
    block, channels = view.integer("block"), view.tensor(0).shape[1]
    if block > 0 and channels % block**2 == 0:
        return None
    return f"the {channels} channels must be a multiple of {block}^2"


def _check_pixels(view: View) -> str | None:
    block, size = view.integer("block"), view.tensor(0).shape[2:]
    if block > 0 and not any(item % block for item in size):
        return None
    return f"the picture of {size[0]}x{size[1]} must be a multiple of {block}"


def _check_mode(view: View) -> str | None:
    mode = mode_of(view)
    return None if mode in MODES else f"the mode must be DCR or CRD, not {mode}"


def _mode_rule(breaks: Any) -> Constraint:
    return Constraint("the mode is DCR or CRD", _check_mode, breaks, structural=True)


DEPTH_TO_SPACE = OpDef(
    name="DepthToSpace",
    onnx_types=("DepthToSpace",),
    from_onnx=from_onnx,
    infer=infer,
    to_onnx=to_onnx,
    reference=reference,
    to_golden=golden,
    region=depth_region,
    macs=no_macs,
    constraints=(
        Constraint(
            "the channels are a multiple of the block squared",
            _check_channels,
            lambda: _depth("channels", (10, 3, 4), 2, "DCR"),
            structural=True,
        ),
        _mode_rule(lambda: _depth("mode", (8, 3, 4), 2, "RCD")),
        same_scale(lambda: _depth("scales", (8, 3, 4), 2, "DCR", y_scale=0.2)),
    ),
    samples=depth_samples,
    value_preserving=True,
    rearranges=True,
    nonnegative=as_inputs,
    reads_axes=True,
)

SPACE_TO_DEPTH = OpDef(
    name="SpaceToDepth",
    onnx_types=("SpaceToDepth",),
    from_onnx=from_onnx,
    infer=infer,
    to_onnx=to_onnx,
    reference=reference,
    to_golden=golden,
    region=space_region,
    macs=no_macs,
    constraints=(
        Constraint(
            "height and width are multiples of the block",
            _check_pixels,
            lambda: _space("pixels", (3, 6, 7), 2, "DCR"),
            structural=True,
        ),
        _mode_rule(lambda: _space("mode", (3, 6, 8), 2, "RCD")),
        same_scale(lambda: _space("scales", (3, 6, 8), 2, "DCR", y_scale=0.2)),
    ),
    samples=space_samples,
    value_preserving=True,
    rearranges=True,
    nonnegative=as_inputs,
    reads_axes=True,
)
