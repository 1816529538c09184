"""Which function a Table node computes: an entry of FUNCTIONS, or an expression of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from knightlite.ir import Attribute, Node
from knightlite.ops import expressions, functions
from knightlite.ops.functions import FUNCTIONS
from knightlite.ops.opdef import View

Array = NDArray[Any]
EXPRESSION = "Expression"


def function_name(view: View) -> str:
    """The function of a Table node."""
    return str(view.node.attributes["function"])


def steps_of(node: Node) -> list[expressions.Step]:
    """The steps of a Table's expression; one where it has a function of its own."""
    attributes = node.attributes
    name = str(attributes["function"])
    if name != EXPRESSION:
        parameters: dict[str, Any] = {key: attributes[key] for key in FUNCTIONS[name].parameters}
        return [expressions.Step(name, (0,), parameters)]
    texts = attributes["steps"]
    assert isinstance(texts, tuple)
    return [expressions.parse(str(text)) for text in texts]


def attributes_of(steps: Sequence[expressions.Step]) -> dict[str, Attribute]:
    """The attributes of a Table that computes ``steps``: a known function, or an expression."""
    known = expressions.recognised(steps)
    if known is not None:
        return {"function": known[0], **known[1]}
    first = steps[0]
    if len(steps) == 1 and first.op in FUNCTIONS:  # as the operator by itself is read
        return {"function": first.op, **FUNCTIONS[first.op].parameters, **first.parameters}
    return {"function": EXPRESSION, "steps": tuple(step.text() for step in steps)}


def computing(node: Node, steps: Sequence[expressions.Step]) -> Node:
    """The node with another function; how long its table is stays."""
    known = ("function", "steps", *_parameters(node))
    rest = {key: value for key, value in node.attributes.items() if key not in known}
    return replace(node, attributes={**attributes_of(steps), **rest})


def _parameters(node: Node) -> tuple[str, ...]:
    name = str(node.attributes["function"])
    return () if name == EXPRESSION else tuple(FUNCTIONS[name].parameters)


def function_names(node: Node) -> tuple[str, ...]:
    """What a user calls the node: its function, Table, and the steps of an expression."""
    names = (str(node.attributes["function"]), "Table", *(step.op for step in steps_of(node)))
    return tuple(dict.fromkeys(names))


def values(view: View, x: Array) -> Array:
    """The real function of float32 values, in float32."""
    return evaluate(view.node, x)


def evaluate(node: Node, x: Array) -> Array:
    """The real function of a Table node, float32 to float32."""
    if node.attributes["function"] == EXPRESSION:
        return expressions.evaluate(steps_of(node), x)
    return functions.evaluate(str(node.attributes["function"]), x, node.attributes)
