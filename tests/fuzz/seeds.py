"""Sound files of every format: what the mutators begin with."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from knightlite import datafiles
from knightlite.api.evaluation import state
from knightlite.api.exploration.records import Accuracy, Exploration, Network, Point, Size, Time
from knightlite.api.models.binary import open_binary
from knightlite.api.models.search_file import SavedRegion, SavedSearch, SavedTiling
from knightlite.cli.program import run
from knightlite.json_records import canonical_json, to_json
from knightlite.preprocess import load_recipe
from knightlite.profiler import profile, profile_json
from paddle_program import conv_relu_program, conv_relu_weights, records

SCRIPT = """\
import numpy as np
from onnx_quantize_tool.common.register import onnx_infer_func


@onnx_infer_func.register("feed")
def feed(executor):
    chance = np.random.default_rng(5)
    total = 0.0
    for number in range(executor.iteration):
        picture = chance.normal(size=(executor.batch_size, 3, 8, 8)).astype(np.float32)
        scores = executor.forward(picture)[0]
        total += float(np.asarray(scores).mean())
    return 100 * total
"""
RUN_CONFIG = {
    "quant": {"model": "m.onnx", "data": "pictures", "recipe": "r.toml", "iteration": 2,
              "general-process": True, "save-dir": "out"},
    "compile": {"onnx": "out/m_quantize.onnx", "save-dir": "out"},
    "compare": {"sort": True},
}  # fmt: skip
INPUT_CONFIGS = [
    {"input_name": "x", "quant_data_format": "Numpy", "data_dir": "arrays", "mean": "0.1 0.2 0.3",
     "std": "1", "color_space": "RGB", "quantize_input_dtype": "None"},
]  # fmt: skip
PIR = {
    "base_code": {"magic": "pir", "version": 1},
    "program": {"regions": [{"#": "region_0", "blocks": [{"#": "block_0", "args": [], "ops": [
        {"#": "p", "A": [0, 1, 1, "w"], "DA": [], "O": {"%": 1, "TT": {"#": "0.t_dtensor", "D": [
            {"#": "0.t_f32"}, [3, 4], "NCHW", [], 0]}}, "OA": [1, 0, 1]},
        {"#": "1.relu", "A": [], "I": [{"%": 1}], "O": [{"%": 2}]},
    ]}]}]},
}  # fmt: skip


def small_model(host: bool = True) -> onnx.ModelProto:
    """Conv, Relu, pool, Resize, a shape computed, Reshape and a dense layer, on [1, 3, 8, 8].

    ``host``: the scores' TopK and ArgMax follow, of which the host does one with ONNX Runtime.
    """
    rng = np.random.default_rng(3)
    constants: dict[str, np.ndarray] = {
        "w": rng.normal(size=(4, 3, 3, 3)).astype(np.float32),
        "b": np.zeros(4, np.float32),
        "scales": np.asarray([1, 1, 2, 2], np.float32),
        "rest": np.asarray([-1], np.int64),
        "m": rng.normal(size=(256, 5)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("MaxPool", ["r"], ["p"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Resize", ["p", "", "scales"], ["u"], "resize", mode="nearest",
                         coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
        helper.make_node("Shape", ["u"], ["s"], "shape", start=0, end=1),
        helper.make_node("Concat", ["s", "rest"], ["t"], "sizes", axis=0),
        helper.make_node("Reshape", ["u", "t"], ["f"], "flat"),
        helper.make_node("MatMul", ["f", "m"], ["y"], "dense"),
    ]  # fmt: skip
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    if host:
        constants["two"] = np.asarray([2], np.int64)
        nodes += [
            helper.make_node("ArgMax", ["y"], ["k"], "best", axis=1),
            helper.make_node("TopK", ["y", "two"], ["v", "i"], "top"),
        ]
        outputs += [
            helper.make_tensor_value_info("k", TensorProto.INT64, None),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, None),
            helper.make_tensor_value_info("i", TensorProto.INT64, None),
        ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        outputs,
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@contextlib.contextmanager
def silent() -> Iterator[io.StringIO]:
    """What commands print in the ``with``."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        yield said


def furnish(folder: Path) -> None:
    """All that a user brings: models, pictures, arrays, a recipe, labels, a script, settings."""
    onnx.save(small_model(), folder / "m.onnx")
    onnx.save(
        small_model(host=False), folder / "e.onnx", save_as_external_data=True,
        location="e.bin", size_threshold=100,
    )  # fmt: skip
    weights = conv_relu_weights()
    (folder / "p.pdmodel").write_bytes(conv_relu_program(weights))
    (folder / "p.pdiparams").write_bytes(records(weights))
    (folder / "p.json").write_text(json.dumps(PIR), encoding="utf-8")
    rng = np.random.default_rng(1)
    for label in ("a", "b"):
        (folder / "pictures" / label).mkdir(parents=True)
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8)).save(
            folder / "pictures" / label / "1.png"
        )
    (folder / "arrays").mkdir()
    array = rng.normal(size=(1, 3, 8, 8)).astype(np.float32)
    np.save(folder / "arrays" / "1.npy", array)
    array.tofile(folder / "input.bin")
    recipe = load_recipe("raw").text.replace("\r", "")
    (folder / "r.toml").write_text(recipe, encoding="utf-8")
    (folder / "labels.txt").write_text("0:a\n1:b\n2:c\n3:d\n4:e\n", encoding="utf-8")
    (folder / "script.py").write_text(SCRIPT, encoding="utf-8")
    (folder / "run.json").write_text(json.dumps(RUN_CONFIG), encoding="utf-8")
    (folder / "token.txt").write_text("0123456789abcdef\n", encoding="utf-8")
    shutil.copy(min(datafiles.chips_folder().glob("*.toml")), folder / "c.toml")
    (folder / "inputs.json").write_text(json.dumps(INPUT_CONFIGS), encoding="utf-8")


