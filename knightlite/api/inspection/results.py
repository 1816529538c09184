"""``show_sim_result``, ``npy2bin``: what ``sim`` left, and ``.npy`` as the raw bytes it reads."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite import atomic_write, limits, workspace
from knightlite.array_files import read_array
from knightlite.errors import FEW, DataError, UsageError, not_there
from knightlite.reading import read_text
from knightlite.talk import SILENT, Talk

Array = NDArray[Any]
RESULTS = "result-*.npy"


@dataclass(frozen=True, slots=True)
class ResultInfo:
    """A result of the simulator: the chip's integers [1, C, H, W], or what the host made of them.

    The host's are of any rank and of ONNX's number types. ``name``: the file's; ``tensor``: which
    one it holds, None where the manifest does not say.
    """

    index: int
    name: str
    tensor: str | None
    path: Path
    values: Array


def simulated_results(folder: Path | None = None, talk: Talk = SILENT) -> tuple[ResultInfo, ...]:
    """Every ``result-*.npy`` of a folder, by name; the manifest knows what was put there.

    ``folder`` None: where ``sim`` left results last, which is said.
    """
    folder = _last_results(Path(), talk) if folder is None else folder
    if not folder.is_dir():
        raise not_there("folder", folder, "name the one in which sim left results", folder=True)
    paths = sorted(folder.glob(RESULTS))
    if not paths:
        raise UsageError(
            f"{folder} holds no {RESULTS}.",
            "`knightlite sim --input FILE` leaves them here, with -s DIR there",
        )
    run = workspace.left_in(workspace.open_workspace(Path()), "sim", folder)
    tensors = {} if run is None or run.tensors is None else run.tensors
    found = []
    for index, path in enumerate(paths):
        values = load_array(path)
        if values.dtype.kind not in "iufb":
            raise DataError(f"{path} is no result of sim: it holds {values.dtype}, not numbers.")
        name = path.stem.removeprefix("result-")
        found.append(ResultInfo(index, name, tensors.get(path.name), path, values))
    return tuple(found)


def _last_results(directory: Path, talk: Talk) -> Path:
    """The folder in which ``sim`` left results last, which is said; here where it never ran."""
    space = workspace.open_workspace(directory)
    for run in reversed(space.records):
        left = [item.path for item in run.files.values() if Path(item.path).match(RESULTS)]
        if run.stage == "sim" and left:
            folder = (space.directory / left[0]).parent
            if folder != directory:
                talk.say(f"{folder} is looked at: sim left its results there last.")
            return folder
    return directory


def text_form(path: Path) -> ResultInfo:
    """A ``result-X_p.txt`` that sim wrote; UsageError where there is none, DataError for others."""
    from knightlite.sim.outputs import read_text_form

    if not path.is_file():
        there = _texts_beside(path)
        raise (
            UsageError(f"file {path} does not exist.", there) if there else not_there("file", path)
        )
    try:
        values = read_text_form(read_text(path, limits.FILE_BYTES))
    except (ValueError, OSError) as error:
        raise DataError(f"{path} is no result of sim: {str(error).rstrip('.')}.") from error
    return ResultInfo(0, path.stem.removeprefix("result-"), None, path, values)


def _texts_beside(path: Path) -> str:
    """What may have been meant: a README names results as its own version of torch numbers them."""
    names = sorted(item.name for item in path.parent.glob("result-*_p.txt"))
    if not names:
        return "sim leaves them, with -s DIR"
    shown = ", ".join(names[:FEW]) + ("" if len(names) <= FEW else ", ...")
    return f"{path.parent} holds {shown}: results are named as the network's outputs are"


def save_array(result: ResultInfo, folder: Path) -> Path:
    """Write the values as ``.npy`` under the name of their file; where they are."""
    from knightlite.sim.outputs import npy_bytes

    target = folder / f"{result.path.stem}.npy"
    atomic_write.write_bytes(target, npy_bytes(result.values))
    return target


def result_facts(result: ResultInfo) -> dict[str, Any]:
    """What ``show_sim_result`` lists of a result."""
    return {
        "index": result.index,
        "name": result.name,
        "tensor": result.tensor,
        "shape": list(result.values.shape),
        "type": str(result.values.dtype),
        "minimum": _number(result.values.min()) if result.values.size else None,
        "maximum": _number(result.values.max()) if result.values.size else None,
    }


def _number(value: np.generic) -> int | float | None:
    """As JSON has it; None for what it cannot write."""
    if value.dtype.kind == "f":
        return float(value) if np.isfinite(value) else None
    return int(value)


def save_facts(rows: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write the list as ``sim_results.json``."""
    atomic_write.write_text(folder / "sim_results.json", json.dumps(rows, indent=1) + "\n")


def result_text(result: ResultInfo, layout: str) -> str:
    """The values of a result in Knight's text form, channel by channel or pixel by pixel.

    What the host left in another shape has no pixels: one line per row of its last axis.
    """
    from knightlite.sim.outputs import chw_text, hwc_text, plain_text

    if result.values.ndim != 4 or len(result.values) != 1:
        return plain_text(result.values)
    return chw_text(result.values) if layout == "nchw" else hwc_text(result.values)


def npy_to_raw(source: Path, target: Path) -> Array:
    """Write an array as raw little-endian bytes, as ``sim`` reads them; returns what was written.

    Numbers of 64 bits become float32, which is what a network reads.
    """
    values = load_array(source)
    if values.dtype.kind not in "fiu":
        raise DataError(f"{source} must hold numbers, not {values.dtype}.")
    if values.dtype.itemsize > 4 or values.dtype == np.float16:
        values = values.astype(np.float32)
    values = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    atomic_write.write_bytes(target, values.tobytes())
    return values


def load_array(path: Path) -> Array:
    """A ``.npy`` file; UsageError where it is missing, DataError where it is none."""
    if not path.is_file():
        raise not_there("file", path, endings=(".npy",))
    try:
        if zipfile.is_zipfile(path):  # .npz
            raise DataError(f"{path} holds several arrays, not one.", "save one with numpy.save")
        return read_array(path)
    except (ValueError, EOFError, OSError) as error:
        raise DataError(f"{path} is not a .npy file of numbers.") from error
