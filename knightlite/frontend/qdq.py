"""Read ``X_quantize.onnx`` (QDQ form, see onnx_models.py) back into a quantized graph.

QuantizeLinear/DequantizeLinear pairs become the types and scales of tensors; the nodes between
them go through the same canonical form as a float model. A file from another tool is accepted
where it says the same; otherwise it is refused with everything that is wrong at once.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from knightlite import dtypes, ops
from knightlite.contents import content_of
from knightlite.dtypes import DType
from knightlite.errors import Finding, UnsupportedError, UsageError
from knightlite.frontend import canonical, general, onnx_file
from knightlite.frontend.model_kind import COMPILED, ModelKind, ending_quantizers, kind_of
from knightlite.frontend.source import Quantization, SourceModel, SourceNode
from knightlite.ir import Graph
from knightlite.ops.general import GENERAL_METADATA, LAYER_TYPES_METADATA
from knightlite.ops.onnx_parts import parts_of
from knightlite.ops.wide_table import LUT_METADATA, with_lut_lengths
from knightlite.reading import json_value

Array = NDArray[Any]
SUFFIX = "_quantize"
FEATURE_TYPES = (dtypes.U8, dtypes.S8, dtypes.S16)
FLOAT_ONLY = ("Gemm", "MatMul", "BatchNormalization")
BIAS_TOLERANCE = 1e-5  # float32 products in another order differ by a few units in 1e-7
REDO = "quantize the float model with `knightlite quant onnx -m MODEL`"


@dataclass(slots=True)
class _Pairs:
    """What the Q/DQ nodes of a file say."""

    findings: list[Finding] = field(default_factory=list)
    quantized: dict[str, Quantization] = field(default_factory=dict)
    constants: dict[str, Array] = field(default_factory=dict)  # DequantizeLinear output -> integers
    sources: dict[str, str] = field(default_factory=dict)  # DequantizeLinear output -> float value
    axes: dict[str, int] = field(default_factory=dict)  # weights -> axis of the output channels


def load_quantized(path: Path, data: bytes | None = None, *, checked: bool = True) -> Graph:
    """The quantized graph of a QDQ file, named after the file's stem without ``_quantize``.

    ``data``: the file's bytes where they are not to be read from ``path``. ``checked`` False also
    takes a network whose scales cannot be compiled, to say what is wrong with them. Errors:
    UsageError for a missing file or a float model, ModelError for damage, UnsupportedError with
    all findings.
    """
    if path.suffix.lower() in COMPILED:
        raise UsageError(
            f"{path} is of a compiled network: it must be a quantized .onnx file.",
            "pass the X_quantize.onnx that it was compiled from",
        )
    if path.suffix.lower() != ".onnx":
        known = data if data is not None or not path.is_file() else onnx_file.read_bytes(path)
        if known is not None and (found := content_of(known)):
            raise UsageError(f"{path} is {found}, not a quantized .onnx file.", REDO)
        raise UsageError(f"{path} must be a quantized .onnx file.", REDO)
    content = onnx_file.read_bytes(path) if data is None else data
    described, apart = parts_of(content)
    proto = onnx_file.parse(described, str(path))
    nodes = chain(proto.graph.node, *(function.node for function in proto.functions))
    if all(node.op_type != "DequantizeLinear" for node in nodes):  # before shapes are asked for
        if kind_of(proto) is ModelKind.GOLDEN:
            raise UsageError(
                f"{path} is a golden model, which compile wrote, not a quantized one.",
                "name the model that was compiled, as X_quantize.onnx",
            )
        raise UsageError(
            f"{path} is a float model, not a quantized one.",
            f"quantize it first: {shlex.join(['knightlite', 'quant', 'onnx', '-m', str(path)])} "
            "-d PICTURES --recipe NAME",
        )
    lengths, findings = _lut_lengths(proto)
    hosted, unsure = _general_layers(proto)
    findings += unsure
    model = onnx_file.resolve(proto, path, None, keep_quantizers=True, apart=apart)
    model = replace(model, name=model.name.removesuffix(SUFFIX))
    stripped, more = _strip(model, hosted)
    findings += more
    result = canonical.canonicalize(stripped, general=True)  # quant has asked for -gp
    findings += canonical.errors(result.findings)
    graph = result.graph
    if graph is not None and not findings:
        graph = with_lut_lengths(graph, lengths)
        findings += check(graph) if checked else _unquantized(graph)
    if findings or graph is None:
        raise refused(path, findings)
    return graph


def refused(path: Path, findings: Sequence[Finding]) -> UnsupportedError:
    """The error that lists every finding."""
    first = f"{findings[0].where}: {findings[0].sentence.rstrip('.')}"
    more = "" if len(findings) == 1 else f" and {len(findings) - 1} more"
    return UnsupportedError(
        f"{path} is not quantized as the NPU computes: {first}{more}.",
        findings[0].hint or REDO,
        findings,
    )


def _lut_lengths(model: onnx.ModelProto) -> tuple[dict[str, int], list[Finding]]:
    """How long interpolated tables are, by what they make, as the metadata say."""
    (text,) = [item.value for item in model.metadata_props if item.key == LUT_METADATA] or ["{}"]
    try:
        lengths = json_value(text)
    except ValueError:
        lengths = None
    if isinstance(lengths, dict) and all(type(item) is int for item in lengths.values()):
        return lengths, []
    sentence = f"metadata property {LUT_METADATA} must map tensors to whole numbers in JSON."
    return {}, [Finding(LUT_METADATA, sentence, REDO)]


def _general_layers(model: onnx.ModelProto) -> tuple[dict[str, int], list[Finding]]:
    """What general layers make, with the numbers of user-defined ones, as the metadata say."""
    said = {item.key: item.value for item in model.metadata_props}
    found: dict[str, Any] = {}
    for key, what in ((GENERAL_METADATA, list), (LAYER_TYPES_METADATA, dict)):
        try:
            found[key] = json_value(said.get(key, "[]" if what is list else "{}"))
        except ValueError:
            found[key] = None
        if not isinstance(found[key], what):
            wanted = "list" if what is list else "map"
            sentence = f"metadata property {key} must {wanted} names of values in JSON."
            return {}, [Finding(key, sentence, REDO)]
    names, numbers = found[GENERAL_METADATA], found[LAYER_TYPES_METADATA]
    if not all(isinstance(item, str) for item in names):
        sentence = f"metadata property {GENERAL_METADATA} must list names of values in JSON."
        return {}, [Finding(GENERAL_METADATA, sentence, REDO)]
    for name, number in numbers.items():
        if name not in names or type(number) is not int or not 0 < number < 1 << 31:
            sentence = (
                f"metadata property {LAYER_TYPES_METADATA} must map what general layers make to "
                f"whole numbers, not {name} to {number!r}."
            )
            return {}, [Finding(LAYER_TYPES_METADATA, sentence, REDO)]
    return {name: numbers.get(name, 0) for name in names}, []


# ------------------------------------------------------------------ Q/DQ pairs


def _strip(model: SourceModel, hosted: Mapping[str, int]) -> tuple[SourceModel, list[Finding]]:
    """The model without Q/DQ nodes, what they said in ``quantized``, and what is wrong.

    ``hosted``: what general layers make; what they consist of may be anything.
    """
    pairs = _Pairs()
    model = replace(model, nodes=tuple(_reals_moved(model)))
    for node in model.nodes:
        kernel = _kernel(node)
        if kernel is not None:
            group = node.attributes.get("group", 1)
            pairs.axes |= dict.fromkeys(node.inputs[1:2], kernel.onnx_axis(group))
    ends = ending_quantizers((node.op_type, node.inputs, node.outputs) for node in model.nodes)
    quantizers = {
        node.outputs[0]: node
        for node in model.nodes
        if node.op_type == "QuantizeLinear" and node.outputs[0] not in ends
    }
    kept: list[SourceNode] = []
    for node in model.nodes:
        if node.op_type == "DequantizeLinear" and not node.domain:
            _read_pair(model, quantizers, node, pairs)
        elif node.outputs[0] not in quantizers or node.domain:
            kept.append(node)
    _check_readers(model, quantizers, pairs)
    nodes = [
        replace(node, inputs=tuple(pairs.sources.get(name, name) for name in node.inputs))
        for node in kept
    ]
    _dequantize_operands(nodes, pairs)
    inside = general.inside(nodes, pairs.quantized, hosted)
    odd = [n for n in nodes if n.op_type in FLOAT_ONLY and n.name not in inside]
    pairs.findings += [
        Finding(node.name, f"{node.op_type} must be a Conv in a quantized file.", REDO)
        for node in odd
    ]
    aliases = [
        SourceNode(name, "Identity", "", (pairs.sources[name],), (name,), {})
        for name in model.outputs
        if name in pairs.sources
    ]
    stripped = replace(
        model,
        nodes=(*(node for node in nodes if node not in odd), *aliases),
        constants={**model.constants, **pairs.constants},
        quantized=pairs.quantized,
    )
    if inside:
        stripped = general.numbered(general.with_general(stripped, inside), hosted)
    return stripped, pairs.findings


def _reals_moved(model: SourceModel) -> Iterator[SourceNode]:
    """The nodes, with a feature's integers that are reshaped and then made real the other way."""
    features = {node.outputs[0] for node in model.nodes if node.op_type == "QuantizeLinear"}
    moves = {
        node.outputs[0]: node
        for node in model.nodes
        if node.op_type == "Reshape"
        and not node.domain
        and node.inputs[0] in features.union(model.inputs)
    }
    turned: dict[str, SourceNode] = {}  # DequantizeLinear: the Reshape in front of it
    for node in model.nodes:
        if node.op_type == "DequantizeLinear" and not node.domain and node.inputs[0] in moves:
            scale = model.constants.get(node.inputs[1])
            if scale is not None and scale.size == 1:
                turned[node.name] = moves[node.inputs[0]]
    read = {name for node in model.nodes if node.name not in turned for name in node.inputs}
    gone = {node.outputs[0] for node in turned.values()} - read.union(model.outputs)
    for node in model.nodes:
        if node.name in turned:
            move, real = turned[node.name], f"{node.outputs[0]}/real"
            inputs = (move.inputs[0], *node.inputs[1:])
            yield replace(node, inputs=inputs, outputs=(real,))
            yield replace(move, inputs=(real, *move.inputs[1:]), outputs=node.outputs)
        elif node.outputs[0] not in gone:
            yield node


