"""What ``schedules.py`` says of a network: a row of figures, and how rows are printed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A network compiled for a chip at a level, beside its bounds and beside Vela."""

    model: str
    chip: str
    opt_group: int
    cycles: int
    lower_bound_cycles: int
    mac_utilization: float
    ddr_bytes: int
    onchip_peak_bytes: int
    onchip_bound_bytes: int
    compile_seconds: float
    vela_cycles: int | None
    vela_ddr_bytes: int | None
    vela_seconds: float | None

    @property
    def ratio(self) -> float:
        """Cycles as a multiple of the bound."""
        return self.cycles / self.lower_bound_cycles


def line(row: Row) -> str:
    """One row for the terminal."""
    told = (
        f"{row.model:13} {row.chip:12} {row.opt_group}  {row.cycles:>11,} cycles, "
        f"{row.ratio:5.3f} x bound {row.lower_bound_cycles:>11,}, {row.mac_utilization:6.1%}, "
        f"DDR {row.ddr_bytes / 1e6:6.1f} MB, FSPM {row.onchip_peak_bytes / 1024:6.0f} of "
        f"{row.onchip_bound_bytes / 1024:6.0f} KiB, {row.compile_seconds:6.2f} s"
    )
    if row.vela_cycles is None or row.vela_ddr_bytes is None:
        return told
    return (
        f"{told}; Vela {row.vela_cycles:>11,} cycles, {row.vela_ddr_bytes / 1e6:6.1f} MB, "
        f"{row.vela_seconds:5.2f} s"
    )


def totals(rows: Sequence[Row]) -> Iterator[str]:
    """CPU seconds of all compiles that Vela did too, by level."""
    for level in sorted({row.opt_group for row in rows}):
        both = [row for row in rows if row.opt_group == level and row.vela_seconds is not None]
        ours = sum(row.compile_seconds for row in both)
        theirs = sum(row.vela_seconds or 0 for row in both)
        if theirs:
            yield (
                f"Level {level}: {ours:.1f} CPU seconds for {len(both)} networks, Vela "
                f"{theirs:.1f}: {ours / theirs:.2f} times as many."
            )


def markdown(rows: Sequence[Row]) -> str:
    """A table for each chip."""
    parts = []
    for chip in dict.fromkeys(row.chip for row in rows):
        mine = [row for row in rows if row.chip == chip]
        peer = any(row.vela_cycles is not None for row in mine)
        parts.append("\n".join([f"{chip}:", "", *_lines(mine, peer)]))
    return "\n\n".join(parts) + "\n"


def _lines(rows: Sequence[Row], peer: bool) -> Iterator[str]:
    titles = [
        "model", "level", "cycles, thousand", "bound, thousand", "cycles / bound", "MAC %",
        "DDR MB", "FSPM KiB", "all kept, KiB", "compile, s",
    ]  # fmt: skip
    if peer:
        titles += ["Vela, thousand cycles", "Vela, DDR MB", "Vela, s"]
    yield f"| {' | '.join(titles)} |"
    yield "|---" * len(titles) + "|"
    for row in rows:
        cells = [
            row.model, f"{row.opt_group}", f"{row.cycles / 1e3:,.0f}",
            f"{row.lower_bound_cycles / 1e3:,.0f}", f"{row.ratio:.3f}",
            f"{100 * row.mac_utilization:.1f}", f"{row.ddr_bytes / 1e6:.1f}",
            f"{row.onchip_peak_bytes / 1024:.0f}", f"{row.onchip_bound_bytes / 1024:.0f}",
            f"{row.compile_seconds:.1f}",
        ]  # fmt: skip
        if row.vela_cycles is not None and row.vela_ddr_bytes is not None:
            cells += [
                f"{row.vela_cycles / 1e3:,.0f}", f"{row.vela_ddr_bytes / 1e6:.1f}",
                f"{row.vela_seconds:.1f}",
            ]  # fmt: skip
        yield f"| {' | '.join(cells)} |"
