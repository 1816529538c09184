"""The step of what is nothing but roundings, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from float_nets import FloatNet
from knightlite import dtypes
from knightlite.dtypes import DType
from knightlite.quantize.scales.basis import Basis
from knightlite.quantize.scales.features import BY_DEFINITION, Feature
from knightlite.quantize.scales.rounding_noise import least_step
from knightlite.quantize.settings import Settings
from knightlite.quantize.statistics.observation_plan import observation_plan


def feature(name: str, dtype: DType, scale: float) -> Feature:
    return Feature(name, dtype, np.asarray(scale, np.float32), 0, BY_DEFINITION)


@pytest.mark.parametrize("read", [dtypes.S8, dtypes.S16])
@pytest.mark.parametrize(
    ("made", "codes"), [(dtypes.S8, 127), (dtypes.U8, 255), (dtypes.S16, 32767)]
)
def test_two_deviations_of_the_loudest_channel(read: DType, made: DType, codes: int) -> None:
    """Weights 3 and 4 make 5 of a rounding's deviation; what is written decides how many codes."""
    net = FloatNet()
    net.input("x", 2, 1, 1)
    weights = np.asarray([[3, 4], [1, 1]], np.float32).reshape(2, 2, 1, 1)
    graph = net.build(net.conv("x", "y", 2, weights=weights))
    basis = Basis(graph, {}, observation_plan(graph), Settings())
    (node,) = graph.nodes
    found = least_step(basis, node, feature("x", read, 0.5), feature("y", made, 1.0))
    assert found == pytest.approx(2 * 5 * 0.5 / np.sqrt(12) / codes, rel=1e-12)
    other = replace(graph, constants={**graph.constants, node.inputs[1]: 2 * weights})
    anew = replace(basis, graph=other)
    twice = least_step(anew, node, feature("x", read, 0.5), feature("y", made, 1.0))
    assert twice == pytest.approx(2 * found)  # the gains that are kept are of other weights
