"""MatMul of two computed tensors, group by group: attention's products, QK^T and AV.

Pixels of x are multiplied by a matrix that lies in the second operand w, one for each of ``groups``
groups (heads) of channels. T pixels of x, J tokens of w:

- "keys": x [1, G*K, H, W], w [1, G*K, 1, J]:
  ``y[g*J + j, t] = sum_c w[g*K + c, j] x[g*K + c, t]``
- "values": x [1, G*J, H, W], w [1, G*N, 1, J]:
  ``y[g*N + n, t] = sum_j w[g*N + n, j] x[g*J + j, t]``
- "turned": keys with w as [1, J, 1, G*K], as the matrix engine can load it

Integer form: exact sums, one requantize, as a convolution without a bias. ``gain`` is a factor of
the result (1 / sqrt(K)).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from knightlite import dtypes, numerics
from knightlite.dtypes import DType
from knightlite.errors import UnsupportedError
from knightlite.ir import Attribute, Graph, GraphBuilder, Node, Tensor
from knightlite.ops.onnx_io import OnnxNode, OnnxWriter
from knightlite.ops.opdef import Constraint, OpDef, Region, View, as_inputs
from knightlite.ops.samples import feature, result

Array = NDArray[Any]
Shape = tuple[int, ...]
FORMS = ("keys", "values", "turned")
# without groups, and with channels split into groups; in one group "turned" is "values"
EQUATIONS = {
    "keys": ("nchw,nckj->njhw", "ngchw,ngckj->ngjhw"),
    "values": ("njhw,nmkj->nmhw", "ngjhw,ngmkj->ngmhw"),
    "turned": ("nchw,njkc->njhw", "ngchw,njkgc->ngjhw"),
}


def form(view: View) -> str:
    """How the matrices lie in the second operand."""
    return str(view.node.attributes["form"])


def depth(view: View) -> int:
    """Products that an output adds up: x's channels of a group."""
    return view.tensor(0).shape[1] // view.integer("groups")


def group_outputs(view: View) -> int:
    """Output channels of a group."""
    _, channels, _, tokens = view.tensor(1).shape
    return {
        "keys": tokens,
        "turned": channels,
        "values": channels // view.integer("groups"),
    }[form(view)]


def infer(view: View) -> Shape:
    """x's pixels, the matrices' rows as channels."""
    _, _, height, width = view.tensor(0).shape
    return (1, view.integer("groups") * group_outputs(view), height, width)


