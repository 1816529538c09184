"""Norms whose rows differ in size: each row is divided by its mean magnitude first, roughly.

The reciprocal root of a LayerNormalization and its kin is a table of the variance, which follows
its function over a spread of about twentyfold, and 16 bits of squares hold little more::

    d -> d^2 -> mean v -> gain (v + epsilon)^-1/2 = r,  y = d r

Where variances spread further a table of 256 entries brings the rows together, and the root sees
what is left. How well it does that makes no difference: it is a factor of the whole row, which the
root takes out again::

    d -> |d| -> mean m -> 1 / (m + c) = s,  u = d s,  y = u gain (mean u^2 + epsilon s^2)^-1/2
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.ir import Graph, Node, Tensor
from knightlite.ops import table_functions
from knightlite.ops.expressions import Step

Array = NDArray[Any]
SPREAD = 20.0  # of variances, that a table of their roots follows
SMALL = 0.02  # the part of all rows that may be smaller
CODES = 128.0  # the largest m is so many c: two of its 8-bit codes, so that a rounding is no half
NEGLIGIBLE = 1e-3  # of the smallest variance: an epsilon that need not be right
TINY = 1e-7  # of the mean square of a row that is divided by its magnitude: its root is finite
MEANS = ("AveragePool", "Conv")
KINDS = np.asarray([0, 0.5, 1, 2, 4, 8, 1e6], np.float32)  # variances that tell what a root is


@dataclass(frozen=True, slots=True)
class Norm:
    """A norm's parts: what makes ``squares`` of d, the ``means`` to v, the ``root``, d * root."""

    squares: Node
    means: tuple[Node, ...]
    root: Node
    products: tuple[Node, ...]
    gain: float
    epsilon: float

    @property
    def differences(self) -> str:
        """The tensor d."""
        return self.squares.inputs[0]

    @property
    def variance(self) -> str:
        """The tensor v."""
        return self.root.inputs[0]


def norms(graph: Graph) -> list[Norm]:
    """Those of a float graph, in order."""
    producers, consumers = graph.producers(), graph.consumers()

    def alone(name: str) -> bool:
        return len(consumers.get(name, ())) == 1 and name not in graph.chip_outputs

    found = []
    for root in graph.nodes:
        constants = _gain_and_epsilon(root)
        if constants is None:
            continue
        means: list[Node] = []
        name = root.inputs[0]
        while name in producers and producers[name].op in MEANS and alone(name):
            means.insert(0, producers[name])
            name = producers[name].inputs[0]
        squares = producers.get(name)
        if squares is None or not means or not alone(name) or not _squares(squares):
            continue
        pair = {squares.inputs[0], root.output}
        products = consumers.get(root.output, ())
        if products and all(item.op == "Mul" and {*item.inputs} == pair for item in products):
            found.append(Norm(squares, tuple(means), root, products, *constants))
    return found


def _squares(node: Node) -> bool:
    if node.op != "Table":
        return False
    x = np.asarray([-3, -0.5, 0, 2, 7], np.float32)
    return bool(np.allclose(table_functions.evaluate(node, x), x**2, rtol=1e-6))


def _gain_and_epsilon(node: Node) -> tuple[float, float] | None:
    """Of ``gain * (v + epsilon)^-1/2``; None for any other node."""
    if node.op != "Table":
        return None
    with np.errstate(all="ignore"):
        y = table_functions.evaluate(node, KINDS).astype(np.float64)
    if not np.all(y > 0) or not np.all(np.isfinite(y[1:])):
        return None
    far = float(KINDS[-1])
    gain = float(y[-1]) * far**0.5
    epsilon = float((gain / y[0]) ** 2)  # 0 where it is infinite at 0
    gain = float(y[-1]) * (far + epsilon) ** 0.5
    wanted = gain / np.sqrt(KINDS[1:].astype(np.float64) + epsilon)
    if not np.allclose(y[1:], wanted, rtol=1e-4):
        return None
    return _single(gain), _single(epsilon)


def _single(value: float) -> float:
    """As files hold it."""
    return float(np.float32(value))


