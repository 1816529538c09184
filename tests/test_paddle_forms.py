"""Paddle operators that the converter approximates, against what Paddle defines, in numpy."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from knightlite.errors import Finding, ModelError, UnsupportedError
from knightlite.frontend import load, paddle, paddle_forms
from knightlite.frontend.paddle_program import Block, parse_program
from knightlite.inference import session
from knightlite.onnx_models import write_float
from paddle_program import Attribute, one_operator

Array = NDArray[Any]
Float32 = NDArray[np.float32]
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("paddle2onnx") is None, reason="paddle2onnx stops at Python 3.12"
)
X = (1, 4, 7, 5)
POOL: dict[str, Attribute] = {
    "strides": [1, 1], "paddings": [0, 0], "global_pooling": False, "ceil_mode": False,
    "exclusive": True, "data_format": "NCHW", "padding_algorithm": "EXPLICIT",
}  # fmt: skip
CONV: dict[str, Attribute] = {
    "strides": [2, 2], "paddings": [1, 1], "dilations": [1, 1], "groups": 1,
    "data_format": "NCHW", "padding_algorithm": "EXPLICIT",
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One operator, and what it means: ``expected`` of the input [N, ...] in float64."""

    name: str
    kind: str
    y: tuple[int, ...]
    attributes: Mapping[str, Attribute]
    expected: Callable[[Array], Array]
    x: tuple[int, ...] = X
    parameters: tuple[str, str] = ("X", "Out")
    weights: Mapping[str, Float32] = field(default_factory=dict)


# ------------------------------------------------------------------ what Paddle means


def adaptive(x: Array, counts: tuple[int, int], reduce: Callable[..., Array]) -> Array:
    """Bin k of n values: from floor(k size / n) to ceil((k + 1) size / n)."""
    out = np.zeros((*x.shape[:2], *counts))
    for i in range(counts[0]):
        for j in range(counts[1]):
            rows = slice(i * x.shape[2] // counts[0], -(-(i + 1) * x.shape[2] // counts[0]))
            columns = slice(j * x.shape[3] // counts[1], -(-(j + 1) * x.shape[3] // counts[1]))
            out[:, :, i, j] = reduce(x[:, :, rows, columns], axis=(2, 3))
    return out


def transposed(x: Array, w: Array, stride: int, begin: tuple[int, int], size: Any) -> Array:
    """Every input pixel adds its kernel; cut out from ``begin``, ``size`` pixels."""
    _, _, height, width = x.shape
    kernel = w.shape[2]
    out = np.zeros((1, w.shape[1], stride * height + 9, stride * width + 9))
    for i in range(height):
        for j in range(width):
            part = np.einsum("c,cokl->okl", x[0, :, i, j], w)
            rows, columns = stride * i, stride * j
            out[0, :, rows : rows + kernel, columns : columns + kernel] += part
    return out[:, :, begin[0] : begin[0] + size[0], begin[1] : begin[1] + size[1]]


def convolved(x: Array, w: Array, stride: int, pads: tuple[int, int, int, int]) -> Array:
    top, bottom, left, right = pads
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    kernel = w.shape[2]
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(2, 3))
    return np.asarray(np.einsum("nchwij,ocij->nohw", windows[:, :, ::stride, ::stride], w))


def gelu_tanh(x: Array) -> Array:
    return np.asarray(0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))))


