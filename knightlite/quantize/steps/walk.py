"""The float and the quantized network side by side, node by node, on a sample of pictures.

``Walk(graph, pictures)`` runs every float node on float inputs and every quantized node on the
quantized network's own inputs. Before a quantized node runs, a *visitor* sees both sides
(:class:`Layer`) and may give the node other integer constants: so a layer can be fitted to what it
really receives, all layers before it being final already. What comes back is the changed graph and
how far every tensor is from its float value (:class:`Errors`), without another run.

Tensors are freed after their last reader, and quantized ones are kept as integers, so memory is
that of the widest place in the network; :func:`pictures_at_once` says how many pictures that
allows. Every operator takes a few of them at a time, side by side on the cores. The values of a
quantized tensor are those of the QDQ model: ``saturate(rne(x / scale)) * scale`` in float32.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from knightlite.inference import (
    Inputs,
    Network,
    NodeRuns,
    PictureRuns,
    float_network,
    quantized_network,
    weights_of,
)
from knightlite.ir import Graph, Node, Tensor
from knightlite.ir.large import let_go
from knightlite.ops import View
from knightlite.quantize.data.sample import pictures_at_once
from knightlite.quantize.steps.live_values import Rounded, empty, parts, real_value

Array = NDArray[Any]
Piece = TypeVar("Piece")
Constants = Mapping[str, Array]
Values = Array | Rounded
"""Float32 values [n, C, H, W]; a slice of the pictures gives theirs."""

KEPT_BYTES = 64 << 20  # of float outputs
MEASURED_BYTES = 64 << 20  # of live values, where nothing needs many pictures together


@dataclass(frozen=True, eq=False)
class Layer:
    """A node of the quantized graph with the values on both sides, [n, C, H, W] each.

    ``exact`` is float; ``fixed_inputs`` are the quantized network's values. Where the node has
    weights, ``exact`` is what they compute, before a merged activation. ``graph`` is the quantized
    graph; ``runs`` are there for what a visitor computes itself.
    """

    graph: Graph
    node: Node
    fixed_inputs: tuple[Values, ...]
    exact: Array
    linear: Callable[[Constants], Iterator[Array]]
    """The quantized node's value, before a merged activation, with other integer constants: a few
    pictures at a time, in order."""
    runs: NodeRuns

    @cached_property
    def view(self) -> View:
        """The node in its graph."""
        return View(self.graph, self.node)


Compute = Callable[[Mapping[str, Array]], Array]
"""A float node's value, its activation included, from other values of its feature tensors."""

FloatVisitor = Callable[[Node, Mapping[str, Array], Array, Compute], None]
"""Sees a float node, its feature tensors by name, its value, and how it computes."""

_Layer = Callable[[Sequence[Array]], Array]  # a node, of its feature tensors

Visitor = Callable[[Layer], Constants | None]
"""New integer arrays for constants of the layer's node, by name; None leaves it as it is."""


@dataclass(frozen=True, slots=True)
class Errors:
    """Of one tensor, per picture [n]: energy of the float values and of the difference, cosine."""

    energy: NDArray[np.float64]
    noise: NDArray[np.float64]
    product: NDArray[np.float64]
    fixed_energy: NDArray[np.float64]

    @property
    def mean_decibels(self) -> float | None:
        """Mean of the pictures' own SQNR in dB: no picture outweighs the others."""
        told = (self.energy > 0) & (self.noise > 0)
        ratios = self.energy[told] / self.noise[told]
        return float(np.mean(10 * np.log10(ratios))) if ratios.size else None

    @property
    def cosine(self) -> float | None:
        """Cosine of the angle between float and quantized values; None where one is all zero."""
        square = float(self.energy.sum()) * float(self.fixed_energy.sum())
        return float(self.product.sum()) / square**0.5 if square > 0 else None


@dataclass(frozen=True, slots=True)
class Walked:
    """The quantized graph with what the visitor changed, and every feature tensor's errors."""

    graph: Graph
    errors: Mapping[str, Errors]


