"""LayerNormalization and its kin: means, squares, and the reciprocal root by a table.

::

    d = x - mean(x),  r = (mean(d^2) + epsilon)^-1/2,  y = d * r * gain + offset

LayerNormalization over the axes from one on, InstanceNormalization over rows and columns,
GroupNormalization over these and a part of the channels; RMSNormalization leaves out the mean. The
quantizer knows them by the reciprocal root and keeps 16 bits within.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import UnsupportedError
from knightlite.frontend import (
    any_elementwise,
    any_layout,
    any_products,
    axis_orders,
    compute,
    wanted,
)
from knightlite.frontend.any_layout import Bench
from knightlite.frontend.importer import Importer
from knightlite.frontend.source import Shape, SourceNode
from knightlite.ops import table_functions
from knightlite.ops.expressions import Step

Array = NDArray[Any]
NORMS = (
    "GroupNormalization", "InstanceNormalization", "LayerNormalization", "RMSNormalization",
    "SimplifiedLayerNormalization",
)  # fmt: skip


def normalize(state: Importer, node: SourceNode) -> None:
    """Any of NORMS."""
    name, output = node.inputs[0], node.outputs[0]
    seen = state.seen(name)
    if any(extra and state.is_read(extra) for extra in node.outputs[1:]):
        raise UnsupportedError(f"{node.op_type} {node.name} must have one output that is read.")
    gain, offset = axis_orders.operand(state, node, 1), axis_orders.operand(state, node, 2)
    epsilon = float(np.float32(node.attributes.get("epsilon", 1e-5)))
    kind, rank = node.op_type, len(seen)
    if kind == "InstanceNormalization":
        axes, view = list(range(2, rank)), seen
        gain, offset = _by_channel(gain, seen), _by_channel(offset, seen)
    elif kind == "GroupNormalization":
        groups = int(node.attributes["num_groups"])
        view = (seen[0], groups, seen[1] // groups, *seen[2:])
        axes = list(range(2, rank + 1))
        gain, offset = (_by_group(item, view) for item in (gain, offset))
    else:
        first = int(node.attributes.get("axis", -1)) % rank
        axes, view = list(range(first, rank)), seen
    source = state.builder.fresh(f"{output}.source")
    state.model = replace(state.model, shapes={**state.model.shapes, source: view})
    factors = any_layout.factors_of(state, name)
    any_layout.put(state, source, state.value(name).tensor, factors)
    centered = kind not in ("RMSNormalization", "SimplifiedLayerNormalization")
    state.model = replace(state.model, shapes={**state.model.shapes, output: view})
    _compute(state, replace(node, inputs=(source,)), axes, (gain, offset), epsilon, centered)
    factors = any_layout.factors_of(state, output)
    state.model = replace(state.model, shapes={**state.model.shapes, output: seen})
    any_layout.put(state, output, state.value(output).tensor, factors)


def _by_channel(values: Array | None, seen: Shape) -> Array | None:
    return None if values is None else values.reshape(-1, *(1 for _ in seen[2:]))


def _by_group(values: Array | None, view: Shape) -> Array | None:
    """One for every channel, or, before opset 21, for every group."""
    if values is None:
        return None
    _, groups, depth, *pixels = view
    ones = [1 for _ in pixels]
    if values.size == groups * depth:
        return values.reshape(groups, depth, *ones)
    return values.reshape(groups, 1, *ones)


def _compute(
    state: Importer,
    node: SourceNode,
    axes: Sequence[int],
    constants: tuple[Array | None, Array | None],
    epsilon: float,
    centered: bool,
) -> None:
    name, output = node.inputs[0], node.outputs[0]
    bench, seen = Bench(state, node), state.seen(name)
    ids = any_products.reduced_ids(state, name, axes)
    tensor, factors = any_layout.arranged(state, name, wanted.whole_pixels(ids))
    shape = bench.shape(tensor)
    if not ids:
        raise UnsupportedError(f"{node.op_type} {node.name} must normalize more than one value.")
    if centered:
        mean, _ = any_products.summed(bench, tensor, factors, ids, True, "average", keep=True)
        tensor = bench.op("Sub", [tensor, mean], shape, "centered")
    squares = bench.op("Pow", [tensor, 2.0], shape, "squares")
    variance, _ = any_products.summed(bench, squares, factors, ids, True, "variance", keep=True)
    root = _root(bench, variance, epsilon)
    gain, offset = constants
    last = gain is None and offset is None
    made = bench.op("Mul", [tensor, root], shape, "" if last else "normalized")
    bench.finish(made, factors)
    given = [(kind, item) for kind, item in (("Mul", gain), ("Add", offset)) if item is not None]
    for number, (kind, values) in enumerate(given, start=1):
        target = output if number == len(given) else state.builder.fresh(f"{output}.gained")
        constant = f"{output}/{kind}"
        state.model = replace(
            state.model,
            constants={**state.model.constants, constant: values.astype(np.float32)},
            shapes={**state.model.shapes, target: seen},
        )
        source = state.builder.fresh(f"{output}.inner{number}")
        state.model = replace(state.model, shapes={**state.model.shapes, source: seen})
        state.values[source] = state.value(output)
        made_node = replace(
            node, op_type=kind, inputs=(source, constant), outputs=(target,), attributes={}
        )
        any_elementwise.elementwise(state, made_node, compute.compute)
        state.values[output] = state.value(target)


def _root(bench: Bench, variance: str, epsilon: float) -> str:
    """(variance + epsilon)^-1/2: one table."""
    builder, shape = bench.state.builder, bench.shape(variance)
    steps = (Step("Add", (0, epsilon), {}), Step("Pow", (1,), {"exponent": -0.5}))
    made = builder.tensor(builder.fresh(f"{bench.node.outputs[0]}.root"), shape)
    return builder.node("Table", (variance,), made, table_functions.attributes_of(steps))
