"""Models of an opset below 9: raised where onnx's converter is right, else refused as before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from knightlite.errors import Finding, UnsupportedError
from knightlite.frontend import load
from knightlite.inference import Runner, float_network

Array = NDArray[Any]
RANDOM = np.random.default_rng(0)
WEIGHT, BIAS = (RANDOM.normal(size=size).astype(np.float32) for size in ((3, 3, 3, 3), (3,)))
PICTURE = RANDOM.normal(size=(1, 3, 6, 6)).astype(np.float32)


def old(folder: Path, opset: int, *nodes: onnx.NodeProto) -> Path:
    """A convolution of ``x`` and ``nodes`` behind it, from ``c`` to ``y``; ``b`` is a bias [3]."""
    weights = [numpy_helper.from_array(WEIGHT, "w"), numpy_helper.from_array(BIAS, "b")]
    conv = helper.make_node("Conv", ["x", "w"], ["c"], kernel_shape=[3, 3], pads=[1] * 4)
    graph = helper.make_graph(
        [conv, *nodes],
        "old",
        [helper.make_tensor_value_info("x", 1, [1, 3, 6, 6])]
        + [helper.make_tensor_value_info(item.name, 1, list(item.dims)) for item in weights],
        [helper.make_tensor_value_info("y", 1, [1, 3, 6, 6])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=3)
    onnx.save(model, folder / "old.onnx")
    return folder / "old.onnx"


def outputs(path: Path) -> Array:
    heard: list[Finding] = []
    graph = load(path, warn=heard.append)
    (told,) = (item for item in heard if "raised" in item.sentence)
    assert told.sentence.startswith("the model is of opset ")
    (found,) = Runner(float_network(graph), 1).run((PICTURE,)).values()
    return np.asarray(found)


def convolved(folder: Path) -> Array:
    """The same convolution in an opset that is known, by itself."""
    path = old(folder, 9, helper.make_node("Relu", ["c"], ["y"]))
    model = onnx.load(path)
    del model.graph.node[1:]
    model.graph.node[0].output[0] = "y"
    onnx.save(model, path)
    (found,) = Runner(float_network(load(path)), 1).run((PICTURE,)).values()
    return np.asarray(found)


@pytest.mark.parametrize("opset", [1, 6, 7, 8])
def test_an_old_model_computes_what_it_says(tmp_path: Path, opset: int) -> None:
    wanted = np.maximum(convolved(tmp_path), 0)
    extra: dict[str, Any] = {"consumed_inputs": [0]} if opset < 6 else {}
    found = outputs(old(tmp_path, opset, helper.make_node("Relu", ["c"], ["y"], **extra)))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("opset", [5, 6])
def test_broadcasting_by_trailing_shape(tmp_path: Path, opset: int) -> None:
    nodes = [
        helper.make_node("Slice", ["b"], ["s"], starts=[0], ends=[1]),
        helper.make_node("Mul", ["c", "s"], ["y"], broadcast=1),
    ]
    wanted = convolved(tmp_path) * BIAS[0]
    np.testing.assert_allclose(outputs(old(tmp_path, opset, *nodes)), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "node",
    [
        helper.make_node("PRelu", ["c", "b"], ["y"]),  # its slopes would go along the rows
        helper.make_node("Add", ["c", "b"], ["y"], broadcast=1, axis=1),  # along the batch
        helper.make_node("Relu", ["c"], ["y"], broadcast=1),
    ],
)
def test_what_cannot_be_raised_is_refused(tmp_path: Path, node: onnx.NodeProto) -> None:
    with pytest.raises(UnsupportedError, match=r"old.onnx must use an opset from 9 to \d+, not 6"):
        load(old(tmp_path, 6, node))


def scanning(opset: int, frames: int, kind: str = "Add") -> onnx.ModelProto:
    """Running sums of six tokens of [frames, 6, 3], as opset 8 or 9 has its Scan."""
    old_form = opset == 8
    state, tokens = helper.make_tensor_value_info("s", 1, [3]), [frames, 6, 3]
    body = helper.make_graph(
        [helper.make_node(kind, ["s", "t"], ["n"]), helper.make_node("Identity", ["n"], ["o"])],
        "turn",
        [state, helper.make_tensor_value_info("t", 1, [3])],
        [helper.make_tensor_value_info(name, 1, [3]) for name in "no"],
    )
    shape = [frames, 3] if old_form else [3]
    zero = numpy_helper.from_array(np.zeros(shape, np.float32), "zero")
    backward: dict[str, Any] = {"directions" if old_form else "scan_input_directions": [1]}
    first, last = ["x", "y"] if old_form else ["f", "g"]
    made = [
        helper.make_node("Scan", [*([""] if old_form else []), "zero", first], ["", last],
                         num_scan_inputs=1, body=body, **backward)
    ]  # fmt: skip
    if not old_form:
        made.insert(0, helper.make_node("Squeeze", ["x"], ["f"], axes=[0]))
        made.append(helper.make_node("Unsqueeze", ["g"], ["y"], axes=[0]))
    graph = helper.make_graph(
        made, "scanning", [helper.make_tensor_value_info("x", 1, tokens)],
        [helper.make_tensor_value_info("y", 1, tokens)], [zero],
    )  # fmt: skip
    versions = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=versions, ir_version=4)


def test_a_scan_of_one_frame(tmp_path: Path) -> None:
    found = []
    for opset in (8, 9):
        onnx.save(scanning(opset, 1), tmp_path / "old.onnx")
        network = float_network(load(tmp_path / "old.onnx"))
        (made,) = Runner(network, 1).run((PICTURE[:, :1, :, :3].reshape(1, 6, 1, 3),)).values()
        found.append(np.asarray(made))
    np.testing.assert_array_equal(found[0], found[1])
    assert np.ptp(found[0]) > 0


@pytest.mark.parametrize(("frames", "kind"), [(2, "Add"), (1, "Upsample")])
def test_other_scans_of_opset_8_are_refused(tmp_path: Path, frames: int, kind: str) -> None:
    """Several frames, or a body that means another thing from opset 9 on."""
    model = scanning(8, frames, "Add")
    if kind == "Upsample":
        inner = model.graph.node[0].attribute
        (body,) = (item.g for item in inner if item.name == "body")
        body.node.append(helper.make_node("Upsample", ["n"], ["u"], scales=[1.0]))
    onnx.save(model, tmp_path / "old.onnx")
    with pytest.raises(UnsupportedError, match=r"must use an opset from 9 to \d+, not 8"):
        load(tmp_path / "old.onnx")
