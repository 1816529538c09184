"""Small files that ask for much memory or time: read by a child that has little of both."""

from __future__ import annotations

import io
import json
import os
import re
import select
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from knightlite import limits
from knightlite.array_files import read_array

MEMORY_BYTES = 3 << 29  # 1.5 GiB of addresses beyond those of the libraries
TIME_S = 10.0
HANG_S = 60.0

# what the child runs: kinds of readers, then one line of JSON a file
CHILD = """
import json, pathlib, resource, sys, time, warnings
warnings.simplefilter("error")
import PIL.Image, numpy, onnx.checker, onnx.inliner, onnx.shape_inference, onnxruntime
from knightlite import chip_files, workspace
from knightlite.api.evaluation import state
from knightlite.api.inspection.results import load_array
from knightlite.api.models.binary import open_binary
from knightlite.api import run_config
from knightlite.errors import KnightliteError
from knightlite.frontend import load, paddle_pir
from knightlite.preprocess import load_recipe, parse_recipe, prepare_picture, read_labels
from knightlite.quantize.scales.scale_file import read_scales
from knightlite.quantize.statistics.distribution_cache import DistributionCache, _unpack

short = parse_recipe(pathlib.Path("short.toml").read_text(), "short")
READERS = {
    "array": load_array,
    "cache": lambda path: _unpack(DistributionCache(path.name, path.read_bytes())),
    "cfg": open_binary,
    "chip": lambda path: chip_files.find(str(path)),
    "labels": read_labels,
    "manifest": lambda path: workspace.open_workspace(path.parent),
    "model": load,
    "picture": lambda path: prepare_picture(path, short, (3, 8, 8)),
    "program": lambda path: paddle_pir.expected_tensors(path.read_bytes(), path),
    "recipe": load_recipe,
    "run": run_config.read,
    "scales": read_scales,
    "state": state.read,
}
used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[1]),) * 2)
for line in sys.stdin:
    kind, path = json.loads(line)
    started, said = time.monotonic(), "nothing"
    try:
        READERS[kind](pathlib.Path(path))
    except KnightliteError as error:
        said = error.sentence
    except BaseException as error:
        said = "INTERNAL " + repr(error)
    print(json.dumps([said, time.monotonic() - started]), flush=True)
"""
SHORT = """\
description = "short side 8"
color = "RGB"
resize = "short_side"
resize_size = [8]
interpolation = "bilinear"
crop_size = [8, 8]
divide_by = 255.0
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]
pad_value = 0
layout = "nchw"
"""


class Child:
    """The process that reads."""

    def __init__(self, folder: Path) -> None:
        (folder / "short.toml").write_text(SHORT, encoding="utf-8")
        command = [sys.executable, "-c", CHILD, str(MEMORY_BYTES)]
        self._process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def read(self, kind: str, path: Path) -> str:
        """The sentence that refuses the file."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([kind, str(path)]) + "\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], HANG_S)
        if not ready:
            self._process.kill()
        assert ready, f"{path.name} is still being read after {HANG_S} s"
        sentence, seconds = json.loads(self._process.stdout.readline())
        assert seconds < TIME_S
        assert isinstance(sentence, str)
        return sentence

    def close(self) -> None:
        """It ends with its input."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture(scope="module")
def child(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    made = Child(tmp_path_factory.mktemp("child"))
    yield made
    made.close()


# ------------------------------------------------------------------ files


def model_with(
    *nodes: onnx.NodeProto,
    constants: dict[str, np.ndarray] | None = None,
    functions: tuple[onnx.FunctionProto, ...] = (),
) -> onnx.ModelProto:
    """A network from x [1, 1, 8, 8] to y."""
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(values, name) for name, values in (constants or {}).items()],
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, opset_imports=imports, functions=list(functions))


def function(name: str, called: str, times: int) -> onnx.FunctionProto:
    names = ["a", *(f"t{index}" for index in range(times - 1)), "b"]
    domain = "" if called == "Relu" else "own"
    nodes = [
        helper.make_node(called, [names[index]], [names[index + 1]], domain=domain)
        for index in range(times)
    ]
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    return helper.make_function("own", name, ["a"], ["b"], nodes, imports)


def doubling() -> onnx.ModelProto:
    """Constants that double forty times."""
    nodes = [
        helper.make_node("Concat", [f"k{index}"] * 2, [f"k{index + 1}"], axis=0)
        for index in range(40)
    ]
    add = helper.make_node("Add", ["x", "k40"], ["y"])
    return model_with(*nodes, add, constants={"k0": np.ones((1, 1, 8, 8), np.float32)})


def calling() -> onnx.ModelProto:
    """Functions that call the one before eight times: 8 to the twelfth nodes."""
    functions = [function("f0", "Relu", 8)]
    functions += [function(f"f{index}", f"f{index - 1}", 8) for index in range(1, 12)]
    call = helper.make_node("f11", ["x"], ["y"], domain="own")
    return model_with(call, functions=tuple(functions))


def circular() -> onnx.ModelProto:
    call = helper.make_node("f", ["x"], ["y"], domain="own")
    return model_with(call, functions=(function("f", "f", 1),))


