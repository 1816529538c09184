"""Tables of 16-bit tensors whose lines would limit what they write: longer, or bounded.

Lines between entries follow a steep function only so far (``OpDef.finest_step``). Where that is
coarser than what the written values need, a table has twice the intervals; and where it is steep at
inputs that were never seen (the root of a variance near 0), it is constant beyond what was seen,
with the headroom that 16-bit tensors have.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from knightlite import dtypes
from knightlite.ir import Graph, Node
from knightlite.ops import BY_NAME, View
from knightlite.ops.expressions import Step, composed
from knightlite.ops.wide_table import LUT_LEN
from knightlite.quantize.groups import group_of
from knightlite.quantize.scales.basis import Basis
from knightlite.quantize.scales.feature_choice import wide_scale
from knightlite.quantize.scales.features import Feature, quantized_tensor

LIMITING = 2.0  # times the steps that its values need: so much coarser a table may write
WORTH = 0.75  # of the step as it is: what a fitted table must reach
LONGER = 11  # log2 of intervals: every chip holds such a table


def fit_tables(basis: Basis, chosen: Mapping[str, Feature], tried: set[str]) -> Basis:
    """The basis with tables fitted that are not among the ``tried`` ones, to which they are added.

    Of the ways to fit a table the first in this order is taken that is fine enough, else the finest
    one, if that is finer by a quarter: longer, bounded, both. What is coarse
    because a table before it is waits until that one is fitted.
    """
    graph, settings = basis.graph, basis.settings
    better: dict[str, Node] = {}
    moved: set[str] = set()  # what follows them
    for node in graph.nodes:
        follows = not moved.isdisjoint(node.inputs)
        moved.update(node.outputs if follows else ())
        if BY_NAME[node.op].lookup is None or node.output in tried:
            continue
        x, y = chosen[node.inputs[0]], chosen[node.output]
        if x.dtype != dtypes.S16 or y.dtype != dtypes.S16:
            continue
        if follows and x.scale > LIMITING * wide_scale(basis, group_of(graph, x.name)):
            continue
        known = graph.with_tensors([quantized_tensor(graph, item) for item in (x, y)])
        needed = LIMITING * wide_scale(basis, group_of(graph, node.output))
        if _finest(known, node) <= needed:
            continue
        tried.add(node.output)
        lengths = [node] if settings.lut_len is not None else [node, _longer(node)]
        ways = [*lengths[1:], *(_bounded(basis, View(known, item)) for item in lengths)]
        steps = [max(_finest(known, way), needed) for way in ways]
        if min(steps) <= WORTH * _finest(known, node):
            better[node.name] = ways[steps.index(min(steps))]
            moved.update(node.outputs)
    if not better:
        return basis
    return replace(basis, graph=graph.with_nodes(better.get(n.name, n) for n in graph.nodes))


def _finest(known: Graph, node: Node) -> float:
    """The finest step that a table writes; infinite where some value is, and none is enough."""
    return BY_NAME[node.op].finest_step(View(known, node)) or math.inf


def _longer(node: Node) -> Node:
    return replace(node, attributes={**node.attributes, LUT_LEN: LONGER})


def _bounded(basis: Basis, view: View) -> Node:
    """The table of the function of x within what was seen of x, with headroom.

    Bounds that are not 0 lie on entries: a line across one would be off.
    """
    node = view.node
    lookup = BY_NAME[node.op].lookup
    assert lookup is not None
    found, headroom = basis.statistics[node.inputs[0]], basis.settings.output_headroom
    lowest, highest = float(found.minimum.min()), float(found.maximum.max())
    low = lowest / headroom if lowest > 0 else lowest * headroom
    high = highest * headroom if highest > 0 else highest / headroom
    unit = float(view.scale(0)) * lookup.interval(view)
    low = (math.floor(low / unit) or math.copysign(1, low)) * unit if low else 0.0
    high = (math.ceil(high / unit) or math.copysign(1, high)) * unit if high else 0.0
    ends = {"alpha": float(np.float32(low)), "beta": float(np.float32(high))}
    return lookup.computing(node, composed([Step("Clip", (0,), ends)], lookup.steps(node)))