def _kernel(node: SourceNode) -> ops.Kernel | None:
    """What is known of the weights of a node, None where it has none."""
    definition = ops.BY_ONNX_TYPE.get(node.op_type)
    return definition.kernel if definition is not None and not node.domain else None


def _dequantize_operands(nodes: Sequence[SourceNode], pairs: _Pairs) -> None:
    """Only convolutions compute with integer constants; what others read is real numbers again."""
    for node in nodes:
        for name in node.inputs:
            if _kernel(node) is not None or name not in pairs.constants:
                continue
            kind = pairs.quantized.pop(name, None)
            if kind is not None:
                integers = pairs.constants[name]
                scale = (
                    kind.scale.reshape(-1, *(1,) * (integers.ndim - 1))
                    if kind.scale.ndim
                    else kind.scale
                )
                pairs.constants[name] = (integers * scale).astype(np.float32)


def _read_pair(
    model: SourceModel, quantizers: dict[str, SourceNode], node: SourceNode, pairs: _Pairs
) -> None:
    """One DequantizeLinear: of a constant, or of what a QuantizeLinear made of a feature."""
    output, integers = node.outputs[0], model.constants.get(node.inputs[0])
    scale = _scale(model, node, pairs)
    if integers is not None:
        pairs.constants[output] = integers
        if scale is not None:
            _constant(node, integers, scale, pairs)
        return
    quantizer = quantizers.get(node.inputs[0])
    if quantizer is None and node.inputs[0] not in model.inputs:
        text = f"DequantizeLinear must read a constant or a QuantizeLinear, not {node.inputs[0]}."
        pairs.findings.append(Finding(node.name, text, REDO))
        return
    # an input of the network may be in integers already
    source = node.inputs[0] if quantizer is None else quantizer.inputs[0]
    pairs.sources[output] = source
    first = scale if quantizer is None else _scale(model, quantizer, pairs)
    if scale is None or first is None:
        return
    if not np.array_equal(scale, first):
        text = f"tensor {source} must have one scale in its QuantizeLinear and DequantizeLinear."
        pairs.findings.append(Finding(source, text, REDO))
    if scale.ndim and node.attributes.get("axis", 1) != 1:
        text = f"its scales must lie along axis 1, not {node.attributes['axis']}."
        pairs.findings.append(Finding(source, text, REDO))
    dtype = _dtype(model, node)
    if dtype not in FEATURE_TYPES:
        kind = TensorProto.DataType.Name(model.types.get(node.inputs[0], 0)).lower()
        text = f"a feature must be quantized to uint8, int8 or int16, not {kind}."
        pairs.findings.append(Finding(source, text, REDO))
        return
    known = pairs.quantized.get(source)
    new = Quantization(dtype, scale)
    if known is not None and (known.dtype != dtype or not np.array_equal(known.scale, scale)):
        text = f"tensor {source} is quantized twice, with different scales or types."
        pairs.findings.append(Finding(source, text, REDO))
    pairs.quantized[source] = new


