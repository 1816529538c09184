"""The operators of ONNX that the runtime in C computes between two segments of the chip."""

from __future__ import annotations

from collections.abc import Iterable

OPERATIONS: tuple[tuple[str, str, int], ...] = (
    ("Reshape", "view", 1),
    ("Identity", "view", 0),
    ("Dropout", "view", 2),
    ("Transpose", "transpose", 0),
    ("Slice", "slice", 0),
    ("Pad", "pad", 0),
    ("Concat", "concat", 0),
    ("Expand", "expand", 0),
    ("Tile", "tile", 0),
    ("DepthToSpace", "depth", 0),
    ("SpaceToDepth", "depth", 1),
    ("Gather", "gather", 0),
    ("GatherElements", "gather_elements", 0),
    ("GatherND", "gather_nd", 0),
    ("ScatterElements", "scatter", 0),
    ("ScatterND", "scatter", 1),
    ("Where", "where", 0),
    ("ArgMax", "arg", 0),
    ("ArgMin", "arg", 1),
    ("TopK", "top", 0),
    ("Hardmax", "hardmax", 0),
    ("ReduceMax", "reduce", 0),
    ("ReduceMin", "reduce", 1),
    ("CumSum", "running_sum", 0),
    ("Abs", "of_one", 0),
    ("Neg", "of_one", 1),
    ("Relu", "of_one", 2),
    ("Sqrt", "of_one", 3),
    ("Floor", "of_one", 4),
    ("Ceil", "of_one", 5),
    ("Round", "of_one", 6),
    ("Sign", "of_one", 7),
    ("Reciprocal", "of_one", 8),
    ("LeakyRelu", "of_one", 9),
    ("Exp", "of_one", 10),
    ("Log", "of_one", 11),
    ("Sigmoid", "of_one", 12),
    ("Tanh", "of_one", 13),
    ("Pow", "power", 0),
    ("Softmax", "soft", 0),
    ("LogSoftmax", "soft", 1),
    ("ReduceSum", "sum", 0),
    ("ReduceMean", "sum", 1),
    ("Clip", "clip", 0),
    ("Cast", "cast", 0),
    ("Add", "of_two", 0),
    ("Sum", "of_two", 0),
    ("Sub", "of_two", 1),
    ("Mul", "of_two", 2),
    ("Div", "of_two", 3),
    ("Max", "of_two", 4),
    ("Min", "of_two", 5),
    ("PRelu", "of_two", 6),
    ("Equal", "compare", 0),
    ("Greater", "compare", 1),
    ("GreaterOrEqual", "compare", 2),
    ("Less", "compare", 3),
    ("LessOrEqual", "compare", 4),
    ("And", "compare", 5),
    ("Or", "compare", 6),
    ("Xor", "compare", 7),
    ("Not", "compare", 8),
)
"""Each with the function of knl_values.h that does it, and which of those that share it it is."""


def unknown(operators: Iterable[str]) -> tuple[str, ...]:
    """Those that only a handler of the user computes, each once."""
    known = {name for name, _, _ in OPERATIONS}
    return tuple(name for name in dict.fromkeys(operators) if name not in known)
