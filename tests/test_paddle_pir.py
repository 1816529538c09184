"""Paddle's PIR .json: checked here, converted in another interpreter, each failure one sentence."""

from __future__ import annotations

import importlib.metadata
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import stub_frameworks
from knightlite.errors import KnightliteError, ModelError, UnsupportedError, UsageError
from knightlite.frontend import Conversion, load, paddle_answers, paddle_pir
from knightlite.frontend.paddle_weights import Expected
from knightlite.inference import session
from knightlite.talk import Talk
from onnx_nets import Net, operators
from paddle_program import conv_relu_weights, records

FLOAT = "0.t_f32"


def parameter(name: str, shape: tuple[int, ...], element: str = FLOAT) -> dict[str, Any]:
    described = {"#": "0.t_dtensor", "D": [{"#": element}, list(shape), "NCHW", [], 0]}
    return {"#": "p", "A": [0, 1, 1, name], "O": {"%": 1, "TT": described}}


def data(name: str, shape: tuple[int, ...], element: str = FLOAT) -> dict[str, Any]:
    """An input as Paddle 3.3 writes it."""
    described = {"#": "0.t_dtensor", "D": [{"#": element}, list(shape), "NCHW", [], 0]}
    named = {"N": "name", "AT": {"#": "0.a_str", "D": name}}
    return {"#": "1.data", "A": [named], "I": [], "O": [{"%": 9, "TT": described}]}


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
    listed.append(data("x", (-1, 3, 8, 8)))
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
    path = made.save(tmp_path / "made", "y")
    x = paddle_answers.made_up({"x": ("<f4", (-1, 3, 8, 8))})["x"]
    (y,) = session(onnx.load(path)).run(None, {"x": x})
    np.savez(tmp_path / "answers.npz", x=x, y=y)
    monkeypatch.setenv("STUB_ONNX", str(path))
    monkeypatch.setenv("STUB_ANSWERS", str(tmp_path / "answers.npz"))
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
    source, *asked = json.loads((tmp_path / "log").read_text())
    assert asked == [str(tmp_path / "net.pdiparams"), None, 13, "None", "0"]
    assert (Path(source).name, Path(source).exists()) == ("model.json", False)
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


# ------------------------------------------------------------------ beside Paddle itself


