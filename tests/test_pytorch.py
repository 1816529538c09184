"""PyTorch model functions: built and exported in torch's interpreter; each failure one sentence."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import pickle
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import knightlite
import stub_frameworks
from knightlite.cli.program import run
from knightlite.errors import DataError, KnightliteError, ModelError, UnsupportedError, UsageError
from knightlite.frontend import Conversion, builds_model, load, pytorch
from knightlite.talk import Talk
from onnx_nets import Net, checked, operators

HEAD = "from onnx_quantize_tool.common.register import pytorch_model\nimport torch\n"
KNIGHT = (
    HEAD
    + """
class Module(torch.nn.Module):
    def forward(self, x, scale=1): return x
@pytorch_model.register("small.net")
def small_net(weight_path=None):
    print("building with", weight_path)
    return {"model": Module(), "inputs": [torch.randn(2, 4, 9, 9)]}
"""
)


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A stub of torch, which "exports" one convolution."""
    made = Net()
    made.input("x", (1, 4, 9, 9))
    made.conv("x", "y", (8, 4, 3, 3))
    (tmp_path / "made").mkdir()
    monkeypatch.setenv("STUB_ONNX", str(made.save(tmp_path / "made", "y")))
    monkeypatch.setenv("STUB_LOG", str(tmp_path / "log"))
    monkeypatch.delenv("KNIGHTLITE_TORCH_PYTHON", raising=False)
    return stub_frameworks.torch_interpreter(tmp_path)


