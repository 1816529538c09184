"""A compiled network in the runtime in C, called as the simulator's machine is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.chip import ChipFamily
from knightlite.container import Program, StoredTensor, encode_program, program_chip
from knightlite.errors import DataError
from knightlite.native.library import CHECKED, CHIP_ONLY, Network

Array = NDArray[Any]


class NativeMachine:
    """A program in an arena of its own. ``saturations`` counts those of the last picture.

    ``checked``: the whole program is checked first, as the simulator does; else only what memory
    safety needs. ``kernels``: by default the best that the processor has.
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
        options = CHIP_ONLY | (CHECKED if checked else 0)
        self._network = Network(*encode_program(program), options)
        if kernels is not None:
            self._network.use_kernels(kernels)
        self._started = False
        self._places = {entry.name: at for at, entry in enumerate(program.meta.tensors_in_ddr)}

    @property
    def arena_bytes(self) -> int:
        """Memory that it runs in."""
        return self._network.arena_bytes

    @property
    def saturations(self) -> int:
        """Accumulators that saturated in the last picture."""
        return self._network.saturations

    def check(self) -> None:
        """Everything that can be wrong with the program itself; MachineError for the first."""
        if not self._started:
            self._network.start()
            self._started = True

    def run(
        self, inputs: Mapping[str, Array], observe: Callable[[str, Array], None] | None = None
    ) -> dict[str, Array]:
        """Run one picture: arguments and result as those of ``knightlite.sim.Machine.run``."""
        self.check()
        tensors = self.program.meta.tensors_in_ddr
        for entry in self.program.meta.inputs:
            self._write(entry, inputs.get(entry.name))
        if observe is None:
            self._network.run()
        else:
            self._network.run(lambda at: observe(tensors[at].name, self._read(tensors[at])))
        return {entry.name: self._read(entry) for entry in self.program.meta.outputs}

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
        found = np.empty(entry.shape, entry.dtype.numpy)
        self._network.read(self._places[entry.name], found)
        return found