def make_chain(folder: Path) -> None:
    """A quantized and compiled network with all that the commands leave, in ``folder``."""
    furnish(folder)
    before = Path.cwd()
    os.chdir(folder)
    try:
        quant = [
            "quant",
            "-m",
            "m.onnx",
            "-d",
            "pictures",
            "--recipe",
            "r.toml",
            "-gp",
            "--effort",
            "low",
        ]
        for command in (
            [*quant, "-cd", "cache.npz", "-gsj"],
            [*quant, "-cd", "cache.npz"],
            [*quant, "-gt"],
            ["compile"],
            ["sim", "-i", "inputs/x.bin", "--debug", "all"],
        ):
            with silent() as said:
                code = run(command)
            assert code == 0, (command, said.getvalue())
    finally:
        os.chdir(before)


def search_text() -> bytes:
    """What a search for a schedule leaves."""
    regions = (
        SavedRegion(0, 2, 4, True, None),
        SavedRegion(2, 3, 1, False, SavedTiling(4, 8, 16, True, 2)),
    )
    found = SavedSearch(1, "0" * 64, "1" * 64, 7, regions, ("a", "b"))
    return canonical_json(to_json(found))


def state_text() -> bytes:
    """What ``eval --state`` keeps."""
    tally: dict[str, object] = {name: [1, 0] for name in (
        "top1", "top5", "lost", "won", "agreed", "compared", "differing")}  # fmt: skip
    tally |= {"pictures": 3, "labelled": 2, "classes": 4, "energy": "12/7", "noise": ["0", None]}
    value = {
        "knightlite_evaluation": state.FORMAT,
        "models": [["a", "chip", "b"], ["c", "float", "d"]], "data": "x", "pictures": 3,
        "recipe": "r", "scores": "outputs", "check": False, "shard": [1, 2], "stamp": "s",
        "total": 3, "tally": tally,
    }  # fmt: skip
    return json.dumps(value).encode()


def annotations_text() -> bytes:
    """Boxes of two pictures, in COCO's format."""
    quad = [[1.0, 2.0, 4.0, 2.0, 4.0, 6.0, 1.0, 6.0]]
    boxes = [
        {"id": 1, "image_id": 7, "category_id": 3, "bbox": [1.0, 2.0, 3.0, 4.0], "iscrowd": 0},
        {"id": 2, "image_id": 9, "category_id": 4, "bbox": [0, 0, 5, 5], "segmentation": quad},
    ]
    value = {
        "images": [{"id": 7, "file_name": "a/b.png"}, {"id": 9, "file_name": "c.png"}],
        "categories": [{"id": 3, "name": "x"}, {"id": 4, "name": "y"}],
        "annotations": boxes,
    }
    return json.dumps(value).encode()


def picture_bytes(kind: str) -> bytes:
    """A picture of 7 by 9 pixels, in a format as Pillow calls it."""
    pixels = np.random.default_rng(2).integers(0, 255, (9, 7, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def array_bytes(values: np.ndarray) -> bytes:
    """A ``.npy`` file."""
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def exploration_text() -> bytes:
    """Points of one network on two chips, one of which does not run it."""
    time = Time(
        cycles=9,
        latency_ms=0.5,
        error_percent=25,
        extrapolated=("why",),
        moved_bytes=3,
        ddr_bytes=4,
    )
    kept = Accuracy(bits=8, data="0" * 64, sqnr_db=30.5, output="y", pictures=4)
    found = Exploration(
        schema="knightlite.explore/1",
        version="1",
        finished=True,
        models=(Network(file="m.onnx", sha256="1" * 64, macs=7, accuracy=(kept,)),),
        chips=(Size(name="a", facts={"vector_lanes": 8}, digest="2" * 64, on_chip_bytes=1),) * 2,
        points=(
            Point(model=0, chip=0, level=1, bits=8, time=time, best=True),
            Point(model=0, chip=1, level=0, bits=16, refused="no.", best=False),
        ),
    )
    return canonical_json(to_json(found)) + b"\n"


def profile_text(folder: Path) -> bytes:
    """What ``profile`` leaves of the chain's network."""
    binary = open_binary(folder / "m_quantize_r.cfg")
    return profile_json(profile(binary.program)).encode()


def request_bytes() -> bytes:
    """A request of the inference protocol, every part of it."""
    tensors = [
        {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.5, 2]},
        {"name": "p", "datatype": "BYTES", "shape": [1], "data": ["AAAA"],
         "parameters": {"content_type": "base64"}},
        {"name": "b", "datatype": "INT8", "shape": [64], "parameters": {"binary_data_size": 64}},
    ]  # fmt: skip
    outputs = [{"name": "y", "parameters": {"binary_data": True}}]
    value = {"id": "7", "inputs": tensors, "outputs": outputs, "parameters": {}}
    return json.dumps(value).encode()
