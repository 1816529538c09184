"""Paddle model functions with .pdparams: built in Paddle's interpreter, saved, converted here."""

from __future__ import annotations

import importlib.util
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stub_frameworks
from knightlite.errors import DataError, KnightliteError, ModelError, UsageError
from knightlite.frontend import Conversion, load
from onnx_nets import operators
from paddle_program import write_conv_relu

HEAD = "from onnx_quantize_tool.common.register import paddle_model\nimport paddle\n"
LAYER = "paddle.nn.Layer(w=paddle.nn.Parameter(4, 3), b=paddle.nn.Parameter(4))"
SPEC = "paddle.static.InputSpec([None, 3, 8, 8], 'float32', 'x')"
DICT = f"return {{'model': {LAYER}, 'inputs': [{SPEC}]}}"

needs_converter = pytest.mark.skipif(
    not stub_frameworks.has_converter(), reason="paddle2onnx 1.3.1 is for Python < 3.13"
)


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A stub of paddle, which "saves" conv + relu."""
    (tmp_path / "made").mkdir()
    write_conv_relu(tmp_path / "made")
    monkeypatch.setenv("STUB_PADDLE", str(tmp_path / "made" / "tiny"))
    monkeypatch.setenv("STUB_LOG", str(tmp_path / "log"))
    monkeypatch.delenv("KNIGHTLITE_PADDLE_PYTHON", raising=False)
    return stub_frameworks.paddle_interpreter(tmp_path, converter=None)


def script(tmp_path: Path, body: str = DICT, name: str = "net", parameters: str = "") -> Path:
    path = tmp_path / "uds.py"
    register = f'@paddle_model.register("{name}")\n' if name else ""
    indented = "".join(f"    {line}\n" for line in body.splitlines())
    path.write_text(f"{HEAD}{register}def {name or 'build'}({parameters}):\n{indented}")
    return path


def weights(tmp_path: Path, **shapes: tuple[int, ...]) -> Path:
    path = tmp_path / "net.pdparams"
    state: dict[str, Any] = {name: np.zeros(shape) for name, shape in shapes.items()}
    path.write_bytes(pickle.dumps({**state, "StructuredToParameterName@@": {}}))
    return path


def saved(tmp_path: Path) -> Any:
    return json.loads((tmp_path / "log").read_text())


def refusal(path: Path, python: str | None, model: str | Path, **options: Any) -> KnightliteError:
    weight, shapes = options.pop("weight", None), options.pop("input_shapes", None)
    with pytest.raises(KnightliteError) as caught:
        load(model, weight, "paddle", shapes, conversion=Conversion(path, python))
    return caught.value


@needs_converter
def test_a_function_and_its_weights(
    python: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    weight = weights(tmp_path, w=(4, 3), b=(4,))
    conversion = Conversion(script(tmp_path), python)
    graph = load("net", weight, "paddle", None, conversion=conversion)
    assert (graph.name, operators(graph), graph.outputs) == ("net", ["Conv"], ("relu.out",))
    assert saved(tmp_path) == {
        "training": False, "loaded": ["b", "w"], "specs": [[[None, 3, 8, 8], "float32", "x"]],
    }  # fmt: skip
    assert capfd.readouterr() == ("", "")


@needs_converter
@pytest.mark.parametrize("name", ["net", "other", ""])
def test_the_weights_as_the_model(python: str, tmp_path: Path, name: str) -> None:
    """The script's only function is taken, or a plain ``build``."""
    weight = weights(tmp_path, w=(4, 3), b=(4,))
    graph = load(weight, conversion=Conversion(script(tmp_path, name=name), python))
    assert graph.name == "net"
    assert saved(tmp_path)["loaded"] == ["b", "w"]


@needs_converter
def test_a_function_that_takes_the_path_loads_by_itself(python: str, tmp_path: Path) -> None:
    body = f"assert weight_path.endswith('other.bin'), weight_path\n{DICT}"
    path = script(tmp_path, body, parameters="weight_path")
    (tmp_path / "other.bin").write_bytes(b"")
    load("net", tmp_path / "other.bin", "paddle", None, conversion=Conversion(path, python))
    assert saved(tmp_path)["loaded"] is None


@needs_converter
def test_a_layer_alone(python: str, tmp_path: Path) -> None:
    path = script(tmp_path, f"return {LAYER}")
    load("net", None, "paddle", [(1, 3, 8, 8)], conversion=Conversion(path, python))
    assert saved(tmp_path)["specs"] == [[[None, 3, 8, 8], "float32", "x"]]
    error = refusal(path, python, "net")
    assert error.sentence == "uds.py: net does not say the shape of its inputs."
    assert "or give -is 1 3 224 224" in error.hint


