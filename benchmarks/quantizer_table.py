"""Rows of ``quantizers.py`` as lines of text and as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

WAY = ("tool", "method", "effort", "off")
HEADER = (
    f"{'model':18} {'tool':11} {'method':21} {'drop [95 % interval]':>23} {'lost':>4} "
    f"{'won':>4} {'SQNR':>7} {'s':>7} {'CPU s':>7} {'MiB':>8} {'float':>5} {'requ.':>5}"
)


def print_row(row: dict[str, Any]) -> None:
    """A line of the table."""
    if "failed" in row:
        print(f"{_head(row)} failed: {row['failed']}"[:100], flush=True)
    elif "map" in row:
        drop = f"mAP {row['map']:.3f} of {row['float_map']:.3f}, drop {row['map_drop']:+.3f}"
        print(f"{_head(row)} {drop} {_tail(row)}", flush=True)
    elif "finds" in row:
        kept = f"{row['finds_lost']} of {row['finds']} lost, {row['finds_new']} new"
        print(f"{_head(row)} {kept:>33} {row['scores_sqnr_db']:7.2f} {_tail(row)}", flush=True)
    elif "lost" in row:
        print_classifier(row)
    else:
        print(f"{_head(row)} {row['pictures']:4} pictures {_tail(row)}", flush=True)


def print_classifier(row: dict[str, Any]) -> None:
    drop = (
        f"{row['top1_drop_points']:+6.2f} [{row['interval_low']:+.2f}, {row['interval_high']:+.2f}]"
    )
    print(f"{_head(row)} {drop:>23} {row['lost']:4} {row['won']:4} "
          f"{row['logits_sqnr_db']:7.2f} {_tail(row)}", flush=True)  # fmt: skip


def _head(row: dict[str, Any]) -> str:
    effort = f" {row['effort']}" if "effort" in row else ""
    effort += f" -{row['off']}" if "off" in row else ""
    return f"{row['model']:18} {row['tool']:11} {row['method'] + effort:21}"


def _tail(row: dict[str, Any]) -> str:
    return (f"{row['seconds']:7.1f} {row['cpu_seconds']:7.1f} {row['peak_mib']:8.0f} "
            f"{row['float_ops']:5} {row['concat_requantizes']:5}")  # fmt: skip


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as Markdown tables, for the documentation."""
    kinds: tuple[tuple[str, str, Callable[[dict[str, Any]], str]], ...] = (
        ("lost", "drop, points | 95 % interval | lost | won | logits SQNR, dB", lambda row: (
            f"{row['top1_drop_points']:+.2f} | {row['interval_low']:+.2f} to "
            f"{row['interval_high']:+.2f} | {row['lost']} | {row['won']} | "
            f"{row['logits_sqnr_db']:.1f}")),
        ("finds", "finds lost | new | SQNR, dB", lambda row: (
            f"{row['finds_lost']} of {row['finds']} | {row['finds_new']} | "
            f"{row['scores_sqnr_db']:.1f}")),
        ("map", "mAP | drop", lambda row: f"{row['map']:.3f} | {row['map_drop']:+.3f}"),
        ("pictures", "calibration pictures", lambda row: f"{row['pictures']}"),
    )  # fmt: skip
    text = []
    left = list(rows)
    for key, titles, cells in kinds:
        mine = [row for row in left if key in row]
        names = {row["model"] for row in mine}
        left = [row for row in left if row["model"] not in names]
        if not mine:
            continue
        taken = "s | CPU s | MiB | ops in float | requantized inputs"
        head = f"| model | quantizer | {titles} | {taken} |"
        text += [head, "|" + "---|" * (head.count("|") - 1)]
        for row in rows:
            if row["model"] not in names:
                continue
            way = " ".join(str(row[name]) for name in WAY if name in row)
            if "failed" in row:
                blanks = " |" * (titles.count("|") + 5)
                text.append(f"| {row['model']} | {way} | fails |{blanks}")
                continue
            text.append(
                f"| {row['model']} | {way} | {cells(row)} | {row['seconds']:.1f} | "
                f"{row['cpu_seconds']:.1f} | {row['peak_mib']:.0f} | {row['float_ops']} | "
                f"{row['concat_requantizes']} |"
            )
        text.append("")
    return "\n".join(text)


def print_ratios(rows: Sequence[dict[str, Any]], smallest: int, largest: int) -> None:
    """Growth of memory between two numbers of pictures, and seconds at 64 beside each peer's."""
    at = {(row["tool"], row["pictures"]): row for row in rows if "failed" not in row}
    for tool in dict.fromkeys(row["tool"] for row in rows):
        if (tool, smallest) in at and (tool, largest) in at:
            growth = at[tool, largest]["peak_mib"] / at[tool, smallest]["peak_mib"] - 1
            print(f"{tool}: peak memory grows by {100 * growth:+.1f} % "
                  f"from {smallest} to {largest} pictures")  # fmt: skip
        if tool != "knightlite" and {(tool, 64), ("knightlite", 64)} <= set(at):
            ratio = at["knightlite", 64]["seconds"] / at[tool, 64]["seconds"]
            print(f"knightlite takes {ratio:.2f} of {tool}'s seconds at 64 pictures")
