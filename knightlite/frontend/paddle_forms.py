"""Paddle operators that paddle2onnx approximates, fills with defaults or lacks, spelled out.

Before the conversion each such operator is replaced by operators of Paddle that are converted
exactly and mean the same. What has no such form is refused, with all others at once. Which
operators are exact as they are has been compared with Paddle itself, form by form; a program that
holds any other operator is converted with a warning.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from knightlite.errors import Finding, UnsupportedError
from knightlite.frontend import paddle_program
from knightlite.frontend.paddle_program import Block, Operator, Shape

Rule = Callable[[Block, Operator], str | None]

# NHWC to NCHW and back, NLC to NCL and back
TO_FIRST: Mapping[int, Shape] = {4: (0, 3, 1, 2), 3: (0, 2, 1)}
TO_LAST: Mapping[int, Shape] = {4: (0, 2, 3, 1), 3: (0, 2, 1)}
LAST = ("NHWC", "NDHWC", "NLC")


@dataclass(frozen=True, slots=True)
class Spelled:
    """A program in forms that are converted exactly, as bytes; its variables' shapes.

    ``unknown``: kinds of operators that have not been compared with Paddle; ``rewritten``: kinds of
    operators in other forms, which hold for these shapes only.
    """

    program: bytes
    shapes: Mapping[str, Shape]
    unknown: tuple[str, ...]
    rewritten: tuple[str, ...] = ()


def spelled_out(data: bytes, where: Path) -> Spelled:
    """The program with every operator in a form that is converted exactly.

    ModelError where it is no program; UnsupportedError with every operator that has no such form.
    """
    program = paddle_program.parse_program(data, where)
    block = Block.of(program)
    shapes = dict(block.shapes)
    kinds = dict.fromkeys(operator.kind for operator in block.operators())
    unknown = tuple(kind for kind in kinds if kind not in COMPARED and kind not in RULES)
    findings: list[Finding] = []
    rewritten = []
    changed: dict[str, None] = {}
    for operator in block.operators():
        block.made.clear()
        reason = _spell_out(block, operator)
        if reason is not None:
            findings.append(Finding(operator.output() or operator.kind, reason))
        if block.made:
            changed[operator.kind] = None
        rewritten += block.made or [_copied(operator)]
    if findings:
        first = findings[0]
        more = "" if len(findings) == 1 else f" and {len(findings) - 1} more"
        raise UnsupportedError(
            f"{where}: {first.where}: {first.sentence}{more}.",
            "replace these operators, or convert the model elsewhere and pass the .onnx",
            findings,
        )
    if changed:
        block.replace(rewritten)
        data = bytes(program.SerializeToString(deterministic=True))
    return Spelled(data, shapes, unknown, tuple(changed))


def _copied(operator: Operator) -> object:
    made = type(operator.message)()
    made.CopyFrom(operator.message)
    return made


def _spell_out(block: Block, operator: Operator) -> str | None:
    """Append what stands for the operator, if anything; the reason why nothing can, or None."""
    if _is_last(operator):
        return _first_order(block, operator)
    rule = RULES.get(operator.kind)
    return None if rule is None else rule(block, operator)


# ------------------------------------------------------------------ order of axes


def _is_last(operator: Operator) -> bool:
    """True where the operator computes with the channels as the last axis."""
    order = operator.get("data_format", operator.get("data_layout", ""))
    return operator.kind in OF_PICTURES and order in LAST


def _first_order(block: Block, operator: Operator) -> str | None:
    """The operator between two transposes; what it becomes there is spelled out as well."""
    parameter, result = OF_PICTURES[operator.kind]
    x, y = operator.input(parameter), operator.output(result)
    rank = len(block.shape(x))
    if rank not in TO_FIRST:
        return f"{operator.kind} with the channels last must read three or four axes"
    inner_x = _transposed(block, x, TO_FIRST[rank])
    shape = block.shape(y)
    inner_y = block.variable(y, tuple(shape[axis] for axis in TO_FIRST[rank]))
    changes = {"data_format": "NCHW"}
    if operator.get("data_layout", ""):
        changes = {"data_layout": "NCHW"}
    before = list(block.made)
    block.copy(operator, {parameter: inner_x}, {result: inner_y}, **changes)
    turned = Operator(block.made.pop())
    block.made.clear()
    rule = RULES.get(operator.kind)
    reason = None if rule is None else rule(block, turned)
    inner = list(block.made) or [turned.message]
    block.made[:] = [*before, *inner]
    _transpose(block, inner_y, y, TO_LAST[rank])
    return reason


def _transposed(block: Block, x: str, order: Shape) -> str:
    shape = block.shape(x)
    y = block.variable(x, tuple(shape[axis] for axis in order))
    _transpose(block, x, y, order)
    return y


def _transpose(block: Block, x: str, y: str, order: Shape) -> None:
    block.append("transpose2", {"X": x}, {"Out": y}, axis=list(order))


def _reshape(block: Block, x: str, y: str) -> None:
    block.append("reshape2", {"X": x}, {"Out": y}, shape=list(block.shape(y)))


# ------------------------------------------------------------------ pools


def _bins(size: int, count: int) -> list[tuple[int, int]]:
    """Where each of ``count`` bins of an adaptive pool begins and ends in ``size`` values."""
    return [(k * size // count, -((-(k + 1) * size) // count)) for k in range(count)]


def _adaptive_pool(block: Block, operator: Operator) -> str | None:
    """Bins of unlike sizes are pools of their own; the converter takes one size for all."""
    if not operator.get("adaptive", False):
        return None
    x, y = operator.input("X"), operator.output()
    size, counts = block.shape(x)[2:], operator.get("ksize", ())
    if all(count == 1 for count in counts):
        return None
    if len(size) != 2 or min(size) < 1:
        return f"an adaptive pool to {list(counts)} must read a picture of a known size"
    if all(extent % count == 0 for extent, count in zip(size, counts, strict=True)):
        return None
    rows = [_pieces(block, operator, row, counts[1], 3) for row in _slices(block, x, counts[0], 2)]
    _concat(block, [_concat(block, row, 3, None) for row in rows], 2, y)
    return None


def _slices(block: Block, x: str, count: int, axis: int) -> list[str]:
    """The bins of ``x`` along an axis, or ``x`` itself where they are alike."""
    size = block.shape(x)[axis]
    return [_slice(block, x, axis, begin, end) for begin, end in _bins(size, count)]


def _pieces(block: Block, operator: Operator, x: str, count: int, axis: int) -> list[str]:
    """One pooled value per bin of a row of bins."""
    found = []
    for piece in _slices(block, x, count, axis):
        made = block.variable(piece, (*block.shape(piece)[:2], 1, 1))
        block.append(
            "pool2d", {"X": piece}, {"Out": made},
            pooling_type="max" if "index" in operator.kind else operator.get("pooling_type", "max"),
            ksize=[1, 1], strides=[1, 1], paddings=[0, 0], global_pooling=True, adaptive=False,
            ceil_mode=False, exclusive=True, data_format="NCHW", padding_algorithm="EXPLICIT",
        )  # fmt: skip
        found.append(made)
    return found


def _slice(block: Block, x: str, axis: int, begin: int, end: int) -> str:
    shape = block.shape(x)
    if (begin, end) == (0, shape[axis]):
        return x
    y = block.variable(x, (*shape[:axis], end - begin, *shape[axis + 1 :]))
    block.append(
        "slice", {"Input": x}, {"Out": y},
        axes=[axis], starts=[begin], ends=[end], infer_flags=[1], decrease_axis=[],
    )  # fmt: skip
    return y


def _concat(block: Block, parts: list[str], axis: int, y: str | None) -> str:
    """The parts one after the other, as variable ``y`` or a new one."""
    if len(parts) == 1 and y is None:
        return parts[0]
    shape = list(block.shape(parts[0]))
    shape[axis] = sum(block.shape(item)[axis] for item in parts)
    made = block.variable(parts[0], tuple(shape)) if y is None else y
    block.append("concat", {"X": parts}, {"Out": made}, axis=axis)
    return made


# ------------------------------------------------------------------ convolutions


def _convolution(block: Block, operator: Operator) -> str | None:
    """SAME padding: Paddle then takes a dilation of 1, which the converter refuses."""
    dilations = operator.get("dilations", (1, 1))
    if operator.get("padding_algorithm", "") != "SAME" or set(dilations) == {1}:
        return None
    size, kernel = block.shape(operator.input("Input"))[2:], block.shape(operator.input("Filter"))
    if min(size) < 1:
        return "SAME padding beside a dilation must read a picture of a known size"
    pads = _same_pads(size, kernel[2:], operator.get("strides", (1, 1)))
    block.copy(
        operator, padding_algorithm="EXPLICIT", paddings=list(pads), dilations=[1] * len(size)
    )
    return None


def _same_pads(size: Shape, kernel: Shape, strides: Shape) -> Shape:
    """Paddle's SAME: begin and end of every axis in turn."""
    pads: list[int] = []
    for extent, width, stride in zip(size, kernel, strides, strict=True):
        total = max((-(-extent // stride) - 1) * stride + width - extent, 0)
        pads += [total // 2, total - total // 2]
    return tuple(pads)


def _transposed_convolution(block: Block, operator: Operator) -> str | None:
    """An output size, or SAME padding: explicit pads, and what the output has beyond them."""
    algorithm = operator.get("padding_algorithm", "EXPLICIT")
    if algorithm != "SAME" and not any(operator.get("output_size", ())):
        return None
    size = block.shape(operator.input("Input"))[2:]
    wanted = block.shape(operator.output("Output"))[2:]
    kernel = block.shape(operator.input("Filter"))[2:]
    if min(*size, *wanted) < 1:
        return "a transposed convolution with an output size must read a picture of a known size"
    strides = operator.get("strides", (1, 1))
    dilations = operator.get("dilations", (1, 1))
    pads = operator.get("paddings", (0, 0))
    if algorithm == "VALID":
        pads = (0,) * len(size)
    if algorithm == "SAME":
        pads, dilations = _same_pads(size, kernel, strides), (1,) * len(size)
    elif len(pads) == len(size):
        pads = tuple(item for item in pads for _ in range(2))
    extra = []
    for axis, extent in enumerate(size):
        covered = (extent - 1) * strides[axis] + dilations[axis] * (kernel[axis] - 1) + 1
        extra.append(wanted[axis] - (covered - pads[2 * axis] - pads[2 * axis + 1]))
    if any(not 0 <= item < stride for item, stride in zip(extra, strides, strict=True)):
        return f"a transposed convolution to {list(wanted)} needs output padding of {extra}"
    block.copy(
        operator, padding_algorithm="EXPLICIT", paddings=list(pads), dilations=list(dilations),
        output_padding=extra, output_size=[],
    )  # fmt: skip
    return None


# ------------------------------------------------------------------ pads and places


def _pad(block: Block, operator: Operator) -> str | None:
    """Circular: slices of the other side, joined. Constant with the channels last: by axis."""
    mode, last = operator.get("mode", "constant"), operator.get("data_format", "") in LAST
    x, y = operator.input("X"), operator.output()
    pads, shape = operator.get("paddings", ()), block.shape(x)
    if mode == "constant" and last:
        pairs = [pads[begin : begin + 2] for begin in range(0, len(pads), 2)]
        by_axis = [0, 0, *(item for pair in pairs[::-1] for item in pair), 0, 0]
        value = float(operator.get("value", 0.0))
        block.append("pad", {"X": x}, {"Out": y}, paddings=by_axis, pad_value=value)
        return None
    if last:
        return f"pad3d with the channels last must pad with a constant, not by {mode}"
    if mode != "circular":
        return None
    for number, axis in enumerate(range(len(shape) - 1, 1, -1)):  # left, right, top, bottom, ...
        begin, end = pads[2 * number : 2 * number + 2]
        size = block.shape(x)[axis]
        if size < max(begin, end, 1):
            return f"circular padding by {max(begin, end)} must read a known size of at least that"
        parts = [_slice(block, x, axis, size - begin, size)] if begin else []
        parts.append(x)
        parts += [_slice(block, x, axis, 0, end)] if end else []
        x = _concat(block, parts, axis, y if axis == 2 else None)
    return None


def _channel_shuffle(block: Block, operator: Operator) -> str | None:
    groups = operator.get("groups", 1)
    batch, channels, height, width = block.shape(operator.input("X"))
    split = block.variable(operator.output(), (batch, groups, channels // groups, height, width))
    _reshape(block, operator.input("X"), split)
    _reshape(block, _transposed(block, split, (0, 2, 1, 3, 4)), operator.output())
    return None


def _pixel_unshuffle(block: Block, operator: Operator) -> str | None:
    factor = operator.get("downscale_factor", 1)
    batch, channels, height, width = block.shape(operator.input("X"))
    if min(height, width) < 1:
        return "pixel_unshuffle must read a picture of a known size"
    sizes = (batch, channels, height // factor, factor, width // factor, factor)
    split = block.variable(operator.output(), sizes)
    _reshape(block, operator.input("X"), split)
    _reshape(block, _transposed(block, split, (0, 1, 3, 5, 2, 4)), operator.output())
    return None


def _linear_resize(block: Block, operator: Operator) -> str | None:
    """To a single row or column Paddle takes the first, where ONNX takes the one in the middle."""
    x, y = operator.input("X"), operator.output()
    size, wanted = block.shape(x)[2:], block.shape(y)[2:]
    first = x
    for axis, (extent, made) in enumerate(zip(size, wanted, strict=True), start=2):
        if made == 1 and extent != 1:
            first = _slice(block, first, axis, 0, 1)
    if first == x:
        return None
    if min(*size, *wanted) < 1:
        return f"{operator.kind} to {list(wanted)} must read a known size"
    height, width = (1, *wanted)[-2:]  # a signal has no rows, and nothing reads how many
    block.copy(operator, {"X": first}, scale=[], out_h=height, out_w=width)
    return None


def _group_norm(block: Block, operator: Operator) -> str | None:
    """The converter reads pictures only: a signal is one of a single row."""
    x, y = operator.input("X"), operator.output("Y")
    if len(block.shape(x)) == 4:
        return None
    batch, channels, *rest = block.shape(x)
    if min(rest, default=0) < 1:
        return "group_norm must read features of a known size"
    shape = (batch, channels, 1, math.prod(rest))
    inner_x, inner_y = block.variable(x, shape), block.variable(y, shape)
    _reshape(block, x, inner_x)
    block.copy(operator, {"X": inner_x}, {"Y": inner_y})
    _reshape(block, inner_y, y)
    return None


def _recurrent(block: Block, operator: Operator) -> str | None:
    """The converter gives the last states of a single layer, however many there are."""
    states = {name for item in operator.message.outputs if item.parameter == "State"
              for name in item.arguments}  # fmt: skip
    layers = operator.get("num_layers", 1)
    if layers == 1 or not any(states.intersection(item.arguments) for reader in block.operators()
                              for item in reader.message.inputs):  # fmt: skip
        return None
    return f"the last states of {layers} layers in one must not be read: a layer each has its own"


# ------------------------------------------------------------------ functions


def _unary(block: Block, kind: str, x: str, y: str | None = None, **attributes: float) -> str:
    made = block.variable(x, block.shape(x)) if y is None else y
    block.append(kind, {"X": x}, {"Out": made}, **attributes)
    return made


def _scale(block: Block, x: str, scale: float, bias: float = 0.0, y: str | None = None) -> str:
    made = block.variable(x, block.shape(x)) if y is None else y
    block.append("scale", {"X": x}, {"Out": made}, scale=scale, bias=bias, bias_after_scale=True)
    return made


def _product(block: Block, x: str, z: str, y: str | None = None) -> str:
    made = block.variable(x, block.shape(x)) if y is None else y
    block.append("elementwise_mul", {"X": x, "Y": z}, {"Out": made}, axis=-1)
    return made


def _celu(block: Block, operator: Operator) -> str | None:
    alpha = float(operator.get("alpha", 1.0))
    inner = _scale(block, operator.input("X"), 1 / alpha)
    _scale(block, _unary(block, "elu", inner, alpha=1.0), alpha, y=operator.output())
    return None


def _gelu(block: Block, operator: Operator) -> str | None:
    """The tanh form: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), where it is asked for."""
    if not operator.get("approximate", False):
        return None
    x = operator.input("X")
    cubic = _product(block, x, _scale(block, _product(block, x, x), 0.044715, 1.0))
    bent = _unary(block, "tanh", _scale(block, cubic, math.sqrt(2 / math.pi)))
    _product(block, x, _scale(block, bent, 0.5, 0.5), operator.output())
    return None


def _rrelu(block: Block, operator: Operator) -> str | None:
    """In inference: a LeakyReLU with the mean of the bounds."""
    slope = (operator.get("lower", 0.125) + operator.get("upper", 1 / 3)) / 2
    _unary(block, "leaky_relu", operator.input("X"), operator.output(), alpha=float(slope))
    return None


def _softplus(block: Block, operator: Operator) -> str | None:
    """log(1 + exp(beta x)) / beta; beyond the threshold, x: there the two differ by exp(-it)."""
    beta, threshold = operator.get("beta", 1.0), operator.get("threshold", 20.0)
    if (beta, threshold) == (1.0, 20.0):
        return None
    if threshold < 15.0:  # log1p(exp(-15)) is 3e-7
        return (
            f"softplus with threshold {threshold:g} has a step there, which is not supported: "
            "20 is Paddle's default"
        )
    inner = _scale(block, operator.input("X"), float(beta))
    made = _unary(block, "softplus", inner, beta=1.0, threshold=20.0)
    _scale(block, made, 1 / float(beta), y=operator.output())
    return None


def _stanh(block: Block, operator: Operator) -> str | None:
    inner = _scale(block, operator.input("X"), float(operator.get("scale_a", 0.67)))
    scale = float(operator.get("scale_b", 1.7159))
    _scale(block, _unary(block, "tanh", inner), scale, y=operator.output())
    return None


def _expm1(block: Block, operator: Operator) -> str | None:
    _scale(block, _unary(block, "exp", operator.input("X")), 1.0, -1.0, operator.output())
    return None


def _trunc(block: Block, operator: Operator) -> str | None:
    x = operator.input("X")
    whole = _unary(block, "floor", _unary(block, "abs", x))
    _product(block, _unary(block, "sign", x), whole, operator.output())
    return None


def _thresholded(block: Block, operator: Operator) -> str | None:
    value = operator.get("value", 0.0)
    if value == 0:
        return None
    return f"thresholded_relu must give 0 below its threshold, not {value:g}"


def _larger(block: Block, operator: Operator) -> str | None:
    """fmax and fmin: maximum and minimum where nothing is NaN."""
    kind = {"elementwise_fmax": "elementwise_max", "elementwise_fmin": "elementwise_min"}
    inputs = {"X": operator.input("X"), "Y": operator.input("Y")}
    axis = int(operator.get("axis", -1))
    block.append(kind[operator.kind], dict(inputs), {"Out": operator.output()}, axis=axis)
    return None


RULES: dict[str, Rule] = {
    "bilinear_interp_v2": _linear_resize,
    "celu": _celu,
    "channel_shuffle": _channel_shuffle,
    "conv2d": _convolution,
    "conv2d_transpose": _transposed_convolution,
    "depthwise_conv2d": _convolution,
    "depthwise_conv2d_transpose": _transposed_convolution,
    "elementwise_fmax": _larger,
    "elementwise_fmin": _larger,
    "expm1": _expm1,
    "gelu": _gelu,
    "group_norm": _group_norm,
    "linear_interp_v2": _linear_resize,
    "max_pool2d_with_index": _adaptive_pool,
    "pad3d": _pad,
    "pixel_unshuffle": _pixel_unshuffle,
    "pool2d": _adaptive_pool,
    "rnn": _recurrent,
    "rrelu": _rrelu,
    "softplus": _softplus,
    "stanh": _stanh,
    "thresholded_relu": _thresholded,
    "trunc": _trunc,
}
# operators that may have the channels last: the parameters of their picture and their output
OF_PICTURES: dict[str, tuple[str, str]] = {
    "batch_norm": ("X", "Y"),
    "bilinear_interp_v2": ("X", "Out"),
    "conv2d": ("Input", "Output"),
    "channel_shuffle": ("X", "Out"),
    "conv2d_transpose": ("Input", "Output"),
    "depthwise_conv2d": ("Input", "Output"),
    "group_norm": ("X", "Y"),
    "nearest_interp_v2": ("X", "Out"),
    "pixel_shuffle": ("X", "Out"),
    "pixel_unshuffle": ("X", "Out"),
    "pool2d": ("X", "Out"),
    "prelu": ("X", "Out"),
}
# compared with Paddle itself, and exact as they are (tests/conformance/layer_forms.py)
COMPARED = (
    "abs", "arg_max", "assign", "assign_value", "batch_norm", "bmm", "brelu", "cast", "ceil",
    "clip", "concat", "conv2d", "conv2d_transpose", "cos", "depthwise_conv2d",
    "depthwise_conv2d_transpose", "dropout", "elementwise_add", "elementwise_div",
    "elementwise_floordiv", "elementwise_max", "elementwise_min", "elementwise_mul",
    "elementwise_pow", "elementwise_sub", "elu", "erf", "exp", "expand_as_v2", "expand_v2",
    "feed", "fetch", "fill_any_like", "fill_constant", "flatten_contiguous_range", "flip",
    "floor", "gather", "hard_sigmoid", "hard_swish", "index_select", "instance_norm",
    "layer_norm", "leaky_relu", "linspace", "log", "log10", "log1p", "log2", "log_softmax",
    "logsigmoid", "logsumexp", "matmul_v2", "meshgrid", "mish", "nearest_interp_v2", "p_norm",
    "pad", "pixel_shuffle", "pow", "prelu", "range", "reciprocal", "reduce_max", "reduce_mean",
    "reduce_min", "reduce_sum", "relu", "relu6", "repeat_interleave", "reshape2", "roll",
    "round", "rsqrt", "scale", "selu", "shape", "sigmoid", "sign", "silu", "sin", "slice",
    "softmax", "softsign", "split", "sqrt", "square", "squeeze2", "stack", "strided_slice",
    "sum", "swish", "tanh", "tanh_shrink", "temporal_shift", "tile", "transpose2", "tril_triu",
    "unbind", "unfold", "unsqueeze2", "unstack",
)  # fmt: skip
