"""The tables of a schedule: what keeps its regions from their bounds, what lies in memories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from knightlite.cli.terminal import print_line, print_table

if TYPE_CHECKING:
    from knightlite.api.compilation import Peak


def print_regions(table: Sequence[Sequence[str]]) -> None:
    """The titles, then a row for every region; nothing where there are none (level 0)."""
    if table:
        title = (
            "Regions: the cycles that each adds, those of them that its busiest loses, and what it "
            "takes at least alone, all lanes filled"
        )
        print_table(title, table[0], table[1:], shrink=0)


def print_peak(peak: Peak) -> None:
    """A memory at its fullest: what lies there, and the bound that lives set."""
    at = f" at {peak.where}" if peak.where else ""
    rows = [(item.name, item.kind, f"{item.size_bytes:,}") for item in peak.holders]
    if rows:
        print_table(f"{peak.memory} where it is fullest{at}", ("what", "as", "bytes"), rows)
    why = f": {peak.reason}" if peak.reason else ""
    print_line(
        f"{peak.memory}: {peak.taken:,} of {peak.capacity:,} bytes, "
        f"{peak.live:,} alive at most{why}"
    )
