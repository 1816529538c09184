"""Operators on features in another order than [N, C, H, W], computed in that order all the same.

A node on [N, H, W, C], [N, C, L] or [N, L, C] values is rewritten for the canonical tensors behind
them: its axes, its constants along axes and its windows become canonical ones. What comes out has
the order of what went in. So a Transpose costs nothing in front of these operators, and one behind
them that turns back nothing either. Where the operands' orders do not agree, they are settled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite import ops
from knightlite.errors import UnsupportedError
from knightlite.frontend import axis_orders, compute, dense, host
from knightlite.frontend.axis_orders import Groups
from knightlite.frontend.importer import IN_ORDER, Importer
from knightlite.frontend.source import Shape, SourceNode
from knightlite.ops import functions

Array = NDArray[Any]
Handler = Callable[[Importer, SourceNode], None]

POINTWISE = frozenset(
    {
        *functions.FUNCTIONS, *compute.CHAINS, "BatchNormalization", "Clip", "Div", "Neg", "PRelu",
        "Relu", "Where",
        *(kind for kind, item in ops.BY_ONNX_TYPE.items() if item.broadcasts),
    }
)  # fmt: skip
REDUCTIONS = frozenset(kind for kind in ("L1", "L2", "Max", "Mean", "Min", "Sum", "SumSquare"))
REDUCE = frozenset(f"Reduce{kind}" for kind in REDUCTIONS)
ALONG = frozenset({"Concat", "Pad", "Slice", "Softmax", "Split", "Tile", *REDUCE})
DENSE = frozenset({"Gemm", "MatMul"})
CARRIED = POINTWISE | ALONG | DENSE  # in whatever order
WINDOWS = frozenset(
    {
        "AveragePool", "Conv", "ConvTranspose", "GlobalAveragePool", "GlobalMaxPool", "LRN",
        "MaxPool", "Resize", "Upsample",
    }
)  # fmt: skip
"""Rows and columns are their own: they come in order, signals as pictures of one row."""


def carry(state: Importer, node: SourceNode, handler: Handler) -> bool:
    """Compute ``node`` on its features in their order; False where it needs no help for that."""
    kind, features = node.op_type, state.features(node)
    if any(state.value(name).on_host for name in features):
        return False
    if kind == "Softmax" and node.name in state.tail.better:
        return False
    if kind in host.HOST and kind not in CARRIED:
        return False  # the host puts them in order
    if kind not in CARRIED | WINDOWS:
        for name in features:
            axis_orders.straighten(state, name)
        return False
    if kind in WINDOWS:
        if len(state.seen(features[0])) == 5 and dense.averages_channels(state, node, features[0]):
            return True
        axis_orders.settle(state, features[0])
    elif kind in DENSE:
        return dense.dense(state, node, features[0])
    found = agreed(state, node, features)
    if found is None:
        for name in features:
            axis_orders.settle(state, name)
        found = agreed(state, node, features)
    if found is None or not _helps(state, node, features, found):
        return False
    undo = state.mark()
    try:
        _carried(state, node, handler, features, found)
    except UnsupportedError as refusal:
        undo()
        if not _settled(state, features):  # in the order of the file it may be supported
            undo()
            raise refusal from None
        return carry(state, node, handler)
    return True


def _settled(state: Importer, features: Sequence[str]) -> bool:
    """Settle what is not in the standard order; False where nothing is, or where it cannot be."""
    others = [name for name in features if not axis_orders.standard(state, name)]
    try:
        for name in others:
            axis_orders.settle(state, name)
    except UnsupportedError:
        return False
    return bool(others) and all(axis_orders.standard(state, name) for name in others)


def _carried(
    state: Importer, node: SourceNode, handler: Handler, features: Sequence[str], found: Groups
) -> None:
    """Rewrite the node and compute it."""
    kind = node.op_type
    rewritten = replace(node, inputs=tuple(axis_orders.alias(state, name) for name in node.inputs))
    rewrite = REWRITES.get(kind, _along_windows if kind in WINDOWS else _pointwise)
    rewritten = rewrite(state, rewritten, _view(state, node, features, found))
    _run(state, node, rewritten, handler, found, features)


@dataclass(frozen=True, slots=True)
class _View:
    """How the file sees the operand that has all axes of the output, for ``reader``."""

    reader: str
    groups: Groups
    seen: Shape
    canonical: Shape
    order: tuple[int, ...]

    def axis(self, axis: int) -> int:
        """The canonical axis; UnsupportedError where it is none by itself."""
        group = self.groups[axis % len(self.groups)]
        if len(group) != 1:
            raise UnsupportedError(
                f"{self.reader} must name axes of [N, C, H, W], not axis {axis} of {self.seen} "
                f"made of {self.canonical}."
            )
        return group[0]

    def aligned(self, values: Array) -> Array:
        """A constant that broadcasts with the file's value, as [1, C, H, W]."""
        rank = len(self.seen)
        if values.ndim > rank:
            raise UnsupportedError(
                f"{self.reader} must not broadcast {self.seen} to {values.shape}."
            )
        padded = values.reshape((1,) * (rank - values.ndim) + values.shape)
        sizes: list[int] = []
        axes: list[int] = []
        for size, full, group in zip(padded.shape, self.seen, self.groups, strict=True):
            if size not in (1, full):
                raise UnsupportedError(
                    f"{self.reader} must not broadcast {self.seen} to {values.shape}."
                )
            sizes += [self.canonical[axis] if size != 1 else 1 for axis in group]
            axes += group
        sizes += [1] * (4 - len(axes))
        axes += [axis for axis in IN_ORDER if axis not in axes]
        return padded.reshape(sizes).transpose(np.argsort(axes))

    def shape(self, seen: Shape) -> Shape:
        """The canonical shape of what the file sees as ``seen``, with as many axes."""
        made = [1, 1, 1, 1]
        for size, full, group in zip(seen, self.seen, self.groups, strict=True):
            if len(group) == 1:
                made[group[0]] = size
            elif size == full:
                for axis in group:
                    made[axis] = self.canonical[axis]
        return tuple(made)


