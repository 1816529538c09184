"""Types and scales of the feature tensors: signedness, groups, per-channel scales, outputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from knightlite import dtypes
from knightlite.dtypes import DType
from knightlite.errors import Finding
from knightlite.ir import Graph, Node, Tensor
from knightlite.ops import BY_NAME, View
from knightlite.ops.jumps import between_codes, jumps, scale_between
from knightlite.quantize.groups import (
    Group,
    computed_members,
    felt_interval,
    only_looked_up,
    readers_outside,
    scale_groups,
)
from knightlite.quantize.ranges.densities import (
    even_row_densities,
    foreseen_reach,
    foreseen_row_densities,
)
from knightlite.quantize.ranges.methods import FORESEEING, any_method_of
from knightlite.quantize.scales.basis import Basis
from knightlite.quantize.scales.compared import by_sign
from knightlite.quantize.scales.features import (
    BY_DEFINITION,
    LARGEST,
    LARGEST_WITH_HEADROOM,
    Feature,
    Rule,
    quantized_tensor,
)
from knightlite.quantize.scales.group_scales import (
    ZERO_SCALE,
    Shared,
    group_scale,
    is_exact_in,
    least_scales,
)
from knightlite.quantize.scales.pins import apply_pins, check_integers, not_kept
from knightlite.quantize.scales.rounding_noise import least_step
from knightlite.quantize.scales.widths import delivered_wide, is_wide
from knightlite.quantize.settings import NARROW, Widths
from knightlite.quantize.statistics.observers import Statistics

LEAST_ENTRIES = 8  # between 0 and a bend: to move it costs a scale at most an eighth
ON_ENTRY = 1e-6  # of its place: a bend so near to an entry lies on it, rounded to float32
LEAST_CODES = 16  # between 0 and a jump: at most a sixteenth
# of these also 8-bit results may be finer than a factor reaches
FACTORED = ("Add", "AveragePool", "MatMul", "Max", "Min", "Mul", "ResizeLinear", "Sub")
COARSER = 1.5  # what several jumps of a table may cost the scale that it reads
EPSILON = 1e-9
FINER = "a coarser scale, or none: what calibration finds is fine enough"
CHANNEL_FLOOR = 2.0**-10  # of the largest channel's scale: below, a channel is as good as silent


def choose_features(basis: Basis, widths: Widths = NARROW) -> dict[str, Feature]:
    """Type and scale of every feature tensor; those of ``widths`` have 16 bits."""
    groups = scale_groups(basis.graph)
    chosen: dict[str, Feature] = {}
    waiting: dict[tuple[str, DType, int], list[tuple[int, Group, Shared]]] = {}
    for index, group in enumerate(groups):
        made = _by_rule(basis, index, group, widths) or _per_channel(basis, index, group)
        if made is None:
            method, dtype = basis.method_of(group), group_dtype(basis, group)
            scale = group_scale(basis, group, dtype)
            if isinstance(scale, Shared):
                alike = (method, dtype, scale.mixed.positive.size)
                waiting.setdefault(alike, []).append((index, group, scale))
                continue
            factor = 1.0
            if not is_exact_in(computed_members(basis.graph, group), basis.statistics, dtype):
                factor = basis.factor_of(group)
                scale = _jump_between_codes(basis.graph, group, dtype, scale * factor)
            rule = Rule(method, is_method=True, factor=factor)
            made = _members(index, group, dtype, scale, rule)
        chosen.update(made)
    for (method, dtype, _), found in waiting.items():
        shared = [part for *_, part in found]
        least = least_scales(shared, dtype, method, basis.settings.percent)
        for (index, group, _), best in zip(found, least, strict=True):
            factor = basis.factor_of(group)
            scale = _jump_between_codes(basis.graph, group, dtype, best * factor)
            rule = Rule(method, is_method=True, factor=factor)
            chosen.update(_members(index, group, dtype, scale, rule))
    chosen = {name: chosen[name] for group in groups for name in group.members}
    chosen = by_sign(basis.graph, chosen)
    check_integers(basis)
    return _no_finer_than_factors(basis, apply_pins(basis, chosen))


def _by_rule(basis: Basis, index: int, group: Group, widths: Widths) -> dict[str, Feature] | None:
    """The features of a group that no range method decides: by definition, or with 16 bits."""
    graph, settings = basis.graph, basis.settings
    fixed = fixed_output(graph, group, is_wide(widths, group.members))
    if fixed is not None:
        return _members(index, group, *fixed, BY_DEFINITION)
    if not is_wide(widths, group.members) and not delivered_wide(graph, group):
        return None
    if settings.bit_width == 16 or not only_looked_up(graph, group):
        scale = _wide_scale(basis, group, settings.output_headroom)
        return _members(index, group, dtypes.S16, scale, LARGEST_WITH_HEADROOM)
    return _members(index, group, dtypes.S16, _wide_scale(basis, group, 1.0), LARGEST)


def _per_channel(basis: Basis, index: int, group: Group) -> dict[str, Feature] | None:
    """The feature of a tensor that may have a scale per channel; None where there is no such."""
    name = group.members[0]
    if name not in basis.plan.per_channel:
        return None
    method, dtype = basis.method_of(group), group_dtype(basis, group)
    factor = basis.factor_of(group)
    asked = name, dtype, method, basis.settings.percent
    if asked not in basis.found:
        basis.found[asked] = _channel_choice(basis, *asked)
    found = basis.found[asked]
    if found is None or not _clamp_allows(basis.graph, name, dtype, found * np.float32(factor)):
        return None
    scales = found * np.float32(factor)
    rule = Rule(method, is_method=True, per_channel=True, factor=factor)
    return {name: Feature(name, dtype, scales, index, rule)}


def _members(
    index: int, group: Group, dtype: DType, scale: float, rule: Rule
) -> dict[str, Feature]:
    shared = np.asarray(np.float32(scale))
    return {name: Feature(name, dtype, shared, index, rule) for name in group.members}


def _no_finer_than_factors(basis: Basis, chosen: dict[str, Feature]) -> dict[str, Feature]:
    """Outputs in steps that what produces them can tell apart: 16-bit ones, and all of sums.

    The sum, or the mean, of values that nearly cancel is as small as one likes, its operands' steps
    are not.

    UsageError with every pin that is finer than that.
    """
    graph, pins = basis.graph, basis.settings.pins
    pinned = {chosen[pin.name].group: pin.name for pin in pins}
    findings: list[Finding] = []
    for node in graph.nodes:
        made = chosen[node.output]
        if node.op == "Conv" and not made.scale.ndim and made.group not in pinned:
            least = np.float32(least_step(basis, node, chosen[node.inputs[0]], made))
        elif made.dtype == dtypes.S16 or node.op in FACTORED:
            beside = [chosen[name] for name in (*node.inputs, node.output) if name in chosen]
            known = graph.with_tensors([quantized_tensor(graph, item) for item in beside])
            least = np.float32(BY_NAME[node.op].finest_step(View(known, node)))
        else:
            continue
        if made.scale >= least:
            continue
        if made.group in pinned:
            sentence = (
                f"{node.op} {node.name} writes steps of {least!s} or more, not of {made.scale!s}."
            )
            findings.append(Finding(pinned[made.group], sentence, FINER))
        else:
            for name, member in chosen.items():
                if member.group == made.group:
                    chosen[name] = replace(member, scale=np.asarray(least))
    if findings:
        raise not_kept(findings)
    return chosen


def fixed_output(graph: Graph, group: Group, wide: bool) -> tuple[DType, float] | None:
    """Type and scale that the definition of what makes the group's values gives it, or None."""
    producers = graph.producers()
    found = set()
    for name in group.members:
        if name in graph.inputs:
            return None
        definition = BY_NAME[producers[name].op]
        if not definition.value_preserving:
            found.add(None if definition.fixed_output is None else definition.fixed_output[wide])
    return found.pop() if len(found) == 1 else None


