"""The quantization report of all tensors and weights: the same bytes for the same input."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from knightlite.quantize.groups import felt_interval
from knightlite.quantize.ranges.densities import clip, row_densities
from knightlite.quantize.ranges.scale_errors import clipped_share, squared_error
from knightlite.quantize.report_entries import Entry, decibels, short
from knightlite.quantize.scales.assignment import Assignment
from knightlite.quantize.scales.basis import Basis
from knightlite.quantize.scales.features import Feature
from knightlite.quantize.scales.weights import QuantizedWeights
from knightlite.quantize.statistics.observers import Statistics

REPORT_VERSION = 1


def feature_entry(
    feature: Feature, statistics: Statistics, felt: tuple[float, float] = (-np.inf, np.inf)
) -> Entry:
    """Range, type, scale, group, clipped share and SQNR of one tensor quantized alone.

    Values beyond ``felt`` count as lying at its edge: its readers do not tell them apart.
    """
    rows = [clip(row, *felt) for row in row_densities(statistics)]
    scales = np.broadcast_to(feature.scale.astype(np.float64), (len(rows),))
    energy = sum(row.energy for row in rows)
    error = sum(
        squared_error(row, float(scale), feature.dtype)
        for row, scale in zip(rows, scales, strict=True)
    )
    clipped = sum(
        clipped_share(row, float(scale), feature.dtype)
        for row, scale in zip(rows, scales, strict=True)
    ) / len(rows)
    return {
        "name": feature.name,
        "type": feature.dtype.name,
        "scale": short(feature.scale),
        "group": feature.group,
        "method": feature.rule.text,
        "minimum": short(np.asarray(statistics.minimum.min(), np.float32)),
        "maximum": short(np.asarray(statistics.maximum.max(), np.float32)),
        "clipped_share": round(clipped, 8),
        "sqnr_db": decibels(energy, error),
    }


def weight_entry(node: str, made: QuantizedWeights) -> Entry:
    """Scales and SQNR of one convolution's weights."""
    return {
        "node": node,
        "shape": list(made.weights.shape),
        "scale_minimum": short(made.scale.min()),
        "scale_maximum": short(made.scale.max()),
        "sqnr_db": None if made.sqnr_db is None else round(made.sqnr_db, 2),
    }


def describe(basis: Basis, assignment: Assignment) -> Entry:
    """The part of the report that follows from the choice: tensors, weights, raises, counts."""
    tensors = [
        feature_entry(feature, basis.statistics[name], felt_interval(basis.graph, name))
        for name, feature in assignment.features.items()
    ]
    weights = [weight_entry(name, made) for name, made in assignment.weights.items()]
    raises = [
        {key: round(value, 2) if key.endswith("_db") and value else value
         for key, value in asdict(item).items()}
        for made in assignment.weights.values()
        for item in made.raises
    ]  # fmt: skip
    types = [entry["type"] for entry in tensors]
    counts: Entry = {
        "nodes": len(basis.graph.nodes),
        "tensors": len(tensors),
        "groups": len({entry["group"] for entry in tensors}),
        "per_channel_tensors": sum(isinstance(entry["scale"], list) for entry in tensors),
        "raised_channels": len(raises),
        **{kind: types.count(kind) for kind in ("u8", "s8", "s16")},
    }
    return {"tensors": tensors, "weights": weights, "raises": raises, "counts": counts}
