"""What a QDQ file does: run it in ONNX Runtime, and count what it leaves in float.

Works on the files of any quantizer, from their nodes alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from knightlite.inference import session

Array = NDArray[Any]
Key = tuple[bytes, ...]  # scale and zero point

Q, DQ = "QuantizeLinear", "DequantizeLinear"
POINTWISE = (
    "Add", "BatchNormalization", "Cast", "Clip", "Div", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid",
    "HardSwish", "Identity", "LeakyRelu", "Max", "Min", "Mish", "Mul", "Neg", "PRelu", "Pow",
    "Relu", "Selu", "Sigmoid", "Softplus", "Softsign", "Sqrt", "Sub", "Tanh",
)  # fmt: skip
MOVES = ("Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze")


class QdqFile:
    """The graph of a QDQ file: who writes a tensor, who reads it, which tensors are constant."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.nodes = list(model.graph.node)
        self.outputs = [item.name for item in model.graph.output]
        self.writer = {name: node for node in self.nodes for name in node.output}
        self.values = {item.name: item for item in model.graph.initializer}
        for node in self.nodes:
            if node.op_type == "Constant":
                (value,) = node.attribute
                self.values[node.output[0]] = value.t
        self.constant = set(self.values)
        for node in self.nodes:  # they stand in the order of their data
            known = node.input and all(name in self.constant for name in node.input if name)
            if known or node.op_type == "Shape":  # which no value of what it reads changes
                self.constant.update(node.output)

    def features(self, node: onnx.NodeProto) -> list[str]:
        """What a node reads that depends on the network's input."""
        return [name for name in node.input if name and name not in self.constant]

    def logits(self) -> str:
        """The first output before a trailing Softmax and what only moves or quantizes it."""
        name = found = self.outputs[0]
        while name in self.writer:
            node = self.writer[name]
            if node.op_type not in (*MOVES, Q, DQ, "Softmax"):
                break
            name = node.input[0]
            if node.op_type == "Softmax":
                found = name
        return str(found)

    def float_ops(self) -> dict[str, int]:
        """Operators between the first Q and the last DQ that read values never quantized, by type.

        A pointwise function of one dequantized value, or of the one result of an operator that
        reads integers, does not count: neither Conv, Relu, Q nor x * Sigmoid(x) does.
        """
        behind: set[str] = set()  # tensors with a Q before them
        integer: set[str] = set()  # outputs of DQ
        source: dict[str, str] = {}  # result of an operator on integers, or a function of one
        left = []
        for node in self.nodes:
            features = self.features(node)
            if not features:
                continue
            (first, *_), name = features, node.output[0]
            if node.op_type == Q or any(item in behind for item in features):
                behind.update(node.output)
            if node.op_type == DQ:
                integer.add(name)
                source[name] = name
            elif node.op_type == Q:
                continue
            elif node.op_type in POINTWISE and first in source and self._one(features, source):
                source[name] = source[first]  # a function of one value
            elif all(item in integer for item in features):
                source[name] = name
            else:
                left.append(node)
        ahead = self._before_a_dq()
        counts: dict[str, int] = {}
        for node in left:
            if node.output[0] in behind and node.output[0] in ahead:
                counts[node.op_type] = counts.get(node.op_type, 0) + 1
        return counts

    @staticmethod
    def _one(features: Sequence[str], source: dict[str, str]) -> bool:
        """True where all of ``features`` come from the same value."""
        return len({source.get(name, "") for name in features}) == 1

    def _before_a_dq(self) -> set[str]:
        """Tensors that a DQ comes after."""
        found: set[str] = set()
        for node in reversed(self.nodes):
            if node.op_type == DQ or any(name in found for name in node.output):
                found.update(self.features(node))
        return found

    def concat_requantizes(self) -> int:
        """Inputs of Concat whose scale or zero point is not that of its output."""
        count = 0
        for node in self.nodes:
            readers = [item for item in self.nodes if node.output[0] in item.input]
            if node.op_type != "Concat" or not any(item.op_type == Q for item in readers):
                continue
            wanted = {self._key(item) for item in readers if item.op_type == Q}
            for name in self.features(node):
                writer = self.writer.get(name)
                if writer is not None and writer.op_type == DQ:
                    count += self._key(writer) not in wanted
        return count

    def _key(self, node: onnx.NodeProto) -> Key:
        return tuple(
            numpy_helper.to_array(self.values[name]).tobytes() for name in node.input[1:] if name
        )


def forward(data: bytes, threads: int) -> Callable[[Array], Array]:
    """Pictures [N, C, H, W] -> scores [N, ...] before a trailing Softmax.

    One picture at a time where the file has its batch fixed. ``session`` says with which settings.
    """
    model = onnx.load_from_string(data)
    name = QdqFile(model).logits()
    if name not in [item.name for item in model.graph.output]:
        model.graph.output.append(onnx.ValueInfoProto(name=name))
    runner = session(model, threads)
    (fed,) = runner.inputs
    (entry,) = (item for item in model.graph.input if item.name == fed)
    fixed = entry.type.tensor_type.shape.dim[0].HasField("dim_value")

    def run(pictures: Array) -> Array:
        parts: Sequence[Array] = (
            [pictures[i : i + 1] for i in range(len(pictures))] if fixed else [pictures]
        )
        return np.concatenate([runner.run([name], {fed: part})[0] for part in parts])

    return run
