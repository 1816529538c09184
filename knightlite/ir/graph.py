"""Tensors, nodes and graphs: frozen records with functions over them.

Feature tensors are NCHW with N = 1. A float graph carries ``F32`` tensors; a quantized graph
carries integer tensors with scales (real value = integer * scale, no zero points).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.dtypes import DType

Array = NDArray[Any]
Attribute = int | float | str | tuple[int, ...] | tuple[float, ...] | tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A named value. ``scale``: None (float), shape () per tensor, or shape (C,) per channel.

    The channel axis is 1 for features and 0 for weights and biases.
    """

    name: str
    shape: tuple[int, ...]
    dtype: DType
    scale: Array | None = None

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def per_channel(self) -> bool:
        """True where each channel has a scale of its own."""
        return self.scale is not None and self.scale.ndim == 1

    def is_like(self, other: Tensor) -> bool:
        """Whether bytes of one mean the same as those of the other."""
        same = (self.shape, self.dtype) == (other.shape, other.dtype)
        if self.scale is None or other.scale is None:
            return same and self.scale is other.scale
        return same and np.array_equal(self.scale, other.scale)


@dataclass(frozen=True, slots=True)
class HostOp:
    """An ONNX operator (opset 21) that the host runs on real numbers, behind the chip or between.

    ``attributes``: those of ONNX, and where ONNX has constant inputs instead: Reshape ``shape``
    (with N = 1); Pad ``pads``; Slice ``starts``, ``ends``, ``axes``, ``steps``. ``constants``: the
    arrays of those inputs that are constant. ``op`` may be any operator of ONNX; ``ops.host`` lists
    the ones that need no ONNX Runtime.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    constants: Mapping[str, Array] = field(default_factory=dict, compare=False)

    @property
    def output(self) -> str:
        """The first output; the only one of most operators."""
        return self.outputs[0]

    @property
    def features(self) -> tuple[str, ...]:
        """The inputs that are neither constant nor absent."""
        return tuple(name for name in self.inputs if name and name not in self.constants)


@dataclass(frozen=True, slots=True)
class Node:
    """An operator application. ``parts`` is set for ``Chain`` only: the nodes it fuses, in order.

    Fusing never changes a value: a chain means its parts one after another; only the tensors
    between them are no longer written to memory. ``host`` is set for ``General`` only: what the
    host computes between two segments of the chip, from real values of the inputs to the output.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    parts: tuple[Node, ...] = ()
    host: tuple[HostOp, ...] = ()

    @property
    def output(self) -> str:
        """The only output; every canonical operator has exactly one."""
        (name,) = self.outputs
        return name


@dataclass(frozen=True, slots=True, eq=False)
class ChannelStatistics:
    """What training learnt of a value: ``mean`` and standard deviation ``std`` per channel [C]."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]

    def through(self, gain: Array, offset: Array) -> ChannelStatistics:
        """Those of ``gain * x + offset``, each [C]."""
        return ChannelStatistics(self.mean * gain + offset, self.std * np.abs(gain))


@dataclass(frozen=True, slots=True)
class State:
    """A value that stays between frames: what ``output`` is in one, ``input`` is in the next.

    ``initial``: before the first frame, a number per channel (of a quantized graph: integers); ()
    where all are 0.
    """

    input: str
    output: str
    initial: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Graph:
    """A network in topological order.

    ``outputs`` are what the network's user sees; ``host`` maps the chip's outputs to them.
    ``constants`` hold weights: float32 in a float graph, integers where the tensor has a scale.
    ``trained``: by the name of a tensor, what a BatchNorm knew of the value that its node computes,
    before a merged activation; empty where the model came with BatchNorm folded in.
    ``integer_inputs``: of a float graph, the inputs that its user feeds with integers of this type.
    ``declared_inputs``: of a float graph whose model declares inputs that nothing reads, all of
    them in the model's order; else empty.
    ``states``: inputs and outputs of a network of one step that its user does not see, tied.
    ``sequences``: of a float graph that was read from one of many steps, the shape that an input or
    an output has there, and its axis of steps.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    tensors: Mapping[str, Tensor]
    constants: Mapping[str, Array]
    host: tuple[HostOp, ...] = ()
    trained: Mapping[str, ChannelStatistics] = field(default_factory=dict)
    integer_inputs: Mapping[str, DType] = field(default_factory=dict)
    declared_inputs: tuple[str, ...] = ()
    states: tuple[State, ...] = ()
    sequences: Mapping[str, tuple[tuple[int, ...], int]] = field(default_factory=dict)
    _readers: dict[str, tuple[Node, ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )  # filled when first asked for: a graph does not change
    _makers: dict[str, Node] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def fed_inputs(self) -> tuple[str, ...]:
        """The inputs that the network's user feeds: those that are no states."""
        states = {item.input for item in self.states}
        return tuple(name for name in self.inputs if name not in states)

    @property
    def seen_outputs(self) -> tuple[str, ...]:
        """The outputs that the network's user gets: those that are no states."""
        states = {item.output for item in self.states}
        return tuple(name for name in self.outputs if name not in states)

    @property
    def chip_outputs(self) -> tuple[str, ...]:
        """Tensors the chip delivers: the outputs with the trailing host operations undone."""
        return self._before_host(self.outputs)

    @property
    def seen_chip_outputs(self) -> tuple[str, ...]:
        """Those of them that an output is computed from which the network's user gets."""
        return self._before_host(self.seen_outputs)

    def _before_host(self, names: Iterable[str]) -> tuple[str, ...]:
        found = (source for name in names for source in self.before_host(name))
        return tuple(dict.fromkeys(found))

    def before_host(self, name: str) -> tuple[str, ...]:
        """The chip tensors that output ``name`` is computed from, in order of first need."""
        if not self.host:
            return (name,)
        makers = {output: op for op in self.host for output in op.outputs}
        waiting, found, known = [name], [], set()
        while waiting:
            name = waiting.pop()
            if name in known:
                continue
            known.add(name)
            if name in makers:
                waiting.extend(reversed(makers[name].features))
            else:
                found.append(name)
        return tuple(found)

    def tensor(self, name: str) -> Tensor:
        """The tensor called ``name``."""
        return self.tensors[name]

    def producers(self) -> Mapping[str, Node]:
        """Tensor name -> the node that writes it."""
        if not self._makers:
            self._makers.update((output, node) for node in self.nodes for output in node.outputs)
        return self._makers

    def consumers(self) -> Mapping[str, tuple[Node, ...]]:
        """Tensor name -> the nodes that read it, in order."""
        if not self._readers:
            found: dict[str, list[Node]] = {}
            for node in self.nodes:
                for name in dict.fromkeys(node.inputs):
                    found.setdefault(name, []).append(node)
            self._readers.update((name, tuple(readers)) for name, readers in found.items())
        return self._readers

    def with_nodes(self, nodes: Iterable[Node]) -> Graph:
        """The same graph with other nodes."""
        return replace(self, nodes=tuple(nodes))

    def with_tensors(self, tensors: Iterable[Tensor]) -> Graph:
        """The same graph with these tensors added or replaced."""
        return replace(self, tensors={**self.tensors, **{item.name: item for item in tensors}})

    def with_constants(self, constants: Mapping[str, Array]) -> Graph:
        """The same graph with these constants added or replaced."""
        return replace(self, constants={**self.constants, **constants})


def flatten_chains(nodes: Iterable[Node]) -> list[Node]:
    """The nodes with every chain opened into its parts."""
    flat: list[Node] = []
    for node in nodes:
        flat.extend(node.parts or (node,))
    return flat
