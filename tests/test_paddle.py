"""Paddle models: a program written by hand converts, and damage is one sentence."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from knightlite.errors import KnightliteError, ModelError, UnsupportedError, UsageError
from knightlite.frontend import load, paddle, paddle_weights
from knightlite.inference import session
from knightlite.onnx_models import write_float
from paddle_program import (
    Attribute,
    conv_relu_program,
    conv_relu_weights,
    field,
    one_operator,
    record,
    records,
    write_conv_relu,
)

needs_converter = pytest.mark.skipif(
    importlib.util.find_spec("paddle2onnx") is None, reason="paddle2onnx is for Python < 3.13"
)


@needs_converter
def test_a_program_becomes_one_convolution(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    weights = write_conv_relu(tmp_path)
    graph = load(tmp_path / "tiny.pdmodel")
    assert (graph.name, graph.inputs, graph.outputs) == ("tiny", ("x",), ("relu.out",))
    (node,) = graph.nodes
    assert (node.op, node.attributes["pads"]) == ("Conv", (1, 1, 1, 1))
    assert node.attributes["clamp"] == (0.0, float("inf"))
    np.testing.assert_array_equal(graph.constants[node.inputs[1]], weights["conv.w"])
    np.testing.assert_array_equal(graph.constants[node.inputs[2]], weights["conv.b"])
    x = np.ones((1, 3, 8, 8), np.float32)
    (y,) = session(write_float(graph)).run(None, {"x": x})
    total = weights["conv.w"].sum(axis=(1, 2, 3)) + weights["conv.b"]
    np.testing.assert_allclose(y[0, :, 4, 4], np.maximum(total, 0), rtol=1e-5)
    assert capfd.readouterr() == ("", "")  # nothing of what the converter prints


@needs_converter
def test_the_weight_file_may_be_elsewhere(tmp_path: Path) -> None:
    write_conv_relu(tmp_path)
    elsewhere = tmp_path / "weights.bin"
    (tmp_path / "tiny.pdiparams").rename(elsewhere)
    with pytest.raises(UsageError) as caught:
        load(tmp_path / "tiny.pdmodel")
    assert caught.value.sentence == (
        f"There is no weight file {tmp_path}/tiny.pdiparams beside {tmp_path}/tiny.pdmodel."
    )
    assert caught.value.hint == "give it with -w/--weight"
    assert load(tmp_path / "tiny.pdmodel", elsewhere, "paddle").outputs == ("relu.out",)
    with pytest.raises(UsageError, match=r"^file .*gone\.pdiparams does not exist\.$"):
        load(tmp_path / "tiny.pdmodel", tmp_path / "gone.pdiparams")


@needs_converter
def test_bit_flips_in_the_program_never_leave_a_traceback(tmp_path: Path) -> None:
    write_conv_relu(tmp_path)
    path = tmp_path / "tiny.pdmodel"
    data = path.read_bytes()
    rng = np.random.default_rng(2)
    sentences = []
    for position in rng.choice(len(data), 12, replace=False):
        flipped = bytearray(data)
        flipped[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        try:
            load(path)
        except KnightliteError as error:
            sentences.append(error.sentence)
    assert len(sentences) > 3
    assert all(sentence.endswith(".") for sentence in sentences)
    assert all(len(sentence.splitlines()) == 1 for sentence in sentences)


def fails(folder: Path) -> KnightliteError:
    with pytest.raises(ModelError) as caught:
        load(folder / "tiny.pdmodel")
    return caught.value


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "an empty file, not a Paddle program"),
        (b"hello, I am text\n" * 20, "a text, not a Paddle program"),
        (b"\xff" * 100, "not a Paddle program or is truncated"),
    ],
)
def test_no_program(tmp_path: Path, content: bytes, told: str) -> None:
    write_conv_relu(tmp_path)
    (tmp_path / "tiny.pdmodel").write_bytes(content)
    assert fails(tmp_path).sentence == f"{tmp_path}/tiny.pdmodel is {told}."


def test_a_program_without_what_every_variable_has(tmp_path: Path) -> None:
    """Some versions of protobuf read a message that lacks a required field."""
    write_conv_relu(tmp_path)
    nameless = field(3, field(2, field(1, 7)))  # a variable
    (tmp_path / "tiny.pdmodel").write_bytes(field(1, field(1, 0) + nameless))
    assert fails(tmp_path).sentence == (
        f"{tmp_path}/tiny.pdmodel is not a Paddle program or is truncated."
    )


def test_every_truncated_program(tmp_path: Path) -> None:
    data = conv_relu_program(conv_relu_weights())
    for size in range(1, len(data) - 8, 37):  # the last bytes are the version, after the block
        with pytest.raises(ModelError, match=r"is not a Paddle program or is truncated\.$"):
            paddle_weights.expected_tensors(data[:size], Path("m.pdmodel"))


@needs_converter
def test_an_operator_the_converter_does_not_know(tmp_path: Path) -> None:
    write_conv_relu(tmp_path)
    path = tmp_path / "tiny.pdmodel"
    path.write_bytes(path.read_bytes().replace(b"\x1a\x04relu", b"\x1a\x04rexu"))
    with pytest.raises(UnsupportedError) as caught:
        load(path)
    assert caught.value.sentence == (
        f"{path} has Paddle operators that paddle2onnx 1.3.1 cannot convert: rexu."
    )


@needs_converter
@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"Filter", b"Filtex", "Cannot find input: Filter in operator: conv2d"),
        (b"groups", b"groupx", "Cannot found attribute groups in op: conv2d"),
    ],
)
def test_what_the_converter_says_is_passed_on(
    tmp_path: Path, old: bytes, new: bytes, reason: str
) -> None:
    write_conv_relu(tmp_path)
    path = tmp_path / "tiny.pdmodel"
    data = path.read_bytes()
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, new))
    error = fails(tmp_path)
    assert error.sentence == f"paddle2onnx cannot convert {path}: {reason}."
    assert "save it again with paddle.jit.save" in error.hint


@needs_converter
def test_a_model_that_the_converter_delivers_beside_an_error(tmp_path: Path) -> None:
    shapes = ((1, 4, 4, 4, 3), (1, 2, 2, 2, 3))
    attributes: dict[str, Attribute] = {
        "pooling_type": "max", "ksize": [2, 2, 2], "strides": [2, 2, 2], "paddings": [0, 0, 0],
        "global_pooling": False, "adaptive": False, "ceil_mode": False, "exclusive": True,
        "data_format": "NDHWC", "padding_algorithm": "EXPLICIT",
    }  # fmt: skip
    path = one_operator(tmp_path, "pool3d", ("X", "Out"), shapes, attributes)
    with pytest.raises(ModelError) as caught:
        load(path)
    assert caught.value.sentence == (
        f"paddle2onnx cannot convert {path}: [pool3d: y] NDHWC format is not supported."
    )


# ------------------------------------------------------------------ weights


def check(data: bytes) -> None:
    expected = paddle_weights.expected_tensors(
        conv_relu_program(conv_relu_weights()), Path("m.pdmodel")
    )
    paddle_weights.check(data, Path("m.pdiparams"), expected)


def sentence(data: bytes) -> str:
    with pytest.raises(ModelError) as caught:
        check(data)
    assert caught.value.hint
    return caught.value.sentence


def test_expected_tensors() -> None:
    found = paddle_weights.expected_tensors(
        conv_relu_program(conv_relu_weights()), Path("m.pdmodel")
    )
    assert [(item.name, item.element, item.shape) for item in found] == [
        ("conv.b", 5, (4,)),
        ("conv.w", 5, (4, 3, 3, 3)),
    ]
    check(records(conv_relu_weights()))


def test_every_truncation_names_its_tensor() -> None:
    data = records(conv_relu_weights())
    first = len(record(conv_relu_weights()["conv.b"]))
    for size in range(len(data)):
        which = "conv.b (1 of 2)" if size < first else "conv.w (2 of 2)"
        if size in (0, first):
            wanted = f"m.pdiparams ends before tensor {which}: it is truncated or not this model's."
            assert sentence(data[:size]) == wanted
        else:
            assert sentence(data[:size]).startswith(
                f"m.pdiparams is truncated inside tensor {which}"
            )
    assert sentence(data[:-1]) == (
        "m.pdiparams is truncated inside tensor conv.w (2 of 2): 432 bytes of data are needed, "
        "431 are left."
    )


def test_trailing_bytes() -> None:
    data = records(conv_relu_weights())
    assert sentence(data + b"\0") == (
        f"m.pdiparams must have {len(data)} bytes for the 2 tensors of the model, not "
        f"{len(data) + 1}: it belongs to another model."
    )


def test_another_shape() -> None:
    weights = conv_relu_weights()
    weights["conv.w"] = weights["conv.w"].reshape(4, 3, 9, 1)
    assert sentence(records(weights)) == (
        "m.pdiparams does not fit the model: tensor conv.w (2 of 2) must be float32 [4, 3, 3, 3], "
        "not float32 [4, 3, 9, 1]."
    )


def test_a_flipped_header() -> None:
    data = bytearray(records(conv_relu_weights()))
    position = len(record(conv_relu_weights()["conv.b"]))
    for offset in range(16):
        flipped = bytearray(data)
        flipped[position + offset] ^= 4
        assert sentence(bytes(flipped)) == (
            f"m.pdiparams is damaged at byte {position}: tensor conv.w (2 of 2) has no valid "
            "record header."
        )


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_values_that_are_not_finite(value: float) -> None:
    weights = conv_relu_weights()
    weights["conv.w"][0, 1, 2, 0] = value
    assert sentence(records(weights)) == (
        "m.pdiparams: tensor conv.w (2 of 2) has 1 of 108 values that are NaN or infinite."
    )


# ------------------------------------------------------------------ the converter itself


def test_without_the_converter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_conv_relu(tmp_path)

    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    with pytest.raises(UsageError) as caught:
        load(tmp_path / "tiny.pdmodel")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert caught.value.sentence == (
        f"Reading .pdmodel files needs paddle2onnx 1.3.1, which is not installed in this Python "
        f"{python}."
    )
    assert caught.value.hint == (
        "pip install paddle2onnx==1.3.1 (Python 3.10 to 3.12), or convert the model to ONNX "
        "elsewhere and pass the .onnx"
    )


@needs_converter
def test_another_version_of_the_converter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_conv_relu(tmp_path)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "2.1.0")
    with pytest.raises(UsageError, match=r"needs paddle2onnx 1\.3\.1, not 2\.1\.0\.$"):
        load(tmp_path / "tiny.pdmodel")


@needs_converter
def test_a_crash_of_the_converter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_conv_relu(tmp_path)
    crash = tmp_path / "crash.py"
    crash.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    monkeypatch.setattr(paddle, "CHILD", crash)
    assert fails(tmp_path).sentence == (
        f"paddle2onnx cannot convert {tmp_path}/tiny.pdmodel: it crashed with signal 11."
    )


@needs_converter
def test_a_lower_limit_of_memory_is_kept(tmp_path: Path) -> None:
    """What may not be raised is left as it is."""
    write_conv_relu(tmp_path)
    model, output = tmp_path / "tiny.pdmodel", tmp_path / "made.onnx"
    converter = [paddle.CHILD, paddle._extension(), model, model.with_suffix(".pdiparams"),
                 paddle.OPSET, "optimized", output, tmp_path / "reason"]  # fmt: skip
    shell = ["sh", "-c", 'ulimit -v 8000000; exec "$@"', "sh", sys.executable]
    subprocess.run([*shell, *map(str, converter)], check=True, stdout=subprocess.DEVNULL)
    assert output.stat().st_size


@needs_converter
def test_a_converter_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_conv_relu(tmp_path)
    hang = tmp_path / "hang.py"
    hang.write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setattr(paddle, "CHILD", hang)
    monkeypatch.setattr(paddle, "TIMEOUT_S", 0.2)
    assert fails(tmp_path).sentence == (
        f"paddle2onnx did not finish converting {tmp_path}/tiny.pdmodel within 0.2 s."
    )
