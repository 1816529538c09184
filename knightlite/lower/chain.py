"""A chain [Affine,] operator with weights [, Add or activation] in one pass through the engines.

What does not depend on the operator in the middle: its neighbours, its weight tiles, and most
fields of Matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.chip import Chip
from knightlite.ir import Graph, Node
from knightlite.isa import (
    ACCUMULATOR_BYTES,
    PARAMETER_BYTES,
    WEIGHT_TYPES,
    WIDE_ACCUMULATOR_BYTES,
    Activation,
    Instruction,
)
from knightlite.lower.work import (
    Limit,
    Range,
    Tile,
    Work,
    parameter_records,
    span,
    tile_fields,
    type_code,
)
from knightlite.ops import BY_NAME, View, affine, eltwise, prelu, table, weighted, wide_table

WEIGHT_ROW_ALIGN = 16  # bytes: output channels of a weight row are padded to whole words
NONE = Activation.NONE
ACTIVATIONS = {"Table": Activation.TABLE, "PRelu": Activation.TWO_SIDED}
LEAST_CHANNELS = 16  # output channels of a weight tile are not cut below this, or the lanes

# the fields of Matrix where there is nothing in front of the products, nor behind the requantize
PLAIN = {
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
    "activation": 0,
    "activation_address": 0,
    "activation_intervals": 0,
    "activation_fraction": 0,
}


def weight_row_bytes(outs: int, size: int) -> int:
    """Bytes of a weight row of ``outs`` output channels, ``size`` bytes each."""
    return -(-outs * size // WEIGHT_ROW_ALIGN) * WEIGHT_ROW_ALIGN


def weight_size(view: View) -> int:
    """Bytes of a weight."""
    return int(weighted.weights(view).dtype.itemsize)


def _check_width(view: View, chip: Chip) -> str | None:
    if view.tensor(0).dtype.is_float:  # before it is quantized nobody knows
        return None
    if weighted.accumulator(view).bits == 32 or 16 in chip.bit_widths:
        return None
    sides = []
    if view.tensor(0).dtype.bits > 8:
        sides.append(f"features {view.tensor(0).name}")
    if weight_size(view) > 1:
        sides.append("weights")
    return (
        f"the chip multiplies 8-bit features by 8-bit weights only, but the {' and '.join(sides)} "
        "have 16 bits; quantize them to 8 bits, or take a chip with 16"
    )


def weight_tile_bytes(taps: Iterable[int], tap_bytes: int, align: int) -> int:
    """Bytes of a weight tile that holds a kernel of so many taps after the other, each aligned."""
    return sum(-(-count * tap_bytes // align) * align for count in taps)


def weights_limit(view: View, chip: Chip, taps: Sequence[int]) -> str | None:
    """Why the smallest weight tile that a schedule may cut does not fit, or None."""
    kernels = weighted.weights(view)
    outs = min(kernels.shape[0] // view.integer("group"), chip.matrix_output_lanes, LEAST_CHANNELS)
    ins = min(kernels.shape[1], chip.matrix_input_lanes)

    def need(size: int) -> int:
        row = weight_row_bytes(outs, size)
        return weight_tile_bytes(taps, ins * row, chip.wspm_align_bytes)

    # of a float model nobody knows: most are quantized to 8 bits
    size = 1 if view.tensor(0).dtype.is_float else weight_size(view)
    if need(size) <= chip.wspm_bytes:
        return None
    narrower = "8-bit weights, or " if size > 1 and need(1) <= chip.wspm_bytes else ""
    kernel = "x".join(map(str, kernels.shape[2:]))
    return (
        f"the smallest weight tile needs {need(size)} bytes of WSPM, the chip has "
        f"{chip.wspm_bytes}; use {narrower}a kernel smaller than {kernel}"
    )


WIDTH_LIMIT = Limit("features and weights have 8 bits where the chip has no 16", _check_width)


@dataclass(frozen=True, slots=True)
class Chain:
    """The operator in the middle, the Affine in front of it, the Add or activation behind it."""

    center: View
    before: View | None
    behind: View | None
    fixed: Mapping[str, int]  # fields of Matrix that all tiles share
    adding: Mapping[str, int]  # fields of the Add
    group: tuple[int, int]  # input and output channels of a group
    weight_size: int  # bytes of a weight

    @property
    def x(self) -> str:
        """The tensor that is read."""
        return (self.before or self.center).node.inputs[0]

    @property
    def y(self) -> str:
        """The tensor that is written."""
        return (self.behind or self.center).node.output

    @property
    def z(self) -> str | None:
        """The second operand of the Add."""
        if self.behind is None or self.activation:
            return None
        (name,) = (item for item in self.behind.node.inputs if item != self.center.node.output)
        return name

    @property
    def activation(self) -> Activation:
        """What the instructions do behind the operator, where that is no Add."""
        return ACTIVATIONS.get(self.behind.node.op, NONE) if self.behind is not None else NONE

    def activation_constants(self) -> Callable[[Range], bytes]:
        """What an activation reads for some output channels: its table, or both sides' records."""
        if self.behind is None or not self.activation:
            return lambda outs: b""
        if self.activation == Activation.TABLE:
            wide = wide_table.is_interpolated(self.behind)
            entries = wide_table.interpolated_entries if wide else _entries
            data = entries(self.behind)[0].tobytes()
            return lambda outs: data
        sides = prelu.integer_parameters(self.behind)

        def records(outs: Range) -> bytes:
            chosen = slice(*outs)
            return b"".join(
                parameter_records(side.m[chosen], side.q[chosen], side.b[chosen]) for side in sides
            )

        return records

    def tile_groups(self, outs: Range) -> int:
        """Groups of a tile; 1 for a part of a group."""
        return max(1, span(outs) // self.group[1])

    def weight_rows(self, outs: Range, ins: Range, rows: tuple[int, ...] | None = None,
                    columns: tuple[int, ...] | None = None) -> bytes:  # fmt: skip
        """The weight rows of a tile, of all taps or of those in ``rows`` and ``columns``."""
        part = weighted.weights(self.center)[outs[0] : outs[1]]
        if self.tile_groups(outs) == 1:
            inputs, outputs = self.group
            first = outs[0] // outputs * inputs  # input channel that the group begins with
            part = part[:, ins[0] - first : ins[1] - first]
        if rows is not None and columns is not None:
            part = part[:, :, rows][:, :, :, columns]
        matrix = part.transpose(2, 3, 1, 0).reshape(-1, span(outs))
        row = self.row_bytes(outs) // self.weight_size
        padded = np.zeros((matrix.shape[0], row), WEIGHT_TYPES[self.weight_size - 1].numpy)
        padded[:, : span(outs)] = matrix
        return padded.tobytes()

    def tap_bytes(self, outs: Range, ins: Range) -> int:
        """Bytes of the weight rows of one tap."""
        return span(ins) // self.tile_groups(outs) * self.row_bytes(outs)

    def row_bytes(self, outs: Range) -> int:
        """Bytes of a weight row."""
        return weight_row_bytes(span(outs), self.weight_size)

    @property
    def accumulator_bytes(self) -> int:
        """Bytes of a partial sum."""
        narrow = weighted.accumulator(self.center).bits == 32
        return ACCUMULATOR_BYTES if narrow else WIDE_ACCUMULATOR_BYTES

    def fields(self, tile: Tile) -> dict[str, int]:
        """All fields of Matrix for a tile, but for its window."""
        graph = self.center.graph
        x, y = graph.tensors[self.x], graph.tensors[self.y]
        fields = tile_fields(x, y, x.shape[3], y.shape[3], tile)
        fields |= self.fixed
        fields |= {
            "groups": 1 if self.fixed["depthwise"] else self.tile_groups(tile.outs),
            "weight_address": tile.weight_address,
            "weight_row_bytes": self.row_bytes(tile.outs),
            "accumulate_in": int(not tile.first),
            "accumulate_out": int(not tile.last),
            "accumulator_address": 0 if tile.first and tile.last else tile.accumulator_address,
            "parameter_address": tile.parameter_address if tile.last else 0,
            "prologue_address": tile.prologue_address,
        }
        if self.activation and tile.last:
            fields["activation"] = self.activation
            fields["activation_address"] = (
                tile.parameter_address + span(tile.outs) * PARAMETER_BYTES
            )
        if tile.z is not None and tile.last:
            fields |= self.adding
            fields["residual_address"] = tile.z.address
            fields["residual_row_stride"] = tile.z.row_stride
            fields["residual_column_stride"] = tile.z.column_stride
        return fields

    def work(
        self,
        input_rows: Callable[[Range], Range],
        compute: Callable[[Tile], tuple[Instruction, ...]],
        weights: Callable[[Range, Range, int], bytes],
        weight_bytes: Callable[[Range, Range, int], int],
        interleave: tuple[int, int] = (1, 1),
    ) -> Work:
        """The chain as the scheduler sees it."""
        requantize = weighted.requantize_parameters(self.center)
        bias = weighted.bias(self.center)
        prologue = affine.integer_parameters(self.before) if self.before is not None else None
        depthwise = weighted.is_depthwise(self.center)
        activation = self.activation_constants()

        def parameters(outs: Range) -> bytes:
            chosen = slice(*outs)
            records = parameter_records(requantize.m[chosen], requantize.q[chosen], bias[chosen])
            return records + activation(outs)

        def prologue_parameters(ins: Range) -> bytes:
            assert prologue is not None
            chosen = slice(*ins)
            return parameter_records(prologue.m[chosen], prologue.q[chosen], prologue.b[chosen])

        return Work(
            x=self.x,
            z=self.z,
            y=self.y,
            channelwise=depthwise,
            splits_inputs=not depthwise,
            input_rows=input_rows,
            compute=compute,
            weights=weights,
            weight_bytes=weight_bytes,
            weight_row_bytes=self.row_bytes,
            parameters=parameters,
            prologue=prologue_parameters if prologue is not None else None,
            group=self.group,
            accumulator_bytes=self.accumulator_bytes,
            interleave=interleave,
        )


def chain_of(graph: Graph, parts: tuple[Node, ...]) -> Chain:
    """The chain of nodes in order; exactly one of them multiplies by weights."""
    (at,) = (index for index, part in enumerate(parts) if BY_NAME[part.op].kernel is not None)
    views = [View(graph, part) for part in parts]
    center, before = views[at], views[at - 1] if at else None
    behind = views[at + 1] if at + 1 < len(views) else None
    adds = behind is not None and behind.node.op not in ACTIVATIONS
    adding = _add_fields(behind, center.node.output) if behind is not None and adds else {}
    outputs, inputs = weighted.weights(center).shape[:2]
    group = (int(inputs), int(outputs) // center.integer("group"))
    fixed = _fixed_fields(center, before, behind)
    return Chain(center, before, behind, fixed, adding, group, weight_size(center))


def _fixed_fields(center: View, before: View | None, behind: View | None) -> dict[str, int]:
    """The fields of Matrix that are the same for every tile of a layer; nothing behind it."""
    middle_low, middle_high = center.bounds
    low, high = behind.bounds if behind is not None else center.bounds
    fields = {
        "y_low": low,
        "y_high": high,
        "depthwise": int(weighted.is_depthwise(center)),
        "weight_type": weight_size(center) - 1,
        "middle_type": type_code(center.output.dtype),
        "middle_low": middle_low,
        "middle_high": middle_high,
        **PLAIN,
    }
    if behind is not None and behind.node.op == "Table" and wide_table.is_interpolated(behind):
        fields["activation_intervals"] = wide_table.lut_length(behind)
        fields["activation_fraction"] = wide_table.interpolated_entries(behind)[1]
    if before is not None:
        bounds = before.bounds
        fields |= {
            "prologue": 1,
            "prologue_type": type_code(before.output.dtype),
            "prologue_low": bounds[0],
            "prologue_high": bounds[1],
        }
    return fields


def _entries(view: View) -> tuple[NDArray[Any], int]:
    """Of a table of 8 bits; without fraction bits."""
    return table.entries(view), 0


def _add_fields(behind: View, middle: str) -> dict[str, int]:
    """Fields of the add: its parameters, swapped where the weights are the second operand's."""
    params = eltwise.pair_parameters(behind)
    first = behind.node.inputs[0] == middle
    return {
        "residual": 1,
        "residual_type": type_code(behind.tensor(1 if first else 0).dtype),
        "multiplier": params.ma if first else params.mb,
        "residual_multiplier": params.mb if first else params.ma,
        "shift": params.q,
    }
