"""From a resolved ONNX model to the canonical graph: every node at once, all findings together.

Canonical features are [1, C, H, W]. An ONNX value is therefore kept as a canonical tensor plus the
shape the file gives it: Reshape, Flatten, Squeeze and Unsqueeze only change that shape, and a
reader says whether it can take the tensor so. What remains at the outputs becomes host operations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from knightlite import dtypes, ops
from knightlite.errors import Finding, UnsupportedError
from knightlite.frontend import padding, simplify
from knightlite.frontend.source import Shape, SourceModel, SourceNode
from knightlite.ir import Graph, GraphBuilder, HostOp, Node, verify
from knightlite.ops.onnx_io import OnnxNode

Array = NDArray[Any]
Pads = tuple[int, int, int, int]

VIEWS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose")
SAME = ("Identity", "Dropout", "Cast")
MATRICES = ("Gemm", "MatMul")
SLIDING = ("Conv", "MaxPool", "AveragePool")
POOLS = (*SLIDING, "GlobalAveragePool", "ReduceMean")
HOST = ("Softmax", "ArgMax")
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)


@dataclass(frozen=True, slots=True)
class Value:
    """What an ONNX value is: a canonical tensor seen in the ONNX shape of that value.

    ``pads``: zeros that a Pad put around it and that its reader must take over. ``on_host``: it is
    computed after the chip, so that only host operations may read it. ``stands_in``: it follows an
    unsupported node and only has the right shape, so that the rest of the network is checked too.
    """

    tensor: str
    pads: Pads | None = None
    on_host: bool = False
    stands_in: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """The canonical graph where there are no errors, all findings, and the supported nodes."""

    graph: Graph | None
    findings: tuple[Finding, ...]
    supported: frozenset[str]  # names of source nodes


def canonicalize(model: SourceModel) -> Result:
    """The canonical form of ``model``; nothing is raised for what is not supported."""
    importer = _Importer(model)
    importer.run()
    findings = importer.findings
    graph: Graph | None = None
    if not _errors(findings):
        graph = simplify.simplify(importer.builder.build(importer.outputs))
        verify(graph)
        findings += _warnings(graph)
    failed = {item.where for item in _errors(findings)}
    failed |= importer.unseen
    supported = frozenset(node.name for node in model.nodes if node.name not in failed)
    return Result(None if _errors(findings) else graph, tuple(findings), supported)


def _errors(findings: Sequence[Finding]) -> list[Finding]:
    return [item for item in findings if item.severity == "error"]


def _warnings(graph: Graph) -> list[Finding]:
    """What works, but deserves a word."""
    return [
        Finding(op.name, f"{op.op} runs on the host, after the NPU.", severity="warning")
        for op in graph.host
        if op.op in HOST
    ]


class _Importer:
    """One walk over the nodes: fills the builder and collects findings."""

    def __init__(self, model: SourceModel) -> None:
        self.model = model
        self.builder = GraphBuilder(model.name)
        self.values: dict[str, Value | None] = {}  # None: its shape is not known, said already
        self.findings: list[Finding] = []
        self.unseen: set[str] = set()  # nodes that read a value of unknown shape
        self.outputs: tuple[str, ...] = ()

    # -------------------------------------------------------------- the walk

    def run(self) -> None:
        """Walk the model; ``outputs`` are set where the walk found no error."""
        for name in self.model.inputs:
            self._input(name)
        for node in self.model.nodes:
            known = len(self.findings)
            try:
                self._node(node)
            except UnsupportedError as error:
                self._find(node, error.sentence, error.hint)
            except (ValueError, IndexError, KeyError, TypeError) as error:
                text = f"{node.op_type} {node.name} is malformed ({error!r})."
                self._find(node, text, "export the model again")
            failed = any(item.severity == "error" for item in self.findings[known:])
            for name in node.outputs:
                if failed or name not in self.values:
                    self.values[name] = self._stand_in(name)
        for name in self.model.outputs:
            self._check_output(name)
        if not _errors(self.findings):
            self.outputs = tuple(self._output(name) for name in self.model.outputs)

    def _stand_in(self, name: str) -> Value | None:
        """A value of the right shape for what an unsupported node would have computed."""
        shape = self.model.shapes.get(name)
        if shape is None:
            return None
        flat = (1, int(np.prod(shape)), 1, 1)
        canonical = {4: shape, 2: (*shape, 1, 1)}.get(len(shape), flat)
        return Value(self.builder.tensor(name, canonical), stands_in=True)

    def _find(self, node: SourceNode, sentence: str, hint: str = "") -> None:
        self.findings.append(Finding(node.name, sentence, hint))

    def _input(self, name: str) -> None:
        shape, element = self.model.shapes.get(name), self.model.types.get(name)
        self.values[name] = None
        if element != TensorProto.FLOAT:
            kind = TensorProto.DataType.Name(element or 0).lower()
            sentence = f"the network input {name} must be float32, not {kind}."
            self.findings.append(Finding(name, sentence, "export the model in float32"))
        elif shape is None or len(shape) != 4 or shape[0] != 1:
            sentence = f"the network input {name} must be [1, C, H, W], not {shape}."
            hint = "give the shape with -is/--input-shapes where the batch is fixed to another size"
            self.findings.append(Finding(name, sentence, hint))
        else:
            self._declare(name, shape)
            self.builder.inputs.append(name)
            self.values[name] = Value(name)

    def _declare(self, name: str, shape: Shape) -> None:
        quantized = self.model.quantized.get(name)
        if quantized is None:
            self.builder.tensor(name, shape)
        else:
            self.builder.tensor(name, shape, quantized.dtype, quantized.scale)

    def _node(self, node: SourceNode) -> None:
        """Dispatch one node."""
        if node.domain or node.op_type not in SUPPORTED:
            raise UnsupportedError(f"{node.kind} is not supported yet.")
        for name in node.outputs[1:]:
            if name and (name in self.model.outputs or self._is_read(name)):
                raise UnsupportedError(f"the second output {name} of {node.op_type} is not supported.")
        features = [name for name in node.inputs if name and name not in self.model.constants]
        values = [self.values.get(name) for name in features]
        if any(value is None for value in values):
            self.unseen.add(node.name)  # an earlier finding is the cause
            return
        if not features:
            raise UnsupportedError(f"{node.op_type} {node.name} must read features, not constants.")
        if node.outputs[0] not in self.model.shapes:
            raise UnsupportedError(f"the output shape of {node.op_type} cannot be determined.")
        known = [value for value in values if value is not None]
        if node.op_type not in (*HOST, *VIEWS, *SAME) and any(item.on_host for item in known):
            reader = f"{node.op_type} {node.name}"
            raise UnsupportedError(
                f"{reader} reads the result of a Softmax or ArgMax, which run on the host and "
                "are supported at the end of the network only."
            )
        if node.op_type not in SLIDING and any(item.pads for item in known):
            raise UnsupportedError(
                f"{node.op_type} {node.name} reads a Pad, which only Conv, MaxPool and AveragePool "
                "can take over."
            )
        SUPPORTED[node.op_type](self, node)

    def _is_read(self, name: str) -> bool:
        return any(name in node.inputs for node in self.model.nodes)

    def value(self, name: str) -> Value:
        """The value of an input that the dispatch has checked."""
        value = self.values[name]
        assert value is not None
        return value

    def shape(self, name: str) -> Shape:
        """Canonical shape of the tensor behind an ONNX value."""
        return self.builder.tensors[self.value(name).tensor].shape

    def _plain(self, name: str) -> bool:
        """True where the ONNX shape is the canonical one, or [1, C] of [1, C, 1, 1]."""
        seen, canonical = self.model.shapes[name], self.shape(name)
        return seen == canonical or (len(seen) == 2 and canonical == (*seen, 1, 1))

    # -------------------------------------------------------------- views and no-ops

    def same(self, node: SourceNode) -> None:
        """Identity, Dropout and a Cast between float types change nothing."""
        if node.op_type == "Cast":
            if node.attributes.get("to") not in FLOATS:
                kind = TensorProto.DataType.Name(node.attributes.get("to", 0)).lower()
                raise UnsupportedError(f"Cast of features to {kind} is not supported yet.")
        elif node.op_type == "Dropout" and len(node.inputs) > 2 and node.inputs[2]:
            training = self.model.constants.get(node.inputs[2])
            if training is None or bool(np.any(training)):
                raise UnsupportedError(
                    f"Dropout {node.name} must be in inference form, not training form.",
                    "export the model after calling its eval()",
                )
        self.values[node.outputs[0]] = self.value(node.inputs[0])

    def view(self, node: SourceNode) -> None:
        """Reshape and its kin keep the elements in their order; so does a Transpose of ones."""
        source, target = (self.model.shapes[name] for name in (node.inputs[0], node.outputs[0]))
        if node.op_type == "Transpose":
            perm = node.attributes.get("perm", tuple(range(len(source)))[::-1])
            moved = [axis for axis in perm if source[axis] != 1]
            if moved != sorted(moved):
                raise UnsupportedError(f"Transpose {list(perm)} of {source} is not supported yet.")
        if int(np.prod(source)) != int(np.prod(target)):
            raise UnsupportedError(
                f"{node.op_type} {node.name} must keep all elements, not turn {source} into {target}."
            )
        value, output = self.value(node.inputs[0]), node.outputs[0]
        if value.on_host:
            self._host("Reshape", value.tensor, output, {"shape": target}, target)
            self.values[output] = Value(output, on_host=True)
        else:
            self.values[output] = self._stand_in(output) if value.stands_in else value

    def pad(self, node: SourceNode) -> None:
        """A constant Pad with zeros waits for its reader."""
        value = self.value(node.inputs[0])
        if not self._plain(node.inputs[0]):
            raise UnsupportedError(f"Pad {node.name} must read [N, C, H, W] features.")
        pads = padding.pads_of(node, self.model.constants, len(self.model.shapes[node.inputs[0]]))
        both = value.pads or (0, 0, 0, 0)
        total = (both[0] + pads[0], both[1] + pads[1], both[2] + pads[2], both[3] + pads[3])
        self.values[node.outputs[0]] = replace(value, pads=total if any(total) else None)

    # -------------------------------------------------------------- operators

    def compute(self, node: SourceNode) -> None:
        """Conv, pools, BatchNormalization, element-wise operators and tables."""
        features = [name for name in node.inputs if name and name not in self.model.constants]
        self._check_operands(node, features)
        kind, attributes, inputs = node.op_type, dict(node.attributes), node.inputs
        seen = self.model.shapes[node.outputs[0]]
        if kind in (*MATRICES, *POOLS):
            output_shape = seen if len(seen) == 4 else (*seen[:2], 1, 1)
        elif kind == "Concat":
            rank = len(self.model.shapes[features[0]])
            attributes["axis"] = int(attributes.get("axis", 1)) % rank
            output_shape = seen if len(seen) == 4 else (*seen, 1, 1)
        else:
            shapes = [self.shape(name) for name in features]
            output_shape = tuple(max(sizes) for sizes in zip(*shapes, strict=True))
        shapes_by_name: dict[str, Shape] = {node.outputs[0]: output_shape}
        constants: dict[str, Array] = {}
        names: list[str] = []
        for name in inputs:
            if name in self.model.constants:
                constants[name] = self._constant(node, name, features[0])
                shapes_by_name[name] = constants[name].shape
                names.append(name)
            elif name:
                tensor = self.value(name).tensor
                shapes_by_name[tensor] = self.shape(name)
                names.append(tensor)
            else:
                names.append("")
        if kind in SLIDING:
            pads = self.value(inputs[0]).pads
            if pads:
                padding.take_over(node, attributes, pads, self.builder, names[0])
        resolved = OnnxNode(
            node.name, kind, self.model.opset, tuple(names), node.outputs[0],
            attributes, constants, shapes_by_name,
        )  # fmt: skip
        self._append(node, resolved)

    def _append(self, node: SourceNode, resolved: OnnxNode) -> None:
        """Let the operator append its node, then describe the tensors that it made."""
        shape = resolved.output_shape
        self._declare(resolved.output, shape)
        known = len(self.builder.nodes)
        ops.BY_ONNX_TYPE[resolved.op_type].from_onnx(resolved, self.builder)
        for made in self.builder.nodes[known:]:
            for index, name in enumerate(made.inputs):
                values = self.builder.constants.get(name)
                if values is None:
                    continue
                if not np.all(np.isfinite(values)):
                    raise UnsupportedError(
                        f"{node.op_type} {node.name} has parameters that give infinite values.",
                        "a variance must be positive and no weight may overflow float32",
                    )
                origin = node.inputs[index] if index < len(node.inputs) else ""
                quantized = self.model.quantized.get(origin)
                if quantized is not None and origin in self.model.constants:
                    scale = np.broadcast_to(quantized.scale, values.shape[:1])
                    self.builder.tensor(name, values.shape, quantized.dtype, scale)
            self._check_made(made)
        self.values[node.outputs[0]] = Value(resolved.output)

    def _check_made(self, made: Node) -> None:
        """The operator's own rules that need no scales, and its output shape against the file's."""
        builder = self.builder
        graph = Graph(builder.name, (), (), (made,), builder.tensors, builder.constants)
        definition, view = ops.BY_NAME[made.op], ops.View(graph, made)
        reasons = [rule.check(view) for rule in definition.constraints if rule.structural]
        broken = [text for text in reasons if text]
        if broken:
            raise UnsupportedError(f"{made.op}: " + "; ".join(broken) + ".")
        shape = definition.infer(view)
        if shape != view.output.shape or min(shape) < 1:
            raise UnsupportedError(
                f"{made.op}: its output must have shape {shape}, not {view.output.shape}.",
                "the model is inconsistent; export it again",
            )

    def _check_operands(self, node: SourceNode, features: Sequence[str]) -> None:
        """Refuse a view that the operator would read differently from what the file means."""
        kind = node.op_type
        seen = {name: self.model.shapes[name] for name in features}
        if kind in MATRICES:
            shape = seen[features[0]]
            if len(shape) != 2 or shape[0] != 1:
                raise UnsupportedError(
                    f"{kind} {node.name} must read features [1, K], not {shape}."
                )
        elif kind in POOLS:
            name = features[0]
            if seen[name] != self.shape(name):
                raise UnsupportedError(
                    f"{kind} {node.name} must read [N, C, H, W] features, not {seen[name]} made "
                    f"from {self.shape(name)}."
                )
        elif kind == "BatchNormalization":
            name = features[0]
            if len(seen[name]) < 2 or seen[name][:2] != self.shape(name)[:2]:
                raise UnsupportedError(
                    f"{kind} {node.name} must read [N, C, H, W] features, not {seen[name]} made "
                    f"from {self.shape(name)}."
                )
        elif len(features) > 1 and not all(self._plain(name) for name in features):
            same_shape = len({(seen[name], self.shape(name)) for name in features}) == 1
            if kind == "Concat" or not same_shape:
                raise UnsupportedError(
                    f"{kind} {node.name} must read [N, C, H, W] features, not reshaped ones."
                )

    def _constant(self, node: SourceNode, name: str, feature: str) -> Array:
        """A constant operand as float32 (or its integers), in canonical alignment."""
        values = self.model.constants[name]
        if np.issubdtype(values.dtype, np.floating):
            if node.op_type != "Clip" and not np.all(np.isfinite(values)):
                bad = int(np.count_nonzero(~np.isfinite(values)))
                raise UnsupportedError(
                    f"weight {name} must be finite, but {bad} of its {values.size} values are "
                    "NaN or infinite.",
                    "train or export the model again",
                )
            values = values.astype(np.float32)
        if node.op_type not in ("Add", "Mul") or values.size == 1:
            return values
        seen = self.model.shapes[feature]
        if values.ndim > len(seen):
            raise UnsupportedError(
                f"{node.op_type} {node.name} must not broadcast {seen} to {values.shape}."
            )
        padded = values.reshape((1,) * (len(seen) - values.ndim) + values.shape)
        if len(seen) == 4 and seen == self.shape(feature):
            return padded
        aligned = len(seen) > 1 and seen[:2] == self.shape(feature)[:2]
        if not aligned or any(size != 1 for size in padded.shape[2:]):
            raise UnsupportedError(
                f"{node.op_type} {node.name} must have a constant per channel, not of shape "
                f"{values.shape} on features {seen} made from {self.shape(feature)}."
            )
        return padded.reshape(*padded.shape[:2], 1, 1)

    def rewritten(self, node: SourceNode) -> None:
        """Sub and Div by a constant, Sum of two: other spellings of Add and Mul."""
        constants = [self.model.constants.get(name) for name in node.inputs]
        if node.op_type == "Sum":
            self._sum(node)
            return
        divisor = constants[1]
        if divisor is None:
            raise UnsupportedError(f"{node.op_type} of two features is not supported yet.")
        if node.op_type == "Div" and not np.all(divisor):
            raise UnsupportedError(f"Div {node.name} must not divide by zero.")
        values = -divisor if node.op_type == "Sub" else (1.0 / divisor.astype(np.float64))
        kind = "Add" if node.op_type == "Sub" else "Mul"
        name = f"{node.inputs[1]}/{node.name}"
        self.model = replace(self.model, constants={**self.model.constants, name: values})
        self.compute(replace(node, op_type=kind, inputs=(node.inputs[0], name)))

    def _sum(self, node: SourceNode) -> None:
        """A Sum of n operands is a chain of n - 1 Adds."""
        left = node.inputs[0]
        if len(node.inputs) == 1:
            self.values[node.outputs[0]] = self.value(left)
            return
        for index, right in enumerate(node.inputs[1:], start=2):
            last = index == len(node.inputs)
            output = node.outputs[0] if last else f"{node.outputs[0]}.sum{index}"
            shapes = {**self.model.shapes, output: self.model.shapes[node.outputs[0]]}
            self.model = replace(self.model, shapes=shapes)
            self.compute(replace(node, op_type="Add", inputs=(left, right), outputs=(output,)))
            left = output

    # -------------------------------------------------------------- host operations and outputs

    def host(self, node: SourceNode) -> None:
        """Softmax and ArgMax on the host, in the shape the file gives them."""
        name, output = node.inputs[0], node.outputs[0]
        shape = self.model.shapes[name]
        axis = int(node.attributes.get("axis", 0 if node.op_type == "ArgMax" else -1))
        source = self._as_seen(name)
        if node.op_type == "ArgMax":
            if node.attributes.get("select_last_index", 0):
                raise UnsupportedError(f"ArgMax {node.name} must have select_last_index 0.")
            keep = int(node.attributes.get("keepdims", 1))
            self._host("ArgMax", source, output, {"axis": axis % len(shape), "keepdims": keep},
                       self.model.shapes[output], dtypes.S32)  # fmt: skip
        elif self.model.opset < 13:
            self._old_softmax(node, source, int(node.attributes.get("axis", 1)) % len(shape))
        else:
            self._host("Softmax", source, output, {"axis": axis % len(shape)}, shape)
        self.values[output] = Value(output, on_host=True)

    def _old_softmax(self, node: SourceNode, source: str, axis: int) -> None:
        """Before opset 13 Softmax ran over all axes from ``axis`` on, taken together."""
        output, shape = node.outputs[0], self.model.shapes[node.inputs[0]]
        rest = shape[axis:]
        long = [index for index, size in enumerate(rest) if size != 1]
        if len(long) <= 1:
            where = axis + (long[0] if long else 0)
            self._host("Softmax", source, output, {"axis": where}, shape)
            return
        flat = (*shape[:axis], int(np.prod(rest)))
        before = self.builder.fresh(f"{output}.flat")
        source = self._host("Reshape", source, before, {"shape": flat}, flat)
        after = self.builder.fresh(f"{output}.softmax")
        source = self._host("Softmax", source, after, {"axis": axis}, flat)
        self._host("Reshape", source, output, {"shape": shape}, shape)

    def _as_seen(self, name: str) -> str:
        """The tensor behind ``name`` in its ONNX shape, through a Reshape where they differ."""
        value, shape = self.value(name), self.model.shapes[name]
        if value.on_host or shape == self.shape(name):
            return value.tensor
        made = [op for op in self.builder.host if op.output == name]
        if made:
            return name
        free = name != value.tensor and name not in self.builder.tensors
        output = name if free else self.builder.fresh(f"{name}.reshaped")
        return self._host("Reshape", value.tensor, output, {"shape": shape}, shape)

    def _host(
        self,
        op: str,
        source: str,
        output: str,
        attributes: Mapping[str, Any],
        shape: Shape,
        dtype: dtypes.DType | None = None,
    ) -> str:
        if dtype is None:  # integers of an ArgMax stay integers, everything else is real
            indices = any(item.output == source and item.op == "ArgMax" for item in self.builder.host)
            dtype = dtypes.S32 if indices else dtypes.F32
        self.builder.host.append(HostOp(output, op, source, output, dict(attributes)))
        return self.builder.tensor(output, shape, dtype)

    def _check_output(self, name: str) -> None:
        value = self.values.get(name)
        if name in self.model.constants:
            self.findings.append(Finding(name, "the network output is a constant."))
        elif value is not None and value.pads:
            self.findings.append(Finding(name, "the network output must not be a Pad."))
        elif value is None and not _errors(self.findings):
            self.findings.append(Finding(name, "the network output is not computed by any node."))
        elif value is not None and value.tensor in self.builder.inputs:
            self.findings.append(Finding(name, "the network output is the network input itself."))

    def _output(self, name: str) -> str:
        """Deliver output ``name`` in its ONNX shape, under its own name."""
        value, shape = self.value(name), self.model.shapes[name]
        if any(op.output == name for op in self.builder.host):
            return name
        if value.tensor == name and shape == self.shape(name):
            return name
        shared = value.tensor in self.model.outputs or value.on_host
        if shape == self.shape(name) and not shared:
            rename(self.builder, value.tensor, name)
            self._renamed(value.tensor, name)
            return name
        tensor = value.tensor
        if tensor == name:  # the name belongs to the output in the shape its user knows
            tensor = self.builder.fresh(f"{name}.nchw")
            rename(self.builder, name, tensor)
            self._renamed(name, tensor)
        return self._host("Reshape", tensor, name, {"shape": shape}, shape)

    def _renamed(self, old: str, new: str) -> None:
        for key, value in self.values.items():
            if value is not None and value.tensor == old:
                self.values[key] = replace(value, tensor=new)


def rename(builder: GraphBuilder, old: str, new: str) -> None:
    """Rename a feature tensor everywhere in a builder."""
    tensor = builder.tensors.pop(old)
    builder.tensors[new] = replace(tensor, name=new)

    def swap(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(new if name == old else name for name in names)

    builder.nodes[:] = [
        replace(
            node,
            name=new if node.name == old else node.name,
            inputs=swap(node.inputs),
            outputs=swap(node.outputs),
        )
        for node in builder.nodes
    ]
    builder.host[:] = [
        replace(op, input=new if op.input == old else op.input) for op in builder.host
    ]


Handler = Callable[[_Importer, SourceNode], None]
SUPPORTED: dict[str, Handler] = {
    **{kind: _Importer.compute for kind in ops.BY_ONNX_TYPE},
    **{kind: _Importer.view for kind in VIEWS},
    **{kind: _Importer.same for kind in SAME},
    **{kind: _Importer.host for kind in HOST},
    **{kind: _Importer.rewritten for kind in ("Sub", "Div", "Sum")},
    "Pad": _Importer.pad,
}
