"""Scan of a known length: turn by turn, along any axis, in either direction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnx_nets import Net, checked


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("backward", [0, 1])
@pytest.mark.parametrize("stacked", [0, 1, 2, -1, -2, -3])
def test_running_sums(tmp_path: Path, axis: int, backward: int, stacked: int) -> None:
    """s' = s + x_t / 2, of which every one is kept."""
    left = {1: (1, 4), 2: (1, 3)}[axis]

    def value(name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, left)

    nodes = [
        helper.make_node("Mul", ["x_t", "half"], ["less"]),
        helper.make_node("Add", ["s", "less"], ["s_next"]),
        helper.make_node("Identity", ["s_next"], ["shown"]),
    ]
    half = numpy_helper.from_array(np.asarray(0.5, np.float32), "half")
    body = helper.make_graph(
        nodes, "body", [value("s"), value("x_t")], [value("s_next"), value("shown")], [half]
    )
    net = Net(13)
    net.input("x", (1, 3, 4))
    net.weight("s0", np.ones(left, np.float32))
    net.nodes.append(
        helper.make_node(
            "Scan", ["s0", "x"], ["last", "all"], body=body, num_scan_inputs=1,
            scan_input_axes=[axis], scan_input_directions=[backward],
            scan_output_axes=[stacked], scan_output_directions=[backward],
        )
    )  # fmt: skip
    checked(net.save(tmp_path, "last", "all"))
