"""Cross-layer equalization as a step: ranges of channels from a few pictures, and its judgement."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import UnsupportedError
from knightlite.inference import (
    Inputs,
    PictureRuns,
    Values,
    checked,
    float_network,
    join_parts,
)
from knightlite.ir import Graph
from knightlite.quantize.data.workload import Enough, Workload
from knightlite.quantize.data_free.standardize import changed
from knightlite.quantize.data_free.workloads import DataFree, RandomData, changes_for, under
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
    collect_last,
    make_observers,
    observation_plan,
    with_derived,
)
from knightlite.quantize.statistics.observers import Statistics
from knightlite.quantize.statistics.passes import class_scores
from knightlite.quantize.steps.improvement import macs, output_errors, over_folds, too_dear
from knightlite.quantize.steps.judgement import JUDGES, Burden, Judgement, StepResult, judge
from knightlite.quantize.steps.output_views import (
    OUTPUT_BYTES,
    OutputViews,
    mean_cost,
    quantized_outputs,
)
from knightlite.quantize.steps.walk import Errors, Walk

Array = NDArray[Any]
Float64 = NDArray[np.float64]

MOST_PICTURES = 32  # that the step looks at
LEAST_PICTURES = 12  # a network so large that its effort allows fewer is left as it is
FOLDS = 2  # each is judged by networks that were calibrated with the other
RUNS = 4  # per picture, of those that the effort affords; it takes 6, four of them float
WELL_COUNTED = 2  # of a fold's pictures
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
    if not _asked(graph, settings) or isinstance(under(workload), RandomData):
        return graph, (), ()
    started = time.perf_counter()
    count = _affordable(graph, settings)
    if count < LEAST_PICTURES:
        return graph, (), ()
    seen_as = graph
    if isinstance(workload, DataFree):
        seen_as = changed(graph, changes_for(graph, workload, threads))
    seen = Seen(seen_as)
    pictures = first_pictures(seen, workload, count)
    if len(pictures) < JUDGES:
        return graph, (), ()
    ranges = seen.ranges()
    if not all(np.all(np.isfinite(item.peak)) for item in ranges.values()):
        return graph, (), ()  # the first pass names the tensor
    ties, divisors, done = choose_divisors(seen_as, ranges)
    if not done:
        return graph, (), ()
    divided = {
        name: divisors[kinds]
        for name, kinds in ties.classes.items()
        if np.any(divisors[kinds] != 1)
    }
    equalized = divide(seen_as, ties, divisors)
    try:
        judgement, gained = _Judge(equalized, divided, seen, settings, threads).judged()
    except UnsupportedError:  # a channel was stretched beyond what the arithmetic holds
        return graph, (), (StepResult(NAME, None, False, time.perf_counter() - started),)
    kept = gained and judgement.kept(Burden.DOUBTFUL)
    step = StepResult(NAME, judgement, kept, time.perf_counter() - started)
    return (divide(graph, ties, divisors), done, (step,)) if kept else (graph, (), (step,))


def equalization_left_out(
    graph: Graph, settings: Settings, workload: Workload, pictures: int
) -> str:
    """Why equalization was not tried with so many pictures: a sentence, "" where it was."""
    if not _asked(graph, settings) or isinstance(under(workload), RandomData):
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


def first_pictures(seen: Seen, workload: Workload, count: int) -> list[Inputs]:
    """The first pictures of a workload, each [1, C, H, W] per network input; ``seen`` sees them."""
    given: list[Sequence[Array]] = []

    def forward(inputs: Inputs) -> Sequence[Array]:
        arrays = checked(seen.graph, inputs)
        before = len(given)
        for place in range(min(len(arrays[0]), count - before)):
            given.append(seen.give(tuple(item[place : place + 1] for item in arrays)))
        if len(given) >= count:
            raise Enough
        made = given[before:]
        if len(made) == 1:
            return made[0]
        return [np.concatenate(column) for column in zip(*made, strict=True)]

    with contextlib.suppress(Enough):
        workload.run(forward)
    if given:
        len(given[-1])  # one after the other: with the last one all are done
    return seen.pictures


class Seen:
    """What the float network makes of pictures that are given one after the other.

    ``pictures``: they themselves, each [1, C, H, W] per network input; ``delivered``: the chip's
    outputs of them, or nothing where these are too large to hold.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph, self.plan = graph, observation_plan(graph)
        outputs = [name for name in graph.chip_outputs if name not in graph.inputs]
        inner = (name for name in self.plan.observed if name not in graph.inputs)
        watched = tuple(dict.fromkeys((*inner, *outputs)))
        self._runs = PictureRuns(float_network(graph, watched), 1, watched)
        self.pictures: list[Inputs] = []
        self.delivered: list[dict[str, Array]] = []
        self._each = 4 * sum(graph.tensors[name].elements for name in graph.chip_outputs)
        self._rows: list[dict[str, tuple[Float64, Float64]]] = []

    def give(self, picture: Inputs) -> Sequence[Array]:
        """The network's outputs to come of one more picture."""

        def read(inputs: Inputs, values: Values) -> Values:
            self._add(inputs, {**values, **dict(zip(self.graph.inputs, inputs, strict=True))})
            return {name: values[name].copy() for name in self.graph.outputs}

        return self._runs.give(
            picture, lambda _, whole: [whole[name] for name in self.graph.outputs], read
        )

    def look(self, pictures: Sequence[Inputs], look: Callable[[Values], None]) -> None:
        """Let ``look`` see all values of every picture in turn, which it may not keep."""

        def read(inputs: Inputs, values: Values) -> Values:
            look({**values, **dict(zip(self.graph.inputs, inputs, strict=True))})
            return {}

        for done in [self._runs.give(picture, lambda *_: [], read) for picture in pictures]:
            len(done)

    def _add(self, picture: Inputs, found: Values) -> None:
        row = {}
        for name in self.plan.observed:
            flat = found[name].reshape(found[name].shape[1], -1)
            peak = flat.max(axis=1)
            if name not in self.plan.nonnegative:
                np.maximum(peak, -flat.min(axis=1), out=peak)
            square = np.einsum("cp,cp->c", flat, flat).astype(np.float64)
            row[name] = peak.astype(np.float64), square / flat.shape[1]
        if len(self.delivered) == len(self._rows):
            self.delivered.append({name: found[name].copy() for name in self.graph.chip_outputs})
        self._rows.append(row)
        self.pictures.append(picture)
        if len(self.delivered) * self._each > OUTPUT_BYTES:
            self.delivered.clear()

    def ranges(self) -> dict[str, ChannelRange]:
        """Of every feature tensor, each picture counting alike."""
        count, ranges = len(self._rows), {}
        for name in self.plan.observed:
            peak, square = (sum(row[name][k] / count for row in self._rows) for k in (0, 1))
            ranges[name] = ChannelRange(np.asarray(peak), np.sqrt(np.asarray(square)))
        for node in self.plan.derived:
            parts = [ranges[name] for name in node.inputs]
            ranges[node.output] = ChannelRange(
                np.concatenate([part.peak for part in parts]),
                np.concatenate([part.rms for part in parts]),
            )
        return ranges


