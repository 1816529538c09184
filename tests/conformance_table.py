"""The conformance suite's one table: a row per network and chip, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pytest


@dataclass(frozen=True)
class Row:
    """A network on a chip. ``counted``: tensors with at least 16 values, of ``tensors``."""

    network: str
    chip: str
    pictures: int
    tensors: int
    counted: int
    bytes: int
    differing: int
    max_lsb: int  # golden against QDQ, layer by layer
    sqnr_db: float  # golden against float at the output
    latency_ms: float  # predicted
    quantize_s: float
    compile_s: float
    simulate_s: float  # per picture


ROWS = pytest.StashKey[list[Row]]()
_HEADER = (
    f"{'network':24} {'chip':12} {'tensors':>9} {'bytes':>11} {'differing':>9} {'LSB':>3} "
    f"{'SQNR dB':>7} {'ms':>8} {'quant s':>7} {'compile s':>9} {'sim s/pic':>9}"
)


def lines(rows: Sequence[Row]) -> list[str]:
    """The table as text; ``tensors`` are those that count of all."""
    return [
        _HEADER,
        *(
            f"{row.network:24} {row.chip:12} {f'{row.counted}/{row.tensors}':>9} "
            f"{row.bytes:11,} {row.differing:9} {row.max_lsb:3} {row.sqnr_db:7.2f} "
            f"{row.latency_ms:8.3f} {row.quantize_s:7.2f} {row.compile_s:9.2f} "
            f"{row.simulate_s:9.3f}"
            for row in rows
        ),
    ]


def as_json(rows: Sequence[Row]) -> str:
    """The table as a JSON list."""
    return json.dumps([asdict(row) for row in rows], indent=1) + "\n"
