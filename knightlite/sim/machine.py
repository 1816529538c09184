"""The machine: checks a program once and shares pictures out to decoded copies of it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.chip import ChipFamily
from knightlite.container import GeneralLayer, Program, program_chip
from knightlite.errors import DataError, FormatError
from knightlite.isa import Load, disassemble
from knightlite.sim.decoded import Decoded, Observer, loads_computed
from knightlite.sim.host import Real, exactly
from knightlite.sim.program_check import ProgramCheck
from knightlite.sim.weights import Weights

Array = NDArray[Any]
MOST_TOGETHER = 16  # pictures in a pass of the program; more gain nothing
TOGETHER_BYTES = 1 << 28  # of their memories
MOST_THREADS = 2  # that share pictures; numpy lets go of Python's lock while it works


class Machine:
    """A chip with a program in it. ``saturations`` counts those of the last run.

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
        if not len(program.data) <= meta.ddr_bytes <= self.chip.ddr_bytes:
            raise FormatError(
                f"the .cfg asks for {meta.ddr_bytes} bytes of DDR, with {len(program.data)} bytes "
                f"of constants and {self.chip.ddr_bytes} bytes on the chip."
            )
        self._general = general
        self._checked = False
        self._copies: dict[tuple[int, int], Decoded] = {}
        self._states: dict[str, Array] = {}
        self.reset()
        self._known: dict[tuple[Any, ...], Weights] = {}

    def reset(self) -> None:
        """The states that stay between frames are again what they are before the first one."""
        self._states = {item.input.name: item.first for item in self.program.meta.states}

    def check(self) -> None:
        """Everything that can be wrong with the program itself; MachineError for the first."""
        if not self._checked:
            ProgramCheck(self.program, self.chip, self.instructions).run()
            self._checked = True

    def run(self, inputs: Mapping[str, Array], observe: Observer | None = None) -> dict[str, Array]:
        """Run pictures: several in one pass, and where there are processors in two threads.

        ``inputs``: an integer [N, C, H, W] array per network input, of its type. The result holds
        the chip's outputs in the same form. ``observe`` is for one picture: it gets a copy of every
        tensor of the .cfg's table as soon as the program has completed it. Checks the program
        first, once. Where states stay between frames, pictures follow one another; a state that
        is among the inputs stands for the one that stayed.
        """
        self.check()
        count = self._count(inputs)
        if observe is not None and count > 1:
            raise DataError(f"tensors can be observed of 1 picture at a time, not of {count}.")
        if self._states:
            return self._one_by_one(inputs, count, observe)
        threads = min(MOST_THREADS, _processors(), count)
        passes = min(count, threads * -(-count // (threads * self._most)))
        ends = [count * number // passes for number in range(passes + 1)]
        parts = [
            {name: given[first:last] for name, given in inputs.items()}
            for first, last in itertools.pairwise(ends)
        ]
        found: list[dict[str, Array]] = []
        self.saturations = 0
        for at in range(0, passes, threads):
            some = range(at, min(at + threads, passes))
            copies = [self._copy(place - at, ends[place + 1] - ends[place]) for place in some]
            if len(copies) == 1:
                found.append(copies[0].run(parts[at], observe))
            else:
                with ThreadPoolExecutor(len(copies)) as pool:
                    ran = pool.map(lambda copy, part: copy.run(part, None), copies, parts[at:])
                    found += ran
            self.saturations += sum(copy.saturations for copy in copies)
        if len(found) == 1:
            return found[0]
        return {name: np.concatenate([outputs[name] for outputs in found]) for name in found[0]}

    def _one_by_one(
        self, inputs: Mapping[str, Array], count: int, observe: Observer | None
    ) -> dict[str, Array]:
        """Frame after frame, each of which begins with what the one before has left."""
        meta, copy = self.program.meta, self._copy(0, 1)
        found: list[dict[str, Array]] = []
        self.saturations = 0
        for at in range(count):
            frame = {name: values[at : at + 1] for name, values in inputs.items()}
            outputs = copy.run({**self._states, **frame}, observe)
            self._states = {item.input.name: outputs[item.output.name] for item in meta.states}
            self.saturations += copy.saturations
            found.append(outputs)
        return {
            entry.name: np.concatenate([outputs[entry.name] for outputs in found])
            for entry in meta.outputs
        }

    def _copy(self, number: int, pictures: int) -> Decoded:
        """The program decoded for so many pictures, for a thread; the last two are kept."""
        key = (number, pictures)
        if key not in self._copies:
            while len(self._copies) >= 2 * MOST_THREADS:
                del self._copies[next(iter(self._copies))]
            self._copies[key] = Decoded(
                self.program, self.chip, self.instructions, pictures, self._known, self._general
            )
        return self._copies[key]

    def _count(self, inputs: Mapping[str, Array]) -> int:
        """How many pictures all inputs hold; DataError where one is not as the network reads it."""
        counts: dict[str, int] = {}
        for entry in self.program.meta.inputs:
            given = inputs.get(entry.name)
            if given is None:
                raise DataError(f"input {entry.name} is missing.")
            shape = entry.shape
            one = given.shape[:1] != (0,) and given.shape[1:] == shape[1:]
            if not one or given.ndim != len(shape) or given.dtype != entry.dtype.numpy:
                raise DataError(
                    f"input {entry.name} must be {entry.dtype} of shape {shape}, "
                    f"not {given.dtype} of shape {given.shape}."
                )
            counts[entry.name] = len(given)
        if len(set(counts.values())) > 1:
            told = ", ".join(f"{name} {count}" for name, count in counts.items())
            raise DataError(f"all inputs must have equally many pictures, not {told}.")
        return next(iter(counts.values()), 1)

    @cached_property
    def _most(self) -> int:
        """How many pictures may go through together: one where they need weights of their own.

        That is where a program computes weights or parameters, or reads a run of DDR that is
        constant in part.
        """
        constants = len(self.program.data)
        for item in self.instructions:
            if loads_computed(item, constants):
                return 1
            if isinstance(item, Load):
                source = item.ddr_side(write=False)
                if source.address < constants < source.last:
                    return 1
        own = self.program.meta.ddr_bytes - constants + self.chip.fspm_bytes
        return max(1, min(MOST_TOGETHER, TOGETHER_BYTES // own))


def _processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
