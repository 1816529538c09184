"""Nodes of constants only, whatever the operator: ONNX Runtime computes them, within bounds.

What a node will make is known from ONNX's shape inference before any array is made, and how much
work that takes from the shapes. A node that is over a bound, that asks for random numbers, or that
holds graphs (a loop may never end) stays, and the sentence says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from knightlite import limits
from knightlite.errors import ModelError, UnsupportedError
from knightlite.frontend import opsets
from knightlite.frontend.source import Shape, SourceNode

if TYPE_CHECKING:
    import onnx

Array = NDArray[Any]
Operands = Sequence[Array | None]
LIMIT_BYTES = limits.COMPUTED_BYTES  # all that a model's constants grow to
LIMIT_WORK = 1 << 35  # products, or elements where there are none: some seconds of one core
RUN_WORK = 1 << 20  # a node of no elements has a session all the same
SMALL_ELEMENTS = 1024  # constants that shape inference may need to see
RANDOM = (
    "Bernoulli",
    "Multinomial",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
)
# how much they make depends on values: at most an index, of as many axes, for each element
SELECTING = ("Compress", "NonZero", "Unique")
EVERY_PAIR = ("DFT", "Det", "GRU", "GridSample", "LSTM", "NonMaxSuppression", "RNN", "STFT")


def is_random(node: SourceNode, constants: Mapping[str, Array]) -> bool:
    """True for what makes other numbers at every run: a Dropout in training, too."""
    if node.op_type != "Dropout":
        return node.op_type in RANDOM
    ratio, training = (constants.get(name) for name in (*node.inputs[1:], "", "")[:2])
    some = ratio is None or bool(np.any(ratio))
    return some and training is not None and bool(np.any(training))


@dataclass(slots=True)
class Budget:
    """What constants of one model may still take."""

    size_bytes: int = LIMIT_BYTES
    work: int = LIMIT_WORK

    def spend(self, node: SourceNode, size_bytes: int, work: int) -> None:
        """Take that much for ``node``; UnsupportedError where it is not there."""
        name = f"{node.kind} {node.name}"
        if size_bytes > self.size_bytes:
            raise UnsupportedError(
                f"{name} reads constants only and would make {size_bytes} bytes of them, but "
                f"{self.size_bytes} of {LIMIT_BYTES} bytes are left to a model.",
                "compute it before the export, or leave it out",
            )
        if work > self.work:
            raise UnsupportedError(
                f"{name} reads constants only and would take {work} operations to compute, but "
                f"{self.work} of {LIMIT_WORK} are left to a model.",
                "compute it before the export",
            )
        self.size_bytes -= size_bytes
        self.work -= work


def afford(node: SourceNode, operands: Operands, opset: int, budget: Budget) -> None:
    """Take from ``budget`` what the node needs; UnsupportedError says why it is not computed."""
    name = f"{node.kind} {node.name}"
    if node.domain:
        raise UnsupportedError(f"{name} reads constants only, but is no operator of ONNX.")
    if node.op_type in RANDOM:
        raise UnsupportedError(f"{name} makes other numbers at every run.", "export one of them")
    if any(_holds_graph(value) for value in node.attributes.values()):
        raise UnsupportedError(f"{name} is not run while reading: its graphs may never end.")
    shapes, itemsize = _described(node, operands, opset)
    given = [item.shape for item in operands if item is not None]
    elements = sum(map(prod, shapes))
    if node.op_type == "Einsum" and len(given) > 2:  # pair by pair: what is in between
        elements += _products(node, given, elements)
    budget.spend(node, elements * itemsize, RUN_WORK + _work(node, given, shapes))


def run(node: SourceNode, operands: Operands, opset: int) -> tuple[Array, ...]:
    """The outputs of a node with constant ``operands`` (None: absent), those named "" left out.

    ``afford`` has said that they can be made. UnsupportedError says why it is not computed.
    """
    from knightlite.inference import session

    names = _names(operands)
    bare = [item is not None and item.dtype.name == "bfloat16" for item in operands]
    operands = [  # ONNX Runtime computes little with bfloat16: all its numbers are float32's
        item.astype(np.float32) if item is not None and short else item
        for item, short in zip(operands, bare, strict=True)
    ]
    feeds = {name: item for name, item in zip(names, operands, strict=True) if item is not None}
    try:
        model = _model(node, operands, opset, small_only=False)
        opened = session(model, 1, lean=True, called=f"{node.kind} {node.name}")
        return tuple(opened.run(None, {name: feeds[name] for name in opened.inputs}))
    except ModelError as error:
        raise UnsupportedError(f"it reads constants only, but {error.sentence}") from None


def _holds_graph(value: Any) -> bool:
    from onnx import GraphProto

    return isinstance(value, GraphProto) or (
        isinstance(value, list) and any(isinstance(item, GraphProto) for item in value)
    )


# ------------------------------------------------------------------ a model of one node


def _names(operands: Operands) -> list[str]:
    return ["" if item is None else f"i{index}" for index, item in enumerate(operands)]


def _model(node: SourceNode, operands: Operands, opset: int, small_only: bool) -> onnx.ModelProto:
    """The node alone. ``small_only``: small operands by value, which shape inference may look at.

    Else all of them are inputs.
    """
    from onnx import TensorProto, helper, numpy_helper

    attributes = {
        key: numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value
        for key, value in node.attributes.items()
    }
    outputs = [name and f"o{index}" for index, name in enumerate(node.outputs)]
    names = _names(operands)
    made = helper.make_node(node.op_type, names, outputs, **attributes)
    inputs, weights = [], []
    for name, values in zip(names, operands, strict=True):
        if values is None:
            continue
        if small_only and values.size <= SMALL_ELEMENTS:
            weights.append(numpy_helper.from_array(np.asarray(values, order="C"), name))
            continue
        element = helper.np_dtype_to_tensor_dtype(values.dtype)
        inputs.append(helper.make_tensor_value_info(name, element, values.shape))
    described = [helper.make_empty_tensor_value_info(name) for name in outputs if name]
    for item in described:
        item.type.tensor_type.elem_type = TensorProto.UNDEFINED
    graph = helper.make_graph([made], "constants", inputs, described, weights)
    version = helper.make_opsetid("", opsets.meaning(node, opset))
    model = helper.make_model(graph, opset_imports=[version], ir_version=8)
    return _inferred(model)


def _inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    from onnx import shape_inference

    return shape_inference.infer_shapes(model, data_prop=True)


# ------------------------------------------------------------------ how much it is


def _described(node: SourceNode, operands: Operands, opset: int) -> tuple[list[Shape], int]:
    """The shapes of what the node makes, and the bytes of its largest element."""
    from onnx import helper

    try:
        model = _model(node, operands, opset, small_only=True)
    except (ValueError, TypeError) as error:
        text = f"{node.kind} {node.name} is malformed ({error})."
        raise UnsupportedError(text, "export the model again") from None
    shapes: list[Shape] = []
    itemsize = 1
    for item in model.graph.output:
        tensor = item.type.tensor_type
        if not tensor.elem_type:
            raise UnsupportedError(
                f"{node.kind} {node.name} reads constants only, but makes no tensor that is known."
            )
        itemsize = max(itemsize, helper.tensor_dtype_to_np_dtype(tensor.elem_type).itemsize)
        sizes = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in tensor.shape.dim]
        if tensor.HasField("shape") and min(sizes, default=0) >= 0:
            shapes.append(tuple(sizes))
        elif node.op_type in SELECTING and operands[0] is not None:
            shapes.append((operands[0].size, max(1, operands[0].ndim)))
        else:
            raise UnsupportedError(
                f"{node.kind} {node.name} reads constants only, but how much it makes is not known "
                "before it has run.",
                "compute it before the export",
            )
    return shapes, itemsize


def _work(node: SourceNode, given: Sequence[Shape], made: Sequence[Shape]) -> int:
    """Products, or elements that are read and made."""
    kind, read, written = node.op_type, sum(map(prod, given)), sum(map(prod, made))
    if kind in EVERY_PAIR:
        return read * written
    if kind == "Einsum":
        return read + _products(node, given, written)
    count = INNER.get(kind)
    return read + written * (1 if count is None else max(1, count(node.attributes, given)))


def _products(node: SourceNode, given: Sequence[Shape], written: int) -> int:
    """All places of an Einsum's letters."""
    equation = str(node.attributes.get("equation", "")).replace(" ", "")
    if "..." in equation:  # letters that are not written: every output element may have all
        return written * prod(max(shape, default=1) for shape in given)
    sizes: dict[str, int] = {}
    for term, shape in zip(equation.split("->")[0].split(","), given, strict=False):
        sizes.update(zip(term, shape, strict=False))
    return prod(sizes.values())


def _depth(attributes: Mapping[str, Any], given: Sequence[Shape]) -> int:
    first = given[0] or (1,)
    return first[0] if attributes.get("transA") else first[-1]


def _window(attributes: Mapping[str, Any], given: Sequence[Shape]) -> int:
    return prod(attributes.get("kernel_shape", ()))


def _taps(attributes: Mapping[str, Any], given: Sequence[Shape]) -> int:
    return prod(given[1]) // max(1, given[1][0])


INNER: dict[str, Callable[[Mapping[str, Any], Sequence[Shape]], int]] = {
    **dict.fromkeys(("Gemm", "MatMul", "MatMulInteger", "QLinearMatMul"), _depth),
    **dict.fromkeys(("Conv", "ConvInteger", "ConvTranspose"), _taps),
    **dict.fromkeys(("AveragePool", "LpPool", "MaxPool"), _window),
}
"""For operators that add up several products for every element they make: how many."""
