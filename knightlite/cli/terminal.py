"""What a person sees: talk and progress on stderr, tables or JSON on stdout.

On a terminal tables fit its width; into a file or pipe every value is written in full, one line a
row. rich is imported when something is drawn, so that ``--help`` is instant.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from knightlite.cli.streams import silence
from knightlite.errors import Finding, KnightliteError, summarized
from knightlite.talk import Advance, Say, Talk

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

LOG_LEVEL = "log-level"  # key of click's context: 2 warnings and errors, 3 errors only
# C0 but tab and line feed, DEL, C1, line and paragraph separators, marks of direction
CONTROLS = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u2028\\u2029\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069]"
)
SCHEMA_NUMBERS = {"sim": 2}  # of what --json prints, where it is no longer the first
LINE_S = 30  # between lines on progress where there is no terminal
LEAST_WIDTH = 18  # of a column of texts, in a narrow terminal
GAP = "  "  # between the columns of a table that is not drawn


def shown(text: str) -> str:
    """A text for a terminal: names in files may hold what moves the cursor or sets colours.

    Control characters and those that turn the direction of writing come out escaped, but for ends
    of lines and tabs.
    """
    return CONTROLS.sub(lambda found: found.group().encode("unicode_escape").decode("ascii"), text)


def say(sentence: str) -> None:
    """One line of talk on stderr, as it is but for control characters.

    Where stderr cannot be written the work and its exit code are the same without it.
    """
    try:
        print(shown(sentence), file=sys.stderr)
    except (OSError, ValueError):  # full, left by its reader, or closed
        silence("stderr")


def print_line(text: str) -> None:
    """One line of a result on stdout, as it is but for control characters."""
    print(shown(text))


def print_json(command: str, value: Mapping[str, Any] | Sequence[Any]) -> None:
    """One JSON object on stdout, which names its schema; several things are its ``rows``."""
    whole = value if isinstance(value, Mapping) else {"rows": value}
    value = {"schema": f"knightlite.{command}/{SCHEMA_NUMBERS.get(command, 1)}", **whole}
    print(json.dumps(value, indent=2, sort_keys=True, default=str))


def terminal_width() -> int | None:
    """Columns of the terminal that stdout is; None where it is a file or a pipe."""
    if not sys.stdout.isatty():
        return None
    from rich.console import Console

    return Console().width


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], shrink: int | None = None
) -> None:
    """A table on stdout; columns that hold numbers only are aligned to the right.

    Where the terminal is too narrow, column ``shrink`` gives up the middle of its texts, or else
    long cells continue on the next line. Numbers never do: what has no room follows as a table of
    its own, beside the first column again.
    """
    title = one_line(shown(title))
    cells = [[one_line(shown(str(value))) for value in row] for row in rows]
    right = [
        index > 0 and bool(cells) and all(_is_number(row[index]) for row in cells)
        for index in range(len(columns))
    ]
    width = terminal_width()
    if width is None:
        for line in plain_table(title, columns, cells, right):
            print(line)
    else:
        for part in _fitting(columns, cells, right, width, shrink):
            _draw(
                title,
                [columns[index] for index in part],
                [[row[index] for index in part] for row in cells],
                [right[index] for index in part],
                width,
                shrink if shrink in part else None,
            )


def plain_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]
) -> Iterator[str]:
    """The lines of a table for files and pipes: no frame, no trailing blanks, nothing cut off."""
    from rich.cells import cell_len

    lines = [list(columns), *(list(row) for row in rows)]
    widths = [max(cell_len(line[index]) for line in lines) for index in range(len(columns))]
    yield title
    for line in lines:
        padded = []
        for text, width, to_right in zip(line, widths, right, strict=True):
            blanks = " " * (width - cell_len(text))
            padded.append(blanks + text if to_right else text + blanks)
        yield GAP.join(padded).rstrip()
    yield ""


def _fitting(
    columns: Sequence[str],
    cells: Sequence[Sequence[str]],
    right: Sequence[bool],
    width: int,
    shrink: int | None,
) -> Iterator[list[int]]:
    """The columns of each table that is drawn: all of them where numbers and short words fit."""
    from rich.cells import cell_len

    least = []
    for index, column in enumerate(columns):
        wide = max(cell_len(text) for text in (column, *(row[index] for row in cells)))
        least.append(wide if right[index] else min(wide, max(cell_len(column), LEAST_WIDTH)))
    part = [0]
    for index in range(1, len(columns)):
        if len(part) > 1 and sum(least[i] + 1 for i in part) + least[index] > width:
            yield part
            part = [0]
        part.append(index)
    yield part


def _draw(
    title: str,
    columns: Sequence[str],
    cells: Sequence[Sequence[str]],
    right: Sequence[bool],
    width: int,
    shrink: int | None,
) -> None:
    from rich import box
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = [list(row) for row in cells]
    wide = [
        max(cell_len(item) for item in (column, *(row[index] for row in rows)))
        for index, column in enumerate(columns)
    ]
    gap = 2 if sum(wide) + table_gaps(len(columns)) <= width else 1
    if shrink is not None:
        others = sum(wide) - wide[shrink] + gap * (len(columns) - 1)
        room = max(cell_len(columns[shrink]), width - others)
        for row in rows:
            row[shrink] = _shortened(row[shrink], room)
    made = Table(
        title=Text(title, style="bold"),
        title_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, gap - 1, 0, 0),  # beside the separator
    )
    for column, to_right in zip(columns, right, strict=True):
        made.add_column(
            column, justify="right" if to_right else "left", overflow="fold", no_wrap=to_right
        )
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    screen = Console(highlight=False)
    screen.print(made)
    screen.print()


def table_gaps(columns: int) -> int:
    """Blanks between the columns of a drawn table that has room."""
    return 2 * (columns - 1)


def _shortened(text: str, room: int) -> str:
    """A text that is too long without its middle: both ends of layers' names tell them apart."""
    if len(text) <= room:
        return text
    start = (room - 1) // 2
    return f"{text[:start]}…{text[len(text) - (room - 1 - start) :]}"


