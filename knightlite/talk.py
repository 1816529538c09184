"""How a stage talks while it works: sentences and progress, to whoever listens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Say = Callable[[str], None]
Advance = Callable[[str, int, int | None], None]
"""(what is being done, how much is done, of how much where that is known)."""


def ignore_sentence(sentence: str) -> None:
    """For callers that do not listen."""


def ignore_progress(stage: str, done: int, total: int | None) -> None:
    """For callers that show no progress."""


@dataclass(frozen=True, slots=True)
class Talk:
    """Where sentences, warnings and progress go."""

    say: Say = ignore_sentence
    warn: Say = ignore_sentence
    advance: Advance = ignore_progress


SILENT = Talk()
