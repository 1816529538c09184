"""States of a quantized network: what a frame leaves, and the next one begins with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import ModelError
from knightlite.ir.graph import Graph, State
from knightlite.ir.verify import verify

Array = NDArray[Any]


def with_states(graph: Graph, states: Sequence[State], called: str) -> Graph:
    """``graph`` with inputs and outputs tied; ``states``: begin at real numbers, as float graphs'.

    ModelError where it has no such inputs and outputs, or two that are not alike.
    """
    found = []
    for state in states:
        known = state.input in graph.inputs and state.output in graph.chip_outputs
        tensor = graph.tensors.get(state.input)
        if not known or tensor is None or len(state.initial) not in (0, tensor.shape[1]):
            raise ModelError(
                f"{called} notes a state {state.input} that becomes {state.output}, but has no "
                "such input and output.",
                "quantize the model again",
            )
        initial = quantized(state, graph)
        found.append(replace(state, initial=initial if any(initial) else ()))
    tied = replace(graph, states=tuple(found))
    verify(tied)
    return tied


def quantized(state: State, graph: Graph) -> tuple[float, ...]:
    """What a state begins with, as integers of its input: rounded as any input is."""
    tensor = graph.tensors[state.input]
    real = np.asarray(state.initial, np.float32) / np.asarray(tensor.scale, np.float32)
    low, high = tensor.dtype.minimum, tensor.dtype.maximum
    return tuple(map(float, np.clip(np.rint(real), low, high)))


def first_values(graph: Graph, state: State) -> Array:
    """A state before the first frame, [1, C, H, W] in its input's type."""
    tensor = graph.tensors[state.input]
    values = np.zeros(tensor.shape, tensor.dtype.numpy)
    if state.initial:
        values += np.asarray(state.initial, tensor.dtype.numpy).reshape(1, -1, 1, 1)
    return values
