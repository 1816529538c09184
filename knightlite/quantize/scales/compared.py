"""Differences of which only the sign is read: in steps of what is subtracted, wherever they end.

Of two features that are compared, a difference of one step is a difference: rounded to a coarser
step it would be none. Large ones saturate, and keep their sign.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from knightlite import dtypes
from knightlite.ir import Graph, Node
from knightlite.ops.table_functions import steps_of
from knightlite.quantize.scales.features import Feature, Rule

BY_SIGN = Rule("the step of what is compared")


def by_sign(graph: Graph, chosen: Mapping[str, Feature]) -> dict[str, Feature]:
    """The features with those of such differences in their place."""
    made = dict(chosen)
    members = Counter(feature.group for feature in chosen.values())
    for node in graph.nodes:
        if node.op != "Sub" or members[chosen[node.output].group] > 1:
            continue
        readers = graph.consumers().get(node.output, ())
        if node.output in graph.chip_outputs or not all(map(_reads_sign, readers)):
            continue
        scale = min(float(np.min(made[name].scale)) for name in node.inputs if name in made)
        made[node.output] = replace(
            made[node.output], dtype=dtypes.S8, scale=np.asarray(np.float32(scale)), rule=BY_SIGN
        )
    return made


def _reads_sign(node: Node) -> bool:
    """True for a Table whose function is one of the sign of what it reads."""
    if node.op != "Table":
        return False
    first, *others = steps_of(node)
    return first.op == "Sign" and not any(
        isinstance(item, int) and item == 0 for step in others for item in step.operands
    )
