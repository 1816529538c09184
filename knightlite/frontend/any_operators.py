"""Which operator computes values of any layout, and how: what the order of axes does not allow.

The walk asks here where an operator refuses the value as it is, and for operators that know
nothing else. What has no way of its own is done in the standard order: the value is moved there.
"""

from __future__ import annotations

from collections.abc import Callable

from knightlite.frontend import (
    any_axes,
    any_elementwise,
    any_layout,
    any_products,
    axis_orders,
    carrying,
    norms,
    transposes,
    views,
)
from knightlite.frontend.importer import Importer
from knightlite.frontend.source import SourceNode

Handler = Callable[[Importer, SourceNode], None]
OWN: dict[str, Handler] = {
    **dict.fromkeys(views.VIEWS, any_axes.view),
    **dict.fromkeys(norms.NORMS, norms.normalize),
    **dict.fromkeys((*any_products.SUMS, *any_products.EXTREMES), any_products.reduce),
    "Concat": any_axes.concat,
    "Expand": any_elementwise.expand,
    "Gather": any_axes.gather,
    "Gemm": any_products.product,
    "MatMul": any_products.product,
    "Pad": any_axes.pad,
    "Slice": any_axes.sliced,
    "Softmax": any_products.softmax,
    "Split": any_axes.split,
    "Tile": any_axes.tile,
}
ONLY = ("Expand", "Gather", "ReduceLogSum", "ReduceLogSumExp", *norms.NORMS)


def compute(state: Importer, node: SourceNode, handler: Handler) -> None:
    """Compute ``node`` whatever the layout of its features; UnsupportedError says why not."""
    own = OWN.get(node.op_type)
    if own is not None:
        own(state, node)
    elif node.op_type in carrying.POINTWISE and node.op_type != "BatchNormalization":
        any_elementwise.elementwise(state, node, handler)
    else:
        for name in state.features(node):
            any_layout.standard(state, node, name)
        if not carrying.carry(state, node, handler):
            handler(state, node)


def only_here(state: Importer, node: SourceNode) -> None:
    """The handler of operators that are computed here alone."""
    OWN[node.op_type](state, node)


def must_agree(state: Importer, node: SourceNode) -> bool:
    """True for tokens that an element-wise operator joins and that lie in different orders."""
    features = list(dict.fromkeys(state.features(node)))
    return (
        node.op_type in carrying.POINTWISE
        and len(features) > 1
        and all(len(state.seen(name)) == 3 for name in features)
        and carrying.agreed(state, node, features) is None
    )


def splits_axes(state: Importer, node: SourceNode) -> bool:
    """True for a Transpose of parts of axes that no Reshape follows to tell what becomes of it."""
    name = node.inputs[0]
    return (
        node.op_type == "Transpose"
        and state.value(name).turned is None
        and axis_orders.groups_of(state, name) is None
        and not state.readers(node.outputs[0]) <= transposes.WAITS_FOR
        and node.name not in state.tail.nodes
    )


def has_any_layout(state: Importer, node: SourceNode) -> bool:
    """True where a feature of the node is no order of whole axes."""
    values = (state.values.get(name) for name in state.features(node))
    return any(value is not None and value.factors is not None for value in values)


ASKED = (has_any_layout, must_agree, splits_axes)
"""What sends a node here before the order of axes is tried."""
