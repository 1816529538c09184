"""Which operators of an 8-bit network are worth 16 bits, found by measuring.

The sensitivity of a unit (:mod:`knightlite.quantize.mixed.sensitivity`) is the noise at the outputs
when it alone is rounded to 8 bits. Dong et al., "HAWQ", 2019, rank layers by the Hessian of the
loss times the perturbation; that needs labels and gradients. The measured error of the outputs
stands in for both factors at once. Noises of units are taken to add up, as independent errors do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import UsageError
from knightlite.ir import Graph
from knightlite.ops import BY_NAME, View
from knightlite.quantize.choices import STRATEGIES
from knightlite.quantize.data.workload import Workload
from knightlite.quantize.mixed.cycles import draft
from knightlite.quantize.mixed.sensitivity import PICTURES, Meter, Unit, some_pictures, units
from knightlite.quantize.report_entries import Entry
from knightlite.quantize.scales.assignment import assign
from knightlite.quantize.scales.basis import Basis
from knightlite.quantize.scales.widths import whole_groups
from knightlite.quantize.settings import Widths

Array = NDArray[Any]


def automatic_mix(
    basis: Basis, workload: Workload, sample: tuple[Array, ...], threads: int | None
) -> tuple[Widths, list[Entry]]:
    """The widths for ``settings.auto_mix`` = (strategy, share), and a row per unit, best first.

    ``sample``: pictures of the ``workload``, one array [n, C, H, W] per network input. A unit is
    taken while the kernels at 16 bits stay within ``share`` of all, but for those that an operator
    keeps at 8 bits. UsageError for an unknown strategy or a share outside 0..1.
    """
    graph, asked = basis.graph, basis.settings.auto_mix
    assert asked is not None
    strategy, share = asked
    if strategy not in STRATEGIES:
        raise UsageError(f"the strategy must be one of {', '.join(STRATEGIES)}, not {strategy}.")
    if not 0 <= share <= 1:
        raise UsageError(f"the share of operators at 16 bits must be from 0 to 1, not {share:g}.")
    narrow = assign(basis)
    found = units(graph, narrow)
    pictures = some_pictures(graph, workload, sample, threads)
    meter = Meter(graph, narrow, found, pictures, threads)
    noise = [meter.noise([index], rest=False) for index in range(len(found))]
    order = _order(strategy, noise)
    possible = _possible(basis, found)
    total = sum(len(unit.kernels) for unit in found)
    taken: list[int] = []
    used = 0
    for index in order:
        if index in possible and used + len(found[index].kernels) <= share * total:
            used += len(found[index].kernels)
            taken.append(index)
    wide = {name for index in taken for name in found[index].tensors}
    rows = [
        _row(found[index], noise, index, index in taken)
        | {"macs_share": _macs(graph, found[index])}
        for index in order
    ]
    return whole_groups(graph, Widths(frozenset(wide))), rows


def ranking_macs(graph: Graph) -> int:
    """Multiply-accumulates of a ranking: each unit is switched once, over a few pictures."""
    work = sum(BY_NAME[node.op].macs(View(graph, node)) for node in graph.nodes)
    kernels = sum(BY_NAME[node.op].kernel is not None for node in graph.nodes)
    return work * kernels * PICTURES


def _possible(basis: Basis, found: Sequence[Unit]) -> frozenset[int]:
    """The units that have 16 bits where all are to have them."""
    names = frozenset(name for unit in found for name in unit.tensors)
    every = whole_groups(basis.graph, Widths(names))
    made = draft(basis.switched(mix=every, auto_mix=None)).features
    return frozenset(
        index
        for index, unit in enumerate(found)
        if all(made[name].dtype.bits == 16 for name in unit.tensors)
    )


def _order(strategy: str, noise: Sequence[float]) -> list[int]:
    """Unit numbers, those to widen first at the front."""
    count = len(noise)
    if strategy == "initial":
        return list(range(count))
    if strategy == "IOhigh":
        return sorted(range(count), key=lambda index: (min(index, count - 1 - index), index))
    return sorted(range(count), key=lambda index: (-noise[index], index))


def _macs(graph: Graph, unit: Unit) -> float:
    """Share of the network's multiply-accumulates, which take twice the time at 16 bits."""
    macs = {node.name: BY_NAME[node.op].macs(View(graph, node)) for node in graph.nodes}
    return round(sum(macs[name] for name in unit.kernels) / max(1, sum(macs.values())), 6)


def _row(unit: Unit, noise: Sequence[float], index: int, taken: bool) -> Entry:
    """``gain_db``: of the outputs' SQNR where this unit alone becomes wide, noises adding up."""
    whole = float(sum(noise))
    rest = whole - noise[index]
    return {
        "tensors": list(unit.tensors),
        "operators": list(unit.kernels),
        "noise_share": round(noise[index] / whole, 6) if whole else 0.0,
        "gain_db": round(float(10 * np.log10(whole / rest)), 2) if rest > 0 else None,
        "bits": 16 if taken else 8,
    }
