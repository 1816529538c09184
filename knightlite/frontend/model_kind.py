"""What an ``.onnx`` file is, from what it holds: its name says nothing."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from knightlite.frontend import onnx_file

if TYPE_CHECKING:
    import onnx

QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")
PAIR_NOTE = "knightlite.pair"  # metadata of a golden model: the compiled files that it goes with


class ModelKind(Enum):
    """The forms of a network that are ONNX files."""

    FLOAT = "float"
    QDQ = "qdq"
    GOLDEN = "golden"


def kind_of(model: onnx.ModelProto) -> ModelKind:
    """The form of a parsed model."""
    if any(entry.key == PAIR_NOTE for entry in model.metadata_props):
        return ModelKind.GOLDEN
    return ModelKind.QDQ if _quantizes_features(model.graph) else ModelKind.FLOAT


def _quantizes_features(graph: onnx.GraphProto) -> bool:
    """False where only constants are quantized, as in files that store their weights in 8 bits."""
    constants = {"", *(item.name for item in graph.initializer)}
    for node in graph.node:
        if node.op_type == "Constant" or (node.input and constants.issuperset(node.input)):
            constants.update(node.output)
        elif node.op_type in QUANTIZERS:
            return True
    return False


def kind_of_file(path: Path) -> ModelKind:
    """The form of a file. Errors: UsageError, ModelError."""
    return kind_of(onnx_file.outline(path))
