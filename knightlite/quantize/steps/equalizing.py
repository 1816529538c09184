"""Cross-layer equalization as a step: ranges of channels from a few pictures, and its judgement."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import UnsupportedError
from knightlite.inference import Inputs, PictureRuns, Runner, Values, float_network
from knightlite.ir import Graph
from knightlite.quantize.data.workload import Enough, Workload
from knightlite.quantize.data_free.standardize import changed
from knightlite.quantize.data_free.workloads import DataFree, RandomData, changes_for
from knightlite.quantize.rewrites.equalization import (
    ChannelRange,
    Equalized,
    choose_divisors,
    divide,
)
from knightlite.quantize.rewrites.spreading import spread_channels
from knightlite.quantize.scales.assignment import assign
from knightlite.quantize.scales.basis import Basis
from knightlite.quantize.settings import Settings
from knightlite.quantize.statistics.observation_plan import (
    collect,
    make_observers,
    observation_plan,
)
from knightlite.quantize.steps.improvement import macs, output_errors, too_dear
from knightlite.quantize.steps.judgement import JUDGES, Burden, StepResult, judge
from knightlite.quantize.steps.walk import Errors, Walk, joined

Array = NDArray[Any]

MOST_PICTURES = 32  # that the step looks at
LEAST_PICTURES = 12  # a network so large that its effort allows fewer is left as it is
FOLDS = 4  # each is judged by networks that were calibrated with the others
RUNS = 4  # per picture, of those that the effort affords; it takes seven, three of them float
NAME = "cross-layer equalization"


def try_equalization(
    graph: Graph, workload: Workload, settings: Settings, threads: int | None = None
) -> tuple[Graph, tuple[Equalized, ...], tuple[StepResult, ...]]:
    """The float graph to quantize, the sets that were equalized in it, and the step where one ran.

    Nothing runs at 16 bits (a step is fine enough), on random data (its ranges mean nothing), where
    inner scales are given (they are those of the network as it is), or where the effort is too
    small for the network. Without pictures the ranges are those of made-up ones in the network as
    its BatchNorms know it (``data_free.standardize``), and so is the judgement.
    """
    if not _asked(graph, settings) or isinstance(workload, RandomData):
        return graph, (), ()
    started = time.perf_counter()
    count = _affordable(graph, settings)
    if count < LEAST_PICTURES:
        return graph, (), ()
    pictures = first_pictures(graph, workload, count)
    if len(pictures) < JUDGES:
        return graph, (), ()
    seen_as = graph
    if isinstance(workload, DataFree):
        seen_as = changed(graph, changes_for(graph, workload, threads))
    ranges = channel_ranges(seen_as, pictures, threads)
    if not all(np.all(np.isfinite(item.peak)) for item in ranges.values()):
        return graph, (), ()  # the first pass names the tensor
    ties, divisors, done = choose_divisors(seen_as, ranges)
    if not done:
        return graph, (), ()
    try:
        after = _errors(divide(seen_as, ties, divisors), pictures, settings, threads)
    except UnsupportedError:  # a channel was stretched beyond what the arithmetic holds
        return graph, (), (StepResult(NAME, None, False, time.perf_counter() - started),)
    judgement = judge(_errors(seen_as, pictures, settings, threads), after)
    kept = judgement.kept(Burden.DOUBTFUL)
    step = StepResult(NAME, judgement, kept, time.perf_counter() - started)
    return (divide(graph, ties, divisors), done, (step,)) if kept else (graph, (), (step,))


def equalization_left_out(
    graph: Graph, settings: Settings, workload: Workload, pictures: int
) -> str:
    """Why equalization was not tried with so many pictures: a sentence, "" where it was."""
    if not _asked(graph, settings) or isinstance(workload, RandomData):
        return ""
    if _affordable(graph, settings) < LEAST_PICTURES:
        return too_dear(NAME, graph, settings, LEAST_PICTURES, RUNS)
    if pictures < JUDGES:
        return f"{NAME}: not tried, which takes {JUDGES} pictures or more"
    return ""


def _asked(graph: Graph, settings: Settings) -> bool:
    given = any(pin.name not in graph.inputs for pin in settings.pins)
    return settings.equalize and settings.bit_width == 8 and not given


def _affordable(graph: Graph, settings: Settings) -> int:
    return min(MOST_PICTURES, settings.sample_macs // max(1, RUNS * macs(graph)))


def first_pictures(graph: Graph, workload: Workload, count: int) -> list[tuple[Array, ...]]:
    """The first pictures of a workload, each [1, C, H, W] per network input."""
    found: list[tuple[Array, ...]] = []
    runner = Runner(float_network(graph), 1)

    def keep(inputs: Inputs, _: Values) -> None:
        if len(found) < count:  # copied: the caller may fill its arrays anew
            found.append(tuple(item.copy() for item in inputs))

    def forward(inputs: Inputs) -> list[Array]:
        outputs = runner.outputs(inputs, keep)
        if len(found) >= count:
            raise Enough
        return outputs

    with contextlib.suppress(Enough):
        workload.run(forward)
    return found


def channel_ranges(
    graph: Graph, pictures: Sequence[tuple[Array, ...]], threads: int | None = None
) -> dict[str, ChannelRange]:
    """Of every feature tensor, one picture in memory at a time; joined ones follow from parts."""
    plan = observation_plan(graph)
    inner = [name for name in plan.observed if name not in graph.inputs]
    runner = Runner(float_network(graph, inner), threads)
    peaks: dict[str, Any] = dict.fromkeys(plan.observed, 0.0)
    squares: dict[str, Any] = dict.fromkeys(plan.observed, 0.0)
    for picture in pictures:
        found = runner.run(picture)
        found.update(zip(graph.inputs, picture, strict=True))
        for name in plan.observed:
            values = found[name].reshape(found[name].shape[1], -1).astype(np.float64)
            peaks[name] = peaks[name] + np.abs(values).max(axis=1) / len(pictures)
            squares[name] = squares[name] + (values**2).mean(axis=1) / len(pictures)
    ranges = {name: ChannelRange(peaks[name], np.sqrt(squares[name])) for name in plan.observed}
    for node in plan.derived:
        parts = [ranges[name] for name in node.inputs]
        ranges[node.output] = ChannelRange(
            np.concatenate([part.peak for part in parts]),
            np.concatenate([part.rms for part in parts]),
        )
    return ranges


def _errors(
    graph: Graph, pictures: Sequence[tuple[Array, ...]], settings: Settings, threads: int | None
) -> tuple[Errors, ...]:
    """Of the chip's outputs over all pictures, fold by fold, each calibrated without the fold."""
    if settings.spread_channels:
        graph = spread_channels(graph)
    whole = tuple(np.concatenate(values) for values in zip(*pictures, strict=True))
    walk = Walk(graph, whole, threads)
    parts = []
    for fold, basis in enumerate(_bases(graph, pictures, settings, threads)):
        quantized = assign(basis).graph
        parts.append(output_errors(walk, graph, quantized, slice(fold, None, FOLDS)))
    return tuple(joined(outputs) for outputs in zip(*parts, strict=True))


def _bases(
    graph: Graph, pictures: Sequence[tuple[Array, ...]], settings: Settings, threads: int | None
) -> Iterator[Basis]:
    """What all pictures but those of a fold tell, fold by fold; each picture is run once."""
    plan = observation_plan(graph)
    folds = [make_observers(graph, plan) for _ in range(FOLDS)]
    inner = [name for name in plan.observed if name not in graph.inputs]
    places = iter(range(len(pictures)))

    def read(inputs: Inputs, found: Values) -> Values:
        own = next(places) % FOLDS
        found.update(zip(graph.inputs, inputs, strict=True))
        for fold, observers in enumerate(folds):
            if fold != own:
                for name in plan.observed:
                    observers[name].add(found[name])
        return {}

    with PictureRuns(float_network(graph, inner), threads, inner) as runs:
        for picture in pictures:
            runs.give(picture, lambda *_: [], read)
    for observers in folds:
        yield Basis(graph, collect(observers, plan), plan, settings)
