"""A decoded program in memories of its own, for as many pictures as go through together.

Instructions execute in program order. That is allowed because the token and race check proves
every legal overlap of the four queues equal to it (``ordering``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from knightlite.chip import Chip
from knightlite.container import GeneralLayer, Piece, Program, StoredTensor
from knightlite.isa import (
    Affine,
    Eltwise,
    Instruction,
    Load,
    Lookup,
    Matrix,
    Move,
    Pick,
    Pool,
    Resize,
    Softmax,
    Space,
    Transfer,
)
from knightlite.sim.engines_dma import TransferStep
from knightlite.sim.engines_matrix import MatrixStep
from knightlite.sim.engines_move import MoveStep
from knightlite.sim.engines_pick import PickStep
from knightlite.sim.engines_resize import ResizeStep
from knightlite.sim.engines_softmax import SoftmaxStep
from knightlite.sim.engines_vector import AffineStep, EltwiseStep, LookupStep, PoolStep
from knightlite.sim.host import Real, dequantize, requantized
from knightlite.sim.memory import Bytes, Scratch, allocate, byte_view, tile_view
from knightlite.sim.rounding import Calls
from knightlite.sim.tensors import (
    by_instruction,
    piece_operand,
    pieces_by_instruction,
    tensor_operand,
)
from knightlite.sim.weights import Weights

Array = NDArray[Any]
Observer = Callable[[str, Array], None]


class Step(Protocol):
    """A decoded instruction."""

    def bind(self) -> None:
        """Build views once all steps have reserved their scratch."""

    def calls(self) -> Calls:
        """What it does, call by call, but for the counting; bound by then."""

    def run(self) -> int:
        """Execute on the memories as they are; how many accumulators saturated."""


class Decoded:
    """Memories for ``pictures``, and the steps that work on them.

    ``known``: weights, shared; ``general``: what the host computes for a general layer.
    """

    def __init__(
        self,
        program: Program,
        chip: Chip,
        instructions: Sequence[Instruction],
        pictures: int,
        known: dict[tuple[Any, ...], Weights],
        general: Callable[[GeneralLayer], Real],
    ) -> None:
        self._meta, self._constants = program.meta, len(program.data)
        self._instructions, self._known, self._general = instructions, known, general
        self._opened: dict[str, Real] = {}
        self._trips = {trip[0].at: trip for trip in program.meta.trips}
        self._memories = allocate(chip, program.meta.ddr_bytes, pictures)
        self._memories[Space.DDR][0, : self._constants] = np.frombuffer(program.data, np.uint8)
        self.saturations = 0  # of the last run
        self._steps = self._prepare()
        if not self._steps:  # what runs once: else it has been, where it was decoded
            for item in instructions[: self._meta.once_instructions]:
                self._decode_alone(self._memories, item).run()
        self._counters = [step.counter for step in self._steps if isinstance(step, MatrixStep)]
        # where nobody looks on and the host does nothing between, all is one list
        one_by_one = not self._steps or any(isinstance(step, _Late) for step in self._steps)
        self._calls: Calls | None = None
        if not one_by_one and not self._trips:
            self._calls = [call for step in self._steps for call in step.calls()]

    def run(self, inputs: Mapping[str, Array], observe: Observer | None) -> dict[str, Array]:
        """All pictures, [pictures, C, H, W]: each instruction does them all, then the next one.

        ``observe`` gets a copy of each tensor of the .cfg as soon as it is complete.
        """
        self._write_inputs(inputs)
        tensors = self._meta.tensors if observe is not None else ()
        ready = by_instruction(tensors, lambda entry: entry.ready)
        pieces = pieces_by_instruction(tensors)
        assembled: dict[str, Array] = {}
        once = self._meta.once_instructions
        self._visit_host(once)
        self._observe(ready.get(-1, ()), observe)
        self._observe(ready.get(once - 1, ()) if once else (), observe)
        self.saturations = 0
        if self._calls is not None and observe is None:
            for counter in self._counters:
                counter.count = 0
            for call in self._calls:
                call()
            self.saturations = sum(counter.count for counter in self._counters)
            return self._delivered()
        for index in range(once, len(self._instructions)):
            item = self._instructions[index]
            step = self._steps[index] if self._steps else self._decode_alone(self._memories, item)
            self.saturations += step.run()
            if index + 1 in self._trips:
                self._visit_host(index + 1)
            if observe is None:
                continue
            self._observe(ready.get(index, ()), observe)
            here = pieces.get(index, ())
            for entry, piece in here:
                self._assemble(entry, piece, assembled)
            for name in dict.fromkeys(x.name for x, _ in here if x.ready == index):
                observe(name, assembled.pop(name))
        return self._delivered()

    def _delivered(self) -> dict[str, Array]:
        return {entry.name: self._read(entry) for entry in self._meta.kept}

    def _write_inputs(self, inputs: Mapping[str, Array]) -> None:
        for entry in self._meta.given:
            view = tile_view(self._memories[Space.DDR], *tensor_operand(entry, True))
            view[...] = inputs[entry.name].transpose(0, 2, 3, 1)

    def _visit_host(self, at: int) -> None:
        """What the host computes before an instruction, of tensors in DDR, picture by picture."""
        known = {entry.name: entry for entry in self._meta.tensors}
        for layer in self._trips.get(at, ()):
            if layer.name not in self._opened:
                self._opened[layer.name] = self._general(layer)
            compute, entry = self._opened[layer.name], known[layer.output]
            read = {name: self._read(known[name]) for name in layer.reads}
            view = tile_view(self._memories[Space.DDR], *tensor_operand(entry, True))
            for place, target in enumerate(view):
                one = {
                    name: dequantize(values[place : place + 1], known[name])
                    for name, values in read.items()
                }
                target[...] = requantized(compute(one), layer, entry)[0].transpose(1, 2, 0)

    def _read(self, entry: StoredTensor) -> Array:
        view = tile_view(self._memories[Space.DDR], *tensor_operand(entry, False))
        return view.transpose(0, 3, 1, 2).copy()

    def _assemble(self, entry: StoredTensor, piece: Piece, assembled: dict[str, Array]) -> None:
        """Copy rows out of FSPM, which holds them for a while only."""
        whole = assembled.setdefault(entry.name, np.zeros(entry.shape, entry.dtype.numpy))
        view = tile_view(self._memories[Space.FSPM], *piece_operand(entry, piece))
        whole[:, :, piece.row : piece.row + piece.rows] = view.transpose(0, 3, 1, 2)

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
        scratch = Scratch()
        steps: list[Step] = []
        wspm = self._memories[Space.WSPM]
        computed = np.zeros(wspm.shape[1], np.uint8)  # 1: a byte of WSPM that is not constant
        for item in self._instructions:
            if isinstance(item, Load) and item.space != Space.FSPM:
                constant = not loads_computed(item, self._constants)
                if item.space == Space.WSPM:
                    byte_view(computed, item.local_side(Space.WSPM, True))[...] = not constant
                elif not constant:
                    return []
                step = self._decode(item, self._memories, scratch, self._known)
                if constant:
                    step.run()
                    step = _Nothing()  # what is decoded needs no bytes in WSPM any more
            elif isinstance(item, Matrix) and byte_view(computed, item.weights()).any():
                if not byte_view(computed, item.weights()).all():
                    return []
                # its parameters are those that are there now, not those of later loads
                then = {**self._memories, Space.MSPM: self._memories[Space.MSPM].copy()}
                step = _Late(item, partial(self._decode_alone, then))
            else:
                step = self._decode(item, self._memories, scratch, self._known)
            steps.append(step)
        for step in steps:
            step.bind()
        return steps

    def _decode_alone(self, memories: Mapping[Space, Bytes], item: Instruction) -> Step:
        step = self._decode(item, memories, Scratch(), None)  # what is computed is not kept
        step.bind()
        return step

    def _decode(
        self,
        item: Instruction,
        memories: Mapping[Space, Bytes],
        scratch: Scratch,
        known: dict[tuple[Any, ...], Weights] | None,
    ) -> Step:
        match item:
            case Transfer():
                return TransferStep(item, memories, self._constants)
            case Matrix():
                return MatrixStep(item, memories, scratch, known)
            case Affine():
                return AffineStep(item, memories, scratch)
            case Eltwise():
                return EltwiseStep(item, memories, scratch)
            case Softmax():
                return SoftmaxStep(item, memories)
            case Pick():
                return PickStep(item, memories)
            case Resize():
                return ResizeStep(item, memories, scratch)
            case Move():
                return MoveStep(item, memories)
            case Pool():
                return PoolStep(item, memories, scratch)
            case Lookup():
                return LookupStep(item, memories, scratch)
        raise AssertionError(f"no engine for {type(item).__name__}")


def loads_computed(item: Instruction, constants: int) -> bool:
    """Whether it loads weights or parameters that are not constant."""
    if not isinstance(item, Load) or item.space == Space.FSPM:
        return False
    return item.ddr_side(write=False).last > constants


class _Late:
    """An instruction that is decoded when it runs."""

    def __init__(self, item: Instruction, decode: Callable[[Instruction], Step]) -> None:
        self._item, self._decode = item, decode

    def bind(self) -> None:
        """Nothing to build yet."""

    def calls(self) -> Calls:
        """It knows none before it runs."""
        return [self.run]

    def run(self) -> int:
        """Decode and execute."""
        return self._decode(self._item).run()


class _Nothing:
    def bind(self) -> None:
        """Nothing to build."""

    def calls(self) -> Calls:
        """Nothing to do."""
        return []

    def run(self) -> int:
        """Nothing to do."""
        return 0
