"""Golden figures: a text table of rows with a key, and what changed in it as a table of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Figures = Mapping[str, str]  # column -> value, without spaces
Rows = Mapping[tuple[str, ...], Figures]  # by the values of the key's columns
ABSENT = "-"


@dataclass(frozen=True)
class Layout:
    """Columns that name a row, then those of its figures."""

    key: tuple[str, ...]
    figures: tuple[str, ...]

    def text(self, rows: Rows) -> str:
        """The file: a header and one line per row."""
        lines = [(*self.key, *self.figures)]
        for key, figures in rows.items():
            lines.append((*key, *(figures[name] for name in self.figures)))
        return aligned(lines)

    def rows(self, text: str) -> Rows:
        """What :meth:`text` wrote, also with other figures than today's."""
        header, *lines = [line.split() for line in text.splitlines()]
        names, count = header[len(self.key) :], len(self.key)
        return {tuple(line[:count]): dict(zip(names, line[count:], strict=True)) for line in lines}

    def changes(self, before: Rows, after: Rows) -> str:
        """One line per figure that changed, numbers with their change in percent; "" if none.

        A row that only one side has is one line.
        """
        lines = [(*self.key, "figure", "before", "after", "change")]
        for key in dict.fromkeys((*before, *after)):
            if key not in before or key not in after:
                here = (ABSENT, "new") if key in after else ("old", ABSENT)
                lines.append((*key, "row", *here, ABSENT))
                continue
            old, new = before[key], after[key]
            for name in dict.fromkeys((*new, *old)):
                pair = old.get(name, ABSENT), new.get(name, ABSENT)
                if pair[0] != pair[1]:
                    lines.append((*key, name, *pair, change(*pair)))
        return aligned(lines) if len(lines) > 1 else ""


def change(before: str, after: str) -> str:
    """How much larger a number is, in percent of what it was."""
    if not all(re.fullmatch(r"\d+(\.\d+)?", value) for value in (before, after)):
        return ABSENT
    old, new = float(before), float(after)
    return f"{100 * (new - old) / old:+.2f}%" if old else ABSENT


def aligned(lines: Iterable[Sequence[str]]) -> str:
    """Columns as wide as their widest value; the first is aligned left, the others right."""
    table = [tuple(line) for line in lines]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "".join(
        "  ".join(
            value.rjust(width) if index else value.ljust(width)
            for index, (value, width) in enumerate(zip(line, widths, strict=True))
        )
        + "\n"
        for line in table
    )
