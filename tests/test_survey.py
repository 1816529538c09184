"""The survey behind ``check``: every unsupported node at once, MACs, parameters, counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import networks
from knightlite.errors import UsageError
from knightlite.frontend import survey
from knightlite.frontend.survey import OpCount
from onnx_nets import MODELS, Net, needs_shared


def mixed(folder: Path) -> Path:
    net = Net()
    net.input("x", ("N", 4, 9, 9))
    net.conv("x", "a", (8, 4, 3, 3), bias=True)  # 7 * 7 * 8 * 36 = 14112
    net.norm("a", "n", 8)
    net.conv("n", "g", (9, 4, 3, 3), group=2)  # 5 * 5 * 9 * 36 = 8100, refused
    net.node("Hardmax", ["g"], "l")
    net.node("Shape", ["l"], "s")
    net.node("Gather", ["s", net.weight("zero", np.array([0]))], "b", axis=0)
    net.node("Concat", ["b", net.weight("rest", np.array([-1]))], "t", axis=0)
    net.node("Reshape", ["l", "t"], "f")
    net.node("Gemm", ["f", net.random("w", (225, 10)), net.random("c", (10,))], "y")  # 2250
    net.node("MatMul", ["y", net.random("v", (10, 3))], "z")  # 30
    net.node("Softmax", ["z"], "p", axis=1)
    return net.save(folder, "p")


def test_counts_and_sizes(tmp_path: Path) -> None:
    found = survey(mixed(tmp_path))
    assert found.name == "net"
    assert found.graph is None
    assert [f"{item.where}: {item.sentence}" for item in found.errors] == [
        "Conv_g: Conv: 9 output channels must be a multiple of the 2 groups.",
        "Hardmax_l: Hardmax is not supported yet.",
    ]
    # the convolution is wrong anywhere: there is nothing that -gp would mend
    assert [item.hint for item in found.errors] == ["", ""]
    assert found.operators == {
        "BatchNormalization": OpCount(1, 1),
        "Concat": OpCount(1, 1),
        "Conv": OpCount(2, 1),
        "Gather": OpCount(1, 1),
        "Gemm": OpCount(1, 1),
        "Hardmax": OpCount(1, 0),
        "MatMul": OpCount(1, 1),
        "Reshape": OpCount(1, 1),
        "Shape": OpCount(1, 1),
        "Softmax": OpCount(1, 1, 1),
    }
    assert found.macs == 14112 + 8100 + 2250 + 30
    assert found.npu_macs == 14112 + 2250 + 30
    assert found.parameters == (288 + 8) + 4 * 8 + 324 + (2250 + 10) + 30


def test_a_gemm_that_transposes_multiplies_along_the_other_axis(tmp_path: Path) -> None:
    """[1, 8] transposed times [1, 4]: 8 x 4 products."""
    net = Net()
    net.input("x", (1, 8, 1, 1))
    net.node("Flatten", ["x"], "f")
    net.node("Gemm", ["f", net.random("w", (1, 4))], "y", transA=1)
    found = survey(net.save(tmp_path, "y"))
    assert (found.macs, found.npu_macs) == (32, 0)


def test_a_supported_model_has_a_graph_and_warnings(tmp_path: Path) -> None:
    net = Net()
    net.input("x", (1, 4, 9, 9))
    net.conv("x", "c", (8, 4, 9, 9))
    net.node("Softmax", ["c"], "p", axis=1)
    found = survey(net.save(tmp_path, "p"))
    assert found.graph is not None
    assert found.errors == ()
    assert [(f"{item.where}: {item.sentence}", item.severity) for item in found.findings] == [
        ("p: Softmax runs on the host, after the NPU.", "warning")
    ]
    assert found.macs == found.npu_macs == 8 * 4 * 81


@pytest.mark.parametrize(("kind", "refused"), [("Relu", 0), ("Hardmax", 1)])
def test_what_the_reader_changed_is_said_also_where_the_network_is_refused(
    tmp_path: Path, kind: str, refused: int
) -> None:
    net = Net()
    net.input("x", (4, 3, 2, 2))
    net.node(kind, ["x"], "a")
    net.node("Reshape", ["a", net.weight("sizes", np.array([4, -1]))], "r")
    net.node("Gemm", ["r", net.random("w", (12, 5))], "y")
    found = survey(net.save(tmp_path, "y"), input_shapes=((1, 3, 2, 2),))
    assert [item.where for item in found.findings if item.severity == "warning"] == ["Reshape_r"]
    assert len(found.errors) == refused


def test_what_lies_behind_an_unknown_shape_is_not_called_supported(tmp_path: Path) -> None:
    net = Net()
    net.input("x", (1, 4, 9, 9))
    net.node("NonZero", ["x"], "i")
    net.node("Relu", ["i"], "y")
    found = survey(net.save(tmp_path, "y"))
    assert [str(item) for item in found.errors] == [
        "NonZero_i: NonZero is not supported yet. Hint: the host cannot do it in the middle of the "
        "network either (-gp): the shape of i at NonZero NonZero_i depends on the values"
    ]
    assert found.operators == {"NonZero": OpCount(1, 0), "Relu": OpCount(1, 0)}


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^file .* does not exist"):
        survey(tmp_path / "none.onnx")


class Unmeasured(networks.Net):
    """BatchNorms of ones: only sizes are looked at."""

    def norm(self, x: str) -> str:
        ones = [self.weight(np.ones(self.channels[x], np.float32)) for _ in range(4)]
        return self.node("BatchNormalization", [x, *ones], self.channels[x])


def test_densenet121_has_its_published_size(tmp_path: Path) -> None:
    """PaddleClas publishes 5.69 GFLOPs and 7.98 M parameters, without BatchNorm's statistics."""
    net = Unmeasured(0, (3, 224, 224), {})
    body = networks.densenet(net, 32, (6, 12, 24, 16), 64, flat=False)
    path = tmp_path / "densenet121.onnx"
    path.write_bytes(net.model(net.classifier(body, 1000)).SerializeToString())
    found = survey(path)
    assert found.macs == 2_834_161_664
    assert found.parameters == 8_062_504  # as Paddle counts them
    assert abs(2 * found.macs / 5.69e9 - 1) < 0.02
    assert abs(found.parameters / 7.98e6 - 1) < 0.02


@needs_shared
def test_the_detector_ends_on_the_host() -> None:
    found = survey(MODELS / "yolox_nano.onnx")
    assert found.graph is not None
    assert not found.errors
    assert [op.op for op in found.graph.host if op.op != "Reshape"] == [
        "Concat", "Concat", "Concat", "Concat", "Transpose",
    ]  # fmt: skip
    assert found.operators["Slice"] == OpCount(8, 8)
    assert found.operators["Conv"] == OpCount(113, 113)
    assert found.operators["Concat"] == OpCount(18, 18, 4)
    assert found.macs == found.npu_macs == 522_553_408


@needs_shared
def test_a_published_network() -> None:
    found = survey(MODELS / "squeezenet1.1.onnx")
    assert found.graph is not None
    assert found.parameters == 1_235_496
    assert found.macs == 349_151_936
