"""Instructions to bytes and back, and the human listing."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from knightlite.errors import FormatError
from knightlite.isa.fields import layout, pack, size_bytes, spare_bits, too_small, unpack
from knightlite.isa.instructions import ALL_INSTRUCTIONS
from knightlite.isa.records import Engine, Instruction, all_of

OPCODE = {record: index for index, record in enumerate(ALL_INSTRUCTIONS, start=1)}
RECORD = {index: record for record, index in OPCODE.items()}
HEADER_BYTES = 4  # opcode, three zero bytes


def assemble(instructions: Iterable[Instruction]) -> bytes:
    """The code section: opcode byte, three zero bytes, then the packed fields."""
    return b"".join(bytes((OPCODE[type(item)], 0, 0, 0)) + pack(item) for item in instructions)


def disassemble(code: bytes) -> list[Instruction]:
    """The instructions of a code section; FormatError where it is not one.

    Those of one class are decoded together, field by field: a program may have a hundred thousand.
    """
    sizes = [0] * 256  # by opcode
    for opcode, known in RECORD.items():
        sizes[opcode] = HEADER_BYTES + size_bytes(known)
    positions: list[int] = []
    position = 0
    while position < len(code):
        size = sizes[code[position]]
        if not size or code[position + 1 : position + HEADER_BYTES] != b"\0\0\0":
            raise FormatError(
                f"the code holds no instruction at byte {position} (opcode {code[position]})."
            )
        positions.append(position)
        position += size
    if position > len(code):
        raise FormatError(f"the code ends inside the instruction at byte {positions[-1]}.")
    found = np.empty(len(positions), np.object_)
    faults: dict[int, str] = {}
    everything = np.frombuffer(code, np.uint8)
    begins = np.array(positions, np.int64)
    opcodes = everything[begins]
    for opcode, record in RECORD.items():
        numbers = np.flatnonzero(opcodes == opcode)
        if not numbers.size:
            continue
        starts = begins[numbers]
        fields = np.arange(HEADER_BYTES, HEADER_BYTES + size_bytes(record))
        rows = everything[starts[:, np.newaxis] + fields]
        values = unpack(record, rows)
        for one, small in too_small(record, values):
            faults[int(starts[one])] = (
                f"the instruction at byte {starts[one]} ({record.MNEMONIC}) must have {small.name} "
                f"of at least {small.minimum}, not {values[small.name][one]}."
            )
        for one in np.flatnonzero(spare_bits(record, rows)).tolist():
            faults[int(starts[one])] = (
                f"the instruction at byte {starts[one]} has bits set that belong to no field."
            )
        found[numbers] = all_of(record, values)
    if faults:
        raise FormatError(faults[min(faults)])
    items: list[Instruction] = found.tolist()
    return items


def _engines(mask: int) -> str:
    return "+".join(engine.name for engine in Engine if mask >> engine & 1) or "-"


def listing_line(index: int, instruction: Instruction) -> str:
    """One line: index, engine, mnemonic, tokens, then every field by name."""
    words = []
    for item in layout(type(instruction)):
        value = int(getattr(instruction, item.name))
        if item.name in ("wait", "signal", "layer"):
            continue
        known = 0 <= value < len(item.names)  # a damaged program may hold codes without a meaning
        words.append(f"{item.name}={item.names[value] if known else value}")
    return (
        f"{index:6d} {instruction.ENGINE.name:4s} {instruction.MNEMONIC:8s} "
        f"layer={instruction.layer} wait={_engines(instruction.wait)} "
        f"signal={_engines(instruction.signal)} {' '.join(words)}"
    )
