"""User-defined layers: operators of a domain of the model's own that a Python function spells out.

A user script registers the function with a number from 1152 up, by which a board's program knows
its handler. It is called once per node, with the node's inputs and attributes, and says what the
layer computes in operators of ONNX: so shapes, the reference and the simulator's bytes come from
one place. Such a layer runs on the host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import defs, helper, numpy_helper

from knightlite.errors import UsageError
from knightlite.frontend import onnx_file
from knightlite.ops.onnx_io import OPSET

FIRST_TYPE, LAST_TYPE = 1152, (1 << 31) - 1
OWN_DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True, slots=True)
class UserLayer:
    """A registered function: ``layer_type`` of the board's handler, and what it computes."""

    layer_type: int
    function: Callable[..., Any]


class Written:
    """A value that a function computes; numbers and arrays beside it become constants."""

    def __init__(self, body: Body, name: str) -> None:
        self._body, self.name = body, name

    def __add__(self, other: Any) -> Any:
        return self._body.made("Add", (self, other), {})

    def __sub__(self, other: Any) -> Any:
        return self._body.made("Sub", (self, other), {})

    def __mul__(self, other: Any) -> Any:
        return self._body.made("Mul", (self, other), {})

    def __truediv__(self, other: Any) -> Any:
        return self._body.made("Div", (self, other), {})


class Body:
    """What a function gets first: ``op.Sin(x)`` is that operator, ``outputs=2`` of several."""

    def __init__(self, graph: onnx.GraphProto, stem: str) -> None:
        self._graph, self._stem = graph, stem
        self.nodes: list[onnx.NodeProto] = []

    def __getattr__(self, kind: str) -> Callable[..., Any]:
        if not defs.has(kind, OPSET):
            raise AttributeError(f"{kind} is no operator of ONNX {OPSET}")

        def call(*inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
            return self.made(kind, inputs, attributes, outputs)

        return call

    def made(
        self, kind: str, inputs: tuple[Any, ...], attributes: Mapping[str, Any], outputs: int = 1
    ) -> Any:
        """Append an operator; its value, or a tuple of them."""
        stem = f"{self._stem}/{len(self.nodes)}"
        given = [self._name(item, f"{stem}/{at}") for at, item in enumerate(inputs)]
        names = [f"{stem}.{at}" for at in range(outputs)]
        self.nodes.append(helper.make_node(kind, given, names, stem, **attributes))
        found = tuple(Written(self, name) for name in names)
        return found[0] if outputs == 1 else found

    def _name(self, value: Any, name: str) -> str:
        if isinstance(value, Written):
            return value.name
        if value is None:
            return ""
        array = np.asarray(value)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        self._graph.initializer.append(numpy_helper.from_array(array, name))
        return name


def checked(registered: Mapping[str, tuple[int, Callable[..., Any]]]) -> dict[str, UserLayer]:
    """What a script registered, by operator; UsageError for a number that is not the user's."""
    for kind, (number, _) in registered.items():
        if isinstance(number, bool) or not isinstance(number, int):
            raise UsageError(f"the layer_type of {kind} must be a whole number, not {number!r}.")
        if not FIRST_TYPE <= number <= LAST_TYPE:
            raise UsageError(
                f"the layer_type of {kind} must be from {FIRST_TYPE} to {LAST_TYPE}, not {number}.",
                "those below belong to the hardware and its maker",
            )
    return {kind: UserLayer(*item) for kind, item in registered.items()}


def spelled_out(
    data: bytes, where: str, layers: Mapping[str, UserLayer]
) -> tuple[bytes, dict[str, tuple[int, tuple[str, ...]]]]:
    """A model with its user-defined layers in operators of ONNX.

    And for every value that one makes its number and what it reads.
    """
    model = onnx_file.parse(data, where)
    kept: list[onnx.NodeProto] = []
    found: dict[str, tuple[int, tuple[str, ...]]] = {}
    for node in model.graph.node:
        layer = layers.get(node.op_type) if node.domain not in OWN_DOMAINS else None
        if layer is None:
            kept.append(node)
            continue
        kept += _body(model.graph, node, layer)
        reads = tuple(filter(None, node.input))
        found.update((name, (layer.layer_type, reads)) for name in node.output if name)
    if not found:
        return data, {}
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del model.graph.node[:]
    model.graph.node.extend(copies)
    return model.SerializeToString(), found


def _body(graph: onnx.GraphProto, node: onnx.NodeProto, layer: UserLayer) -> list[onnx.NodeProto]:
    """What a layer computes, its last values under the names of the node's outputs."""
    stem = node.name or node.output[0]
    body = Body(graph, stem)
    attributes = {item.name: _plain(helper.get_attribute_value(item)) for item in node.attribute}
    result = layer.function(body, *(Written(body, name) for name in node.input), **attributes)
    values = result if isinstance(result, tuple) else (result,)
    if len(values) != len(node.output) or not all(isinstance(item, Written) for item in values):
        raise UsageError(
            f"the function of {node.op_type} must return {len(node.output)} value(s) that its "
            f"operators make at {stem}, not {len(values)} of {type(values[0]).__name__}."
        )
    names = {value.name: name for value, name in zip(values, node.output, strict=True) if name}
    made = {name for item in body.nodes for name in item.output}
    if not set(names) <= made:
        raise UsageError(f"the function of {node.op_type} must compute what it returns at {stem}.")
    for item in body.nodes:
        item.input[:] = [names.get(name, name) for name in item.input]
        item.output[:] = [names.get(name, name) for name in item.output]
    return body.nodes


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value
