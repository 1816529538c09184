"""``quant -du`` and ``-r compare``: every layer in float and quantized, over all of the data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from knightlite.api.comparison import dump
from knightlite.api.comparison.differences import FLOAT, QUANTIZED, Comparison, Tally
from knightlite.inference import Inputs, Runner, Values, float_network, quantized_network

if TYPE_CHECKING:
    from knightlite.ir import Graph
    from knightlite.quantize.data import Workload

Array = NDArray[Any]
BUDGET_BYTES = 128 << 20  # of values held at once

Each = Callable[[int, dump.LayerTensor, Array | None, Array], None]
"""Batch from 0, tensor, float values (None where the float network lacks it), quantized values as
real numbers; both [n, C, H, W]."""


def inspect_layers(
    graph: Graph, quantized: Graph, work: Workload, folder: Path | None
) -> tuple[tuple[Comparison, ...], float | None]:
    """Run both networks over the data: a row per tensor, and the quantized metric.

    ``folder``: a dump to fill with all of the values.
    """
    sums: dict[dump.LayerTensor, Tally] = {}
    places = dump.layer_folders(quantized)

    def each(batch: int, item: dump.LayerTensor, wanted: Array | None, found: Array) -> None:
        if wanted is not None:
            sums.setdefault(item, Tally()).add(wanted, found)
        if folder is None:
            return
        place = places[item.name]
        if wanted is not None:
            dump.write_values(folder, dump.FLOAT, place, batch, np.asarray(wanted, np.float32))
        integers = _integers_of(quantized, item.name, found)
        dump.write_values(folder, dump.QUANTIZED, place, batch, integers)

    metric = run_layers(graph, quantized, work, each)
    if folder is not None:
        dump.write_index(folder, graph, quantized, work.description)
    rows = tuple(
        Comparison(item.index, item.name, item.op, FLOAT, QUANTIZED, tally.result())
        for item, tally in sums.items()
    )
    return rows, metric


def run_layers(graph: Graph, quantized: Graph, work: Workload, each: Each) -> float | None:
    """Run both networks over the data and hand every tensor of every batch to ``each``.

    A forward call whose values would not fit the budget is cut into several batches, so memory
    depends neither on the number of pictures nor on their batches. Returns the quantized metric.
    """
    tensors = dump.layer_tensors(quantized)
    names = [item.name for item in tensors]
    inner = [name for name in names if name in graph.tensors and name not in graph.inputs]
    size = 8 * sum(quantized.tensors[name].elements for name in names)
    exact = Runner(float_network(graph, inner))
    fixed = Runner(quantized_network(quantized, names), at_once=max(1, BUDGET_BYTES // size))
    batch = 0

    def look(inputs: Inputs, found: Values) -> None:
        nonlocal batch
        wanted = {**dict(zip(graph.inputs, inputs, strict=True)), **exact.run(inputs)}
        for item in tensors:
            each(batch, item, wanted.get(item.name), found[item.name])
        batch += 1

    return work.run(lambda inputs: fixed.outputs(inputs, look))


def _integers_of(quantized: Graph, name: str, values: Array) -> Array:
    """The integers behind dequantized ``values`` [n, C, H, W] of tensor ``name``."""
    tensor = quantized.tensors[name]
    assert tensor.scale is not None, f"tensor {name} is not quantized"
    scale = tensor.scale.reshape(1, -1, 1, 1) if tensor.scale.ndim else tensor.scale
    found: Array = np.rint(values / scale).astype(tensor.dtype.numpy)
    return found
