"""The float and the quantized network side by side, node by node, on a sample of pictures.

``Walk(graph, pictures)`` runs every float node on float inputs and every quantized node on the
quantized network's own inputs. Before a quantized node runs, a *visitor* sees both sides
(:class:`Layer`) and may give the node other integer constants: so a layer can be fitted to what it
really receives, all layers before it being final already. What comes back is the changed graph and
how far every tensor is from its float value (:class:`Errors`), without another run.

Tensors are freed after their last reader, so memory is that of the widest place in the network;
:func:`pictures_at_once` says how many pictures that allows. The values of a quantized tensor are
those of the QDQ model: ``saturate(rne(x / scale)) * scale`` in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from knightlite.ir import Graph, Node, Tensor
from knightlite.ops import BY_NAME, View
from knightlite.quantize.onnx_models import session, write_node_model
from knightlite.quantize.report import decibels

if TYPE_CHECKING:
    import onnxruntime

Array = NDArray[Any]
Constants = Mapping[str, Array]

LIVE_BYTES = 200 << 20  # of live values, float and quantized together


@dataclass(frozen=True, eq=False)
class Layer:
    """A node of the quantized graph with the values on both sides, [n, C, H, W] each.

    ``exact_inputs`` and ``exact`` are float; ``fixed_inputs`` are the quantized network's values.
    Where the node has weights, ``exact`` is what they compute, before a merged activation.
    ``graph`` is the quantized graph.
    """

    graph: Graph
    node: Node
    exact_inputs: tuple[Array, ...]
    fixed_inputs: tuple[Array, ...]
    exact: Array
    linear: Callable[[Constants], Array]
    """The quantized node's value, before a merged activation, with other integer constants."""

    @cached_property
    def view(self) -> View:
        """The node in its graph."""
        return View(self.graph, self.node)


Compute = Callable[[Mapping[str, Array]], Array]
"""A float node's value, its activation included, from other values of its feature tensors."""

FloatVisitor = Callable[[Node, Mapping[str, Array], Array, Compute], None]
"""Sees a float node, its feature tensors by name, its value, and how it computes."""

Visitor = Callable[[Layer], Constants | None]
"""New integer arrays for constants of the layer's node, by name; None leaves it as it is."""


