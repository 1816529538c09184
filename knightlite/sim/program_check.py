"""Everything that can be wrong with a program, found before a picture runs."""

from __future__ import annotations

from collections.abc import Sequence

from knightlite.chip import Chip
from knightlite.container import GeneralLayer, Program, StoredTensor, is_given
from knightlite.errors import FormatError
from knightlite.isa import Instruction, Load, Operand, Space
from knightlite.sim.checks import StructureCheck
from knightlite.sim.faults import fault
from knightlite.sim.initialised import Shadow
from knightlite.sim.memory import sizes
from knightlite.sim.ordering import check_borders, check_races, order
from knightlite.sim.tensors import (
    by_instruction,
    piece_operand,
    pieces_by_instruction,
    tensor_operand,
)


class ProgramCheck:
    """The whole program on its chip: fields, bounds, tokens, races, unwritten bytes, tensors."""

    def __init__(self, program: Program, chip: Chip, instructions: Sequence[Instruction]) -> None:
        self._program, self._chip, self._instructions = program, chip, instructions
        self._layers = [layer.name for layer in program.meta.layers]
        self._trips = {trip[0].at: trip for trip in program.meta.trips}
        self._delivered = {entry.name for entry in program.meta.kept}

    def run(self) -> None:
        """MachineError or FormatError for the first mistake."""
        meta, constants = self._program.meta, len(self._program.data)
        room = sizes(self._chip, meta.ddr_bytes)
        inputs = self._check_tensors(room[Space.DDR])
        structure = StructureCheck(self._chip, room, constants, self._layers, meta.regions)
        found = [structure.check(index, item) for index, item in enumerate(self._instructions)]
        first = self._check_once(constants)
        ordered = order(self._instructions, self._layers)
        # what runs once has ended before a frame begins
        touched = [
            tuple(operand.extent for operand in operands) if index >= first else ()
            for index, operands in enumerate(found)
        ]
        check_races(self._instructions, ordered, self._layers, touched)
        check_borders(self._instructions, ordered, self._layers, self._trips)
        shadow = Shadow(room, constants, inputs, self._layers)
        known = dict.fromkeys((*meta.given, *meta.kept, *meta.tensors))
        begun = by_instruction(known, lambda entry: entry.first)
        completed = by_instruction(known, lambda entry: entry.ready)
        pieces = pieces_by_instruction(known)
        if pieces:
            shadow.remember(Space.FSPM)
        for index in range(first):
            shadow.execute(index, self._instructions[index], found[index])
        self._check_trip(shadow, first)
        for entry in (*completed.get(-1, ()), *(completed.get(first - 1, ()) if first else ())):
            self._require_complete(shadow, entry)
        for index in range(first, len(found)):
            item, operands = self._instructions[index], found[index]
            for entry in begun.get(index, ()):
                shadow.begin(tensor_operand(entry, False)[0])
            shadow.execute(index, item, operands)
            self._check_trip(shadow, index + 1)
            for entry in completed.get(index, ()):
                self._require_complete(shadow, entry)
            for entry, piece in pieces.get(index, ()):
                if not shadow.written_since(piece_operand(entry, piece)[0], piece.first):
                    raise _incomplete("tensor", entry.name, piece.first, piece.ready)

    def _check_once(self, constants: int) -> int:
        """How many instructions run once: loads of constants into what is kept, and no others."""
        once = self._program.meta.once
        if once is None:
            return 0
        if once.instructions > len(self._instructions):
            raise FormatError(
                f"{once.instructions} instructions must run once, and the program has "
                f"{len(self._instructions)}."
            )
        kept = {
            Space.WSPM: (once.wspm_address, once.wspm_address + once.wspm_bytes),
            Space.MSPM: (once.mspm_address, once.mspm_address + once.mspm_bytes),
        }
        for index, item in enumerate(self._instructions):
            if isinstance(item, Load) and item.space in kept:
                first, last = kept[Space(item.space)]
                local = item.local_side(Space(item.space), True)
                inside = first <= local.address and local.last <= last
                apart = local.last <= first or last <= local.address
                constant = item.ddr_side(write=False).last <= constants
                sound = inside and constant and not (item.wait or item.signal)
                if sound if index < once.instructions else apart:
                    continue
                raise fault(index, item, self._layers, "must leave what is kept as it is.")
            if index < once.instructions:
                sentence = "must load constants into what is kept, as it runs once."
                raise fault(index, item, self._layers, sentence)
        return once.instructions

    def _check_tensors(self, ddr_bytes: int) -> list[Operand]:
        """All tensors lie inside a memory; the inputs, in DDR beyond the constants, come back."""
        meta = self._program.meta
        for layer in meta.general:
            if layer.at > len(self._instructions):
                raise FormatError(
                    f"general layer {layer.name} must run before one of {len(self._instructions)} "
                    f"instructions or behind the last, not before number {layer.at}."
                )
        for entry in (*meta.given, *meta.kept, *meta.tensors):
            if entry.end > ddr_bytes:
                raise FormatError(
                    f"tensor {entry.name} ends at DDR {entry.end:#x}, beyond {ddr_bytes} bytes."
                )
            room = self._chip.fspm_bytes
            for end in (entry.piece_end(piece) for piece in entry.pieces):
                if end > room:
                    raise FormatError(
                        f"tensor {entry.name} ends at FSPM {end:#x}, beyond {room} bytes."
                    )
            if entry.ready >= len(self._instructions):
                raise FormatError(
                    f"tensor {entry.name} must be ready after one of {len(self._instructions)} "
                    f"instructions, not after number {entry.ready}."
                )
        inputs = [tensor_operand(entry, True)[0] for entry in meta.given]
        for item in inputs:
            if item.address < len(self._program.data):
                raise FormatError(
                    f"input {item.name} lies at DDR {item.address:#x}, inside the constants."
                )
        return inputs

    def _check_trip(self, shadow: Shadow, at: int) -> None:
        """What the host reads before an instruction is there, and what it writes is then."""
        if at not in self._trips:
            return
        known = {entry.name: entry for entry in self._program.meta.tensors}
        for layer in self._trips[at]:
            for name in layer.reads:
                operand = tensor_operand(known[name], False)[0]
                if not shadow.complete(operand, False):
                    raise FormatError(
                        f"general layer {layer.name} reads tensor {name}, which is not wholly "
                        f"written before instruction {at}.",
                        "compile the model again",
                    )
            self._write_result(shadow, layer, known[layer.output])

    def _write_result(self, shadow: Shadow, layer: GeneralLayer, entry: StoredTensor) -> None:
        operand = tensor_operand(entry, True)[0]
        if operand.address < len(self._program.data):
            raise FormatError(
                f"general layer {layer.name} writes to DDR {operand.address:#x}, inside the "
                "constants."
            )
        if is_given(self._program.meta.regions, operand.address):
            raise FormatError(
                f"general layer {layer.name} writes to DDR {operand.address:#x}, inside the "
                "inputs' own memory."
            )
        if not shadow.write(operand):
            raise FormatError(
                f"general layer {layer.name} overwrites an output of the network with "
                f"{entry.name}.",
                "compile the model again",
            )

    def _require_complete(self, shadow: Shadow, entry: StoredTensor) -> None:
        """FormatError where the instructions that a tensor names leave a byte of it to others."""
        delivered = entry.name in self._delivered
        if not shadow.complete(tensor_operand(entry, False)[0], delivered):
            kind = "output" if delivered else "tensor"
            raise _incomplete(kind, entry.name, entry.first, entry.ready)


def _incomplete(kind: str, name: str, first: int, ready: int) -> FormatError:
    return FormatError(
        f"{kind} {name} is not wholly written by instructions {first} to {ready}.",
        "compile the model again",
    )
