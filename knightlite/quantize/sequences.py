"""Sequences for a network of one step: each of their steps is a picture, with its states.

The states are those of the float network, in every pass: so the quantized one sees the same
pictures. What its own states add up from step to step is seen where it is run step by step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.inference import Runner, float_network
from knightlite.ir import Graph, State
from knightlite.quantize.data.workload import Forward, Workload

Array = NDArray[Any]


def of_sequences(graph: Graph) -> Graph:
    """What ``graph``, one step, is a step of, as its data see it: inputs and outputs, no more."""
    shapes = {}
    for name, (shape, axis) in graph.sequences.items():
        framed = shape[:1] == (1,) and axis
        shapes[name] = (
            replace(graph.tensors[name], shape=shape if framed else (1, *shape))
            if (name in graph.tensors)
            else None
        )
    tensors = {**graph.tensors, **{name: item for name, item in shapes.items() if item}}
    return replace(
        graph,
        inputs=graph.fed_inputs,
        outputs=graph.seen_outputs,
        tensors=tensors,
        states=(),
        sequences={},
        trained={},
    )


@dataclass(frozen=True)
class Sequences:
    """``whole`` feeds sequences; what is forwarded are their steps, and states.

    ``graph``: the float network of one step.
    """

    whole: Workload
    graph: Graph

    @property
    def description(self) -> str:
        """That of the sequences."""
        return f"the steps of {self.whole.description}"

    @property
    def forwards(self) -> int | None:
        """Number of forward calls, where it is known."""
        found: int | None = getattr(self.whole, "forwards", None)
        return found

    @cached_property
    def _runner(self) -> Runner:
        return Runner(float_network(self.graph))

    def run(self, forward: Forward) -> float | None:
        """Call ``forward`` with all steps of the sequences of a call, one sequence after another.

        Outputs come back as the sequences' user knows them: steps side by side, or the last one.
        """
        return self.whole.run(lambda arrays: self._forward(arrays, forward))

    def _forward(self, arrays: tuple[Array, ...], forward: Forward) -> list[Array]:
        fed = self.graph.fed_inputs
        frames: list[tuple[Array, ...]] = []
        for at in range(len(arrays[0])):
            one = dict(zip(fed, (array[at : at + 1] for array in arrays), strict=True))
            frames += self._steps(one)
        together = tuple(np.concatenate(values) for values in zip(*frames, strict=True))
        outputs = dict(zip(self.graph.outputs, forward(together), strict=True))
        return [self._joined(name, outputs[name], len(arrays[0])) for name in self._seen]

    @property
    def _seen(self) -> Sequence[str]:
        return self.graph.seen_outputs

    @property
    def steps(self) -> int:
        """Steps of a sequence."""
        shape, axis = next(iter(self.graph.sequences.values()))
        return shape[axis]

    def _steps(self, sequence: dict[str, Array]) -> Iterator[tuple[Array, ...]]:
        """The inputs of each step of one sequence, states among them."""
        graph, sizes = self.graph, self.graph.tensors
        kept = {item.input: _start(item, sizes[item.input].shape) for item in graph.states}
        parts = {name: self._parts(name, values) for name, values in sequence.items()}
        for step in range(self.steps):
            now = {name: values[step] for name, values in parts.items()} | kept
            inputs = tuple(now[name] for name in graph.inputs)
            yield inputs
            if step + 1 < self.steps:
                real = tuple(np.asarray(item, np.float32) for item in inputs)
                found = self._runner.run(real)
                kept = {item.input: found[item.output] for item in graph.states}

    def _parts(self, name: str, values: Array) -> list[Array]:
        """What an input is in each step, [1, C, H, W]."""
        shape = self.graph.tensors[name].shape
        if name not in self.graph.sequences:
            return [values.reshape(shape)] * self.steps
        whole, axis = self.graph.sequences[name]
        return [
            np.take(values.reshape(whole), [step], axis).reshape(shape)
            for step in range(self.steps)
        ]

    def _joined(self, name: str, values: Array, count: int) -> Array:
        """An output of ``count`` sequences from those of all steps."""
        each = values.reshape(count, self.steps, *values.shape[1:])
        if name not in self.graph.sequences:
            return each[:, -1]
        whole, axis = self.graph.sequences[name]
        one = (*whole[:axis], 1, *whole[axis + 1 :])
        made = [np.concatenate([step.reshape(one) for step in sequence], axis) for sequence in each]
        framed = whole[:1] == (1,) and axis > 0
        return np.concatenate(made) if framed else np.stack(made)


def _start(state: State, shape: tuple[int, ...]) -> Array:
    """A state before the first step."""
    if not state.initial:
        return np.zeros(shape, np.float32)
    return np.asarray(state.initial, np.float32).reshape(shape)
