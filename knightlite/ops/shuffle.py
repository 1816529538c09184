"""ChannelShuffle: channel i*n + j of g groups of n goes to channel j*g + i; values only move.

ShuffleNet, Zhang et al. 2018. ONNX spells it as Reshape, Transpose, Reshape.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from knightlite import dtypes
from knightlite.ops.onnx_io import OnnxWriter
from knightlite.ops.opdef import (
    Constraint,
    OpDef,
    View,
    as_inputs,
    no_macs,
    same_rows,
    same_shape,
)
from knightlite.ops.rearranging import Steps, case, rearrange, write
from knightlite.ops.sharing import same_scale

Array = NDArray[Any]


def steps(shape: tuple[int, ...], groups: int) -> Steps:
    """[1, C, H, W] as groups of channels, which change places with the channels of a group."""
    _, channels, height, width = shape
    split = (1, groups, channels // groups, height, width)
    return Steps(split, (0, 2, 1, 3, 4), shape)


def _steps(view: View) -> Steps:
    return steps(view.tensor(0).shape, view.integer("groups"))


def reference(view: View, inputs: tuple[Array, ...]) -> Array:
    """The channels in their new order."""
    return rearrange(inputs[0], _steps(view))


def to_onnx(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """Reshape, Transpose, Reshape; the same nodes serve the golden model."""
    write(_steps(view), writer, inputs[0], output)


def samples() -> tuple[Any, ...]:
    """Two groups, groups of two, rows that do not fit at once."""
    return (
        case("ChannelShuffle", "two", (10, 4, 5), {"groups": 2}, same_shape, dtypes.U8),
        case("ChannelShuffle", "pairs", (12, 3, 5), {"groups": 6}, same_shape, dtypes.S16),
        case("ChannelShuffle", "tiles", (48, 90, 40), {"groups": 3}, same_shape),
    )


def _check_groups(view: View) -> str | None:
    channels, groups = view.tensor(0).shape[1], view.integer("groups")
    if groups > 0 and channels % groups == 0:
        return None
    return f"groups must divide the {channels} channels, not be {groups}"


CHANNEL_SHUFFLE = OpDef(
    name="ChannelShuffle",
    onnx_types=(),
    also_from=("Reshape", "Transpose"),
    from_onnx=None,
    infer=same_shape,
    to_onnx=to_onnx,
    reference=reference,
    to_golden=to_onnx,
    region=same_rows,
    macs=no_macs,
    constraints=(
        Constraint(
            "groups divide the channels",
            _check_groups,
            lambda: case("ChannelShuffle", "groups", (10, 4, 5), {"groups": 3}, same_shape),
            structural=True,
        ),
        same_scale(
            lambda: case("ChannelShuffle", "s", (8, 4, 5), {"groups": 2}, same_shape, y_scale=0.2)
        ),
    ),
    samples=samples,
    value_preserving=True,
    rearranges=True,
    nonnegative=as_inputs,
)
