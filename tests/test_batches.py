"""Convolutions and recurrent layers of several frames that are part of the network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from onnx_nets import Net, checked, operators


@pytest.mark.parametrize(("kind", "group"), [("Conv", 1), ("Conv", 4), ("ConvTranspose", 2)])
def test_convolutions(tmp_path: Path, kind: str, group: int) -> None:
    """Frames are channels: each has the weights for itself."""
    net = Net(13)
    net.input("x", (3, 4, 5, 6))
    shape = (8, 4 // group, 3, 3) if kind == "Conv" else (4, 8 // group, 3, 3)
    net.random("w", shape)
    net.node(kind, ["x", "w", net.random("b", (8,))], "c", group=group, strides=[2, 1])
    net.node("ReduceMean", ["c"], "m", axes=[0], keepdims=1)  # no frame is by itself
    net.node("Sub", ["c", "m"], "y")
    graph = checked(net.save(tmp_path, "y"), input_shapes={"x": (3, 4, 5, 6)})
    assert "General" not in operators(graph)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("windows", "shape"), [(4, (7, 7)), (100, (2, 3)), (9, (5,))])
def test_single_pixels_of_windows(
    tmp_path: Path, windows: int, shape: tuple[int, ...], bias: bool
) -> None:
    """One matrix for every pixel of every window, however many there are."""
    net = Net(13)
    net.input("x", (1, windows * 6, *shape))
    net.node("Reshape", ["x", net.weight("apart", np.array([windows, 6, *shape]))], "w")
    more = [net.random("b", (5,))] if bias else []
    net.node("Conv", ["w", net.random("k", (5, 6, *(1 for _ in shape))), *more], "c")
    net.node("Softmax", ["c"], "y", axis=0)  # no window is by itself
    graph = checked(net.save(tmp_path, "y"), input_shapes={"x": (1, windows * 6, *shape)})
    assert "General" not in operators(graph)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("swapped", [False, True])
def test_recurrent_layers(tmp_path: Path, kind: str, swapped: bool) -> None:
    """A batch of three; or of two, whose frames are steps of what the file has."""
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind]
    net = Net(14)
    net.input("x", (2, 3, 4))
    net.random("w", (1, gates * 5, 4))
    net.random("r", (1, gates * 5, 5))
    net.node("Mul", ["x", net.weight("two", np.float32(2))], "d")
    source = "d"
    if swapped:
        net.node("Transpose", ["d"], "turned", perm=[1, 0, 2])
        source = "turned"
    net.node(kind, [source, "w", "r"], "y", hidden_size=5)
    checked(net.save(tmp_path, "y"), input_shapes={"x": (2, 3, 4)})
