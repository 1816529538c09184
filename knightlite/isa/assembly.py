"""Instructions to bytes and back, and the human listing."""

from __future__ import annotations

from collections.abc import Iterable

from knightlite.errors import FormatError
from knightlite.isa.fields import layout, pack, size_bytes, spare_bits, too_small, unpack
from knightlite.isa.instructions import ALL_INSTRUCTIONS
from knightlite.isa.records import Engine, Instruction

OPCODE = {record: index for index, record in enumerate(ALL_INSTRUCTIONS, start=1)}
RECORD = {index: record for record, index in OPCODE.items()}
HEADER_BYTES = 4  # opcode, three zero bytes


def assemble(instructions: Iterable[Instruction]) -> bytes:
    """The code section: opcode byte, three zero bytes, then the packed fields."""
    return b"".join(bytes((OPCODE[type(item)], 0, 0, 0)) + pack(item) for item in instructions)


def disassemble(code: bytes) -> list[Instruction]:
    """The instructions of a code section; FormatError where it is not one."""
    found: list[Instruction] = []
    position = 0
    while position < len(code):
        record = RECORD.get(code[position])
        if record is None or code[position + 1 : position + HEADER_BYTES] != b"\0\0\0":
            raise FormatError(
                f"the code holds no instruction at byte {position} (opcode {code[position]})."
            )
        end = position + HEADER_BYTES + size_bytes(record)
        if end > len(code):
            raise FormatError(f"the code ends inside the instruction at byte {position}.")
        packed = code[position + HEADER_BYTES : end]
        if spare_bits(record, packed):
            raise FormatError(
                f"the instruction at byte {position} has bits set that belong to no field."
            )
        values = unpack(record, packed)
        small = too_small(record, values)
        if small is not None:
            raise FormatError(
                f"the instruction at byte {position} ({record.MNEMONIC}) must have {small.name} of "
                f"at least {small.minimum}, not {values[small.name]}."
            )
        found.append(record(**values))
        position = end
    return found


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
