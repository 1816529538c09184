"""What diagnosis tries at a place: its tensors, or its weights, made wide, or left in float."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from float_nets import FloatNet
from knightlite.diagnosis.causes import Suspect
from knightlite.diagnosis.probe import Sums
from knightlite.diagnosis.variants import widen, without_weights
from knightlite.dtypes import F32, S16
from planted import Noise, quantized

NOTHING = np.zeros(2)


def sums(minimum: list[float], maximum: list[float]) -> Sums:
    kinds = dict.fromkeys(Sums.__dataclass_fields__, NOTHING)
    return Sums(**{**kinds, "minimum": np.array(minimum), "maximum": np.array(maximum)})


def suspect(*tensors: str, weights: tuple[str, ...] = ()) -> Suspect:
    return Suspect("a cause", "y", "because", tensors, weights, 1.0)


def test_variants() -> None:
    net = FloatNet()
    net.input("x", 1, 2, 3)
    kernel = np.array([0.5, -2.0], np.float32).reshape(2, 1, 1, 1)
    net.conv("x", "y", 2, weights=kernel, bias=np.array([0.25, -1.0]))
    kernel = np.array([[0.0, 0.0], [4.0, 1.0], [-1.0, 8.0]], np.float32).reshape(3, 2, 1, 1)
    net.conv("y", "z", 3, weights=kernel, bias=np.zeros(3))
    graph = net.build("z")
    fixed = quantized(graph, Noise((1, 1, 2, 3)))
    found = {"y": sums([-3.0, 1.0], [2.0, 2.5]), "z": sums([0.0, -7.0], [6.0, 0.0])}

    wide = widen(graph, fixed, found, suspect("y", "z", "no such"))
    for name, size in (("y", 2), ("z", 3)):  # one scale: they may be a group
        tensor = wide.tensors[name]
        assert (tensor.dtype, tensor.shape) == (S16, (1, size, 2, 3))
        assert tensor.scale == np.float32(1.05 * 7.0 / 32767)
    changed = {"y", "z"}
    assert {n for n, item in wide.tensors.items() if item is not fixed.tensors.get(n)} == changed
    silent = widen(graph, fixed, {"y": sums([0.0, 0.0], [0.0, 0.0])}, suspect("y"))
    assert silent.tensors["y"].scale == np.float32(1.05 / 32767)

    wide = widen(graph, fixed, found, suspect(weights=("z",)))
    (node,) = (item for item in wide.nodes if item.output == "z")
    weights, bias = node.inputs[1:]
    steps = np.array([1.0, 4 / 32639, 8 / 32639], np.float32)
    assert wide.tensors[weights].dtype == S16
    assert wide.tensors[weights].scale == pytest.approx(steps, rel=1e-7)
    codes = wide.constants[weights].reshape(3, 2)
    assert codes.dtype == np.int16
    assert codes.tolist() == [[0, 0], [32639, 8160], [-4080, 32639]]
    assert wide.tensors["y"].dtype == S16  # 16-bit weights multiply 16-bit values
    assert wide.tensors["x"] is fixed.tensors["x"]

    for graphs in (wide, without_weights(graph, fixed, ("z",))):
        assert (graphs.tensors[bias].dtype, graphs.tensors[bias].scale) == (F32, None)
        assert graphs.constants[bias].tolist() == [0.0, 0.0, 0.0]
    bare = without_weights(graph, fixed, ("y",))
    (node,) = (item for item in bare.nodes if item.output == "y")
    assert bare.constants[node.inputs[1]].ravel().tolist() == [0.5, -2.0]
    assert bare.constants[node.inputs[2]].tolist() == [0.25, -1.0]
    assert bare.tensors[node.inputs[1]].dtype == F32


def test_a_bias_that_quantization_added_is_left_out() -> None:
    net = FloatNet()
    net.input("x", 1, 2, 3)
    net.conv("x", "y", 2)
    graph = net.build("y")
    fixed = quantized(graph, Noise((1, 1, 2, 3)))
    (node,) = graph.nodes
    bare = graph.with_nodes([replace(node, inputs=node.inputs[:2])])
    changed = without_weights(bare, fixed, ("y",))
    (node,) = changed.nodes
    assert changed.constants[node.inputs[2]].tolist() == [0.0, 0.0]
