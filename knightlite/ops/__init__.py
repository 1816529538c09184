"""What operators mean. ``ALL_OPS`` is the written-out list; adding one is adding it here."""

from knightlite.errors import Finding
from knightlite.ir import Graph
from knightlite.ops.affine import AFFINE
from knightlite.ops.concat import CONCAT
from knightlite.ops.conv import CONV
from knightlite.ops.copy import COPY
from knightlite.ops.depth_to_space import DEPTH_TO_SPACE, SPACE_TO_DEPTH
from knightlite.ops.eltwise import ADD, MAX, MIN, MUL, SUB
from knightlite.ops.general import GENERAL
from knightlite.ops.matmul import MATMUL
from knightlite.ops.opdef import Constraint, Kernel, Lookup, OpDef, Tie, View, Window, reasons
from knightlite.ops.pad import PAD
from knightlite.ops.pick import ARG_MAX, ARG_MIN
from knightlite.ops.pool import AVERAGE_POOL, MAX_POOL
from knightlite.ops.prelu import PRELU
from knightlite.ops.resize import RESIZE_LINEAR, RESIZE_NEAREST
from knightlite.ops.shuffle import CHANNEL_SHUFFLE
from knightlite.ops.slice import SLICE
from knightlite.ops.softmax import SOFTMAX
from knightlite.ops.table import TABLE
from knightlite.ops.transpose import SWAP_CHANNELS, SWAP_PIXELS
from knightlite.ops.transposed import CONV_TRANSPOSE

ALL_OPS: tuple[OpDef, ...] = (
    CONV,
    CONV_TRANSPOSE,
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
    CONCAT,
    SLICE,
    SWAP_PIXELS,
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
    GENERAL,
)

BY_NAME: dict[str, OpDef] = {op.name: op for op in ALL_OPS}
BY_ONNX_TYPE: dict[str, OpDef] = {kind: op for op in ALL_OPS for kind in op.onnx_types}


def constraint_findings(graph: Graph) -> list[Finding]:
    """Every node of a quantized graph that breaks a constraint of its operator."""
    return [
        Finding(node.name, f"{node.op}: {reason}.")
        for node in graph.nodes
        for reason in BY_NAME[node.op].broken(View(graph, node))
    ]


__all__ = [
    "ALL_OPS",
    "BY_NAME",
    "BY_ONNX_TYPE",
    "Constraint",
    "Kernel",
    "Lookup",
    "OpDef",
    "Tie",
    "View",
    "Window",
    "constraint_findings",
    "reasons",
]
