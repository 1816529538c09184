"""``model_check``, the last step of ``build``: does the network do what its golden model does?"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite import workspace
from knightlite.api.models.binary import find_binary
from knightlite.api.models.machines import open_simulator
from knightlite.api.simulation.golden import golden_reference
from knightlite.api.simulation.run import SimulateResult, simulate
from knightlite.errors import DataError, UsageError
from knightlite.file_names import file_names
from knightlite.leftovers import scratch_folder
from knightlite.options.simulate import SimulateOptions
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
    binary = find_binary(Path(), cfg, weight, talk)
    machine = open_simulator(binary)
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


def check_folders(
    quant_dir: Path | None, compile_dir: Path, layout: str | None, keep: bool, talk: Talk = SILENT
) -> SimulateResult:
    """The sample that quant left, or the known input, through the network in ``compile_dir``.

    ``keep``: the results stay there. UsageError where a folder does not have what it should.
    """
    cfg = _only(compile_dir, "*_r.cfg", "compile leaves it; name its folder with -co DIR").resolve()
    inputs = [cfg.parent / f"{cfg.stem.removesuffix('_r')}_known_input.bin"]
    if quant_dir is not None:
        meta = find_binary(Path(), cfg, None, talk).program.meta
        names = file_names(entry.name for entry in meta.inputs).values()
        inputs = [quant_dir.resolve() / "inputs" / f"{name}.bin" for name in names]
    with scratch_folder() as folder:
        place = cfg.parent if keep else Path(folder)
        return simulate(
            SimulateOptions(
                input=":".join(map(str, inputs)),
                cfg=cfg,
                layout=layout,
                check=True,
                out_dir=place,
                directory=place,
            ),
            talk,
        )


def _only(folder: Path, pattern: str, hint: str) -> Path:
    found = sorted(folder.glob(pattern)) if folder.is_dir() else []
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise UsageError(f"{folder} must hold one {pattern}, not {names}.", hint)
    return found[0]