def _dtype(model: SourceModel, node: SourceNode) -> DType | None:
    """The machine type of what a DequantizeLinear reads."""
    kinds: dict[int, DType] = {
        TensorProto.UINT8: dtypes.U8,
        TensorProto.INT8: dtypes.S8,
        TensorProto.INT16: dtypes.S16,
    }
    return kinds.get(model.types.get(node.inputs[0], 0))


def _scale(model: SourceModel, node: SourceNode, pairs: _Pairs) -> NDArray[np.float32] | None:
    """The scale of a Q or DQ node, shape () or (C,); findings for it and for its zero point."""
    values = model.constants.get(node.inputs[1])
    where = node.inputs[0]
    if values is None or values.dtype != np.float32 or values.ndim > 1:
        text = f"{node.op_type} {node.name} must have a constant float32 scale, one or per channel."
        pairs.findings.append(Finding(where, text, REDO))
        return None
    if not np.all(np.isfinite(values)) or np.any(values <= 0):
        text = f"the scale of {node.op_type} {node.name} must be positive and finite."
        pairs.findings.append(Finding(where, text, REDO))
        return None
    if len(node.inputs) > 2 and node.inputs[2]:
        zero = model.constants.get(node.inputs[2])
        if zero is None or np.any(zero):
            shown = "computed" if zero is None else str(int(zero[zero != 0].reshape(-1)[0]))
            text = f"the zero point of {node.op_type} {node.name} must be 0, not {shown}."
            pairs.findings.append(Finding(where, text, REDO))
    if node.attributes.get("block_size", 0):
        text = f"{node.op_type} {node.name} must not quantize in blocks."
        pairs.findings.append(Finding(where, text, REDO))
        return None
    return values


