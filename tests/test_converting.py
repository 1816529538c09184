"""``-r convert`` and ``-r infer`` of networks that the NPU cannot run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

import knightlite
from knightlite.api.quantization import quantize
from knightlite.errors import ModelError, UnsupportedError
from knightlite.inference import session
from knightlite.options.quantize import QuantizeOptions
from knightlite.talk import Talk
from onnx_nets import Net

Array = NDArray[Any]
Build = Callable[[Net], str]


def hardmax(net: Net) -> str:
    """In the middle of the network, twice."""
    net.node("Hardmax", [net.conv("x", "c", (4, 3, 3, 3))], "h", axis=1)
    net.node("Hardmax", [net.conv("h", "d", (4, 4, 1, 1))], "i", axis=1)
    return net.conv("i", "y", (2, 4, 1, 1))


def branches(net: Net) -> str:
    """An If whose condition the picture decides: its branches read values and constants around."""
    net.node("Identity", [net.conv("x", "c", (4, 3, 3, 3))], "same")
    net.node("Exp", [net.random("p", (4, 1, 1))], "positive")
    net.node("Add", ["c", "positive"], "only_inside")
    net.node("ReduceSum", ["c"], "total", keepdims=0)
    net.node("Greater", ["total", net.weight("zero", np.float32(0))], "above")

    def branch(*inputs: str, op: str) -> onnx.GraphProto:
        info = helper.make_tensor_value_info(f"r{op}", TensorProto.FLOAT, None)
        return helper.make_graph([helper.make_node(op, inputs, [f"r{op}"])], op, [], [info])

    then, other = branch("same", "positive", op="Mul"), branch("only_inside", op="Neg")
    return net.node("If", ["above"], "y", then_branch=then, else_branch=other)


def tokens(net: Net) -> str:
    """Integers that an embedding is looked up with, beside the picture."""
    net.input("ids", (1, 5), TensorProto.INT64)
    net.node("Gather", [net.random("table", (7, 4)), "ids"], "words")
    net.node("ReduceMean", ["words"], "mean", axes=[1], keepdims=0)
    net.node("Unsqueeze", ["mean", net.weight("axes", np.array([2, 3]))], "columns")
    return net.node("Mul", [net.conv("x", "c", (4, 3, 3, 3)), "columns"], "y")


CASES: dict[str, tuple[Build, str]] = {
    "hardmax": (hardmax, "2 places are not supported: Hardmax (2)"),
    "branches": (branches, "places are not supported: "),
    "tokens": (tokens, "places are not supported: "),
}


def saved(folder: Path, build: Build) -> Path:
    net = Net()
    net.input("unread", (1, 2))
    net.input("x", (1, 3, 8, 9))
    return net.save(folder, build(net))


def feeds(path: Path, count: int) -> dict[str, Array]:
    rng = np.random.default_rng(3)
    known: dict[str, Array] = {
        "unread": np.zeros((count, 2), np.float32),
        "x": rng.normal(0, 1, (count, 3, 8, 9)).astype(np.float32),
        "ids": rng.integers(0, 7, (count, 5)),
    }
    return {name: known[name] for name in session(path.read_bytes()).inputs}


@pytest.mark.parametrize("case", CASES)
def test_what_the_npu_cannot_run_is_converted_and_run(tmp_path: Path, case: str) -> None:
    build, told = CASES[case]
    path = saved(tmp_path, build)
    with pytest.raises(UnsupportedError, match="cannot run on the NPU"):
        knightlite.quantize(path)
    heard: list[str] = []
    talk = Talk(warn=heard.append)
    options: dict[str, Any] = {"model": path, "save_dir": tmp_path / "out", "directory": tmp_path}
    written = quantize(QuantizeOptions(run_mode="convert", **options), talk).files["float_onnx"]
    (said,) = [item for item in heard if "quant refuses it" in item]
    assert told in said
    fed = feeds(path, 5)
    original, made = session(path.read_bytes()), session(written.read_bytes())
    assert made.inputs == tuple(name for name in original.inputs if name != "unread")
    assert not {"Exp", "Constant"} & {node.op_type for node in onnx.load(written).graph.node}

    def each(running: Any) -> Array:
        parts = [{name: fed[name][k : k + 1] for name in running.inputs} for k in range(5)]
        return np.concatenate([running.run(None, part)[0] for part in parts])

    wanted = each(original)
    assert np.array_equal(each(made), wanted)
    assert np.ptp(wanted) > 0.5

    found: list[Array] = []

    def infer(executor: Any) -> float:
        found.extend(executor.forward(*fed.values()))
        return 7.0

    heard.clear()
    options["function"] = infer
    outcome = quantize(QuantizeOptions(run_mode="infer", **options), talk)
    assert (outcome.float_metric, outcome.pictures) == (7.0, 5)
    assert np.array_equal(found[0], wanted)
    assert any("quant refuses it" in item for item in heard)


def test_its_inputs_are_normalized_and_fed_as_asked(tmp_path: Path) -> None:
    """--mean, --std and -qid as the vendor's configs have them."""
    path = saved(tmp_path, hardmax)
    pixels = np.random.default_rng(1).integers(0, 256, (2, 3, 8, 9)).astype(np.uint8)
    mean, std = (120.0, 110.0, 100.0), (60.0,)
    normal = (pixels - np.array(mean, np.float32).reshape(3, 1, 1)) / np.float32(60)
    original, found = session(path.read_bytes()), list[Array]()
    unread = np.zeros((1, 2), np.float32)
    wanted = [original.run(None, {"x": item[None], "unread": unread})[0] for item in normal]

    def infer(executor: Any) -> None:
        assert executor.input_types == {"x": TensorProto.UINT8}
        found.extend(executor.forward(pixels))

    options: dict[str, Any] = {"model": path, "directory": tmp_path, "mean": mean, "std": std}
    options |= {"input_types": ("uint8",), "function": infer, "run_mode": "infer"}
    quantize(QuantizeOptions(**options), Talk())
    assert np.array_equal(found[0], np.concatenate(wanted))


def test_a_batch_that_the_file_writes_out_is_run_as_a_whole(tmp_path: Path) -> None:
    net = Net()
    net.input("x", (3, 2, 8, 8))
    net.node("Hardmax", [net.conv("x", "c", (4, 2, 3, 3))], "h", axis=1)
    net.node("Reshape", ["h", net.weight("sizes", np.array([3, -1]))], "y")
    path = net.save(tmp_path, "y")
    x = net.rng.normal(0, 1, (6, 2, 8, 8)).astype(np.float32)
    found: list[Array] = []

    def infer(executor: Any) -> None:
        found.extend(executor.forward(x))

    with pytest.warns(UserWarning, match="quant refuses it"):
        knightlite.infer(path, infer=infer, iteration=1)
    original = session(path.read_bytes())
    wanted = [original.run(None, {"x": x[k : k + 3]})[0] for k in (0, 3)]
    assert np.array_equal(found[0], np.concatenate(wanted))


def test_an_input_of_no_kind(tmp_path: Path) -> None:
    path = saved(tmp_path, hardmax)
    model = onnx.load(path)
    model.graph.input[1].type.tensor_type.elem_type = TensorProto.UNDEFINED
    onnx.save(model, path)
    with pytest.raises(ModelError, match=r"^input x of .* has elements of no known kind\.$"):
        quantize(QuantizeOptions(model=path, run_mode="infer"))
