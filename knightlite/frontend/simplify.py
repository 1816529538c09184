"""Canonical rewrites: fold channel affines into convolutions, merge affines and clamps.

::

    Conv -> Affine          =>  Conv with scaled weights and bias
    Affine -> Conv          =>  Conv, where no padding would see the offset
    Affine -> Affine        =>  Affine
    clampable -> Relu/Clip  =>  the same operator with ``clamp``
    scalable -> factor      =>  the same operator with ``gain``
    Table -> Table          =>  Table
    Conv -> Table           =>  Conv with what of the Table's function is a gain or offset in front

The first and the third hold behind a clamp too where the affine is one for all channels.

Each needs the tensor in between to have no other reader and to be unquantized (a quantized tensor
is a rounding point). Arithmetic is float64, rounded to float32 once at the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite import dtypes, ops
from knightlite.ir import Attribute, ChannelStatistics, Graph, Node, Tensor
from knightlite.ir.large import paged
from knightlite.ops import expressions, table_functions
from knightlite.ops.opdef import OPEN

Array = NDArray[Any]
Clamp = tuple[float, float]
WEIGHTED = tuple(op.name for op in ops.ALL_OPS if op.kernel is not None)
AFFINE_KINDS = (*WEIGHTED, "Affine")  # what a following affine folds into
PARTS = {
    **dict.fromkeys(WEIGHTED, ("weight", "bias")),
    "Affine": ("gain", "offset"),
    "PRelu": ("slope",),
}


@dataclass(slots=True)
class _Draft:
    """The graph being rewritten: nodes by output name in order; touched constants are float64."""

    nodes: dict[str, Node]
    tensors: dict[str, Tensor]
    constants: dict[str, Array]
    readers: Counter[str]
    outputs: frozenset[str]
    trained: dict[str, ChannelStatistics]

    def only_reader(self, name: str) -> bool:
        """True where ``name`` may vanish into its reader."""
        tensor = self.tensors[name]
        return self.readers[name] == 1 and name not in self.outputs and tensor.scale is None

    def is_float(self, node: Node) -> bool:
        """True where the constants of ``node`` are real numbers."""
        return all(
            np.issubdtype(self.constants[name].dtype, np.floating)
            for name in node.inputs
            if name in self.constants
        )


def simplify(graph: Graph) -> Graph:
    """The canonical form of an imported graph: same outputs, fewer nodes, tidy names."""
    draft = _draft(graph)
    for node in graph.nodes:
        _place(draft, _normalized(draft, node))
    for node in list(draft.nodes.values()):
        if node.op == "Affine":
            _fold_forward(draft, node)
    return _finished(graph, draft)


def _draft(graph: Graph) -> _Draft:
    readers = Counter(name for node in graph.nodes for name in node.inputs)
    outputs = frozenset(graph.chip_outputs)
    tensors, constants = dict(graph.tensors), dict(graph.constants)
    return _Draft({}, tensors, constants, readers, outputs, dict(graph.trained))


def _normalized(draft: _Draft, node: Node) -> Node:
    """One spelling for a pool over the whole picture: strides 1."""
    if node.op != "AveragePool":
        return node
    whole = node.attributes["kernel"] == draft.tensors[node.inputs[0]].shape[2:]
    if whole and not any(_integers(node, "pads")):
        return replace(node, attributes={**node.attributes, "strides": (1, 1)})
    return node


# ------------------------------------------------------------------ into the producer


def _place(draft: _Draft, node: Node) -> None:
    """Append ``node``, or merge it into its producer."""
    producer = draft.nodes.get(node.inputs[0])
    merged: Node | None = None
    if producer is not None and draft.only_reader(producer.output):
        if node.op == "Affine":
            merged = _affine_into(draft, producer, node)
        elif is_clip(node):
            merged = _clip_into(producer, node)
        if merged is None and node.op == producer.op == "Table":
            steps = expressions.composed(
                table_functions.steps_of(producer), table_functions.steps_of(node)
            )
            merged = replace(producer, attributes=table_functions.attributes_of(steps))
    if merged is None or producer is None:
        draft.nodes[node.output] = _handed_back(draft, node)
        return
    del draft.nodes[producer.output]
    _hand_on(draft, producer, node)
    merged = replace(merged, name=node.output, outputs=node.outputs)
    draft.nodes[node.output] = _handed_back(draft, merged)


def _handed_back(draft: _Draft, node: Node) -> Node:
    """A Table without the gain and offset in front that a convolution before it takes over.

    Exporters write them as operators of their own, which fold into it: one form for both.
    """
    producer = draft.nodes.get(node.inputs[0])
    if node.op != "Table" or producer is None or producer.op not in AFFINE_KINDS:
        return node
    if not draft.only_reader(producer.output) or clamp_of(producer) != OPEN:
        return node
    steps = table_functions.steps_of(node)
    while len(steps) > 1:
        factors = expressions.gain_and_offset(steps)
        if factors is None:
            break
        channels = draft.tensors[producer.output].shape[1]
        gain, offset = (np.full(channels, factor) for factor in factors)
        made = _gained(draft, producer, gain, offset)
        if made is None:
            break
        producer = draft.nodes[producer.output] = made
        steps = expressions.without_first(steps)
    return replace(node, attributes=table_functions.attributes_of(steps))


def _hand_on(draft: _Draft, producer: Node, node: Node) -> None:
    """What BatchNorm knew of ``producer``'s value is known of the value that it becomes.

    A BatchNorm's own numbers go before those of an earlier one.
    """
    known = draft.trained.pop(producer.output, None)
    if known is None or node.output in draft.trained:
        return
    if node.op == "Affine":
        gain, offset = (draft.constants[name].astype(np.float64) for name in node.inputs[1:])
        known = known.through(gain, offset)
    draft.trained[node.output] = known


def is_clip(node: Node) -> bool:
    """True for the table that a Relu or Clip became."""
    return node.op == "Table" and node.attributes["function"] == "Clip"


def clamp_of(node: Node) -> Clamp:
    """The merged activation of ``node``; open where it has none."""
    clamp = node.attributes.get("clamp", OPEN)
    assert isinstance(clamp, tuple)
    return float(clamp[0]), float(clamp[1])


def _bounds(node: Node) -> Clamp:
    low, high = node.attributes["alpha"], node.attributes["beta"]
    assert isinstance(low, float)
    assert isinstance(high, float)
    return low, high


def _clip_into(producer: Node, node: Node) -> Node | None:
    if is_clip(producer):
        low, high = combined(_bounds(producer), _bounds(node))
        return replace(producer, attributes={**producer.attributes, "alpha": low, "beta": high})
    if not ops.BY_NAME[producer.op].clampable:
        return None
    clamp = combined(clamp_of(producer), _bounds(node))
    if clamp == OPEN:
        return producer
    return replace(producer, attributes={**producer.attributes, "clamp": clamp})


def combined(first: Clamp, second: Clamp) -> Clamp:
    """One clamp that does what ``first`` and then ``second`` do."""
    low, high = second
    return min(max(first[0], low), high), max(min(first[1], high), low)


def _affine_into(draft: _Draft, producer: Node, node: Node) -> Node | None:
    gain, offset = (draft.constants[name].astype(np.float64) for name in node.inputs[1:])
    one = not (np.ptp(gain) or np.ptp(offset) or gain[0] == 0)
    scales = ops.BY_NAME[producer.op].scalable and one and gain[0] > 0 and not offset[0]
    if clamp_of(producer) != OPEN:
        if not one or (producer.op not in AFFINE_KINDS and not scales):
            return None
        ends = [float(gain[0] * end + offset[0]) for end in clamp_of(producer)]
        producer = _with(producer, "clamp", (min(ends), max(ends)))
    if scales:
        before = producer.attributes.get("gain", 1.0)
        assert isinstance(before, float)
        return _with(producer, "gain", float(np.float32(before * gain[0])))
    return _gained(draft, producer, gain, offset)


def _gained(draft: _Draft, producer: Node, gain: Array, offset: Array) -> Node | None:
    """The convolution or Affine, without clamp, whose output is gain * y + offset per channel."""
    if producer.op == "Affine":
        first, second = producer.inputs[1:]
        draft.constants[second] = draft.constants[second] * gain + offset
        draft.constants[first] = draft.constants[first] * gain
        return producer
    if producer.op not in WEIGHTED or not draft.is_float(producer):
        return None
    weight = producer.inputs[1]
    draft.constants[weight] = draft.constants[weight] * gain[:, None, None, None]
    producer = _with_bias(draft, producer)
    bias = producer.inputs[2]
    draft.constants[bias] = draft.constants[bias] * gain + offset
    return producer


def _with(node: Node, name: str, value: Attribute) -> Node:
    return replace(node, attributes={**node.attributes, name: value})


def _with_bias(draft: _Draft, node: Node) -> Node:
    """The convolution with a bias input, zeros where it had none."""
    if len(node.inputs) == 3:
        return node
    name = f"{node.inputs[1]}.bias"
    while name in draft.tensors or name in draft.constants:
        name += "'"
    channels = draft.constants[node.inputs[1]].shape[0]
    draft.constants[name] = np.zeros(channels)
    return replace(node, inputs=(*node.inputs, name))


# ------------------------------------------------------------------ into the readers


def _fold_forward(draft: _Draft, affine: Node) -> None:
    """Fold an Affine into the convolutions that read it, where all of them can take it."""
    name = affine.output
    if name in draft.outputs or draft.tensors[name].scale is not None or clamp_of(affine) != OPEN:
        return
    readers = [node for node in draft.nodes.values() if name in node.inputs]
    gain, offset = (draft.constants[item].astype(np.float64) for item in affine.inputs[1:])
    for node in readers:
        if node.op not in WEIGHTED or not draft.is_float(node):
            return
        if np.any(offset) and _reads_zeros(draft, node):
            return
    for node in readers:
        draft.nodes[node.output] = _take_input_affine(draft, node, gain, offset, affine.inputs[0])
    del draft.nodes[name]


def _reads_zeros(draft: _Draft, node: Node) -> bool:
    """True where some output reads padding, or the gaps between spread input pixels."""
    kernel = ops.BY_NAME[node.op].kernel
    assert kernel is not None
    graph = Graph("", (), (), (node,), draft.tensors, draft.constants)
    return bool(np.any(kernel.tap_coverage(ops.View(graph, node)) < 1))


def _take_input_affine(draft: _Draft, node: Node, gain: Array, offset: Array, source: str) -> Node:
    """conv(gain * x + offset) as one convolution of x; exact where no zero padding is read."""
    weights = draft.constants[node.inputs[1]]
    outputs, inputs_per_group = weights.shape[:2]
    group = node.attributes["group"]
    assert isinstance(group, int)
    channel = np.arange(outputs) // (outputs // group) * inputs_per_group
    index = channel[:, None] + np.arange(inputs_per_group)  # [Co, Ci/group] -> input channel
    node = _with_bias(draft, node)
    bias = node.inputs[2]
    draft.constants[bias] = draft.constants[bias] + np.einsum("oihw,oi->o", weights, offset[index])
    draft.constants[node.inputs[1]] = weights * gain[index][:, :, None, None]
    return replace(node, inputs=(source, *node.inputs[1:]))


def _integers(node: Node, name: str) -> Sequence[int]:
    value: Attribute = node.attributes[name]
    assert isinstance(value, tuple)
    return [int(item) for item in value]


# ------------------------------------------------------------------ the result


def _finished(graph: Graph, draft: _Draft) -> Graph:
    """Float32 constants named after their node, and only the tensors that are still used."""
    used = {*graph.inputs, *(name for op in graph.host for name in op.outputs)}
    for node in draft.nodes.values():
        used.update(node.outputs)
    tensors = {name: draft.tensors[name] for name in draft.tensors if name in used}
    constants: dict[str, Array] = {}
    nodes: list[Node] = []
    for node in draft.nodes.values():
        inputs = list(node.inputs)
        for index, part in enumerate(PARTS.get(node.op, ()), start=1):
            if index >= len(inputs):
                break
            values, scale = draft.constants[inputs[index]], None
            if np.issubdtype(values.dtype, np.floating):
                values = paged(values.astype(np.float32, copy=False))
            else:
                scale = draft.tensors[inputs[index]].scale
            inputs[index] = _free(f"{node.output}.{part}", tensors)
            constants[inputs[index]] = values
            dtype = dtypes.from_numpy(values.dtype)
            tensors[inputs[index]] = Tensor(inputs[index], values.shape, dtype, scale)
        nodes.append(replace(node, name=node.output, inputs=tuple(inputs)))
    known = {node.output for node in nodes if node.op in AFFINE_KINDS}
    trained = {name: item for name, item in draft.trained.items() if name in known}
    return replace(graph, nodes=tuple(nodes), tensors=tensors, constants=constants, trained=trained)


def _free(name: str, taken: Mapping[str, Any]) -> str:
    while name in taken:
        name += "'"
    return name
