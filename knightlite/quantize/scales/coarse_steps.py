"""Where 16 bits would be coarser than 8.

How fine a 16-bit tensor may be is limited by what makes it: lines between the entries of a table
(Sqrt near 0, the jumps of Floor), the factors of a sum (``OpDef.finest_step``). Where that step is
no finer than the one of 8 bits, 16 bits are a loss.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from knightlite import dtypes
from knightlite.ir import Graph, Node, Tensor
from knightlite.ops import BY_NAME, View
from knightlite.quantize.groups import group_of
from knightlite.quantize.scales.basis import Basis
from knightlite.quantize.scales.feature_choice import group_dtype
from knightlite.quantize.scales.features import Feature, quantized_tensor
from knightlite.quantize.scales.group_scales import Shared, group_scale, least_scales
from knightlite.quantize.scales.widths import delivered_wide
from knightlite.quantize.settings import Widths


def coarse_widths(basis: Basis, chosen: Mapping[str, Feature], widths: Widths) -> dict[str, str]:
    """Wide tensors that must have 8 bits lest a result be coarser than at 8, and a sentence each.

    ``chosen`` are the features of the float graph. It is the result that gets 8 bits where the
    operator can write them from what it reads (an Exp, whose largest value was never seen), else
    what it reads: 256 entries of a table are exact, and the result keeps its 16 bits.
    """
    graph = basis.graph
    changed = graph.with_tensors([quantized_tensor(graph, item) for item in chosen.values()])
    pinned = {pin.name for pin in basis.settings.pins}
    found: dict[str, str] = {}
    for node in graph.nodes:
        made = chosen[node.output]
        if made.dtype != dtypes.S16 or node.output in pinned:
            continue
        if np.float32(BY_NAME[node.op].finest_step(View(changed, node))) < made.scale:
            continue  # it is not what makes the step as coarse as it is
        narrow = _at_8_bits(basis, node.output)
        assert narrow.scale is not None
        if made.scale < narrow.scale:
            continue
        read = [name for name in node.inputs if name in widths.wide and name not in pinned]
        least = [_at_8_bits(basis, name) for name in read]
        names: list[str] = []
        if node.output in widths.wide and _may_be_narrow(graph, changed, node, narrow):
            names = [node.output]
        elif _is_finer(changed.with_tensors(least), node, made):
            names = read
        sentence = (
            f"{node.op} {node.name}: between 16-bit tensors it cannot write {node.output} in steps "
            f"finer than {made.scale:.3g}, and those of 8 bits are {narrow.scale:.3g}"
        )
        for name in names:
            found.setdefault(name, sentence)
    return found


def _at_8_bits(basis: Basis, name: str) -> Tensor:
    """The tensor as it would be at 8 bits, with one scale."""
    group = group_of(basis.graph, name)
    dtype = group_dtype(basis, group)
    scale = group_scale(basis, group, dtype)
    if isinstance(scale, Shared):
        method, percent = basis.method_of(group), basis.settings.percent
        (scale,) = least_scales([scale], dtype, method, percent)
    return Tensor(name, basis.graph.tensors[name].shape, dtype, np.asarray(np.float32(scale)))


def _may_be_narrow(graph: Graph, changed: Graph, node: Node, narrow: Tensor) -> bool:
    """True where the operator writes 8 bits from what it reads now, and nothing wants it wide."""
    if delivered_wide(graph, group_of(graph, node.output)):
        return False
    return not any(BY_NAME[node.op].broken(View(changed.with_tensors([narrow]), node)))


def _is_finer(narrow: Graph, node: Node, made: Feature) -> bool:
    """True where the operator tells finer steps apart in the graph in which it reads 8 bits."""
    return bool(np.float32(BY_NAME[node.op].finest_step(View(narrow, node))) < made.scale)
