"""Paddle's own names for the values of a converted network, where the converter has put others.

paddle2onnx names what it makes after ONNX operators (``Concat.1``) and copies it to the program's
variable (``concat_0.tmp_0``) by an Identity, which its own optimization removes: with it the name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from knightlite.name_lists import names_in

if TYPE_CHECKING:
    import onnx

WEIGHT, BIAS = ".w_0", ".b_0"  # of a layer, whose results Paddle calls .tmp_0 and .tmp_1
LAYERS = ("Conv", "ConvTranspose", "MatMul", "Gemm")
COPIES = ("Identity", "Reshape", "Unsqueeze")  # between a bias and the Add that takes it


@dataclass(frozen=True, slots=True)
class Copies:
    """Of a network with its Identities: what each of them copies; the kinds of nodes by value."""

    sources: Mapping[str, str]
    kinds: Mapping[str, str]


def copies_of(model: onnx.ModelProto) -> Copies:
    """The copies in a model, without its weights."""
    sources = {
        node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "Identity"
    }
    return Copies(sources, _kinds(model))


def variables_back(
    model: onnx.ModelProto, copies: Copies, variables: Sequence[str], asked: Sequence[str]
) -> None:
    """Give values of ``model`` the names of the variables that they are copied to.

    ``copies``: of the same network before its Identities were removed. ``asked``: texts with names
    that will be asked for; these come first where a value is several variables.
    """
    kinds, ends = _kinds(model), _ends(model)
    wanted = [name for name in names_in(asked, variables) if name in copies.sources]
    found: dict[str, str] = {}
    for name in [*wanted, *variables]:
        if name in kinds or name in ends:
            continue
        source = name
        while source in copies.sources:
            source = copies.sources[source]
        kept = source in ends or (source in variables and name not in wanted)
        if source in kinds and kinds[source] == copies.kinds.get(source) and not kept:
            found.setdefault(source, name)
    _rename(model, found)


def after_parameters(model: onnx.ModelProto, asked: Sequence[str]) -> None:
    """Name what layers give after their parameters, as Paddle's older programs do.

    Programs of Paddle 3 name their weights (``linear_0.w_0``) and not what is computed with them
    (``linear_0.tmp_0``, and with a bias ``linear_0.tmp_1``). The network's outputs keep their names
    but where others are ``asked`` for.
    """
    made = dict(_results(model))
    wanted = set(names_in(asked, list(made.values())))
    ends, counts = _ends(model), Counter(made.values())
    kept = {
        value: name
        for value, name in made.items()
        if counts[name] == 1 and (value not in ends or name in wanted)
    }
    _rename(model, kept)


def _results(model: onnx.ModelProto) -> Iterator[tuple[str, str]]:
    """Values that layers give, and what Paddle calls them."""
    origin: dict[str, str] = {}  # a value -> what it is a copy of
    layer: dict[str, str] = {}  # a value -> the layer that gave it without its bias
    for node in model.graph.node:
        inputs = [origin.get(name, name) for name in node.input]
        if node.op_type in COPIES:
            origin[node.output[0]] = inputs[0]
        elif node.op_type in LAYERS and len(inputs) > 1 and inputs[1].endswith(WEIGHT):
            called = inputs[1].removesuffix(WEIGHT)
            layer[node.output[0]] = called
            with_bias = len(inputs) > 2 and inputs[2] == called + BIAS
            yield node.output[0], f"{called}.tmp_{int(with_bias)}"
        elif node.op_type == "Add":
            for value, bias in (inputs, inputs[::-1]):
                if value in layer and bias == layer[value] + BIAS:
                    yield node.output[0], f"{layer[value]}.tmp_1"


def _kinds(model: onnx.ModelProto) -> dict[str, str]:
    """Value -> the kind of the node that makes it."""
    return {name: node.op_type for node in model.graph.node for name in node.output if name}


def _ends(model: onnx.ModelProto) -> Collection[str]:
    return {item.name for item in (*model.graph.input, *model.graph.output)}


def _rename(model: onnx.ModelProto, names: Mapping[str, str]) -> None:
    waiting = [model.graph]
    while waiting:
        graph = waiting.pop()
        for node in graph.node:
            for values in (node.input, node.output):
                for index, name in enumerate(values):
                    if name in names:
                        values[index] = names[name]
            waiting += [item.g for item in node.attribute if item.HasField("g")]
        for item in (*graph.value_info, *graph.output):
            item.name = names.get(item.name, item.name)
