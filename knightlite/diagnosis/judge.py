"""What a variant of the quantized network is worth: its outputs' SQNR and its metric."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from knightlite.diagnosis.measured import MeasuredWorkload
from knightlite.diagnosis.probe import pair_values, qdq_model
from knightlite.evaluation import Answers, Paired, best_classes, paired
from knightlite.inference import Inputs, Network, PictureRuns, Runner, Values, float_network
from knightlite.ir import Graph
from knightlite.metrics import Difference
from knightlite.quantize.data import Forward, Workload
from knightlite.quantize.report_entries import decibels
from knightlite.quantize.statistics import Recording, class_scores

Array = NDArray[Any]
CHUNK = 16  # pictures per run: outputs only are delivered


@dataclass(frozen=True, slots=True)
class Score:
    """``sqnr_db``: of the worst output against the float network; None where nothing differs.

    ``answers``: the best class of each picture, of a network that gives one score per class.
    ``values``: what a measure keeps of each. ``calls_db``: ``sqnr_db`` of each forward call.
    """

    sqnr_db: float | None
    metric: float | None
    answers: Answers | None = field(default=None, repr=False, compare=False)
    values: tuple[Any, ...] = field(default=(), repr=False, compare=False)
    calls_db: tuple[float | None, ...] = field(default=(), repr=False, compare=False)

    def gain_over(self, other: Score) -> float:
        """Decibels won against ``other``; an exact network counts as 120 dB."""
        return (self.sqnr_db if self.sqnr_db is not None else 120.0) - (
            other.sqnr_db if other.sqnr_db is not None else 120.0
        )

    def against(self, other: Score, wanted: Answers | None) -> Paired | None:
        """Its metric beside that of ``other``; None where there is none that is a top-1."""
        if self.metric is None or other.metric is None:
            return None
        return paired(other.answers, self.answers, (other.metric, self.metric), wanted)

    def beside(self, other: Score, workload: Workload) -> Difference | None:
        """Its measure beside that of ``other``; None where the data have none."""
        if not isinstance(workload, MeasuredWorkload):
            return None
        return workload.metric.difference(other.values, self.values)


@dataclass(frozen=True, slots=True)
class Still:
    """A workload of pictures in memory, one array [n, C, H, W] per network input; no metric."""

    pictures: tuple[Array, ...]
    description: str = "a few pictures"

    def run(self, forward: Forward) -> float | None:
        """One forward call per picture."""
        for place in range(self.pictures[0].shape[0]):
            forward(tuple(item[place : place + 1] for item in self.pictures))
        return None


@dataclass(slots=True)
class Judge:
    """Scores quantized variants of one float network on one workload."""

    graph: Graph
    workload: Workload
    recording: Recording
    threads: int | None = None
    _exact: Runner | None = field(default=None)
    _answers: Answers | None = field(default=None)

    def float_answers(self) -> Answers | None:
        """The float network's best class of each picture, after a score; as ``Score.answers``."""
        return self._answers

    def score(self, quantized: Graph, float_tensors: Iterable[str] = ()) -> Score:
        """Run ``quantized``, the feature tensors ``float_tensors`` left unquantized."""
        model = qdq_model(quantized)
        pairs = pair_values(model, quantized)
        bypass = {pairs[name].read: pairs[name].source for name in float_tensors}
        wanted = list(self.graph.chip_outputs)
        ends = [bypass.get(pairs[name].read, pairs[name].read) for name in wanted]
        for node in model.graph.node:
            node.input[:] = [bypass.get(name, name) for name in node.input]
        kept = [model.graph.output[index] for index in range(len(self.graph.outputs))]
        described = {item.name: item for item in model.graph.output}
        delivered = [*kept, *(described[name] for name in ends if name in described)]
        unique = {item.name: item for item in delivered}
        for name in ends:  # an output of the chip that only the host reads
            if name not in unique:
                unique[name] = onnx.helper.make_tensor_value_info(name, 1, None)
        del model.graph.output[:]
        model.graph.output.extend(unique.values())
        return self._run(Network(self.graph, model, tuple(unique)), ends)

    def _run(self, network: Network, ends: list[str]) -> Score:
        chip = self.graph.chip_outputs
        energy, noise = dict.fromkeys(chip, 0.0), dict.fromkeys(chip, 0.0)
        calls: list[float | None] = []
        answers: list[Answers] = []
        exactly: list[Answers] = []
        scores = class_scores(self.graph)

        def join(inputs: Inputs, found: Values) -> list[Array]:
            reference = self.recording.find(len(calls), inputs)
            if reference is None:
                reference = self.float_outputs(inputs)
            told = []
            for name, end in zip(chip, ends, strict=True):
                expected = reference[name].astype(np.float64)
                had, lost = float(np.sum(expected**2)), float(np.sum((expected - found[end]) ** 2))
                energy[name] += had
                noise[name] += lost
                told.append(decibels(had, lost))
            calls.append(_worst(told))
            if scores:
                answers.append(best_classes(found[ends[0]], len(inputs[0])))
                exactly.append(best_classes(reference[chip[0]], len(inputs[0])))
            return list(found.values())[: len(self.graph.outputs)]

        with PictureRuns(network, self.threads) as runs:
            metric = self.workload.run(lambda inputs: runs.give(inputs, join))
        kept = _worst([decibels(energy[name], noise[name]) for name in chip])
        given = np.concatenate(answers) if answers else None
        self._answers = np.concatenate(exactly) if exactly else None
        values = self.workload.values if isinstance(self.workload, MeasuredWorkload) else ()
        return Score(kept, metric, given, tuple(values), tuple(calls))

    def float_outputs(self, inputs: tuple[Array, ...]) -> dict[str, Array]:
        """Outputs of the float network, for where there is no recording of them."""
        if self._exact is None:
            network = float_network(self.graph, self.graph.chip_outputs)
            self._exact = Runner(network, self.threads, at_once=CHUNK)
        return self._exact.values(inputs)


def _worst(told: Sequence[float | None]) -> float | None:
    return min((value for value in told if value is not None), default=None)


def few_pictures(
    graph: Graph, sample: tuple[Array, ...], most: int, threads: int | None = None
) -> Judge:
    """A judge that runs at most ``most`` pictures of a sample: for places, not for remedies."""
    step = -(-sample[0].shape[0] // most)
    still = Still(tuple(item[::step] for item in sample))
    exact = Judge(graph, still, Recording(), threads)
    recording = Recording()

    def forward(inputs: tuple[Array, ...]) -> list[Array]:
        recording.add(inputs, exact.float_outputs(inputs))
        return []

    still.run(forward)
    return Judge(graph, still, recording, threads)
