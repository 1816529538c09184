"""Tables of 16-bit tensors: 2^lut_len + 1 entries and straight lines between them (numerics 5).

What that makes of every one of the 65536 inputs is held to the function itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from knightlite import numerics
from knightlite.errors import UsageError
from knightlite.ir import Attribute, Graph, Node
from knightlite.ops.onnx_io import OnnxWriter
from knightlite.ops.opdef import View
from knightlite.ops.table_functions import evaluate

Array = NDArray[Any]
LUT_LEN = "lut_len"  # the attribute; without it numerics.LUT_LENGTH
LUT_METADATA = "knightlite.lut_len"  # of a QDQ file: JSON, tensor that a Table makes -> length
# Rounded to a step, result and function are at most one step apart if they are less than 1.5 steps
# apart where the function is not rounded. The rest is for float32 kernels that differ in a digit.
FURTHEST = 1.4


def is_interpolated(view: View) -> bool:
    """True where the input has 16 bits."""
    return view.tensor(0).dtype.bits == 16


def lut_length(view: View) -> int:
    """log2 of the intervals of an interpolated table."""
    value = view.node.attributes.get(LUT_LEN, numerics.LUT_LENGTH)
    assert isinstance(value, int)
    return value


def with_lut_length(graph: Graph, length: int) -> Graph:
    """The graph with tables of 2^length intervals where their input has, or gets, 16 bits."""
    if length not in numerics.LUT_LENGTHS:
        raise UsageError(f"lut_len must lie in 8 to 12 (a table of 2^8 to 2^12), not {length}.")
    return with_lut_lengths(
        graph, {node.output: length for node in graph.nodes if node.op == "Table"}
    )


def with_lut_lengths(graph: Graph, lengths: Mapping[str, int]) -> Graph:
    """The graph with the Tables that make these tensors so long; the usual length is not noted."""
    nodes = []
    for node in graph.nodes:
        length = lengths.get(node.output)
        if node.op == "Table" and length is not None:
            attributes = {key: value for key, value in node.attributes.items() if key != LUT_LEN}
            if length != numerics.LUT_LENGTH:
                attributes[LUT_LEN] = length
            node = replace(node, attributes=attributes)
        nodes.append(node)
    return graph.with_nodes(nodes)


def table_bytes(view: View) -> int:
    """Bytes of a node's table: an entry of its output's type for each of 256 inputs, or lines."""
    if is_interpolated(view):
        return 2 * ((1 << lut_length(view)) + 1)
    return 256 * view.output.dtype.size_bytes


def lut_lengths(graph: Graph) -> dict[str, int]:
    """The tensors that interpolated tables of an unusual length make, with that."""
    views = [View(graph, node) for node in graph.nodes if LUT_LEN in node.attributes]
    return {view.node.output: lut_length(view) for view in views if is_interpolated(view)}


def interval(view: View) -> int:
    """Inputs from one entry of an interpolated table to the next."""
    return 1 << (numerics.INPUT_BITS - lut_length(view))


@lru_cache(maxsize=16)
def _curve(attributes: tuple[tuple[str, Attribute], ...], scale: float) -> Array:
    """The function at -32768..32768 steps of ``scale``: all inputs s16 and the last breakpoint."""
    node = Node("", "Table", (), (), dict(attributes))
    codes = np.arange(-(1 << 15), (1 << 15) + 1)
    return evaluate(node, codes.astype(np.float32) * np.float32(scale))


def curve(view: View) -> Array:
    """The function's float32 values [65537] at every s16 input, and at 32768."""
    return _curve(tuple(sorted(view.node.attributes.items())), float(view.scale(0)))


def interpolated_entries(view: View) -> tuple[Array, int]:
    """The 2^lut_len + 1 entries, and how many of their bits are fraction."""
    points = curve(view)[:: interval(view)]
    return numerics.interpolated_entries(points, float(view.output_scale), view.output.dtype)


def furthest(view: View) -> float:
    """Over all s16 inputs, how far an interpolated table is from the function, in output steps.

    The function is not rounded, only saturated: half a step is the least there can be.
    """
    dtype = view.output.dtype
    y = curve(view)[:-1].astype(np.float64)
    wanted = np.clip(np.where(np.isnan(y), 0, y) / view.output_scale, dtype.minimum, dtype.maximum)
    found = numerics.interpolate(np.arange(-(1 << 15), 1 << 15), *interpolated_entries(view), dtype)
    return float(np.max(np.abs(found - wanted)))


def finest_step(view: View) -> float:
    """The output scale in which lines between s16 entries stay within a step of the function.

    Entry and result are each rounded by half a step; the rest of FURTHEST is for the lines. And
    nothing may saturate: a line across the end of the range would be far off.
    """
    if not is_interpolated(view):
        return 0.0
    attributes = tuple(sorted(view.node.attributes.items()))
    return _finest(attributes, float(view.scale(0)), interval(view), int(view.output.dtype.maximum))


@lru_cache(maxsize=1024)  # a search over widths asks again and again
def _finest(
    attributes: tuple[tuple[str, Attribute], ...], scale: float, step: int, maximum: int
) -> float:
    y = _curve(attributes, scale).astype(np.float64)
    if not np.all(np.isfinite(y)):
        return 0.0  # no step is coarse enough: the constraint says so
    codes = np.arange(y.size)
    lines = np.interp(codes, codes[::step], y[::step])
    apart = float(np.max(np.abs(lines - y)))
    return max(apart / (FURTHEST - 1), float(np.max(np.abs(y))) / maximum)


def to_golden(view: View, writer: OnnxWriter, x: str, output: str) -> None:
    """Two entries by Gather, mixed in float64 (exact)."""
    shift = numerics.INPUT_BITS - lut_length(view)
    table, fraction = interpolated_entries(view)

    def number(value: float) -> str:
        return writer.constant(f"{output}/number", np.float64(value))

    wide = writer.cast(x, TensorProto.DOUBLE, f"{output}/wide")
    position = writer.temporary("Add", [wide, number(1 << 15)], f"{output}/position")
    scaled = writer.temporary("Mul", [position, number(2.0**-shift)], f"{output}/scaled")
    place = writer.temporary("Floor", [scaled], f"{output}/place")
    rest = writer.temporary("Sub", [scaled, place], f"{output}/rest")
    index = writer.cast(place, TensorProto.INT32, f"{output}/index")
    ends = []
    for part in (table[:-1], table[1:]):
        values = writer.constant(f"{output}/table", part.astype(np.float64))
        ends.append(writer.temporary("Gather", [values, index], f"{output}/end"))
    rise = writer.temporary("Sub", [ends[1], ends[0]], f"{output}/rise")
    more = writer.temporary("Mul", [rise, rest], f"{output}/more")
    total = writer.temporary("Add", [ends[0], more], f"{output}/total")
    dtype = view.output.dtype
    writer.rescale(total, 2.0**-fraction, dtype.minimum, dtype.maximum, dtype, output)


def check_length(view: View) -> str | None:
    """Why the table cannot be so long."""
    length = lut_length(view)
    if length in numerics.LUT_LENGTHS:
        return None
    return f"its table must have 2^8 to 2^12 intervals, not 2^{length}"


def check_lines(view: View) -> str | None:
    """Why lines cannot follow the function."""
    if not is_interpolated(view) or check_length(view):
        return None
    apart = furthest(view)
    if apart <= FURTHEST:
        return None
    return (
        f"with 2^{lut_length(view)} intervals its table is up to {apart:.3g} steps of "
        f"{view.output.name} away from the function, more than {FURTHEST}; {view.tensor(0).name} "
        "needs 8 bits, or the table more intervals"
    )
