"""Where functions of tables are constant, and where they bend."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knightlite import dtypes
from knightlite.ir import Graph, GraphBuilder, Node
from knightlite.ops import View, bends
from knightlite.ops.samples import feature, result
from knightlite.ops.table_functions import EXPRESSION

INFINITY = np.inf
HARD_SWISH = ("Add x 3.0", "Clip %1 alpha=0.0 beta=6.0", "Mul x %2", "Div %3 6.0")


def view(*steps: str) -> View:
    builder = GraphBuilder("net")
    feature(builder, "x", (2, 2, 2), dtypes.S16, 0.001)
    node = Node("y", "Table", ("x",), ("y",), {"function": EXPRESSION, "steps": steps})
    graph: Graph = result(builder, node, (1, 2, 2, 2), dtypes.S16, 0.001)
    return View(graph, node)


@pytest.mark.parametrize(
    ("steps", "support", "places"),
    [
        (HARD_SWISH, (-3, INFINITY), (-3, 3)),
        ((*HARD_SWISH, "Mul %4 0.4", "Add %5 -0.25"), (-3, INFINITY), (-3, 3)),
        (("Mul x 2.0", "Add %1 1.0", "HardSwish %2"), (-2, INFINITY), (-2, 1)),
        (("Mul x -2.0", "HardSwish %1"), (-INFINITY, 1.5), (-1.5, 1.5)),
        (("Max x 0.5", "Min %1 6.0", "Sqrt %2"), (0.5, 6), (0.5, 6)),
        (("Abs x", "Sub %1 4.0", "Clip %2 alpha=0.0 beta=inf"), (-INFINITY, INFINITY), (-4, 0, 4)),
        (("Mul x 0.0", "Add %1 1.0"), (0, 0), ()),
        (("Exp x", "Add %1 1.0"), (-8.6355, INFINITY), ()),  # 2^-24 of e^8 is e^-8.6355
        (("Clip x alpha=1e+20 beta=2e+26", "Log %1"), (0, INFINITY), ()),  # changes far off
        (("Clip x alpha=-65504.0 beta=65504.0", "Clip %1 alpha=0.0 beta=6.0"), (0, 6), (0, 6)),
        (("Sqrt x", "Reciprocal %1"), (-INFINITY, INFINITY), ()),  # infinite below 0
    ],
)
def test_places(
    steps: tuple[str, ...], support: tuple[float, float], places: tuple[float, ...]
) -> None:
    found = view(*steps)
    assert bends.support(found) == pytest.approx(support, abs=1e-4)
    assert bends.bends(found) == pytest.approx(places, abs=1e-6)


@given(st.floats(0.1, 8), st.floats(-4, 4), st.floats(-2, 2), st.floats(-2, 2))
def test_gains_and_offsets_move_both(gain: float, offset: float, then: float, lift: float) -> None:
    """A HardSwish behind gain and offset, and in front of others."""
    gain, offset, then, lift = (float(np.float32(item)) for item in (gain, offset, then, lift))
    steps = [f"Mul x {gain!r}", f"Add %1 {offset!r}", "HardSwish %2", f"Mul %3 {then!r}"]
    found = view(*steps, f"Add %4 {lift!r}")
    wanted = ((-3 - offset) / gain, (3 - offset) / gain)
    assert bends.bends(found) == pytest.approx(wanted, abs=1e-4, rel=1e-5)
    if abs(then) > 0.1:
        low, high = bends.support(found)
        assert low == pytest.approx(wanted[0], abs=1e-2)
        assert high == INFINITY
