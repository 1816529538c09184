"""Which operators of an 8-bit network are worth 16 bits, found by measuring.

A unit is a scale group of 8-bit tensors with the weights of the convolutions that read it: what
becomes wide together. Its sensitivity is the noise at the outputs when it alone is rounded to 8
bits. Dong et al., "HAWQ", 2019, rank layers by the Hessian of the loss times the perturbation; that
needs labels and gradients. The measured error of the outputs stands in for both factors at once.
Noises of units are taken to add up, as independent errors do.

All units are switched in ONE model: each Q/DQ pair is followed by a Where between the rounded and
the exact value, with one boolean input per unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import UsageError
from knightlite.ir import Graph
from knightlite.ops import BY_NAME, View
from knightlite.quantize.assign import Assignment, assign
from knightlite.quantize.groups import scale_groups
from knightlite.quantize.onnx_models import session, write_float, write_qdq
from knightlite.quantize.passes import Observation
from knightlite.quantize.report import Entry
from knightlite.quantize.settings import Settings
from knightlite.quantize.widths import Widths, whole_groups
from knightlite.quantize.workload import Workload

if TYPE_CHECKING:
    import onnx

Array = NDArray[Any]
STRATEGIES = ("HAWQ", "IOhigh", "initial")
PICTURES = 8  # of the calibration data: the time of a ranking grows with them


@dataclass(frozen=True, slots=True)
class Unit:
    """Tensors that become wide together, and the kernel nodes that read them, in graph order."""

    tensors: tuple[str, ...]
    kernels: tuple[str, ...]


def units(graph: Graph, assignment: Assignment) -> tuple[Unit, ...]:
    """The 8-bit groups that a kernel reads; widening others saves no rounding of weights."""
    consumers = graph.consumers()
    found = []
    for group in scale_groups(graph):
        if assignment.features[group.members[0]].dtype.bits != 8:
            continue
        readers = [node for name in group.members for node in consumers.get(name, [])]
        kernels = tuple(node.name for node in readers if BY_NAME[node.op].kernel is not None)
        if kernels:
            found.append(Unit(group.members, kernels))
    return tuple(found)


def automatic_mix(
    graph: Graph,
    workload: Workload,
    observation: Observation,
    settings: Settings,
    threads: int | None,
) -> tuple[Widths, list[Entry]]:
    """The widths for ``settings.auto_mix`` = (strategy, share), and a row per unit, best first.

    A unit is taken while the kernels at 16 bits stay within ``share`` of all. UsageError for an
    unknown strategy or a share outside 0..1.
    """
    assert settings.auto_mix is not None
    strategy, share = settings.auto_mix
    if strategy not in STRATEGIES:
        raise UsageError(f"the strategy must be one of {', '.join(STRATEGIES)}, not {strategy}.")
    if not 0 <= share <= 1:
        raise UsageError(f"the share of operators at 16 bits must be from 0 to 1, not {share:g}.")
    plain = replace(
        settings, bias_correction="off"
    )  # a bias corrected for rounded weights misleads
    narrow = assign(graph, observation.statistics, observation.plan, plain)
    found = units(graph, narrow)
    noise = sensitivities(graph, narrow, found, workload, threads)
    order = _order(strategy, noise)
    total = sum(len(unit.kernels) for unit in found)
    taken: list[int] = []
    used = 0
    for index in order:
        if used + len(found[index].kernels) <= share * total:
            used += len(found[index].kernels)
            taken.append(index)
    wide = {name for index in taken for name in found[index].tensors}
    rows = [
        _row(found[index], noise, index, index in taken)
        | {"macs_share": _macs(graph, found[index])}
        for index in order
    ]
    return whole_groups(graph, Widths(frozenset(wide))), rows


def _order(strategy: str, noise: Sequence[float]) -> list[int]:
    """Unit numbers, those to widen first at the front."""
    count = len(noise)
    if strategy == "initial":
        return list(range(count))
    if strategy == "IOhigh":
        return sorted(range(count), key=lambda index: (min(index, count - 1 - index), index))
    return sorted(range(count), key=lambda index: (-noise[index], index))


def _macs(graph: Graph, unit: Unit) -> float:
    """Share of the network's multiply-accumulates, which take twice the time at 16 bits."""
    macs = {node.name: BY_NAME[node.op].macs(View(graph, node)) for node in graph.nodes}
    return round(sum(macs[name] for name in unit.kernels) / max(1, sum(macs.values())), 6)


def _row(unit: Unit, noise: Sequence[float], index: int, taken: bool) -> Entry:
    """``gain_db``: of the outputs' SQNR where this unit alone becomes wide, noises adding up."""
    whole = float(sum(noise))
    rest = whole - noise[index]
    return {
        "tensors": list(unit.tensors),
        "operators": list(unit.kernels),
        "noise_share": round(noise[index] / whole, 6) if whole else 0.0,
        "gain_db": round(float(10 * np.log10(whole / rest)), 2) if rest > 0 else None,
        "bits": 16 if taken else 8,
    }


