"""``dump/``, which ``quant -du`` leaves: every layer's values in Knight's layout, batch by batch.

``float/NNNN:name/batch_K.npy`` holds float32 values [n, C, H, W], the same below ``quant``
integers; ``dump.json`` lists the tensors. NNNN counts from 1.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from knightlite import leftovers
from knightlite.api.comparison.layer_values import Values, real
from knightlite.array_files import map_array
from knightlite.errors import DataError, UsageError
from knightlite.file_names import file_names

if TYPE_CHECKING:
    from knightlite.ir import Graph

Array = NDArray[Any]
FOLDER, INDEX = "dump", "dump.json"
FLOAT, QUANTIZED = "float", "quant"  # Knight's folders


@dataclass(frozen=True, slots=True)
class LayerTensor:
    """A tensor to look at: its place in the network from 1 on, name, and what makes it."""

    index: int
    name: str
    op: str


def layer_tensors(quantized: Graph) -> tuple[LayerTensor, ...]:
    """The inputs and what every node makes, in order."""
    made = [(name, "Input") for name in quantized.inputs]
    made += [(node.output, node.op) for node in quantized.nodes]
    return tuple(LayerTensor(index, *item) for index, item in enumerate(made, start=1))


@contextlib.contextmanager
def dump_folder(save_dir: Path) -> Iterator[Path]:
    """A folder to fill; it becomes ``save_dir/dump`` where the ``with`` ends well, else vanishes.

    UsageError where there is a folder of that name that no dump is.
    """
    final = save_dir / FOLDER
    if final.exists() and not (final / INDEX).is_file():
        raise UsageError(f"{final} is no dump of ours.", "remove it, or name another folder")
    old = save_dir / f"{leftovers.prefix(FOLDER)}old"
    made = not save_dir.exists()
    try:
        save_dir.mkdir(parents=True, exist_ok=True)
        leftovers.sweep(save_dir)
        aside = Path(tempfile.mkdtemp(prefix=leftovers.prefix(FOLDER), dir=save_dir))
    except OSError as error:
        raise UsageError(f"{save_dir} cannot be written: {error.strerror}.") from error
    try:
        yield aside
        aside.chmod(0o755)
        if final.exists():  # renamed, then removed: half of a dump would be taken for none of ours
            final.rename(old)
        aside.rename(final)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        if old.exists() and not final.exists():
            old.rename(final)
        for folder in (aside, old):
            shutil.rmtree(folder, ignore_errors=True)
        if made:
            with contextlib.suppress(OSError):  # someone else put a file there
                save_dir.rmdir()
        raise


def layer_folders(quantized: Graph) -> dict[str, str]:
    """The folder NNNN:NAME of every tensor in a dump."""
    tensors = layer_tensors(quantized)
    stems = file_names(item.name for item in tensors)
    return {item.name: f"{item.index:04}:{stems[item.name]}" for item in tensors}


def write_values(folder: Path, kind: str, place: str, batch: int, values: Array) -> None:
    """One batch of one tensor; ``kind`` is FLOAT or QUANTIZED, ``place`` the tensor's folder."""
    path = folder / kind / place / f"batch_{batch}.npy"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, values)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror or error}.",
            "make room, name another folder with -s DIR, or dump fewer pictures with -i",
        ) from error


def write_index(folder: Path, graph: Graph, quantized: Graph, data: str) -> None:
    """``dump.json``: the model's name, what the data are, and every tensor."""
    tensors = _described(graph, quantized)
    index = {"version": 1, "model": quantized.name, "data": data, "tensors": tensors}
    (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def _described(graph: Graph, quantized: Graph) -> list[Mapping[str, Any]]:
    """What the index says of every tensor."""
    found: list[Mapping[str, Any]] = []
    for item in layer_tensors(quantized):
        tensor = quantized.tensors[item.name]
        assert tensor.scale is not None, f"tensor {item.name} is not quantized"
        found.append(
            {
                "index": item.index,
                "name": item.name,
                "op": item.op,
                "shape": list(tensor.shape),
                "type": tensor.dtype.name,
                "scale": [float(value) for value in tensor.scale.ravel()]
                if tensor.scale.ndim
                else float(tensor.scale),
                "float": item.name in graph.tensors,
            }
        )
    return found


def is_dumped(folder: Path) -> bool:
    """True where ``quant -du`` left the values of every layer there."""
    return all((folder / FOLDER / kind).is_dir() for kind in (FLOAT, QUANTIZED))


def dumped(folder: Path, graph: Graph, names: Sequence[str]) -> Iterator[tuple[Values, Values]]:
    """(float values, quantized values) of every picture that ``quant -du`` dumped, in order."""
    wanted = {*graph.inputs, *names}
    layers = {kind: _folders(folder / FOLDER / kind, graph, wanted) for kind in (FLOAT, QUANTIZED)}
    lacking = [name for name in graph.inputs if name not in layers[FLOAT]]
    if lacking:
        raise UsageError(
            f"{folder / FOLDER / FLOAT} holds no values of input {lacking[0]}.",
            "quantize again with -du, or name another folder with -qd",
        )
    first = layers[FLOAT][graph.inputs[0]]
    for number in range(len(list(first.glob("batch_*.npy")))):
        batches = {
            kind: {name: _batch(path, number, graph, name) for name, path in found.items()}
            for kind, found in layers.items()
        }
        for picture in range(len(batches[FLOAT][graph.inputs[0]])):
            exact, fixed = (
                {name: values[picture : picture + 1] for name, values in batches[kind].items()}
                for kind in (FLOAT, QUANTIZED)
            )
            yield exact, fixed


def _folders(folder: Path, quantized: Graph, wanted: Set[str]) -> dict[str, Path]:
    """Tensor -> its folder in a dump, by the name behind the number."""
    names = {place.partition(":")[2]: name for name, place in layer_folders(quantized).items()}
    found = {}
    for path in sorted(folder.iterdir()):
        name = names.get(path.name.partition(":")[2].replace(":", "_"), "")
        if name in wanted:
            found[name] = path
    return found


def _batch(path: Path, number: int, graph: Graph, name: str) -> Array:
    file = path / f"batch_{number}.npy"
    try:
        values = map_array(file)
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read: {error}.") from error
    shape = graph.tensors[name].shape
    if values.shape[1:] != shape[1:]:
        raise DataError(f"{file} must have shape [N, {shape[1:]}], not {values.shape}.")
    return real(graph, name, values)
