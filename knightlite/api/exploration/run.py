"""``explore``: every model on every chip, at every level and in every width, in processes."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from knightlite import atomic_write
from knightlite.api.exploration import records
from knightlite.api.exploration.networks import (
    Source,
    data_digest,
    in_width,
    quantized,
    read_source,
)
from knightlite.api.exploration.points import Task, keep, timed, told
from knightlite.api.exploration.records import (
    Accuracy,
    Exploration,
    Network,
    Point,
    Size,
    Time,
)
from knightlite.api.exploration.sentences import told_lost
from knightlite.api.exploration.sizes import assumed, sizes
from knightlite.api.exploration.trade import accuracy_of, with_best
from knightlite.api.processes import ordered
from knightlite.errors import Finding, KnightliteError
from knightlite.leftovers import scratch_folder
from knightlite.options import check
from knightlite.options.explore import ExploreOptions
from knightlite.talk import SILENT, Talk
from knightlite.version import __version__

if TYPE_CHECKING:
    from knightlite.chip import ChipFamily

ChipKey = tuple[str, str, tuple[tuple[str, int], ...]]
Key = tuple[str | None, ChipKey | None, int, int | None, str | None]
Called = tuple[str, str, tuple[tuple[str, int], ...], int, int | None]
STAGE = "points"
KEPT_EVERY_S = 2.0


@dataclass(slots=True)
class Work:
    """An exploration while it is made. ``known``: points by what they are computed from.

    ``waiting``: places of points that are yet to be computed.
    """

    options: ExploreOptions
    sources: list[Source]
    chips: list[tuple[Size, ChipFamily | None]]
    data: str | None
    points: list[Point] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    lost: str = ""  # what the file will no longer hold, said when it is first written

    def result(self, finished: bool) -> Exploration:
        """What is known now."""
        waiting = set() if finished else set(self.waiting)
        networks = tuple(source.network for source in self.sources)
        chips = tuple(size for size, _ in self.chips)
        known = [item for place, item in enumerate(self.points) if place not in waiting]
        return Exploration(
            schema=records.SCHEMA,
            version=__version__,
            finished=finished,
            models=networks,
            chips=chips,
            points=tuple(with_best(known, networks, chips)),
        )


def explore(options: ExploreOptions, talk: Talk = SILENT) -> Exploration:
    """Compute every point that the file does not hold; the file keeps what is known at any time.

    What one model or one chip lacks is a sentence in its points; where nothing runs anywhere, no
    file is written. UsageError for a file that is not of an exploration, for facts and chips that
    there are not; the errors of reading where no model can be read.
    """
    check(options)
    atomic_write.require_folder(options.result.parent)
    before = records.read(options.result)
    chips = sizes(_chip_names(options), options.facts)
    data = data_digest(options)
    sources = [read_source(path, options, talk) for path in options.models]
    _require_readable(sources)
    work = Work(options, sources, chips, data)
    _lay_out(work, before, talk)
    if work.waiting:
        _compute(work, talk)
    found = work.result(finished=True)
    if found.runs:
        try:
            _write(found, options)
        except BaseException:
            _keep(work, talk)
            raise
        _tell_lost(work, talk)
    return found


def _require_readable(sources: Sequence[Source]) -> None:
    """The error of the first model, with those of the others, where none can be read."""
    errors = [(item.network.file, item.error) for item in sources if item.error is not None]
    if len(errors) < len(sources):
        return
    first = errors[0][1]
    others = [Finding(file, error.sentence, error.hint) for file, error in errors[1:]]
    raise type(first)(first.sentence, first.hint, (*first.findings, *others)) from first


def _write(found: Exploration, options: ExploreOptions) -> None:
    """The result and its page: both or none."""
    with atomic_write.file_set() as files:
        files.write_bytes(options.result, records.text(found))
        if options.page is not None:
            from knightlite.api.exploration.page import page_of

            page = page_of(found, options.result, options.rate)
            files.write_text(options.page, page)


def _keep(work: Work, talk: Talk) -> None:
    """What is known, for the next call; the error that ends this one is not hidden by another."""
    found = work.result(finished=False)
    if found.runs:
        with contextlib.suppress(KnightliteError):
            atomic_write.write_bytes(work.options.result, records.text(found))
            _tell_lost(work, talk)


def _tell_lost(work: Work, talk: Talk) -> None:
    """Once, behind the first writing: where none comes, nothing is lost."""
    if work.lost:
        talk.warn(work.lost)
        work.lost = ""


def _chip_names(options: ExploreOptions) -> Sequence[str]:
    from knightlite import chip_files

    named = options.chips or (() if options.chip is None else (options.chip,))
    return named or [family.names[0] for family in chip_files.families()]


# ------------------------------------------------------------------ what is there


def _lay_out(work: Work, before: Exploration | None, talk: Talk) -> None:
    """Every point in order: known, refused at once, or waiting."""
    known = _known(before) if before is not None and before.version == __version__ else {}
    if before is not None and before.version != __version__:
        talk.say(
            f"{work.options.result} is of version {before.version}: all points are computed anew."
        )
    taken = 0
    keys: set[Key] = set()
    called: set[Called] = set()
    for place, source in enumerate(work.sources):
        widths: tuple[int | None, ...] = (None,) if source.quantized else work.options.widths
        for at, (size, family) in enumerate(work.chips):
            for level in work.options.levels:
                for bits in widths:
                    point = Point(
                        model=place,
                        chip=at,
                        level=records.LEVELS[level],
                        bits=None if bits is None else records.WIDTHS[bits],
                        best=False,
                    )
                    data = work.data if source.float_graph else None
                    key = (source.network.sha256, _chip_key(size), level, bits, data)
                    keys.add(key)
                    called.add(_called(source.network, size, point))
                    refused = source.reason or size.refused or _narrow(bits, family)
                    if refused:
                        point = replace(point, refused=refused)
                    elif key in known:
                        point, kept = known[key]
                        point, taken = replace(point, model=place, chip=at), taken + 1
                        if kept is not None:
                            _remember(work, place, kept)
                    else:
                        work.waiting.append(len(work.points))
                    work.points.append(point)
    if taken:
        talk.say(f"{taken} of {len(work.points)} points are taken from {work.options.result}.")
    if before is not None:
        work.lost = told_lost(_lost(before, keys, called, work), before, work.options.result)


def _narrow(bits: int | None, family: ChipFamily | None) -> str:
    if family is None or bits is None or bits in family.chip.bit_widths:
        return ""
    return f"the chip has no {bits} bits."


def _known(before: Exploration) -> dict[Key, tuple[Point, Accuracy | None]]:
    """Points by what they were computed from, and what their networks keep."""
    found: dict[Key, tuple[Point, Accuracy | None]] = {}
    for point in before.points:
        key = _key(point, before)
        if key[0] is not None and key[1] is not None:
            found[key] = replace(point, best=False), accuracy_of(point, before.models)
    return found


def _key(point: Point, of: Exploration) -> Key:
    kept = accuracy_of(point, of.models)
    network, size = of.models[point.model], of.chips[point.chip]
    data = None if kept is None else kept.data
    return network.sha256, _chip_key(size), int(point.level), point.bits, data


def _chip_key(size: Size) -> ChipKey | None:
    """Its figures, and what its bar hangs on: who it is, and what is assumed of it.

    Chips of other names may have the same figures, and only one of them was measured.
    """
    if size.digest is None:
        return None
    return size.digest, size.name, tuple(size.facts.items())


def _called(network: Network, size: Size, point: Point) -> Called:
    return network.file, size.name, tuple(size.facts.items()), int(point.level), point.bits


def _lost(
    before: Exploration, keys: set[Key], called: set[Called], work: Work
) -> tuple[Point, ...]:
    """Points with a time that are not asked for now, under these names or of these bytes.

    What is asked for again of a model or chip that has changed is replaced, not lost; what a
    network keeps is lost where no pictures are named now.
    """
    return tuple(
        point
        for point in before.points
        if point.time is not None
        and _key(point, before) not in keys
        and (
            _called(before.models[point.model], before.chips[point.chip], point) not in called
            or (accuracy_of(point, before.models) is not None and work.data is None)
        )
    )


# ------------------------------------------------------------------ what is not


def _compute(work: Work, talk: Talk) -> None:
    """Fill in the points that wait, in order; the file is kept up every few seconds."""
    workers = min(work.options.workers or os.cpu_count() or 1, len(work.waiting))
    total = len(work.points)
    with scratch_folder() as scratch:
        tasks = _tasks(work, Path(scratch), talk)
        if workers > 1:
            results: Iterator[Time | str] = ordered(_timed, tasks, workers)
        else:
            results = map(_timed, tasks)
        kept = time.monotonic()
        try:
            for found in results:
                place = work.waiting.pop(0)
                refused, at = (found, None) if isinstance(found, str) else (None, found)
                work.points[place] = replace(work.points[place], refused=refused, time=at)
                talk.advance(STAGE, total - len(work.waiting), total)
                if time.monotonic() - kept > KEPT_EVERY_S:
                    _keep(work, talk)
                    kept = time.monotonic()
        except BaseException:
            _keep(work, talk)
            raise


def _timed(task: Task | str) -> Time | str:
    return task if isinstance(task, str) else timed(task)


def _tasks(work: Work, scratch: Path, talk: Talk) -> Iterator[Task | str]:
    """What is to be done for each point that waits; a network is made ready when it is due."""
    ready: dict[tuple[int, int | None], Path | str] = {}
    for place in list(work.waiting):
        point = work.points[place]
        size, family = work.chips[point.chip]
        assert family is not None  # refused before
        of = (point.model, point.bits)
        if of not in ready:
            ready[of] = _made(work, point, scratch / f"{len(ready)}", talk)
        graph = ready[of]
        if isinstance(graph, str):
            yield graph
        else:
            yield Task(graph, family, size.name, assumed(size), int(point.level))


def _made(work: Work, point: Point, path: Path, talk: Talk) -> Path | str:
    """The file of a point's network in its width, or why there is none."""
    source = work.sources[point.model]
    graph = source.quantized
    if graph is None and source.float_graph is not None:
        assert point.bits is not None
        if work.data is not None:
            model = work.options.models[point.model]
            chip = next(
                size.name
                for size, family in work.chips
                if family and not _narrow(point.bits, family)
            )
            kept, graph = quantized(model, point.bits, chip, work.data, work.options, talk)
            _remember(work, point.model, kept)
            if graph is None:
                return kept.refused or ""
        else:
            try:
                graph = in_width(source.float_graph, point.bits)
            except KnightliteError as error:
                return told(error)
    assert graph is not None
    keep(graph, path)
    return path


def _remember(work: Work, model: int, kept: Accuracy) -> None:
    source = work.sources[model]
    others = {item.bits: item for item in source.network.accuracy} | {kept.bits: kept}
    accuracy = tuple(others[bits] for bits in sorted(others))
    work.sources[model] = replace(source, network=replace(source.network, accuracy=accuracy))
