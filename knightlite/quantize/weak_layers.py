"""Layers that quantization alone spoils: what each keeps where its inputs are exact, predicted.

From the histograms of the first pass, without running anything: the rounding of a layer's result,
its weights in integers, and for a table also the rounding of what it looks up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import Finding
from knightlite.ir import Node
from knightlite.numerics import quantize_input
from knightlite.ops import BY_NAME, View
from knightlite.ops.jumps import between_codes, jumps
from knightlite.ops.table_functions import steps_of, values
from knightlite.quantize.ranges.densities import density
from knightlite.quantize.report_entries import Entry
from knightlite.quantize.scales.assignment import Assignment
from knightlite.quantize.scales.basis import Basis
from knightlite.quantize.statistics.observers import Statistics

Float64 = NDArray[np.float64]

WEAK_DB = 15.0  # what a layer keeps less of is told
STEPPED_DB = 40.0  # the same of a function with steps, which no width of codes mends
PLACES = 2  # at which a bin's values are taken to lie
SHOWN = 5  # names in a finding


@dataclass(frozen=True, slots=True)
class WeakLayer:
    """A layer, the SQNR that it keeps of exact inputs, in dB, and why it is no more."""

    name: str
    sqnr_db: float
    cause: str
    hint: str


def weak_layers(basis: Basis, assignment: Assignment, tensors: Iterable[Entry]) -> list[WeakLayer]:
    """The layers below ``WEAK_DB``, the worst first.

    ``tensors``: the report's entries, which say what each tensor keeps of rounding. All are
    predictions: values are taken as uniform inside a bin, weights' errors as independent of them.
    """
    kept = {entry["name"]: entry["sqnr_db"] for entry in tensors}
    found = [
        layer
        for node in assignment.graph.nodes
        if (layer := _layer(basis, assignment, node, kept)) is not None
    ]
    return sorted(found, key=lambda item: item.sqnr_db)


def findings(layers: Iterable[WeakLayer]) -> Iterator[Finding]:
    """One warning for every cause: its worst layer, and the names of the others."""
    by_cause: dict[str, list[WeakLayer]] = {}
    for layer in layers:
        by_cause.setdefault(layer.hint, []).append(layer)
    for worst, *others in by_cause.values():
        names = ", ".join(f"{item.name} {item.sqnr_db:.1f}" for item in others[:SHOWN])
        more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
        also = f" So also {names}{more}." if others else ""
        yield Finding(
            worst.name,
            f"even of exact inputs it keeps about {worst.sqnr_db:.1f} dB, because {worst.cause}."
            f"{also}",
            worst.hint,
            "warning",
        )


def _layer(
    basis: Basis, assignment: Assignment, node: Node, kept: Mapping[str, float | None]
) -> WeakLayer | None:
    view = View(assignment.graph, node)
    statistics = basis.statistics[node.inputs[0]]
    if node.op == "Table" and statistics.histogram.rows == 1:
        return _table(view, statistics)
    made, result = assignment.weights.get(node.name), kept.get(node.output)
    weights = None if made is None else made.sqnr_db
    lost = sum(10 ** (-part / 10) for part in (weights, result) if part is not None)
    if lost == 0 or (sqnr_db := -10 * float(np.log10(lost))) >= WEAK_DB:
        return None
    if weights is not None and (result is None or weights < result):
        cause = f"its weights in {view.tensor(1).dtype} keep {weights:.1f} dB"
        return WeakLayer(node.name, sqnr_db, cause, "give its weights 16 bits with -mbc or -bw 16")
    kind = view.output.dtype
    if BY_NAME[node.op].fixed_output is not None:
        cause = f"its {kind} result always has steps of {float(view.output_scale.max()):.4g}"
        hint = "let the network end in front of it with -on, and compute it in your program"
        return WeakLayer(node.name, sqnr_db, cause, hint)
    cause = f"its {kind} result has steps that are coarse for most of its values"
    return WeakLayer(node.name, sqnr_db, cause, "give its result 16 bits with -mbc or -bw 16")


def _table(view: View, statistics: Statistics) -> WeakLayer | None:
    """A table alone: exact values x, looked up by their codes, against the function of x."""
    x, counts = _samples(statistics)
    scale = float(view.scale(0))
    codes = quantize_input(x.astype(np.float32), scale, view.tensor(0).dtype)
    with np.errstate(all="ignore"):
        wanted = values(view, x.astype(np.float32)).astype(np.float64)
        looked_up = BY_NAME[view.node.op].reference(view, (codes,)) * view.output_scale
        known = np.isfinite(wanted)
        energy = float(np.dot(counts[known], np.square(wanted[known])))
        error = float(np.dot(counts[known], np.square((wanted - looked_up)[known])))
    if energy == 0 or error == 0:
        return None
    sqnr_db = 10 * float(np.log10(energy / error))
    name, kind = " of ".join(step.op for step in steps_of(view.node)[::-1]), view.tensor(0).dtype
    lowest, highest = int(codes.min()) - 1, int(codes.max()) + 1
    places = jumps(view.node, scale, lowest, highest) if sqnr_db < STEPPED_DB else ()
    missed = [place for place in places if not between_codes(place, scale)]
    if missed:
        place = missed[0]
        return WeakLayer(
            view.node.name,
            sqnr_db,
            f"its function {name} has steps, as near {place:.4g}, and codes of {scale:.4g} place "
            "them to half a code only",
            "more bits hardly help: tables of functions with steps read 8; let the network end in "
            "front of it with -on, or train it without the step",
        )
    if sqnr_db >= WEAK_DB:
        return None
    return WeakLayer(
        view.node.name,
        sqnr_db,
        f"its function {name} differs much between neighbouring {kind} codes of {scale:.4g}",
        "give what it reads 16 bits with -mbc or -bw 16, or let the network end in front of it "
        "with -on",
    )


def _samples(statistics: Statistics) -> tuple[Float64, Float64]:
    """Values that stand for a tensor's, and how often each counts."""
    seen = density(statistics)
    places = (np.arange(PLACES) + 0.5) / PLACES
    parts, counts = [np.zeros(1)], [np.asarray([seen.zeros])]
    for sign, bins in ((1, seen.positive), (-1, seen.negative)):
        (filled,) = np.nonzero(bins)
        x = sign * ((filled[:, None] + places) * seen.width).ravel()
        parts.append(np.rint(x) if statistics.integral else x)
        counts.append(np.repeat(bins[filled] / PLACES, PLACES))
    return np.concatenate(parts), np.concatenate(counts)