class Walk:
    """The float ``graph`` on ``pictures``, one array [n, C, H, W] per network input."""

    def __init__(
        self,
        graph: Graph,
        pictures: tuple[Array, ...],
        threads: int | None = None,
        exact: Sequence[Mapping[str, Array]] = (),
    ) -> None:
        """``threads``: operators at once, each on other pictures; None for all cores.

        ``exact``: the float network's outputs by picture, where they are known.
        """
        self._graph = graph
        self._pictures = dict(zip(graph.inputs, pictures, strict=True))
        self._threads = threads
        self.runs = NodeRuns(graph, threads)
        """Single nodes of the float network, and of what quantization makes of it."""
        self._exact: dict[int, Mapping[str, Array]] = dict(enumerate(exact))

    @property
    def graph(self) -> Graph:
        """The float network."""
        return self._graph

    @property
    def count(self) -> int:
        """Number of pictures."""
        return len(next(iter(self._pictures.values())))

    def inputs(self, pictures: slice) -> dict[str, Array]:
        """Some of the pictures [n, C, H, W], by network input."""
        return {name: values[pictures] for name, values in self._pictures.items()}

    def run(
        self,
        quantized: Graph,
        visitor: Visitor | None = None,
        *,
        pictures: slice = slice(None),
    ) -> Walked:
        """Run both networks on some of the pictures, all of them at once."""
        self.runs.prepare(self._graph, quantized)
        exact: dict[str, Array] = {}
        fixed: dict[str, Values] = {}
        errors: dict[str, Errors] = {}
        remaining = reads(self._graph)

        def keep(name: str, made: _Made) -> None:
            errors[name] = made.errors
            if remaining.get(name):
                exact[name] = made.exact
                fixed[name] = made.fixed

        for name, values in self.inputs(pictures).items():
            keep(name, _made_input(values, quantized.tensors[name]))
        for place, node in enumerate(self._graph.nodes):
            names = list(dict.fromkeys(name for name in node.inputs if name in exact))
            quantized, made = self._step(
                quantized,
                place,
                tuple(exact[name] for name in names),
                tuple(fixed[name] for name in names),
                visitor,
            )
            keep(node.output, made)
            for name in names:
                remaining[name] -= 1
                if not remaining[name]:
                    del exact[name], fixed[name]
        return Walked(quantized, errors)

    def outputs(
        self, quantized: Graph, names: Sequence[str], pictures: slice = slice(None)
    ) -> tuple[Errors, ...]:
        """The errors of some outputs of the chip alone: the networks run whole, not node by node.

        ``quantized``: whatever was made of the float graph, with outputs of these names. It takes a
        fifth of the time of :meth:`measure`. The float outputs of a picture are kept
        for the next network, :data:`KEPT_BYTES` of them at most.
        """
        places = range(self.count)[pictures]
        missing = [place for place in places if place not in self._exact]
        if missing:
            each = 4 * sum(self._graph.tensors[name].elements for name in names)
            if each * (len(self._exact) + len(missing)) > KEPT_BYTES:
                self._exact.clear()
                missing = list(places)
            for place, values in self._delivered(float_network(self._graph, names), missing):
                self._exact[place] = values
        found = [
            [_errors(self._exact[place][name], values[name]) for name in names]
            for place, values in self._delivered(quantized_network(quantized, names), places)
        ]
        return tuple(joined(column) for column in zip(*found, strict=True))

    def _delivered(
        self, network: Network, places: Sequence[int]
    ) -> Iterator[tuple[int, Mapping[str, Array]]]:
        """What a network delivers of each of the pictures, in order, some ahead of their turn."""
        made: deque[tuple[int, Mapping[str, Array]]] = deque()
        with PictureRuns(network, self._threads) as runs:
            for place in places:
                inputs = tuple(item[place : place + 1] for item in self._pictures.values())

                def keep(_: Inputs, values: Mapping[str, Array], place: int = place) -> list[Array]:
                    made.append((place, values))
                    return []

                runs.give(inputs, keep)
                while made:
                    yield made.popleft()
        yield from made

    def measure(self, quantized: Graph, pictures: slice = slice(None)) -> Mapping[str, Errors]:
        """The errors of every feature tensor, a few pictures at a time: any number of them."""
        places = range(self.count)[pictures]
        step = pictures_at_once(self._graph, MEASURED_BYTES)
        found = []
        for first in range(0, len(places), step):
            some = places[first : first + step]
            chosen = slice(some.start, some.stop, some.step)
            found.append(self.run(quantized, pictures=chosen).errors)
        return {name: joined([part[name] for part in found]) for name in found[0]}

    def visit(
        self,
        visitor: FloatVisitor,
        pictures: slice = slice(None),
        inputs: Callable[[str, Array], None] | None = None,
    ) -> None:
        """Run the float network alone, a few pictures at a time; ``visitor`` sees every node.

        ``inputs`` sees the network's inputs before, each with its name.
        """
        self.runs.prepare(self._graph)
        places = range(self.count)[pictures]
        step = pictures_at_once(self._graph, MEASURED_BYTES)
        for first in range(0, len(places), step):
            some = places[first : first + step]
            chosen = slice(some.start, some.stop, some.step)
            values = self.inputs(chosen)
            if inputs is not None:
                for name, item in values.items():
                    inputs(name, item)
            self._visit_part(visitor, values)

    def _visit_part(self, visitor: FloatVisitor, values: dict[str, Array]) -> None:
        remaining = reads(self._graph)
        for node in self._graph.nodes:
            layer = self.runs.layer(node)
            names = list(dict.fromkeys(name for name in node.inputs if name in values))

            def compute(
                given: Mapping[str, Array],
                node: Node = node,
                names: Sequence[str] = names,
                layer: _Layer = layer,
            ) -> Array:
                return self._value(node, [given[name] for name in names], layer)

            inputs = {name: values[name] for name in names}
            value = self._value(node, [values[name] for name in names], layer)
            visitor(node, inputs, value, compute)
            values[node.output] = value
            for name in names:
                remaining[name] -= 1
                if not remaining[name]:
                    del values[name]

    def _value(self, node: Node, inputs: Sequence[Array], layer: _Layer) -> Array:
        """The float node's value for all pictures of ``inputs``, its activation included."""
        view = View(self._graph, node)

        def compute(part: slice) -> Array:
            made = layer([item[part] for item in inputs])
            if weights_of(node):
                clamp(made, view)
            return made

        pieces = self.parts(node, len(inputs[0]))
        if len(pieces) == 1:
            return compute(pieces[0])
        value = empty((len(inputs[0]), *self._graph.tensors[node.output].shape[1:]), np.float32)
        for part, made in zip(pieces, self.runs.side_by_side(compute, pieces), strict=True):
            value[part] = made
        return value

    def linear(
        self, quantized: Graph, node: Node, other: Node, inputs: Sequence[Values]
    ) -> Callable[[Constants], Callable[[slice], Array]]:
        """What the quantized node makes of some pictures before its activation, by constants."""

        def linear(constants: Constants) -> Callable[[slice], Array]:
            real = [
                real_value(constants.get(name, quantized.constants[name]), quantized.tensors[name])
                for name in weights_of(other)
            ]
            layer = self.runs.layer(node, real)
            return lambda part: layer([item[part] for item in inputs])

        return linear

    def _step(
        self,
        quantized: Graph,
        place: int,
        exact_inputs: tuple[Array, ...],
        fixed_inputs: tuple[Values, ...],
        visitor: Visitor | None,
    ) -> tuple[Graph, _Made]:
        """The graph as the visitor leaves it, and both sides of the node at ``place``."""
        graph, runs = self._graph, self.runs
        node, fixed_node = graph.nodes[place], quantized.nodes[place]
        compute, weights = runs.layer(node), weights_of(node)
        tensor, count = quantized.tensors[node.output], len(exact_inputs[0])
        value = empty((count, *graph.tensors[node.output].shape[1:]), np.float32)
        rounded = Rounded.of(count, tensor)
        pieces = self.parts(node, count)

        def exactly(part: slice) -> None:
            value[part] = compute([item[part] for item in exact_inputs])

        linear = self.linear(quantized, node, fixed_node, fixed_inputs)
        constants: Constants = {}
        if visitor is not None:
            self.run_all(exactly, pieces)
            layer = Layer(
                quantized,
                fixed_node,
                fixed_inputs,
                value,
                lambda given: runs.side_by_side(linear(given), pieces),
                runs,
            )
            constants = visitor(layer) or {}
        fixed = linear(constants)

        def both(part: slice) -> Errors:
            if visitor is None:
                exactly(part)
            made = fixed(part)
            if weights:
                clamp(value[part], View(graph, node))
                clamp(made, View(graph, node))
            return _errors(value[part], rounded.real(rounded.put(part, made, tensor)))

        errors = joined(list(runs.side_by_side(both, pieces)))
        let_go()
        changed = quantized.with_constants(constants) if constants else quantized
        return changed, _Made(value, rounded, errors)

    def parts(self, node: Node, count: int) -> list[slice]:
        """Pictures that the node takes at a time."""
        names = [name for name in node.inputs if name not in self._graph.constants]
        return parts(
            count, sum(self._graph.tensors[name].elements for name in (*names, node.output))
        )

    def run_all(self, function: Callable[[Piece], None], pieces: Sequence[Piece]) -> None:
        """Call ``function`` with every piece, side by side."""
        deque(self.runs.side_by_side(function, pieces), maxlen=0)


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    """Both sides of a tensor."""

    exact: Array
    fixed: Rounded
    errors: Errors