def split_shapes(view: View) -> tuple[Shape, Shape]:
    """Both operands with their channels (turned: pixels) split into groups."""
    groups = view.integer("groups")
    (_, inputs, height, width), (_, channels, _, tokens) = (view.tensor(i).shape for i in (0, 1))
    x = (1, groups, inputs // groups, height, width)
    if form(view) == "turned":
        return x, (1, channels, 1, groups, tokens // groups)
    return x, (1, groups, channels // groups, 1, tokens)


def accumulator(view: View) -> numerics.Accumulator:
    """What the products add up in."""
    return numerics.accumulator(view.tensor(0).dtype.bits, view.tensor(1).dtype.bits)


def requantize_parameters(view: View) -> numerics.Multiplier:
    """The one (m, q) of all channels; ValueError where the ratio is out of range."""
    return numerics.multiplier(_ratio(view), sums=accumulator(view))


def _ratio(view: View) -> float:
    return float(view.scale(0) * view.scale(1) * view.gain / view.output_scale)


def finest_products(view: View) -> float:
    """The finest scale of the result that a factor reaches."""
    return numerics.finest_scale(float(view.scale(0) * view.scale(1)) * abs(view.gain))


def reference(view: View, inputs: tuple[Array, ...]) -> Array:
    """Two integer tensors -> the requantized products of their matrices."""
    parts = (
        values.astype(np.int64).reshape(shape)
        for values, shape in zip(inputs, split_shapes(view), strict=True)
    )
    sums = np.einsum(EQUATIONS[form(view)][1], *parts, optimize=True).reshape(infer(view))
    wide = accumulator(view) is numerics.WIDE
    round_to = numerics.requantize_wide if wide else numerics.requantize
    return round_to(sums, requantize_parameters(view), view.output.dtype, *view.bounds)


def to_onnx(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """Einsum; around it a Reshape of each where there are groups."""
    plain, grouped = EQUATIONS[form(view)]
    if view.integer("groups") == 1:
        writer.node("Einsum", inputs, output, equation=plain)
        return
    split = [
        writer.reshaped(name, shape, f"{output}/{role}")
        for name, shape, role in zip(inputs, split_shapes(view), ("x", "w"), strict=True)
    ]
    made = writer.temporary("Einsum", split, f"{output}/groups", equation=grouped)
    shape = writer.constant(f"{output}/joined", np.array((0, *infer(view)[1:]), np.int64))
    writer.node("Reshape", [made, shape], output)


def to_golden(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """MatMul in float64, exact below 2^53, and the requantize."""
    groups, ins, outs = view.integer("groups"), depth(view), group_outputs(view)
    x, w = (writer.cast(name, TensorProto.DOUBLE, f"{output}/wide") for name in inputs)
    x = writer.reshaped(x, (1, groups, ins, -1), f"{output}/x")
    shape, order = {
        "keys": ((1, groups, ins, outs), [0, 1, 3, 2]),
        "turned": ((1, outs, groups, ins), [0, 2, 1, 3]),
        "values": ((1, groups, outs, ins), []),
    }[form(view)]
    w = writer.reshaped(w, shape, f"{output}/w")
    if order:
        w = writer.temporary("Transpose", [w], f"{output}/matrices", perm=order)
    sums = writer.temporary("MatMul", [w, x], f"{output}/sums")
    sums = writer.reshaped(sums, infer(view), f"{output}/acc")
    params, dtype = requantize_parameters(view), view.output.dtype
    if accumulator(view) is numerics.WIDE:
        unit = np.left_shift(np.int64(1), params.q)
        writer.rescale_whole(sums, params.m, unit, *view.bounds, dtype, output)
        return
    factor = float(np.ldexp(float(params.m[0]), -int(params.q[0])))
    writer.rescale(sums, factor, *view.bounds, dtype, output)


def region(view: View, index: int, rows: Region) -> Region:
    """x row by row; of the second operand all."""
    return rows if index == 0 else (0, view.tensor(1).shape[2])


def macs(view: View) -> int:
    """Multiply-accumulates of one picture."""
    return int(np.prod(view.output.shape)) * depth(view)


# ------------------------------------------------------------------ from ONNX


def form_of(equation: str) -> tuple[str, bool] | None:
    """The form of an Einsum's equation, and whether its channels are split into groups."""
    for name, equations in EQUATIONS.items():
        for grouped, known in enumerate(equations):
            if _renamed(equation) == _renamed(known):
                return name, bool(grouped)
    return None


def _renamed(equation: str) -> str:
    """The equation with its letters renamed in their order."""
    text = equation.replace(" ", "")
    letters = dict.fromkeys(letter for letter in text if letter.isalpha())
    return text.translate({ord(old): chr(97 + new) for new, old in enumerate(letters)})


def from_onnx(node: OnnxNode, builder: GraphBuilder) -> None:
    """An Einsum of two features that is one of these products; ``groups``: with their number."""
    found = form_of(str(node.attributes["equation"]))
    if found is None or len(node.inputs) != 2 or node.constants:
        raise UnsupportedError(
            f"Einsum {node.name} must multiply two features as attention does, "
            f"{' or '.join(EQUATIONS[name][0] for name in FORMS)}, "
            f"not {node.attributes['equation']}.",
            "write it as a MatMul, with Transposes and Reshapes around it",
        )
    groups = int(node.attributes.get("groups", 1))
    builder.node("MatMul", node.inputs, node.output, {"groups": groups, "form": found[0]})


# ------------------------------------------------------------------ constraints and samples


def _case(
    name: str,
    kind: str,
    groups: int,
    sizes: tuple[int, int, int, int],
    types: tuple[DType, DType, DType],
    *,
    ratio: float = 1.0,
    second: Shape | None = None,
    **more: Attribute,
) -> Graph:
    """``sizes``: depth and outputs of a group, rows and columns of x."""
    ins, outs, height, width = sizes
    shapes: dict[str, Shape] = {
        "keys": (groups * ins, 1, outs),
        "turned": (outs, 1, groups * ins),
        "values": (groups * outs, 1, ins),
    }
    builder = GraphBuilder(name)
    feature(builder, "x", (groups * ins, height, width), types[0], 0.02)
    channels, rows, columns = second or shapes[kind]
    feature(builder, "w", (channels, rows, columns), types[1], 0.03)
    largest = [item.maximum * ins**0.25 for item in types[:2]]
    scale = 0.02 * 0.03 * largest[0] * largest[1] / types[2].maximum / ratio
    node = Node("y", "MatMul", ("x", "w"), ("y",), {"groups": groups, "form": kind, **more})
    graph = result(builder, node, (), types[2], scale)
    y = graph.tensors["y"]
    shape = infer(View(graph, node))
    return graph.with_tensors([Tensor("y", shape, y.dtype, y.scale)])


U8, S8, S16 = dtypes.U8, dtypes.S8, dtypes.S16


def samples() -> tuple[Graph, ...]:
    """All forms, types and gains; one head and several; more than fits at once."""
    return (
        _case("keys", "keys", 1, (16, 21, 3, 5), (S8, S8, S8)),
        _case("keys_heads", "keys", 3, (8, 21, 1, 21), (S8, S8, S16), gain=0.375),
        _case("keys_u8", "keys", 2, (5, 9, 4, 3), (U8, U8, U8)),
        _case("keys_tiles", "keys", 2, (72, 150, 6, 25), (S8, S8, S8)),
        _case("keys_deep", "keys", 1, (300, 90, 9, 10), (U8, S8, S8)),
        _case("turned", "turned", 3, (12, 20, 3, 7), (S8, S8, U8), clamp=(0.0, float("inf"))),
        _case("values", "values", 1, (21, 16, 3, 5), (U8, S8, S8)),
        _case("values_heads", "values", 3, (21, 8, 1, 21), (U8, S8, S8)),
        _case("values_u8", "values", 2, (9, 6, 4, 3), (U8, U8, U8), gain=0.5),
        _case("values_tiles", "values", 2, (300, 70, 5, 12), (S8, U8, S8)),
        _case("wide", "keys", 2, (12, 17, 2, 6), (S16, S16, S16)),
        _case("wide_w", "values", 2, (40, 24, 4, 5), (U8, S16, S8)),
        _case("wide_x", "values", 1, (90, 33, 5, 9), (S16, S8, S16)),
    )


def _check_shapes(view: View) -> str | None:
    groups, (x, w) = view.integer("groups"), (view.tensor(0).shape, view.tensor(1).shape)
    kind = form(view)
    sides = {"keys": (w[1], w[1]), "turned": (w[3], w[3]), "values": (w[3] * groups, w[1])}
    wanted, divided = sides[kind]
    if w[2] == 1 and x[1] == wanted and groups > 0 and not (x[1] % groups or divided % groups):
        return None
    return (
        f'the second operand of "{kind}" in {groups} groups must have one row and fit the '
        f"{x[1]} channels of the first, not be {w}"
    )


def _check_ratio(view: View) -> str | None:
    limits, ratio = accumulator(view), _ratio(view)
    if limits.min_ratio <= ratio < numerics.MAX_RATIO:
        return None
    least = numerics.MULTIPLIER_BITS - 1 - limits.max_shift
    return (
        f"the product of the input scales / output scale must lie in [2^{least}, 2^15), "
        f"not be {ratio:.3g}"
    )


def _check_accumulator(view: View) -> str | None:
    limits = accumulator(view)
    most = depth(view)
    for index in (0, 1):
        dtype = view.tensor(index).dtype
        most *= max(-dtype.minimum, dtype.maximum)
    if most <= limits.maximum:
        return None
    return (
        f"the accumulator must stay within {limits.bits} bits, but sums of {depth(view)} products "
        f"can reach {most} (2^{limits.bits - 1} = {limits.maximum + 1})"
    )


MATMUL = OpDef(
    name="MatMul",
    onnx_types=("Einsum",),
    also_from=("MatMul",),
    from_onnx=from_onnx,
    infer=infer,
    to_onnx=to_onnx,
    reference=reference,
    to_golden=to_golden,
    region=region,
    macs=macs,
    constraints=(
        Constraint(
            "the second operand has one row, and channels and tokens that fit the first's groups",
            _check_shapes,
            lambda: _case("rows", "keys", 2, (4, 6, 3, 3), (S8, S8, S8), second=(8, 2, 3)),
            structural=True,
        ),
        Constraint(
            "product of the input scales / output scale lies in [2^-17, 2^15), from 2^-33 on where "
            "an operand has 16 bits",
            _check_ratio,
            lambda: _case("ratio", "keys", 1, (4, 6, 3, 3), (S8, S8, S8), ratio=1e-8),
        ),
        Constraint(
            "the accumulator fits 32 bits, 48 where an operand has 16",
            _check_accumulator,
            lambda: _case("overflow", "values", 1, (65000, 2, 1, 1), (U8, U8, S16)),
        ),
    ),
    samples=samples,
    nonnegative=as_inputs,
    clampable=True,
    finest_step=finest_products,
    scalable=True,
    reads_axes=True,
)