# ------------------------------------------------------------------ how operands are seen


def _reference(
    state: Importer, node: SourceNode, features: Sequence[str]
) -> tuple[Shape, Shape, tuple[int, ...]]:
    """The feature with all axes of the output: its shape in the file, its own, and its order."""
    name = max(features, key=lambda item: (len(state.seen(item)), np.prod(state.seen(item))))
    return state.seen(name), state.padded_shape(name), state.value(name).order


def _view(state: Importer, node: SourceNode, features: Sequence[str], found: Groups) -> _View:
    return _View(f"{node.op_type} {node.name}", found, *_reference(state, node, features))


def agreed(state: Importer, node: SourceNode, features: Sequence[str]) -> Groups | None:
    """The groups that all features have, axes of size 1 aside; None where they differ."""
    seen, canonical, order = _reference(state, node, features)
    whole = axis_orders.groups(seen, canonical, order)
    if whole is None or any(state.value(name).turned is not None for name in features):
        return None
    for name in features:
        found, sizes = axis_orders.groups_of(state, name), state.seen(name)
        if found is None:
            return None
        for size, group, wanted in zip(sizes[::-1], found[::-1], whole[::-1], strict=False):
            if size != 1 and group != wanted:
                return None
    return whole


def _helps(state: Importer, node: SourceNode, features: Sequence[str], found: Groups) -> bool:
    """False for what the handlers read as it is."""
    if any(state.value(name).order != IN_ORDER for name in features):
        return True
    shapes = {state.seen(name) for name in features}
    ranks = {len(shape) for shape in shapes}
    if len(ranks) > 1:
        return True
    if ranks != {3} or any(len(group) != 1 for group in found):
        return False
    constants = [state.model.constants[name] for name in node.inputs
                 if name in state.model.constants]  # fmt: skip
    spread = len(shapes) > 1 or any(values.size > 1 for values in constants)
    return spread or node.op_type not in POINTWISE