def group_dtype(basis: Basis, group: Group) -> DType:
    """u8 where no member can be negative (an input: was never negative), else s8."""
    graph = basis.graph

    def can_be_negative(name: str) -> bool:
        if name in graph.inputs:
            return float(basis.statistics[name].minimum.min()) < 0
        return name not in basis.plan.nonnegative and not _preserves(graph, name)

    return dtypes.S8 if any(can_be_negative(name) for name in group.members) else dtypes.U8


def _preserves(graph: Graph, name: str) -> bool:
    return BY_NAME[graph.producers()[name].op].value_preserving


def wide_scale(basis: Basis, group: Group) -> float:
    """The scale that a 16-bit group would have if whatever makes it told such steps apart."""
    return _wide_scale(basis, group, basis.settings.output_headroom)


def _wide_scale(basis: Basis, group: Group, headroom: float) -> float:
    """The largest magnitude that makes a difference; 1 for raw pixels.

    ``headroom``: times it. It is worth much more than the bit where values not seen would
    saturate (all 16 bits on ResNet-8: 73 dB at the logits, 44 without). What goes to 8 bits next
    has none: before a requantize per channel a quiet channel needs the bit.
    """
    graph, statistics = basis.graph, basis.statistics
    sources = computed_members(graph, group)
    if is_exact_in(sources, statistics, dtypes.S16):
        return 1.0
    absmax = 0.0
    for name in sources:
        low, high = felt_interval(graph, name)
        found = statistics[name]
        absmax = max(absmax, -max(headroom * float(found.minimum.min()), low))
        absmax = max(absmax, min(headroom * float(found.maximum.max()), high))
    return _bends_on_entries(graph, group, (absmax or ZERO_SCALE) / dtypes.S16.maximum)


