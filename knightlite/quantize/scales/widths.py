"""Which tensors and weights get 16 bits.

At 8 bits some places take 16 by rule (:data:`WIDE_RULES`), because one more rounding there costs
accuracy and a wider tensor costs little: what only tables read, the cell states of recurrent
layers, what norms compute on the way, the end of the network, and what a convolution hands to a
residual Add. With a bit width of 16 everything does.
What a tensor is tied to (a scale group) always shares its width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from knightlite.ir import Graph, Node
from knightlite.ops import BY_NAME, View, pick, table_functions
from knightlite.quantize.groups import (
    Group,
    features,
    group_of,
    only_looked_up,
    readers_outside,
    scale_groups,
    writes_wide,
)
from knightlite.quantize.report_entries import Entry
from knightlite.quantize.scales.features import Feature, quantized_tensor
from knightlite.quantize.settings import Settings, Widths

VARIANCES = np.asarray([0.5, 1, 2, 4, 8], np.float32)  # at which a reciprocal root shows itself
STRAIGHT = 1e-4  # of a slope: float32 rounds in each of the steps


def choose_widths(graph: Graph, settings: Settings) -> Widths:
    """The widths that the settings ask for, groups as a whole."""
    if settings.bit_width == 16:
        widths = everything(graph)
    elif settings.widths is not None:
        widths = whole_groups(graph, settings.widths)
    else:
        wide = frozenset(_by_rule(graph, settings)) | settings.mix.wide
        widths = whole_groups(graph, Widths(wide, settings.mix.weights16))
    widths = whole_groups(graph, Widths(widths.wide | long_indices(graph), widths.weights16))
    steep = row_means(graph)
    return without(graph, widths, steep) if steep else widths


@dataclass(frozen=True, slots=True)
class WideRule:
    """Tensors that have 16 bits at 8. ``setting``: its switch; ``why``: who they are, and what for.

    ``find`` names them.
    """

    name: str
    setting: str
    why: str
    find: Callable[[Graph], frozenset[str]]


def wide_entries(graph: Graph, settings: Settings, wide: Iterable[str]) -> list[Entry]:
    """The report's ``wide``: of tensors with 16 bits those that a rule made so, and by which.

    What was asked for (a bit width of 16, a mix, pins) is by no rule.
    """
    if settings.bit_width == 16 or settings.widths is not None:
        return []
    left = list(wide)
    found: list[Entry] = []
    for rule in WIDE_RULES:
        names = rule.find(graph) if getattr(settings, rule.setting) else frozenset()
        if rule.find is head_tensors:
            groups = (group for group in scale_groups(graph) if delivered_wide(graph, group))
            names |= {name for group in groups for name in group.members}
        if mine := [name for name in left if name in names]:
            found.append({"rule": rule.name, "why": rule.why, "tensors": mine})
            left = [name for name in left if name not in names]
    return found


def _by_rule(graph: Graph, settings: Settings) -> set[str]:
    wide: set[str] = set()
    for rule in WIDE_RULES:
        if getattr(settings, rule.setting):
            wide |= rule.find(graph)
    return wide


def everything(graph: Graph) -> Widths:
    """16 bits for every tensor and all weights."""
    kernels = frozenset(node.name for node in graph.nodes if BY_NAME[node.op].kernel is not None)
    return Widths(frozenset(features(graph)), kernels)


def long_indices(graph: Graph) -> frozenset[str]:
    """Indices that 8 bits do not hold: they have 16, whatever is asked for."""
    return frozenset(
        node.output
        for node in graph.nodes
        if BY_NAME[node.op].picks and pick.depth(View(graph, node)) > 1 << pick.OUTPUT[0].bits
    )


def whole_groups(graph: Graph, widths: Widths) -> Widths:
    """A group with one wide tensor is wide; weights beside a wide input have 16 bits too.

    The matrix engine multiplies 16 by 16 bits or 8 by 8, so that 8-bit weights would save nothing.
    """
    groups = scale_groups(graph)
    wide = frozenset(
        name for g in groups if not widths.wide.isdisjoint(g.members) for name in g.members
    )
    kernels = (node for node in graph.nodes if BY_NAME[node.op].kernel is not None)
    beside = {node.name for node in kernels if node.inputs[0] in wide}
    return Widths(wide, widths.weights16 | beside)


# ------------------------------------------------------------------ rules at 8 bits


def table_inputs(graph: Graph) -> frozenset[str]:
    """Tensors that are only looked up in tables or requantized, or moved to where they are.

    A SiLU, HardSwish or Sigmoid of an 8-bit tensor rounds twice, and where its slope is small or
    its range long the first rounding is the coarser one. Network inputs keep their 8 bits.
    """
    found: set[str] = set()
    for group in scale_groups(graph):
        if (
            only_looked_up(graph, group)
            and not _is_delivered(graph, group)
            and writes_wide(graph, group)
        ):
            found.update(group.members)
    return frozenset(found)


def picked_inputs(graph: Graph) -> frozenset[str]:
    """Tensors of which only the largest or smallest value is picked: 8 bits have ties there.

    Network inputs keep their 8 bits.
    """
    found: set[str] = set()
    for group in scale_groups(graph):
        readers = list(readers_outside(graph, group))
        picked = bool(readers) and all(BY_NAME[node.op].picks for node in readers)
        if picked and not _is_delivered(graph, group) and writes_wide(graph, group):
            found.update(group.members)
    return frozenset(found)


def cell_states(graph: Graph) -> frozenset[str]:
    """What recurrent layers add up step by step, ``c' = f c + g``, and its two terms.

    A table reads it, and the next step multiplies it: what is rounded away in a step is missing in
    all that follow. The vector engine alone computes with it, in 16 bits on every chip.
    """
    producers, consumers = graph.producers(), graph.consumers()

    def looked_up(name: str) -> bool:
        readers = consumers.get(name, ())
        multiplied = any(BY_NAME[node.op].kernel or node.op == "MatMul" for node in readers)
        return any(BY_NAME[node.op].lookup for node in readers) and not multiplied

    kept = {
        name
        for state in graph.states
        if looked_up(state.output)
        for name in group_of(graph, state.input).members
    }
    found: set[str] = set()
    for node in graph.nodes:
        terms = [producers.get(name) for name in node.inputs]
        if node.op != "Add" or not all(term is not None and term.op == "Mul" for term in terms):
            continue
        before = {name for term in terms if term is not None for name in term.inputs}
        before = {
            name for name in before if (looked_up(name) and name in producers) or name in kept
        }
        if looked_up(node.output) and before:
            found.update((node.output, *node.inputs), before)
    return frozenset(found)


def within_norms(graph: Graph) -> frozenset[str]:
    """What a LayerNormalization or one of its kin computes on the way, known by its root.

    A rounding of the mean, the squares or the reciprocal root is one of the whole result.
    """
    producers, found = graph.producers(), set[str]()

    def averaged(name: str) -> str:
        """What a mean is taken of: back through convolutions and pools."""
        while name in producers and producers[name].op in ("AveragePool", "Conv"):
            found.add(name)
            name = producers[name].inputs[0]
        return name

    for node in graph.nodes:
        if not _is_reciprocal_root(node):
            continue
        variance = node.inputs[0]
        total = producers.get(variance)
        if total is not None and total.op == "Add":  # what keeps it above 0, row by row
            found.update((variance, total.inputs[1]))
            variance = total.inputs[0]
        squares = producers.get(averaged(variance))
        if squares is None or squares.op != "Table":
            continue
        found.update((node.output, squares.output))
        difference = producers.get(squares.inputs[0])
        if difference is not None and (parts := _together(graph, difference)):
            found.update((difference.output, *parts[1:]))
            difference = producers.get(difference.inputs[0])
        if difference is not None and difference.op == "Sub":
            found.add(difference.output)
            averaged(difference.inputs[1])
    groups = scale_groups(graph)
    return frozenset(
        name
        for group in groups
        if not found.isdisjoint(group.members) and writes_wide(graph, group)
        for name in group.members
    )


def row_means(graph: Graph) -> frozenset[str]:
    """The mean magnitudes by which norms divide their rows: 8 bits, their table is steep."""
    found = (_together(graph, node) for node in graph.nodes if node.op == "Mul")
    return frozenset(parts[0] for parts in found if parts)


def _together(graph: Graph, node: Node) -> tuple[str, ...]:
    """The mean m, ``1 / (m + c)`` and ``|d|`` of a product ``d / (m + c)`` (rewrites.norm_rows)."""
    producers = graph.producers()
    inverse = producers.get(node.inputs[1]) if node.op == "Mul" else None
    if inverse is None or inverse.op != "Table":
        return ()
    name = mean = inverse.inputs[0]
    while name in producers and producers[name].op in ("AveragePool", "Conv"):
        name = producers[name].inputs[0]
    sizes = producers.get(name)
    if name == mean or sizes is None or sizes.op != "Table" or sizes.inputs[0] != node.inputs[0]:
        return ()
    magnitudes = table_functions.function_names(sizes)
    return (mean, inverse.output, name) if "Abs" in magnitudes else ()


def _is_reciprocal_root(node: Node) -> bool:
    """True for a table of gain * (x + epsilon)^-1/2, however it is spelled out."""
    if node.op != "Table":
        return False
    y = table_functions.evaluate(node, VARIANCES).astype(np.float64)
    if not np.all(np.isfinite(y) & (y > 0)):
        return False
    inverse = 1 / y**2  # a straight line over x
    slope = np.diff(inverse) / np.diff(VARIANCES)
    return bool(slope[0] > 0 and np.ptp(slope) <= STRAIGHT * slope[0])


def head_tensors(graph: Graph) -> frozenset[str]:
    """Tensors at the end: delivered, and read by nothing but what rearranges them.

    Each part of such a group, a detector's boxes beside its scores, then has its own resolution
    although they share a scale; a Concat of scores (8-bit tables) would drag the boxes to 8 bits.
    """
    found: set[str] = set()
    for group in scale_groups(graph):
        delivered = _is_delivered(graph, group)
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
        # the chain of passes.fuse_residual: what runs behind the matrix engine is this addition
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


WIDE_RULES = (
    WideRule(
        "tables", "wide_tables", "read by tables only, where 8 bits would round twice", table_inputs
    ),
    WideRule(
        "picks", "wide_heads", "of which the largest value is picked, where 8 bits have ties",
        picked_inputs,
    ),
    WideRule(
        "states", "wide_tables",
        "added up by a recurrent layer, where each step would round what all later ones read",
        cell_states,
    ),
    WideRule(
        "norms", "wide_tables",
        "on the way of a norm, where a rounding is one of the whole result", within_norms,
    ),
    WideRule(
        "outputs", "wide_heads", "delivered to the host, where steps of 8 bits would show",
        head_tensors,
    ),
    WideRule(
        "sums", "wide_middles", "given by a convolution to a residual Add, which then rounds once",
        middles,
    ),
)  # fmt: skip
"""What has 16 bits at 8 unless it is switched off; ``Settings`` says which."""


def delivered_wide(graph: Graph, group: Group) -> bool:
    """True where the group is delivered to the host only, by operators that can write 16 bits."""
    if not _is_delivered(graph, group):
        return False
    consumers = graph.consumers()
    producers = graph.producers()
    for name in group.members:
        producer = producers.get(name)
        if producer is None or not BY_NAME[producer.op].wide_output:
            return False
        if not all(BY_NAME[reader.op].rearranges for reader in consumers.get(name, ())):
            return False
    return True


def _is_delivered(graph: Graph, group: Group) -> bool:
    return any(name in graph.chip_outputs for name in group.members)


# ------------------------------------------------------------------ what operators refuse


def refused_widths(graph: Graph, chosen: Mapping[str, Feature], widths: Widths) -> dict[str, str]:
    """Wide tensors that an operator beside them cannot take, with the operator's sentence.

    ``chosen`` are the features of the float ``graph``. An operator that refuses regardless of
    widths is not listed: its sentence is an error of its own. Of a product of which one operand
    broadcasts (a norm's root) that one gives way first: it has fewer elements.
    """
    changed = graph.with_tensors([quantized_tensor(graph, item) for item in chosen.values()])
    found: dict[str, str] = {}
    for node in graph.nodes:
        beside = [name for name in (*node.inputs, node.output) if name in widths.wide]
        if not beside or BY_NAME[node.op].kernel is not None:
            continue
        reason = next(BY_NAME[node.op].broken(View(changed, node)), None)
        if reason is not None:
            if node.op == "Mul" and node.output not in beside and len(beside) > 1:
                sizes = {name: graph.tensors[name].elements for name in beside}
                beside = [name for name in beside if sizes[name] == min(sizes.values())]
            for name in beside:
                found.setdefault(name, f"{node.op} {node.name}: {reason}")
    return found


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