def shuffled(x: Array) -> Array:
    n, c, h, w = x.shape
    return x.reshape(n, 2, c // 2, h, w).swapaxes(1, 2).reshape(x.shape)


def unshuffled(x: Array) -> Array:
    n, c, h, w = x.shape
    split = x.reshape(n, c, h // 2, 2, w // 2, 2)
    return split.transpose(0, 1, 3, 5, 2, 4).reshape(n, 4 * c, h // 2, w // 2)


def depth_to_space(x: Array) -> Array:
    n, c, h, w = x.shape
    split = x.reshape(n, c // 4, 2, 2, h, w)
    return split.transpose(0, 1, 4, 2, 5, 3).reshape(n, c // 4, 2 * h, 2 * w)


def grouped(x: Array) -> Array:
    """GroupNorm of two groups; the channels are axis 1."""
    groups = x.reshape(len(x), 2, -1)
    centered = groups - groups.mean(-1, keepdims=True)
    normal = centered / np.sqrt(centered.var(-1, keepdims=True) + 1e-5)
    factors = (GROUPS[name].reshape(-1, *[1] * (x.ndim - 2)) for name in ("Scale", "Bias"))
    scale, bias = factors
    return np.asarray(normal.reshape(x.shape) * scale + bias)


def first_row(x: Array) -> Array:
    """Bilinear, half pixels, of 7x5 to 1x3: of one row that is left Paddle takes the first."""
    places = (np.arange(3) + 0.5) * 5 / 3 - 0.5
    left = np.clip(np.floor(places).astype(int), 0, 4)
    right, share = np.minimum(left + 1, 4), np.clip(places, 0, 4) - left
    row = x[:, :, :1]
    return np.asarray(row[..., left] * (1 - share) + row[..., right] * share)


def weight(*shape: int) -> Float32:
    return np.random.default_rng(list(shape)).normal(0, 0.3, shape).astype(np.float32)


def last(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """The same with the channels last."""
    return lambda x: function(x.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)


def pooled(kind: str, counts: tuple[int, int], **more: Attribute) -> dict[str, Attribute]:
    return {**POOL, "pooling_type": kind, "ksize": list(counts), "adaptive": True, **more}


W = weight(4, 3, 3, 3)
SAME = {**CONV, "padding_algorithm": "SAME"}
NORM = {
    "Scale": weight(5) + 1, "Bias": weight(5), "Mean": weight(5), "Variance": weight(5) ** 2 + 1
}  # fmt: skip


GROUPS = {"Scale": weight(4) + 1, "Bias": weight(4)}
GROUP_NORM: dict[str, Attribute] = {"groups": 2, "epsilon": 1e-5, "data_layout": "NCHW"}
SLOPES = {"Alpha": weight(5)}
RESIZE: dict[str, Attribute] = {
    "interp_method": "bilinear", "align_corners": False, "align_mode": 0, "out_d": -1, "out_h": -1,
    "out_w": -1, "data_layout": "NCHW",
}  # fmt: skip


def normalized(x: Array) -> Array:
    factor = NORM["Scale"] / np.sqrt(NORM["Variance"] + 1e-5)
    return np.asarray((x - NORM["Mean"]) * factor + NORM["Bias"])


CASES = (
    *(
        Case(
            f"adaptive_avg_{rows}x{columns}", "pool2d", (1, 4, rows, columns),
            pooled("avg", (rows, columns)),
            lambda x, counts=(rows, columns): adaptive(x, counts, np.mean),  # type: ignore[misc]
        )
        for rows, columns in ((3, 3), (7, 2), (2, 5), (9, 6), (1, 4), (1, 1), (7, 5))
    ),
    Case(
        "adaptive_max", "pool2d", (1, 4, 3, 2), pooled("max", (3, 2)),
        lambda x: adaptive(x, (3, 2), np.max),
    ),
    Case(
        "adaptive_max_with_index", "max_pool2d_with_index", (1, 4, 4, 3), pooled("max", (4, 3)),
        lambda x: adaptive(x, (4, 3), np.max),
    ),
    Case(
        "adaptive_avg_last", "pool2d", (1, 3, 5, 5), pooled("avg", (3, 5), data_format="NHWC"),
        last(lambda x: adaptive(x, (3, 5), np.mean)),
    ),
    Case(
        "transposed_output_size", "conv2d_transpose", (1, 3, 14, 10),
        {**CONV, "output_size": [14, 10]},
        lambda x: transposed(x, W, 2, (1, 1), (14, 10)),
        parameters=("Input", "Output"), weights={"Filter": W},
    ),
    Case(
        "transposed_same", "conv2d_transpose", (1, 3, 14, 10), SAME,
        lambda x: transposed(x, W, 2, (1, 1), (14, 10)),
        parameters=("Input", "Output"), weights={"Filter": W},
    ),
    Case(
        "same_ignores_dilation", "conv2d", (1, 6, 4, 3), {**SAME, "dilations": [2, 2]},
        lambda x: convolved(x, weight(6, 4, 3, 3), 2, (1, 1, 1, 1)),
        parameters=("Input", "Output"), weights={"Filter": weight(6, 4, 3, 3)},
    ),
    Case(
        "conv_last", "conv2d", (1, 2, 4, 6), {**CONV, "data_format": "NHWC"},
        last(lambda x: convolved(x, weight(6, 5, 3, 3), 2, (1, 1, 1, 1))),
        x=(1, 4, 7, 5), parameters=("Input", "Output"), weights={"Filter": weight(6, 5, 3, 3)},
    ),
    Case(
        "batch_norm_last", "batch_norm", X,
        {"data_layout": "NHWC", "epsilon": 1e-5, "momentum": 0.9}, normalized,
        parameters=("X", "Y"), weights=NORM,
    ),
    Case(
        "batch_norm_last_of_signals", "batch_norm", (1, 7, 5),
        {"data_layout": "NHWC", "epsilon": 1e-5, "momentum": 0.9}, normalized,
        x=(1, 7, 5), parameters=("X", "Y"), weights=NORM,
    ),
    Case(
        "group_norm_last", "group_norm", (1, 7, 5, 4), {**GROUP_NORM, "data_layout": "NHWC"},
        last(grouped), x=(1, 7, 5, 4), parameters=("X", "Y"), weights=GROUPS,
    ),
    Case(
        "group_norm_of_signals", "group_norm", (1, 4, 9), GROUP_NORM, grouped,
        x=(1, 4, 9), parameters=("X", "Y"), weights=GROUPS,
    ),
    Case(
        "prelu_last", "prelu", X, {"mode": "channel", "data_format": "NHWC"},
        lambda x: np.where(x > 0, x, SLOPES["Alpha"] * x), weights=SLOPES,
    ),
    Case(
        "pixel_shuffle_last", "pixel_shuffle", (1, 6, 4, 2),
        {"upscale_factor": 2, "data_format": "NHWC"}, last(depth_to_space), x=(1, 3, 2, 8),
    ),
    *(
        Case(
            f"resize_to_a_row_by_{by}", "bilinear_interp_v2", (1, 4, 1, 3), {**RESIZE, **sizes},
            first_row,
        )
        for by, sizes in (("size", {"out_h": 1, "out_w": 3}), ("scale", {"scale": [0.2, 0.6]}))
    ),
    Case(
        "resize_last_by_scale", "nearest_interp_v2", (1, 8, 14, 5),
        {**RESIZE, "interp_method": "nearest", "scale": [2.0, 2.0], "data_layout": "NHWC"},
        lambda x: x.repeat(2, 1).repeat(2, 2), x=(1, 4, 7, 5),
    ),
    Case(
        "circular", "pad3d", (1, 4, 10, 8),
        {"mode": "circular", "paddings": [1, 2, 0, 3, 0, 0], "data_format": "NCDHW"},
        lambda x: np.pad(x, ((0, 0), (0, 0), (0, 3), (1, 2)), mode="wrap"),
    ),
    Case("shuffle", "channel_shuffle", X, {"groups": 2, "data_format": "NCHW"}, shuffled),
    Case(
        "unshuffle", "pixel_unshuffle", (1, 16, 3, 2),
        {"downscale_factor": 2, "data_format": "NCHW"}, unshuffled, x=(1, 4, 6, 4),
    ),
    Case("celu", "celu", X, {"alpha": 0.7},
         lambda x: np.maximum(x, 0) + np.minimum(0.7 * np.expm1(x / 0.7), 0)),
    Case("gelu", "gelu", X, {"approximate": True}, gelu_tanh),
    Case("rrelu", "rrelu", X, {"lower": 0.1, "upper": 0.4, "is_test": True},
         lambda x: np.where(x > 0, x, 0.25 * x)),
    Case("softplus", "softplus", X, {"beta": 2.0, "threshold": 20.0},
         lambda x: np.log1p(np.exp(2 * x)) / 2),
    Case("stanh", "stanh", X, {"scale_a": 0.5, "scale_b": 1.5}, lambda x: 1.5 * np.tanh(0.5 * x)),
    Case("expm1", "expm1", X, {}, np.expm1),
    Case("trunc", "trunc", X, {}, np.trunc),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_operator_means_what_paddle_means(case: Case, tmp_path: Path) -> None:
    path = one_operator(
        tmp_path, case.kind, case.parameters, (case.x, case.y), case.attributes, case.weights
    )
    warned: list[Finding] = []
    graph = load(path, warn=warned.append)
    x = np.random.default_rng(0).uniform(-3, 3, case.x).astype(np.float32)
    feed = x.reshape(graph.tensors[graph.inputs[0]].shape)
    (found,) = session(write_float(graph)).run(None, {graph.inputs[0]: feed})
    expected = case.expected(x.astype(np.float64))
    assert expected.shape == case.y
    np.testing.assert_allclose(found.reshape(case.y), expected, rtol=1e-5, atol=1e-5)
    assert warned == []


@pytest.mark.parametrize(
    ("kind", "attributes", "shapes", "expected"),
    [
        ("channel_shuffle", {"groups": 2}, ((1, 7, 5, 4), (1, 7, 5, 4)), last(shuffled)),
        ("pixel_unshuffle", {"downscale_factor": 2}, ((1, 6, 4, 4), (1, 3, 2, 16)),
         last(unshuffled)),
    ],
)  # fmt: skip
def test_shuffles_with_the_channels_last(
    kind: str, attributes: dict[str, Attribute], shapes: Any, expected: Any, tmp_path: Path
) -> None:
    """Alone they leave nothing for the chip: what is converted runs in ONNX Runtime."""
    path = one_operator(tmp_path, kind, ("X", "Out"), shapes, {**attributes, "data_format": "NHWC"})
    x = np.random.default_rng(0).uniform(-3, 3, shapes[0]).astype(np.float32)
    (found,) = session(paddle.convert(path).data).run(None, {"x": x})
    np.testing.assert_array_equal(found, expected(x))


@given(st.integers(1, 60), st.integers(1, 60))
def test_bins_cover_everything(size: int, count: int) -> None:
    bins = paddle_forms._bins(size, count)
    assert bins[0][0] == 0
    assert bins[-1][1] == size
    assert all(0 < end - begin <= -(-size // count) + 1 for begin, end in bins)
    assert all(after[0] <= before[1] for before, after in pairwise(bins))


@pytest.mark.parametrize(
    ("size", "kernel", "strides", "pads"),
    [
        ((5, 6), (3, 2), (2, 3), (1, 1, 0, 0)),
        ((5, 7), (4, 3), (1, 2), (1, 2, 1, 1)),
        ((8, 9), (1, 5), (2, 4), (0, 0, 2, 2)),
        ((4, 1), (2, 3), (1, 1), (0, 1, 1, 1)),
    ],
)
def test_same_pads(size: Any, kernel: Any, strides: Any, pads: Any) -> None:
    """As many windows as strides begin in the picture; the odd row or column is at the end."""
    assert paddle_forms._same_pads(size, kernel, strides) == pads


class Node:
    """An operator of one input, filter and output, and the block that it stands in."""

    def __init__(self, shapes: dict[str, Any], attributes: dict[str, Any]) -> None:
        self.shape = shapes.__getitem__
        self.get = attributes.get
        self.written: dict[str, Any] | None = None

    def input(self, name: str) -> str:
        return name

    output = input

    def copy(self, operator: Node, **changed: Any) -> None:
        self.written = changed


KNOWN = "must read a picture of a known size"
DENSE = {"paddings": (1, 1), "strides": (2, 2), "output_size": (1,)}


@pytest.mark.parametrize(
    ("form", "read", "made", "attributes", "found"),
    [
        ("_convolution", (-1, 8), (), {}, f"SAME padding beside a dilation {KNOWN}"),
        ("_convolution", (8, -1), (), {}, f"SAME padding beside a dilation {KNOWN}"),
        ("_convolution", (5, 6), (), {"strides": (2, 3)}, ([1, 1, 0, 0], [1, 1], None)),
        ("_convolution", (5, 6), (), {"padding_algorithm": "VALID"}, None),
        ("_convolution", (5, 6), (), {"dilations": (1, 1)}, None),
        ("_transposed_convolution", (5, -1), (10, 11), DENSE,
         f"a transposed convolution with an output size {KNOWN}"),
        ("_transposed_convolution", (5, 6), (-1, 11), DENSE,
         f"a transposed convolution with an output size {KNOWN}"),
        ("_transposed_convolution", (5, 6), (10, 11), {**DENSE, "output_size": ()}, None),
        ("_transposed_convolution", (5, 6), (12, 12), DENSE, ([1] * 4, [2, 2], [1, 1])),
        ("_transposed_convolution", (5, 6), (13, 12), DENSE,
         "a transposed convolution to [13, 12] needs output padding of [2, 1]"),
        ("_transposed_convolution", (5, 6), (11, 10), DENSE,
         "a transposed convolution to [11, 10] needs output padding of [0, -1]"),
        ("_transposed_convolution", (5, 6), (12, 11), {**DENSE, "paddings": (0, 1, 2, 0)},
         ([0, 1, 2, 0], [2, 2], [0, 0])),
        ("_transposed_convolution", (5, 6), (13, 14), {**DENSE, "padding_algorithm": "VALID"},
         ([0] * 4, [2, 2], [0, 1])),
        ("_transposed_convolution", (5, 6), (10, 12), {**DENSE, "padding_algorithm": "SAME"},
         ([1, 1, 0, 0], [1, 1], [1, 0])),
    ],
)  # fmt: skip
def test_explicit_pads(form: str, read: Any, made: Any, attributes: Any, found: Any) -> None:
    """Kernels of 3 rows and 2 columns, dilated by 2."""
    shapes = {"Input": (1, 4, *read), "Filter": (4, 4, 3, 2), "Output": (1, 4, *made)}
    plain = {"padding_algorithm": "SAME" if form == "_convolution" else "EXPLICIT"}
    node: Any = Node(shapes, {**plain, "dilations": (2, 2), **attributes})
    said = getattr(paddle_forms, form)(node, node)
    if not isinstance(found, tuple):
        assert (said, node.written) == (found, None)
        return
    paddings, dilations, extra = found
    wanted = {"padding_algorithm": "EXPLICIT", "paddings": paddings, "dilations": dilations}
    if extra is not None:
        wanted |= {"output_padding": extra, "output_size": []}
    assert (said, node.written) == (None, wanted)


# ------------------------------------------------------------------ what is refused, or said


@pytest.mark.parametrize(
    ("kind", "x", "attributes", "reason"),
    [
        ("thresholded_relu", X, {"threshold": 0.3, "value": 0.1},
         "thresholded_relu must give 0 below its threshold, not 0.1"),
        ("softplus", X, {"beta": 1.0, "threshold": 5.0},
         "softplus with threshold 5 has a step there, which is not supported: "
         "20 is Paddle's default"),
        ("pool2d", (-1, 4, -1, -1), pooled("avg", (3, 3)),
         "an adaptive pool to [3, 3] must read a picture of a known size"),
        ("pool2d", (-1, 4, 7, -1), pooled("max", (3, 2)),
         "an adaptive pool to [3, 2] must read a picture of a known size"),
        ("pad3d", (1, 4, 5, 2),
         {"mode": "circular", "paddings": [1, 3, 0, 0], "data_format": "NCHW"},
         "circular padding by 3 must read a known size of at least that"),
        ("pad3d", (1, 4, 5, 6),
         {"mode": "circular", "paddings": [1, 3, 6, 2], "data_format": "NCHW"},
         "circular padding by 6 must read a known size of at least that"),
        ("group_norm", (1, 4, -1), GROUP_NORM,
         "group_norm must read features of a known size"),
        ("prelu", (1, 4), {"mode": "channel", "data_format": "NHWC"},
         "prelu with the channels last must read three or four axes"),
        ("pad3d", (1, 7, 5, 4), {"mode": "reflect", "paddings": [1, 1], "data_format": "NDHWC"},
         "pad3d with the channels last must pad with a constant, not by reflect"),
    ],
)  # fmt: skip
def test_no_exact_form(
    kind: str, x: tuple[int, ...], attributes: dict[str, Attribute], reason: str, tmp_path: Path
) -> None:
    path = one_operator(tmp_path, kind, ("X", "Out"), (x, x), attributes)
    with pytest.raises(UnsupportedError) as caught:
        load(path)
    assert caught.value.sentence == f"{path}: y: {reason}."
    assert [item.where for item in caught.value.findings] == ["y"]


def test_a_resize_to_one_of_an_unknown_size(tmp_path: Path) -> None:
    shapes = ((1, 4, -1, 5), (1, 4, 1, 5))
    path = one_operator(tmp_path, "bilinear_interp_v2", ("X", "Out"), shapes, RESIZE)
    with pytest.raises(UnsupportedError) as caught:
        load(path)
    assert caught.value.sentence == (
        f"{path}: y: bilinear_interp_v2 to [1, 5] must read a known size."
    )


def test_states_of_several_layers(tmp_path: Path) -> None:
    """The converter gives those of one: right while nothing reads them."""
    attributes: dict[str, Attribute] = {"mode": "LSTM", "num_layers": 2}
    shapes = ((7, 1, 4), (2, 1, 5))
    path = one_operator(tmp_path, "rnn", ("Input", "State"), shapes, attributes)
    with pytest.raises(UnsupportedError) as caught:
        paddle_forms.spelled_out(path.read_bytes(), path)
    assert caught.value.sentence == (
        f"{path}: rnn: the last states of 2 layers in one must not be read: a layer each has its "
        "own."
    )
    for parameters, layers in ((("Input", "Out"), 2), (("Input", "State"), 1)):
        path = one_operator(tmp_path, "rnn", parameters, shapes, {"num_layers": layers})
        assert paddle_forms.spelled_out(path.read_bytes(), path).rewritten == ()


def test_constant_pads_with_the_channels_last(tmp_path: Path) -> None:
    """Pad3D's order, from the last axis on, becomes that of the axes."""
    attributes: dict[str, Attribute] = {
        "mode": "constant", "paddings": [1, 2, 0, 3, 4, 0], "data_format": "NDHWC", "value": 0.5,
    }  # fmt: skip
    path = one_operator(
        tmp_path, "pad3d", ("X", "Out"), ((1, 2, 7, 5, 3), (1, 6, 10, 8, 3)), attributes
    )
    spelled = paddle_forms.spelled_out(path.read_bytes(), path)
    block = Block.of(parse_program(spelled.program, path))
    (made,) = (item for item in block.operators() if item.kind == "pad")
    assert made.get("paddings", ()) == (0, 0, 4, 0, 0, 3, 1, 2, 0, 0)
    assert (made.get("pad_value", 0.0), made.input("X"), made.output()) == (0.5, "x", "y")


def test_a_global_pool_needs_no_size(tmp_path: Path) -> None:
    shapes = ((-1, 4, -1, -1), (-1, 4, 1, 1))
    path = one_operator(tmp_path, "pool2d", ("X", "Out"), shapes, pooled("avg", (1, 1)))
    assert load(path, input_shapes=[(1, 4, 7, 5)]).tensors["x"].shape == X


def test_what_was_never_compared_is_said(tmp_path: Path) -> None:
    path = one_operator(tmp_path, "softshrink", ("X", "Out"), (X, X), {"lambda": 0.5})
    spelled = paddle_forms.spelled_out(path.read_bytes(), path)
    assert spelled.unknown == ("softshrink",)
    converted = paddle.Converted(b"", {}, spelled.unknown)
    plain = one_operator(tmp_path, "relu", ("X", "Out"), (X, X), {})
    model = paddle.checked(_source(plain), converted, path)
    (warning,) = model.warnings
    assert (warning.where, warning.severity) == ("softshrink", "warning")
    assert warning.sentence == (
        "how paddle2onnx converts softshrink has not been compared with Paddle"
    )


@pytest.mark.parametrize(
    ("said", "fits"),
    [
        (X, True), ((-1, *X[1:]), True), ((-1, 4, 6, -1), True), ((-1, 4, -1, 9), True),
        ((1, 4, X[2] + 1, X[3]), False), ((-1, 4, X[2] + 1, X[3]), False),
    ],
)  # fmt: skip
def test_what_a_program_leaves_open_is_not_compared_but_for_its_batch(
    tmp_path: Path, said: tuple[int, ...], fits: bool
) -> None:
    plain = one_operator(tmp_path, "relu", ("X", "Out"), (X, X), {})
    converted = paddle.Converted(b"", {"y": said}, ())
    if fits:
        assert paddle.checked(_source(plain), converted, plain).warnings == ()
        return
    with pytest.raises(ModelError, match="but the program says"):
        paddle.checked(_source(plain), converted, plain)


def test_another_shape_than_the_program_says(tmp_path: Path) -> None:
    """A program that says 8 rows of a pool to 3, which the converter believes to be 3."""
    path = one_operator(
        tmp_path, "pool2d", ("X", "Out"), (X, (1, 4, 8, 1)),
        {**POOL, "pooling_type": "max", "ksize": [3, 5], "strides": [2, 2], "adaptive": False},
    )  # fmt: skip
    with pytest.raises(ModelError) as caught:
        load(path)
    assert caught.value.sentence == (
        f"paddle2onnx gives y of {path} the shape [1, 4, 3, 1], but the program says [1, 4, 8, 1]."
    )


def test_inputs_of_other_sizes(tmp_path: Path) -> None:
    """A program may be read with another size, but not with bins for its own."""
    path = one_operator(tmp_path, "pool2d", ("X", "Out"), (X, (1, 4, 3, 3)), pooled("avg", (3, 3)))
    with pytest.raises(UnsupportedError) as caught:
        load(path, input_shapes=[(1, 4, 9, 9)])
    assert caught.value.sentence == (
        f"{path} must be read with x of shape [1, 4, 7, 5], not [1, 4, 9, 9]: its pool2d depends "
        "on it."
    )
    plain = one_operator(tmp_path, "relu", ("X", "Out"), (X, X), {})
    assert load(plain, input_shapes=[(1, 4, 9, 9)]).tensors["x"].shape == (1, 4, 9, 9)


def test_a_program_without_such_operators_stays_as_it_is(tmp_path: Path) -> None:
    path = one_operator(tmp_path, "relu", ("X", "Out"), (X, X), {})
    data = path.read_bytes()
    spelled = paddle_forms.spelled_out(data, path)
    assert spelled.program is data
    assert spelled.shapes == {"x": X, "y": X}
    block = Block.of(parse_program(data, path))
    assert [item.kind for item in block.operators()] == ["feed", "relu", "fetch"]


def _source(path: Path) -> Any:
    from knightlite.frontend.model_files import read_source

    return read_source(path)
