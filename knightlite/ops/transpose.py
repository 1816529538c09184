"""Transposes of [1, C, H, W]: every order of C, H and W comes of two exchanges; values only move.

SwapPixels exchanges rows and columns: only strides change, so it is placed (``cuts``), not
executed. SwapChannels exchanges columns and channels, row by row. ``exchanges`` spells any order
with at most one SwapChannels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from knightlite import dtypes
from knightlite.ir import Graph
from knightlite.ops.onnx_io import OnnxWriter
from knightlite.ops.opdef import (
    OpDef,
    Region,
    View,
    Window,
    as_inputs,
    no_macs,
    own_channels,
    same_rows,
)
from knightlite.ops.rearranging import case
from knightlite.ops.sharing import same_scale

Array = NDArray[Any]
RUN = 4  # channels that a SwapChannels in two moves first moves together
ORDERS = {"SwapPixels": (0, 1, 3, 2), "SwapChannels": (0, 3, 2, 1)}


def exchanges(order: tuple[int, ...]) -> tuple[str, ...]:
    """The operators, first to last, that bring axes 1, 2 and 3 into ``order``."""
    pixels, channels = "SwapPixels", "SwapChannels"
    for names in (
        (), (pixels,), (channels,), (pixels, channels), (channels, pixels),
        (pixels, channels, pixels),
    ):  # fmt: skip
        axes: tuple[int, ...] = (0, 1, 2, 3)
        for name in names:
            axes = tuple(axes[axis] for axis in ORDERS[name])
        if axes == order:
            return names
    raise ValueError(f"{order} is no order of channels, rows and columns behind the batch")


def swapped(shape: tuple[int, ...], op: str) -> tuple[int, ...]:
    """The shape after one exchange."""
    return tuple(shape[axis] for axis in ORDERS[op])


def infer(view: View) -> tuple[int, ...]:
    """The sizes in their new order."""
    return swapped(view.tensor(0).shape, view.node.op)


def reference(view: View, inputs: tuple[Array, ...]) -> Array:
    """The axes in their new order."""
    return inputs[0].transpose(ORDERS[view.node.op])


def to_onnx(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """Transpose; the same node serves the golden model."""
    writer.node("Transpose", inputs, output, perm=list(ORDERS[view.node.op]))


def all_rows(view: View, index: int, rows: Region) -> Region:
    """A row of the output is a column of the input."""
    return 0, view.tensor(0).shape[2]


def _pixels(name: str, shape: tuple[int, int, int], **more: Any) -> Graph:
    return case("SwapPixels", name, shape, {}, infer, **more)


def _channels(name: str, shape: tuple[int, int, int], **more: Any) -> Graph:
    return case("SwapChannels", name, shape, {}, infer, **more)


def _definition(
    name: str,
    region: Callable[[View, int, Region], Region],
    samples: Callable[[], tuple[Graph, ...]],
    breaks: Callable[[], Graph],
    cuts: Callable[[View], Window] | None = None,
    **traits: Any,
) -> OpDef:
    return OpDef(
        name=name,
        onnx_types=(),
        also_from=("Transpose",),
        from_onnx=None,
        infer=infer,
        to_onnx=to_onnx,
        reference=reference,
        to_golden=to_onnx,
        region=region,
        macs=no_macs,
        constraints=(same_scale(breaks),),
        samples=samples,
        value_preserving=True,
        rearranges=True,
        cuts=cuts,
        nonnegative=as_inputs,
        **traits,
    )


SWAP_PIXELS = _definition(
    "SwapPixels",
    all_rows,
    lambda: (_pixels("wide", (3, 4, 9)), _pixels("high", (6, 8, 5), dtype=dtypes.U8)),
    lambda: _pixels("scales", (3, 4, 9), y_scale=0.2),
    cuts=lambda view: Window(turned=True),
    ties=own_channels,
    linear=True,
)
SWAP_CHANNELS = _definition(
    "SwapChannels",
    same_rows,
    lambda: (
        _channels("small", (5, 4, 7)),
        _channels("wide", (6, 3, 4), dtype=dtypes.S16),
        _channels("tiles", (40, 90, 50), dtype=dtypes.U8),
        _channels("tokens", (64, 1, 33)),
        _channels("wide_runs", (12, 3, 20), dtype=dtypes.S16),
    ),
    lambda: _channels("scales", (5, 4, 7), y_scale=0.2),
)