def _is_number(text: str) -> bool:
    digits = text.rstrip(" %kMG").replace(",", "").removeprefix("-")
    return text == "" or digits.replace(".", "", 1).isdigit()


def print_files(files: Mapping[str, object]) -> None:
    """The files a stage made."""
    print_table("Files", ("what", "where"), [(key, str(path)) for key, path in files.items()])


@contextlib.contextmanager
def talking() -> Iterator[Talk]:
    """A :class:`Talk` on stderr; on a terminal with progress bars, which vanish when done.

    Elsewhere (a log) a stage that takes long says every :data:`LINE_S` seconds how far it is.
    """
    context = click.get_current_context(silent=True)
    level = 0 if context is None else context.meta.get(LOG_LEVEL, 0)
    if level > 1:
        yield Talk(warn=_warner(say)) if level == 2 else Talk()
        return
    if not sys.stderr.isatty():
        yield Talk(say, _warner(say), _lines(say))
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    screen = Console(stderr=True, highlight=False)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=screen,
        transient=True,
    )
    tasks: dict[str, TaskID] = {}

    def say_above(sentence: str) -> None:
        _print_whole(screen, sentence)

    def advance(stage: str, done: int, total: int | None) -> None:
        if stage not in tasks:
            tasks[stage] = progress.add_task(shown(stage), total=total)
        progress.update(tasks[stage], completed=done, total=total)

    with progress:
        yield Talk(say_above, _warner(say_above), advance)


def _lines(speak: Say, clock: Callable[[], float] = time.monotonic) -> Advance:
    """Progress as lines of a log: none of a stage that is done within :data:`LINE_S` seconds."""
    told: dict[str, tuple[float, float]] = {}  # stage -> when it began, when it last spoke

    def advance(stage: str, done: int, total: int | None) -> None:
        now = clock()
        began, last = told.setdefault(stage, (now, now))
        if now - last >= LINE_S:
            told[stage] = began, now
            whole = "" if total is None else f" of {total}"
            speak(f"{stage}: {done}{whole} after {now - began:.0f} s")

    return advance


def _print_whole(screen: Console, sentence: str) -> None:
    """Above the progress bars, neither wrapped nor read as markup."""
    screen.print(shown(sentence), markup=False, soft_wrap=True)


def _warner(speak: Say) -> Say:
    """Says each warning once: the same workload runs twice and warns of the same."""
    warned: set[str] = set()

    def warn(sentence: str) -> None:
        if sentence not in warned:
            warned.add(sentence)
            speak(f"Warning: {sentence}")

    return warn


def report_error(error: KnightliteError, *, whole: bool = False) -> None:
    """The sentence, the findings, the hint. ``whole``: every finding, not one of a kind."""
    say(f"Error: {one_line(error.sentence)}")
    findings = error.findings if whole else summarized(error.findings)
    for finding in () if _told(error, findings) else findings:
        say(f"  - {one_line(str(finding))}")
    if error.hint:
        say(f"Hint: {one_line(error.hint)}")


def _told(error: KnightliteError, findings: Sequence[Finding]) -> bool:
    """Whether the sentence and its hint say all that there is in a single finding."""
    if len(findings) != 1:
        return False
    (only,) = findings
    said = only.sentence.rstrip(".") in error.sentence and only.where in error.sentence
    return said and only.hint in ("", error.hint)


def one_line(text: str) -> str:
    """A sentence without line breaks, which names and system messages may hold."""
    return " ".join(text.splitlines())
