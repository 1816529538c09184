"""Which reader a file gets, and the sentence for every format that has none yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from knightlite.errors import UnsupportedError, UsageError
from knightlite.frontend import load
from knightlite.frontend.model_files import NOT_YET, framework_of
from onnx_nets import Net


def test_the_suffix_decides() -> None:
    assert framework_of(Path("a.onnx"), None) == "onnx"
    assert framework_of(Path("a.PDMODEL"), None) == "paddle"
    assert framework_of(Path("a.onnx"), "onnx") == "onnx"
    assert framework_of(Path("a.bin"), "paddle") == "paddle"


@pytest.mark.parametrize("suffix", NOT_YET)
def test_formats_that_come_later(suffix: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        load(f"net{suffix}")
    assert caught.value.exit_code == 2
    assert caught.value.sentence.startswith(f"net{suffix}: ")
    assert "not supported yet" in caught.value.sentence
    assert caught.value.hint


def test_pir_names_the_remedy() -> None:
    with pytest.raises(UnsupportedError) as caught:
        load("net.json")
    assert caught.value.sentence == "net.json: Paddle's PIR format (.json) is not supported yet."
    assert "DygraphOldIrGuard()" in caught.value.hint


@pytest.mark.parametrize("framework", ["pytorch", "caffe", "tensorflow"])
def test_frameworks_that_come_later(framework: str) -> None:
    with pytest.raises(UnsupportedError, match=r"are not supported yet\.$"):
        load("resnet50", framework=framework)


@pytest.mark.parametrize(
    ("name", "framework", "sentence"),
    [
        ("a.bin", None, "a.bin must end in .onnx or .pdmodel, not in .bin."),
        ("a", None, "a must end in .onnx or .pdmodel, but has no suffix."),
        ("a.onnx", "paddle", "a.onnx is a model of onnx by its suffix, not of paddle."),
        ("a.onnx", "mxnet", "The framework must be one of onnx, paddle, pytorch, caffe, "
         "tensorflow, not mxnet."),
        ("a.pdiparams", None, "a.pdiparams holds weights, not a model."),
    ],
)  # fmt: skip
def test_names_that_do_not_fit(name: str, framework: str | None, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(name, framework=framework)
    assert caught.value.sentence == sentence


def test_an_onnx_model_takes_no_weight_file(tmp_path: Path) -> None:
    net = Net()
    net.input("x", (1, 4, 9, 9))
    net.node("Sigmoid", ["x"], "y")
    path = net.save(tmp_path, "y")
    with pytest.raises(UsageError) as caught:
        load(path, weight="w.bin")
    assert caught.value.sentence == (
        f"{path} keeps its weights inside, so the weight file w.bin cannot be used."
    )
    assert load(str(path)).name == "net"
