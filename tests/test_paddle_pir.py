"""Paddle's PIR .json: checked here, converted in another interpreter, each failure one sentence."""

from __future__ import annotations

import importlib.metadata
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stub_frameworks
from knightlite.errors import KnightliteError, ModelError, UnsupportedError, UsageError
from knightlite.frontend import Conversion, load, paddle_pir
from knightlite.frontend.paddle_weights import Expected
from onnx_nets import Net, operators
from paddle_program import conv_relu_weights, records

FLOAT = "0.t_f32"


def parameter(name: str, shape: tuple[int, ...], element: str = FLOAT) -> dict[str, Any]:
    described = {"#": "0.t_dtensor", "D": [{"#": element}, list(shape), "NCHW", [], 0]}
    return {"#": "p", "A": [0, 1, 1, name], "O": {"%": 1, "TT": described}}


def program(*operations: dict[str, Any]) -> dict[str, Any]:
    block = {"#": "block_0", "args": [], "ops": [*operations, {"#": "1.relu"}]}
    return {
        "base_code": {"magic": "pir", "trainable": True, "version": 4},
        "program": {"regions": [{"#": "region_0", "blocks": [block]}]},
    }


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PIR program with two weights; the stub converter's ONNX has the same ones."""
    weights = conv_relu_weights()
    listed = [parameter(name, values.shape) for name, values in weights.items()]
    (tmp_path / "net.json").write_text(json.dumps(program(*listed)))
    (tmp_path / "net.pdiparams").write_bytes(records(weights))
    made = Net()
    made.input("x", ("batch", 3, 8, 8))
    made.node(
        "Conv",
        ["x", *(made.weight(name, weights[name]) for name in ("conv.w", "conv.b"))],
        "c",
        pads=[1, 1, 1, 1],
    )
    made.node("Relu", ["c"], "y")
    (tmp_path / "made").mkdir()
    monkeypatch.setenv("STUB_ONNX", str(made.save(tmp_path / "made", "y")))
    monkeypatch.setenv("STUB_LOG", str(tmp_path / "log"))
    monkeypatch.delenv("KNIGHTLITE_PADDLE_PYTHON", raising=False)
    return tmp_path / "net.json"


def refusal(net: Path, python: str | None, weight: Path | None = None) -> KnightliteError:
    with pytest.raises(KnightliteError) as caught:
        load(net, weight, conversion=Conversion(paddle_python=python))
    return caught.value


