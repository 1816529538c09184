"""What an ``.onnx`` file is, from what it holds: its name says nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from knightlite.errors import KnightliteError
from knightlite.frontend import onnx_file

if TYPE_CHECKING:
    import onnx

QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")
PASSING = ("Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
COMPILED = (".cfg", ".weight", ".tsmodel")  # how the files of compiled networks end
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
    """False where only constants are quantized, as in files that store their weights in 8 bits.

    What the network delivers in integers, and nothing makes real again, is no pair either.
    """
    constants = {"", *(item.name for item in graph.initializer)}
    ends = ending_quantizers((node.op_type, node.input, node.output) for node in graph.node)
    for node in graph.node:
        if node.op_type == "Constant" or (node.input and constants.issuperset(node.input)):
            constants.update(node.output)
        elif node.op_type in QUANTIZERS and not ends & {*node.output}:
            return True
    return False


def ending_quantizers(
    nodes: Iterable[tuple[str, Sequence[str], Sequence[str]]],
) -> frozenset[str]:
    """What QuantizeLinears make that no DequantizeLinear follows, however far behind.

    ``nodes``: type, inputs and outputs of each, in order. Nothing but views and casts may read
    these integers.
    """
    found: set[str] = set()
    read: set[str] = set()  # by what may not read such integers, or leads there
    for kind, inputs, outputs in reversed(list(nodes)):
        if kind == "QuantizeLinear" and not read & {*outputs}:
            found.update(outputs)
        if kind not in PASSING or read & {*outputs}:
            read.update(name for name in inputs if name)
    return frozenset(found)


def of_kind(*kinds: ModelKind) -> Callable[[Path], bool]:
    """Whether a file is of one of these forms; files of other tools are float models."""

    def fits(path: Path) -> bool:
        if path.suffix.lower() != ".onnx":
            return ModelKind.FLOAT in kinds and path.suffix.lower() not in COMPILED
        try:
            return kind_of_file(path) in kinds
        except KnightliteError:
            return False

    return fits


def kind_of_file(path: Path) -> ModelKind:
    """The form of a file. Errors: UsageError, ModelError."""
    return kind_of(onnx_file.outline(path))
