"""How the engines do operators. ``LOWERINGS`` is the written-out list."""

from __future__ import annotations

from knightlite.chip import Chip
from knightlite.errors import Finding
from knightlite.ir import Graph, Node
from knightlite.ir.graph import flatten_chains
from knightlite.lower.chain import LEAST_CHANNELS
from knightlite.lower.convolution import CONVOLUTION
from knightlite.lower.matmul import MATMUL
from knightlite.lower.moves import (
    CHANNEL_SHUFFLE,
    DEPTH_TO_SPACE,
    SPACE_TO_DEPTH,
    SWAP_CHANNELS,
)
from knightlite.lower.pad import PAD
from knightlite.lower.pick import ARG_MAX, ARG_MIN
from knightlite.lower.pool import AVERAGE_POOL, MAX_POOL
from knightlite.lower.resize import RESIZE_LINEAR, RESIZE_NEAREST
from knightlite.lower.softmax import SOFTMAX
from knightlite.lower.sparse import skips_zeros, sparse_work, without_zero_blocks
from knightlite.lower.transposed import TRANSPOSED
from knightlite.lower.vector import ADD, AFFINE, COPY, MAX, MIN, MUL, PRELU, SUB, TABLE
from knightlite.lower.work import (
    Limit,
    Lowering,
    Placement,
    Range,
    Tile,
    WeightRuns,
    Work,
    span,
)
from knightlite.ops import BY_NAME as DEFINITIONS
from knightlite.ops import View

LOWERINGS: tuple[Lowering, ...] = (
    CONVOLUTION,
    TRANSPOSED,
    MATMUL,
    AFFINE,
    PRELU,
    ADD,
    SUB,
    MUL,
    MAX,
    MIN,
    MAX_POOL,
    AVERAGE_POOL,
    SWAP_CHANNELS,
    CHANNEL_SHUFFLE,
    DEPTH_TO_SPACE,
    SPACE_TO_DEPTH,
    PAD,
    TABLE,
    RESIZE_NEAREST,
    RESIZE_LINEAR,
    SOFTMAX,
    ARG_MAX,
    ARG_MIN,
    COPY,
)
BY_OP: dict[str, Lowering] = {item.op: item for item in LOWERINGS}


def work_of(graph: Graph, node: Node) -> Work:
    """The work of a node or chain."""
    if node.op == "Chain":
        (make,) = filter(None, (BY_OP[part.op].chain for part in node.parts))
        return sparse_work(graph, node, make(graph, node.parts))
    return sparse_work(graph, node, BY_OP[node.op].work(View(graph, node)))


def limit_findings(graph: Graph, chip: Chip) -> list[Finding]:
    """Every node that an engine limit of the chip refuses."""
    found = []
    for node in flatten_chains(graph.nodes):
        if node.op in DEFINITIONS and not DEFINITIONS[node.op].executes:
            continue
        lowering = BY_OP.get(node.op)
        if lowering is None:
            found.append(Finding(node.name, f"no engine does {node.op} yet."))
            continue
        for reason in lowering.broken(View(graph, node), chip):
            found.append(Finding(node.name, f"{node.op}: {reason}."))
    return found


__all__ = [
    "LEAST_CHANNELS",
    "LOWERINGS",
    "Limit",
    "Lowering",
    "Placement",
    "Range",
    "Tile",
    "WeightRuns",
    "Work",
    "limit_findings",
    "skips_zeros",
    "span",
    "without_zero_blocks",
    "work_of",
]