def test_the_stub_converts(net: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    python = stub_frameworks.paddle_interpreter(tmp_path)
    graph = load(net, conversion=Conversion(paddle_python=python))
    assert (graph.name, operators(graph), graph.outputs) == ("net", ["Conv"], ("y",))
    assert json.loads((tmp_path / "log").read_text()) == [
        str(net), str(tmp_path / "net.pdiparams"), None, 13, "None", "0",
    ]  # fmt: skip
    assert capfd.readouterr() == ("", "")


def test_the_variable_and_another_weight_file(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KNIGHTLITE_PADDLE_PYTHON", stub_frameworks.paddle_interpreter(tmp_path))
    (tmp_path / "net.pdiparams").rename(tmp_path / "w.bin")
    assert load(net, tmp_path / "w.bin").name == "net"
    error = refusal(net, None)
    assert error.sentence == f"There is no weight file {tmp_path}/net.pdiparams beside {net}."


def test_no_interpreter(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.3.1")
    error = refusal(net, None)
    assert type(error) is UsageError
    assert error.sentence == (
        f"Reading Paddle's PIR format ({net}) needs paddlepaddle 3 and paddle2onnx 2, which this "
        "Python does not have."
    )
    assert "pip install paddlepaddle==3.3.1 paddle2onnx==2.1.0 packaging" in error.hint
    assert "--paddle-python PATH or KNIGHTLITE_PADDLE_PYTHON" in error.hint


@pytest.mark.parametrize(
    ("paddle", "converter", "sentence"),
    [
        ("2.6.2", "2.1.0", "paddlepaddle of * must be version 3, not 2.6.2."),
        ("3.3.1", "1.3.1", "paddle2onnx of * must be version 2, not 1.3.1."),
        ("3.3.1", "3.0.0", "paddle2onnx of * must be version 2, not 3.0.0."),
    ],
)
def test_other_versions(
    net: Path, tmp_path: Path, paddle: str, converter: str, sentence: str
) -> None:
    error = refusal(net, stub_frameworks.paddle_interpreter(tmp_path, paddle, converter))
    before, _, after = sentence.partition("*")
    assert error.sentence.startswith(before)
    assert error.sentence.endswith(after)
    assert error.hint == "it needs paddlepaddle 3 and paddle2onnx 2"


def test_no_paddle_there(net: Path, tmp_path: Path) -> None:
    error = refusal(net, stub_frameworks.interpreter(tmp_path, {"empty.py": ""}))
    assert error.exit_code == 2
    assert error.sentence.endswith(" has no paddlepaddle.")


def test_a_converter_that_lacks_a_package(net: Path, tmp_path: Path) -> None:
    python = stub_frameworks.paddle_interpreter(tmp_path)
    (tmp_path / "packages" / "paddle2onnx" / "__init__.py").write_text("import packagine.version")
    error = refusal(net, python)
    assert "cannot be imported: No module named 'packagine'." in error.sentence
    assert error.hint.endswith("-m pip install packagine")


@pytest.mark.parametrize(
    ("code", "kind", "sentence"),
    [
        ("print('2026-01-01 00:00:00 \\033[1m[ERROR]\\tIt is bad.'); sys.exit(-1)", ModelError,
         "paddle2onnx cannot convert {net}: It is bad."),
        ("print('[Paddle2ONNX] [ERROR] The exported ONNX model is invalid.')", ModelError,
         "paddle2onnx cannot convert {net}: The exported ONNX model is invalid."),
        ("os.kill(os.getpid(), 11)", ModelError,
         "paddle2onnx cannot convert {net}: it crashed with signal 11."),
        ("print('[ERROR][Paddle2ONNX] Due to the unsupported operators, the conversion is "
         "aborted.', flush=True); os.abort()", UnsupportedError,
         "{net} has Paddle operators that paddle2onnx of {python} cannot convert."),
    ],
)  # fmt: skip
def test_the_converter_gives_up(
    net: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    kind: type[KnightliteError],
    sentence: str,
) -> None:
    monkeypatch.setenv("STUB_CODE", code)
    python = stub_frameworks.paddle_interpreter(tmp_path)
    error = refusal(net, python)
    assert type(error) is kind
    assert error.sentence == sentence.format(net=net, python=python)


def test_no_python_at_all(net: Path) -> None:
    error = refusal(net, "/bin/true")
    assert error.sentence == "/bin/true is not a Python interpreter: it gave no answer."


# ------------------------------------------------------------------ the program itself


def test_expected_tensors() -> None:
    text = json.dumps(program(parameter("w", (4, 3)), parameter("b", (), "0.t_i64")))
    found = paddle_pir.expected_tensors(text.encode(), Path("m.json"))
    assert found == [Expected("b", 3, ()), Expected("w", 5, (4, 3))]


def test_every_truncation_is_one_sentence(net: Path) -> None:
    data = net.read_bytes()
    for size in range(0, len(data), 29):
        with pytest.raises(ModelError, match=r"^m\.json is not a Paddle PIR program or is trunc"):
            paddle_pir.expected_tensors(data[:size], Path("m.json"))


@pytest.mark.parametrize(
    "text",
    ["[]", "{}", '{"base_code": {"magic": "other"}}', '{"quant": {}}', "3",
     json.dumps({**program(), "program": {"regions": [{"blocks": [{"ops": [{}]}]}]}}),
     json.dumps(program(parameter("w", (1,), "0.t_new"))), "[" * 100_000],
)  # fmt: skip
def test_other_json(text: str) -> None:
    with pytest.raises(ModelError) as caught:
        paddle_pir.expected_tensors(text.encode(), Path("m.json"))
    assert caught.value.sentence.startswith("m.json is not a Paddle PIR program or is ")
    assert "paddle.jit.save" in caught.value.hint


# ------------------------------------------------------------------ what is approximated


def operation(kind: str, number: int, shape: Any, read: list[int], **attributes: Any) -> Any:
    """An operation of one result, as Paddle 3.3 writes it."""
    listed = [
        {"N": name, "AT": {"#": "0.a", "D": [{"#": "0.a", "D": part} for part in value]
                           if isinstance(value, list) else value}}
        for name, value in attributes.items()
    ]  # fmt: skip
    result = {"%": number, "TT": {"#": "0.t_dtensor", "D": [{"#": "0.t_f32"}, shape, "NCHW"]}}
    return {"#": f"1.{kind}", "A": listed, "I": [{"%": item} for item in read], "O": [result]}


TURNED = {
    "strides": [2, 2], "paddings": [1, 1], "output_padding": [], "dilations": [1, 1], "groups": 1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "made", "attributes", "reason"),
    [
        ("pool2d", [1, 6, 5, 5], {"adaptive": True},
         "[13, 11] rows and columns fall into bins of unlike sizes"),
        ("pool2d", [1, 6, 13, 1], {"adaptive": True}, ""),
        ("pool2d", [1, 6, 1, 1], {"adaptive": True}, ""),
        ("pool2d", [1, 6, 6, 5], {"adaptive": False}, ""),
        ("max_pool2d_with_index", [1, 6, 4, 11], {"adaptive": True},
         "[13, 11] rows and columns fall into bins of unlike sizes"),
        ("conv2d_transpose", [1, 8, 25, 21], {**TURNED, "padding_algorithm": "EXPLICIT"}, ""),
        ("conv2d_transpose", [1, 8, 26, 22], {**TURNED, "padding_algorithm": "EXPLICIT"},
         "it leaves the output size out"),
        ("conv2d_transpose", [1, 8, 26, 22],
         {**TURNED, "output_padding": [1, 1], "padding_algorithm": "EXPLICIT"}, ""),
        ("conv2d_transpose", [1, 8, 26, 22], {**TURNED, "padding_algorithm": "SAME"},
         "it leaves SAME padding out"),
        ("conv2d_transpose", [1, 8, 24, 19],
         {**TURNED, "paddings": [1, 2, 0, 4], "padding_algorithm": "EXPLICIT"}, ""),
        ("conv2d_transpose", [1, 8, 24, 20],
         {**TURNED, "paddings": [1, 2, 0, 4], "padding_algorithm": "EXPLICIT"},
         "it leaves the output size out"),
        ("conv2d_transpose", [1, 8, 25, 19],
         {**TURNED, "paddings": [1, 2, 0, 4], "padding_algorithm": "EXPLICIT"},
         "it leaves the output size out"),
        ("conv2d_transpose", [1, 8, 41, 36],
         {"strides": [3, 3], "paddings": [1, 0], "output_padding": [1, 2], "dilations": [2, 1],
          "groups": 1, "padding_algorithm": "EXPLICIT"}, "it leaves the output size out"),
        ("conv2d_transpose", [1, 8, 40, 35],
         {"strides": [3, 3], "paddings": [1, 0], "output_padding": [1, 2], "dilations": [2, 1],
          "groups": 1, "padding_algorithm": "EXPLICIT"}, ""),
        ("thresholded_relu", [1, 6, 13, 11], {"threshold": 0.3, "value": 0.1},
         "it gives 0 below the threshold, not 0.1"),
        ("thresholded_relu", [1, 6, 13, 11], {"threshold": 0.3, "value": 0.0}, ""),
    ],
)  # fmt: skip
def test_what_the_converter_would_approximate(
    kind: str, made: list[int], attributes: dict[str, Any], reason: str
) -> None:
    weight = {**parameter("w", (6, 8, 3, 3))}
    weight["O"] = {**weight["O"], "%": 1}
    read = program(
        weight,
        operation("data", 2, [1, 6, 13, 11], []),
        operation(kind, 3, made, [2, 1], **attributes),
    )["program"]
    if not reason:
        paddle_pir.refuse_approximated(read, Path("m.json"))
        return
    with pytest.raises(UnsupportedError) as caught:
        paddle_pir.refuse_approximated(read, Path("m.json"))
    assert caught.value.sentence == (
        f"paddle2onnx approximates {kind} to {made} of m.json: {reason}."
    )
    assert "DygraphOldIrGuard" in caught.value.hint


def test_an_operation_that_lacks_parts() -> None:
    broken = operation("pool2d", 3, [1, 6, 5, 5], [2], adaptive=True)
    del broken["I"]
    with pytest.raises(ModelError, match="an operation lacks parts"):
        paddle_pir.refuse_approximated(program(broken)["program"], Path("m.json"))


def test_weights_of_another_model(net: Path, tmp_path: Path) -> None:
    (tmp_path / "net.pdiparams").write_bytes(records(conv_relu_weights())[:-1])
    error = refusal(net, "/bin/true")
    assert error.sentence.startswith(f"{tmp_path}/net.pdiparams is truncated inside tensor conv.w")


# ------------------------------------------------------------------ the real one

REAL = """
import sys
import paddle
class Net(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.a = paddle.nn.Conv2D(3, 4, 3, padding=1)
        self.b = paddle.nn.BatchNorm2D(4)
        self.c = paddle.nn.Linear(4, 5)
    def forward(self, x):
        x = paddle.nn.functional.relu(self.b(self.a(x)))
        return self.c(paddle.flatten(paddle.nn.functional.adaptive_avg_pool2d(x, 1), 1))
paddle.seed(0)
net = Net()
net.eval()
spec = paddle.static.InputSpec([None, 3, 8, 8], "float32", "x")
paddle.jit.save(net, sys.argv[1], input_spec=[spec])
x = paddle.arange(192, dtype="float32").reshape([1, 3, 8, 8]) / 100
net(x).numpy().tofile(sys.argv[1] + ".bin")
"""


def test_real_paddle(tmp_path: Path) -> None:
    from knightlite.inference import session
    from knightlite.onnx_models import write_float

    python = stub_frameworks.real("KNIGHTLITE_PADDLE_PYTHON", "paddle")
    save = tmp_path / "save.py"
    save.write_text(REAL)
    stub_frameworks.run_there(python, save, str(tmp_path / "net"))
    graph = load(tmp_path / "net.json", conversion=Conversion(paddle_python=python))
    assert operators(graph) == ["Conv", "AveragePool", "Conv"]
    x = np.arange(192, dtype=np.float32).reshape(1, 3, 8, 8) / 100
    (found,) = session(write_float(graph)).run(None, {graph.inputs[0]: x})
    wanted = np.fromfile(tmp_path / "net.bin", np.float32).reshape(1, 5)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    text = (tmp_path / "net.json").read_text()
    assert '"1.relu"' in text
    (tmp_path / "net.json").write_text(text.replace('"1.relu"', '"1.rexu"'))
    error = refusal(tmp_path / "net.json", python)
    assert type(error) is UnsupportedError
    assert os.path.basename(python) in error.sentence
