"""Which tensors and weights get 16 bits.

At 8 bits three places take 16 by rule, because one more rounding there costs accuracy and a wider
tensor costs little: what only tables read, the end of the network, and what a convolution hands
to a residual Add. With a bit width of 16 everything does. What a tensor is tied to (a scale group)
always shares its width.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from knightlite.ir import Graph, Node
from knightlite.ops import BY_NAME, View
from knightlite.quantize.scales.groups import Group, features, scale_groups

if TYPE_CHECKING:
    from knightlite.quantize.scales.features import Feature
    from knightlite.quantize.scales.settings import Settings


@dataclass(frozen=True, slots=True)
class Widths:
    """What has 16 bits: ``wide`` feature tensors, and the weights of the nodes ``weights16``."""

    wide: frozenset[str] = field(default=frozenset())
    weights16: frozenset[str] = field(default=frozenset())


NARROW = Widths()


def choose_widths(graph: Graph, settings: Settings) -> Widths:
    """The widths that the settings ask for, groups as a whole."""
    if settings.bit_width == 16:
        return everything(graph)
    if settings.widths is not None:
        return whole_groups(graph, settings.widths)
    return whole_groups(
        graph,
        Widths(frozenset(_by_rule(graph, settings)) | settings.mix.wide, settings.mix.weights16),
    )


def _by_rule(graph: Graph, settings: Settings) -> set[str]:
    wide: set[str] = set()
    if settings.wide_heads:
        wide |= head_tensors(graph)
    if settings.wide_tables:
        wide |= table_inputs(graph, frozenset(wide))
    if settings.wide_middles:
        wide |= middles(graph)
    return wide


def everything(graph: Graph) -> Widths:
    """16 bits for every tensor and all weights; what is u8 by definition (Softmax) stays so."""
    fixed = {
        name for group in scale_groups(graph) if _is_fixed(graph, group) for name in group.members
    }
    kernels = frozenset(node.name for node in graph.nodes if BY_NAME[node.op].kernel is not None)
    return Widths(frozenset(features(graph)) - fixed, kernels)


def whole_groups(graph: Graph, widths: Widths) -> Widths:
    """A group with one wide tensor is wide; weights beside a wide input have 16 bits too.

    The matrix engine multiplies 16 by 16 bits or 8 by 8, so that 8-bit weights would save nothing.
    """
    groups = (g for g in scale_groups(graph) if not _is_fixed(graph, g))
    wide = frozenset(
        name for g in groups if not widths.wide.isdisjoint(g.members) for name in g.members
    )
    kernels = (node for node in graph.nodes if BY_NAME[node.op].kernel is not None)
    beside = {node.name for node in kernels if node.inputs[0] in wide}
    return Widths(wide, widths.weights16 | beside)


def _is_fixed(graph: Graph, group: Group) -> bool:
    """True where an operator's definition gives the group type and scale (Softmax: u8, 1/255)."""
    producers = graph.producers()
    return any(
        name in producers and BY_NAME[producers[name].op].fixed_output is not None
        for name in group.members
    )


# ------------------------------------------------------------------ rules at 8 bits


def table_inputs(graph: Graph, wide: frozenset[str] = NARROW.wide) -> frozenset[str]:
    """Tensors that are only looked up in tables or requantized, or moved to where they are.

    A SiLU, HardSwish or Sigmoid of an 8-bit tensor rounds twice, and where its slope is small or
    its range long the first rounding is the coarser one. Network inputs keep their 8 bits.
    """
    found: set[str] = set()
    for group in scale_groups(graph):
        readers = readers_outside(graph, group)
        if (
            readers
            and all(node.op == "Table" or is_requantize(graph, node) for node in readers)
            and not any(name in graph.chip_outputs for name in group.members)
            and writes_wide(graph, group, wide)
        ):
            found.update(group.members)
    return frozenset(found)


