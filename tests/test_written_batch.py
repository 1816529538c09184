"""Constants that name the batch of a file follow where one frame is asked for, and no others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from knightlite.errors import Finding
from knightlite.frontend.written_batch import follow

FLOAT = TensorProto.FLOAT
SIZES: dict[str, list[int]] = {
    "flat": [2, 48],  # of x [2, 3, 4, 4]
    "apart": [2, 24],  # of w [4, 12]: its first axis is no batch
    "as it is": [0, -1],
    "joined": [6, 16],  # names no batch
    "shared": [2, 3, 16],
}
SOURCES = {"apart": "w", "shared": "x"}


def followed(
    declared: Mapping[str, list[Any]], pinned: Mapping[str, list[int]]
) -> tuple[dict[str, list[int]], list[Finding], dict[str, Any]]:
    """The sizes that each Reshape reads then, the findings, and all constants."""
    nodes = [
        helper.make_node("Reshape", [SOURCES.get(name, "x"), f"{name}.sizes"], [name], name=name)
        for name in SIZES
    ]
    nodes.append(helper.make_node("Reshape", ["y", "shared.sizes"], ["other"], name="other"))
    inputs = [
        helper.make_tensor_value_info(name, FLOAT, shape)
        for name, shape in (("x", [2, 3, 4, 4]), ("w", [4, 12]), ("y", [3, 2, 16]))
    ]
    outputs = [helper.make_tensor_value_info(name, FLOAT, None) for name in (*SIZES, "other")]
    stored = {f"{name}.sizes": np.asarray(sizes, np.int64) for name, sizes in SIZES.items()}
    graph = helper.make_graph(
        nodes, "g", inputs, outputs, [numpy_helper.from_array(v, k) for k, v in stored.items()]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    found = follow(model, stored, declared, pinned)
    read = {node.name: stored[node.input[1]].tolist() for node in model.graph.node}
    return read, found, stored


def test_only_the_sizes_of_what_has_the_batch_are_those_of_one_frame() -> None:
    read, found, stored = followed({"x": [2, 3, 4, 4]}, {"x": [1, 3, 4, 4]})
    wanted = {**SIZES, "other": SIZES["shared"], "flat": [1, 48], "shared": [1, 3, 16]}
    assert read == wanted
    assert [str(item) for item in found] == [
        f"{name}: Reshape {name} names a batch of 2, which is 1 here. Hint: feed one frame at a "
        "time"
        for name in ("flat", "shared")
    ]
    assert {item.severity for item in found} == {"warning"}
    assert stored["shared.sizes"].tolist() == [2, 3, 16]  # others read it


@pytest.mark.parametrize(
    ("declared", "pinned"),
    [
        ({"x": [2, 3, 4, 4]}, {"x": [2, 3, 4, 4]}),
        ({"x": [1, 3, 4, 4]}, {"x": [1, 3, 4, 4]}),
        ({"x": ["N", 3, 4, 4]}, {"x": [1, 3, 4, 4]}),
        ({"x": [2, 3, 4, 4], "y": [3, 2, 16]}, {"x": [1, 3, 4, 4], "y": [1, 2, 16]}),
        ({"x": [3, 3, 4, 4]}, {"x": [1, 3, 4, 4]}),  # none of the sizes is that one
    ],
)
def test_where_no_batch_becomes_one_nothing_changes(declared: Any, pinned: Any) -> None:
    read, found, _ = followed(declared, pinned)
    assert read == {**SIZES, "other": SIZES["shared"]}
    assert found == []