def _constant(node: SourceNode, integers: Array, scale: NDArray[np.float32], pairs: _Pairs) -> None:
    """A weight (int8 or int16) or bias (int32) with one scale or one per output channel."""
    where, axis = node.inputs[0], pairs.axes.get(node.outputs[0], 0)
    if integers.dtype not in (np.int8, np.int16, np.int32):
        text = f"a weight must be int8 or int16 and a bias int32, not {integers.dtype}."
        pairs.findings.append(Finding(where, text, REDO))
        return
    channels = integers.shape[axis : axis + 1]
    if scale.ndim and (node.attributes.get("axis", 1) != axis or scale.shape != channels):
        text = f"it must have one scale per output channel {channels} along axis {axis}."
        pairs.findings.append(Finding(where, text, REDO))
        return
    pairs.quantized[node.outputs[0]] = Quantization(dtypes.from_numpy(integers.dtype), scale)


def _check_readers(model: SourceModel, quantizers: dict[str, SourceNode], pairs: _Pairs) -> None:
    """A quantized feature is read through its DequantizeLinear only, its integers by that only."""
    sources = {node.inputs[0] for node in quantizers.values()}
    for node in model.nodes:
        for name in node.inputs:
            if name in sources and node.op_type != "QuantizeLinear":
                text = f"{node.op_type} {node.name} must read the quantized value of {name}."
                pairs.findings.append(Finding(name, text, REDO))
            if name in quantizers and node.op_type != "DequantizeLinear":
                text = f"{node.op_type} {node.name} must not read the integers {name}."
                pairs.findings.append(Finding(name, text, REDO))


