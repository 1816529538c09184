"""What rounding each part of a network to 8 bits costs at its outputs, measured.

A unit is a scale group of 8-bit tensors with the weights of the convolutions that read it: what
becomes wide together. All units are switched in ONE model: each Q/DQ pair is followed by a Where
between the rounded and the exact value, with one boolean input per unit, and one for all the rest
(:data:`REST`): what has 16 bits already, and 8-bit tensors that are no unit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import DataError
from knightlite.inference import Network, Runner, float_network
from knightlite.ir import Graph
from knightlite.onnx_models import write_qdq
from knightlite.ops import BY_NAME, View
from knightlite.quantize.data.workload import Workload
from knightlite.quantize.groups import scale_groups
from knightlite.quantize.scales.assignment import Assignment

if TYPE_CHECKING:
    import onnx

Array = NDArray[Any]
PICTURES = 8  # of the calibration data: the time of a measurement grows with them
ENOUGH = 64  # values of a channel that tell as much about its energy as all channels together
REST = "knightlite/rounds/rest"  # name of the input that rounds what no unit holds
WIDE = "knightlite/rounds/wide"  # and of the one that rounds to 16 bits what is not rounded to 8


@dataclass(frozen=True, slots=True)
class Unit:
    """Tensors that become wide together, and the kernel nodes that read them, in graph order."""

    tensors: tuple[str, ...]
    kernels: tuple[str, ...]


def units(graph: Graph, assignment: Assignment, *, vector: bool = False) -> tuple[Unit, ...]:
    """The 8-bit groups that a kernel reads; the network's inputs are one: one driver feeds them.

    ``vector``: also groups that only the vector engine reads. Widening them saves no rounding of
    weights, but takes no time of the matrix engine.
    """
    consumers = graph.consumers()
    found: list[Unit] = []
    first: int | None = None  # the unit of the network's inputs
    for group in scale_groups(graph):
        if assignment.features[group.members[0]].dtype.bits != 8:
            continue
        readers = [node for name in group.members for node in consumers.get(name, ())]
        kernels = tuple(node.name for node in readers if BY_NAME[node.op].kernel is not None)
        unit = Unit(group.members, kernels)
        if not set(graph.inputs).isdisjoint(unit.tensors):
            if first is not None:
                unit = Unit(
                    (*found[first].tensors, *unit.tensors), (*found[first].kernels, *unit.kernels)
                )
                found[first] = unit
                continue
            first = len(found)
            found.append(unit)
        elif kernels or vector:
            found.append(unit)
    return tuple(unit for unit in found if unit.kernels or vector)


class Meter:
    """The noise at the outputs of a network of which any units are rounded.

    The float network's answers to a few pictures are kept, so that each measurement is one run of
    the switched network over them. Noise is relative to the energy of each output channel, and the
    mean over channels and outputs: quiet outputs count like loud ones
    (:func:`_relative`).
    """

    def __init__(
        self,
        graph: Graph,
        assignment: Assignment,
        found: Sequence[Unit],
        pictures: tuple[Array, ...],
        threads: int | None = None,
        wide: Mapping[str, Array] | None = None,
    ) -> None:
        """``pictures``: an array [n, C, H, W] per network input; ``wide`` as switched_network's."""
        self._names = list(graph.chip_outputs)
        self._flags = [flag(index) for index in range(len(found))]
        self._switched = Runner(switched_network(graph, assignment, found, wide or {}), threads)
        self._pictures = [
            tuple(np.ascontiguousarray(item[at : at + 1], np.float32) for item in pictures)
            for at in range(len(pictures[0]))
        ]
        exact = Runner(float_network(graph, self._names), threads)
        self._wanted = [exact.run(picture) for picture in self._pictures]

    def noise(
        self,
        rounded: Collection[int],
        *,
        rest: bool,
        wide: bool = False,
        pictures: int | None = None,
    ) -> float:
        """Of the network in which these units are rounded, and the rest where ``rest``.

        ``wide``: other units have 16 bits where their scales are known, else they are exact.
        ``pictures``: over so many of them, None for all.
        """
        flags = {name: np.asarray(index in rounded) for index, name in enumerate(self._flags)}
        flags |= {REST: np.asarray(rest), WIDE: np.asarray(wide)}
        error: list[Any] = [0.0] * len(self._names)
        some = list(zip(self._pictures, self._wanted, strict=True))[:pictures]
        for picture, wanted in some:
            values = self._switched.run(picture, flags)
            for place, name in enumerate(self._names):
                wrong = values[name].astype(np.float64) - wanted[name]
                error[place] = error[place] + _per_channel(wrong)
        energies = [
            np.sum([_per_channel(wanted[name]) for _, wanted in some], axis=0)
            for name in self._names
        ]
        counts = [sum(wanted[name].size for _, wanted in some) for name in self._names]
        rows = zip(error, energies, counts, strict=True)
        return float(np.mean([_relative(*row) for row in rows]))


