"""Chains of pointwise operators on one feature tensor become one Table.

A region is a set of pointwise nodes that depends on ONE feature tensor, its root, and on numbers.
It is fused where it merges a value with itself or has a nonlinear function with something around
it::

    x -> Sigmoid -> s;  Mul(x, s) -> y        =>  x -> Table -> y        (SiLU)
    x -> Add 3 -> Clip 0..6 -> Mul x -> Div 6  =>  x -> Table -> y        (HardSwish)

Not fused is what the canonical form folds for free: scalar affines and clamps behind a convolution.
A value that something outside reads is still computed, and a quantized value is the end of a
region: a rounding stays where the file has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from knightlite import ops
from knightlite.errors import UnsupportedError
from knightlite.frontend.importer import Importer, Value
from knightlite.frontend.source import SourceModel, SourceNode
from knightlite.ops import functions, table_functions
from knightlite.ops.expressions import BINARY, Step
from knightlite.ops.onnx_io import OnnxNode


@dataclass(frozen=True, slots=True)
class Region:
    """Pointwise nodes that become one Table of the value ``root``."""

    root: str
    nodes: tuple[str, ...]  # names of source nodes
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Fusion:
    """The regions by the name of their last node, and the nodes that nothing needs any more."""

    regions: Mapping[str, Region]
    absorbed: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Part:
    """A pointwise node: its operator and its operands, values by name or numbers."""

    node: SourceNode
    op: str
    operands: tuple[str | float, ...]
    parameters: Mapping[str, float | str]

    @property
    def features(self) -> list[str]:
        return [item for item in self.operands if isinstance(item, str)]


@dataclass(slots=True)
class _Search:
    """What is known of the model's values."""

    model: SourceModel
    producers: dict[str, SourceNode]
    readers: dict[str, list[SourceNode]]
    parts: dict[str, _Part] = field(default_factory=dict)  # by output
    roots: dict[str, str] = field(default_factory=dict)  # output of a part -> root
    places: dict[str, int] = field(default_factory=dict)  # output of a part -> its place in parts

    def root(self, value: str) -> str:
        """The feature tensor that ``value`` is a function of: itself where it is quantized."""
        return value if value in self.model.quantized else self.roots.get(value, value)

    def is_needed(self, value: str) -> bool:
        """True where something outside ``value``'s region reads it."""
        if value in self.model.quantized or value in self.model.outputs:
            return True
        return any(node.outputs[0] not in self.roots for node in self.readers.get(value, ()))


def find(model: SourceModel) -> Fusion:
    """The regions of ``model`` that become Tables."""
    search = _search(model)
    regions: dict[str, Region] = {}
    for value in search.roots:
        region = _region(search, value) if search.is_needed(value) else None
        if region is not None:
            regions[search.producers[value].name] = region
    return Fusion(regions, _absorbed(search, regions))


def _search(model: SourceModel) -> _Search:
    producers = {name: node for node in model.nodes for name in node.outputs if name}
    readers: dict[str, list[SourceNode]] = {}
    for node in model.nodes:
        for name in dict.fromkeys(node.inputs):
            readers.setdefault(name, []).append(node)
    search = _Search(model, producers, readers)
    for node in model.nodes:
        part = _part(model, node)
        roots = {search.root(name) for name in part.features} if part is not None else set()
        if part is not None and len(roots) == 1:
            search.places[node.outputs[0]] = len(search.places)
            search.parts[node.outputs[0]] = part
            search.roots[node.outputs[0]] = roots.pop()
    return search


# ------------------------------------------------------------------ one node


def _part(model: SourceModel, node: SourceNode) -> _Part | None:
    """The node as a pointwise function of features of one shape and of finite numbers, or None."""
    op, shapes = node.op_type, model.shapes
    if node.domain or len(node.outputs) != 1:
        return None
    constants = {name: model.constants[name] for name in node.inputs if name in model.constants}
    features = [name for name in node.inputs if name and name not in constants]
    shape = shapes.get(node.outputs[0])
    if shape is None or not features or any(shapes.get(name) != shape for name in features):
        return None
    if any(values.size != 1 or values.dtype.kind not in "fiu" for values in constants.values()):
        return None
    numbers = {name: float(np.float32(item.reshape(-1)[0])) for name, item in constants.items()}
    if op in BINARY or op == "Neg":
        operands = tuple(numbers.get(name, name) for name in node.inputs)
        return _binary(node, operands)
    if op not in ("Relu", "PRelu", *functions.FUNCTIONS) or node.inputs[0] in constants:
        return None
    resolved = OnnxNode(
        node.name, op, model.opset, node.inputs, node.outputs[0], node.attributes, constants, {}
    )
    try:
        name, parameters = functions.from_node(resolved)
    except (UnsupportedError, KeyError, ValueError, TypeError):
        return None  # the operator itself will say why
    if any(isinstance(item, float) and np.isnan(item) for item in parameters.values()):
        return None
    return _Part(node, name, (node.inputs[0],), parameters)