def _bends_on_entries(graph: Graph, group: Group, scale: float) -> float:
    """The scale, a little coarser, in which the bends of tables that read the group are entries.

    A line across a bend (HardSwish at 3) is off by the more steps the finer they are; between two
    entries that meet at the bend it is exact there. Where no scale does for several bends it is
    the one with the finest steps of what the tables write.
    """
    tables = [node for node in readers_outside(graph, group) if BY_NAME[node.op].lookup is not None]
    places = {
        abs(bend): lookup.interval(view)
        for node in tables
        for view in (View(graph, node),)
        for lookup in (BY_NAME[node.op].lookup,)
        if lookup is not None
        for bend in lookup.bends(view)
        if 0 < abs(bend) < scale * dtypes.S16.maximum
    }
    if not places:
        return scale
    furthest = max(places)
    unit = furthest / places[furthest]
    most = int(unit / scale * (1 + ON_ENTRY))
    if most < LEAST_ENTRIES:
        return scale
    if len(places) == 1:
        return unit / most
    counts = range(most, most - most // LEAST_ENTRIES - 1, -1)
    return min(
        (unit / count for count in counts), key=lambda item: _coarseness(graph, tables, item)
    )


def _coarseness(graph: Graph, tables: Sequence[Node], scale: float) -> float:
    """The product, as a logarithm, of the finest steps that tables write from steps ``scale``."""
    total = 0.0
    for node in tables:
        x, y = node.inputs[0], node.output
        known = [
            Tensor(x, graph.tensors[x].shape, dtypes.S16, np.asarray(np.float32(scale))),
            Tensor(y, graph.tensors[y].shape, dtypes.S16, np.ones((), np.float32)),
        ]
        view = View(graph.with_tensors(known), node)
        total += math.log(BY_NAME[node.op].finest_step(view) or 1.0)
    return total


def _jump_between_codes(graph: Graph, group: Group, dtype: DType, scale: float) -> float:
    """The scale, coarser, in which the jumps of a table lie halfway between two codes.

    Of thresholds: every value is then on its side. One jump takes a little; several (of Round, or
    at +-t) the least scale that places all, where there is one up to ``COARSER`` and nothing else
    than tables reads the tensor. Those of Floor, of which one is 0, are not all placed by a scale.
    """
    readers = list(readers_outside(graph, group))
    places = [
        place
        for node in readers
        if node.op == "Table"
        for place in jumps(node, scale, dtype.minimum, dtype.maximum)
    ]
    if not places or abs(places[0]) < LEAST_CODES * scale:
        return scale
    limit = scale * COARSER if all(node.op == "Table" for node in readers) else scale
    least = scale_between(places[0], scale)
    if len(places) == 1:
        return least
    while least <= limit:
        if all(between_codes(place, least) for place in places):
            return least
        least = scale_between(places[0], least * (1 + EPSILON))
    return scale


def _channel_choice(
    basis: Basis, name: str, dtype: DType, method: str, percent: float
) -> NDArray[np.float32] | None:
    """The scales per channel (C,) of a tensor; None where its clamp allows none.

    A factor that a group's scale gets later decides nothing here: one scale stays one scale. What
    reaches beyond the bound of a clamp in one channel mostly ends it, so the channel that reaches
    furthest is asked first: a Relu6 spares the others.
    """
    statistics, graph = basis.statistics[name], basis.graph
    if method in FORESEEING and statistics.second is not None:
        _, high = View(graph, graph.producers()[name]).clamp
        reach = foreseen_reach(statistics)
        if reach.max() > high > reach.min():
            furthest = foreseen_row_densities(statistics, int(reach.argmax()))
            (scale,) = any_method_of(method, percent)(furthest, dtype)
            scales = np.full(reach.shape, high / dtype.maximum, np.float32)
            scales[reach.argmax()] = scale
            if not _clamp_allows(graph, name, dtype, scales):
                return None
    scales = channel_scales(statistics, dtype, method, percent)
    return scales if _clamp_allows(graph, name, dtype, scales) else None


def channel_scales(
    statistics: Statistics, dtype: DType, method: str, percent: float
) -> NDArray[np.float32]:
    """One scale per channel (C,); a channel that never spoke takes the floor.

    Of a channel the pictures tell much less than of a whole tensor: many speak on few pictures.
    Where a scale is to have the least error it must reckon with pictures that are not among them.
    """
    choose = any_method_of(method, percent)
    rows = (foreseen_row_densities if method in FORESEEING else even_row_densities)(statistics)
    scales = choose(rows, dtype)
    largest = float(scales.max())
    if largest == 0:
        return np.full(scales.shape, ZERO_SCALE / dtype.maximum, np.float32)
    floored: NDArray[np.float64] = np.maximum(scales, largest * CHANNEL_FLOOR)
    return floored.astype(np.float32)


def _clamp_allows(graph: Graph, name: str, dtype: DType, scales: NDArray[np.float32]) -> bool:
    """True where the producer's clamp has one integer bound for all channels' scales."""
    tensor = graph.tensors[name]
    changed = graph.with_tensors([Tensor(name, tensor.shape, dtype, scales)])
    try:
        _ = View(changed, graph.producers()[name]).bounds
    except ValueError:
        return False
    return True
