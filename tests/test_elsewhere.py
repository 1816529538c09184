"""Formats that are converted elsewhere: one sentence each, and the command that does it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from knightlite.errors import UnsupportedError
from knightlite.frontend import load
from knightlite.frontend.elsewhere import FRAMEWORKS, SUFFIXES


def refusal(name: str, framework: str | None = None) -> UnsupportedError:
    with pytest.raises(UnsupportedError) as caught:
        load(name, framework=framework)
    assert caught.value.exit_code == 2
    return caught.value


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_suffix(suffix: str) -> None:
    error = refusal(f"dir/net{suffix}")
    assert error.sentence.startswith(f"dir/net{suffix} ")
    assert error.hint.endswith(("pass net.onnx", 'pytorch_model.register("FUNCTION")'))


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_framework(framework: str) -> None:
    assert refusal("net", framework).hint.endswith("; pass net.onnx")


@pytest.mark.parametrize("name", ["net.pth", "net.PT"])
def test_pytorch_weights_need_their_function(name: str) -> None:
    error = refusal(name, "pytorch")
    assert error.sentence == f"{name} holds PyTorch weights, and the network is Python code."
    assert error.hint.startswith(f"-f pytorch -m FUNCTION -w {name} -uds SCRIPT, ")


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("net.pb", "--graphdef net.pb --inputs INPUT:0 --outputs OUTPUT:0"),
        ("net.h5", "--keras net.h5"),
        ("net.keras", "--keras net.keras"),
        ("net.tflite", "--tflite net.tflite"),
        ("net", "--saved-model net"),
    ],
)
def test_tensorflow_goes_through_tf2onnx(name: str, option: str) -> None:
    error = refusal(name, "tensorflow")
    assert error.sentence == f"{name} is a TensorFlow model, which tf2onnx must convert first."
    command, _, rest = error.hint.partition("; ")
    assert command == (
        f"python -m tf2onnx.convert {option} --inputs-as-nchw INPUT:0 --opset 13 --output net.onnx"
    )
    assert shlex.split(command)[:3] == ["python", "-m", "tf2onnx.convert"]
    assert rest == "pass net.onnx"


def test_mindspore_exports_itself() -> None:
    error = refusal("net.mindir")
    assert error.sentence == "net.mindir is a MindSpore model, which MindSpore must export first."
    assert "mindspore.export(network, " in error.hint
    assert "file_name='net', file_format='ONNX'); pass net.onnx" in error.hint


def test_a_caffe_file_names_no_other(tmp_path: Path) -> None:
    error = refusal(str(tmp_path / "net.prototxt"))
    assert error.sentence == (
        f"{tmp_path}/net.prototxt is a Caffe model, which must be converted to ONNX elsewhere."
    )
    assert error.hint.endswith("--onnx net.onnx); pass net.onnx")
