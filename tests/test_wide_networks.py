"""Networks whose convolutions have 16-bit features and weights, through bytes and machine.

Simulator, golden model and integer references agree byte for byte, fused or not, on every chip that
has 16 bits; each QDQ layer is within one step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from conformance_checks import (
    CHIPS,
    Golden,
    Layers,
    Tally,
    build,
    extreme_inputs,
    random_inputs,
    reference,
    run,
)
from knightlite import compiler
from knightlite.chip_files import find
from knightlite.dtypes import S8, S16, U8
from knightlite.inference import session
from knightlite.ir import Graph
from knightlite.onnx_models import write_qdq
from quantized_nets import RELU, SCALE, QuantizedNet

FINE = SCALE / 256  # the step of a 16-bit tensor with the range of an 8-bit one
SAME: dict[str, Any] = {"kernel": (3, 3), "pads": (1, 1, 1, 1)}
WIDE: dict[str, Any] = {"weight_type": np.int16, "dtype": S16, "scale": FINE}
WIDE_CHIPS = [name for name in CHIPS if 16 in find(name).chip.bit_widths]


def stack(net: QuantizedNet) -> Graph:
    """Dense, depthwise, pointwise, dilated, strided, transposed: 16 bits throughout."""
    x = net.conv(net.input("x", 3, 14, 12, U8), "stem", 16, strides=(2, 2), clamp=RELU,
                 **SAME, **WIDE)  # fmt: skip
    x = net.conv(x, "depthwise", 16, group=16, **SAME, **WIDE)
    x = net.conv(x, "pointwise", 40, clamp=RELU, **WIDE)
    x = net.conv(x, "dilated", 24, (3, 3), dilations=(2, 2), pads=(2, 2, 2, 2), **WIDE)
    x = net.conv(x, "groups", 24, group=4, **SAME, **WIDE)
    x = net.transposed(x, "up", 10, (2, 2), strides=(2, 2), **WIDE)
    return net.build(net.conv(x, "head", 70, (5, 4), strides=(5, 4), **WIDE))


def mix(net: QuantizedNet) -> Graph:
    """Every pair of widths next to every other."""
    x = net.conv(net.input("x", 4, 9, 8, S8), "a", 12, **SAME, **WIDE)
    x = net.conv(x, "b", 20, dtype=U8, clamp=RELU, **SAME)
    x = net.conv(x, "c", 18, weight_type=np.int16, **SAME)
    x = net.conv(x, "d", 30, **WIDE)
    return net.build(net.conv(x, "y", 33, (2, 2), weight_type=np.int16))


def middles(net: QuantizedNet) -> Graph:
    """Residual Adds behind 16-bit middles of 8-bit and of 16-bit convolutions."""
    x = net.input("x", 20, 7, 6, S8)
    x = net.add(net.conv(x, "m1", 20, dtype=S16, scale=FINE, **SAME), x, "s1")
    x = net.add(x, net.conv(x, "m2", 20, **SAME, **WIDE), "s2", U8, clamp=RELU)
    return net.build(net.add(net.transposed(x, "m3", 20, **SAME, **WIDE), x, "y"))


def prologues(net: QuantizedNet) -> Graph:
    """An Affine of 16 bits in front of a convolution, also from 16 to 8."""
    x = net.affine(net.input("x", 12, 8, 7, S8), "t1", S16, FINE)
    x = net.conv(x, "c1", 24, **SAME, **WIDE)
    return net.build(net.conv(net.affine(x, "t2", U8), "y", 40, **SAME, weight_type=np.int16))


NETWORKS = {item.__name__: item for item in (stack, mix, middles, prologues)}
CHAINS = {"middles": "Conv+Add", "prologues": "Affine+Conv"}


@pytest.mark.parametrize("chip_name", WIDE_CHIPS)
@pytest.mark.parametrize("fused", [True, False], ids=["fused", "unfused"])
@pytest.mark.parametrize("name", NETWORKS)
def test_wide_network(
    name: str, fused: bool, chip_name: str, monkeypatch: pytest.MonkeyPatch,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    make: Callable[[QuantizedNet], Graph] = NETWORKS[name]
    graph = make(QuantizedNet(name, seed=3))
    if not fused:
        monkeypatch.setattr(compiler, "PIPELINE", ())
    built = build(graph, chip_name)
    layers = [layer.op for layer in built.program.meta.layers]
    assert (CHAINS.get(name) in layers) == (fused and name in CHAINS)
    golden, qdq, tally = Golden(built.compiled.graph), Layers(graph), Tally()
    for inputs in (random_inputs(graph, rng), random_inputs(graph, rng), *extreme_inputs(graph)):
        found, exact = run(built, inputs), golden.run(inputs)
        tally.compare(found, exact)
        tally.compare(exact, reference(graph, inputs))  # also what a chain keeps inside
        assert max(qdq.differences(exact).values()) <= 1
    assert not tally.wrong
    assert not tally.few


def test_layers_are_compared_with_wide_weights() -> None:
    """The QDQ file of a 16-bit layer is an ordinary one: int16 weights, int32 biases."""
    graph = stack(QuantizedNet())
    model = write_qdq(graph, {})
    kinds = {item.name: item.data_type for item in model.graph.initializer}
    assert kinds["stem.weight"] == 5  # TensorProto.INT16
    assert kinds["stem.bias"] == 6  # TensorProto.INT32
    assert (
        session(model, 1).run(None, {"x": np.zeros((1, 3, 14, 12), np.float32)})[0].shape[1] == 70
    )