@dataclass(frozen=True, slots=True)
class Errors:
    """Of one tensor, per picture [n]: energy of the float values and of the difference, cosine."""

    energy: NDArray[np.float64]
    noise: NDArray[np.float64]
    product: NDArray[np.float64]
    fixed_energy: NDArray[np.float64]

    def decibels(self, pictures: slice = slice(None)) -> float | None:
        """SQNR in dB over some of the pictures; None where there is no signal or no noise."""
        return decibels(float(self.energy[pictures].sum()), float(self.noise[pictures].sum()))

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
    """The float ``graph`` on ``pictures``, one array [n, C, H, W] per network input.

    One session per node, made when first needed and kept for further walks.
    """

    def __init__(
        self, graph: Graph, pictures: tuple[Array, ...], threads: int | None = None
    ) -> None:
        """``threads``: ONNX Runtime's."""
        self._graph = graph
        self._pictures = dict(zip(graph.inputs, pictures, strict=True))
        self._threads = threads
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}

    @property
    def count(self) -> int:
        """Number of pictures."""
        return len(next(iter(self._pictures.values())))

    def run(
        self,
        quantized: Graph,
        visitor: Visitor | None = None,
        *,
        pictures: slice = slice(None),
        isolated: bool = False,
    ) -> Walked:
        """Run both networks on some of the pictures, all of them at once.

        ``isolated``: every quantized node reads float values instead. Then a tensor's error is that
        of its own node alone: its weights and its rounding.
        """
        exact: dict[str, Array] = {}
        fixed: dict[str, Array] = {}
        errors: dict[str, Errors] = {}
        remaining = _reads(self._graph)
        changed = quantized

        def keep(name: str, value: Array, quantized_value: Array) -> None:
            errors[name] = _errors(value, quantized_value)
            if remaining.get(name):
                exact[name] = value
                fixed[name] = value if isolated else quantized_value

        for name, values in self._pictures.items():
            value = values[pictures]
            keep(name, value, fake_quantize(value, quantized.tensors[name]))
        for node, fixed_node in zip(self._graph.nodes, quantized.nodes, strict=True):
            changed, value, quantized_value = self._step(
                node, fixed_node, changed, exact, fixed, visitor
            )
            keep(node.output, value, quantized_value)
            for name in dict.fromkeys(node.inputs):
                if name in exact:
                    remaining[name] -= 1
                    if not remaining[name]:
                        del exact[name], fixed[name]
        return Walked(changed, errors)

    def measure(
        self, quantized: Graph, pictures: slice = slice(None), *, isolated: bool = False
    ) -> Mapping[str, Errors]:
        """The errors of every feature tensor, a few pictures at a time: any number of them."""
        places = range(self.count)[pictures]
        step = pictures_at_once(self._graph, LIVE_BYTES)
        parts = []
        for first in range(0, len(places), step):
            some = places[first : first + step]
            chosen = slice(some.start, some.stop, some.step)
            parts.append(self.run(quantized, pictures=chosen, isolated=isolated).errors)
        return {name: joined([part[name] for part in parts]) for name in parts[0]}

    def visit(
        self,
        visitor: FloatVisitor,
        pictures: slice = slice(None),
        inputs: Callable[[str, Array], None] | None = None,
    ) -> None:
        """Run the float network alone, a few pictures at a time; ``visitor`` sees every node.

        ``inputs`` sees the network's inputs before, each with its name.
        """
        places = range(self.count)[pictures]
        step = pictures_at_once(self._graph, LIVE_BYTES)
        for first in range(0, len(places), step):
            some = places[first : first + step]
            chosen = slice(some.start, some.stop, some.step)
            values = {name: item[chosen] for name, item in self._pictures.items()}
            if inputs is not None:
                for name, item in values.items():
                    inputs(name, item)
            self._visit_part(visitor, values)

    def _visit_part(self, visitor: FloatVisitor, values: dict[str, Array]) -> None:
        remaining = _reads(self._graph)
        for node in self._graph.nodes:
            weights = tuple(self._graph.constants[name] for name in _weights(node))
            names = list(dict.fromkeys(name for name in node.inputs if name in values))

            def compute(
                given: Mapping[str, Array],
                node: Node = node,
                names: Sequence[str] = names,
                weights: tuple[Array, ...] = weights,
            ) -> Array:
                made = self._compute(node, tuple(given[name] for name in names), weights)
                return _clamp(made, View(self._graph, node)) if weights else made

            inputs = {name: values[name] for name in names}
            value = compute(inputs)
            visitor(node, inputs, value, compute)
            values[node.output] = value
            for name in names:
                remaining[name] -= 1
                if not remaining[name]:
                    del values[name]

    def _step(
        self,
        node: Node,
        fixed_node: Node,
        quantized: Graph,
        exact: Mapping[str, Array],
        fixed: Mapping[str, Array],
        visitor: Visitor | None,
    ) -> tuple[Graph, Array, Array]:
        """The graph as the visitor leaves it, the float output, the quantized output."""
        features = list(dict.fromkeys(name for name in node.inputs if name in exact))
        exact_inputs = tuple(exact[name] for name in features)
        fixed_inputs = tuple(fixed[name] for name in features)
        weights = {name: self._graph.constants[name] for name in _weights(node)}
        value = self._compute(node, exact_inputs, tuple(weights.values()))

        def linear(constants: Constants) -> Array:
            real = [
                real_value(constants.get(name, quantized.constants[name]), quantized.tensors[name])
                for name in _weights(fixed_node)
            ]
            return self._compute(node, fixed_inputs, tuple(real), bias=len(real) > 1)

        constants: Constants = {}
        if visitor is not None:
            layer = Layer(quantized, fixed_node, exact_inputs, fixed_inputs, value, linear)
            constants = visitor(layer) or {}
        if constants:
            quantized = quantized.with_constants(constants)
        made = linear(constants)
        if weights:
            value, made = (_clamp(item, View(self._graph, node)) for item in (value, made))
        return quantized, value, fake_quantize(made, quantized.tensors[node.output])

    def _compute(
        self,
        node: Node,
        inputs: tuple[Array, ...],
        weights: tuple[Array, ...],
        bias: bool | None = None,
    ) -> Array:
        """The float node, without its activation where it has weights."""
        has_bias = len(weights) > 1 if bias is None else bias
        key = f"{node.output}/{has_bias}"
        if key not in self._sessions:
            model = write_node_model(self._graph, node, has_bias)
            self._sessions[key] = session(model, self._threads, lean=True)
        found = self._sessions[key]
        names = [item.name for item in found.get_inputs()]
        feeds = dict(zip(names, (*inputs, *weights), strict=True))
        return np.asarray(found.run(None, feeds)[0])


def fake_quantize(values: Array, tensor: Tensor) -> Array:
    """What QuantizeLinear and DequantizeLinear make of float32 ``values`` [n, C, ...]."""
    assert tensor.scale is not None
    scale = tensor.scale.astype(np.float32)
    if scale.ndim:
        scale = scale.reshape(1, -1, *(1,) * (values.ndim - 2))
    made = values / scale
    np.rint(made, out=made)
    np.clip(made, tensor.dtype.minimum, tensor.dtype.maximum, out=made)
    made *= scale
    return made


def real_value(integers: Array, tensor: Tensor) -> Array:
    """The float32 values of integer weights or biases, one scale per output channel."""
    assert tensor.scale is not None
    scale = tensor.scale.astype(np.float32)
    if scale.ndim:
        scale = scale.reshape(-1, *(1,) * (integers.ndim - 1))
    return integers.astype(np.float32) * scale


def pictures_at_once(graph: Graph, live_bytes: int = LIVE_BYTES) -> int:
    """How many pictures fit ``live_bytes`` at the widest place of the network; at least 1."""
    widest, remaining = 1, _reads(graph)
    alive: dict[str, int] = {name: graph.tensors[name].elements for name in graph.inputs}
    live = sum(alive.values())
    for node in graph.nodes:
        size = graph.tensors[node.output].elements
        widest = max(widest, live + 2 * size)
        alive[node.output] = size
        live += size
        for name in dict.fromkeys(node.inputs):
            if name in alive:
                remaining[name] -= 1
                if not remaining[name]:
                    live -= alive.pop(name)
    return max(1, live_bytes // (8 * widest))


def _reads(graph: Graph) -> dict[str, int]:
    """Tensor -> number of nodes that read it."""
    return {name: len(nodes) for name, nodes in graph.consumers().items()}


def _weights(node: Node) -> tuple[str, ...]:
    """The names of a node's weights and bias; none where it multiplies by none."""
    return node.inputs[1:] if BY_NAME[node.op].kernel is not None else ()


def _clamp(values: Array, view: View) -> Array:
    low, high = view.clamp
    return values if np.isinf(low) and np.isinf(high) else np.clip(values, low, high)


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