def test_weights_that_do_not_fit(python: str, tmp_path: Path) -> None:
    path = script(tmp_path)
    weight = weights(tmp_path, w=(4, 3), c=(1,), **{f"d.{n}": (1,) for n in range(7)})
    error = refusal(path, python, "net", weight=weight)
    assert type(error) is ModelError
    assert error.sentence == (
        f"{weight} does not fit the model of uds.py: net: it lacks b; the model does not have its "
        "c, d.0, d.1, d.2, d.3, d.4 and 2 more keys."
    )
    weight = weights(tmp_path, w=(3, 4), b=(4,))
    assert refusal(path, python, "net", weight=weight).sentence == (
        f"{weight} does not fit the model of uds.py: net: w must have shape [4, 3], not [3, 4]."
    )
    weight.write_bytes(b"no pickle")
    error = refusal(path, python, weight)
    assert error.sentence.startswith(f"{weight} is not a .pdparams file or is damaged: ")
    assert type(error) is ModelError


@pytest.mark.parametrize(
    ("body", "kind", "sentence"),
    [
        ("1 / 0", DataError, "uds.py:5: ZeroDivisionError: division by zero."),
        ("return 5", DataError, "uds.py: net must return a paddle.nn.Layer, not int."),
        (f"return {{'model': {LAYER}, 'inputs': [7.5]}}", DataError,
         "uds.py: net must give an InputSpec, a tensor or a shape for input 1, not float."),
        (f"return {LAYER}, [None, 3, None, 8]", UsageError, "uds.py: net has an input of the "
         "dynamic shape [None, 3, None, 8], but only the batch may be dynamic."),
    ],
)  # fmt: skip
def test_functions_that_fail(
    python: str, tmp_path: Path, body: str, kind: type[KnightliteError], sentence: str
) -> None:
    error = refusal(script(tmp_path, body), python, "net")
    assert type(error) is kind
    assert error.sentence == sentence


def test_no_script_no_weights_no_paddle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KNIGHTLITE_PADDLE_PYTHON", raising=False)
    for model in ("net", "net.pdparams"):
        with pytest.raises(UsageError) as caught:
            load(model, framework="paddle")
        assert caught.value.sentence == (
            f"{model} needs the script with the function that builds the network."
        )
        assert '@paddle_model.register("NAME")' in caught.value.hint
    path = script(tmp_path)
    assert refusal(path, None, "no.pdparams").sentence == "weight file no.pdparams does not exist."
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    error = refusal(path, None, "net")
    assert error.sentence == ("Building net needs paddlepaddle, which this Python does not have.")
    python = stub_frameworks.interpreter(tmp_path, {"paddle.py": "raise ImportError"})
    assert refusal(path, python, "net").sentence.endswith(" has no paddlepaddle.")


@needs_converter
def test_the_saved_file_is_not_named(python: str, tmp_path: Path) -> None:
    made = tmp_path / "made" / "tiny.pdmodel"
    made.write_bytes(made.read_bytes().replace(b"\x1a\x04relu", b"\x1a\x04rexu"))
    error = refusal(script(tmp_path), python, "net")
    assert error.sentence == (
        "net has Paddle operators that paddle2onnx 1.3.1 cannot convert: rexu."
    )


# ------------------------------------------------------------------ the real one

REAL = """
import sys
import paddle
try:
    from onnx_quantize_tool.common.register import paddle_model
    register = paddle_model.register
except ImportError:  # run by itself, to make the weights
    register = lambda name: lambda function: function

class Net(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.a = paddle.nn.Conv2D(3, 4, 3, padding=1)
        self.b = paddle.nn.BatchNorm2D(4)
        self.c = paddle.nn.Linear(4, 5)
    def forward(self, x):
        x = paddle.nn.functional.relu(self.b(self.a(x)))
        return self.c(paddle.flatten(paddle.nn.functional.adaptive_avg_pool2d(x, 1), 1))

@register("net")
def net():
    spec = paddle.static.InputSpec([None, 3, 8, 8], "float32", "x")
    return {"model": Net(), "inputs": [spec]}

if __name__ == "__main__":
    paddle.seed(7)
    model = Net()
    model.eval()
    paddle.save(model.state_dict(), sys.argv[1])
    x = paddle.arange(192, dtype="float32").reshape([1, 3, 8, 8]) / 100
    model(x).numpy().tofile(sys.argv[1] + ".bin")
"""


@needs_converter
def test_real_paddle(tmp_path: Path) -> None:
    from knightlite.inference import session
    from knightlite.onnx_models import write_float

    python = stub_frameworks.real("KNIGHTLITE_PADDLE_PYTHON", "paddle")
    path, weight = tmp_path / "uds.py", tmp_path / "net.pdparams"
    path.write_text(REAL)
    stub_frameworks.run_there(python, path, str(weight))
    graph = load(weight, conversion=Conversion(path, python))
    assert (graph.inputs, operators(graph)) == (("x",), ["Conv", "AveragePool", "Conv"])
    x = np.arange(192, dtype=np.float32).reshape(1, 3, 8, 8) / 100
    (found,) = session(write_float(graph)).run(None, {"x": x})
    wanted = np.fromfile(f"{weight}.bin", np.float32).reshape(1, 5)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    path.write_text(REAL.replace("Linear(4, 5)", "Linear(4, 5, bias_attr=False)"))
    assert refusal(path, python, weight).sentence == (
        f"{weight} does not fit the model of uds.py: net: the model does not have its c.bias."
    )
    weight.write_bytes(weight.read_bytes()[:200])
    assert refusal(path, python, weight).sentence.startswith(
        f"{weight} is not a .pdparams file or is damaged: "
    )
