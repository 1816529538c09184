"""Whole networks at full size, byte for byte: `make conformance`.

Three kinds: networks built here from nothing, on every chip; those of ``examples/densenet121``
(from the folder KNIGHTLITE_MODELS, or made now where paddle is installed); and trained ones of
``../shared/data`` with its pictures. What is not there is skipped, with the reason.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import conftest
from conformance_checks import (
    CHIPS,
    MAIN,
    Built,
    Pictures,
    above_floor,
    build,
    judge,
    save_and_load,
    single,
)
from conformance_table import ROWS, Row
from knightlite.frontend import load, load_quantized
from knightlite.ir import Graph
from knightlite.preprocess import list_pictures, load_recipe
from knightlite.profiler import profile
from knightlite.quantize.onnx_models import write_qdq
from knightlite.quantize.pipeline import quantize_graph
from knightlite.sim.host import quantize
from networks import FULL, Network, pictures

pytestmark = pytest.mark.conformance

Array = NDArray[Any]
Shape = tuple[int, ...]
ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
CALIBRATION, TEST = 16, 2
MODELS_VARIABLE = "KNIGHTLITE_MODELS"


@dataclass(frozen=True)
class Source:
    """Where a network comes from: the float graph, and pictures [N, C, H, W] to calibrate, test."""

    name: str
    chips: tuple[str, ...]
    load: Callable[[Path], tuple[Graph, Array, Array]]


# ------------------------------------------------------------------ built here


def built_here(network: Network) -> Source:
    def make(folder: Path) -> tuple[Graph, Array, Array]:
        batch = pictures(CALIBRATION, network.shape, seed=1)
        path = folder / f"{network.name}.onnx"
        graph = save_and_load(network.model(batch[:8]), path)
        return graph, batch, pictures(TEST, network.shape, seed=2)

    return Source(network.name, CHIPS, make)


# ------------------------------------------------------------------ examples/densenet121


def example(network: str) -> Source:
    def make(folder: Path) -> tuple[Graph, Array, Array]:
        made = example_folder(network, folder)
        graph = load(made / "model.pdmodel")
        recipe = load_recipe("imagenet")
        shape = graph.tensors[graph.inputs[0]].shape
        samples = list_pictures(made / "DIR").samples
        batch = np.stack([recipe.apply(item.path, shape) for item in samples])
        test = np.fromfile(made / "model_input.bin", np.float32).reshape(-1, *shape[1:])
        return graph, batch[:CALIBRATION], test[:TEST]

    return Source(f"example_{network}", (MAIN,), make)


def example_folder(network: str, folder: Path) -> Path:
    """A folder as ``make.py`` leaves it."""
    given = os.environ.get(MODELS_VARIABLE)
    if given:
        found = Path(given) / network
        if not (found / "model.pdmodel").is_file():
            pytest.skip(f"{MODELS_VARIABLE} holds no {network}/model.pdmodel")
        return found
    if importlib.util.find_spec("paddle") is None:
        pytest.skip(f"needs paddlepaddle, or {MODELS_VARIABLE}=FOLDER with {network}/model.pdmodel")
    script = ROOT / "examples" / "densenet121" / "make.py"
    made = folder / network
    subprocess.run([sys.executable, script, made, "--network", network], check=True)
    return made


# ------------------------------------------------------------------ trained


def photographs(recipe_name: str, factor: float = 1.0) -> Callable[[Shape], tuple[Array, Array]]:
    def read(shape: Shape) -> tuple[Array, Array]:
        recipe = load_recipe(recipe_name)
        return tuple(  # type: ignore[return-value]  # two arrays
            np.stack([recipe.apply(item.path, shape) * np.float32(factor) for item in samples])
            for samples in (
                list_pictures(DATA / "imagenet/calib").samples[:CALIBRATION],
                list_pictures(DATA / "imagenet/val").samples[:: 500 // TEST],
            )
        )

    return read


def cifar(recipe_name: str) -> Callable[[Shape], tuple[Array, Array]]:
    def read(shape: Shape) -> tuple[Array, Array]:
        from PIL import Image

        recipe = load_recipe(recipe_name)
        samples = list_pictures(DATA / "cifar10/calib").samples[:: 100 // CALIBRATION]
        test = np.load(DATA / "cifar10/test1000.npz")["x"][:TEST]
        return (
            np.stack([recipe.apply(item.path, shape) for item in samples]),
            np.stack([recipe.apply(Image.fromarray(item), shape) for item in test]),
        )

    return read


def words(shape: Shape) -> tuple[Array, Array]:
    stored = np.load(DATA / "ppocr_cls/words.npz")["x"]
    x = (stored.astype(np.float32) / 255 - np.float32(0.5)) / np.float32(0.5)
    return x[:CALIBRATION], x[100 : 100 + TEST]


def trained(
    name: str,
    file: str,
    read: Callable[[Shape], tuple[Array, Array]],
    shapes: list[Shape] | None = None,
    chips: tuple[str, ...] = (MAIN,),
) -> Source:
    def make(folder: Path) -> tuple[Graph, Array, Array]:
        if not (DATA / "models" / file).is_file():
            pytest.skip(f"needs ../shared/data/models/{file}")
        graph = load(DATA / "models" / file, input_shapes=shapes)
        batch, test = read(graph.tensors[graph.inputs[0]].shape)
        return graph, batch, test

    return Source(name, chips, make)


SOURCES = (
    *map(built_here, FULL),
    *map(example, ("densenet121", "resnet18", "mobilenet_v2")),
    trained("squeezenet1.1", "squeezenet1.1.onnx", photographs("imagenet")),
    trained("mobilenet_v1_0.25", "mobilenet_v1_0.25.onnx", photographs("imagenet_pm1")),
    trained("vww_96", "vww_96.onnx", photographs("raw", 1 / 255)),
    trained("densenet40", "densenet40_cifar10.onnx", cifar("cifar10_densenet"), None, CHIPS),
    trained("resnet20", "resnet20_cifar10.onnx", cifar("cifar10")),
    trained("resnet8", "resnet8_cifar10.onnx", cifar("raw")),
    trained("ppocr_cls", "ppocr_cls/ocrV3_cls.pdmodel", words, [(1, 3, 48, 192)], CHIPS),
)


# ------------------------------------------------------------------ the test


@dataclass(frozen=True)
class Prepared:
    """A network behind the quantizer, read back from its QDQ file; ``test`` [N, C, H, W]."""

    source: Source
    floating: Graph
    quantized: Graph
    test: Array
    quantize_s: float


def prepare(source: Source, folder: Path) -> Prepared:
    floating, batch, test = source.load(folder)
    started = time.perf_counter()
    result = quantize_graph(floating, Pictures(batch), threads=2)
    seconds = time.perf_counter() - started
    path = folder / "network_quantize.onnx"
    path.write_bytes(write_qdq(result.graph, {}).SerializeToString())
    return Prepared(source, floating, load_quantized(path), test, seconds)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Source], Prepared]:
    """Prepares a source; the last one is kept, since its other chips come next."""

    @lru_cache(maxsize=1)
    def keep(source: Source) -> Prepared:
        return prepare(source, tmp_path_factory.mktemp(source.name))

    return keep


@pytest.mark.parametrize(
    ("source", "chip_name"),
    [
        pytest.param(source, chip_name, id=f"{source.name}-{chip_name}")
        for source in SOURCES
        for chip_name in source.chips
    ],
)
def test_full_size(
    source: Source,
    chip_name: str,
    prepared: Callable[[Source], Prepared],
    golden: conftest.Golden,
    request: pytest.FixtureRequest,
) -> None:
    item = prepared(source)
    started = time.perf_counter()
    built = build(item.quantized, chip_name)
    compile_s = time.perf_counter() - started
    (name,) = item.floating.inputs
    verdict = judge(built, item.quantized, item.floating, single(name, item.test))
    row = Row(
        network=source.name,
        chip=chip_name,
        pictures=len(item.test),
        tensors=verdict.tensors,
        counted=verdict.counted,
        bytes=verdict.bytes,
        differing=verdict.differing,
        max_lsb=verdict.max_lsb,
        sqnr_db=verdict.sqnr_db,
        latency_ms=profile(built.program).time_ms,
        quantize_s=item.quantize_s,
        compile_s=compile_s,
        simulate_s=simulated_s(built, {name: item.test[:1]}),
    )
    request.config.stash.setdefault(ROWS, []).append(row)
    verdict.check()
    above_floor(golden, "full_size_sqnr_db.json", source.name, verdict.sqnr_db)


def simulated_s(built: Built, picture: dict[str, Array], repeats: int = 3) -> float:
    """Seconds that the machine takes for a picture, the best of a few."""
    inputs = {
        entry["name"]: quantize(picture[entry["name"]], entry)
        for entry in built.program.meta["inputs"]
    }
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        built.machine.run(inputs)
        seconds.append(time.perf_counter() - started)
    return min(seconds)
