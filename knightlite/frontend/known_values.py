"""What is known of features whatever they are: they are finite, and an empty one has no elements.

::

    Softmax(Add(x, mask))          =>  the mask's -inf become LOWEST: a share of exp(LOWEST) or less
    Equal(ReduceMax(Add(x, mask)), -inf)  =>  where the mask lets nothing through
    Equal(x, inf), IsInf, IsNaN    =>  False
    Where(all True or False, a, b) =>  a or b
    Concat(x, empty)               =>  Concat(x)
    CastLike(x, y)                 =>  Cast(x) to the type of y
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from knightlite.frontend import constant_folding
from knightlite.frontend.source import SourceModel, SourceNode

Array = NDArray[Any]
LOWEST = -64.0
"""What is added in place of -infinity: scores of an attention differ by less."""
SOFT = ("Softmax", "LogSoftmax")
SAME = ("Cast", "Identity")
ASKING = ("IsInf", "IsNaN")


def simplified(model: SourceModel) -> SourceModel:
    """The model without what is known; quantized files hold none of it."""
    if model.quantized:
        return model
    constants, renamed = dict(model.constants), dict[str, str]()
    makers = {name: node for node in model.nodes for name in node.outputs if name}
    kept: list[SourceNode] = []
    for node in model.nodes:
        node = replace(node, inputs=tuple(renamed.get(name, name) for name in node.inputs))
        known = _known(model, node, constants, makers)
        if known is not None:
            constants[node.outputs[0]] = known
            continue
        source = _chosen(model, node, constants)
        if source is not None and node.outputs[0] not in model.outputs:
            renamed[node.outputs[0]] = source
            continue
        kept.append(_without_empty(model, _typed(model, node, constants), constants))
    model = replace(model, nodes=tuple(_needed(kept, model.outputs)), constants=constants)
    return _with_finite_masks(model)


def _needed(nodes: list[SourceNode], outputs: tuple[str, ...]) -> list[SourceNode]:
    wanted, kept = set(outputs), list[SourceNode]()
    for node in reversed(nodes):
        if wanted.intersection(node.outputs):
            wanted.update((*node.inputs, *node.captured))
            kept.append(node)
    return kept[::-1]


# ------------------------------------------------------------------ answers


def _known(
    model: SourceModel,
    node: SourceNode,
    constants: dict[str, Array],
    makers: Mapping[str, SourceNode],
) -> Array | None:
    """What a node makes of any finite features; None where that depends on them."""
    if node.domain or not node.outputs or node.outputs[0] in model.outputs:
        return None
    shape = model.shapes.get(node.outputs[0])
    if shape is None:
        return None
    if node.op_type in ASKING and node.inputs[0] not in constants:
        return np.zeros(shape, np.bool_)
    if node.op_type == "Equal":
        endless = [constants[name] for name in node.inputs if name in constants]
        if len(endless) == 1 and _is_float(endless[0]) and np.isinf(_real(endless[0])).all():
            (asked,) = (name for name in node.inputs if name not in constants)
            hidden = _hidden(makers, asked, constants) if np.all(_real(endless[0]) < 0) else None
            return np.zeros(shape, np.bool_) | (False if hidden is None else hidden)
    return None


def _hidden(
    makers: Mapping[str, SourceNode], name: str, constants: Mapping[str, Array]
) -> Array | None:
    """Where the largest of masked scores is -infinity; None where none of them is masked."""
    node = _behind_casts(makers, name)
    if node is None or node.op_type != "ReduceMax":
        return None
    axes = constant_folding.axes_of(node, [None, *(constants.get(x) for x in node.inputs[1:])])
    scores = _behind_casts(makers, node.inputs[0])
    if scores is None or scores.op_type != "Add":
        return None
    masks = [_real(constants[name]) for name in scores.inputs if name in constants]
    if len(masks) != 1 or not np.isneginf(masks[0]).any() or not masks[0].ndim:
        return None
    kept = bool(node.attributes.get("keepdims", 1))
    if axes is None or any(axis >= 0 for axis in axes):  # the mask may have fewer axes
        return None
    return np.asarray(np.isneginf(masks[0]).all(axis=axes, keepdims=kept))


def _behind_casts(makers: Mapping[str, SourceNode], name: str) -> SourceNode | None:
    node = makers.get(name)
    while node is not None and node.op_type in SAME:
        node = makers.get(node.inputs[0])
    return node


def _is_float(values: Array) -> bool:
    return values.dtype.kind == "f" or values.dtype.name == "bfloat16"


def _real(values: Array) -> Array:
    return np.asarray(values, np.float32)


def _chosen(model: SourceModel, node: SourceNode, constants: dict[str, Array]) -> str | None:
    """The operand that a Where with one answer hands on."""
    if node.domain or node.op_type != "Where" or node.inputs[0] not in constants:
        return None
    condition = constants[node.inputs[0]]
    if condition.all() == condition.any() and condition.size:
        source = node.inputs[1 if condition.all() else 2]
        if source not in constants and (
            model.shapes.get(source) == model.shapes.get(node.outputs[0]) is not None
        ):
            return source
    return None


def _typed(model: SourceModel, node: SourceNode, constants: dict[str, Array]) -> SourceNode:
    """A CastLike as the Cast that it is; whole exponents as real numbers."""
    if node.op_type == "Pow" and not node.domain:
        return _with_real_exponent(node, constants)
    if node.domain or node.op_type != "CastLike":
        return node
    like = node.inputs[1]
    element = model.types.get(node.outputs[0], model.types.get(like))
    if element is None and like in constants:
        element = helper.np_dtype_to_tensor_dtype(constants[like].dtype)
    if element is None:
        return node
    return replace(node, op_type="Cast", inputs=node.inputs[:1], attributes={"to": element})


def _with_real_exponent(node: SourceNode, constants: dict[str, Array]) -> SourceNode:
    base, exponent = node.inputs
    values = constants.get(exponent)
    if base in constants or values is None or values.dtype.kind not in "iu":
        return node
    name = f"{exponent}/{node.name}/real"
    constants[name] = _real(values)
    return replace(node, inputs=(base, name))


def _without_empty(model: SourceModel, node: SourceNode, constants: dict[str, Array]) -> SourceNode:
    """A Concat of what has elements."""
    if node.domain or node.op_type != "Concat":
        return node
    full = tuple(
        name
        for name in node.inputs
        if 0 not in (constants[name].shape if name in constants else model.shapes.get(name, ()))
    )
    return replace(node, inputs=full) if full else node


# ------------------------------------------------------------------ masks


def _with_finite_masks(model: SourceModel) -> SourceModel:
    """Constants that are added to scores, or chosen in their place, without infinities.

    Where a row is masked as a whole, its shares are no numbers: it stays as it is, unless
    something is chosen in their place.
    """
    readers: dict[str, list[SourceNode]] = {}
    for node in model.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)

    def scores(name: str) -> bool:
        """Whether only Softmaxes read a value."""
        found = readers.get(name, [])
        return (
            bool(found)
            and name not in model.outputs
            and all(
                item.op_type in SOFT or (item.op_type in SAME and scores(item.outputs[0]))
                for item in found
            )
        )

    def replaced(name: str) -> bool:
        """Whether shares are chosen by a constant: the rows that are masked as a whole."""
        found = readers.get(name, [])
        return bool(found) and all(
            (item.op_type == "Where" and item.inputs[0] in model.constants)
            or (item.op_type in (*SOFT, *SAME) and replaced(item.outputs[0]))
            for item in found
        )

    constants, nodes = dict(model.constants), list[SourceNode]()
    for node in model.nodes:
        operands = {"Add": node.inputs, "Where": node.inputs[1:]}.get(node.op_type, ())
        masks = [
            name
            for name in operands
            if name in constants and _masks(constants[name], replaced(node.outputs[0]))
        ]
        if not node.domain and masks and scores(node.outputs[0]):
            node = _finite(node, masks[0], constants)
        nodes.append(node)
    return replace(model, nodes=tuple(nodes), constants=constants)


def _masks(values: Array, whole_rows: bool) -> bool:
    """True for a mask: some of its numbers let nothing through.

    ``whole_rows``: that may be all of a row.
    """
    if not _is_float(values):
        return False
    hidden = _real(values) < LOWEST
    wide = values.ndim and values.shape[-1] > 1
    may = whole_rows or not wide or not hidden.all(axis=-1).any()
    return bool(hidden.any() and may and not np.isnan(_real(values)).any())


def _finite(node: SourceNode, mask: str, constants: dict[str, Array]) -> SourceNode:
    name = f"{mask}/{node.name}/finite"
    constants[name] = np.maximum(_real(constants[mask]), np.float32(LOWEST))
    return replace(node, inputs=tuple(name if item == mask else item for item in node.inputs))