def some_pictures(
    graph: Graph, workload: Workload, sample: tuple[Array, ...], threads: int | None
) -> tuple[Array, ...]:
    """:data:`PICTURES` of the data, spread over ``sample`` where that has enough, else the first.

    One array [n, C, H, W] per network input.
    """
    if len(sample[0]) >= PICTURES:
        places = np.linspace(0, len(sample[0]) - 1, PICTURES).round().astype(int)
        return tuple(item[places] for item in sample)
    exact = Runner(float_network(graph), threads)
    kept: list[tuple[Array, ...]] = []

    def forward(inputs: tuple[Array, ...]) -> list[Array]:
        arrays = tuple(np.ascontiguousarray(values, np.float32) for values in inputs)
        for at in range(min(len(arrays[0]), PICTURES - len(kept))):
            kept.append(tuple(item[at : at + 1].copy() for item in arrays))
        found = exact.run(arrays)
        return [found[name] for name in graph.outputs]

    workload.run(forward)
    if not kept:
        raise DataError(f"{workload.description} gave no picture to measure with.")
    return tuple(np.concatenate(parts) for parts in zip(*kept, strict=True))


def _per_channel(values: Array) -> Array:
    """Sum of squares over all axes but the second."""
    axes = tuple(axis for axis in range(values.ndim) if axis != 1)
    return np.asarray(np.sum(np.square(values.astype(np.float64)), axis=axes))


def _relative(error: Array, energy: Array, values: int) -> float:
    """Mean over channels of ``error`` [C] relative to ``energy`` [C]; ``values`` in all channels.

    A channel's energy is drawn towards the mean of all by :data:`ENOUGH` values: boxes and scores
    of a detector keep theirs, but a logit of a classifier that a few pictures left near zero
    would count a hundred times as much as the others.
    """
    count = values / len(energy)  # values of one channel
    drawn = (energy + ENOUGH * energy.mean() / count) * (count / (count + ENOUGH))
    alive = drawn > 0
    return float(np.mean(error[alive] / drawn[alive])) if alive.any() else 0.0


# ------------------------------------------------------------------ the switched model


def flag(index: int) -> str:
    """Name of the boolean input that rounds a unit."""
    return f"knightlite/rounds/{index}"


def switched_network(
    graph: Graph,
    assignment: Assignment,
    found: Sequence[Unit],
    wide: Mapping[str, Array] | None = None,
) -> Network:
    """The QDQ network of the assignment in which only units whose flag is true are rounded.

    ``wide``: scales of 16 bits by tensor, which the others have where :data:`WIDE` is true.
    :data:`REST` rounds what belongs to none. A bias is switched with its weights: what is added
    to it makes up for their rounding.
    """
    import onnx
    from onnx import helper, numpy_helper

    model = write_qdq(assignment.graph, {}, graph.chip_outputs, checked=False)
    flags = _flags(assignment, found)
    exact = _exact_constants(graph, assignment)
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
        switch = flag(flags[scale]) if scale in flags else REST
        name = scale.removesuffix("/scale")
        if wide and name in wide and scale in flags:
            made, source = _at_16_bits(model, name, source, wide[name])
            nodes += made
        nodes.append(helper.make_node("Where", [switch, node.output[0], source], [output]))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    for name in (*(flag(index) for index in range(len(found))), REST, WIDE):
        model.graph.input.append(helper.make_tensor_value_info(name, onnx.TensorProto.BOOL, []))
    delivered = dict.fromkeys((*assignment.graph.outputs, *graph.chip_outputs))
    return Network(assignment.graph, model, tuple(delivered))


def _at_16_bits(
    model: onnx.ModelProto, name: str, source: str, scale: Array
) -> tuple[list[onnx.NodeProto], str]:
    """Nodes that round ``source`` to 16 bits where :data:`WIDE` is true, and what they make."""
    from onnx import helper, numpy_helper

    texts = [f"{name}/wide/{part}" for part in ("scale", "zero", "q", "dq", "value")]
    for text, values in zip(texts, (scale.astype(np.float32), np.int16(0)), strict=False):
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(values), text))
    scale_name, zero, integers, rounded, value = texts
    nodes = [
        helper.make_node("QuantizeLinear", [source, scale_name, zero], [integers]),
        helper.make_node("DequantizeLinear", [integers, scale_name, zero], [rounded]),
        helper.make_node("Where", [WIDE, rounded, source], [value]),
    ]
    return nodes, value


def _flags(assignment: Assignment, found: Sequence[Unit]) -> dict[str, int]:
    """Name of a scale in the QDQ model -> unit."""
    constants = {node.name: node.inputs[1:] for node in assignment.graph.nodes}
    made: dict[str, int] = {}
    for index, unit in enumerate(found):
        made |= {f"{name}/scale": index for name in unit.tensors}
        made |= {f"{name}/scale": index for kernel in unit.kernels for name in constants[kernel]}
    return made


def _exact_constants(graph: Graph, assignment: Assignment) -> Mapping[str, Array]:
    """Integer weights and biases of the QDQ model -> the float ones, in ONNX's order of axes."""
    integers = {node.name: node for node in assignment.graph.nodes}
    made: dict[str, Array] = {}
    for node in graph.nodes:
        kernel = BY_NAME[node.op].kernel
        if kernel is None:
            continue
        _, weights, *bias = integers[node.name].inputs
        axis = kernel.onnx_axis(View(graph, node).integer("group"))
        values = np.swapaxes(graph.constants[node.inputs[1]], 0, axis)
        made[weights] = np.ascontiguousarray(values)
        for name in bias:  # where there is none in the float network, correction may add one
            shape = assignment.graph.constants[name].shape
            exact = graph.constants[node.inputs[2]] if len(node.inputs) > 2 else np.zeros(shape)
            made[name] = exact.astype(np.float32)
    return made