def _run(
    state: Importer,
    node: SourceNode,
    rewritten: SourceNode,
    handler: Handler,
    found: Groups,
    features: Sequence[str],
) -> None:
    """Let the handler compute canonical shapes; then the outputs are seen as the file has them."""
    view = _view(state, node, features, found)
    names = [name for name in node.outputs if name]
    seen = {name: state.seen(name) for name in names}
    canonical = {name: _output_shape(view, rewritten, shape) for name, shape in seen.items()}
    state.model = replace(state.model, shapes={**state.model.shapes, **canonical})
    handler(state, rewritten)
    state.model = replace(state.model, shapes={**state.model.shapes, **seen})
    for name in names:
        value = state.values.get(name)
        if value is None:
            continue
        made = replace(value, order=tuple(view.order))
        state.values[name] = made
        if axis_orders.groups_of(state, name) is None:
            raise UnsupportedError(f"{view.reader} makes {seen[name]} of {state.shape(name)}.")


def _output_shape(view: _View, rewritten: SourceNode, seen: Shape) -> Shape:
    """Canonical, from the file's; of a reduction from its axes."""
    if rewritten.op_type not in REDUCE:
        return view.shape(seen)
    reduced = rewritten.attributes["axes"]
    return tuple(1 if axis in reduced else size for axis, size in enumerate(view.canonical))


# ------------------------------------------------------------------ nodes rewritten


def _pointwise(state: Importer, node: SourceNode, view: _View) -> SourceNode:
    """Constants broadcast along canonical axes; BatchNormalization reads them by channel."""
    if node.op_type == "BatchNormalization":
        if view.axis(1) != 1:
            raise UnsupportedError(
                f"{view.reader} must read features by channel, not {view.seen} made of "
                f"{view.canonical}."
            )
        return node
    names = [
        axis_orders.constant(state, node, name, view.aligned(state.model.constants[name]))
        if name in state.model.constants and state.model.constants[name].size > 1
        else name
        for name in node.inputs
    ]
    return replace(node, inputs=tuple(names))


def _joined(state: Importer, node: SourceNode, view: _View) -> SourceNode:
    axis = view.axis(int(node.attributes.get("axis", 1 if node.op_type == "Concat" else 0)))
    return replace(node, attributes={**node.attributes, "axis": axis})


def _softmax(state: Importer, node: SourceNode, view: _View) -> SourceNode:
    """Before opset 13 over all axes from ``axis`` on, taken together."""
    old = state.model.opset < 13
    axis = int(node.attributes.get("axis", 1 if old else -1)) % len(view.seen)
    long = [index for index in range(axis, len(view.seen)) if view.seen[index] != 1]
    if old and len(long) > 1:
        raise UnsupportedError(f"{view.reader} must run over one axis, not {view.seen[axis:]}.")
    axis = long[0] if old and long else axis
    return replace(node, attributes={**node.attributes, "axis": view.axis(axis)})


def _sliced(state: Importer, node: SourceNode, view: _View) -> SourceNode:
    """Axes by number, as attributes or as the fourth input."""
    if "starts" in node.attributes:
        count = len(node.attributes["starts"])
        axes = node.attributes.get("axes", range(count))
        named = [view.axis(int(axis)) for axis in axes]
        return replace(node, attributes={**node.attributes, "axes": named})
    starts, given = axis_orders.operand(state, node, 1), axis_orders.operand(state, node, 3)
    assert starts is not None
    axes = range(starts.size) if given is None else np.ravel(given)
    mapped = np.array([view.axis(int(axis)) for axis in axes], np.int64)
    inputs = [*node.inputs, "", ""][:5]
    inputs[3] = axis_orders.constant(state, node, f"{node.inputs[1]}.axes", mapped)
    return replace(node, inputs=tuple(inputs))