# ------------------------------------------------------------------ the graph


def check(graph: Graph) -> list[Finding]:
    """All that keeps a quantized graph from being compiled: missing scales, broken constraints."""
    found = _unquantized(graph)
    missing = [item.where for item in found]
    for node in graph.nodes:
        if any(name in missing for name in (*node.inputs, node.output)):
            continue
        view, definition = ops.View(graph, node), ops.BY_NAME[node.op]
        reasons = list(_scales(view, definition)) or _broken(view, definition)
        found += [Finding(node.name, f"{node.op}: {text}.", REDO) for text in reasons]
    return found


def _unquantized(graph: Graph) -> list[Finding]:
    """The features without a scale."""
    return [
        Finding(name, "it has no QuantizeLinear and DequantizeLinear pair.", REDO)
        for name in _features(graph)
        if graph.tensors[name].scale is None
    ]


def _broken(view: ops.View, definition: ops.OpDef) -> list[str]:
    """Why the node breaks the operator's constraints."""
    failures: list[str] = []

    def lenient(rule: ops.Constraint) -> Callable[[ops.View], str | None]:
        def check(view: ops.View) -> str | None:
            try:
                return rule.check(view)
            except ValueError as error:  # scales of other sizes, which another rule puts into words
                failures.append(str(error))
                return None

        return check

    return list(ops.reasons(map(lenient, definition.constraints), view)) or failures


def _features(graph: Graph) -> Iterator[str]:
    yield from graph.inputs
    for node in graph.nodes:
        yield from node.outputs


def _scales(view: ops.View, definition: ops.OpDef) -> Iterator[str]:
    """Scales where the operator cannot take them: per channel, float weights, bias, ends."""
    node, graph = view.node, view.graph
    if view.output.per_channel and not definition.per_channel_output:
        yield f"its output {node.output} must have one scale, not one per channel"
    for name in node.inputs:
        tensor = graph.tensors[name]
        if name in graph.constants:
            continue
        if tensor.per_channel and not definition.per_channel_input:
            yield f"its input {name} must have one scale, not one per channel"
        elif tensor.scale is not None and tensor.scale.shape not in ((), tensor.shape[1:2]):
            yield f"input {name} must have {tensor.shape[1]} scales, not {tensor.scale.size}"
    if definition.kernel is None:
        return
    kinds = (("weight", 1, (dtypes.S8, dtypes.S16)), ("bias", 2, (dtypes.S32,)))
    quantized = True
    for part, index, known in kinds:
        if index < len(node.inputs) and (
            view.tensor(index).dtype not in known or view.tensor(index).scale is None
        ):
            quantized = False
            names = " or ".join(map(str, known))
            yield f"its {part} {node.inputs[index]} must be quantized to {names}"
    if quantized and len(node.inputs) > 2 and view.scale(0).shape in ((), view.scale(1).shape):
        wanted = view.scale(0) * view.scale(1)
        if not np.allclose(view.scale(2), wanted, rtol=BIAS_TOLERANCE, atol=0):
            yield "the bias scale must be input scale * weight scale"