class _Judge:
    """What equalization does, fold by fold, each measured in networks calibrated without it.

    The float network runs once for both: the values of the equalized one are its values, divided.
    """

    def __init__(
        self,
        equalized: Graph,
        divided: Mapping[str, Float64],
        seen: Seen,
        settings: Settings,
        threads: int | None,
    ) -> None:
        """``divided``: by what [C], per tensor; ``seen``: of the network as it is."""
        networks = seen.graph, equalized
        if settings.spread_channels:
            networks = spread_channels(networks[0]), spread_channels(networks[1])
        self._networks, self._divided = networks, divided
        self._pictures, self._settings = seen.pictures, settings
        self._seen = seen if networks[0] is seen.graph else Seen(networks[0])
        self._plan = self._seen.plan
        self._watch = _Outputs(seen, threads)

    def judged(self) -> tuple[Judgement, bool]:
        """What the pictures say, and whether rare values gain too, which no trimmed mean knows of.

        Where the first fold shows no gain, or a clear one, that is the end of it; not where outputs
        have tails: few pictures hold such values, and all must say what becomes of them. There
        whole outputs and tails are judged, and the mean relative error must fall
        (:mod:`.output_views`).
        """
        watch = self._watch
        found: tuple[list[tuple[Errors, ...]], list[tuple[Errors, ...]]] = ([], [])
        for fold in range(FOLDS):
            for basis, parts in zip(self._calibrated(fold), found, strict=True):
                parts.append(watch.errors(assign(basis).graph, slice(fold, None, FOLDS)))
            before, after = (over_folds(parts) for parts in found)
            judgement = judge(before, after)
            if judgement.gain_db <= 0 or (not watch.tails and judgement.is_clear(Burden.DOUBTFUL)):
                break
        return judgement, not watch.tails or mean_cost(after) < mean_cost(before)

    def _calibrated(self, fold: int) -> Iterator[Basis]:
        """Both networks with what the pictures of the other folds say of them."""
        plain, divided = self._observed(fold)
        own = Basis(self._networks[0], plain, self._plan, self._settings)
        yield own
        alike = {key: scales for key, scales in own.found.items() if key[0] not in divided}
        observed = {name: divided.get(name, plain[name]) for name in self._plan.observed}
        changed = with_derived(observed, self._plan)
        yield Basis(self._networks[1], changed, self._plan, self._settings, alike)

    def _observed(self, fold: int) -> tuple[dict[str, Statistics], dict[str, Statistics]]:
        """Of the network as it is, and of what is divided in the equalized one."""
        graph, plan = self._networks[0], self._plan
        divisors = {
            name: self._divided[name]
            .astype(np.float32)
            .reshape(-1, *(1,) * (len(graph.tensors[name].shape) - 2))
            for name in plan.observed
            if name in self._divided
        }
        plain, changed = (make_observers(graph, plan, WELL_COUNTED) for _ in range(2))
        changed = {name: changed[name] for name in divisors}

        def look(values: Values) -> None:
            for name, observer in plain.items():
                observer.add(values[name])
            for name, observer in changed.items():
                observer.add(values[name] / divisors[name])

        others = [item for place, item in enumerate(self._pictures) if place % FOLDS != fold]
        self._seen.look(others, look)
        divided = {name: changed.pop(name).result() for name in list(changed)}
        return collect_last(plain, plan), divided


class _Outputs:
    """The float network's outputs, and what quantized ones lose of them: view by view with tails.

    Scores of classes have none, nor is it looked for where so many outputs are too large to hold.
    """

    def __init__(self, seen: Seen, threads: int | None) -> None:
        self._graph, self._threads = seen.graph, threads
        self._pictures = tuple(np.concatenate(item) for item in zip(*seen.pictures, strict=True))
        self._walk = Walk(seen.graph, self._pictures, threads, seen.delivered)
        self._exact: dict[str, Array] = {}
        if seen.delivered and not class_scores(seen.graph):
            self._exact = join_parts(seen.graph.chip_outputs, seen.delivered)
        self._views = OutputViews(self._exact)

    @property
    def tails(self) -> bool:
        """Whether some picture stands out in some output."""
        return self._views.tails

    def errors(self, quantized: Graph, some: slice) -> tuple[Errors, ...]:
        """Of each output, or of each view, on some of the pictures."""
        if not self.tails:
            return output_errors(self._walk, self._graph, quantized, some)
        pictures = tuple(item[some] for item in self._pictures)
        fixed = quantized_outputs(quantized, pictures, self._threads)
        return self._views.errors({name: item[some] for name, item in self._exact.items()}, fixed)
