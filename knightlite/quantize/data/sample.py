"""A few of the pictures, kept in memory, for work that needs the values themselves: how many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.ir import Graph, Tensor

Array = NDArray[Any]

LIVE_BYTES = 128 << 20  # of live values, float and quantized together
VALUE_BYTES = 6  # of a float value and its quantized one, in 16 bits at most


class Sample:
    """At most ``limit`` pictures spread evenly over a stream whose length is not known.

    Every ``stride``-th picture is kept; when there are too many, every other one is dropped and
    the stride doubles. Which ones are kept depends on their number only, so a sample is the same
    in every run.
    """

    def __init__(self, limit: int) -> None:
        """``limit`` >= 1."""
        self._limit = limit
        self._stride = 1
        self._seen = 0
        self._kept: list[tuple[Array, ...]] = []

    def add(self, inputs: tuple[Array, ...]) -> None:
        """A batch: one array [N, C, H, W] per network input."""
        for place in range(inputs[0].shape[0]):
            if self._seen % self._stride == 0:
                if len(self._kept) == self._limit:
                    self._kept = self._kept[::2]
                    self._stride *= 2
                if self._seen % self._stride == 0:
                    self._kept.append(
                        tuple(np.array(item[place : place + 1], np.float32) for item in inputs)
                    )
            self._seen += 1

    def pictures(self) -> tuple[Array, ...]:
        """One array [n, C, H, W] per network input, in the order of the stream."""
        return tuple(np.concatenate(parts) for parts in zip(*self._kept, strict=True))


class Sameness:
    """Whether all pictures of a stream are one and the same; holds the first until one differs."""

    def __init__(self) -> None:
        """Nothing seen yet."""
        self._first: tuple[Array, ...] | None = None
        self._count = 0
        self._differ = False

    def add(self, inputs: tuple[Array, ...]) -> None:
        """A batch: one array [N, C, H, W] per network input."""
        if self._differ:
            return
        if self._first is None:
            self._first = tuple(np.array(item[:1]) for item in inputs)
        self._count += inputs[0].shape[0]
        self._differ = not all(
            np.array_equal(one, known[0])
            for item, known in zip(inputs, self._first, strict=True)
            for one in item
        )

    @property
    def holds(self) -> bool:
        """True for two pictures or more that are the same."""
        return self._count > 1 and not self._differ


def _float_and_fixed(tensor: Tensor) -> int:
    return VALUE_BYTES * tensor.elements


def pictures_at_once(graph: Graph, live_bytes: int = LIVE_BYTES) -> int:
    """How many pictures fit ``live_bytes`` at the widest place of the network; at least 1."""
    return max(1, live_bytes // bytes_at_widest(graph))


def bytes_at_widest(graph: Graph, size: Callable[[Tensor], int] = _float_and_fixed) -> int:
    """Of the values of a picture that are alive at the widest place of the network.

    ``size``: bytes of a tensor's values.
    """
    widest = 1
    remaining = {name: len(nodes) for name, nodes in graph.consumers().items()}
    alive: dict[str, int] = {name: size(graph.tensors[name]) for name in graph.inputs}
    live = sum(alive.values())
    for node in graph.nodes:
        made = size(graph.tensors[node.output])
        widest = max(widest, live + made)
        alive[node.output] = made
        live += made
        for name in dict.fromkeys(node.inputs):
            if name in alive:
                remaining[name] -= 1
                if not remaining[name]:
                    live -= alive.pop(name)
    return widest


def integer_bytes(tensor: Tensor) -> int:
    """Of a quantized tensor's values."""
    return tensor.elements * tensor.dtype.numpy.itemsize
