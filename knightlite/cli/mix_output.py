"""What ``quant`` prints of 16 bits: who has them, what they cost, what more of them would bring."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from knightlite.api.chips import error_bar
from knightlite.api.quantization import PRICED
from knightlite.cli.levels import of_level
from knightlite.cli.terminal import print_line

NAMED = 4  # tensors or operators in a sentence; --json and the report have all
DELIVERED = "outputs"  # the rule of what has 16 bits in any case
ROWS = 20  # of the list of mixes; the report has all


def print_mix(report: Mapping[str, Any]) -> None:
    """The units of ``auto_quant``, the list of a budget, and the predicted cycles."""
    for row in report.get("mix", []):
        if row["bits"] == 16:
            gain = "all" if row["gain_db"] is None else f"{row['gain_db']} dB"
            share = f"{100 * row['macs_share']:.2f} % of the MACs"
            print_line(f"16 bits for {', '.join(row['operators'])}: gain {gain}, {share}")
    points = report.get("mix_points", [])
    if points:
        print_line(
            f"{'extra cycles':>12} {'%':>7} {'ms':>9} {'SQNR dB':>8}  tensors, convolutions wide"
        )
    for row in shown(points):
        decibels = "exact" if row["sqnr_db"] is None else f"{row['sqnr_db']:.2f}"
        mark = "  <- chosen" if row["chosen"] else "" if row["within"] else "  (beyond)"
        print_line(
            f"{row['extra_cycles']:12,} {row['extra_percent']:7.2f} {row['latency_ms']:9.4f} "
            f"{decibels:>8}  {len(row['tensors'])}, {len(row['operators'])}{mark}"
        )
    for line in rule_lines(report.get("wide", [])):
        print_line(line)
    cost = report.get("cycles")
    if cost is not None:
        by_rule = {name for entry in report.get("wide", []) for name in entry["tensors"]}
        print_line(cost_line(cost, by_rule))


def rule_lines(wide: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A line for each rule that gave tensors 16 bits at 8, and how to do without."""
    for entry in wide:
        names = entry["tensors"]
        several = "s" if len(names) > 1 else ""
        yield f"16 bits for {len(names)} tensor{several} {entry['why']}: {_listed(names)}"
    if any(entry["rule"] != DELIVERED for entry in wide):
        yield "that is by rule at -b 8: --wide-tensors off leaves only what is delivered"


def _for(wider: Mapping[str, Any], by_rule: Collection[str]) -> str:
    """What costs the cycles, by name but for what a rule made wide; "" where nothing is wider."""
    asked = [name for name in wider["tensors"] if name not in by_rule]
    parts = [
        f"{what} {_listed(names)}"
        for names, what in ((asked, "16 bits for"), (wider["operators"], "16-bit weights of"))
        if names
    ]
    if len(asked) < len(wider["tensors"]):
        parts.insert(0, "16 bits by rule")
    if wider["requantized"]:
        parts.append(f"nodes that requantize channels: {wider['requantized']}")
    return f" ({'; '.join(parts)})" if parts else ""


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"


def shown(points: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """At most :data:`ROWS` of the list, spread evenly; the chosen one and both ends are there."""
    chosen = [index for index, row in enumerate(points) if row["chosen"]]
    kept = {0, len(points) - 1, *chosen} if points else set()
    step = max(1, -(-len(points) // (ROWS - len(kept))))
    return [points[index] for index in sorted({*kept, *range(0, len(points), step)})]


def cost_line(cost: Mapping[str, Any], by_rule: Collection[str] = ()) -> str:
    """One sentence of the report's ``cycles``."""
    if cost["quantized"] is None:
        return (
            f"cycles on {cost['chip']} at schedule level {PRICED}: not predicted, {cost['reason']}"
        )
    milliseconds = cost["quantized"] * 1e3 / cost["clock_hz"]
    time = f"{milliseconds:.3f} ms {error_bar(cost['chip'])}".rstrip()
    parts = [f"{cost['quantized']:,} cycles, {time} on {cost['chip']}"]
    if cost["extra_percent"] is not None:
        parts.append(
            f"{cost['extra_percent']:+.2f} % against all at 8 bits{_for(cost['wider'], by_rule)}"
        )
    if cost["mix_extra_percent"] is not None:
        parts.append(f"{cost['mix_extra_percent']:+.2f} % against no mix")
    level = of_level(PRICED, "times and what widths cost")
    return f"{', '.join(parts)} ({level})"
