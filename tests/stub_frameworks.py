"""Interpreters for tests of converting: stubs that run here, and the real ones where there are.

A stub interpreter is this Python with a folder of made-up ``paddle``, ``paddle2onnx`` or ``torch``
packages in front; knightlite's own programs run in it unchanged.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

TORCH = '''
"""As much of torch as knightlite's program touches; export writes what a test prepared."""
import os, pickle
from pathlib import Path
from . import _C, nn, onnx
__version__ = "2.9.9"
float32 = "float32"
class Tensor:
    def __init__(self, shape, dtype=float32):
        self.shape, self.dtype = tuple(shape), dtype
    def dim(self): return len(self.shape)
    def to(self, dtype): return Tensor(self.shape, dtype)
    def __getitem__(self, index): return Tensor((1, *self.shape[1:]), self.dtype)
class no_grad:
    def __enter__(self): pass
    def __exit__(self, *error): pass
def is_tensor(value): return isinstance(value, Tensor)
def manual_seed(seed): pass
def randn(*shape): return Tensor(shape)
def rand(shape): return Tensor(shape)
def load(path, map_location="cpu", weights_only=None):
    """A text stands for a pickled module; who says nothing of weights asks the environment."""
    held = pickle.loads(Path(path).read_bytes())
    if weights_only is None:
        weights_only = os.environ.get("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD") != "1"
    if not isinstance(held, str):
        return held
    if weights_only:
        raise pickle.UnpicklingError("Weights only load failed. Re-run with weights_only=False")
    return {"model": nn.Module()}
'''
TORCH_NN = """
class Module:
    training = True
    def eval(self):
        self.training = False
        return self
    def __call__(self, *inputs, **options): return self.forward(*inputs, **options)
    def state_dict(self): return {}
    def float(self): return self
    def load_state_dict(self, state): self.loaded = state
"""
TORCH_ONNX = """
import json, os
from pathlib import Path
from . import _C
def export(model, args, f, *, opset_version, input_names, output_names, dynamo=True,
           external_data=True):
    print("noise of the exporter")
    _C._jit_pass_onnx_assign_scoped_names_for_node_and_value(_C.Graph())
    kind = "dynamo" if dynamo else "torchscript"
    seen = {"training": model.training, "shapes": [list(a.shape) for a in args], "kind": kind,
            "opset": opset_version, "inputs": input_names, "outputs": output_names,
            "touched": sorted({"forward", "ran"} & vars(model).keys())}
    Path(os.environ["STUB_LOG"]).write_text(json.dumps(seen))
    if kind in os.environ.get("STUB_FAILS", ""):
        raise RuntimeError("Unsupported: aten::thing.\\nAdvice:\\n  pages of it")
    Path(f).write_bytes(Path(os.environ["STUB_ONNX"]).read_bytes())
"""
TORCH_C = """
import json, os
class Value:
    def __init__(self, name): self.name = name
    def debugName(self): return self.name
class Node:
    def __init__(self, name): self.value = Value(name)
    def outputs(self): return [self.value]
class Graph:
    def __init__(self):
        self.names = json.loads(os.environ.get("STUB_NAMES", "{}"))
        self.made = [Node(name) for name in self.names]
    def nodes(self): return self.made
def _jit_pass_onnx_assign_scoped_names_for_node_and_value(graph):
    for node in graph.nodes():
        node.value.name = graph.names[node.value.name]
"""
PADDLE = '''
"""As much of paddle as knightlite's program touches; jit.save copies what a test prepared."""
import contextlib, json, os, pickle, shutil
from pathlib import Path
from . import inference, jit, nn, static
__version__ = "3.9.9"
class Tensor: pass
def seed(number): pass
def load(path): return pickle.loads(Path(path).read_bytes())
class pir_utils:
    @staticmethod
    def DygraphOldIrGuard():
        return contextlib.nullcontext()
