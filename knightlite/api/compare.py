"""``compare``: float model, quantized model and chip on one sample, by Knight's measures.

The sample is the one that ``quant`` left in ``inputs/``. The chip's outputs are those that ``sim``
left, or are computed here. Outputs are compared as real numbers, before what the host does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from knightlite import atomic_write, workspace
from knightlite.errors import DataError, UsageError
from knightlite.talk import SILENT, Talk

if TYPE_CHECKING:
    from knightlite.ir import Graph

Array = NDArray[Any]
BUCKETS = (1.0, 10.0, 50.0, 100.0)  # percent; the last bucket has no end
FLOAT, QUANTIZED, CHIP = "float", "quantized", "chip"


@dataclass(frozen=True, slots=True)
class Difference:
    """How far ``found`` is from ``wanted``, elementwise over one tensor.

    ``mre``: sum|r-l| / sum|l|; ``cosine``: 0.5 + 0.5 l.r / |l||r|; ``rmse``: sqrt(sum(r-l)^2 /
    sum l^2), all as fractions; ``buckets``: share of elements by relative error, in percent 0-1,
    1-10, 10-50, 50-100, above. ``mre`` and ``rmse`` are None where ``wanted`` is all zeros and
    ``found`` is not.
    """

    mre: float | None
    cosine: float
    rmse: float | None
    max_difference: float
    buckets: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One row: which tensor of which operator, and which two are compared."""

    index: int
    name: str
    op: str
    wanted: str
    found: str
    difference: Difference


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """What ``compare`` is asked for; names as Knight's options.

    ``sim_dir`` None: the chip's outputs are computed from ``cfg`` and ``weight``, or from what
    ``compile`` left. ``number`` None: all rows. ``sort``: the largest MRE first.
    """

    quant_dir: Path | None = None
    sim_dir: Path | None = None
    cfg: Path | None = None
    weight: Path | None = None
    names: tuple[str, ...] = ()
    op_type: str | None = None
    number: int | None = None
    sort: bool = False
    save_dir: Path | None = None
    directory: Path = Path()


def difference(wanted: Array, found: Array) -> Difference:
    """Compare two arrays of one shape; where both are nothing but zeros they are alike."""
    left, right = wanted.astype(np.float64).ravel(), found.astype(np.float64).ravel()
    error = np.abs(right - left)
    size, square = float(np.sum(np.abs(left))), float(np.sum(left**2))
    norms = float(np.sqrt(square) * np.sqrt(np.sum(right**2)))
    alike = not error.any()
    zero = 0.0 if alike else None
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(error == 0, 0.0, 100 * error / np.abs(left))
    place = np.searchsorted(BUCKETS, relative, side="left")
    counts = np.bincount(place, minlength=len(BUCKETS) + 1)
    return Difference(
        mre=float(np.sum(error)) / size if size else zero,
        cosine=0.5 + 0.5 * float(left @ right) / norms if norms else (1.0 if alike else 0.5),
        rmse=float(np.sqrt(np.sum(error**2) / square)) if square else zero,
        max_difference=float(np.max(error, initial=0.0)),
        buckets=tuple(float(count) / max(1, left.size) for count in counts),
    )


def compare(options: CompareOptions, talk: Talk = SILENT) -> tuple[Comparison, ...]:
    """Every output of the network, float against quantized, and both against the chip."""
    from knightlite.frontend import load, load_quantized
    from knightlite.quantize.onnx_models import session, write_float, write_qdq

    if options.save_dir is not None:
        atomic_write.require_folder(options.save_dir)
    found = _quant_files(options, talk)
    graph = load_quantized(found["onnx"])
    feeds = _sample(found, graph)
    names = list(graph.chip_outputs)
    values: dict[str, Mapping[str, Array]] = {}
    if "float_onnx" in found:
        floating = load(found["float_onnx"], None, None, None)
        outputs = session(write_float(floating, names)).run(names, feeds)
        values[FLOAT] = dict(zip(names, map(np.asarray, outputs), strict=True))
    else:
        talk.say("The float model is not at hand: quantized and chip are compared.")
    bare = _without_host(graph)
    outputs = session(write_qdq(bare, {})).run(names, feeds)
    values[QUANTIZED] = dict(zip(names, map(np.asarray, outputs), strict=True))
    values[CHIP] = _chip_outputs(options, graph, feeds, talk)
    rows = _rows(graph, values, options)
    if options.save_dir is not None:
        text = json.dumps([asdict(row) for row in rows], indent=1) + "\n"
        atomic_write.write_text(options.save_dir / "compare.json", text)
    return rows


def _without_host(graph: Graph) -> Graph:
    return replace(graph, outputs=graph.chip_outputs, host=())


def _quant_files(options: CompareOptions, talk: Talk) -> dict[str, Path]:
    """The files that ``quant`` left: by the manifest, or by their names in a folder."""
    if options.quant_dir is None:
        space = workspace.open_workspace(options.directory)
        latest = workspace.latest(space, "quant", "onnx")
        talk.say(latest.sentence)
        keys = latest.record.files
        files = {key: workspace.latest(space, "quant", key).path for key in keys}
        source = Path(str(latest.record.options.get("model", "")))
        if "float_onnx" not in files and source.suffix == ".onnx" and source.is_file():
            files["float_onnx"] = source
        return files
    models = sorted(options.quant_dir.glob("*_quantize.onnx"))
    if len(models) != 1:
        raise UsageError(
            f"{options.quant_dir} must hold one quantized model, not {len(models)}.",
            "name the folder in which quant left X_quantize.onnx and inputs/",
        )
    files = {"onnx": models[0]}
    floating = models[0].with_name(models[0].name.replace("_quantize.onnx", ".onnx"))
    if floating.is_file():
        files["float_onnx"] = floating
    for path in sorted((options.quant_dir / "inputs").glob("*.bin")):
        files[f"input_{path.stem}"] = path
    return files


