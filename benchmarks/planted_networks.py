"""Trained networks with a fault of a known kind planted in them: what only some pictures hold.

``loud_stream``: ResNet-20 (../shared/data) whose last stage carries sixteen more channels along.
They speak up on some pictures only, on one of thirty at least four times as loud as the stream does
on the median one, and no layer reads them: the function is the trained one, bit for bit. A scale
for what they say is paid by all others.

``rare_digits``: the features of the shipped digits network over a large dark canvas, with a head
that says at every place which digit is there, fitted by least squares. One canvas of ten holds a
digit; the others hold grain and strokes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from accuracy import DATA, cifar10
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from knightlite.frontend import load
from knightlite.inference import session
from knightlite.onnx_models import write_float
from knightlite.preprocess import list_pictures, load_recipe, prepare_picture

Array = NDArray[Any]

ROOT = Path(__file__).resolve().parent.parent
DIGITS = ROOT / "examples" / "digits"
LOUD_CHANNELS = 16
LOUDEST = 6.0  # times the median picture's peak in the stream, on one picture of thirty
CANVAS = 96  # pixels
STRIDE = 8  # of the digits' features
HOLDS = 10  # one canvas of so many holds a digit
FOUND = 0.5  # score from which a place holds a digit
SEED = 0


@dataclass(frozen=True)
class Planted:
    """A model with pictures [n, C, H, W] to calibrate and to test it with.

    ``threshold``: of scores that are finds; None where the largest is the class.
    """

    name: str
    model: Path
    calibration: Array
    test: Array
    threshold: float | None = None


def loud_stream(folder: Path) -> Planted:
    """ResNet-20 with a residual stream of which rare pictures take the scale."""
    raw = DATA / "models" / "resnet20_cifar10.onnx"
    shape = (1, 3, 32, 32)
    calibration, test, _ = cifar10("cifar10")(shape)
    model = onnx.load_from_string(_bytes(raw, shape))
    constants = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    adds = [node for node in model.graph.node if node.op_type == "Add"]
    entry, inner = adds[-3], adds[-2:]  # the last stage begins with the first of three
    before, stream = _stage_input(model, entry), _relu_of(model, entry).output[0]
    seen = _values(model, (before, stream), calibration)
    gains = np.abs(np.random.default_rng(SEED).normal(size=(LOUD_CHANNELS, seen[before].shape[1])))
    heard = np.einsum("lc,nchw->nlhw", gains, seen[before][:, :, ::2, ::2])
    peaks = heard.max(axis=(1, 2, 3))
    quiet = np.quantile(peaks, 0.5)
    loudness = LOUDEST * np.median(seen[stream].max(axis=(1, 2, 3)))
    factor = loudness / (np.quantile(peaks, 1 - 1 / 30) - quiet)
    constants["loud.weight"] = (factor * gains)[:, :, None, None].astype(np.float32)
    constants["loud.bias"] = np.full(LOUD_CHANNELS, -factor * quiet, np.float32)
    nodes = []
    for node in model.graph.node:
        nodes.append(node)
        if stream in node.output:
            node.output[0] = f"{stream}/trained"
            nodes += [
                helper.make_node(
                    "Conv", [before, "loud.weight", "loud.bias"], ["loud/linear"], strides=[2, 2]
                ),
                helper.make_node("Relu", ["loud/linear"], ["loud"]),
                helper.make_node("Concat", [f"{stream}/trained", "loud"], [stream], axis=1),
            ]
    for node in _readers(model, [stream, *(_relu_of(model, add).output[0] for add in inner)]):
        weights = constants[node.input[1]]
        silent = np.zeros((len(weights), LOUD_CHANNELS, *weights.shape[2:]), np.float32)
        constants[node.input[1]] = np.concatenate([weights, silent], axis=1)
    for add in inner:
        for node in model.graph.node:
            if node.op_type == "Conv" and node.output[0] in add.input:
                for name in node.input[1:]:
                    values = constants[name]
                    none = np.zeros((LOUD_CHANNELS, *values.shape[1:]), np.float32)
                    constants[name] = np.concatenate([values, none])
    path = folder / "loud_stream.onnx"
    _save(model, nodes, constants, path)
    return Planted("loud_stream", path, calibration, test)


def rare_digits(folder: Path) -> Planted:
    """A detector of digits on canvases of which one in ten holds any."""
    recipe = load_recipe("digits")
    shape = (1, 3, CANVAS, CANVAS)
    model = onnx.load_from_string(_bytes(DIGITS / "digits.pdmodel", (1, 3, 32, 32)))
    (pooled,) = (node for node in model.graph.node if node.op_type == "GlobalAveragePool")
    features = pooled.input[0]
    nodes = list(model.graph.node)[: list(model.graph.node).index(pooled)]
    constants = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    for entry in model.graph.input:
        for axis, size in enumerate(shape):
            entry.type.tensor_type.shape.dim[axis].dim_value = size

    def digits(part: str) -> tuple[Array, list[int]]:
        samples = list_pictures(DIGITS / part).samples
        pictures = [prepare_picture(item.path, recipe, (1, 3, 32, 32)) for item in samples]
        return np.stack(pictures), [int(item.path.parent.name) for item in samples]

    random = np.random.default_rng(SEED)
    known, unknown = digits("calib"), digits("test")
    trunk = _with_output(model, nodes, features)
    drawn, wanted = _canvases(random, *known, count=400, holds=1)
    held = _values(trunk, (features,), drawn)[features]
    rows = held.transpose(0, 2, 3, 1).reshape(-1, held.shape[1]).astype(np.float64)
    rows = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
    targets = wanted.transpose(0, 2, 3, 1).reshape(-1, 10)
    weighed = np.where(targets.any(axis=1), 30.0, 1.0)[:, None]  # places with a digit are few
    moments = rows.T @ (weighed * rows) + 1e-3 * len(rows) * np.eye(rows.shape[1])
    head = np.linalg.solve(moments, rows.T @ (weighed * targets)).T.astype(np.float32)
    constants["head.weight"] = head[:, :-1, None, None].copy()
    constants["head.bias"] = head[:, -1].copy()
    nodes.append(helper.make_node("Conv", [features, "head.weight", "head.bias"], ["scores"]))
    path = folder / "rare_digits.onnx"
    _save(_with_output(model, nodes, "scores"), nodes, constants, path)
    calibration, _ = _canvases(random, *known, count=100, holds=HOLDS)
    test, _ = _canvases(random, *unknown, count=500, holds=HOLDS)
    return Planted("rare_digits", path, calibration, test, FOUND)


def _canvases(
    random: np.random.Generator, pictures: Array, classes: Sequence[int], count: int, holds: int
) -> tuple[Array, Array]:
    """Canvases [n, 3, H, W], and 1 at the place of a digit [n, 10, H / 8, W / 8].

    One of ``holds`` has one.
    """
    dark = pictures.min()
    drawn = np.full((count, 3, CANVAS, CANVAS), dark, np.float32)
    drawn += np.abs(random.normal(0, 0.1, (count, 1, CANVAS, CANVAS))).astype(np.float32)
    wanted = np.zeros((count, 10, CANVAS // STRIDE, CANVAS // STRIDE))
    for place in range(count):
        for _ in range(3):  # strokes
            row, column = random.integers(0, CANVAS - 24, 2)
            drawn[place, :, row : row + 2, column : column + random.integers(4, 24)] = dark + 1.5
        if place % holds == 0:
            which = int(random.integers(len(pictures)))
            row, column = STRIDE * random.integers(1, (CANVAS - 32) // STRIDE, 2)
            drawn[place, :, row : row + 32, column : column + 32] = pictures[which]
            middle = (row + 16) // STRIDE, (column + 16) // STRIDE
            wanted[place, classes[which], middle[0] - 1 : middle[0] + 1,
                   middle[1] - 1 : middle[1] + 1] = 1  # fmt: skip
    return drawn, wanted


def _bytes(path: Path, shape: tuple[int, ...]) -> bytes:
    """The model as ONNX with constants and BatchNorms folded."""
    weight = path.with_suffix(".pdiparams")
    graph = load(path, weight if weight.is_file() else None, None, [shape])
    made = write_float(graph)
    return made if isinstance(made, bytes) else made.SerializeToString()


def _values(model: onnx.ModelProto, names: Sequence[str], pictures: Array) -> dict[str, Array]:
    """Float values [n, ...] of inner tensors, a picture at a time."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    known = {item.name for item in watched.graph.output}
    watched.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in names if name not in known
    )
    runner = session(watched, 1)
    (entry,) = (item.name for item in model.graph.input)
    parts = [runner.run(list(names), {entry: picture[None]}) for picture in pictures]
    return {
        name: np.concatenate(some)
        for name, some in zip(names, zip(*parts, strict=True), strict=True)
    }


