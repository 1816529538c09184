"""Parts of models that cannot be cut out, each with its sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper

from knightlite.api.inspection.submodel import cut_out
from knightlite.errors import KnightliteError, ModelError, UnsupportedError
from onnx_nets import Net


def twice(model: ModelProto) -> None:
    model.graph.node.append(model.graph.node[-1])


def unknown(model: ModelProto) -> None:
    model.graph.node[0].op_type, model.graph.node[0].domain = "Riddle", "strange"
    model.opset_import.append(helper.make_opsetid("strange", 1))
    model.graph.ClearField("value_info")


def sparse(model: ModelProto) -> None:
    values = onnx.numpy_helper.from_array(np.ones(1, np.float32), "s")
    places = onnx.numpy_helper.from_array(np.zeros(1, np.int64), "")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [4]))


def annotated(model: ModelProto) -> None:
    model.graph.quantization_annotation.add().tensor_name = "c"


def versionless(model: ModelProto) -> None:
    model.opset_import[0].domain = "strange"


@pytest.mark.parametrize(
    ("change", "kind", "sentence"),
    [
        (twice, ModelError, "net.onnx: 2 nodes write y."),
        (unknown, ModelError,
         "net.onnx: the type of c is not known: shape inference does not reach it."),
        (sparse, UnsupportedError, "net.onnx has 1 sparse constants, which no part can keep."),
        (annotated, UnsupportedError,
         "net.onnx has 1 annotations of quantization, which no part can keep."),
        (versionless, ModelError,
         "net.onnx is not a valid ONNX model: [TypeInferenceError] Cannot infer type and shape for "
         "node name Conv_c. No opset import for domain optype Conv."),
    ],
)  # fmt: skip
def test_what_no_part_is_cut_of(
    change: Callable[[ModelProto], None],
    kind: type[KnightliteError],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    net = Net()
    net.conv(net.input("x", (1, 3, 8, 8)), "c", (4, 3, 3, 3))
    net.node("Relu", ["c"], "y")
    path = net.save(Path(), "y")
    cut_out(path, (), ("c",), None, Path("out"))
    model = onnx.load(path)
    change(model)
    onnx.save(model, path)
    with pytest.raises(kind) as caught:
        cut_out(path, (), ("c",), "other", Path("out"))
    assert caught.value.sentence == sentence
    assert not Path("out/other.onnx").exists()
