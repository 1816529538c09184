"""A compiled network in the runtime in C, called as the simulator's machine is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.chip import ChipFamily
from knightlite.container import Piece, Program, StoredTensor, encode_program, program_chip
from knightlite.errors import DataError
from knightlite.native.library import CHECKED, CHIP_ONLY, Network

Array = NDArray[Any]
LAST = (1 << 32) - 1  # beyond any instruction


class NativeMachine:
    """A program in an arena of its own. ``saturations`` counts those of the last picture.

    ``checked``: the whole program is checked first, as the simulator does; else only what memory
    safety needs. ``kernels``: by default the best that the processor has. Pictures run fast; one
    that is observed runs tile by tile, for what lies in FSPM only.
    """

    def __init__(
        self,
        program: Program,
        family: ChipFamily | None = None,
        *,
        checked: bool = True,
        kernels: str | None = None,
    ) -> None:
        self.program = program
        program_chip(program, family)
        self._files = encode_program(program)
        self._kernels = kernels
        self._network = self._open(CHIP_ONLY)  # what ran last
        self._fast = self._network
        self._by_tiles: Network | None = None
        self._started, self._unchecked = False, checked
        self._places = {entry.name: at for at, entry in enumerate(program.meta.tensors_in_ddr)}

    def _open(self, options: int) -> Network:
        found = Network(*self._files, options)
        if self._kernels is not None:
            found.use_kernels(self._kernels)
        return found

    @property
    def arena_bytes(self) -> int:
        """Memory that pictures run in."""
        return self._fast.arena_bytes

    @property
    def has_fspm(self) -> bool:
        """Whether pictures need the feature scratchpad, beside the plan's DDR; once checked."""
        return self._fast.has_fspm

    @property
    def saturations(self) -> int:
        """Accumulators that saturated in the last picture."""
        return self._network.saturations

    def check(self) -> None:
        """Everything that can be wrong with the program itself; MachineError for the first."""
        if self._unchecked:
            self._open(CHECKED | CHIP_ONLY).start()
            self._unchecked = False
        if not self._started:
            self._fast.start()
            self._started = True

    def reset(self) -> None:
        """The states that stay between frames are what they are before the first one."""
        self.check()
        self._network.reset()

    def _choose(self, is_observed: bool) -> Network:
        if not is_observed:
            return self._fast
        if self._by_tiles is None:
            self._by_tiles = self._open(CHECKED | CHIP_ONLY)
            self._by_tiles.start()
        return self._by_tiles

    def run(
        self, inputs: Mapping[str, Array], observe: Callable[[str, Array], None] | None = None
    ) -> dict[str, Array]:
        """Run one picture: arguments and result as those of ``knightlite.sim.Machine.run``."""
        self.check()
        before, self._network = self._network, self._choose(observe is not None)
        if self._network is not before:
            for state in self.program.meta.states:
                self._write(state.input, self._read_of(before, state.input))
        for entry in self.program.meta.inputs:
            self._write(entry, inputs.get(entry.name))
        self._network.begin()
        if observe is not None:
            self._run_observed(observe)
        self._network.advance(LAST)
        self._network.require_host()
        return {entry.name: self._read(entry) for entry in self.program.meta.outputs}

    def _run_observed(self, observe: Callable[[str, Array], None]) -> None:
        """Up to the last tensor, each seen as soon as it is complete: those in DDR first."""
        ready: dict[int, list[tuple[StoredTensor, Piece | None]]] = {}
        for entry in self.program.meta.tensors_in_ddr:
            ready.setdefault(entry.ready, []).append((entry, None))
        for entry in self.program.meta.tensors:
            for part in entry.pieces:
                ready.setdefault(part.ready, []).append((entry, part))
        assembled: dict[str, Array] = {}
        for index in sorted(ready):
            self._network.advance(index + 1)
            for entry, piece in ready[index]:
                if piece is None:
                    observe(entry.name, self._read(entry))
                else:
                    self._assemble(entry, piece, assembled)
            for name in dict.fromkeys(x.name for x, piece in ready[index] if x.ready == index):
                if name in assembled:
                    observe(name, assembled.pop(name))

    def _assemble(self, entry: StoredTensor, piece: Piece, assembled: dict[str, Array]) -> None:
        """Copy rows out of FSPM, which holds them for a while only."""
        dtype, (_, channels, _, width) = entry.dtype, entry.shape
        whole = assembled.setdefault(entry.name, np.zeros(entry.shape, dtype.numpy))
        strides = (piece.row_stride, piece.column_stride, dtype.size_bytes)
        shape = (piece.rows, width, channels)
        view: Array = np.ndarray(shape, dtype.numpy, self._network.fspm, piece.address, strides)
        whole[0, :, piece.row : piece.row + piece.rows] = view.transpose(2, 0, 1)

    def _write(self, entry: StoredTensor, given: Array | None) -> None:
        if given is None:
            raise DataError(f"input {entry.name} is missing.")
        if given.shape != entry.shape or given.dtype != entry.dtype.numpy:
            raise DataError(
                f"input {entry.name} must be {entry.dtype} of shape {entry.shape}, "
                f"not {given.dtype} of shape {given.shape}."
            )
        self._network.write(self._places[entry.name], given)

    def _read(self, entry: StoredTensor) -> Array:
        return self._read_of(self._network, entry)

    def _read_of(self, network: Network, entry: StoredTensor) -> Array:
        found = np.empty(entry.shape, entry.dtype.numpy)
        network.read(self._places[entry.name], found)
        return found