def _with_output(model: onnx.ModelProto, nodes: Sequence[Any], name: str) -> onnx.ModelProto:
    made = onnx.ModelProto()
    made.CopyFrom(model)
    del made.graph.node[:], made.graph.output[:], made.graph.value_info[:]
    made.graph.node.extend(nodes)
    made.graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return made


def _save(
    model: onnx.ModelProto, nodes: Sequence[Any], constants: dict[str, Array], path: Path
) -> None:
    made = onnx.ModelProto()
    made.CopyFrom(model)
    del made.graph.node[:], made.graph.initializer[:], made.graph.value_info[:]
    made.graph.node.extend(nodes)
    made.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in constants.items())
    onnx.save(onnx.shape_inference.infer_shapes(made), path)


def _relu_of(model: onnx.ModelProto, add: Any) -> Any:
    (found,) = (node for node in model.graph.node if add.output[0] in node.input)
    return found


def _stage_input(model: onnx.ModelProto, add: Any) -> str:
    """What both branches of the first block of a stage read: the 1 x 1 convolution's input."""
    (found,) = (
        node for node in model.graph.node
        if node.output[0] in add.input and _kernel(model, node) == (1, 1)
    )  # fmt: skip
    return str(found.input[0])


def _kernel(model: onnx.ModelProto, node: Any) -> tuple[int, ...]:
    (weights,) = (item for item in model.graph.initializer if item.name == node.input[1])
    return tuple(weights.dims[2:])


def _readers(model: onnx.ModelProto, names: Sequence[str]) -> list[Any]:
    """The convolutions that read one of the tensors, behind a global pool too."""
    behind = [
        node.output[0]
        for node in model.graph.node
        if node.op_type == "GlobalAveragePool" and node.input[0] in names
    ]
    wanted = {*names, *behind}
    return [node for node in model.graph.node if node.op_type == "Conv" and node.input[0] in wanted]