def _binary(node: SourceNode, operands: tuple[str | float, ...]) -> _Part | None:
    """Neg, and operators of two operands; Max and Min with a number are a Clip."""
    numbers = [item for item in operands if isinstance(item, float)]
    if not np.all(np.isfinite(numbers)) or (node.op_type == "Div" and operands[-1] == 0.0):
        return None
    if node.op_type == "Neg":
        return _Part(node, "Mul", (*operands, -1.0), {})
    if len(operands) != 2:
        return None
    if node.op_type in ("Max", "Min") and numbers:
        (feature,) = [item for item in operands if isinstance(item, str)]
        low, high = (numbers[0], np.inf) if node.op_type == "Max" else (-np.inf, numbers[0])
        return _Part(node, "Clip", (feature,), {"alpha": low, "beta": high})
    return _Part(node, node.op_type, operands, {})


# ------------------------------------------------------------------ regions


def _region(search: _Search, value: str) -> Region | None:
    """The region that computes ``value``, or None where it is no use to fuse it."""
    cone = _cone(search, value)
    order = {search.roots[value]: 0, **{part: index for index, part in enumerate(cone, start=1)}}
    pieces: list[list[str]] = []  # between the values that all paths go through
    start, root = 0, search.roots[value]
    for index, name in enumerate([root, *cone]):
        jumped = any(
            order[item] < index for later in cone[index:] for item in search.parts[later].features
        )
        if jumped or index == 0:
            continue
        pieces.append(cone[start:index])
        start = index
        if name != value and search.is_needed(name):
            pieces, root = [], name
    while pieces and _folds(search, pieces[0], root):
        root = pieces.pop(0)[-1]
    steps = _steps(search, root, [name for piece in pieces for name in piece])
    useful = any(len(piece) > 1 or not _is_free(search, piece[0]) for piece in pieces)
    if not useful or (len(steps) == 1 and steps[0].op not in BINARY):
        return None  # a function by itself is a Table already
    nodes = tuple(search.parts[name].node.name for piece in pieces for name in piece)
    return Region(root, nodes, tuple(steps))


def _cone(search: _Search, value: str) -> list[str]:
    """The parts that ``value`` depends on back to its root, itself last, in the model's order."""
    root, found, waiting = search.roots[value], {value}, [value]
    while waiting:
        for name in search.parts[waiting.pop()].features:
            if name != root and name not in found:
                found.add(name)
                waiting.append(name)
    return sorted(found, key=search.places.__getitem__)


def _steps(search: _Search, root: str, names: Sequence[str]) -> list[Step]:
    numbers = {root: 0, **{name: index for index, name in enumerate(names, start=1)}}
    return [
        Step(
            part.op,
            tuple(numbers[item] if isinstance(item, str) else item for item in part.operands),
            part.parameters,
        )
        for part in (search.parts[name] for name in names)
    ]


def _is_free(search: _Search, name: str) -> bool:
    """True where the operator alone may fold into its producer."""
    (step,) = _steps(search, search.parts[name].features[0], [name])
    return step.is_affine or step.is_clip


def _folds(search: _Search, piece: Sequence[str], root: str) -> bool:
    """True where the canonical form folds the piece into what produces ``root``."""
    if len(piece) != 1 or not _is_free(search, piece[0]):
        return False
    if root in search.model.quantized or root in search.model.outputs:
        return False
    if len(search.readers[root]) != 1:
        return False
    base = root
    while base in search.parts:  # pieces that have been folded themselves
        (base,) = search.parts[base].features
    producer = search.producers.get(base)
    definition = ops.BY_ONNX_TYPE.get(producer.op_type) if producer is not None else None
    if producer is None or definition is None:
        return False
    by_constant = definition.name in BINARY and any(
        name in search.model.constants for name in producer.inputs
    )
    if search.parts[piece[0]].op == "Clip":
        return definition.clampable
    return definition.kernel is not None or definition.name == "Affine" or by_constant


def _absorbed(search: _Search, regions: Mapping[str, Region]) -> frozenset[str]:
    """Nodes that no output depends on once the regions are Tables."""
    live: set[str] = set()
    waiting = list(search.model.outputs)
    while waiting:
        node = search.producers.get(waiting.pop())
        if node is None or node.name in live:
            continue
        live.add(node.name)
        region = regions.get(node.name)
        waiting.extend(node.inputs if region is None else (region.root,))
    return frozenset(node.name for node in search.model.nodes if node.name not in live)


# ------------------------------------------------------------------ the Table


def compute(state: Importer, node: SourceNode, region: Region) -> None:
    """Append the Table of a region, whose last node is ``node``."""
    output = node.outputs[0]
    state.declare(output, state.shape(region.root))
    source = state.value(region.root).tensor
    state.builder.node("Table", (source,), output, table_functions.attributes_of(region.steps))
    root = state.value(region.root)
    state.values[output] = Value(output, order=root.order, factors=root.factors)