def _sample(files: Mapping[str, Path], graph: Graph) -> dict[str, Array]:
    """The sample that ``quant`` left, as float32 per network input.

    The file's size says whether it holds float32 or, as behind ``-qid``, integers.
    """
    feeds = {}
    for name in graph.inputs:
        path = files.get(f"input_{name}") or files.get(f"input_{name.replace('/', '_')}")
        if path is None or not path.is_file():
            raise UsageError(
                f"the sample of input {name} is not at hand.", "quant leaves it as inputs/NAME.bin"
            )
        shape = graph.tensors[name].shape
        integers = np.dtype(graph.tensors[name].dtype.numpy)
        in_integers = path.stat().st_size == graph.tensors[name].elements * integers.itemsize
        values = np.fromfile(path, integers if in_integers else "<f4").astype(np.float32)
        if values.size != graph.tensors[name].elements:
            raise DataError(
                f"{path} must hold {graph.tensors[name].elements} numbers, not {values.size}."
            )
        feeds[name] = values.reshape(shape)
    return feeds


def _chip_outputs(
    options: CompareOptions, graph: Graph, feeds: Mapping[str, Array], talk: Talk
) -> dict[str, Array]:
    """Real numbers of the chip's outputs, by tensor."""
    if options.sim_dir is not None:
        return _simulated(options.sim_dir, graph)
    from knightlite.api.simulate import find_binary
    from knightlite.sim import Machine
    from knightlite.sim.host import dequantize, quantize

    binary = find_binary(options.directory, options.cfg, options.weight, talk)
    meta = binary.program.meta
    entries = {str(entry["name"]): entry for entry in meta["inputs"]}
    if set(entries) != set(feeds):
        raise UsageError(
            f"{binary.cfg.name} reads {', '.join(entries)}, the quantized model "
            f"{', '.join(feeds)}.",
            "compile this quantized model first",
        )
    missing = set(graph.chip_outputs) - {str(entry["name"]) for entry in meta["outputs"]}
    if missing:
        raise UsageError(
            f"{binary.cfg.name} does not deliver {', '.join(sorted(missing))}.",
            "compile the whole network first",
        )
    machine = Machine(binary.program, binary.target(None))
    machine.check()
    integers = {name: quantize(feeds[name], entry) for name, entry in entries.items()}
    outputs = machine.run(integers)
    return {
        str(entry["name"]): dequantize(outputs[entry["name"]], entry) for entry in meta["outputs"]
    }


def _simulated(folder: Path, graph: Graph) -> dict[str, Array]:
    """What ``sim`` left, times the scales of the quantized model."""
    from knightlite.sim.outputs import file_stem

    reshaped = {op.inputs[0]: op.output for op in graph.host if op.op == "Reshape"}
    found = {}
    for name in graph.chip_outputs:
        blob = reshaped[name] if reshaped.get(name) in graph.outputs else name
        path = folder / f"{file_stem(blob)}.npy"
        if not path.is_file():
            raise UsageError(
                f"{folder} holds no {path.name}.", "run sim on one frame, with -s of that folder"
            )
        tensor = graph.tensors[name]
        try:
            values = np.load(path, allow_pickle=False)
        except ValueError as error:
            raise DataError(f"{path} is damaged: {error}.") from error
        if values.shape != tensor.shape or tensor.scale is None:
            raise DataError(f"{path} must have shape {tensor.shape}, not {values.shape}.")
        scale = tensor.scale.reshape((1, -1, 1, 1)) if tensor.scale.ndim else tensor.scale
        found[name] = values.astype(np.float32) * scale
    return found


def _rows(
    graph: Graph, values: Mapping[str, Mapping[str, Array]], options: CompareOptions
) -> tuple[Comparison, ...]:
    ops = {node.output: node.op for node in graph.nodes}
    kinds = [kind for kind in (FLOAT, QUANTIZED, CHIP) if kind in values]
    pairs = [(a, b) for at, a in enumerate(kinds) for b in kinds[at + 1 :]]
    rows = []
    _known(options.names, [*graph.chip_outputs, *graph.outputs], "output")
    before = {source for name in options.names for source in graph.before_host(name)}
    for index, name in enumerate(graph.chip_outputs):
        if (before and name not in before) or options.op_type not in (None, ops.get(name)):
            continue
        for wanted, found in pairs:
            told = difference(values[wanted][name], values[found][name])
            rows.append(Comparison(index, name, ops.get(name, ""), wanted, found, told))
    if options.sort:
        rows.sort(key=lambda row: (row.difference.mre is not None, -(row.difference.mre or 0.0)))
    return tuple(rows[: options.number])


def _known(names: Sequence[str], known: Sequence[str], what: str) -> None:
    for name in names:
        if name not in known:
            raise UsageError(
                f"the network has no {what} called {name}.",
                f"one of {', '.join(dict.fromkeys(known))}",
            )
