"""ArgMax and ArgMin: indices on the chip where what follows takes them as real numbers.

An index is a whole number, of type int64 in a file. Where nothing but Casts to real numbers read
it, directly or through views and Casts to other whole numbers, it is a feature of scale 1.

At the end of a network the host picks, of the same integers: so what the chip delivers are scores,
by which a quantization is judged and its steps are chosen. A Cast to real numbers and one back to
whole numbers there say, as ``quant --picks npu`` does, that the chip shall: indices are fewer bytes
than scores, and no work of the host.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from onnx import TensorProto

from knightlite.errors import UnsupportedError
from knightlite.frontend import any_layout, host, wanted
from knightlite.frontend.any_layout import Bench
from knightlite.frontend.factors import chosen, members
from knightlite.frontend.importer import Importer
from knightlite.frontend.source import SourceModel, SourceNode
from knightlite.frontend.steps import REALS
from knightlite.ir import Attribute

PICKS = ("ArgMax", "ArgMin")
WHOLE = (TensorProto.INT32, TensorProto.INT64)  # what an index is cast to on its way
VIEWS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity")


def as_reals(model: SourceModel, trailing: Collection[str]) -> SourceModel:
    """The model in which indices that are read as real numbers are such.

    ``trailing``: nodes of the network's end, which keep their integers.
    """
    if not any(node.op_type in PICKS and not node.domain for node in model.nodes):
        return model
    made = set() if model.quantized else _candidates(model, trailing)
    nodes = [
        replace(node, op_type="Identity", attributes={})
        if node.op_type == "Cast" and node.outputs[0] in made
        else node
        for node in model.nodes
    ]
    names = _features(model, made)
    casts = {name: index for index, name in names.items()}
    for at, node in enumerate(nodes):
        name = node.outputs[0]
        if name in names:
            nodes[at] = replace(node, outputs=(names[name],))
        elif name in casts:  # a view of what it made, under the name of what it read
            nodes[at] = replace(
                node, op_type="Identity", inputs=(name,), outputs=(casts[name],), attributes={}
            )
    types = {**model.types, **dict.fromkeys((*made, *names), TensorProto.FLOAT)}
    return replace(model, nodes=tuple(nodes), types=types)


def _casts(node: SourceNode, kinds: Collection[int]) -> bool:
    return node.op_type == "Cast" and int(node.attributes["to"]) in kinds


def _readers(model: SourceModel) -> dict[str, list[SourceNode]]:
    found: dict[str, list[SourceNode]] = {}
    for node in model.nodes:
        for name in node.inputs:
            found.setdefault(name, []).append(node)
    return found


def _features(model: SourceModel, made: Collection[str]) -> dict[str, str]:
    """Of indices that one Cast reads what this makes of them: the name of the feature."""
    readers, found = _readers(model), {}
    for node in model.nodes:
        index = node.outputs[0]
        casts = readers.get(index, [])
        if node.op_type not in PICKS or len(casts) != 1 or not _casts(casts[0], REALS):
            continue
        feature = casts[0].outputs[0]
        if feature in model.quantized if model.quantized else index in made:
            found[index] = feature
    return found


def _candidates(model: SourceModel, trailing: Collection[str]) -> set[str]:
    """Indices, and views of them, that only Casts to real numbers and each other read."""
    made: dict[str, SourceNode] = {}
    readers = _readers(model)
    for node in model.nodes:
        first = node.inputs[0] if node.inputs else ""
        picked = node.op_type in PICKS and model.types.get(first, TensorProto.FLOAT) in REALS
        passed = first in made and (node.op_type in VIEWS or _casts(node, WHOLE))
        if not node.domain and (picked or passed):
            made[node.outputs[0]] = node

    def ends(name: str) -> bool:
        """Whether the network ends with an index, but for Casts there and back."""
        there = [item.outputs[0] for item in readers.get(name, ()) if _casts(item, REALS)]
        back: list[SourceNode] = []
        for real in there:  # grows
            for item in readers.get(real, ()):
                if item.op_type in VIEWS:
                    there.append(item.outputs[0])
                else:
                    back.append(item)
        whole = bool(back) and all(_casts(item, WHOLE) for item in back)
        return not whole or any(real in model.outputs for real in there)

    while lost := {
        name
        for name, node in made.items()
        if name in model.outputs
        or (node.name in trailing and ends(name))
        or (node.op_type not in PICKS and node.inputs[0] not in made)
        or not all(item.outputs[0] in made or _casts(item, REALS) for item in readers.get(name, ()))
    }:
        for name in lost:
            del made[name]
    return set(made)


def compute(state: Importer, node: SourceNode) -> None:
    """Of a feature on the chip.

    At the end of the network the host picks unless it is asked not to, or cannot.
    """
    model, output = state.model, node.outputs[0]
    is_feature = output in model.quantized if model.quantized else model.types.get(output) in REALS
    on_host = state.value(node.inputs[0]).on_host
    followed = any(
        output in item.inputs and item.name not in state.tail.nodes for item in model.nodes
    )
    if is_feature and not on_host:
        _on_chip(state, node)
    elif is_feature or followed or model.quantized or on_host:
        host.compute(state, node)
    elif model.picks_on_npu or not state.tail.hosting:
        _for_user(state, node)
    else:
        undo = state.mark()
        try:
            host.compute(state, node)
        except UnsupportedError:
            undo()
            _for_user(state, node)


def _for_user(state: Importer, node: SourceNode) -> None:
    """The chip picks, the host makes whole numbers of it."""
    output, shape = node.outputs[0], state.seen(node.outputs[0])
    feature = state.builder.fresh(f"{output}.picked")
    shapes = {**state.model.shapes, feature: shape}
    state.model = replace(state.model, shapes=shapes)
    _on_chip(state, replace(node, outputs=(feature,)))
    cast = replace(node, op_type="Cast", inputs=(feature,), attributes={"to": TensorProto.INT64})
    host.compute(state, cast)
    state.typed_by_host.add(node.name)


def _on_chip(state: Importer, node: SourceNode) -> None:
    """The axis becomes the channels; further axes among these stay there, as groups."""
    name, seen = node.inputs[0], state.seen(node.inputs[0])
    axis = int(node.attributes.get("axis", 0)) % len(seen)
    ids = members(any_layout.factors_of(state, name), seen)[axis]
    bench = Bench(state, node)
    tensor, factors = any_layout.arranged(state, name, wanted.innermost_channels(ids))
    _, channels, height, width = bench.shape(tensor)
    groups = channels // factors.size(ids)
    attributes: dict[str, Attribute] = {"groups": groups} if groups > 1 else {}
    if node.attributes.get("select_last_index", 0):
        attributes["select_last_index"] = 1
    made = bench.canonical(node.op_type, [tensor], (1, groups, height, width), attributes)
    left = [index for index in range(len(factors.sizes)) if index not in ids]
    bench.finish(made, chosen(factors, left))
