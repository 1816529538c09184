"""The machine: decodes a program, checks it once, and runs pictures through its memories.

Instructions execute in program order. That is allowed because the token and race check proves
every legal overlap of the four queues equal to it (``ordering``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from knightlite.chip import ChipFamily
from knightlite.container import GeneralLayer, Piece, Program, StoredTensor, program_chip
from knightlite.dtypes import DType
from knightlite.errors import DataError, FormatError
from knightlite.isa import (
    Affine,
    Eltwise,
    Instruction,
    Load,
    Lookup,
    Matrix,
    Move,
    Operand,
    Pool,
    Resize,
    Softmax,
    Space,
    Transfer,
    disassemble,
)
from knightlite.sim.checks import StructureCheck
from knightlite.sim.engines_dma import TransferStep
from knightlite.sim.engines_matrix import MatrixStep
from knightlite.sim.engines_move import MoveStep
from knightlite.sim.engines_resize import ResizeStep
from knightlite.sim.engines_softmax import SoftmaxStep
from knightlite.sim.engines_vector import AffineStep, EltwiseStep, LookupStep, PoolStep
from knightlite.sim.host import Real, dequantize, exactly, requantized
from knightlite.sim.initialised import Shadow
from knightlite.sim.memory import Bytes, Scratch, allocate, byte_view, sizes, tile_view
from knightlite.sim.ordering import check_borders, check_races, order
from knightlite.sim.weights import Weights

Array = NDArray[Any]
Observer = Callable[[str, Array], None]


class Step(Protocol):
    """A decoded instruction."""

    def bind(self) -> None:
        """Build views once all steps have reserved their scratch."""

    def run(self) -> int:
        """Execute on the memories as they are; how many accumulators saturated."""


def tensor_operand(entry: StoredTensor, write: bool) -> tuple[Operand, DType]:
    """Where a tensor of the .cfg lies in DDR, and its type."""
    _, _, height, width = entry.shape
    operand = Operand(
        entry.name, Space.DDR, entry.address, height, entry.row_stride, width,
        entry.column_stride, entry.pixel_bytes, write, entry.dtype.size_bytes,
    )  # fmt: skip
    return operand, entry.dtype


def piece_operand(entry: StoredTensor, piece: Piece) -> tuple[Operand, DType]:
    """Where rows of a tensor of the .cfg lie in FSPM, and their type."""
    operand = Operand(
        entry.name, Space.FSPM, piece.address, piece.rows, piece.row_stride, entry.shape[3],
        piece.column_stride, entry.pixel_bytes, False, entry.dtype.size_bytes,
    )  # fmt: skip
    return operand, entry.dtype


def _grouped(
    entries: Iterable[StoredTensor], number: Callable[[StoredTensor], int]
) -> dict[int, list[StoredTensor]]:
    """The tensors in DDR by a number of theirs."""
    found: dict[int, list[StoredTensor]] = {}
    for entry in entries:
        if not entry.pieces:
            found.setdefault(number(entry), []).append(entry)
    return found


def _grouped_pieces(entries: Iterable[StoredTensor]) -> dict[int, list[tuple[StoredTensor, Piece]]]:
    """The pieces of tensors in FSPM by the instruction that completes them."""
    found: dict[int, list[tuple[StoredTensor, Piece]]] = {}
    for entry in entries:
        for piece in entry.pieces:
            found.setdefault(piece.ready, []).append((entry, piece))
    return found


class Machine:
    """A chip with a program in it. ``saturations`` counts those of the last picture.

    ``general``: how the host computes a general layer; with numpy, where that is exact, if nobody
    says.
    """

    def __init__(
        self,
        program: Program,
        family: ChipFamily | None = None,
        general: Callable[[GeneralLayer], Real] = exactly,
    ) -> None:
        meta = program.meta
        self.program = program
        self.chip = program_chip(program, family)
        self.instructions = disassemble(program.code)
        self.saturations = 0
        self._layers = [layer.name for layer in meta.layers]
        self._ddr_bytes = meta.ddr_bytes
        self._delivered = {entry.name for entry in meta.outputs}
        if not len(program.data) <= self._ddr_bytes <= self.chip.ddr_bytes:
            raise FormatError(
                f"the .cfg asks for {self._ddr_bytes} bytes of DDR, with {len(program.data)} bytes "
                f"of constants and {self.chip.ddr_bytes} bytes on the chip."
            )
        self._general = general
        self._trips = {trip[0].at: trip for trip in meta.trips}
        self._opened: dict[str, Real] = {}
        self._checked = False
        self._steps: list[Step] | None = None
        self._memories: dict[Space, Bytes] = {}

    def check(self) -> None:
        """Everything that can be wrong with the program itself; MachineError for the first."""
        if self._checked:
            return
        constants = len(self.program.data)
        room = sizes(self.chip, self._ddr_bytes)
        inputs = self._check_tensors(room[Space.DDR])
        structure = StructureCheck(self.chip, room, constants, self._layers)
        found = [structure.check(index, item) for index, item in enumerate(self.instructions)]
        ordered = order(self.instructions, self._layers)
        check_races(self.instructions, ordered, self._layers)
        check_borders(self.instructions, ordered, self._layers, self._trips)
        shadow = Shadow(room, constants, inputs, self._layers)
        meta = self.program.meta
        known = dict.fromkeys((*meta.inputs, *meta.outputs, *meta.tensors))
        begun = _grouped(known, lambda entry: entry.first)
        completed = _grouped(known, lambda entry: entry.ready)
        pieces = _grouped_pieces(known)
        if pieces:
            shadow.remember(Space.FSPM)
        self._check_trip(shadow, 0)
        for entry in completed.get(-1, ()):
            self._require_complete(shadow, entry)
        for index, (item, touched) in enumerate(zip(self.instructions, found, strict=True)):
            for entry in begun.get(index, ()):
                shadow.begin(tensor_operand(entry, False)[0])
            shadow.execute(index, item, touched)
            self._check_trip(shadow, index + 1)
            for entry in completed.get(index, ()):
                self._require_complete(shadow, entry)
            for entry, piece in pieces.get(index, ()):
                if not shadow.written_since(piece_operand(entry, piece)[0], piece.first):
                    raise _incomplete("tensor", entry.name, piece.first, piece.ready)
        self._checked = True

    def _check_tensors(self, ddr_bytes: int) -> list[Operand]:
        """All tensors lie inside a memory; the inputs, in DDR beyond the constants, come back."""
        meta = self.program.meta
        for layer in meta.general:
            if layer.at > len(self.instructions):
                raise FormatError(
                    f"general layer {layer.name} must run before one of {len(self.instructions)} "
                    f"instructions or behind the last, not before number {layer.at}."
                )
        for entry in (*meta.inputs, *meta.outputs, *meta.tensors):
            if entry.end > ddr_bytes:
                raise FormatError(
                    f"tensor {entry.name} ends at DDR {entry.end:#x}, beyond {ddr_bytes} bytes."
                )
            room = self.chip.fspm_bytes
            for end in (entry.piece_end(piece) for piece in entry.pieces):
                if end > room:
                    raise FormatError(
                        f"tensor {entry.name} ends at FSPM {end:#x}, beyond {room} bytes."
                    )
            if entry.ready >= len(self.instructions):
                raise FormatError(
                    f"tensor {entry.name} must be ready after one of {len(self.instructions)} "
                    f"instructions, not after number {entry.ready}."
                )
        inputs = [tensor_operand(entry, True)[0] for entry in meta.inputs]
        for item in inputs:
            if item.address < len(self.program.data):
                raise FormatError(
                    f"input {item.name} lies at DDR {item.address:#x}, inside the constants."
                )
        return inputs

    def _check_trip(self, shadow: Shadow, at: int) -> None:
        """What the host reads before an instruction is there, and what it writes is then."""
        known = {entry.name: entry for entry in self.program.meta.tensors}
        for layer in self._trips.get(at, ()):
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
        if operand.address < len(self.program.data):
            raise FormatError(
                f"general layer {layer.name} writes to DDR {operand.address:#x}, inside the "
                "constants."
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

    def run(self, inputs: Mapping[str, Array], observe: Observer | None = None) -> dict[str, Array]:
        """Run one picture.

        ``inputs``: an integer [1, C, H, W] array per network input, of its type. The result holds
        the chip's outputs in the same form; ``observe`` gets a copy of every tensor of the .cfg's
        table as soon as the program has completed it. Checks the program first, once.
        """
        self.check()
        if self._steps is None:
            self._steps = self._prepare()
        self._write_inputs(inputs)
        tensors = self.program.meta.tensors if observe is not None else ()
        ready = _grouped(tensors, lambda entry: entry.ready)
        pieces = _grouped_pieces(tensors)
        assembled: dict[str, Array] = {}
        self._visit_host(0)
        self._observe(ready.get(-1, ()), observe)
        self.saturations = 0
        steps = self._steps
        for index, item in enumerate(self.instructions):
            step = steps[index] if steps else self._decode_alone(item)
            self.saturations += step.run()
            if index + 1 in self._trips:
                self._visit_host(index + 1)
            if index in ready:
                self._observe(ready[index], observe)
            here = pieces.get(index, ())
            for entry, piece in here:
                self._assemble(entry, piece, assembled)
            for name in dict.fromkeys(x.name for x, _ in here if x.ready == index):
                if observe is not None:
                    observe(name, assembled.pop(name))
        return {entry.name: self._read(entry) for entry in self.program.meta.outputs}

    def _write_inputs(self, inputs: Mapping[str, Array]) -> None:
        for entry in self.program.meta.inputs:
            operand, dtype = tensor_operand(entry, True)
            given = inputs.get(entry.name)
            if given is None:
                raise DataError(f"input {entry.name} is missing.")
            shape = entry.shape
            if given.shape != shape or given.dtype != dtype.numpy:
                raise DataError(
                    f"input {entry.name} must be {dtype} of shape {shape}, "
                    f"not {given.dtype} of shape {given.shape}."
                )
            view = tile_view(self._memories[Space.DDR], operand, dtype)
            view[...] = given[0].transpose(1, 2, 0)

    def _visit_host(self, at: int) -> None:
        """What the host computes before an instruction, of tensors in DDR."""
        known = {entry.name: entry for entry in self.program.meta.tensors}
        for layer in self._trips.get(at, ()):
            if layer.name not in self._opened:
                self._opened[layer.name] = self._general(layer)
            read = {name: dequantize(self._read(known[name]), known[name]) for name in layer.reads}
            entry = known[layer.output]
            made = requantized(self._opened[layer.name](read), layer, entry)
            view = tile_view(self._memories[Space.DDR], *tensor_operand(entry, True))
            view[...] = made[0].transpose(1, 2, 0)

    def _read(self, entry: StoredTensor) -> Array:
        operand, dtype = tensor_operand(entry, False)
        view = tile_view(self._memories[Space.DDR], operand, dtype)
        return view.transpose(2, 0, 1)[np.newaxis].copy()

    def _assemble(self, entry: StoredTensor, piece: Piece, assembled: dict[str, Array]) -> None:
        """Copy rows out of FSPM, which holds them for a while only."""
        whole = assembled.setdefault(entry.name, np.zeros(entry.shape, entry.dtype.numpy))
        view = tile_view(self._memories[Space.FSPM], *piece_operand(entry, piece))
        whole[0, :, piece.row : piece.row + piece.rows] = view.transpose(2, 0, 1)

    def _observe(self, entries: Iterable[StoredTensor], observe: Observer | None) -> None:
        if observe is not None:
            for entry in entries:
                observe(entry.name, self._read(entry))

    def _prepare(self) -> list[Step]:
        """Decode every instruction once, walking the weights and parameters through WSPM and MSPM.

        Matrix instructions whose weights are computed (loaded from DDR that is not constant) are
        decoded again for each picture. Where parameters are, or weights in part, all of the program
        is: then the list is empty.
        """
        self._memories = allocate(self.chip, self._ddr_bytes)
        self._memories[Space.DDR][: len(self.program.data)] = np.frombuffer(
            self.program.data, np.uint8
        )
        scratch, known = Scratch(), dict[tuple[Any, ...], Weights]()
        steps: list[Step] = []
        computed = np.zeros(
            self.chip.wspm_bytes, np.uint8
        )  # 1: a byte of WSPM that is not constant
        for item in self.instructions:
            if isinstance(item, Load) and item.space != Space.FSPM:
                from_data = item.ddr_side(write=False).last <= len(self.program.data)
                if item.space == Space.WSPM:
                    byte_view(computed, item.local_side(Space.WSPM, True))[...] = not from_data
                elif not from_data:
                    return []
                step = self._decode(item, scratch, known)
                if from_data:
                    step.run()
                    step = _Nothing()  # what is decoded needs no bytes in WSPM any more
            elif isinstance(item, Matrix) and byte_view(computed, item.weights()).any():
                if not byte_view(computed, item.weights()).all():
                    return []
                step = _Late(item, self._decode_alone)
            else:
                step = self._decode(item, scratch, known)
            steps.append(step)
        for step in steps:
            step.bind()
        return steps

    def _decode_alone(self, item: Instruction) -> Step:
        step = self._decode(item, Scratch(), {})  # what is computed is not kept
        step.bind()
        return step

    def _decode(
        self, item: Instruction, scratch: Scratch, known: dict[tuple[Any, ...], Weights]
    ) -> Step:
        memories = self._memories
        match item:
            case Transfer():
                return TransferStep(item, memories)
            case Matrix():
                return MatrixStep(item, memories, scratch, known)
            case Affine():
                return AffineStep(item, memories, scratch)
            case Eltwise():
                return EltwiseStep(item, memories, scratch)
            case Softmax():
                return SoftmaxStep(item, memories)
            case Resize():
                return ResizeStep(item, memories, scratch)
            case Move():
                return MoveStep(item, memories)
            case Pool():
                return PoolStep(item, memories, scratch)
            case Lookup():
                return LookupStep(item, memories, scratch)
        raise AssertionError(f"no engine for {type(item).__name__}")


def _incomplete(kind: str, name: str, first: int, ready: int) -> FormatError:
    return FormatError(
        f"{kind} {name} is not wholly written by instructions {first} to {ready}.",
        "compile the model again",
    )


class _Late:
    """An instruction that is decoded when it runs."""

    def __init__(self, item: Instruction, decode: Callable[[Instruction], Step]) -> None:
        self._item, self._decode = item, decode

    def bind(self) -> None:
        """Nothing to build yet."""

    def run(self) -> int:
        """Decode and execute."""
        return self._decode(self._item).run()


class _Nothing:
    def bind(self) -> None:
        """Nothing to build."""

    def run(self) -> int:
        """Nothing to do."""
        return 0
