"""A program without what runs once: what a frame takes; and what that takes by itself."""

from __future__ import annotations

from dataclasses import replace

from knightlite.chip import Chip
from knightlite.container import Piece, Program, StoredTensor, program_chip
from knightlite.isa import Load, assemble, disassemble
from knightlite.sim import simulate_time


def per_frame(program: Program) -> Program:
    """The instructions of a frame by themselves, and what the description says of their places."""
    meta, count = program.meta, program.meta.once_instructions
    if not count:
        return program
    code = disassemble(program.code)[count:]

    def moved(entry: StoredTensor) -> StoredTensor:
        first, ready = max(-1, entry.first - count), max(-1, entry.ready - count)
        return replace(entry, first=first, ready=ready, pieces=tuple(map(earlier, entry.pieces)))

    def earlier(piece: Piece) -> Piece:
        return replace(piece, first=piece.first - count, ready=piece.ready - count)

    return replace(
        program,
        code=assemble(code),
        meta=replace(
            meta,
            once=None,
            tensors=tuple(map(moved, meta.tensors)),
            inputs=tuple(map(moved, meta.inputs)),
            outputs=tuple(map(moved, meta.outputs)),
            general=tuple(replace(item, at=item.at - count) for item in meta.general),
        ),
    )


def once_cycles(program: Program, chip: Chip | None = None) -> int:
    """What loading it once takes, before the first frame; 0 where nothing stays."""
    loads = disassemble(program.code)[: program.meta.once_instructions]
    return simulate_time(loads, chip or program_chip(program)).total_cycles


def once_bytes(program: Program) -> int:
    """Bytes that these loads read."""
    loads = disassemble(program.code)[: program.meta.once_instructions]
    return sum(item.payload_bytes for item in loads if isinstance(item, Load))
