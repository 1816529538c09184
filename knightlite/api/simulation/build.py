"""The last step of ``build``: does the compiled network do what its golden model does?"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite import workspace
from knightlite.api.models.binary import find_binary
from knightlite.api.simulation.golden import golden_reference
from knightlite.errors import DataError
from knightlite.reading import read_bytes
from knightlite.talk import SILENT, Talk


def build_files() -> dict[str, Path]:
    """The files that ``compile`` left here last, by key; UsageError where they have changed."""
    space = workspace.open_workspace()
    latest = workspace.latest(space, "compile", "cfg")
    return {key: workspace.latest(space, "compile", key).path for key in latest.record.files}


def check_model(
    cfg: Path, weight: Path, known_input: Path, talk: Talk = SILENT
) -> tuple[int, int, tuple[str, ...]]:
    """Run the known input; (bytes compared with the golden model, that differ, tensors)."""
    from knightlite.sim import Machine

    binary = find_binary(Path(), cfg, weight, talk)
    machine = Machine(binary.program, binary.target(None))
    machine.check()
    data = read_bytes(known_input)
    inputs = {}
    for entry in binary.program.meta.inputs:
        kind = entry.dtype.numpy
        size = math.prod(entry.shape) * kind.itemsize
        if len(data) < size:
            raise DataError(f"{known_input} is too short.", "compile the model again")
        inputs[entry.name] = np.frombuffer(data[:size], kind).reshape(entry.shape)
        data = data[size:]
    tensors: dict[str, NDArray[Any]] = {}
    outputs = machine.run(inputs, tensors.__setitem__)
    golden = golden_reference(binary, None, talk)
    compared, differing, names = golden.compare(inputs, tensors, outputs)
    return compared, differing, tuple(names)
