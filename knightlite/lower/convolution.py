"""Convolutions on the matrix engine: one window over the input tile."""

from __future__ import annotations

import math

from knightlite.chip import Chip
from knightlite.ir import Graph, Node
from knightlite.isa import Instruction, Matrix
from knightlite.lower.chain import WIDTH_LIMIT, chain_of, weights_limit
from knightlite.lower.work import (
    LARGEST_WINDOW,
    SIZE_LIMIT,
    Limit,
    Lowering,
    Range,
    Tile,
    Work,
    tile_shape,
    window_limits,
)
from knightlite.ops import View, conv, weighted


def work(view: View) -> Work:
    """A single Conv."""
    return chain_work(view.graph, (view.node,))


def chain_work(graph: Graph, parts: tuple[Node, ...]) -> Work:
    """A chain [Affine,] Conv [, Add or activation]."""
    chain = chain_of(graph, parts)
    center = chain.center
    window = _window_fields(center)
    taps = window["kernel_height"] * window["kernel_width"]
    stride, pad_top = center.integers("strides")[0], center.integers("pads")[0]

    made: dict[tuple[object, ...], tuple[Instruction, ...]] = {}

    def compute(tile: Tile) -> tuple[Instruction, ...]:
        top = max(0, pad_top - tile.rows[0] * stride)
        key = (top, *tile_shape(tile))
        if key not in made:
            made[key] = (Matrix(**chain.fields(tile), **window, pad_top=top),)
        return made[key]

    def weights(outs: Range, ins: Range, align: int) -> bytes:
        return chain.weight_rows(outs, ins)

    def weight_bytes(outs: Range, ins: Range, align: int) -> int:
        return taps * chain.tap_bytes(outs, ins)

    return chain.work(lambda rows: conv.region(center, 0, rows), compute, weights, weight_bytes)


def _window_fields(center: View) -> dict[str, int]:
    """The fields of Matrix that describe the window; the pad above depends on the tile."""
    kernel = weighted.weights(center).shape[2:]
    strides, dilations = center.integers("strides"), center.integers("dilations")
    return {
        "kernel_height": kernel[0],
        "kernel_width": kernel[1],
        "stride_height": strides[0],
        "stride_width": strides[1],
        "dilation_height": dilations[0],
        "dilation_width": dilations[1],
        "pad_left": center.integers("pads")[1],
    }


def _check_window(view: View, chip: Chip) -> str | None:
    dilation = max(view.integers("dilations"))
    if dilation > LARGEST_WINDOW:
        return f"dilation must be at most {LARGEST_WINDOW}, not {dilation}"
    return window_limits(view, weighted.weights(view).shape[2:], view.integers("strides"))


def _check_pads(view: View, chip: Chip) -> str | None:
    dilations, kernel = view.integers("dilations"), weighted.weights(view).shape[2:]
    reach = [dilations[axis] * (kernel[axis] - 1) + 1 for axis in range(2)]
    pads = view.integers("pads")
    if all(pad < reach[index % 2] for index, pad in enumerate(pads)):
        return None
    return f"pads must be smaller than the dilated kernel {tuple(reach)}, not {pads}"


def _check_weights(view: View, chip: Chip) -> str | None:
    return weights_limit(view, chip, (math.prod(weighted.weights(view).shape[2:]),))


CONVOLUTION = Lowering(
    op="Conv",
    limits=(
        SIZE_LIMIT,
        WIDTH_LIMIT,
        Limit(f"kernel, stride, dilation and pad are at most {LARGEST_WINDOW}", _check_window),
        Limit("pads are smaller than the dilated kernel", _check_pads),
        Limit("the smallest weight tile fits WSPM", _check_weights),
    ),
    work=work,
    chain=chain_work,
)
