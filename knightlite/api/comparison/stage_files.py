"""What the other stages left for ``compare``: found, and of one and the same network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from knightlite import workspace
from knightlite.api.models.binary import Binary
from knightlite.api.models.calibration_pictures import calibration_pictures, quant_run
from knightlite.api.models.notes import notes_of
from knightlite.api.models.quant_folder import float_beside, quantized_in
from knightlite.api.models.stage_files import SAMPLES
from knightlite.array_files import raw_values
from knightlite.errors import DataError, KnightliteError, UsageError, not_there
from knightlite.file_names import file_names
from knightlite.talk import Talk

if TYPE_CHECKING:
    from knightlite.ir import Graph

Array = NDArray[Any]


def quant_files(
    directory: Path, quant_dir: Path | None, binary: Binary | None, talk: Talk
) -> dict[str, Path]:
    """The files that ``quant`` left, by the manifest, or by what those of ``quant_dir`` hold.

    UsageError where ``binary`` was compiled from another quantized model.
    """
    compiled = None if binary is None else binary.program.meta.model_sha256
    if quant_dir is None:
        files = _recorded(workspace.open_workspace(directory), compiled, talk)
    else:
        files = {"onnx": quantized_in(quant_dir)}
        floating = float_beside(files["onnx"])
        if floating is not None:
            files["float_onnx"] = floating
    if binary is not None and workspace.sha256_of(files["onnx"]) != compiled:
        raise UsageError(
            f"{binary.cfg} was not compiled from {files['onnx']}.",
            f"`knightlite compile --onnx {files['onnx']}` does it; or name the files that belong "
            "together, with -qd and --config",
        )
    return files


def _recorded(space: workspace.Workspace, compiled: str | None, talk: Talk) -> dict[str, Path]:
    """The files of the run that left the model that was compiled; else of the last run."""
    found = None
    if compiled is not None:
        found = workspace.of_content(space, "quant", "onnx", compiled)
    if found is None:
        found = workspace.latest(space, "quant", "onnx")
    talk.say(found.sentence)
    files = {key: workspace.recorded_file(space, found.record, key) for key in found.record.files}
    source = Path(str(found.record.options.get("model", "")))
    if "float_onnx" not in files and source.suffix == ".onnx" and source.is_file():
        files["float_onnx"] = source
    return files


def sample(files: Mapping[str, Path], graph: Graph) -> dict[str, Array]:
    """The sample that ``quant`` left, as float32 per network input.

    The file's size says whether it holds float32 or, as behind ``-qid``, integers.
    """
    feeds = {}
    for name, path in sample_files(files, graph).items():
        if not path.is_file():
            raise UsageError(
                f"the sample of input {name} is not at hand.", "quant leaves it as inputs/NAME.bin"
            )
        shape = graph.tensors[name].shape
        integers = np.dtype(graph.tensors[name].dtype.numpy)
        in_integers = path.stat().st_size == graph.tensors[name].elements * integers.itemsize
        values = raw_values(path, integers if in_integers else "<f4").astype(np.float32)
        if values.size != graph.tensors[name].elements:
            raise DataError(
                f"{path} must hold {graph.tensors[name].elements} numbers, not {values.size}."
            )
        feeds[name] = values.reshape(shape)
    return feeds


def sample_told(
    directory: Path, files: Mapping[str, Path], graph: Graph, feeds: Mapping[str, Array]
) -> str:
    """Which frame is compared: its files, and the picture where it is known to be that."""
    from knightlite.preprocess import parse_recipe, prepare_picture

    listed = ", ".join(str(path) for path in sample_files(files, graph).values())
    space = workspace.open_workspace(directory)
    run = quant_run(space, (workspace.sha256_of(files["onnx"]),))
    last = [] if run is None else calibration_pictures(space, run)[-1:]
    notes = notes_of(files["onnx"])
    if last and notes is not None and notes.recipe is not None and len(feeds) == 1:
        (values,) = feeds.values()
        recipe = parse_recipe(notes.recipe, "the stored recipe")
        with suppress(KnightliteError, OSError):
            if np.array_equal(prepare_picture(last[0], recipe, values.shape), values[0]):
                return f"compared is one frame: {listed}, which is the picture {last[0]}."
    return f"compared is one frame: {listed}, the last that quant was fed."


def sample_files(files: Mapping[str, Path], graph: Graph) -> dict[str, Path]:
    """Where the sample of each network input is, or would be."""
    folder = files["onnx"].parent / SAMPLES
    return {
        name: files.get(f"input_{name}", folder / f"{stem}.bin")
        for name, stem in file_names(graph.inputs).items()
    }


def require_results_of(directory: Path, sim_dirs: Sequence[Path], binary: Binary | None) -> None:
    """UsageError where results of ``sim`` are not there, or of another program by the manifest."""
    space = workspace.open_workspace(directory)
    for folder in sim_dirs:
        if not folder.is_dir():
            raise not_there("folder", folder, "name the one in which sim left results", folder=True)
        run = workspace.left_in(space, "sim", folder)
        if run is None:
            continue
        made = run.sources.get("cfg")
        given = None if binary is None else binary.sources.get("cfg")
        if made is not None and given is not None and made.sha256 != given.sha256:
            command = workspace.command_of(replace(run, sources={"cfg": given}))
            raise UsageError(
                f"the results in {folder} are not of {given.path} as it is now.",
                f"`{command}` makes them anew",
            )
        old = workspace.stale(space, run)
        if old is not None:
            raise old.refusal(folder, named=True)
