"""Where the conformance suite's networks come from, and the pictures each is fed.

Paddle's definitions and the onnx wheel's light models, both with seeded weights and kept under
``build/zoo`` once made; and the trained networks of ``../shared/data``, where that folder is.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import light_models
import numpy as np
import pytest
from numpy.typing import NDArray
from zoo_networks import ZOO, Zoo

from conformance_checks import CHIPS, MAIN
from knightlite.frontend import load
from knightlite.ir import Graph
from knightlite.preprocess import list_pictures, load_recipe, prepare_picture
from seeded_pictures import pictures

Array = NDArray[Any]
Shape = tuple[int, ...]
HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DATA = ROOT.parent / "shared" / "data"
CACHE = ROOT / "build" / "zoo"
PADDLE_PYTHON = Path(
    os.environ.get("KNIGHTLITE_PADDLE_PYTHON", ROOT / ".venv-paddle" / "bin" / "python")
)
PADDLE2_PYTHON = Path(
    os.environ.get("KNIGHTLITE_PADDLE2_PYTHON", ROOT / ".venv-paddle2" / "bin" / "python")
)
TORCH_PYTHON = Path(
    os.environ.get("KNIGHTLITE_TORCH_PYTHON", ROOT / ".venv-torch" / "bin" / "python")
)
CALIBRATION, TEST = 6, 2
EXAMPLE_CALIBRATION = 16
# Half of them judge a step and some pictures a floor: with 16 and 2, which step was kept and the
# floor hung on single pictures (trained_densenet40: 19 to 22 dB for the same quality).
# A classifier of two classes keeps -3 to 47 dB of single pictures' scores: 6 say nothing.
TRAINED_CALIBRATION, TRAINED_TEST, DETECTOR_TEST = 48, 24, 6

# TX5336x has the facts of TX5368 under a name and a digest of its own.
FAMILIES = tuple(dict.fromkeys((*CHIPS, "TX5336AV200")))
# On every family, for the variety of their operators; all others on the common chip.
EVERYWHERE = (
    "densenet121", "dpn68", "se_resnext50_32x4d", "googlenet", "mobilenet_v3_large",
    "shufflenet_v2_x1_0", "yolox_nano", "unet", "light_inception_v1",
)  # fmt: skip


@dataclass(frozen=True)
class Loaded:
    """A float network, pictures [N, C, H, W] to calibrate and to test with; seconds it took.

    ``make_s`` is zero where the network was made by an earlier run.
    """

    graph: Graph
    calibration: Array
    test: Array
    make_s: float
    load_s: float


@dataclass(frozen=True)
class Source:
    """A network of the suite; ``load`` skips the test where something is missing."""

    name: str
    chips: tuple[str, ...]
    load: Callable[[], Loaded]


def chips_of(name: str) -> tuple[str, ...]:
    return FAMILIES if name in EVERYWHERE else (MAIN,)


# ------------------------------------------------------------------ made once


def made(name: str, make: Callable[[Path], None], *recipe: str | Path) -> tuple[Path, float]:
    """The folder ``build/zoo/<name>`` and the seconds it took.

    It is made again when ``recipe`` (texts, and the bytes of files) is another than last time.
    """
    digest = hashlib.sha256()
    for part in recipe:
        digest.update(part.read_bytes() if isinstance(part, Path) else part.encode())
    folder, stamp = CACHE / name, CACHE / name / "made_from"
    if stamp.is_file() and stamp.read_text() == digest.hexdigest():
        return folder, 0.0
    started = time.perf_counter()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    make(folder)
    stamp.write_text(digest.hexdigest())  # last: a folder without it is made again
    return folder, time.perf_counter() - started


def run_paddle(script: Path, *arguments: str | Path, python: Path = PADDLE_PYTHON) -> None:
    """Run a script with an interpreter that has Paddle."""
    if not python.is_file():
        pytest.skip(f"needs {python} with Paddle: `make conformance` sets it up")
    command = [python, script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"{script.name} {arguments[0]}: {done.stderr[-2000:]}")


def from_paddle(network: Zoo) -> Source:
    script = HERE / "paddle_zoo.py"

    def make(folder: Path) -> None:
        run_paddle(script, network.name, folder)

    def read() -> Loaded:
        folder, make_s = made(
            network.name, make, repr(network), script, HERE / "paddle_nets.py",
            HERE.parent / "seeded_pictures.py",
        )  # fmt: skip
        started = time.perf_counter()
        graph = load(folder / "model.pdmodel")
        shape = (3, network.size, network.size)
        batch, test = pictures(CALIBRATION, shape, seed=1), pictures(TEST, shape, seed=2)
        return Loaded(graph, batch, test, make_s, time.perf_counter() - started)

    return Source(network.name, chips_of(network.name), read)


def light(name: str) -> Source:
    def read() -> Loaded:
        channels, height, width = light_models.input_shape(name)[1:]
        shape = (channels, height, width)

        def make(folder: Path) -> None:
            model = light_models.seeded(name, pictures(1, shape, seed=0))
            (folder / "model.onnx").write_bytes(model.SerializeToString())

        folder, make_s = made(f"light_{name}", make, HERE / "light_models.py")
        started = time.perf_counter()
        graph = load(folder / "model.onnx")
        batch, test = pictures(CALIBRATION, shape, seed=1), pictures(TEST, shape, seed=2)
        return Loaded(graph, batch, test, make_s, time.perf_counter() - started)

    return Source(f"light_{name}", chips_of(f"light_{name}"), read)


def example() -> Source:
    """``examples/densenet121`` as its ``make.py`` leaves it."""
    script = ROOT / "examples" / "densenet121" / "make.py"

    def make(folder: Path) -> None:
        run_paddle(script, folder, "--network", "densenet121")

    def read() -> Loaded:
        folder, make_s = made("example_densenet121", make, *sorted(script.parent.glob("*.py")))
        started = time.perf_counter()
        graph = load(folder / "model.pdmodel")
        shape = graph.tensors[graph.inputs[0]].shape
        recipe = load_recipe("imagenet")
        samples = list_pictures(folder / "DIR").samples[:EXAMPLE_CALIBRATION]
        batch = np.stack([prepare_picture(item.path, recipe, shape) for item in samples])
        test = np.fromfile(folder / "model_input.bin", np.float32).reshape(-1, *shape[1:])
        return Loaded(graph, batch, test[:TEST], make_s, time.perf_counter() - started)

    return Source("example_densenet121", (MAIN,), read)


# ------------------------------------------------------------------ trained


def photographs(recipe_name: str, factor: float = 1.0) -> Callable[[Shape], tuple[Array, Array]]:
    def read(shape: Shape) -> tuple[Array, Array]:
        recipe = load_recipe(recipe_name)
        return tuple(  # type: ignore[return-value]  # two arrays
            np.stack(
                [prepare_picture(item.path, recipe, shape) * np.float32(factor) for item in samples]
            )
            for samples in (
                list_pictures(DATA / "imagenet/calib").samples[:TRAINED_CALIBRATION],
                list_pictures(DATA / "imagenet/val").samples[:: 500 // TRAINED_TEST][:TRAINED_TEST],
            )
        )

    return read


def cifar(recipe_name: str) -> Callable[[Shape], tuple[Array, Array]]:
    def read(shape: Shape) -> tuple[Array, Array]:
        from PIL import Image

        recipe = load_recipe(recipe_name)
        samples = list_pictures(DATA / "cifar10/calib").samples[:: 100 // TRAINED_CALIBRATION]
        test = np.load(DATA / "cifar10/test1000.npz")["x"][:TRAINED_TEST]
        return (
            np.stack([prepare_picture(item.path, recipe, shape) for item in samples]),
            np.stack([prepare_picture(Image.fromarray(item), recipe, shape) for item in test]),
        )

    return read


def words(shape: Shape) -> tuple[Array, Array]:
    stored = np.load(DATA / "ppocr_cls/words.npz")["x"]
    x = (stored.astype(np.float32) / 255 - np.float32(0.5)) / np.float32(0.5)
    return x[:TRAINED_CALIBRATION], x[100 : 100 + TRAINED_TEST]


def letterboxed(shape: Shape) -> tuple[Array, Array]:
    """COCO as YOLOX reads it: BGR, 0 to 255, top left on grey 114."""
    from PIL import Image

    height, width = shape[2:]

    def read(path: Path) -> Array:
        image = Image.open(path).convert("RGB")
        factor = min(width / image.width, height / image.height)
        size = int(image.width * factor), int(image.height * factor)
        box = np.full((height, width, 3), 114, np.float32)
        box[: size[1], : size[0]] = np.asarray(image.resize(size, Image.Resampling.BILINEAR))
        return np.ascontiguousarray(box[:, :, ::-1].transpose(2, 0, 1))

    paths = sorted((DATA / "coco/val2017").iterdir())[: TRAINED_CALIBRATION + DETECTOR_TEST]
    batch = np.stack([read(path) for path in paths])
    return batch[:TRAINED_CALIBRATION], batch[TRAINED_CALIBRATION:]


def trained(
    name: str,
    file: str,
    read: Callable[[Shape], tuple[Array, Array]],
    shapes: list[Shape] | None = None,
    chips: tuple[str, ...] = (MAIN,),
) -> Source:
    def make() -> Loaded:
        if not (DATA / "models" / file).is_file():
            pytest.skip(f"needs ../shared/data/models/{file}")
        started = time.perf_counter()
        graph = load(DATA / "models" / file, input_shapes=shapes)
        batch, test = read(graph.tensors[graph.inputs[0]].shape)
        return Loaded(graph, batch, test, 0.0, time.perf_counter() - started)

    return Source(f"trained_{name}", chips, make)


SOURCES = (
    *map(from_paddle, ZOO),
    *map(light, light_models.NAMES),
    example(),
    trained("squeezenet1_1", "squeezenet1.1.onnx", photographs("imagenet")),
    trained("mobilenet_v1_0.25", "mobilenet_v1_0.25.onnx", photographs("imagenet_pm1")),
    trained("vww_96", "vww_96.onnx", photographs("raw", 1 / 255)),
    trained("densenet40", "densenet40_cifar10.onnx", cifar("cifar10_mean53"), None, CHIPS),
    trained("resnet20", "resnet20_cifar10.onnx", cifar("cifar10")),
    trained("resnet8", "resnet8_cifar10.onnx", cifar("raw")),
    trained("ppocr_cls", "ppocr_cls/ocrV3_cls.pdmodel", words, [(1, 3, 48, 192)], CHIPS),
    trained("yolox_nano", "yolox_nano.onnx", letterboxed),
)
