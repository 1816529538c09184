"""``-du`` and ``-r compare``: every layer's values in Knight's layout, and how far they are off."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from knightlite.api.comparison.compare import Comparison
from knightlite.api.comparison.differences import Tally
from knightlite.api.comparison.layer_values import layer_folders
from knightlite.errors import UsageError

if TYPE_CHECKING:
    from knightlite.ir import Graph
    from knightlite.quantize.data import Workload
    from knightlite.quantize.statistics import LayerTensor

Array = NDArray[Any]
FOLDER, INDEX = "dump", "dump.json"
FLOAT, QUANTIZED = "float", "quantized"


@contextlib.contextmanager
def dump_folder(save_dir: Path) -> Iterator[Path]:
    """A folder to fill; it becomes ``save_dir/dump`` where the ``with`` ends well, else vanishes.

    UsageError where there is a folder of that name that no dump is.
    """
    final = save_dir / FOLDER
    if final.exists() and not (final / INDEX).is_file():
        raise UsageError(f"{final} is no dump of ours.", "remove it, or name another folder")
    made = not save_dir.exists()
    try:
        save_dir.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{FOLDER}-", dir=save_dir))
    except OSError as error:
        raise UsageError(f"{save_dir} cannot be written: {error.strerror}.") from error
    try:
        yield aside
        if final.exists():
            shutil.rmtree(final)
        aside.chmod(0o755)
        aside.rename(final)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        if made:
            with contextlib.suppress(OSError):  # someone else put a file there
                save_dir.rmdir()
        raise


def inspect_layers(
    graph: Graph, quantized: Graph, work: Workload, folder: Path | None
) -> tuple[tuple[Comparison, ...], float | None]:
    """Run both networks over the data: a row per tensor, and the quantized metric.

    ``folder``: also write ``float/NNNN:name/batch_K.npy`` (float32), the same below ``quant``
    (integers) and ``dump.json`` there.
    """
    from knightlite.quantize.statistics import describe_layers, integers_of
    from knightlite.quantize.statistics import run_layers as run

    sums: dict[LayerTensor, Tally] = {}
    places = layer_folders(quantized)

    def each(batch: int, item: LayerTensor, wanted: Array | None, found: Array) -> None:
        if wanted is not None:
            sums.setdefault(item, Tally()).add(wanted, found)
        if folder is None:
            return
        place = places[item.name]
        if wanted is not None:
            _save(folder / "float" / place / f"batch_{batch}.npy", np.asarray(wanted, np.float32))
        integers = integers_of(quantized, item.name, found)
        _save(folder / "quant" / place / f"batch_{batch}.npy", integers)

    metric = run(graph, quantized, work, each)
    if folder is not None:
        index = {"version": 1, "model": quantized.name, "data": work.description,
                 "tensors": describe_layers(graph, quantized)}  # fmt: skip
        (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    rows = tuple(
        Comparison(item.index, item.name, item.op, FLOAT, QUANTIZED, tally.result())
        for item, tally in sums.items()
    )
    return rows, metric


def _save(path: Path, values: Array) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, values)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror or error}.",
            "make room, name another folder with -s DIR, or dump fewer pictures with -i",
        ) from error
