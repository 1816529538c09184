"""Where with a constant condition, or one that the network is fed: a mask that multiplies.

::

    Where(m, a, b)  =>  Add(Mul(a, m), Mul(b, 1 - m))     a constant of a and b is multiplied here
    Where(m, 2, 3)  =>  Add(Mul(m, 2 - 3), 3)
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from knightlite import ops
from knightlite.errors import UnsupportedError
from knightlite.frontend import compute
from knightlite.frontend.importer import Importer
from knightlite.frontend.source import SourceNode
from knightlite.frontend.views import FLOATS


def where(state: Importer, node: SourceNode) -> None:
    """Features or a constant in either place; the condition by channel, or one for all."""
    condition = state.model.constants.get(node.inputs[0])
    if condition is None and _is_fed(state, node.inputs[0]):
        _by_features(state, node)
        return
    if condition is None:
        raise UnsupportedError(
            f"Where {node.name} must have a constant condition, not one that depends on features."
        )
    mask = condition.astype(np.float32)
    parts = [(node.inputs[1], mask, "chosen"), (node.inputs[2], 1 - mask, "other")]
    constants, output = state.model.constants, node.outputs[0]
    features = [part for part in parts if part[0] not in constants]
    numbers = [_masked(node, constants[name], weight) for name, weight, _ in parts
               if name in constants]  # fmt: skip
    shape = state.seen(output)
    terms: list[str] = []
    for number, (name, weight, part) in enumerate(features):
        last = number == len(features) - 1 and not terms and not numbers
        target = output if last else f"{output}.{part}"
        factor = _constant(state, f"{output}.{part}.mask", weight)
        terms.append(_append(state, node, "Mul", (name, factor), target, shape))
    terms += [_constant(state, f"{output}.filled", values) for values in numbers]
    if len(terms) > 1:
        _append(state, node, "Add", tuple(terms), output, shape)


def _is_fed(state: Importer, name: str) -> bool:
    """True for the truth values of a network input, wherever they were moved: 0 and 1, exactly."""
    value = state.value(name)
    if value.stands_in or value.on_host:
        return False
    tensor = value.tensor
    for node in reversed(state.builder.nodes):
        if node.output == tensor and ops.BY_NAME[node.op].value_preserving:
            tensor = node.inputs[0]
    is_bool = state.model.types.get(tensor) == TensorProto.BOOL
    return is_bool and tensor in state.builder.inputs


def _by_features(state: Importer, node: SourceNode) -> None:
    condition, *operands = node.inputs
    known = [state.model.constants.get(name) for name in operands]
    output, seen = node.outputs[0], state.seen(node.inputs[0])
    element = state.model.types.get(output, TensorProto.FLOAT)
    if element not in FLOATS:
        kind = TensorProto.DataType.Name(element).lower()
        raise UnsupportedError(f"Where {node.name} must choose real numbers, not {kind}.")
    first, second = (None if item is None else item.astype(np.float32) for item in known)
    if first is not None and second is not None:
        difference = _constant(state, f"{output}.difference", first - second)
        whole = state.seen(output)
        product = _append(state, node, "Mul", (condition, difference), f"{output}.product", whole)
        rest = _constant(state, f"{output}.rest", second)
        _append(state, node, "Add", (product, rest), output, whole)
        return
    one = _constant(state, f"{output}.one", np.float32(1))
    other = _append(state, node, "Sub", (one, condition), f"{output}.not", seen)
    terms = [
        _append(state, node, "Mul", (mask, name), f"{output}.{part}", state.seen(output))
        for mask, name, part in zip((condition, other), operands, ("chosen", "other"), strict=True)
    ]
    _append(state, node, "Add", tuple(terms), output, state.seen(output))


def _masked(node: SourceNode, values: NDArray[np.generic], weight: NDArray[np.float32]) -> object:
    """A constant where the mask lets it through; what it hides need not be finite."""
    made = np.where(weight != 0, values.astype(np.float32), np.float32(0))
    if not np.all(np.isfinite(made)):
        raise UnsupportedError(
            f"Where {node.name} must choose finite numbers, not {made[~np.isfinite(made)][0]}."
        )
    return made


def _constant(state: Importer, name: str, values: object) -> str:
    constants = {**state.model.constants, name: np.asarray(values)}
    state.model = replace(state.model, constants=constants)
    return name


def _append(
    state: Importer,
    node: SourceNode,
    op: str,
    inputs: tuple[str, ...],
    output: str,
    shape: tuple[int, ...],
) -> str:
    state.model = replace(state.model, shapes={**state.model.shapes, output: shape})
    made = replace(node, op_type=op, inputs=inputs, outputs=(output,), attributes={})
    compute.compute(state, made)
    return output
