"""Bytes: tokens, code, metadata, the golden model and the memory map."""

from knightlite.emit.golden import golden_model
from knightlite.emit.memory_map import memory_map
from knightlite.emit.program import bound_record, emit_program, program_code

__all__ = [
    "bound_record",
    "emit_program",
    "golden_model",
    "memory_map",
    "program_code",
]