def enlarged(factor: float) -> onnx.ModelProto:
    resize = helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="nearest")
    return model_with(resize, constants={"scales": np.asarray([1, 1, 1, factor], np.float32)})


def filled(size: int) -> onnx.ModelProto:
    fill = helper.make_node("ConstantOfShape", ["sizes"], ["big"])
    add = helper.make_node("Add", ["x", "big"], ["y"])
    return model_with(fill, add, constants={"sizes": np.asarray([1, 1, size, size], np.int64)})


def of_kind(kind: int) -> onnx.ModelProto:
    made = model_with(helper.make_node("Relu", ["x"], ["y"]))
    made.graph.input[0].type.tensor_type.elem_type = kind
    return made


def with_attribute_kind(kind: int) -> onnx.ModelProto:
    made = model_with(helper.make_node("LeakyRelu", ["x"], ["y"], name="n", alpha=0.1))
    data = made.SerializeToString()
    at = data.index(b"alpha") + len(b"alpha")
    found = data.index(b"\xa0\x01\x01", at)  # field 20, type: 1
    damaged = onnx.ModelProto()
    damaged.ParseFromString(data[: found + 2] + bytes([kind]) + data[found + 3 :])
    return damaged


def without_outputs() -> onnx.ModelProto:
    made = model_with(helper.make_node("Relu", ["x"], ["y"]))
    del made.graph.output[:]
    return made


def kept_in(location: str) -> onnx.ModelProto:
    made = model_with(
        helper.make_node("Add", ["x", "k"], ["y"]), constants={"k": np.ones(8, np.float32)}
    )
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return made


def npy(header: str) -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(16)