def spread(variances: Array) -> bool:
    """Whether more than a few rows are smaller than a table of roots would take."""
    rows = variances[variances > 0]
    return bool(rows.size and np.mean(rows < rows.max() / SPREAD) > SMALL)


def brought_together(graph: Graph, norm: Norm, variances: Array) -> Graph:
    """The graph of the same function in which a norm divides its rows by their mean magnitude.

    ``variances``: what was seen of v, some of it above 0.
    """
    rows = variances[variances > 0].astype(np.float64)
    offset = _single(rows.max() ** 0.5 / CODES)  # a mean magnitude is no larger than that root
    made = _Made(graph, norm.root.output)
    mean = made.table(norm.differences, "magnitudes", Step("Abs", (0,), {}))
    for node in norm.means:
        mean = made.like(node, mean, "mean")
    moved = Step("Add", (0, offset), {})
    inverse = made.table(mean, "inverse", moved, Step("Reciprocal", (1,), {}))
    together = made.pair("Mul", norm.differences, inverse, "together")
    made.nodes += [replace(norm.squares, inputs=(together,)), *norm.means]
    variance = norm.variance
    least = norm.epsilon / (float(rows.max() ** 0.5) + offset) ** 2  # of epsilon s^2, or less
    if norm.epsilon > NEGLIGIBLE * float(rows.min()):
        left = _single(least)
        squared = Step("Pow", (1,), {"exponent": -2.0}), Step("Mul", (2, norm.epsilon), {})
        added = made.table(mean, "added", moved, *squared, Step("Sub", (3, left), {}))
        variance = made.pair("Add", variance, added, "variance")
    else:
        left = _single(max(least, TINY))
    steps = [Step("Add", (0, left), {}), Step("Pow", (1,), {"exponent": -0.5})]
    if norm.gain != 1.0:
        steps.append(Step("Mul", (2, norm.gain), {}))
    attributes = table_functions.attributes_of(steps)
    made.nodes.append(replace(norm.root, inputs=(variance,), attributes=attributes))
    return made.in_place_of(norm, together)


class _Made:
    """The nodes that take a norm's place, and the graph's tensors with theirs."""

    def __init__(self, graph: Graph, stem: str) -> None:
        self.graph, self.stem = graph, stem
        self.tensors: dict[str, Tensor] = dict(graph.tensors)
        self.nodes: list[Node] = []

    def _tensor(self, part: str, like: str) -> str:
        name = f"{self.stem}.{part}"
        while name in self.tensors:
            name += "'"
        self.tensors[name] = replace(self.tensors[like], name=name)
        return name

    def table(self, source: str, part: str, *steps: Step) -> str:
        """A function of a tensor."""
        name = self._tensor(part, source)
        attributes = table_functions.attributes_of(steps)
        self.nodes.append(Node(name, "Table", (source,), (name,), attributes))
        return name

    def like(self, node: Node, source: str, part: str) -> str:
        """What a node makes, of another tensor."""
        name = self._tensor(part, node.output)
        inputs = (source, *node.inputs[1:])
        self.nodes.append(replace(node, name=name, inputs=inputs, outputs=(name,)))
        return name

    def pair(self, op: str, first: str, second: str, part: str) -> str:
        """Of two tensors, the first of which has all the elements."""
        name = self._tensor(part, first)
        self.nodes.append(Node(name, op, (first, second), (name,), {}))
        return name

    def in_place_of(self, norm: Norm, together: str) -> Graph:
        """The graph with these nodes, the products reading ``together``."""
        gone = {node.name for node in (norm.squares, *norm.means)}
        products = {node.name for node in norm.products}
        nodes: list[Node] = []
        for node in self.graph.nodes:
            if node.name == norm.root.name:
                nodes += self.nodes
            elif node.name in products:
                inputs = (together if name == norm.differences else name for name in node.inputs)
                nodes.append(replace(node, inputs=tuple(inputs)))
            elif node.name not in gone:
                nodes.append(node)
        return replace(self.graph, nodes=tuple(nodes), tensors=self.tensors)