def script(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "uds.py"
    path.write_text(text)
    return path


def function(tmp_path: Path, body: str, parameters: str = "weight_path=None") -> Path:
    """A script whose model function has this body; Module is a module that does nothing."""
    text = HEAD + "class Module(torch.nn.Module):\n    def forward(self, x): return x\n"
    text += f'@pytorch_model.register("net")\ndef net({parameters}):\n'
    return script(tmp_path, text + "".join(f"    {line}\n" for line in body.splitlines()))


def exported(tmp_path: Path) -> dict[str, Any]:
    found = json.loads((tmp_path / "log").read_text())
    assert isinstance(found, dict)
    return found


def refusal(path: Path, python: str | None, name: str = "net", **options: Any) -> KnightliteError:
    shapes = options.pop("input_shapes", None)
    weight = options.pop("weight", None)
    with pytest.raises(KnightliteError) as caught:
        load(name, weight, "pytorch", shapes, conversion=Conversion(path, None, python, **options))
    return caught.value


# ------------------------------------------------------------------ the forms of Knight's manual


def test_knights_form(python: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = script(tmp_path, KNIGHT)
    (tmp_path / "w.pth").write_bytes(b"")
    graph = load(
        "small.net", tmp_path / "w.pth", "pytorch", None, conversion=Conversion(path, None, python)
    )
    assert (graph.name, operators(graph)) == ("small.net", ["Conv"])
    assert exported(tmp_path) == {
        "training": False, "shapes": [[1, 4, 9, 9]], "kind": "torchscript", "opset": 17,
        "inputs": ["x"], "outputs": None, "touched": [],
    }  # fmt: skip
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.rglob("*.pyc"))


def test_the_form_of_1_x(python: str, tmp_path: Path) -> None:
    path = function(tmp_path, 'return Module(), ["batch_size", 4, 9, 9]')
    load("net", None, "pytorch", None, conversion=Conversion(path, None, python))
    assert exported(tmp_path)["shapes"] == [[1, 4, 9, 9]]


def test_names_of_dynamic_axes_and_concrete_arguments(python: str, tmp_path: Path) -> None:
    text = KNIGHT.replace(
        "9, 9)]}",
        '9, 9)], "concrete_args": {"scale": 2}, "dynamic_axes_inputs": {"image": {0: "n"}}, '
        '"dynamic_axes_outputs": {"scores": {0: "n"}}}',
    ).replace("return x\n", "assert scale == 2; return x\n")
    load(
        "small.net",
        None,
        "pytorch",
        None,
        conversion=Conversion(script(tmp_path, text), None, python),
    )
    found = exported(tmp_path)
    assert (found["inputs"], found["outputs"]) == (["image"], ["scores"])


def with_arguments(tmp_path: Path, parameters: str, concrete: str) -> Path:
    return function(
        tmp_path,
        f"def forward(self, {parameters}):\n"
        "    self.ran = True\n"
        "    return x if flag == 2 and not locals().get('more') else 1 / 0\n"
        "Module.forward = forward\n"
        "model = Module()\n"
        "return {'model': model, 'inputs': [torch.randn(1, 4, 9, 9)],\n"
        f"        'concrete_args': {concrete}}}",
    )


@pytest.mark.parametrize(
    ("parameters", "concrete", "said"),
    [
        ("x, flag", "{'flag': 2}", []),
        ("flag, x", "{'flag': 2}", []),  # the inputs take what is left
        (
            "x, *, flag=1, **more",  # what the rest may be is not known, so it stays empty
            "{'flag': 2, 'val': 1}",
            ["uds.py:13: net: concrete_args sets val, which forward of Module does not have: left "
             "out."],
        ),
        (
            "x, flag=2",
            "{'augment': 0, 'flag': 2, 'val': 1}",
            ["uds.py:13: net: concrete_args sets augment, val, which forward of Module does not "
             "have: left out."],
        ),
    ],
)  # fmt: skip
def test_concrete_arguments(
    python: str, tmp_path: Path, parameters: str, concrete: str, said: list[str]
) -> None:
    path = with_arguments(tmp_path, parameters, concrete)
    heard: list[str] = []
    conversion = Conversion(path, None, python, talk=Talk(warn=heard.append))
    load("net", None, "pytorch", None, conversion=conversion)
    assert heard == said
    assert exported(tmp_path)["inputs"] == ["x"]
    # only what is no default is set in the module, which is not run before: both move numbers
    assert exported(tmp_path)["touched"] == ([] if parameters == "x, flag=2" else ["forward"])


@pytest.mark.parametrize(
    ("parameters", "concrete", "sentence"),
    [
        ("x, flag, size", "{'flag': 2}", "uds.py:13: net: forward of Module cannot be called with "
         "1 input(s) and flag: missing a required argument: 'size'."),
        ("flag=2", "{'flag': 2}", "uds.py:13: net: forward of Module cannot be called with "
         "1 input(s) and flag: multiple values for argument 'flag'."),
        ("x, flag=2", "['flag']", "uds.py:13: net must give concrete_args as a dict by names of "
         "forward's arguments, not list."),
        ("x, flag", "{'flag': 3}", "uds.py:9: ZeroDivisionError: division by zero."),
    ],
)  # fmt: skip
def test_calls_that_do_not_fit(
    python: str, tmp_path: Path, parameters: str, concrete: str, sentence: str
) -> None:
    error = refusal(with_arguments(tmp_path, parameters, concrete), python)
    assert type(error) is DataError
    assert error.sentence == sentence


def test_input_shapes_replace_the_examples(python: str, tmp_path: Path) -> None:
    path = function(tmp_path, "return Module()")  # bare: it names no inputs
    conversion = Conversion(path, None, python)
    load("net", None, "pytorch", [(-1, 4, 9, 9)], conversion=conversion)
    assert exported(tmp_path)["shapes"] == [[1, 4, 9, 9]]
    path = function(tmp_path, "return Module(), ['n', 4, 'h', 'w']")
    load("net", None, "pytorch", {"x": (1, 4, 9, 9)}, conversion=conversion)
    assert exported(tmp_path)["shapes"] == [[1, 4, 9, 9]]
    assert refusal(path, python).sentence == (
        "uds.py: net has an input of the dynamic shape ['n', 4, 'h', 'w'], but only the batch may "
        "be dynamic."
    )
    error = refusal(path, python, input_shapes=[(1, 4, 9, 9), (1, 4, 9, 9)])
    assert error.sentence == "uds.py: net has 1 inputs, but 2 shapes were given."


def test_a_plain_function(python: str, tmp_path: Path) -> None:
    path = script(tmp_path, KNIGHT.replace('@pytorch_model.register("small.net")\n', ""))
    assert load("small_net", None, "pytorch", None, conversion=Conversion(path, None, python)).nodes


def test_the_variable(python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KNIGHTLITE_TORCH_PYTHON", python)
    path = script(tmp_path, KNIGHT)
    assert load("small.net", None, "pytorch", None, conversion=Conversion(path)).nodes


# ------------------------------------------------------------------ exporters


def test_auto_falls_back_and_says_so(
    python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    talk = Talk(warn=said.append)
    conversion = Conversion(script(tmp_path, KNIGHT), torch_python=python, talk=talk)
    load("small.net", None, "pytorch", None, conversion=conversion)
    assert said == []
    monkeypatch.setenv("STUB_FAILS", "torchscript")
    load("small.net", None, "pytorch", None, conversion=conversion)
    assert exported(tmp_path)["kind"] == "dynamo"
    assert exported(tmp_path)["opset"] == 18
    assert exported(tmp_path)["outputs"] == ["output"]
    assert said == [
        "torch's exporter torchscript: Unsupported: aten::thing (uds.py: small.net); the exporter "
        "dynamo is taken."
    ]


def test_no_exporter_can(python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = script(tmp_path, KNIGHT)
    monkeypatch.setenv("STUB_FAILS", "torchscript dynamo")
    error = refusal(path, python, "small.net")
    assert type(error) is UnsupportedError
    assert error.sentence == (
        "torch 2.9.9 cannot export uds.py: small.net (torchscript: Unsupported: aten::thing; "
        "dynamo: Unsupported: aten::thing)."
    )
    error = refusal(path, python, "small.net", torch_exporter="torchscript")
    assert "dynamo" not in error.sentence
    (tmp_path / "packages" / "onnxscript.py").unlink()
    error = refusal(path, python, "small.net", torch_exporter="dynamo")
    assert "dynamo: it needs the package onnxscript, which is not installed" in error.sentence
    assert refusal(path, python, torch_exporter="fx").sentence == (
        "The exporter of torch must be one of auto, torchscript, dynamo, not fx."
    )


# ------------------------------------------------------------------ numbers of tensors


@pytest.mark.parametrize(
    ("asked", "outputs"),
    [
        (["7"], ("7",)),  # of onnx::Relu_7
        (["onnx::Relu_7 input.9"], ("onnx::Relu_7", "input.9")),
        (["y"], ("y",)),
        (["input.9", "7", "input.9"], ("input.9", "7")),
    ],
)
def test_numbers_of_the_trace_stay_names(
    python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[str],
    outputs: tuple[str, ...],
) -> None:  # fmt: skip
    made = Net()
    made.input("x", (1, 4, 9, 9))
    made.conv("x", "y", (8, 4, 3, 3))
    made.node("Relu", ["y"], "z")
    monkeypatch.setenv("STUB_ONNX", str(made.save(tmp_path, "z")))
    monkeypatch.setenv(
        "STUB_NAMES", '{"onnx::Relu_7": "y", "input.9": "z", "onnx::Relu_8": "gone"}'
    )
    conversion = Conversion(script(tmp_path, KNIGHT), None, python)
    graph = load("small.net", None, "pytorch", None, conversion=conversion, outputs=asked)
    assert graph.outputs == outputs
    with pytest.raises(UsageError) as caught:
        load("small.net", None, "pytorch", None, conversion=conversion, outputs=["onnx::Relo_6"])
    assert caught.value.sentence == (
        "uds.py: small.net cannot be cut at onnx::Relo_6: no operator of the network makes this "
        "tensor."
    )
    assert caught.value.hint == (
        "did you mean onnx::Relu_7? its outputs are z here; other versions of torch, and of the "
        "packages that the script builds it of, number tensors otherwise"
    )


def branches(folder: Path) -> Path:
    """Two values that a Sigmoid reads, of 5 and 6 channels, and one of 7 that a Relu does."""
    made = Net()
    made.input("x", (1, 4, 9, 9))
    outputs = []
    for name, channels, operator in (("a", 5, "Sigmoid"), ("b", 6, "Sigmoid"), ("c", 7, "Relu")):
        made.conv("x", name, (channels, 4, 3, 3))
        outputs.append(made.node(operator, [name], f"{name}/out"))
    return made.save(folder, *outputs)


# the second number has more digits than the first
NUMBERS = '{"onnx::Sigmoid_99": "a", "onnx::Sigmoid_120": "b", "onnx::Relu_8": "c"}'


@pytest.mark.parametrize(
    ("asked", "channels"),
    [
        (["onnx::Sigmoid_143 onnx::Sigmoid_193"], [5, 6]),
        (["onnx::Sigmoid_101", "onnx::Sigmoid_98"], [6, 5]),
        (["onnx::Relu_9", "120"], [7, 6]),
        (["onnx::Sigmoid_143"], None),  # one of two: which?
        (["onnx::Sigmoid_143", "onnx::Sigmoid_99"], None),
        (["onnx::Sigmoid_1 onnx::Sigmoid_2 onnx::Sigmoid_3"], None),
        (["143 193"], None),  # of any operator
    ],
)
def test_numbers_of_another_torch_are_counted_off(
    python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[str],
    channels: list[int] | None,
) -> None:  # fmt: skip
    """Exactly as many values of a kind as are asked for: they are these, by their numbers."""
    monkeypatch.setenv("STUB_ONNX", str(branches(tmp_path)))
    monkeypatch.setenv("STUB_NAMES", NUMBERS)
    said: list[str] = []
    conversion = Conversion(script(tmp_path, KNIGHT), None, python, talk=Talk(warn=said.append))
    if channels is None:
        with pytest.raises(UsageError, match="no operator of the network makes this tensor"):
            load("small.net", None, "pytorch", None, conversion=conversion, outputs=asked)
        return
    graph = load("small.net", None, "pytorch", None, conversion=conversion, outputs=asked)
    assert [graph.tensor(name).shape[1] for name in graph.outputs] == channels
    assert list(graph.outputs) == [name for text in asked for name in text.split()]
    (note,) = said
    if channels == [5, 6]:
        assert note == (
            "uds.py: small.net: onnx::Sigmoid_143, onnx::Sigmoid_193 taken for onnx::Sigmoid_99, "
            "onnx::Sigmoid_120: the same operator reads them, and the network has just as many "
            "such values; other versions of torch number them otherwise."
        )


# ------------------------------------------------------------------ what goes wrong


def test_the_command_that_says_more_of_a_refusal_runs_as_it_stands(
    python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A function's name alone would name no network."""
    made = Net()
    x = made.input("x", (1, 4, 9, 9))
    for index in range(9):  # more than are told one by one
        x = made.node("Hardmax", [x], f"a{index}")
    made.conv(x, "y", (8, 4, 3, 3))
    monkeypatch.setenv("STUB_ONNX", str(made.save(tmp_path, "y")))
    path = script(tmp_path, KNIGHT)
    words = ["-f", "pytorch", "-m", "small.net", "-uds", str(path), "--torch-python", python]
    assert run(["quant", *words]) == 2
    hint = capsys.readouterr().err.splitlines()[-1]
    command = shlex.split(hint.split("`")[1])
    assert command[:2] == ["knightlite", "check"]
    assert run(command[1:]) == 1
    assert "Hardmax" in capsys.readouterr().out


def test_no_script_and_no_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KNIGHTLITE_TORCH_PYTHON", raising=False)
    with pytest.raises(UsageError) as caught:
        load("resnet50", framework="pytorch")
    assert caught.value.sentence == (
        "resnet50 needs the script with the function that builds the network."
    )
    assert caught.value.hint == (
        'name it with -uds FILE; the function is marked @pytorch_model.register("NAME")'
    )
    assert refusal(tmp_path / "no.py", None).sentence == (
        f"user script {tmp_path}/no.py does not exist."
    )
    path = script(tmp_path, KNIGHT)
    assert refusal(path, None, weight="no.pth").sentence == "weight file no.pth does not exist."
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    error = refusal(path, None)
    assert error.sentence == (
        "Exporting net needs torch, numpy and onnx (and onnxscript for its newer exporter), which "
        "this Python does not have."
    )
    assert error.hint.startswith("pip install 'torch>=2.13' numpy onnx onnxscript; a Python else")
    python = stub_frameworks.interpreter(tmp_path, {"torch.py": "raise ImportError"})
    assert " cannot be imported: " in refusal(path, python).sentence


@pytest.mark.parametrize(
    ("body", "kind", "sentence"),
    [
        ("1 / 0", DataError, "uds.py:7: ZeroDivisionError: division by zero."),
        ("import nothing_such", UsageError,
         "uds.py:7: the script imports nothing_such, which is not installed."),
        ("return 5", DataError, "uds.py: net must return a torch.nn.Module, not int."),
        ("return {'inputs': []}", DataError,
         'uds.py: net must return a dict with "model" and "inputs", not inputs.'),
        ("return Module()", UsageError, "uds.py: net does not say the shape of its inputs."),
        ("return {'model': Module(), 'inputs': [None]}", DataError,
         "uds.py: net must give a tensor or a shape for input 1, not NoneType."),
        ("return {'model': Module(), 'inputs': ['x', 'y']}", DataError,
         "uds.py: net must give a tensor or a shape for input 1, not str."),
        ("Module.forward = lambda self, x: x.gone\nreturn Module(), ['n', 3, 4, 4]", DataError,
         "uds.py:7: AttributeError: 'Tensor' object has no attribute 'gone'."),
        ("import os; os.kill(os.getpid(), 11)", UnsupportedError,
         "{python} cannot export net of {path}: it crashed with signal 11."),
        ("raise SystemExit(3)", DataError, "uds.py:7: the script called exit(3)."),
    ],
)  # fmt: skip
def test_functions_that_fail(
    python: str, tmp_path: Path, body: str, kind: type[KnightliteError], sentence: str
) -> None:
    path = function(tmp_path, body)
    error = refusal(path, python)
    assert type(error) is kind
    assert error.sentence == sentence.format(python=python, path=path)


def test_another_function(python: str, tmp_path: Path) -> None:
    path = function(tmp_path, "")
    path.write_text(path.read_text() + "    pass\n")
    error = refusal(path, python, "nett")
    assert error.sentence == f"{path} registers no model function nett."
    assert error.hint == "it registers net; name one with -m"
    error = refusal(script(tmp_path, HEAD), python)
    assert error.hint == (
        'put @pytorch_model.register("net") before the function that builds the model'
    )


# ------------------------------------------------------------------ weights


def test_a_function_without_parameters_gets_its_weights(python: str, tmp_path: Path) -> None:
    body = "Module.state_dict = lambda self: {'a': 1, 'b': 2}\nreturn Module(), [1, 4, 9, 9]"
    path, weight = function(tmp_path, body, ""), tmp_path / "w.pth"
    for held in ({"a": 1, "b": 2}, {"state_dict": {"a": 1, "b": 2}, "epoch": 3}):
        weight.write_bytes(pickle.dumps(held))
        assert load("net", weight, "pytorch", None, conversion=Conversion(path, None, python)).nodes
    weight.write_bytes(pickle.dumps({"a": 1, "c": 2}))
    error = refusal(path, python, weight=weight)
    assert type(error) is ModelError
    assert error.sentence == (
        f"{weight} does not fit the model of uds.py: net: it lacks b; the model does not have "
        "its c."
    )
    weight.write_bytes(pickle.dumps([1]))
    assert refusal(path, python, weight=weight).sentence == (
        f"{weight} must hold a state dict, not list."
    )
    weight.write_bytes(b"")
    assert refusal(path, python, weight=weight).sentence.startswith(
        f"{weight} is no state dict of torch.save or is damaged: "
    )


@pytest.mark.parametrize("by_script", [True, False])
def test_pickled_checkpoints_load_where_they_are_trusted(
    by_script: bool, python: str, tmp_path: Path
) -> None:
    """By the script, which says nothing of how, or for a function without parameters."""
    weight = tmp_path / "w.pt"
    weight.write_bytes(pickle.dumps("a module"))
    body = "return torch.load(weight_path)['model'], [1, 4, 9, 9]"
    path = function(tmp_path, body if by_script else "return Module(), [1, 4, 9, 9]",
                    "weight_path" if by_script else "")  # fmt: skip
    if by_script:
        path.write_text(f"{path.read_text()}torch.nn.Module.forward = lambda self, x: x\n")
    error = refusal(path, python, weight=weight)
    assert type(error) is DataError
    what = "uds.py:7: the checkpoint" if by_script else str(weight)
    assert error.sentence == (
        f"{what} holds pickled objects, which can run any code when they are loaded."
    )
    assert error.hint == "--trust-checkpoint loads it, where you trust who made it"
    trusting = Conversion(path, torch_python=python, trusted=True)
    assert load("net", weight, "pytorch", None, conversion=trusting).nodes


def test_builds_model(tmp_path: Path) -> None:
    (tmp_path / "program").write_bytes(b"")
    assert builds_model(Path("resnet"), "pytorch")
    assert builds_model(Path("resnet"), "paddle")
    assert builds_model(Path("w.pdparams"), None)
    assert not builds_model(tmp_path / "program", "paddle")
    assert not builds_model(Path("a.pdmodel"), None)
    assert not builds_model(Path("a.onnx"), None)


# ------------------------------------------------------------------ through the commands


def test_quant_and_check(
    python: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    script(tmp_path, KNIGHT)
    (tmp_path / "w.pth").write_bytes(b"weights")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STUB_FAILS", "torchscript")
    model = ["-f", "pytorch", "-m", "small.net", "-w", "w.pth", "-uds", "uds.py"]
    assert run(["quant", "onnx", *model, "--torch-python", python, "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["files"]["onnx"] == "small.net_quantize.onnx"
    assert "Warning: torch's exporter torchscript: Unsupported: aten::thing " in err
    assert "noise" not in out + err
    made = onnx.load("small.net_quantize.onnx")
    noted = json.loads(
        {item.key: item.value for item in made.metadata_props}["knightlite.quantize"]
    )
    assert noted["model_sha256"] == hashlib.sha256(b"weights").hexdigest()
    assert noted["data"].startswith("random data")  # the script is there for the network only
    monkeypatch.setenv("KNIGHTLITE_TORCH_PYTHON", python)
    assert run(["check", *model]) == 0
    assert "small.net runs on" in capsys.readouterr().out


def test_from_python(python: str, tmp_path: Path) -> None:
    made = knightlite.quantize(
        "small.net",
        framework="pytorch",
        script=script(tmp_path, KNIGHT),
        torch_python=python,
        data=np.random.default_rng(0).normal(size=(3, 4, 9, 9)).astype(np.float32),
    )
    assert (made.name, made.pictures) == ("small.net", 3)


# ------------------------------------------------------------------ the real one

REAL = """
import sys
import torch
from torch import nn
try:
    from onnx_quantize_tool.common.register import pytorch_model
    register = pytorch_model.register
except ImportError:  # run by itself, to make the weights
    register = lambda name: lambda function: function

class Residual(nn.Module):
    def __init__(self, channels, activation):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 1, 1, groups=channels, bias=False),
            nn.BatchNorm2d(channels), activation(),
            nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels))
    def forward(self, x):
        return torch.relu(x + self.body(x))

def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU6(), nn.MaxPool2d(3, 2, 1), Residual(8, nn.ReLU),
        Residual(8, nn.Hardswish), nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(1), nn.Dropout(0.5),
        nn.Linear(8, 5))

@register("net")
def net(weight_path=None):
    model = network()
    model.load_state_dict(torch.load(weight_path, weights_only=True))
    return {"model": model, "inputs": [torch.randn(4, 3, 32, 32)]}

if __name__ == "__main__":
    model = network().eval()
    torch.save(model.state_dict(), sys.argv[1])
    x = torch.arange(3072, dtype=torch.float32).reshape(1, 3, 32, 32) / 1000
    with torch.no_grad():
        model(x).numpy().tofile(sys.argv[1] + ".bin")
"""


@pytest.mark.parametrize("exporter", ["torchscript", "dynamo"])
def test_real_torch(tmp_path: Path, exporter: str) -> None:
    from knightlite.inference import session
    from knightlite.onnx_models import write_float

    python = stub_frameworks.real("KNIGHTLITE_TORCH_PYTHON", "torch")
    path, weight = script(tmp_path, REAL), tmp_path / "net.pth"
    stub_frameworks.run_there(python, path, str(weight))
    conversion = Conversion(path, None, python, exporter)
    model = tmp_path / "net.onnx"
    model.write_bytes(pytorch.to_onnx("net", weight, None, conversion))
    graph = checked(model)
    assert operators(graph) == [
        "Conv", "MaxPool", "Conv", "Conv", "Add", "Conv", "Table", "Conv", "Add", "AveragePool",
        "Conv",
    ]  # fmt: skip
    x = np.arange(3072, dtype=np.float32).reshape(1, 3, 32, 32) / 1000
    (found,) = session(write_float(graph)).run(None, {graph.inputs[0]: x})
    wanted = np.fromfile(f"{weight}.bin", np.float32).reshape(1, 5)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
