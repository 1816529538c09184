"""The two passes over the pictures: the float model observed, then float beside quantized.

First pass (``observe``): the float model with its inner tensors delivered to observers; gives the
statistics and the float metric. Second pass (``compare``): float and QDQ models side by side over
the same pictures; gives the quantized metric and the outputs' SQNR from running sums. Nothing
grows with the number of pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import DataError
from knightlite.ir import Graph
from knightlite.quantize.features import (
    ObservationPlan,
    collect,
    make_observers,
    observation_plan,
)
from knightlite.quantize.observers import Statistics
from knightlite.quantize.onnx_models import batchable, session, write_float, write_qdq
from knightlite.quantize.recording import Recording
from knightlite.quantize.report import Entry, decibels
from knightlite.quantize.sample import Sample
from knightlite.quantize.workload import Workload

if TYPE_CHECKING:
    import onnxruntime

Array = NDArray[Any]
Progress = Callable[[str, int], None]
"""Called with the stage ("float", "quantized") and the number of pictures done in it."""

ACTIVATION_BUDGET_BYTES = 96 << 20  # of observed values held at once: bounds the batch size


@dataclass(frozen=True, slots=True)
class Observation:
    """What the first pass learnt: statistics of every feature tensor, metric, pictures, outputs.

    ``sample``: a few pictures, one array [n, C, H, W] per network input. ``earlier``: the
    statistics and the number of pictures after some of the forward calls, by their number.
    """

    statistics: dict[str, Statistics]
    plan: ObservationPlan
    metric: float | None
    pictures: int
    recording: Recording
    sample: tuple[Array, ...]
    earlier: Mapping[int, tuple[dict[str, Statistics], int]]


def observe(
    graph: Graph,
    workload: Workload,
    progress: Progress | None,
    threads: int | None,
    sample_pictures: int = 1,
    snapshots: Sequence[int] = (),
) -> Observation:
    """First pass: the float model, with a thread that observes one batch while the next runs."""
    plan = observation_plan(graph)
    observers = make_observers(graph, plan)
    recording = Recording()
    sample = Sample(sample_pictures)
    inner = [name for name in plan.observed if name not in graph.inputs]
    runner = Runner(graph, session(write_float(graph, inner), threads), _chunk(graph, inner))
    delivered = list(dict.fromkeys((*graph.outputs, *inner)))
    kept = compared(graph)
    pictures = calls = 0
    earlier: dict[int, tuple[dict[str, Statistics], int]] = {}

    def add(found: dict[str, Array]) -> None:
        for name in plan.observed:
            observers[name].add(found[name])

    with _Behind(add) as observing:

        def forward(inputs: tuple[Array, ...]) -> list[Array]:
            nonlocal pictures, calls
            outputs: dict[str, list[Array]] = {name: [] for name in kept}
            for part in runner.parts(inputs):
                sample.add(part)
                found = dict(zip(delivered, runner.run(part), strict=True))
                for name, values in outputs.items():
                    values.append(found[name])
                # copies: the caller may fill its arrays anew while they are still being counted
                read = {name: item.copy() for name, item in zip(graph.inputs, part, strict=True)}
                observing.give({**found, **read})
                pictures += part[0].shape[0]
                if progress is not None:
                    progress("float", pictures)
            calls += 1
            if calls in snapshots:
                observing.wait()
                earlier[calls] = collect(observers, plan), pictures
            whole = {name: np.concatenate(parts) for name, parts in outputs.items()}
            recording.add(inputs, {name: whole[name] for name in graph.chip_outputs})
            return [whole[name] for name in graph.outputs]

        metric = workload.run(forward)
    if pictures == 0:
        raise DataError(
            f"{workload.description} gave no picture to calibrate with.",
            "give at least one picture, better a hundred",
        )
    return Observation(
        collect(observers, plan), plan, metric, pictures, recording, sample.pictures(), earlier
    )


class _Behind:
    """One call at a time in a thread of its own, in order; what it raises is raised here later.

    At most one call is under way, so that the values of two batches are held at once, not more.
    """

    def __init__(self, function: Callable[[dict[str, Array]], None]) -> None:
        self._function = function
        self._pool = ThreadPoolExecutor(1)
        self._last: Future[None] | None = None

    def give(self, values: dict[str, Array]) -> None:
        """Wait for the call before, then start this one."""
        self.wait()
        self._last = self._pool.submit(self._function, values)

    def wait(self) -> None:
        """Until nothing is under way."""
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def __enter__(self) -> _Behind:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.wait()
        finally:
            self._pool.shutdown()


@dataclass(frozen=True, slots=True)
class Comparison:
    """The quantized metric, an entry per chip output, the last batch the network read."""

    metric: float | None
    outputs: list[Entry]
    inputs: tuple[Array, ...]


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
) -> Comparison:
    """Second pass: the quantized metric, and float against QDQ at the chip's outputs.

    The float outputs are those of the first pass where ``recording`` has them.
    """
    wanted = compared(graph)
    chunk = _chunk(graph, wanted)
    fixed = Runner(graph, session(write_qdq(quantized, {}, graph.chip_outputs), threads), chunk)
    exact: Runner | None = None
    energy = dict.fromkeys(graph.chip_outputs, 0.0)
    noise = dict.fromkeys(graph.chip_outputs, 0.0)
    last: tuple[Array, ...] = ()
    pictures = calls = 0

    def run(runner: Runner, inputs: tuple[Array, ...], stage: str = "") -> dict[str, Array]:
        nonlocal pictures
        parts = []
        for part in runner.parts(inputs):
            parts.append(runner.run(part))
            pictures += part[0].shape[0] if stage else 0
            if stage and progress is not None:
                progress(stage, pictures)
        whole = [np.concatenate(values) for values in zip(*parts, strict=True)]
        return dict(zip(wanted, whole, strict=True))

    def forward(inputs: tuple[Array, ...]) -> list[Array]:
        nonlocal exact, last, calls
        values = run(fixed, inputs, "quantized")
        reference = recording.find(calls, inputs)
        calls += 1
        if reference is None:
            if exact is None:
                model = write_float(graph, graph.chip_outputs)
                exact = Runner(graph, session(model, threads), chunk)
            reference = run(exact, inputs)
        for name in graph.chip_outputs:
            expected = reference[name].astype(np.float64)
            energy[name] += float(np.sum(expected**2))
            noise[name] += float(np.sum((expected - values[name]) ** 2))
        last = tuple(np.asarray(item, np.float32) for item in inputs)
        return [values[name] for name in graph.outputs]

    metric = workload.run(forward)
    entries = [
        {"name": name, "type": quantized.tensors[name].dtype.name,
         "sqnr_db": decibels(energy[name], noise[name])}
        for name in graph.chip_outputs
    ]  # fmt: skip
    return Comparison(metric, entries, last)


def _chunk(graph: Graph, names: Sequence[str]) -> int:
    """Pictures per run such that the values of ``names`` stay inside the budget."""
    if not batchable(graph):
        return 1
    sizes = [graph.tensors[name].elements for name in names if name in graph.tensors]
    return max(1, ACTIVATION_BUDGET_BYTES // max(1, 4 * sum(sizes)))


@dataclass(frozen=True, slots=True)
class Runner:
    """A session and the batch size it is fed with."""

    graph: Graph
    session: onnxruntime.InferenceSession
    chunk: int

    def parts(self, inputs: tuple[Array, ...]) -> list[tuple[Array, ...]]:
        """The checked inputs in pieces of ``chunk`` pictures."""
        arrays = self._checked(inputs)
        count = arrays[0].shape[0]
        return [
            tuple(item[first : first + self.chunk] for item in arrays)
            for first in range(0, count, self.chunk)
        ]

    def run(self, inputs: tuple[Array, ...]) -> list[Array]:
        """One array per output of the session's model."""
        feeds = dict(zip(self.graph.inputs, inputs, strict=True))
        return list(self.session.run(None, feeds))

    def _checked(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        names = self.graph.inputs
        if len(inputs) != len(names):
            raise DataError(
                f"the network has {len(names)} inputs ({', '.join(names)}), "
                f"but the data gave {len(inputs)} arrays."
            )
        arrays = tuple(np.ascontiguousarray(item, dtype=np.float32) for item in inputs)
        for name, array in zip(names, arrays, strict=True):
            shape = self.graph.tensors[name].shape
            if array.ndim != len(shape) or array.shape[1:] != shape[1:] or not array.shape[0]:
                raise DataError(
                    f"input {name} must have shape [N, {', '.join(map(str, shape[1:]))}], "
                    f"not {list(array.shape)}.",
                    "check the preprocessing: sizes, channel order (NCHW) and the batch axis",
                )
            if not np.all(np.isfinite(array)):
                raise DataError(
                    f"input {name} must hold finite numbers, but the data holds NaN or infinity.",
                    "check the calibration data and its preprocessing",
                )
        if len({array.shape[0] for array in arrays}) != 1:
            raise DataError("all inputs must have the same batch size.")
        return arrays
