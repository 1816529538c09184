"""The instruction set: records, their bytes, their listing, what they touch and cost."""

from knightlite.isa.assembly import assemble, disassemble, listing_line
from knightlite.isa.chip_limits import chip_findings
from knightlite.isa.fields import FieldLayout, largest, layout, size_bytes
from knightlite.isa.instructions import (
    ALL_INSTRUCTIONS,
    Affine,
    Eltwise,
    EltwiseMode,
    Lookup,
    Move,
    Pool,
    PoolMode,
    Resize,
    ResizeMode,
    Softmax,
)
from knightlite.isa.matrix import WEIGHT_TYPES, Matrix
from knightlite.isa.operands import PARAMETER_BYTES, Access, Operand, Space
from knightlite.isa.records import (
    ACCUMULATOR_BYTES,
    EXPONENTIAL_BYTES,
    TABLE_ENTRIES,
    TYPES,
    WIDE_ACCUMULATOR_BYTES,
    Engine,
    FeatureInstruction,
    Instruction,
    Load,
    Store,
    Transfer,
    WindowInstruction,
)

__all__ = [
    "ACCUMULATOR_BYTES",
    "ALL_INSTRUCTIONS",
    "EXPONENTIAL_BYTES",
    "PARAMETER_BYTES",
    "TABLE_ENTRIES",
    "TYPES",
    "WEIGHT_TYPES",
    "WIDE_ACCUMULATOR_BYTES",
    "Access",
    "Affine",
    "Eltwise",
    "EltwiseMode",
    "Engine",
    "FeatureInstruction",
    "FieldLayout",
    "Instruction",
    "Load",
    "Lookup",
    "Matrix",
    "Move",
    "Operand",
    "Pool",
    "PoolMode",
    "Resize",
    "ResizeMode",
    "Softmax",
    "Space",
    "Store",
    "Transfer",
    "WindowInstruction",
    "assemble",
    "chip_findings",
    "disassemble",
    "largest",
    "layout",
    "listing_line",
    "size_bytes",
]
