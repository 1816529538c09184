"""Norms whose rows differ in size, from a few pictures: where a table of roots cannot follow."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.inference import Inputs, Runner, checked, float_network
from knightlite.ir import Graph
from knightlite.quantize.data.workload import Enough, Workload
from knightlite.quantize.data_free.workloads import is_made_up
from knightlite.quantize.rewrites.norm_rows import brought_together, norms, spread
from knightlite.quantize.settings import Settings

Array = NDArray[Any]
PICTURES = 8  # that are looked at


def bring_rows_together(
    graph: Graph, workload: Workload, settings: Settings, threads: int | None = None
) -> Graph:
    """The float graph in which norms of rows that differ too much divide them by their magnitude.

    Nothing is changed on made-up pictures, whose rows mean nothing, or where inner scales are
    given: they are those of the network as it is.
    """
    found = norms(graph)
    given = any(pin.name not in graph.inputs for pin in settings.pins)
    if not found or given or is_made_up(workload):
        return graph
    watched = [norm.variance for norm in found]
    runner = Runner(float_network(graph, watched), threads)
    seen: list[dict[str, Array]] = []

    def forward(inputs: Inputs) -> Sequence[Array]:
        arrays = checked(graph, inputs)
        made = []
        for place in range(len(arrays[0])):
            values = runner.run(tuple(item[place : place + 1] for item in arrays))
            seen.append({name: values[name].reshape(-1).copy() for name in watched})
            made.append([values[name] for name in graph.outputs])
            if len(seen) == PICTURES:
                raise Enough
        return [np.concatenate(column) for column in zip(*made, strict=True)]

    with contextlib.suppress(Enough):
        workload.run(forward)
    for norm in found if seen else ():
        variances = np.concatenate([values[norm.variance] for values in seen])
        if np.all(np.isfinite(variances)) and spread(variances):
            graph = brought_together(graph, norm, variances)
    return graph
