"""The machine that a compiled network runs in: the simulator, or the runtime in C."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import UsageError
from knightlite.options.shared import NATIVE

if TYPE_CHECKING:
    from knightlite.api.models.binary import Binary
    from knightlite.sim import Machine

Array = NDArray[Any]


class AnyMachine(Protocol):
    """A chip with a checked program in it, as :class:`knightlite.sim.Machine`."""

    @property
    def saturations(self) -> int:
        """Accumulators that saturated in the last picture."""

    def reset(self) -> None:
        """The states that stay between frames are again what they are before the first one."""

    def run(
        self, inputs: Mapping[str, Array], observe: Callable[[str, Array], None] | None = None
    ) -> dict[str, Array]:
        """Run one picture."""


def open_machine(binary: Binary, chip: str | None, engine: str) -> AnyMachine:
    """A checked program in the machine of an engine; both make the same bytes.

    UsageError where the runtime in C cannot be built.
    """
    target = binary.target(chip)
    if engine == NATIVE:
        require_known(binary, "sim --engine numpy runs it")
        from knightlite.native import NativeMachine

        native = NativeMachine(binary.program, target)
        native.check()
        return native
    return open_simulator(binary, chip)


def require_known(binary: Binary, hint: str) -> None:
    """UsageError where the host computes in the middle what the runtime in C does not know."""
    from knightlite.native import unknown

    meta = binary.program.meta
    kinds = unknown(step.op for item in meta.general for step in item.operators)
    if kinds:
        raise UsageError(
            f"{meta.name} has general layers ({', '.join(kinds)}), which the runtime in C computes "
            "only by handlers of the program that it is part of.",
            hint,
        )


def open_simulator(binary: Binary, chip: str | None = None) -> Machine:
    """The simulator with a checked program; ONNX Runtime computes what the host does in between."""
    from knightlite.api.models.general import general_layers
    from knightlite.sim import Machine

    machine = Machine(binary.program, binary.target(chip), general_layers(binary.program))
    machine.check()
    return machine


def run_frames(
    machine: AnyMachine, frames: Sequence[Mapping[str, Array]]
) -> list[dict[str, Array]]:
    """The outputs of every frame; the simulator takes all in one call, which is faster."""
    from knightlite.sim import Machine

    if len(frames) < 2 or not isinstance(machine, Machine):
        return [machine.run(inputs) for inputs in frames]
    together = {name: np.concatenate([inputs[name] for inputs in frames]) for name in frames[0]}
    outputs = machine.run(together)
    return [
        {name: values[place : place + 1] for name, values in outputs.items()}
        for place in range(len(frames))
    ]
