"""Average pools count what the file says that they count, window by window."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from knightlite import dtypes
from knightlite.ir import Graph, GraphBuilder, Node
from knightlite.lower.pool import _rectangles
from knightlite.ops import View, pool
from knightlite.ops.samples import feature, result

KERNELS = ((2, 3), (3, 2), (3, 3))
STRIDES = ((1, 2), (2, 1), (3, 3))
PADS = ((0, 0, 0, 0), (1, 0, 0, 1), (0, 1, 1, 0), (1, 1, 1, 0))


def average(kernel: tuple[int, ...], strides: tuple[int, ...], pads: tuple[int, ...],
            counted: tuple[int, ...]) -> tuple[Graph, View]:  # fmt: skip
    builder = GraphBuilder("net")
    feature(builder, "x", (2, 6, 7), dtypes.S8, 1.0)
    attributes = {"kernel": kernel, "strides": strides, "pads": pads, "counted_pads": counted}
    node = Node("y", "AveragePool", ("x",), ("y",), attributes)
    graph = result(builder, node, (), dtypes.S16, 2.0**-8)
    return graph, View(graph, node)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("strides", STRIDES)
def test_every_window_counts_its_own_elements(
    kernel: tuple[int, ...], strides: tuple[int, ...]
) -> None:
    """Those of the picture, and of the pads those that count; every side by itself."""
    x = np.random.default_rng(0).integers(-128, 128, (1, 2, 6, 7))
    for pads, counted in itertools.product(PADS, PADS):
        if any(mine > most for mine, most in zip(counted, pads, strict=True)):
            continue
        _, view = average(kernel, strides, pads, counted)
        shape = pool.infer(view)
        divisors, found = pool.divisors(view), pool.reference_average(view, (x,))
        assert divisors.shape == shape[2:]
        for row, column in np.ndindex(*shape[2:]):
            top, left = row * strides[0] - pads[0], column * strides[1] - pads[1]
            count, total = 0, np.zeros(2)
            for r, c in itertools.product(
                range(top, top + kernel[0]), range(left, left + kernel[1])
            ):
                if -counted[0] <= r < 6 + counted[2] and -counted[1] <= c < 7 + counted[3]:
                    count += 1
                if 0 <= r < 6 and 0 <= c < 7:
                    total += x[0, :, r, c]
            assert divisors[row, column] == count, (pads, counted)
            wanted = total / count * 2**8
            assert np.all(np.abs(found[0, :, row, column] - wanted) <= 0.5 + 2e-4 * abs(wanted))


def test_rectangles_of_one_divisor() -> None:
    """Rows and columns that are alike together, each with its own count."""
    counts = np.outer([2, 3, 3, 1], [2, 5, 5])
    assert _rectangles(counts) == [
        (0, 1, 0, 1, 4), (0, 1, 1, 3, 10), (1, 3, 0, 1, 6), (1, 3, 1, 3, 15), (3, 4, 0, 1, 2),
        (3, 4, 1, 3, 5),
    ]  # fmt: skip
    assert _rectangles(np.full((2, 3), 9)) == [(0, 2, 0, 3, 9)]