def _reduced(state: Importer, node: SourceNode, view: _View) -> SourceNode:
    """All members of an axis that is merged of several."""
    axes = node.attributes.get("axes")
    if axes is None:
        given = axis_orders.operand(state, node, 1)
        axes = [] if given is None else np.ravel(given)
    if not len(axes) and not node.attributes.get("noop_with_empty_axes", 0):
        axes = range(len(view.seen))
    mapped = sorted({item for axis in axes for item in view.groups[int(axis)]} - {0})
    if len(axes) and not mapped:  # of size 1, so that any other such axis is as good
        mapped = [next(axis for axis in (2, 3, 1) if view.canonical[axis] == 1)]
    attributes = {**node.attributes, "axes": mapped, "keepdims": 1}
    return replace(node, inputs=node.inputs[:1], attributes=attributes)


def _padded(state: Importer, node: SourceNode, view: _View) -> SourceNode:
    """Amounts at the begin and the end of all canonical axes."""
    given = node.attributes.get("pads")
    amounts = axis_orders.operand(state, node, 1) if given is None else np.asarray(given)
    axes = axis_orders.operand(state, node, 3)
    if amounts is None:
        raise UnsupportedError(f"{view.reader} must have constant pads.")
    listed = range(len(view.seen)) if axes is None else np.ravel(axes)
    begins, ends = np.zeros(4, np.int64), np.zeros(4, np.int64)
    for index, axis in enumerate(listed):
        before, behind = (int(np.ravel(amounts)[k]) for k in (index, index + len(listed)))
        if before or behind:
            begins[view.axis(int(axis))], ends[view.axis(int(axis))] = before, behind
    pads = np.concatenate([begins, ends])
    if given is not None:
        return replace(node, attributes={**node.attributes, "pads": pads.tolist()})
    inputs = [node.inputs[0], axis_orders.constant(state, node, node.inputs[1], pads)]
    return replace(node, inputs=(*inputs, *node.inputs[2:3]))


def _tiled(state: Importer, node: SourceNode, view: _View) -> SourceNode:
    counts = axis_orders.operand(state, node, 1)
    assert counts is not None
    repeats = np.ones(4, np.int64)
    for axis, count in enumerate(np.ravel(counts)):
        if count != 1:
            repeats[view.axis(axis)] = count
    return replace(
        node, inputs=(node.inputs[0], axis_orders.constant(state, node, node.inputs[1], repeats))
    )


def _along_windows(state: Importer, node: SourceNode, view: _View) -> SourceNode:
    """Windows along signals are windows in pictures of one row."""
    if len(view.seen) != 3:
        return node
    attributes: dict[str, Any] = dict(node.attributes)
    for name, neutral in (("kernel_shape", 1), ("strides", 1), ("dilations", 1),
                          ("output_padding", 0), ("output_shape", 1)):  # fmt: skip
        if len(attributes.get(name, ())) == 1:
            attributes[name] = [neutral, *attributes[name]]
    if len(attributes.get("pads", ())) == 2:
        before, behind = attributes["pads"]
        attributes["pads"] = [0, before, 0, behind]
    inputs = list(node.inputs)
    if node.op_type in ("Conv", "ConvTranspose"):
        weights = axis_orders.operand(state, node, 1)
        assert weights is not None
        inputs[1] = axis_orders.constant(state, node, node.inputs[1], weights[:, :, None])
    elif node.op_type in ("Resize", "Upsample"):
        for index, name in enumerate(inputs[1:], start=1):
            values = axis_orders.operand(state, node, index)
            if values is not None and values.size == 3:
                wider = np.insert(values, 2, 1)
                inputs[index] = axis_orders.constant(state, node, name, wider)
        if len(attributes.get("scales", ())) == 3:
            attributes["scales"] = list(np.insert(attributes["scales"], 2, 1.0))
    return replace(node, inputs=tuple(inputs), attributes=attributes)


REWRITES: Mapping[str, Callable[[Importer, SourceNode, _View], SourceNode]] = {
    "Concat": _joined,
    "Pad": _padded,
    "Slice": _sliced,
    "Softmax": _softmax,
    "Split": _joined,
    "Tile": _tiled,
    **dict.fromkeys(REDUCE, _reduced),
}