def packed(claimed: int) -> bytes:
    """A ``.npz`` whose directory says that an array unpacks to so many bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "notes.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4,)}")
        )
    data = stream.getvalue()
    at = data.rindex(b"PK\x01\x02") + 24
    return data[:at] + struct.pack("<I", claimed) + data[at + 4 :]


def state_with(**other: object) -> bytes:
    tally: dict[str, object] = {name: [0] for name in (
        "top1", "top5", "lost", "won", "agreed", "compared", "differing")}  # fmt: skip
    tally |= {"pictures": 0, "labelled": 0, "classes": 0, "energy": "0", "noise": ["0"]}
    value = {
        "knightlite_evaluation": 4, "metric": None, "models": [["a", "chip", "b"]], "data": "",
        "pictures": 0, "recipe": "", "scores": "outputs", "check": False, "shard": [1, 1],
        "stamp": "", "total": 0,
        "tally": tally | {key: other[key] for key in other if key in tally},
    }  # fmt: skip
    return json.dumps(value | {key: other[key] for key in other if key not in tally}).encode()


def wide() -> bytes:
    stream = io.BytesIO()
    Image.new("1", (10_000_000, 1)).save(stream, "PNG")
    return stream.getvalue()


DEEP = 5000
READS = limits.TENSOR_ELEMENTS
TOO_DEEP = "objects and lists are nested more than 64 deep"
TOO_WIDE = "a whole number has more than 64 bits"
Made = bytes | onnx.ModelProto | Callable[[Path], None]
CASES: dict[str, tuple[str, Made, str]] = {
    "doubling.onnx": ("model", doubling(), f"and at most {READS} are read."),
    "calling.onnx": ("model", calling(), "nodes, and at most 32768 are read."),
    "circular.onnx": (
        "model",
        circular(),
        "its functions call one another more than 32 deep, such as function f.",
    ),
    "enlarged.onnx": ("model", enlarged(2.0**32), f"and at most {READS} are read."),
    "filled.onnx": ("model", filled(1 << 20), f"and at most {READS} are read."),
    "filled_more.onnx": ("model", filled(1 << 62), f"and at most {READS} are read."),
    "element.onnx": ("model", of_kind(99), "x has elements of the unknown kind 99."),
    "attribute.onnx": (
        "model",
        with_attribute_kind(77),
        "attribute alpha of LeakyRelu n is of the unknown kind 0.",
    ),
    "silent.onnx": (
        "model",
        model_with(helper.make_node("MaxPool", ["x"], [], name="n", kernel_shape=[2, 2])),
        "silent.onnx is damaged: MaxPool n has no output.",
    ),
    "endless.onnx": ("model", without_outputs(), "is damaged: its graph has no output."),
    "text.onnx": (
        "model",
        model_with(helper.make_node("Relu", ["x"], ["y"], name="node"))
        .SerializeToString()
        .replace(b"node", b"n\xffde"),
        "text.onnx is damaged: its name b'n\\xffde' is not UTF-8 text.",
    ),
    "long.onnx": ("model", kept_in("k" * 300), "which cannot be read: File name too long."),
    "zero.onnx": ("model", kept_in("k\0.bin"), "in a file whose name holds a zero byte."),
    "folder.onnx": ("model", kept_in("sub"), "in sub, which cannot be read: Is a directory."),
    "pipe.onnx": ("model", os.mkfifo, "pipe.onnx cannot be read: it is not a regular file."),
    "big.onnx": (
        "model",
        lambda path: os.truncate(path, 8 << 30),
        "big.onnx cannot be read: it has 8589934592 bytes, and at most 4294967296 are read.",
    ),
    "pir.json": ("program", b'{"program":' + b"[" * DEEP, "pir.json is not a Paddle PIR program"),
    "wide.png": ("picture", wide(), "becomes 8x80000000 pixels (height x width), more than"),
    "eps.png": ("picture", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "in one of"),
    "pipe.png": ("picture", os.mkfifo, "cannot be read: it is not a regular file."),
    "huge.npy": (
        "array",
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 4)}"),
        "is not a .npy file of numbers.",
    ),
    "token.npy": ("array", npy("{'descr': '<f4', (((("), "is not a .npy file of numbers."),
    "nested.npy": ("array", npy("[" * 9000), "is not a .npy file of numbers."),
    "objects.npy": (
        "array",
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (2,)}"),
        "is not a .npy file of numbers.",
    ),
    "npz.npy": ("array", packed(100), "holds several arrays, not one."),
    "bomb.npz": ("cache", packed(0xFFFF_FFFE), "bomb.npz is not a distribution cache."),
    "damaged.npz": ("cache", packed(1 << 20), "damaged.npz is not a distribution cache."),
    "knightlite.json": ("manifest", b"[" * DEEP + b"]" * DEEP, TOO_DEEP),
    "deep.json": ("run", b'{"quant":' * DEEP + b"1" + b"}" * DEEP, TOO_DEEP),
    "hundred.json": ("run", b"[" * 100 + b"]" * 100, TOO_DEEP),
    "number.json": ("run", b'{"quant": {"x": 1' + b"0" * 9000 + b"}}", TOO_WIDE),
    "type.json": (
        "scales",
        b'{"version": 1, "tensors": {"a": {"type": {}, "scale": 1}}}',
        "its type must be one of u8, s8, s16, not {}.",
    ),
    "scale.json": (
        "scales",
        b'{"version": 1, "tensors": {"a": {"type": "u8", "scale": 1e300}}}',
        "its scale must be a positive number or a list of them, not 1e+300.",
    ),
    "deep.toml": ("recipe", b"a = " + b"[" * DEEP + b"]" * DEEP, TOO_DEEP),
    "dotted.toml": ("recipe", b".".join([b"a"] * DEEP) + b" = 1", TOO_DEEP),
    "number.toml": ("chip", b"format = 1" + b"0" * 30, TOO_WIDE),
    "long.toml": ("chip", b"# " + b"a" * (1 << 19), "at most 262144 are read"),
    "shard.json": ("state", state_with(shard=[1, 1 << 31]), "is damaged: "),
    "energy.json": ("state", state_with(energy="1e999999999"), "does not hold the sums"),
    "count.json": ("state", state_with(top1=[1e300]), "does not hold the sums"),
    "raised.txt": ("labels", "\u00b2:x\n".encode(), "nothing"),
    "labels.txt": ("labels", b"999999999:x\n", "numbers a class 999999999, more than 1048575."),
    "digits.txt": ("labels", b"9" * 5000 + b":x\n", "nothing"),
    "big.cfg": ("cfg", lambda path: os.truncate(path, 8 << 30), "at most 4294967296 are read"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_a_file_asks_for_is_bounded(child: Child, tmp_path: Path, name: str) -> None:
    kind, made, sentence = CASES[name]
    path = tmp_path / name
    (tmp_path / "sub").mkdir()
    if isinstance(made, bytes):
        path.write_bytes(made)
    elif isinstance(made, onnx.ModelProto):
        path.write_bytes(made.SerializeToString())
    else:
        if made is not os.mkfifo:
            path.touch()
        made(path)
    said = child.read(kind, path)
    assert not said.startswith("INTERNAL"), said
    assert sentence in said
    assert "\n" not in said


@pytest.mark.parametrize("kind", ["a4", "<U9", "f3", "i4,i4", "|O", "nonsense"])
def test_arrays_of_no_numbers(tmp_path: Path, kind: str) -> None:
    """Told without numpy, which warns of some of its older names."""
    path = tmp_path / "a.npy"
    path.write_bytes(npy(f"{{'descr': '{kind}', 'fortran_order': False, 'shape': (4,)}}"))
    with pytest.raises(ValueError, match=re.escape(f"it holds {kind}, not numbers")):
        read_array(path)


def test_arrays_of_as_many_axes_as_allowed(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.ones((1,) * limits.TENSOR_AXES))
    assert read_array(path).ndim == limits.TENSOR_AXES
    np.save(path, np.ones((1,) * (limits.TENSOR_AXES + 1)))
    with pytest.raises(ValueError, match="its header is damaged"):
        read_array(path)


def test_the_child_has_little_memory(child: Child, tmp_path: Path) -> None:
    """Or nothing above would be a test: a sound file of two GiB does not fit into it."""
    path = tmp_path / "zeros.npy"
    np.lib.format.open_memmap(path, "w+", np.float32, (1 << 29,))
    assert child.read("array", path).startswith("INTERNAL MemoryError")
