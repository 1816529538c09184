"""The two passes over the pictures: the float model observed, then float beside quantized.

First pass (``observe``): the float model with its inner tensors delivered to observers; gives the
statistics and the float metric. Second pass (``compare``): float and QDQ models side by side over
the same pictures; gives the quantized metric and the outputs' SQNR from running sums. Nothing
grows with the number of pictures.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import DataError
from knightlite.evaluation import Answers, best_classes
from knightlite.inference import (
    Inputs,
    PictureRuns,
    Runner,
    Values,
    float_network,
    quantized_network,
)
from knightlite.ir import Graph
from knightlite.quantize.data.sample import Sameness, Sample
from knightlite.quantize.data.striking import Striking
from knightlite.quantize.data.workload import Enough, Workload
from knightlite.quantize.report_entries import Entry
from knightlite.quantize.statistics.kept import Kept
from knightlite.quantize.statistics.observation_plan import (
    ObservationPlan,
    collect,
    collect_last,
    make_observers,
    observation_plan,
)
from knightlite.quantize.statistics.observers import Statistics
from knightlite.quantize.statistics.recording import Recording

Array = NDArray[Any]
STRIKING = 8  # pictures beside the sample, where there is one
Progress = Callable[[str, int, int | None], None]
"""Called with the stage ("float", "quantized"), the number of pictures done in it, and of how many,
where the pass ends before its data does.
"""


@dataclass(frozen=True, slots=True)
class Observation:
    """What the first pass learnt: statistics of every feature tensor, metric, pictures, outputs.

    ``sample``: a few pictures, one array [n, C, H, W] per network input; ``striking``: others whose
    outputs hold what they seldom hold, () where there are none; ``last``: the last batch
    of all, empty where a cache stood for the pass. ``earlier``: the
    statistics and the number of pictures after some of the forward calls, by their number.
    ``alike``: all pictures, two or more, are one and the same.
    """

    statistics: dict[str, Statistics]
    plan: ObservationPlan
    metric: float | None
    pictures: int
    recording: Recording
    sample: tuple[Array, ...]
    last: tuple[Array, ...]
    earlier: Mapping[int, tuple[dict[str, Statistics], int]]
    striking: tuple[Array, ...] = ()
    alike: bool = False


def observe(
    graph: Graph,
    workload: Workload,
    progress: Progress | None,
    threads: int | None,
    sample_pictures: int = 1,
    snapshots: Sequence[int] = (),
) -> Observation:
    """First pass: the float model, with a thread that observes one picture while others run."""
    plan = observation_plan(graph)
    observers = make_observers(graph, plan)
    recording = Recording()
    sample, same = Sample(sample_pictures), Sameness()
    striking = Striking(STRIKING if sample_pictures > STRIKING else 0)
    kept = compared(graph)
    delivered = {*graph.inputs, *graph.outputs}
    joined = [name for name in kept if name not in delivered]  # a Concat is not observed itself
    watched = dict.fromkeys((*plan.observed, *joined))
    inner = [name for name in watched if name not in graph.inputs]
    pictures = calls = 0
    last: Inputs = ()
    earlier: dict[int, tuple[dict[str, Statistics], int]] = {}

    def read(inputs: Inputs, found: Values) -> Values:
        found.update(zip(graph.inputs, inputs, strict=True))
        for name in plan.observed:
            observers[name].add(found[name])
        return {name: found[name].copy() for name in kept}

    def join(inputs: Inputs, whole: Values) -> list[Array]:
        nonlocal pictures, calls, last
        last = inputs
        sample.add(inputs)
        same.add(inputs)
        striking.add(inputs, {name: whole[name] for name in graph.chip_outputs})
        pictures, calls = pictures + inputs[0].shape[0], calls + 1
        if calls in snapshots:
            earlier[calls] = collect(observers, plan), pictures
        if progress is not None:
            progress("float", pictures, None)
        recording.add(inputs, {name: whole[name] for name in graph.chip_outputs})
        return [whole[name] for name in graph.outputs]

    with PictureRuns(float_network(graph, inner), threads, inner) as runs:
        metric = workload.run(lambda inputs: runs.give(inputs, join, read))
    if pictures == 0:
        raise DataError(
            f"{workload.description} gave no picture to calibrate with.",
            "give at least one picture, better a hundred",
        )
    return Observation(
        collect_last(observers, plan), plan, metric, pictures, recording, sample.pictures(), last,
        earlier, striking.pictures(), same.holds,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Comparison:
    """The quantized metric, an entry per chip output, its number of pictures, the last batch.

    ``answers``: the best class of each picture, of the float network and of the quantized one;
    empty where they give no score per class.
    """

    metric: float | None
    outputs: list[Entry]
    pictures: int
    inputs: tuple[Array, ...]
    answers: tuple[Answers, ...] = ()


def class_scores(graph: Graph) -> bool:
    """True where the first output of the chip is one score per class."""
    first = graph.tensors[graph.chip_outputs[0]]
    return len(first.shape) > 1 and first.elements == first.shape[1] > 1


def compared(graph: Graph) -> list[str]:
    """The outputs that the passes deliver: the network's, and the chip's before a host tail."""
    return list(dict.fromkeys((*graph.outputs, *graph.chip_outputs)))


def compare(
    graph: Graph,
    quantized: Graph,
    workload: Workload,
    recording: Recording,
    progress: Progress | None,
    threads: int | None,
    enough: int | None = None,
) -> Comparison:
    """Second pass: the quantized metric, and float against QDQ at the chip's outputs.

    The float outputs are those of the first pass where ``recording`` has them. ``enough``: the
    number of pictures after which it ends; the metric is None then.
    """
    exact: Runner | None = None
    kept = {name: Kept() for name in graph.chip_outputs}
    last: Inputs = ()
    pictures = calls = given = 0
    scores = graph.chip_outputs[0] if class_scores(graph) else None
    answers: tuple[list[Answers], list[Answers]] = ([], [])

    def reference(inputs: Inputs) -> Mapping[str, Array]:
        nonlocal exact
        recorded = recording.find(calls, inputs)
        if recorded is not None:
            return recorded
        if exact is None:
            exact = Runner(float_network(graph, graph.chip_outputs), threads)
        return exact.values(inputs)

    def join(inputs: Inputs, values: Values) -> list[Array]:
        nonlocal last, pictures, calls
        exactly = reference(inputs)
        last = inputs
        pictures, calls = pictures + inputs[0].shape[0], calls + 1
        for name in graph.chip_outputs:
            kept[name].add(exactly[name], values[name])
        if scores is not None:
            for found, given_scores in zip(answers, (exactly, values), strict=True):
                found.append(best_classes(given_scores[scores], len(inputs[0])))
        if progress is not None:
            progress("quantized", pictures, enough)
        return [values[name] for name in graph.outputs]

    metric: float | None = None
    with PictureRuns(quantized_network(quantized, graph.chip_outputs), threads) as runs:

        def forward(inputs: Inputs) -> Sequence[Array]:
            nonlocal given
            outputs = runs.give(inputs, join)
            given += len(inputs[0])
            if enough is not None and given >= enough:
                raise Enough
            return outputs

        with contextlib.suppress(Enough):
            metric = workload.run(forward)
    entries = [
        {"name": name, "type": quantized.tensors[name].dtype.name,
         **kept[name].entry()}
        for name in graph.chip_outputs
    ]  # fmt: skip
    joined = tuple(np.concatenate(item) for item in answers if item)
    return Comparison(metric, entries, pictures, last, joined)