def test_the_converter_reads_single_precision(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """paddle2onnx takes the first bytes of a double for a float: a slope of 4e-43."""
    slope = {"N": "negative_slope", "AT": {"#": "0.a_f64", "D": 0.2}}
    scale = {"N": "scale", "AT": {"#": "0.a_array", "D": [{"#": "0.a_f64", "D": 2.0}]}}
    read = json.loads(net.read_text())
    read["program"]["regions"][0]["blocks"][0]["ops"][-1]["A"] = [slope, scale]
    net.write_text(json.dumps(read))
    seen = tmp_path / "seen.json"
    monkeypatch.setenv(
        "STUB_CODE", f"Path({str(seen)!r}).write_bytes(Path(model_filename).read_bytes())"
    )
    load(net, conversion=Conversion(paddle_python=stub_frameworks.paddle_interpreter(tmp_path)))
    wanted = net.read_text().replace("0.a_f64", "0.a_f32")
    assert json.loads(seen.read_text()) == json.loads(wanted)
    assert wanted.count("0.a_f32") == 2


def test_other_answers_than_paddles(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = stub_frameworks.paddle_interpreter(tmp_path)
    monkeypatch.setenv("STUB_FACTOR", "0.99")
    error = refusal(net, python)
    assert type(error) is ModelError
    assert error.sentence == (
        f"paddle2onnx does not convert {net} exactly: output y keeps 40 dB of what Paddle computes."
    )
    assert error.hint == paddle_answers.REMEDY
    monkeypatch.setenv("STUB_FACTOR", "0.9999")  # 80 dB: another order of the same sums
    assert load(net, conversion=Conversion(paddle_python=python)).outputs == ("y",)


def test_what_paddle_does_not_run_is_said(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_FACTOR", "three quarters")
    python, heard = stub_frameworks.paddle_interpreter(tmp_path), list[str]()
    load(net, conversion=Conversion(paddle_python=python, talk=Talk(warn=heard.append)))
    assert heard == [
        f"what paddle2onnx made of {net} was not compared with Paddle, which does not run it by "
        "itself: could not convert string to float: 'three quarters'"
    ]


def test_made_up_inputs() -> None:
    asked = {"x": ("<f4", (-1, 3, -1, 5)), "ids": ("<i8", (2, 7)), "mask": ("?", (9,))}
    made = paddle_answers.made_up(asked)
    assert [(item.dtype.str, item.shape) for item in made.values()] == [
        ("<f4", (1, 3, 64, 5)), ("<i8", (2, 7)), ("|b1", (9,)),
    ]  # fmt: skip
    assert made["x"].min() < -0.9 < 0.9 < made["x"].max()
    assert set(made["ids"].ravel()) == {0, 1}
    again = paddle_answers.made_up(asked)
    assert all(np.array_equal(made[name], again[name]) for name in asked)


def two_outputs() -> onnx.ModelProto:
    """x, and where x is largest."""
    made = Net()
    made.input("x", (1, 8))
    made.node("Identity", ["x"], "y")
    made.node("ArgMax", ["x"], "k", axis=1)
    return made.model("y", "k")


X = np.array([[1, -2, np.inf, 4, 0.5, np.nan, 3, 1]], np.float32)
HIGHEST = np.array([[5]], np.int64)


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([X], "it has 2 outputs, with Paddle 1"),
        ([X[:, :4], HIGHEST], "output y is [1, 8], with Paddle [1, 4]"),
        ([X, HIGHEST + 1], "100% of the values of output k differ from Paddle's"),
        ([np.where(np.isnan(X), 1, X), HIGHEST], "output y keeps -inf dB of what Paddle computes"),
        ([-X, HIGHEST], "output y keeps -inf dB of what Paddle computes"),
        ([np.zeros_like(X), HIGHEST], "output y keeps -inf dB of what Paddle computes"),
        ([X + np.float32(0.1), HIGHEST], "output y keeps 27 dB of what Paddle computes"),
    ],
)
def test_unlike_answers(answers: list[Any], reason: str) -> None:
    model, where = two_outputs(), Path("m.json")
    with np.errstate(invalid="ignore"):
        (k,) = session(model).run(["k"], {"x": X})
        answers = [k + item - HIGHEST if item.dtype == np.int64 else item for item in answers]
        paddle_answers.hold_against(model, {"x": X, "unread": X}, [X.ravel(), k[0]], where)
        with pytest.raises(ModelError) as caught:
            paddle_answers.hold_against(model, {"x": X}, answers, where)
    assert caught.value.sentence == f"paddle2onnx does not convert m.json exactly: {reason}."


def test_what_onnx_runtime_refuses() -> None:
    """As the converter's BatchNorms with the channels last."""
    made = Net()
    made.input("x", (1, 8))
    made.node("Reshape", ["x", made.weight("s", np.array([3, 3]))], "y")
    with pytest.raises(ModelError) as caught:
        paddle_answers.hold_against(made.model("y"), {"x": X}, [X], Path("m.json"))
    assert caught.value.sentence.startswith(
        "paddle2onnx does not convert m.json: ONNX Runtime refuses what it makes of m.json ("
    )


def test_inputs_of_a_program() -> None:
    read = program(data("x", (-1, 3)), data("ids", (2,), "0.t_i64"), parameter("w", (4,)))
    found = paddle_pir.program_inputs(read["program"], Path("m.json"))
    assert found == {"x": ("<f4", (-1, 3)), "ids": ("<i8", (2,))}
    for broken in (data("x", (1,), "0.t_new"), {**data("x", (1,)), "A": []}, {"#": "1.data"}):
        with pytest.raises(ModelError, match="an operation lacks parts"):
            paddle_pir.program_inputs(program(broken)["program"], Path("m.json"))


def test_weights_that_are_not_kept() -> None:
    """The state of a dropout in an LSTM of two layers is no weight in the file."""
    kept = {**parameter("w", (4, 3)), "OA": [1, 0, 1]}
    state = {**parameter("state", (), "0.t_ui8"), "OA": [0, 1, 0]}
    found = paddle_pir.expected_tensors(json.dumps(program(kept, state)).encode(), Path("m.json"))
    assert found == [Expected("w", 5, (4, 3))]


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
