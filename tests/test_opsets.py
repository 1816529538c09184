"""Later versions of operators: read where they say what earlier ones do, else refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto

from knightlite.errors import UnsupportedError
from knightlite.frontend import load, opsets
from knightlite.frontend.source import SourceNode
from onnx_nets import Net, checked

NEWEST = opsets.newest()


def node(kind: str, **attributes: Any) -> SourceNode:
    return SourceNode("n", kind, "", ("a",), ("b",), attributes)


@pytest.mark.parametrize("opset", [22, 25, NEWEST])
@pytest.mark.parametrize(
    "kind", ["Conv", "MaxPool", "AveragePool", "Elu", "Reshape", "DepthToSpace", "Relu", "Identity"]
)
def test_versions_that_only_take_more_types_are_alike(kind: str, opset: int) -> None:
    assert opsets.difference(node(kind), opset) == ""


@pytest.mark.skipif(NEWEST < 24, reason="needs an onnx that knows opset 24")
def test_a_new_attribute_counts_where_it_is_not_at_its_default() -> None:
    to = TensorProto.FLOAT
    assert opsets.difference(node("Cast", to=to), 24) == ""
    assert opsets.difference(node("Cast", to=to, round_mode="up"), 24) == ""
    assert opsets.difference(node("Cast", to=to, round_mode="down"), 24) == (
        "a new attribute round_mode"
    )
    assert opsets.difference(node("Cast", to=to, round_mode="down"), 21) == ""


@pytest.mark.skipif(NEWEST < 24, reason="needs an onnx that knows opset 24")
def test_a_later_network_is_what_it_says(tmp_path: Path) -> None:
    def net(**attributes: str) -> Path:
        made = Net(24)
        made.input("x", (1, 3, 8, 8))
        made.conv("x", "c", (4, 3, 3, 3), pads=[1, 1, 1, 1])
        made.node("AveragePool", ["c"], "p", kernel_shape=[2, 2], strides=[2, 2])
        made.node("Cast", ["p"], "y", to=TensorProto.INT32, **attributes)
        return made.save(tmp_path, "y", ir_version=10)

    checked(net())
    with pytest.raises(UnsupportedError) as caught:
        load(net(round_mode="down"))
    (finding,) = caught.value.findings
    assert finding.where == "Cast_y"
    assert finding.sentence == (
        "Cast Cast_y of opset 24 has a new attribute round_mode, which opset 21 has not."
    )
    assert finding.hint == "export it with opset 21 or older"
