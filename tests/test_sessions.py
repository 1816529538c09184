"""What ONNX Runtime says of a model from outside is a sentence, of one of ours a fault of ours."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from knightlite.api.simulation.golden import GoldenReference
from knightlite.errors import ModelError
from knightlite.inference import session

DAMAGED = b"\x08\x07 no model"


def doubled() -> onnx.ModelProto:
    """y = x + x, x of shape [2]."""
    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy"]
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])], "g", sides[:1], sides[1:]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def test_names_and_values() -> None:
    opened = session(doubled(), 1)
    assert (opened.inputs, opened.outputs) == (("x",), ("y",))
    (found,) = opened.run(None, {"x": np.array([1, -3], np.float32)})
    assert found.tolist() == [2.0, -6.0]


def test_qdq_is_not_fused() -> None:
    """Into kernels that saturate where the CPU has no instruction for them: few tests would see."""
    made = session(doubled(), 1, lean=True)._opened.get_session_options()
    assert made.get_session_config_entry("session.disable_quant_qdq") == "1"
    assert made.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert (made.enable_mem_pattern, made.enable_cpu_mem_arena) == (False, False)
    assert made.intra_op_num_threads == 1
    usual = session(doubled())._opened.get_session_options()
    assert (usual.enable_mem_pattern, usual.enable_cpu_mem_arena) == (True, True)


def test_zeros_of_a_pad_count_in_the_pool_behind_it() -> None:
    """ONNX Runtime would let the MaxPool pad by itself, which does not count what it pads."""
    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 2, 2]) for name in "xy"]
    sides[1].type.tensor_type.ClearField("shape")
    nodes = [
        helper.make_node("Pad", ["x", "pads"], ["wide"]),
        helper.make_node("MaxPool", ["wide"], ["y"], kernel_shape=[2, 2], strides=[2, 2]),
    ]
    pads = helper.make_tensor("pads", TensorProto.INT64, [8], [0, 0, 1, 1, 0, 0, 1, 1])
    model = helper.make_model(
        helper.make_graph(nodes, "g", sides[:1], sides[1:], [pads]),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )
    (found,) = session(model, 1).run(None, {"x": np.full((1, 1, 2, 2), -1, np.float32)})
    assert not found.any()


@pytest.mark.parametrize(
    ("remedy", "begin"),
    [
        ("", "ONNX Runtime refuses out/x.onnx ("),
        ("compile again", "out/x.onnx is damaged: ONNX Runtime refuses it ("),
    ],
)
@pytest.mark.parametrize("when", ["opened", "run"])
def test_refusals(when: str, remedy: str, begin: str) -> None:
    model = DAMAGED if when == "opened" else doubled().SerializeToString()
    with pytest.raises(ModelError) as caught:
        session(model, 1, called="out/x.onnx", remedy=remedy).run(
            None, {"x": np.zeros(3, np.float32)}
        )
    sentence = caught.value.sentence
    assert sentence.startswith(begin)
    assert sentence.endswith(").")
    assert "\n" not in sentence
    assert ("protobuf parsing failed" if when == "opened" else "Got: 3 Expected: 2") in sentence
    assert caught.value.hint == remedy


@pytest.mark.parametrize("model", [DAMAGED, doubled().SerializeToString()])
def test_faults_of_ours_are_raised_as_they_are(model: bytes) -> None:
    with pytest.raises(Exception, match=r"protobuf parsing failed|Got: 3 Expected: 2") as caught:
        session(model, 1).run(None, {"x": np.zeros(3, np.float32)})
    assert not isinstance(caught.value, ModelError)


def test_bytes_are_counted_not_elements() -> None:
    """Of inputs, inner tensors and outputs; one that differs on both ways counts once."""

    class Golden:
        """Delivers t, of 16 bits."""

        def run(self, names: list[str], feeds: object) -> list[np.ndarray[Any, Any]]:
            assert names == ["t"]
            return [np.array([[1, 256, 3]], np.int16)]

    golden: Any = Golden()
    reference = GoldenReference(("x", "t"), frozenset({"x"}), golden)
    x = {"x": np.arange(4, dtype=np.uint8)}
    sound, high, both = (
        np.array([[1, value, 3]], np.int16) for value in (256, 0, 1)
    )  # byte 3 of t is another, then bytes 2 and 3
    for inner, delivered, differing in (
        (sound, sound, 0), (high, sound, 1), (sound, high, 1), (high, both, 2), (both, both, 2),
    ):  # fmt: skip
        found = reference.compare(x, {**x, "t": inner}, {"t": delivered})
        assert found == (4 + 6, differing, ["t"] if differing else [])
    assert reference.compare(x, {**x, "t": high}, {}) == (10, 1, ["t"])