# ------------------------------------------------------------------ measuring


def sensitivities(
    graph: Graph,
    assignment: Assignment,
    found: Sequence[Unit],
    workload: Workload,
    threads: int | None,
) -> list[float]:
    """Per unit the noise at the outputs relative to their energy, mean over output channels."""
    names = list(graph.chip_outputs)
    delivered = list(dict.fromkeys((*graph.outputs, *names)))
    exact = session(write_float(graph, names), threads)
    switched = session(switched_model(graph, assignment, found), threads)
    error: list[list[Any]] = [
        [0.0] * len(names) for _ in found
    ]  # arrays per channel after the first picture
    energy: list[Any] = [0.0] * len(names)
    pictures = 0

    def forward(inputs: tuple[Array, ...]) -> list[Array]:
        nonlocal pictures
        feeds = {
            name: np.ascontiguousarray(values, np.float32)
            for name, values in zip(graph.inputs, inputs, strict=True)
        }
        reference = dict(zip(delivered, exact.run(None, feeds), strict=True))
        if pictures < PICTURES:
            for place, name in enumerate(names):
                energy[place] = energy[place] + _per_channel(reference[name])
            for index in range(len(found)):
                flags = {flag(other): np.asarray(other == index) for other in range(len(found))}
                values = dict(zip(delivered, switched.run(None, feeds | flags), strict=True))
                for place, name in enumerate(names):
                    wrong = _per_channel(values[name].astype(np.float64) - reference[name])
                    error[index][place] = error[index][place] + wrong
        pictures += inputs[0].shape[0]
        return [reference[name] for name in graph.outputs]

    workload.run(forward)
    return [
        float(np.mean([_relative(e, s) for e, s in zip(row, energy, strict=True)])) for row in error
    ]


def _per_channel(values: Array) -> Array:
    """Sum of squares over all axes but the second."""
    axes = tuple(axis for axis in range(values.ndim) if axis != 1)
    return np.asarray(np.sum(np.square(values.astype(np.float64)), axis=axes))


def _relative(error: Any, energy: Any) -> float:
    alive = np.asarray(energy) > 0
    return (
        float(np.mean(np.asarray(error)[alive] / np.asarray(energy)[alive])) if alive.any() else 0.0
    )


def flag(index: int) -> str:
    """Name of the boolean input that rounds a unit."""
    return f"knightlite/rounds/{index}"


def switched_model(graph: Graph, assignment: Assignment, found: Sequence[Unit]) -> onnx.ModelProto:
    """The QDQ model of the assignment in which only units whose flag is true are rounded."""
    import onnx
    from onnx import helper, numpy_helper

    model = write_qdq(assignment.graph, {}, graph.chip_outputs)
    flags = _flags(graph, assignment, found)
    exact = _exact_weights(graph, assignment)
    sources = {node.output[0]: node.input[0] for node in model.graph.node
               if node.op_type == "QuantizeLinear"}  # fmt: skip
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        nodes.append(node)
        if node.op_type != "DequantizeLinear":
            continue
        scale, output = node.input[1], node.output[0]
        if node.input[0] in sources:
            source = sources[node.input[0]]
        elif node.input[0] in exact:
            source = f"{node.input[0]}/exact"
            model.graph.initializer.append(numpy_helper.from_array(exact[node.input[0]], source))
        else:
            continue
        node.output[0] = f"{output}/rounded"
        if scale in flags:
            inputs = [flag(flags[scale]), node.output[0], source]
            nodes.append(helper.make_node("Where", inputs, [output]))
        else:
            nodes.append(helper.make_node("Identity", [source], [output]))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    for index in range(len(found)):
        kind = helper.make_tensor_value_info(flag(index), onnx.TensorProto.BOOL, [])
        model.graph.input.append(kind)
    return model


def _flags(graph: Graph, assignment: Assignment, found: Sequence[Unit]) -> dict[str, int]:
    """Name of a scale in the QDQ model -> unit."""
    weights = {node.name: node.inputs[1] for node in assignment.graph.nodes if len(node.inputs) > 1}
    made: dict[str, int] = {}
    for index, unit in enumerate(found):
        made |= {f"{name}/scale": index for name in unit.tensors}
        made |= {f"{weights[name]}/scale": index for name in unit.kernels}
    return made


def _exact_weights(graph: Graph, assignment: Assignment) -> Mapping[str, Array]:
    """Integer weights of the QDQ model -> the float ones, in ONNX's order of axes."""
    integers = {node.name: node for node in assignment.graph.nodes}
    made: dict[str, Array] = {}
    for node in graph.nodes:
        kernel = BY_NAME[node.op].kernel
        if kernel is None:
            continue
        axis = kernel.onnx_axis(View(graph, node).integer("group"))
        values = np.swapaxes(graph.constants[node.inputs[1]], 0, axis)
        made[integers[node.name].inputs[1]] = np.ascontiguousarray(values)
    return made
