"""Which lines of knightlite have run: what a guided loop is led by."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import knightlite

OURS = str(Path(knightlite.__file__).parent)
PATIENCE, SELDOM = 50, 10  # calls without a new line after which only every tenth is watched


class Reached:
    """Counts lines that have run while :meth:`watched`, and costs little for what is known.

    ``count`` grows with every line that none had reached before.
    """

    def __init__(self) -> None:
        self.count = 0
        self._functions: dict[CodeType, _Function] = {}  # all that were called

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Note the lines that run in the ``with``."""
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            yield
        finally:
            sys.settrace(before)

    def ran(self, file: str, first: int, last: int) -> bool:
        """Whether a line of ``file`` from ``first`` to ``last`` has run."""
        return any(
            line is not None and first <= line <= last and line not in function.missing
            for code, function in self._functions.items()
            if code.co_filename == file
            for _, _, line in code.co_lines()
        )

    def _enter(self, frame: FrameType, event: str, argument: Any) -> Any:
        code = frame.f_code
        function = self._functions.get(code)
        if function is None:
            ours = code.co_filename.startswith(OURS)
            lines = {line for _, _, line in code.co_lines() if line} if ours else set()
            function = self._functions[code] = _Function(self, lines)
        if not function.missing:
            return None
        function.calls += 1
        if function.calls > PATIENCE and function.calls % SELDOM:
            return None
        return function.line


@dataclass(slots=True)
class _Function:
    """The lines of a function that have not run, and its calls since one of them did."""

    reached: Reached
    missing: set[int]
    calls: int = 0

    def line(self, frame: FrameType, event: str, argument: Any) -> Any:
        """What Python calls at every line."""
        if event == "line" and frame.f_lineno in self.missing:
            self.missing.discard(frame.f_lineno)
            self.reached.count += 1
            self.calls = 0
        return self.line
