"""What would make a program faster: what-ifs, and programs that are compiled to see."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from knightlite.api.advising.commands import Job, Outcome, run_all
from knightlite.api.advising.points import Trial, trials
from knightlite.api.advising.source import Source, source_of
from knightlite.api.chips.evidence import evidence_for
from knightlite.api.models.binary import Binary, open_binary
from knightlite.errors import KnightliteError
from knightlite.leftovers import scratch_folder
from knightlite.options.profile import ProfileOptions
from knightlite.talk import Talk

if TYPE_CHECKING:
    from knightlite.chip import ChipFamily
    from knightlite.profiler import Profile
    from knightlite.report import Point, Tried

SECONDS = 60.0  # that compiling again may take, where a page is asked for
CHANGED = "not compiled again: its model has changed"
UNNAMED = "not compiled again: name its model with --onnx"
NOT_TRIED = "other levels and chips: not tried; --html FILE tries them"
EXPLAINED = 1  # the highest level whose schedule is explained: higher ones search for it

Explained = list[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class Found:
    """``explained``: (node, pass, sentence) of the compiler; None where nobody knows."""

    tried: Tried
    explained: Explained | None


def try_out(found: Profile, binary: Binary, options: ProfileOptions, talk: Talk) -> Found:
    """The advice on a profile; UsageError where the model that is named is not the one."""
    from knightlite.report import Tried, assumed_advice, chosen, compiled_advice

    seconds = options.advice_seconds
    if seconds is None:
        seconds = SECONDS if options.html is not None else 0.0
    assumed = assumed_advice(found, _profiled(binary, options))
    if not seconds:
        if options.onnx is not None:
            talk.say("--onnx changes nothing without --html or --advice-seconds.")
        remark = "Nothing was compiled again: that takes --html FILE or --advice-seconds SECONDS"
        return Found(Tried(chosen(assumed, ()), assumed, (), (remark,), NOT_TRIED), None)
    source = source_of(binary, options.onnx, options.directory)
    if source.path is None:
        remark = f"Nothing was compiled again: {source.why}"
        short = CHANGED if source.changed else UNNAMED
        best = chosen(assumed, ())
        return Found(Tried(best, assumed, (), (remark,), short), None)
    points, remarks, explained = _compiled(found, binary, source, options, seconds, talk)
    tried = Tried(chosen(assumed, compiled_advice(found, points)), assumed, points, remarks)
    short = f"{tried.known} of {len(points)} other programs compiled and clocked"
    return Found(replace(tried, short=short), explained)


def _profiled(binary: Binary, options: ProfileOptions) -> str:
    """The words that profile the program again."""
    if options.model is not None:
        return shlex.join(("knightlite", "profile", "-m", str(options.model)))
    files = ("--config", str(binary.cfg), "--weight", str(binary.weight))
    return shlex.join(("knightlite", "profile", *files))


def _compiled(
    found: Profile, binary: Binary, source: Source, options: ProfileOptions, seconds: float,
    talk: Talk,
) -> tuple[list[Point], list[str], Explained | None]:  # fmt: skip
    """Every point, what is not one and why, and the words of the compiler."""
    from knightlite import chip_files
    from knightlite.report import Point

    own = _board(binary.target(None))
    chips = [family for family in chip_files.families() if _board(family) == own]
    tries, remarks = trials(binary, source, options.directory, chips, bool(found.assumed))
    facts = {item.fact: item.value for item in found.assumed}
    with scratch_folder() as folder:
        jobs = []
        explains = _explains(binary, source)
        for number, commands in enumerate([explains, *(trial.run for trial in tries)]):
            place = Path(folder) / str(number)
            place.mkdir()
            jobs.append(Job(place, commands))
        outcomes = run_all(
            jobs,
            seconds,  # the words of the compiler are a job too, but nothing that is tried
            lambda count: talk.advance("advice", max(0, count - 1), len(tries)),
        )
        points = []
        for trial, job, outcome in zip(tries, jobs[1:], outcomes[1:], strict=True):
            time_ms, why = _time(trial, job.folder, outcome, facts)
            points.append(Point(trial.kind, trial.sentence, trial.short, trial.shown, time_ms, why))
    return points, remarks, _sentences(outcomes[0])


def _board(family: ChipFamily | None) -> str:
    """What a chip's times rest on: those of two boards cannot be held against each other."""
    found = evidence_for(family)
    return "" if found is None else found.evidence.board


def _explains(binary: Binary, source: Source) -> tuple[tuple[str, ...], ...]:
    level = min(EXPLAINED, binary.program.meta.schedule_level)
    chip = binary.program.meta.chip
    place = Path(chip).resolve()
    return (
        (
            "--chip", str(place) if place.is_file() else chip, "explain", "--onnx",
            str(source.path), "--opt-group", str(level), "--json",
        ),
    )  # fmt: skip


def _sentences(outcome: Outcome) -> Explained | None:
    if outcome.output is None:
        return None
    rows = json.loads(outcome.output)["rows"]
    return [(str(row["node"]), str(row["pass"]), str(row["sentence"])) for row in rows]


def _time(
    trial: Trial, folder: Path, outcome: Outcome, facts: Mapping[str, Any]
) -> tuple[float | None, str]:
    """Milliseconds of a frame, or None and why not."""
    from knightlite.profiler import frame_ms

    if outcome.output is None:
        return None, outcome.why
    try:
        return frame_ms(open_binary(folder / trial.cfg).program, facts), ""
    except KnightliteError as error:
        return None, error.sentence