def head_tensors(graph: Graph) -> frozenset[str]:
    """Tensors at the end: delivered, and read by nothing but what rearranges them.

    Each part of such a group, a detector's boxes beside its scores, then has its own resolution
    although they share a scale; a Concat of scores (8-bit tables) would drag the boxes to 8 bits.
    """
    found: set[str] = set()
    for group in scale_groups(graph):
        delivered = any(name in graph.chip_outputs for name in group.members)
        if delivered and not readers_outside(graph, group) and writes_wide(graph, group):
            found.update(group.members)
    return frozenset(found)


def middles(graph: Graph) -> frozenset[str]:
    """What a convolution gives to one residual Add and to nothing else.

    Behind the matrix engine the sum is then rounded once.
    """
    producers, consumers = graph.producers(), graph.consumers()
    single = {g.members[0] for g in scale_groups(graph) if len(g.members) == 1}
    found: set[str] = set()
    for node in graph.nodes:
        if node.op != "Add" or node.inputs[0] == node.inputs[1]:
            continue
        shape = graph.tensors[node.output].shape
        if any(graph.tensors[name].shape != shape for name in node.inputs):
            continue
        candidates = [
            name
            for name in node.inputs
            if name in single
            and name in producers
            and BY_NAME[producers[name].op].kernel is not None
            and len(consumers[name]) == 1
            and name not in graph.chip_outputs
        ]
        order = {item.name: index for index, item in enumerate(graph.nodes)}
        if candidates:  # the later one runs in the chain with the Add
            found.add(max(candidates, key=lambda name: order[producers[name].name]))
    return frozenset(found)


def is_requantize(graph: Graph, node: Node) -> bool:
    """True for an Affine that only changes the scale (gain 1, offset 0)."""
    if node.op != "Affine" or "clamp" in node.attributes:
        return False
    gain, offset = (graph.constants[name] for name in node.inputs[1:])
    return bool(np.all(gain == 1) and not np.any(offset))


def readers_outside(graph: Graph, group: Group) -> list[Node]:
    """The nodes that read members of the group and compute something new from them."""
    consumers = graph.consumers()
    return [
        node
        for name in group.members
        for node in consumers.get(name, ())
        if not BY_NAME[node.op].value_preserving
    ]


def writes_wide(graph: Graph, group: Group, wide: frozenset[str] = NARROW.wide) -> bool:
    """True where everything that makes the group's values can write 16 bits."""
    producers = graph.producers()
    if _is_fixed(graph, group):
        return False
    for name in group.members:
        producer = producers.get(name)
        if producer is None:
            return False
        if not BY_NAME[producer.op].wide_output and not BY_NAME[producer.op].value_preserving:
            return False
    return True


# ------------------------------------------------------------------ what operators refuse


def refused_widths(graph: Graph, chosen: dict[str, Feature], widths: Widths) -> dict[str, str]:
    """Wide tensors that an operator beside them cannot take, with the operator's sentence.

    ``chosen`` are the features of the float ``graph``. An operator that refuses regardless of
    widths is not listed: its sentence is an error of its own.
    """
    from knightlite.quantize.scales.features import quantized_tensor

    changed = graph.with_tensors([quantized_tensor(graph, item) for item in chosen.values()])
    found: dict[str, str] = {}
    for node in graph.nodes:
        beside = [name for name in (*node.inputs, node.output) if name in widths.wide]
        if not beside or BY_NAME[node.op].kernel is not None:
            continue
        reason = refusal(View(changed, node))
        if reason is not None:
            for name in beside:
                found.setdefault(name, f"{node.op} {node.name}: {reason}")
    return found


def refusal(view: View) -> str | None:
    """The sentence of the first of its operator's constraints that a node breaks."""
    for constraint in BY_NAME[view.node.op].constraints:
        reason = constraint.check(view)
        if reason is not None:
            return reason
    return None


def without(graph: Graph, widths: Widths, names: Iterable[str]) -> Widths:
    """The widths with these tensors' groups at 8 bits."""
    narrow = set(names)
    for group in scale_groups(graph):
        if not narrow.isdisjoint(group.members):
            narrow.update(group.members)
    return Widths(widths.wide - narrow, widths.weights16)


def is_wide(widths: Widths, members: Sequence[str]) -> bool:
    """True where a group's members are wide."""
    return not widths.wide.isdisjoint(members)
