"""One ONNX model that measures every layer: float, quantized, and each layer quantized alone.

The float network runs beside the whole quantized network (errors accumulate) and beside a copy of
the quantized network in which every operator reads the float network's values (a layer's own error
alone). What is delivered are sums per picture and channel, taken inside the model: memory grows
neither with the pictures nor with the number of layers whose values are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from knightlite.inference import Inputs, Network, Runner, Values
from knightlite.ir import Graph
from knightlite.onnx_models import write_float, write_qdq
from knightlite.quantize.data import Workload
from knightlite.quantize.groups import features, felt_interval

Array = NDArray[Any]
Float64 = NDArray[np.float64]

QUANTIZED, ALONE, SUMS = "@quantized/", "@alone/", "@sums/"  # what no model calls a tensor
COPIES = 4  # activations per layer alive at once: float, quantized, alone, a difference
LIVE_BYTES = 96 << 20  # of values at once: bounds the batch size


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """What was measured of one feature tensor over all pictures; every array has shape (C,).

    Sums of squares: ``energy`` of the float values; ``rounding`` of the error of its own
    QuantizeLinear on float values, and ``clipping`` the part of it beyond the range; ``weights`` of
    the error of the operator with quantized weights on float values (zeros where it has none);
    ``alone`` of both together; ``total`` of the error in the whole quantized network.
    ``quantized_energy`` and ``product``: sums of squares of the quantized network's values, and of
    float times quantized. ``minimum`` and ``maximum``: extremes of the float values. Where only
    tables read a tensor, values beyond which their functions are constant count as the last ones
    that matter, in everything but the extremes.
    """

    energy: Float64
    rounding: Float64
    clipping: Float64
    weights: Float64
    alone: Float64
    total: Float64
    quantized_energy: Float64
    product: Float64
    minimum: Float64
    maximum: Float64

    @property
    def absmax(self) -> Float64:
        """Largest magnitude per channel."""
        return np.maximum(np.abs(self.minimum), np.abs(self.maximum))


@dataclass(frozen=True, slots=True)
class Measured:
    """The sums of every feature tensor, and the quantized network's metric.

    ``peaks``: the largest magnitude of the float values in each picture (n,), by tensor.
    """

    sums: dict[str, Sums]
    metric: float | None
    peaks: dict[str, Float64]


def measure(
    graph: Graph,
    quantized: Graph,
    workload: Workload,
    progress: Callable[[int], None] | None = None,
    threads: int | None = None,
) -> Measured:
    """Run the probe over the workload. ``quantized`` is ``graph`` with types and scales."""
    names = features(graph)
    model, delivered = probe_model(graph, quantized)
    size = sum(graph.tensors[name].elements for name in names)
    at_once = max(1, LIVE_BYTES // (4 * COPIES * max(1, size)))
    network = Network(graph, model, (*graph.outputs, *delivered))
    runner = Runner(network, threads, at_once=at_once, lean=True)
    found: dict[str, Array] = {}
    peaks: dict[str, list[Array]] = {name: [] for name in names}
    pictures = 0

    def add(inputs: Inputs, values: Values) -> None:
        nonlocal pictures
        for key in delivered:
            _merge(found, key, values[key])
        for name in names:
            low, high = (values[f"{SUMS}{name}/{kind}"] for kind in ("minimum", "maximum"))
            peaks[name].append(np.maximum(np.abs(low), np.abs(high)).max(axis=1))
        pictures += inputs[0].shape[0]
        if progress is not None:
            progress(pictures)

    metric = workload.run(lambda inputs: runner.outputs(inputs, add))
    joined = {name: np.concatenate(parts).astype(np.float64) for name, parts in peaks.items()}
    return Measured({name: _collected(found, name) for name in names}, metric, joined)


def _merge(found: dict[str, Array], key: str, values: Array) -> None:
    """Add the pictures' sums [N, C], or take their extremes."""
    kind = key.rpartition("/")[2]
    if kind == "minimum":
        new, old = values.min(axis=0), found.get(key)
        found[key] = new if old is None else np.minimum(new, old)
    elif kind == "maximum":
        new, old = values.max(axis=0), found.get(key)
        found[key] = new if old is None else np.maximum(new, old)
    else:
        found[key] = found.get(key, 0.0) + values.astype(np.float64).sum(axis=0)


def _collected(found: dict[str, Array], name: str) -> Sums:
    def get(kind: str) -> Float64:
        values = found.get(f"{SUMS}{name}/{kind}")
        energy = found[f"{SUMS}{name}/energy"]
        return np.zeros(energy.shape) if values is None else np.asarray(values, np.float64)

    return Sums(**{kind: get(kind) for kind in Sums.__dataclass_fields__})


# ------------------------------------------------------------------ the model


def probe_model(graph: Graph, quantized: Graph) -> tuple[onnx.ModelProto, list[str]]:
    """The probe, and the keys of what it delivers behind the quantized network's outputs."""
    exact = write_float(graph)
    whole = qdq_model(quantized)
    parts = _Parts(exact)
    values = pair_values(whole, quantized)
    inputs = {name: name for name in graph.inputs}
    parts.add(whole, QUANTIZED, inputs)
    apart = {values[name].read: name for name in features(graph)}
    parts.add(whole, ALONE, {**inputs, **apart})
    keys: list[str] = []
    for name in features(graph):
        keys += _write_sums(parts, graph, quantized, name, values[name])
    del exact.graph.output[:]
    for name in graph.outputs:
        kind = next(item for item in whole.graph.output if item.name == name)
        item = exact.graph.output.add()
        item.CopyFrom(kind)
        item.name = f"{QUANTIZED}{name}" if name not in graph.inputs else name
    for key in keys:
        exact.graph.output.append(helper.make_tensor_value_info(key, TensorProto.FLOAT, None))
    return exact, keys


