"""What every instruction must fulfil on its own: codes, bounds, alignment, overlap.

All of it is known before a picture runs, so a program is checked once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from knightlite.chip import Chip
from knightlite.container import Region, crosses, is_given
from knightlite.isa import (
    TYPES,
    WEIGHT_TYPES,
    Activation,
    Affine,
    Eltwise,
    FeatureInstruction,
    Instruction,
    Load,
    Lookup,
    Matrix,
    Operand,
    Pick,
    Pool,
    PoolMode,
    Resize,
    ResizeMode,
    Softmax,
    Space,
    SparseMatrix,
    Store,
    Transfer,
    WindowInstruction,
)
from knightlite.isa.alike import Alike
from knightlite.numerics import LUT_LENGTHS
from knightlite.sim.faults import fault
from knightlite.sim.memory import Bytes, byte_view

MAX_UNITS = 1 << 23  # of a linear resize: its sum times the multiplier stays below 2^53
STAGE_LIMIT = 1 << 28  # elements of a padded input tile: beyond it the fields make no sense


def field_problem(item: Instruction) -> str | None:
    """The first field that does not make sense, as the end of a sentence."""
    if isinstance(item, Load) and item.space == Space.DDR:
        return "must load into a scratchpad, not DDR."
    if not isinstance(item, FeatureInstruction):
        return None
    for name in _used_types(item):
        if getattr(item, name) >= len(TYPES):
            return f"must have {name} of u8, s8 or s16, not code {getattr(item, name)}."
    if isinstance(item, Matrix) and item.weight_type >= len(WEIGHT_TYPES):
        return f"must have weights of s8, s16 or u8, not code {item.weight_type}."
    return _shape_problem(item) or _clamp_problem(item)


def require_fields(index: int, item: Instruction, layers: Sequence[str]) -> None:
    """MachineError where a field of an instruction does not make sense."""
    if item.layer >= len(layers):
        sentence = f"must name one of {len(layers)} layers, not {item.layer}."
        raise fault(index, item, layers, sentence)
    problem = field_problem(item)
    if problem:
        raise fault(index, item, layers, problem)


def require_all_fields(
    alike: Alike, instructions: Sequence[Instruction], layers: Sequence[str]
) -> None:
    """MachineError for the first of many; ``alike``: they by kinds, which share their problems."""
    wrong = {number for number, item in enumerate(alike.kinds) if field_problem(item)}
    if wrong or any(item.layer >= len(layers) for item in instructions):
        for index, item in enumerate(instructions):
            require_fields(index, item, layers)


def _used_types(item: FeatureInstruction) -> list[str]:
    names = ["x_type"]
    if isinstance(item, Matrix):
        if item.prologue:
            names.append("prologue_type")
        if item.accumulate_out:
            return names
        if item.residual:
            names.append("residual_type")
        if item.residual or item.activation:
            names.append("middle_type")
    if isinstance(item, Eltwise):
        names.append("z_type")
    return [*names, "y_type"]


def _shape_problem(item: FeatureInstruction) -> str | None:
    x = (item.x_height, item.x_width, item.x_channels)
    y = (item.y_height, item.y_width, item.y_channels)
    if isinstance(item, Affine | Eltwise | Lookup | Softmax) and x != y:
        return f"must have equal input and output shapes, not {x} and {y}."
    if isinstance(item, Pick) and (*x[:2], 1) != y:
        made = f"{y[2]} of {y[0]} x {y[1]}"
        return f"must have one output channel of {x[0]} x {x[1]} pixels, not {made}."
    per_channel = isinstance(item, Pool | Resize) or (isinstance(item, Matrix) and item.depthwise)
    if per_channel and x[2] != y[2]:
        return f"must have as many output as input channels, not {y[2]} and {x[2]}."
    if isinstance(item, Matrix) and item.groups > 1:
        if item.depthwise:
            return f"must have 1 group where it is depthwise, not {item.groups}."
        if x[2] % item.groups or y[2] % item.groups:
            return (
                f"must have {item.groups} equal groups, not {x[2]} input and {y[2]} output "
                "channels."
            )
    if isinstance(item, SparseMatrix):
        problem = _sparse_problem(item)
        if problem:
            return problem
    if isinstance(item, Matrix) and not item.accumulate_out:
        problem = _activation_problem(item)
        if problem:
            return problem
    if isinstance(item, Lookup):
        return _table_problem(item.x_type, item.intervals, item.fraction)
    if isinstance(item, Pool) and item.mode == PoolMode.MAX and item.x_type != item.y_type:
        return "must have equal input and output types for a maximum."
    if isinstance(item, Softmax) and TYPES[item.x_type].bits != 8 and not item.fine:
        return "must have fine exponentials for a 16-bit input type."
    if isinstance(item, Resize):
        return _resize_problem(item)
    if isinstance(item, WindowInstruction):
        high, wide = item.covered()
        if high * wide * item.x_channels > STAGE_LIMIT:
            return f"covers {high} x {wide} x {item.x_channels} inputs, beyond any memory."
    return None


def _sparse_problem(item: SparseMatrix) -> str | None:
    if item.depthwise or item.groups > 1:
        return "must have 1 group and not be depthwise."
    total, least = item.block_count(), item.mask_bytes()
    if item.blocks > total:
        return f"must have at most {total} blocks, not {item.blocks}."
    if item.stored_bytes <= least:
        return f"must have more bytes of weights than its mask, {least}, not {item.stored_bytes}."
    return None


def _activation_problem(item: Matrix) -> str | None:
    if item.activation not in tuple(Activation):
        return f"must have an activation of 0 to {max(Activation)}, not {item.activation}."
    if item.activation and item.residual:
        return "must have a residual or an activation, not both."
    if item.activation != Activation.TABLE:
        return None
    return _table_problem(item.middle_type, item.activation_intervals, item.activation_fraction)


def _table_problem(x_type: int, intervals: int, fraction: int) -> str | None:
    if TYPES[x_type].bits == 8:
        if intervals or fraction:
            return (
                "must have 0 intervals and 0 fraction bits for an 8-bit input type, not "
                f"{intervals} and {fraction}."
            )
    elif intervals not in LUT_LENGTHS:
        return f"must have 2^8 to 2^12 intervals for a 16-bit input type, not 2^{intervals}."
    return None


def _resize_problem(item: Resize) -> str | None:
    if item.mode == ResizeMode.NEAREST and item.x_type != item.y_type:
        return "must have equal input and output types for nearest."
    units = item.unit_height * item.unit_width
    if item.mode == ResizeMode.LINEAR and units > MAX_UNITS:
        return f"must have units whose product is at most {MAX_UNITS}, not {units}."
    return None


def _clamp_problem(item: FeatureInstruction) -> str | None:
    clamps = [("y", item.y_type, item.y_low, item.y_high)]
    if isinstance(item, Matrix):
        if item.accumulate_out:
            clamps = []
        elif item.residual or item.activation:
            clamps.append(("middle", item.middle_type, item.middle_low, item.middle_high))
        if item.prologue:
            clamps.append(("prologue", item.prologue_type, item.prologue_low, item.prologue_high))
    for name, code, low, high in clamps:
        dtype = TYPES[code]
        if max(low, dtype.minimum) > min(high, dtype.maximum):
            return f"has an empty {name} clamp [{low}, {high}] for {dtype}."
    return None


class StructureCheck:
    """Checks instructions one by one; keeps a byte map per memory for exact overlap questions."""

    def __init__(
        self,
        chip: Chip,
        sizes: Mapping[Space, int],
        constants_bytes: int,
        layers: Sequence[str],
        regions: Sequence[Region] = (),
    ) -> None:
        self._chip = chip
        self._sizes = sizes
        self._constants = constants_bytes
        self._regions = regions
        self._layers = layers
        self._marks: dict[Space, Bytes] = {}

    def check(self, index: int, item: Instruction) -> tuple[Operand, ...]:
        """The operands of a sound instruction; MachineError otherwise."""
        require_fields(index, item, self._layers)
        found = item.operands()
        problem = next(filter(None, map(self._operand_problem, found)), None)
        if problem is None and isinstance(item, Matrix):
            problem = self._weight_problem(item)
        if problem is None and isinstance(item, Transfer):
            problem = self._ddr_problem(item)
        if problem is None and not isinstance(item, Transfer):
            problem = self._overlap_problem(item, found)
        if problem:
            raise fault(index, item, self._layers, problem)
        return found

    def _operand_problem(self, item: Operand) -> str | None:
        size = self._sizes[item.space]
        if item.last > size:
            return (
                f"touches {item.space.name} [{item.address:#x}, {item.last:#x}) with its "
                f"{item.name}, beyond its {size} bytes."
            )
        if item.unit > 1:
            for what, value in (
                ("address", item.address),
                ("row stride", item.row_stride),
                ("column stride", item.column_stride),
            ):
                if value % item.unit:
                    return (
                        f"must have the {what} of its {item.name} in {item.space.name} at a "
                        f"multiple of {item.unit} bytes, not {value:#x}."
                    )
        if item.write and item.overlaps_itself:
            return f"writes a byte of its {item.name} at {item.space.name} {item.address:#x} twice."
        return None

    def _ddr_problem(self, item: Transfer) -> str | None:
        """What a transfer may not do with its side in DDR."""
        first = item.ddr_address
        if isinstance(item, Store) and first < self._constants:
            return f"stores to DDR {first:#x} inside the {self._constants} bytes of constants."
        if not self._regions:
            return None
        last = item.ddr_side(write=False).last
        if crosses(self._regions, first, last):
            return (
                f"touches DDR [{first:#x}, {last:#x}) in more than one of the memories of network, "
                "inputs and outputs."
            )
        if isinstance(item, Store) and is_given(self._regions, first):
            return f"stores to DDR {first:#x} inside the inputs' own memory."
        return None

    def _weight_problem(self, item: Matrix) -> str | None:
        align = self._chip.wspm_align_bytes
        if item.weight_address % align == 0:
            return None
        return (
            f"must have its weights in WSPM at a multiple of {align} bytes, "
            f"not {item.weight_address:#x}."
        )

    def _overlap_problem(self, item: Instruction, found: Sequence[Operand]) -> str | None:
        written = found[-1]
        streams = isinstance(item, Matrix | Pick | Pool | Resize | Softmax)
        for read in found[:-1]:
            apart = read.last <= written.address or written.last <= read.address
            if read.space != written.space or apart:
                continue
            same = read._replace(name="", write=True) == written._replace(name="")
            # an element may be replaced in place; a window may not lose what it still has to read
            if same and not (streams and read.name == "input tile"):
                continue
            if self._shares_bytes(read, written):
                return (
                    f"overwrites its {read.name} at FSPM {read.address:#x} with its "
                    f"{written.name} at FSPM {written.address:#x}."
                )
        return None

    def _shares_bytes(self, read: Operand, written: Operand) -> bool:
        marks = self._marks.setdefault(read.space, np.zeros(self._sizes[read.space], np.uint8))
        target = byte_view(marks, written)
        target[...] = 1
        shared = bool(byte_view(marks, read).any())
        target[...] = 0
        return shared
