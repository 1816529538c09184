"""What a person sees: talk and progress on stderr, tables or JSON on stdout."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from knightlite.errors import KnightliteError
from knightlite.talk import Talk

WIDTH_WITHOUT_TERMINAL = 120


def console() -> Console:
    """Stdout: results."""
    width = None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL
    return Console(highlight=False, width=width)


def error_console() -> Console:
    """Stderr: talk, progress, errors."""
    return Console(stderr=True, highlight=False)


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON object on stdout."""
    print(json.dumps(value, indent=2, sort_keys=True, default=str))


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """A table; columns after the first that hold numbers are aligned to the right."""
    made = Table(title=title, title_justify="left", header_style="bold")
    for index, column in enumerate(columns):
        values = [row[index] for row in rows]
        numeric = index > 0 and all(_is_number(value) for value in values)
        made.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        made.add_row(*(str(value) for value in row))
    return made


def _is_number(value: object) -> bool:
    text = str(value).replace(",", "").replace("%", "").replace("-", "", 1).strip()
    return text == "" or text.replace(".", "", 1).isdigit()


@contextlib.contextmanager
def talking(quiet: bool = False) -> Iterator[Talk]:
    """A :class:`Talk` that prints to stderr, with a progress bar on a terminal."""
    screen = error_console()
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=screen,
        transient=True,
        disable=quiet or not screen.is_terminal,
    )
    tasks: dict[str, TaskID] = {}

    def say(sentence: str) -> None:
        if not quiet:
            screen.print(sentence, markup=False, soft_wrap=True)

    warned: set[str] = set()

    def warn(sentence: str) -> None:
        if sentence in warned:
            return  # the same workload runs twice and says the same
        warned.add(sentence)
        screen.print(f"Warning: {sentence}", markup=False, soft_wrap=True)

    def advance(stage: str, done: int, total: int | None) -> None:
        if stage not in tasks:
            tasks[stage] = progress.add_task(stage, total=total)
        progress.update(tasks[stage], completed=done, total=total)

    with progress:
        yield Talk(say, warn, advance)


def files_table(files: Mapping[str, object]) -> Table:
    """The files a stage made."""
    return table("Files", ("what", "where"), [(key, str(path)) for key, path in files.items()])


def report_error(error: KnightliteError) -> None:
    """The sentence, every finding, the hint."""
    console = error_console()
    console.print(f"Error: {error.sentence}", markup=False, highlight=False, soft_wrap=True)
    for finding in error.findings:
        console.print(f"  - {finding}", markup=False, highlight=False, soft_wrap=True)
    if error.hint:
        console.print(f"Hint: {error.hint}", markup=False, highlight=False, soft_wrap=True)
