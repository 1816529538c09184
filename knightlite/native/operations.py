"""The operators of ONNX that the runtime in C computes between two segments of the chip."""

from __future__ import annotations

from collections.abc import Iterable

OPERATIONS: tuple[tuple[str, str, int, int, str], ...] = (
    ("Reshape", "view", 1, 2, "shape allowzero"),
    ("Identity", "view", 0, 1, ""),
    ("Dropout", "view", 2, 3, "seed"),
    ("Transpose", "transpose", 0, 1, "perm"),
    ("Slice", "slice", 0, 5, "starts ends axes steps"),
    ("Pad", "pad", 0, 4, "pads mode"),
    ("Concat", "concat", 0, 0, "axis"),
    ("Expand", "expand", 0, 2, ""),
    ("Tile", "tile", 0, 2, ""),
    ("DepthToSpace", "depth", 0, 1, "blocksize mode"),
    ("SpaceToDepth", "depth", 1, 1, "blocksize"),
    ("Gather", "gather", 0, 2, "axis"),
    ("GatherElements", "gather_elements", 0, 2, "axis"),
    ("GatherND", "gather_nd", 0, 2, "batch_dims"),
    ("ScatterElements", "scatter", 0, 3, "axis reduction"),
    ("ScatterND", "scatter", 1, 3, "reduction"),
    ("Where", "where", 0, 3, ""),
    ("ArgMax", "arg", 0, 1, "axis keepdims select_last_index"),
    ("ArgMin", "arg", 1, 1, "axis keepdims select_last_index"),
    ("TopK", "top", 0, 2, "axis largest sorted"),
    ("Hardmax", "hardmax", 0, 1, "axis"),
    ("ReduceMax", "reduce", 0, 2, "axes keepdims noop_with_empty_axes"),
    ("ReduceMin", "reduce", 1, 2, "axes keepdims noop_with_empty_axes"),
    ("CumSum", "running_sum", 0, 2, "exclusive reverse"),
    ("Abs", "of_one", 0, 1, ""),
    ("Neg", "of_one", 1, 1, ""),
    ("Relu", "of_one", 2, 1, ""),
    ("Sqrt", "of_one", 3, 1, ""),
    ("Floor", "of_one", 4, 1, ""),
    ("Ceil", "of_one", 5, 1, ""),
    ("Round", "of_one", 6, 1, ""),
    ("Sign", "of_one", 7, 1, ""),
    ("Reciprocal", "of_one", 8, 1, ""),
    ("LeakyRelu", "of_one", 9, 1, "alpha"),
    ("Exp", "function", 0, 1, ""),
    ("Log", "function", 1, 1, ""),
    ("Sigmoid", "function", 2, 1, ""),
    ("Tanh", "function", 3, 1, ""),
    ("Pow", "power", 0, 2, ""),
    ("Softmax", "soft", 0, 1, "axis"),
    ("LogSoftmax", "soft", 1, 1, "axis"),
    ("ReduceSum", "sum", 0, 2, "axes keepdims noop_with_empty_axes"),
    ("ReduceMean", "sum", 1, 2, "axes keepdims noop_with_empty_axes"),
    ("Clip", "clip", 0, 3, "min max"),
    ("Cast", "cast", 0, 1, "to saturate"),
    ("Add", "of_two", 0, 2, ""),
    ("Sum", "of_two", 0, 0, ""),
    ("Sub", "of_two", 1, 2, ""),
    ("Mul", "of_two", 2, 2, ""),
    ("Div", "of_two", 3, 2, ""),
    ("Max", "of_two", 4, 0, ""),
    ("Min", "of_two", 5, 0, ""),
    ("PRelu", "of_two", 6, 2, ""),
    ("Equal", "compare", 0, 2, ""),
    ("Greater", "compare", 1, 2, ""),
    ("GreaterOrEqual", "compare", 2, 2, ""),
    ("Less", "compare", 3, 2, ""),
    ("LessOrEqual", "compare", 4, 2, ""),
    ("And", "compare", 5, 2, ""),
    ("Or", "compare", 6, 2, ""),
    ("Xor", "compare", 7, 2, ""),
    ("Not", "compare", 8, 1, ""),
)
"""Name; the function of knl_values.h that does it, and which of those that share it it is; how many
inputs it has at most, 0: any number; its attributes, with those that stand for
inputs."""


def unknown(operators: Iterable[str]) -> tuple[str, ...]:
    """Those that only a handler of the user computes, each once."""
    known = {row[0] for row in OPERATIONS}
    return tuple(name for name in dict.fromkeys(operators) if name not in known)