def _made_input(values: Array, tensor: Tensor) -> _Made:
    rounded = Rounded.of(len(values), tensor)
    errors = [
        _errors(values[part], rounded.real(rounded.put(part, values[part].copy(), tensor)))
        for part in parts(len(values), tensor.elements)
    ]
    return _Made(values, rounded, joined(errors))


def reads(graph: Graph) -> dict[str, int]:
    """Tensor -> number of nodes that read it."""
    return {name: len(nodes) for name, nodes in graph.consumers().items()}


def clamp(values: Array, view: View) -> None:
    """Cut ``values`` off in place where the node has a merged activation."""
    low, high = view.clamp
    if not (np.isinf(low) and np.isinf(high)):
        np.clip(values, low, high, out=values)


def joined(parts: Sequence[Errors]) -> Errors:
    """The errors of several sets of pictures as those of one."""
    columns = ((part.energy, part.noise, part.product, part.fixed_energy) for part in parts)
    return Errors(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def _errors(exact: Array, fixed: Array) -> Errors:
    rows = exact.reshape(len(exact), -1)
    other = fixed.reshape(len(fixed), -1)
    difference = rows - other

    def dots(a: Array, b: Array) -> NDArray[np.float64]:
        return np.asarray([float(np.dot(x, y)) for x, y in zip(a, b, strict=True)])

    return Errors(
        dots(rows, rows), dots(difference, difference), dots(rows, other), dots(other, other)
    )
