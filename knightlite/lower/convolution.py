"""Convolutions on the matrix engine, with an affine prologue and a residual add around them."""

from __future__ import annotations

import numpy as np

from knightlite.chip import Chip
from knightlite.ir import Graph, Node
from knightlite.isa import Instruction, Matrix
from knightlite.lower.work import (
    SIZE_LIMIT,
    Limit,
    Lowering,
    Range,
    Tile,
    Work,
    parameter_records,
    span,
    tile_fields,
    type_code,
    window_limits,
)
from knightlite.ops import View, affine, conv, eltwise

WEIGHT_ROW_ALIGN = 16  # bytes: output channels of a weight row are padded to whole words


def weight_row_bytes(outs: int) -> int:
    """Bytes of a weight row of ``outs`` output channels."""
    return -(-outs // WEIGHT_ROW_ALIGN) * WEIGHT_ROW_ALIGN


def work(view: View) -> Work:
    """A single Conv."""
    return chain_work(view.graph, (view.node,))


def chain_work(graph: Graph, parts: tuple[Node, ...]) -> Work:
    """A chain [Affine,] Conv [, Add] as one pass through the engines."""
    by_op = {part.op: View(graph, part) for part in parts}
    center = by_op["Conv"]
    before, behind = by_op.get("Affine"), by_op.get("Add")
    x_name = (before or center).node.inputs[0]
    y_name = parts[-1].output
    z_name = None
    if behind is not None:
        (z_name,) = (name for name in behind.node.inputs if name != center.node.output)
    depthwise = conv.is_depthwise(center)
    kernels = conv.weights(center)
    channels = group_channels(center)
    requantize = conv.requantize_parameters(center)
    bias = conv.bias(center)
    prologue = affine.integer_parameters(before) if before is not None else None

    def weights(outs: Range, ins: Range) -> bytes:
        part = kernels[outs[0] : outs[1]]
        if tile_groups(channels, outs) == 1:
            first = outs[0] // channels[1] * channels[0]  # input channel that the group begins with
            part = part[:, ins[0] - first : ins[1] - first]
        rows = part.transpose(2, 3, 1, 0).reshape(-1, span(outs))
        padded = np.zeros((rows.shape[0], weight_row_bytes(span(outs))), np.int8)
        padded[:, : span(outs)] = rows
        return padded.tobytes()

    def weight_bytes(outs: Range, ins: Range) -> int:
        depth = span(ins) // tile_groups(channels, outs)
        return depth * int(np.prod(kernels.shape[2:])) * weight_row_bytes(span(outs))

    def parameters(outs: Range) -> bytes:
        chosen = slice(*outs)
        return parameter_records(requantize.m[chosen], requantize.q[chosen], bias[chosen])

    def prologue_parameters(ins: Range) -> bytes:
        assert prologue is not None
        chosen = slice(*ins)
        return parameter_records(prologue.m[chosen], prologue.q[chosen], prologue.b[chosen])

    x, y = graph.tensors[x_name], graph.tensors[y_name]
    layer_fields = _layer_fields(center, before, behind)
    add_fields = _add_fields(behind, center.node.output) if behind is not None else {}
    stride, pad_top = center.integers("strides")[0], center.integers("pads")[0]

    def compute(tile: Tile) -> tuple[Instruction, ...]:
        fields = tile_fields(x, y, x.shape[3], y.shape[3], tile)
        fields |= layer_fields
        fields |= _tile_fields(tile, stride, pad_top)
        fields["groups"] = 1 if depthwise else tile_groups(channels, tile.outs)
        if tile.z is not None and tile.last:
            fields |= add_fields
            fields["residual_address"] = tile.z.address
            fields["residual_row_stride"] = tile.z.row_stride
            fields["residual_column_stride"] = tile.z.column_stride
        return (Matrix(**fields),)

    return Work(
        x=x_name,
        z=z_name,
        y=y_name,
        channelwise=depthwise,
        splits_inputs=not depthwise,
        input_rows=lambda rows: conv.region(center, 0, rows),
        compute=compute,
        weights=weights,
        weight_bytes=weight_bytes,
        parameters=parameters,
        prologue=prologue_parameters if prologue is not None else None,
        group=channels,
    )


def group_channels(center: View) -> tuple[int, int]:
    """Input and output channels of a group."""
    outputs, inputs = conv.weights(center).shape[:2]
    return inputs, outputs // center.integer("group")


def tile_groups(channels: tuple[int, int], outs: Range) -> int:
    """Groups of a tile; 1 for a part of a group."""
    return max(1, span(outs) // channels[1])


def _layer_fields(center: View, before: View | None, behind: View | None) -> dict[str, int]:
    """The fields of Matrix that are the same for every tile of a layer."""
    kernel = conv.weights(center).shape[2:]
    strides, dilations = center.integers("strides"), center.integers("dilations")
    middle_low, middle_high = center.bounds
    low, high = behind.bounds if behind is not None else center.bounds
    fields = {
        "y_low": low,
        "y_high": high,
        "kernel_height": kernel[0],
        "kernel_width": kernel[1],
        "stride_height": strides[0],
        "stride_width": strides[1],
        "dilation_height": dilations[0],
        "dilation_width": dilations[1],
        "pad_left": center.integers("pads")[1],
        "depthwise": int(conv.is_depthwise(center)),
        "middle_type": type_code(center.output.dtype),
        "middle_low": middle_low,
        "middle_high": middle_high,
        "prologue": 0,
        "prologue_type": 0,
        "prologue_low": 0,
        "prologue_high": 0,
        "residual": 0,
        "residual_address": 0,
        "residual_row_stride": 0,
        "residual_column_stride": 0,
        "residual_type": 0,
        "multiplier": 0,
        "residual_multiplier": 0,
        "shift": 0,
    }
    if before is not None:
        bounds = before.bounds
        fields |= {
            "prologue": 1,
            "prologue_type": type_code(before.output.dtype),
            "prologue_low": bounds[0],
            "prologue_high": bounds[1],
        }
    return fields


def _tile_fields(tile: Tile, stride: int, pad_top: int) -> dict[str, int]:
    """The fields of Matrix that differ by tile, but for the feature tiles themselves."""
    return {
        "pad_top": max(0, pad_top - tile.rows[0] * stride),
        "weight_address": tile.weight_address,
        "weight_row_bytes": weight_row_bytes(span(tile.outs)),
        "accumulate_in": int(not tile.first),
        "accumulate_out": int(not tile.last),
        "accumulator_address": 0 if tile.first and tile.last else tile.accumulator_address,
        "parameter_address": tile.parameter_address if tile.last else 0,
        "prologue_address": tile.prologue_address,
    }


def _add_fields(behind: View, middle: str) -> dict[str, int]:
    """Fields of the add: its parameters, swapped where the convolution is the second operand."""
    params = eltwise.add_parameters(behind)
    first = behind.node.inputs[0] == middle
    return {
        "residual": 1,
        "residual_type": type_code(behind.tensor(1 if first else 0).dtype),
        "multiplier": params.ma if first else params.mb,
        "residual_multiplier": params.mb if first else params.ma,
        "shift": params.q,
    }


def _check_window(view: View, chip: Chip) -> str | None:
    dilation = max(view.integers("dilations"))
    if dilation > 255:
        return f"dilation must be at most 255, not {dilation}"
    return window_limits(view, conv.weights(view).shape[2:], view.integers("strides"))


def _check_pads(view: View, chip: Chip) -> str | None:
    dilations, kernel = view.integers("dilations"), conv.weights(view).shape[2:]
    reach = [dilations[axis] * (kernel[axis] - 1) + 1 for axis in range(2)]
    pads = view.integers("pads")
    if all(pad < reach[index % 2] for index, pad in enumerate(pads)):
        return None
    return f"pads must be smaller than the dilated kernel {tuple(reach)}, not {pads}"


def _check_weights(view: View, chip: Chip) -> str | None:
    kernels = conv.weights(view)
    outs = min(weight_row_bytes(kernels.shape[0]), WEIGHT_ROW_ALIGN)
    ins = min(kernels.shape[1], chip.matrix_input_lanes)
    need = int(np.prod(kernels.shape[2:])) * ins * outs
    if need <= chip.wspm_bytes:
        return None
    return (
        f"the smallest weight tile needs {need} bytes of WSPM, the chip has {chip.wspm_bytes}; "
        f"use a kernel smaller than {kernels.shape[2]}x{kernels.shape[3]}"
    )


CONVOLUTION = Lowering(
    op="Conv",
    limits=(
        SIZE_LIMIT,
        Limit("kernel, stride, dilation and pad are at most 255", _check_window),
        Limit("pads are smaller than the dilated kernel", _check_pads),
        Limit("the smallest weight tile fits WSPM", _check_weights),
    ),
    work=work,
)
