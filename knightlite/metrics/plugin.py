"""Load a measure and ask it: what fails in the user's file is a sentence with file and line."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import DataError, UsageError, not_there, suggestion
from knightlite.metrics.detection import BoxF1, CocoMap, TextHmean
from knightlite.script_loading import script_errors, script_loaded

Array = NDArray[Any]
READY = {"coco_map": CocoMap, "f1": BoxF1, "hmean": TextHmean}
"""Measures that ship, by the word in front of ``FILE.py:FUNCTION``."""
FORM = "FILE.py:NAME, or one of f1, coco_map, hmean with the function that decodes, f1:FILE.py:NAME"
RESAMPLES = 1000  # sets of pictures drawn for an interval
OUTSIDE = 2.5  # percent of them on either side of it


@dataclass(frozen=True, slots=True)
class Picture:
    """What a measure is told of a picture.

    ``path``: its file; None where the data name none. ``frame``: its place in a file of frames, or
    in the data that name no files. ``size``: height and width that the network reads. ``label``:
    the place of its class, where its folder says it.
    """

    path: Path | None
    size: tuple[int, int]
    label: int | None = None
    frame: int | None = None


@dataclass(frozen=True, slots=True)
class MetricSource:
    """A measure as it was asked for: what a worker process needs to open it.

    ``ready``: a key of READY, "" for a measure of the user's own. ``digest``: of the words and of
    the files, so that what was counted with others is not taken for the same.
    """

    script: Path
    name: str
    ready: str
    annotations: Path | None
    digest: str


@dataclass(frozen=True, slots=True)
class Difference:
    """Two models' totals over the same pictures; ``low``, ``high``: 95 % interval of the drop.

    The interval is None where a picture's values are no numbers that can be drawn again.
    """

    first: float
    second: float
    low: float | None
    high: float | None

    @property
    def drop(self) -> float:
        """What the second is behind."""
        return self.first - self.second

    @property
    def stays(self) -> bool:
        """True where the second is not surely worse: it wins, or the interval holds 0."""
        return self.drop <= 0 or (self.low is not None and self.low <= 0)

    @property
    def gain(self) -> str:
        """What the second wins, as words, with the interval or why there is none."""
        told = f"{0 - self.drop:+.4f}"
        if self.low is None or self.high is None:
            return f"{told}, no interval: a picture alone gives no numbers of it"
        return f"{told}, 95 % interval {0 - self.high:+.4f} to {0 - self.low:+.4f}"


def metric_source(asked: str, annotations: Path | None) -> MetricSource:
    """What ``--metric`` and ``--annotations`` name. UsageError where there is no such thing."""
    ready, colon, rest = asked.partition(":")
    if not colon or ready not in READY:
        ready, rest = "", asked
    file, colon, name = rest.rpartition(":")
    if not colon or not name.isidentifier() or not file.endswith(".py"):
        raise UsageError(f"the metric {asked} is not written as {FORM}.",
                         suggestion(asked.partition(":")[0], READY))  # fmt: skip
    script = Path(file)
    if not script.is_file():
        raise not_there("the metric's file", script, f"--metric {FORM}", endings=(".py",))
    if ready and annotations is None:
        raise UsageError(
            f"{ready} compares boxes with annotations, but none are named.",
            "--annotations FILE, in COCO's format",
        )
    if annotations is not None and not annotations.is_file():
        raise not_there("annotation file", annotations)
    digest = hashlib.sha256(f"{ready}:{name}".encode())
    for path in (script, annotations):
        digest.update(b"" if path is None else path.read_bytes())
    return MetricSource(script, name, ready, annotations, digest.hexdigest())


@dataclass(frozen=True, slots=True)
class Metric:
    """A measure that is open. ``name`` as tables call it."""

    source: MetricSource
    name: str
    _picture: Callable[[Mapping[str, Array], Picture], Any] = field(repr=False)
    _total: Callable[[Sequence[Any]], Any] = field(repr=False)
    _where: str = field(repr=False)  # file and line of what the user wrote

    def value(self, outputs: Mapping[str, Array], picture: Picture) -> Any:
        """What it keeps of a picture, as JSON has it. ``outputs``: float arrays by name.

        DataError, with file and line, for whatever fails in it.
        """
        with self._at_its_line():
            found = self._picture(outputs, picture)
        try:
            return json.loads(json.dumps(found, allow_nan=False, default=_plain))
        except (TypeError, ValueError) as error:
            raise DataError(
                f"{self._where}: what {self.source.name} returned of a picture cannot be kept: "
                f"{error}.",
                "return finite numbers, texts, and lists or dictionaries of them",
            ) from None

    def total(self, values: Sequence[Any]) -> float:
        """The measure over all pictures, the higher the better; DataError as ``value``."""
        with self._at_its_line():
            found = self._total(list(values))
        number = isinstance(found, (int, float, np.number)) and math.isfinite(found)
        if not number:
            raise DataError(
                f"{self._where}: the total of {self.source.name} is {found!r}, which is no "
                "finite number.",
                "return one number, the higher the better",
            )
        return float(found)

    def difference(self, first: Sequence[Any], second: Sequence[Any]) -> Difference:
        """Two models on the same pictures, with the interval where there is one.

        Paired bootstrap (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993): both
        totals over sets of pictures drawn again, seeded; the middle 95 % of their differences.
        """
        drop = self.total(first), self.total(second)
        if len(first) < 2 or not _numbers([*first, *second]):
            return Difference(*drop, None, None)
        random = np.random.RandomState(0)  # whose stream is frozen
        drawn = []
        for _ in range(RESAMPLES):
            chosen = random.randint(0, len(first), len(first)).tolist()
            sets = [[values[place] for place in chosen] for values in (first, second)]
            try:
                drawn.append(self.total(sets[0]) - self.total(sets[1]))
            except DataError:  # of some pictures it cannot be told
                return Difference(*drop, None, None)
        low, high = np.percentile(drawn, [OUTSIDE, 100 - OUTSIDE])
        return Difference(*drop, float(low), float(high))

    @contextlib.contextmanager
    def _at_its_line(self) -> Iterator[None]:
        """What fails in the file says where; so does what we say of what it returned."""
        with script_errors(self.source.script):
            try:
                yield
            except DataError as error:
                if error.sentence.startswith("it returned"):
                    raise DataError(f"{self._where}: {self.source.name}: {error.sentence}",
                                    error.hint) from None  # fmt: skip
                raise


@contextlib.contextmanager
def open_metric(source: MetricSource) -> Iterator[Metric]:
    """The measure, valid inside the ``with``. UsageError, DataError with file and line."""
    with script_loaded(source.script) as loaded:
        given = getattr(loaded.module, source.name, None)
        if not callable(given):
            what = "is no function and no class" if given is not None else "does not exist"
            raise UsageError(
                f"{source.name} {what} in {source.script}.",
                suggestion(source.name, [n for n in vars(loaded.module) if not n.startswith("_")]),
            )
        where = f"{source.script.name}:{_line(given)}"
        if source.ready:
            assert source.annotations is not None
            made: Any = READY[source.ready](given, source.annotations)
        elif inspect.isclass(given):
            words = () if source.annotations is None else (source.annotations,)
            with script_errors(source.script):
                made = given(*words)
        else:
            yield Metric(source, source.name, given, _mean, where)
            return
        lacking = [item for item in ("picture", "total") if not callable(getattr(made, item, None))]
        if lacking:
            raise UsageError(
                f"{where}: {source.name} has no method {lacking[0]}.",
                "a metric's class has picture(outputs, picture) and total(values)",
            )
        name = str(getattr(made, "name", source.name))
        yield Metric(source, name, made.picture, made.total, where)


def _mean(values: Sequence[Any]) -> float:
    return float(np.mean(np.asarray(values, np.float64)))


def _line(given: Any) -> int:
    try:
        return inspect.getsourcelines(given)[1]
    except (OSError, TypeError):
        return 1


def _plain(value: Any) -> Any:
    """Numbers and arrays of numpy, which JSON does not know."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not JSON")


def _numbers(values: Sequence[Any]) -> bool:
    """True where each picture gave one number, or a list of equally many."""
    rows = [value if isinstance(value, list) else [value] for value in values]
    return len({len(row) for row in rows}) == 1 and all(
        isinstance(item, (int, float)) for row in rows for item in row
    )