'''
PADDLE_NN = """
class Parameter:
    def __init__(self, *shape): self.shape = list(shape)
class Layer:
    training = True
    def __init__(self, **state): self.state = state
    def eval(self): self.training = False
    def state_dict(self): return dict(self.state)
    def set_state_dict(self, state): self.loaded = sorted(state)
"""
PADDLE_JIT = """
import json, os, shutil
from pathlib import Path
def save(layer, path, input_spec):
    print("noise of paddle")
    seen = {"training": layer.training, "loaded": getattr(layer, "loaded", None),
            "specs": [[item.shape, item.dtype, item.name] for item in input_spec]}
    Path(os.environ["STUB_LOG"]).write_text(json.dumps(seen))
    for suffix in (".pdmodel", ".pdiparams"):
        shutil.copy(os.environ["STUB_PADDLE"] + suffix, path + suffix)
"""
PADDLE_STATIC = """
class InputSpec:
    def __init__(self, shape, dtype="float32", name=None):
        self.shape, self.dtype, self.name = list(shape), dtype, name
"""
PADDLE_INFERENCE = """
import os
import numpy as np
class Config:
    def __init__(self, model, weight): self.files = model, weight
    def disable_glog_info(self): pass
    def switch_ir_optim(self, wanted): pass
    def disable_mkldnn(self): pass
class Handle:
    def __init__(self, values): self.values = values
    def copy_from_cpu(self, values): self.values[...] = values
    def copy_to_cpu(self): return self.values
class Predictor:
    \"\"\"Answers as a test prepared them, times a factor; the inputs must be as prepared too.\"\"\"
    def __init__(self, config):
        with np.load(os.environ["STUB_ANSWERS"]) as held: self.held = dict(held)
        self.given = {k: Handle(np.zeros_like(v)) for k, v in self.held.items() if k[0] == "x"}
    def get_input_handle(self, name): return self.given[name]
    def run(self):
        for name, handle in self.given.items(): assert (handle.values == self.held[name]).all()
    def get_output_names(self): return [name for name in self.held if name[0] == "y"]
    def get_output_handle(self, name):
        return Handle(self.held[name] * np.float32(os.environ.get("STUB_FACTOR", "1")))
create_predictor = Predictor
"""
PADDLE2ONNX = """
import json, os, sys
from pathlib import Path
def export(model_filename, params_filename, save_file, opset_version, verbose, optimize_tool):
    print("[Paddle2ONNX] Start parsing the Paddle model file...")
    asked = [model_filename, params_filename, save_file, opset_version, optimize_tool,
             os.environ["POLYGRAPHY_AUTOINSTALL_DEPS"]]
    Path(os.environ["STUB_LOG"]).write_text(json.dumps(asked))
    exec(os.environ.get("STUB_CODE", ""))
    return Path(os.environ["STUB_ONNX"]).read_bytes()
"""


def interpreter(folder: Path, files: Mapping[str, str], *installed: tuple[str, str]) -> str:
    """An interpreter with these files as packages, and (name, version) as installed; its path."""
    packages = folder / "packages"
    for name, text in files.items():
        path = packages / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for name, version in installed:
        described = packages / f"{name}-{version}.dist-info"
        described.mkdir(parents=True)
        (described / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
    program = folder / "python"
    more = "${PYTHONPATH:+:$PYTHONPATH}"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{packages}{more}" exec "{sys.executable}" "$@"\n')
    program.chmod(0o755)
    return str(program)


def torch_interpreter(folder: Path) -> str:
    return interpreter(
        folder,
        {
            "torch/__init__.py": TORCH,
            "torch/nn.py": TORCH_NN,
            "torch/onnx.py": TORCH_ONNX,
            "torch/_C.py": TORCH_C,
            "onnxscript.py": "",
        },
    )


def paddle_interpreter(folder: Path, paddle: str = "3.3.1", converter: str | None = "2.1.0") -> str:
    files = {
        "paddle/__init__.py": PADDLE,
        "paddle/inference.py": PADDLE_INFERENCE,
        "paddle/nn.py": PADDLE_NN,
        "paddle/jit.py": PADDLE_JIT,
        "paddle/static.py": PADDLE_STATIC,
    }
    installed = [("paddlepaddle", paddle)]
    if converter is not None:
        files["paddle2onnx/__init__.py"] = PADDLE2ONNX
        installed.append(("paddle2onnx", converter))
    return interpreter(folder, files, *installed)


# ------------------------------------------------------------------ the real ones


def real(variable: str, package: str) -> str:
    """The interpreter a framework lives in; the test is skipped where there is none."""
    python = os.environ.get(variable) or None
    if python is None and importlib.util.find_spec(package) is not None:
        python = sys.executable
    if python is None:
        pytest.skip(f"needs {package}, here or in the interpreter that ${variable} names")
    return python


def has_converter() -> bool:
    """True where this interpreter reads .pdmodel."""
    try:
        return importlib.metadata.version("paddle2onnx") == "1.3.1"
    except importlib.metadata.PackageNotFoundError:
        return False


def run_there(python: str, script: Path, *arguments: str) -> None:
    """Run a script in a real interpreter; its noise is shown where it fails."""
    done = subprocess.run(
        [python, str(script), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
