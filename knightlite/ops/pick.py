"""ArgMax and ArgMin over channels: which one holds the largest or the smallest value.

Integer form: y = c, a whole number of scale 1. Integers of one scale compare as the reals that they
stand for; of equals the first is picked, or the last (select_last_index). In groups of channels
every group has an index of its own, counted from its first channel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from knightlite import dtypes
from knightlite.dtypes import DType
from knightlite.ir import Attribute, Graph, GraphBuilder, Node
from knightlite.ops.onnx_io import OnnxWriter, element_type
from knightlite.ops.opdef import Constraint, OpDef, View, no_macs, same_rows
from knightlite.ops.samples import feature, result
from knightlite.ops.softmax import depth as depth
from knightlite.ops.softmax import groups as groups

Array = NDArray[Any]
OUTPUT = (dtypes.U8, 1.0)
WIDE_OUTPUT = (dtypes.S16, 1.0)


def picks_least(view: View) -> bool:
    """Whether the smallest value is picked."""
    return view.node.op == "ArgMin"


def picks_last(view: View) -> bool:
    """Whether of equals the last is picked."""
    return bool(view.node.attributes.get("select_last_index", 0))


def infer(view: View) -> tuple[int, ...]:
    """[1, groups, H, W]."""
    return (1, groups(view), *view.tensor(0).shape[2:])


def reference(view: View, inputs: tuple[Array, ...]) -> Array:
    """x [1, C, H, W] integers -> y [1, groups, H, W]."""
    x = inputs[0].reshape(groups(view), depth(view), *inputs[0].shape[2:])
    find = np.argmin if picks_least(view) else np.argmax
    found: Array = find(x[:, ::-1] if picks_last(view) else x, axis=1)
    if picks_last(view):
        found = depth(view) - 1 - found
    return found[None].astype(view.output.dtype.numpy)


def to_onnx(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """The operator, whose indices are int64, and a Cast to real numbers."""
    index = _index(view, writer, inputs[0], output)
    writer.node("Cast", [index], output, to=TensorProto.FLOAT)


def to_golden(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """The operator on int32, which ONNX Runtime compares exactly."""
    wide = writer.cast(inputs[0], TensorProto.INT32, f"{output}/wide")
    index = _index(view, writer, wide, output)
    writer.node("Cast", [index], output, to=element_type(view.output.dtype))


def _index(view: View, writer: OnnxWriter, source: str, output: str) -> str:
    """int64 [1, groups, H, W]; channels in groups are split by a Reshape."""
    attributes = {"select_last_index": 1} if picks_last(view) else {}
    count, (_, _, height, width) = groups(view), view.tensor(0).shape
    if count > 1:
        split = (1, count, depth(view), height, width)
        source = writer.reshaped(source, split, f"{output}/split")
        attributes["keepdims"] = 0
    axis = 2 if count > 1 else 1
    return writer.temporary(view.node.op, [source], f"{output}/index", axis=axis, **attributes)


def _case(
    name: str,
    shape: tuple[int, int, int],
    x_type: DType,
    output: tuple[DType, float] = OUTPUT,
    groups: int = 1,
    last: bool = False,
    op: str = "ArgMax",
) -> Graph:
    builder = GraphBuilder(name)
    feature(builder, "x", shape, x_type, 0.05)
    attributes: dict[str, Attribute] = {"groups": groups} if groups > 1 else {}
    attributes |= {"select_last_index": 1} if last else {}
    node = Node("y", op, ("x",), ("y",), attributes)
    return result(builder, node, (1, groups, *shape[1:]), *output)


def most_samples() -> tuple[Graph, ...]:
    """All types, ties, one row, rows that do not fit at once, groups, many channels."""
    return (
        _case("classes", (21, 9, 11), dtypes.S8),
        _case("ties", (40, 5, 6), dtypes.U8, last=True),
        _case("row", (256, 1, 40), dtypes.S8),
        _case("tiles", (19, 90, 60), dtypes.S16),
        _case("many", (1000, 4, 7), dtypes.S16, WIDE_OUTPUT),
        _case("heads", (63, 3, 5), dtypes.S8, WIDE_OUTPUT, groups=3),
        _case("heads_tiles", (240, 12, 35), dtypes.S8, groups=12),
    )


def least_samples() -> tuple[Graph, ...]:
    """As of the largest, fewer."""
    return (
        _case("least", (24, 7, 9), dtypes.S8, op="ArgMin"),
        _case("least_last", (33, 6, 7), dtypes.S16, WIDE_OUTPUT, last=True, op="ArgMin"),
    )


def _check_groups(view: View) -> str | None:
    channels, count = view.tensor(0).shape[1], groups(view)
    if count < 1 or channels % count:
        return f"groups must divide the {channels} channels, not be {count}"
    most = dtypes.S16.maximum + 1
    if depth(view) <= most:
        return None
    return f"it picks of at most {most} channels, not {depth(view)}"


def _check_type(view: View) -> str | None:
    y, scale = view.output, float(view.output_scale)
    if y.dtype not in (dtypes.U8, dtypes.S16) or scale != 1.0:
        return f"its output must be u8 or s16 with scale 1, not {y.dtype} with scale {scale:.6g}"
    if depth(view) - 1 > y.dtype.maximum:
        return f"its output must be s16 where it picks of {depth(view)} channels, not {y.dtype}"
    return None


def _definition(op: str, samples: Callable[[], tuple[Graph, ...]]) -> OpDef:
    """The two differ in their samples only: the node's operator says what is picked."""
    return OpDef(
        name=op,
        onnx_types=(),
        from_onnx=None,
        also_from=(op,),
        infer=infer,
        to_onnx=to_onnx,
        reference=reference,
        to_golden=to_golden,
        region=same_rows,
        macs=no_macs,
        constraints=(
            Constraint(
                "an index is picked of at most 32768 channels",
                _check_groups,
                lambda: _case("groups", (8, 1, 1), dtypes.S8, groups=3, op=op),
                structural=True,
            ),
            Constraint(
                "indices are u8 up to 255, else s16, with scale 1",
                _check_type,
                lambda: _case("type", (300, 2, 2), dtypes.S8, op=op),
            ),
        ),
        samples=samples,
        nonnegative=lambda view, inputs: True,
        wide_output=False,
        fixed_output=(OUTPUT, WIDE_OUTPUT),
        picks=True,
    )


ARG_MAX = _definition("ArgMax", most_samples)
ARG_MIN = _definition("ArgMin", least_samples)