@dataclass(frozen=True, slots=True)
class Pair:
    """The names around a Q/DQ pair: what it quantizes, its integers, and what consumers read."""

    source: str
    integers: str
    read: str
    scale: str
    zero: str


def qdq_model(quantized: Graph) -> onnx.ModelProto:
    """The QDQ model with every feature tensor delivered behind the network's outputs."""
    return write_qdq(quantized, {}, features(quantized))


def pair_values(model: onnx.ModelProto, quantized: Graph) -> dict[str, Pair]:
    """The Q/DQ pair of every feature tensor of a model made by :func:`qdq_model`."""
    extra = [name for name in features(quantized) if name not in quantized.outputs]
    tail = [item.name for item in model.graph.output][len(quantized.outputs) :]
    reads = {**{name: name for name in quantized.outputs}, **dict(zip(extra, tail, strict=True))}
    made = {node.output[0]: node for node in model.graph.node}
    found = {}
    for name in features(quantized):
        if reads[name] not in made or made[reads[name]].op_type != "DequantizeLinear":
            reads[name] = _before_host(model, name)
        quantizer = made[made[reads[name]].input[0]]
        found[name] = Pair(
            quantizer.input[0], quantizer.output[0], reads[name], *quantizer.input[1:3]
        )
    return found


def _before_host(model: onnx.ModelProto, name: str) -> str:
    """The DequantizeLinear of an input that is an output as well."""
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear" and node.input[0] == name:
            integers = node.output[0]
            return str(next(n.output[0] for n in model.graph.node if integers in n.input))
    raise KeyError(name)


class _Parts:
    """A model that copies of another one are added to, their names prefixed."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.graph = model.graph

    def add(self, other: onnx.ModelProto, prefix: str, instead: dict[str, str]) -> None:
        """Add nodes and initializers of ``other``; inputs in ``instead`` are read elsewhere."""
        for item in other.graph.initializer:
            copied = self.graph.initializer.add()
            copied.CopyFrom(item)
            copied.name = prefix + item.name
        for node in other.graph.node:
            made = self.graph.node.add()
            made.CopyFrom(node)
            made.name = prefix + node.name
            made.input[:] = [
                instead.get(name, prefix + name) if name else "" for name in node.input
            ]
            made.output[:] = [prefix + name if name else "" for name in node.output]

    def node(self, op_type: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.graph.node.append(helper.make_node(op_type, inputs, [output], output, **attributes))
        return output

    def constant(self, name: str, values: Array) -> str:
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
        return name


def _write_sums(
    parts: _Parts, graph: Graph, quantized: Graph, name: str, pair: Pair
) -> Iterable[str]:
    """The sums of one tensor; the keys of what is delivered."""
    tensor = quantized.tensors[name]
    assert tensor.scale is not None
    rank = len(tensor.shape)
    stem = f"{SUMS}{name}"
    axes = parts.constant(f"{stem}/axes", np.arange(2, rank, dtype=np.int64))
    keys = []

    def reduced(op_type: str, value: str, kind: str) -> None:
        # a rank of 2 leaves no axes, and an empty list must mean none of them
        more = {"keepdims": 0, "noop_with_empty_axes": 1}
        if op_type == "ReduceSumSquare" and rank == 2:
            value, op_type = parts.node("Mul", [value, value], f"{stem}/{kind}/square"), "ReduceSum"
        keys.append(parts.node(op_type, [value, axes], f"{stem}/{kind}", **more))

    interval = felt_interval(graph, name)
    bounded = [end for end in interval if np.isfinite(end)]
    ends = [
        parts.constant(f"{stem}/end{i}", np.asarray(end, np.float32))
        for i, end in enumerate(interval)
    ]

    def felt(value: str, kind: str) -> str:
        return parts.node("Clip", [value, *ends], f"{stem}/{kind}/felt") if bounded else value

    true = felt(name, "energy")

    def error(found: str, kind: str) -> None:
        apart = parts.node("Sub", [felt(found, kind), true], f"{stem}/{kind}/apart")
        reduced("ReduceSumSquare", apart, kind)

    scale, zero = f"{ALONE}{pair.scale}", f"{ALONE}{pair.zero}"
    axis = {"axis": 1} if tensor.scale.ndim else {}
    codes = parts.node("QuantizeLinear", [name, scale, zero], f"{stem}/codes", **axis)
    near = parts.node("DequantizeLinear", [codes, scale, zero], f"{stem}/near", **axis)
    shaped = tensor.scale.reshape(1, -1, *(1,) * (rank - 2)) if tensor.scale.ndim else tensor.scale
    high = parts.constant(f"{stem}/high", (shaped * tensor.dtype.maximum).astype(np.float32))
    low = parts.constant(f"{stem}/low", (shaped * tensor.dtype.minimum).astype(np.float32))
    held = parts.node("Min", [name, high], f"{stem}/held")
    within = parts.node("Max", [held, low], f"{stem}/within")
    reduced("ReduceSumSquare", true, "energy")
    error(near, "rounding")
    error(within, "clipping")
    if name not in graph.inputs:
        error(f"{ALONE}{pair.source}", "weights")
        error(f"{ALONE}{pair.read}", "alone")
    else:
        error(near, "alone")
    whole = felt(f"{QUANTIZED}{pair.read}", "quantized")
    error(whole, "total")
    reduced("ReduceSumSquare", whole, "quantized_energy")
    product = parts.node("Mul", [true, whole], f"{stem}/product/values")
    reduced("ReduceSum", product, "product")
    reduced("ReduceMin", name, "minimum")
    reduced("ReduceMax", name, "maximum")
    return keys
