"""Pad with a number other than zero: zeros around what is less by that number.

::

    Pad(x, v)              =>  Add(Pad(Sub(x, v), 0), v)
    MaxPool(Pad(x, -inf))  =>  MaxPool with these pads, which no maximum sees
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from knightlite.errors import UnsupportedError
from knightlite.frontend import compute, padding
from knightlite.frontend.importer import Importer
from knightlite.frontend.source import SourceModel, SourceNode

LEAST = float(np.finfo(np.float32).min)  # what some exporters write for -inf


def taken_by_pools(model: SourceModel) -> SourceModel:
    """The model without Pads of the least number that MaxPools alone read: these pad so."""
    readers: dict[str, list[SourceNode]] = {}
    for node in model.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    made: dict[str, SourceNode] = {}
    gone: set[str] = set()
    for node in model.nodes:
        around = _around(model, node) if node.op_type == "Pad" and not node.domain else None
        pools = readers.get(node.outputs[0], [])
        if around is None or node.outputs[0] in (*model.outputs, *model.quantized) or not pools:
            continue
        found = [_with_pads(pool, node, around) for pool in pools]
        if None not in found:
            gone.add(node.name)
            made.update((pool.name, pool) for pool in found if pool is not None)
    if not gone:
        return model
    nodes = (made.get(node.name, node) for node in model.nodes if node.name not in gone)
    return replace(model, nodes=tuple(nodes))


def _around(model: SourceModel, node: SourceNode) -> tuple[int, ...] | None:
    """How much the least number is put before and behind rows and columns; None for other Pads."""
    given, names = node.attributes, (*node.inputs, "", "", "")
    if given.get("mode", "constant") != "constant" or names[3]:
        return None
    amounts = given.get("pads", model.constants.get(names[1]))
    value = model.constants.get(names[2], given.get("value", 0.0))
    if amounts is None or np.size(value) != 1 or float(np.ravel(value)[0]) > LEAST:
        return None
    pads = [int(item) for item in np.ravel(amounts)]
    rank = len(pads) // 2
    if any(pads[:2]) or any(pads[rank : rank + 2]) or min(pads) < 0:
        return None
    return (*pads[2:rank], *pads[rank + 2 :])


def _with_pads(pool: SourceNode, node: SourceNode, around: tuple[int, ...]) -> SourceNode | None:
    """A MaxPool that reads what the Pad reads; None for what cannot."""
    given = pool.attributes
    mode = given.get("auto_pad", "NOTSET")
    if pool.op_type != "MaxPool" or pool.domain or mode not in ("NOTSET", "VALID"):
        return None
    own = tuple(given.get("pads", ())) if mode == "NOTSET" else ()
    pads = tuple(a + b for a, b in zip(own or (0,) * len(around), around, strict=True))
    kernel, steps = given["kernel_shape"], given.get("dilations", (1,) * len(given["kernel_shape"]))
    reach = [step * (size - 1) + 1 for step, size in zip(steps, kernel, strict=True)]
    if len(pool.outputs) > 1 or any(
        amount >= reach[at % len(reach)] for at, amount in enumerate(pads)
    ):
        return None  # a window would see nothing else
    attributes = {**given, "pads": pads, "auto_pad": "NOTSET"}
    return replace(pool, inputs=node.inputs[:1], attributes=attributes)


def pad(state: Importer, node: SourceNode) -> None:
    """Any Pad that ``padding`` does, with whatever finite number."""
    value = _number(state, node)
    if value == 0.0 or node.attributes.get("mode", "constant") != "constant":
        padding.pad(state, node)
        return
    if not np.isfinite(value):
        raise UnsupportedError(
            f"Pad {node.name} must pad with a finite number, not with {value}.",
            "let the pool behind it pad by itself",
        )
    source, output = node.inputs[0], node.outputs[0]
    padding.settle(state, source)
    low, zeros, number = (f"{output}.{part}" for part in ("low", "zeros", "number"))
    shapes = {low: state.seen(source), zeros: state.seen(output)}
    state.model = replace(
        state.model,
        shapes={**state.model.shapes, **shapes},
        constants={**state.model.constants, number: np.asarray(value, np.float32)},
    )
    step = replace(node, attributes={})
    compute.compute(state, replace(step, op_type="Sub", inputs=(source, number), outputs=(low,)))
    attributes = {key: item for key, item in node.attributes.items() if key != "value"}
    inputs = [low, *node.inputs[1:]]
    inputs[2:3] = [""] * len(inputs[2:3])
    padding.pad(state, replace(node, inputs=tuple(inputs), outputs=(zeros,), attributes=attributes))
    padding.settle(state, zeros)
    compute.compute(state, replace(step, op_type="Add", inputs=(zeros, number)))


def _number(state: Importer, node: SourceNode) -> float:
    """The attribute of older opsets, the input of newer ones; zero where there is none."""
    name = node.inputs[2] if len(node.inputs) > 2 else ""
    given = state.model.constants.get(name) if name else node.attributes.get("value", 0.0)
    if given is None:
        raise UnsupportedError(f"Pad {node.name} must have a constant value.")
    return float(np.ravel(given)[0]) if np.size(given) else 0.0
