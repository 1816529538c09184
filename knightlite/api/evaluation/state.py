"""What an evaluation leaves on disk: sums so far, and what they are sums of.

A run that was stopped goes on from its file; the files of all shards merge into one result.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from knightlite import atomic_write, json_records, limits
from knightlite.errors import FormatError, UsageError, unreadable
from knightlite.evaluation import Tally
from knightlite.evaluation.tally import tally_from_json
from knightlite.options.evaluate import WHOLE
from knightlite.reading import json_value, read_text

FORMAT = 4


@dataclass(frozen=True, slots=True)
class Question:
    """What is evaluated, alike on every machine: merging asks that it is equal.

    ``models``: name, kind and hash of each. ``data``: hash of the pictures' relative names and
    classes, ``pictures`` of them. ``recipe``: hash of its text.
    """

    models: tuple[tuple[str, str, str], ...]
    data: str
    pictures: int
    recipe: str
    scores: str  # "logits" or "outputs"
    check: bool = False  # bytes of the chip's layers are compared
    metric: str = ""  # its digest; "" without one

    def difference(self, other: Question) -> str:
        """What differs from another question, for a sentence; "" where nothing does."""
        parts = [
            text
            for text, mine, theirs in (
                ("the models", self.models, other.models),
                ("the pictures", (self.data, self.pictures), (other.data, other.pictures)),
                ("the recipe", self.recipe, other.recipe),
                ("the scores that are compared", self.scores, other.scores),
                ("whether bytes are compared", self.check, other.check),
                ("the metric", self.metric, other.metric),
            )
            if mine != theirs
        ]
        return " and ".join(parts)


@dataclass(frozen=True, slots=True)
class State:
    """Sums over the first ``tally.pictures`` of this shard's ``total`` pictures.

    ``stamp``: hash of the picture files' sizes and times here, so that a changed file is noticed.
    ``shard``: (i, n), 1 to n.
    """

    question: Question
    shard: tuple[int, int]
    stamp: str
    total: int
    tally: Tally = field(repr=False)

    @property
    def finished(self) -> bool:
        """True where every picture of the shard is counted."""
        return self.tally.pictures == self.total


def save(state: State, path: Path) -> None:
    """Write the state, as a whole or not at all."""
    question = state.question
    atomic_write.write_text(
        path,
        json.dumps(
            {
                "knightlite_evaluation": FORMAT,
                "models": [list(item) for item in question.models],
                "data": question.data,
                "pictures": question.pictures,
                "recipe": question.recipe,
                "scores": question.scores,
                "check": question.check,
                "metric": question.metric,
                "shard": list(state.shard),
                "stamp": state.stamp,
                "total": state.total,
                "tally": state.tally.to_json(),
            },
            indent=1,
        )
        + "\n",
    )


def aside(state: State, path: Path) -> Path:
    """Where a state is kept when ``path`` is wanted for another: one file beside it a question."""
    asked = [repr(state.question), state.shard, state.stamp, state.total]
    return path.with_name(f"{path.stem}.{digest(asked)[:8]}{path.suffix}")


def read(path: Path) -> State:
    """A state file. UsageError where there is none, FormatError where it is damaged."""
    try:
        found: Any = json_value(read_text(path))
    except OSError as error:
        raise unreadable("state file", path, error, "eval --state FILE keeps it") from None
    except ValueError as error:
        raise FormatError(f"{path} is not a state file of eval: {error}.", _REMEDY) from error
    if not isinstance(found, Mapping) or found.get("knightlite_evaluation") != FORMAT:
        raise FormatError(f"{path} is not a state file of this eval (format {FORMAT}).", _REMEDY)
    try:
        models = tuple((str(a), str(b), str(c)) for a, b, c in found["models"])
        index, count = (_whole(item, limits.EVALUATION_SHARDS) for item in found["shard"])
        if not 1 <= index <= count:
            raise ValueError(f"shard {index}/{count}")
        question = Question(
            models,
            str(found["data"]),
            _whole(found["pictures"]),
            str(found["recipe"]),
            str(found["scores"]),
            bool(found["check"]),
            str(found["metric"]),
        )
        tally = tally_from_json(found["tally"], len(models), str(path))
        return State(question, (index, count), str(found["stamp"]), _whole(found["total"]), tally)
    except (KeyError, TypeError, ValueError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else error
        raise FormatError(f"{path} is damaged: {reason}.", _REMEDY) from error


def _whole(value: Any, most: int = (1 << 63) - 1) -> int:
    """A count as it is; ValueError where it is none or larger than ``most``."""
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(f"{json_records.shown(value)} where a count up to {most} belongs")
    return value


_REMEDY = "remove it, or name another file"


def merged(paths: Sequence[Path]) -> State:
    """The sum of finished shards 1/n to n/n, each once. UsageError, FormatError."""
    states = [read(path) for path in paths]
    first, count = states[0], states[0].shard[1]
    seen: dict[int, Path] = {}
    for path, state in zip(paths, states, strict=True):
        index = state.shard[0]
        what = first.question.difference(state.question)
        if what or state.shard[1] != count:
            what = what or "the number of shards"
            raise UsageError(f"{path} and {paths[0]} differ in {what}: they are not shards of one "
                             "evaluation.")  # fmt: skip
        if not state.finished:
            raise UsageError(
                f"{path} is not finished: {state.tally.pictures} of {state.total} pictures.",
                "run eval with the same options and --state again",
            )
        if index in seen:
            raise UsageError(f"{path} and {seen[index]} are both shard {index}/{count}.")
        seen[index] = path
    missing = [f"{index}/{count}" for index in range(1, count + 1) if index not in seen]
    if missing:
        raise UsageError(f"of {count} shards, {', '.join(missing)} is missing.")
    total = states[0].tally
    for state in states[1:]:
        total = total + state.tally
    return State(first.question, WHOLE, "", total.pictures, total)


def digest(items: Sequence[object]) -> str:
    """SHA-256 of a sequence of plain values."""
    return hashlib.sha256(json.dumps(list(items)).encode()).hexdigest()
