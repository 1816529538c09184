"""The conformance suite's one table: a row per network and chip, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pytest


@dataclass(frozen=True)
class Row:
    """A network on a chip. ``counted``: tensors with at least 16 values, of ``tensors``.

    Seconds are wall clock; what is done once for all chips counts on a network's first one.
    """

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
    make_s: float  # weights; 0 where an earlier run made them
    load_s: float  # model file to float graph
    quantize_s: float
    compile_s: float
    simulate_s: float  # per picture
    compare_s: float  # machine, golden, QDQ by layers and float, all pictures
    runtime_s: float  # the runtime in C on a picture: all kernels, then with sanitizers

    @property
    def total_s(self) -> float:
        """All stages; the comparison simulates every picture."""
        before = self.make_s + self.load_s + self.quantize_s + self.compile_s
        return before + self.compare_s + self.runtime_s


ROWS = pytest.StashKey[list[Row]]()
_HEADER = (
    f"{'network':26} {'chip':12} {'tensors':>9} {'bytes':>11} {'differing':>9} {'LSB':>3} "
    f"{'SQNR dB':>7} {'ms':>8} {'make s':>6} {'load s':>6} {'quant s':>7} {'compile s':>9} "
    f"{'sim s/pic':>9} {'compare s':>9} {'in C s':>6}"
)


def lines(rows: Sequence[Row]) -> list[str]:
    """The table as text; ``tensors`` are those that count of all."""
    networks = len({row.network for row in rows})
    return [
        _HEADER,
        *(
            f"{row.network:26} {row.chip:12} {f'{row.counted}/{row.tensors}':>9} "
            f"{row.bytes:11,} {row.differing:9} {row.max_lsb:3} {row.sqnr_db:7.2f} "
            f"{row.latency_ms:8.3f} {row.make_s:6.1f} {row.load_s:6.2f} {row.quantize_s:7.2f} "
            f"{row.compile_s:9.2f} {row.simulate_s:9.3f} {row.compare_s:9.2f} {row.runtime_s:6.1f}"
            for row in rows
        ),
        f"{networks} networks, {len(rows)} rows, {sum(row.bytes for row in rows):,} bytes "
        f"compared, {sum(row.differing for row in rows)} differing, "
        f"{sum(row.total_s for row in rows) / 60:.1f} minutes",
    ]


def as_json(rows: Sequence[Row]) -> str:
    """The table as a JSON list."""
    return json.dumps([asdict(row) for row in rows], indent=1) + "\n"
