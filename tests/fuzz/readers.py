"""Every reader of files with sound seeds, mutated inputs fed to them, and what counts as found.

Anything but a sentence of ours (KnightliteError) is found, and so is what takes too long. The
process has little memory: what asks for more ends in a MemoryError, which is found too.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import resource
import shutil
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from fuzz import mutators
from fuzz.mutators import Mutate
from knightlite import chip_files, container, workspace
from knightlite.api import run_config
from knightlite.api.evaluation import state
from knightlite.api.inspection.results import load_array
from knightlite.cli.program import run
from knightlite.errors import KnightliteError
from knightlite.frontend import load, load_quantized, paddle_forms, paddle_pir, paddle_weights
from knightlite.preprocess import (
    load_recipe,
    prepare_picture,
    read_labels,
)
from knightlite.quantize.mixed.mix_config import read_mix
from knightlite.quantize.scales.scale_file import read_scales
from knightlite.quantize.statistics import distribution_cache
from paddle_program import conv_relu_program, conv_relu_weights, records

HANG_S = 10.0
MEMORY_BYTES = 2 << 30


@dataclass(frozen=True)
class Target:
    """A reader, the name its file has, a sound file, and the mutators of its format."""

    name: str
    file: str
    seed: bytes
    read: Callable[[Path], object]
    mutate: tuple[Mutate, ...]


@dataclass
class Found:
    """What went wrong: the first input of every kind, and how often each came."""

    inputs: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    slowest_s: float = 0.0

    def add(self, target: str, kind: str, data: bytes) -> None:
        """One more of a kind."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self.inputs.setdefault(kind, (target, data))


class Hang(BaseException):
    """A reader that does not come back; no ``except Exception`` may swallow it."""


# ------------------------------------------------------------------ seeds


def small_model() -> onnx.ModelProto:
    """Conv, Relu, pool, Resize, a shape computed, Reshape and Gemm, on [1, 3, 8, 8]."""
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
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@contextlib.contextmanager
def _silent() -> Iterator[io.StringIO]:
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        yield said


def make_chain(folder: Path) -> None:
    """A quantized and compiled network with all that the commands leave, in ``folder``."""
    onnx.save(small_model(), folder / "m.onnx")
    pictures = folder / "pictures"
    pictures.mkdir()
    pixels = np.random.default_rng(1).integers(0, 255, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(pictures / "a.png")
    recipe = load_recipe("raw").text.replace("\r", "")
    (folder / "r.toml").write_text(recipe, encoding="utf-8")
    (folder / "labels.txt").write_text("0:a\n1:b\n2:c\n3:d\n4:e\n", encoding="utf-8")
    before = Path.cwd()
    os.chdir(folder)
    try:
        quant = ["quant", "onnx", "-m", "m.onnx", "-d", "pictures", "--recipe", "r.toml"]
        for command in (
            [*quant, "-cd", "cache.npz", "-gsj"],
            [*quant, "-cd", "cache.npz"],
            [*quant, "-gt"],
            ["compile"],
        ):
            with _silent() as said:
                code = run(command)
            assert code == 0, (command, said.getvalue())
    finally:
        os.chdir(before)


def state_text() -> bytes:
    tally: dict[str, object] = {name: [1, 0] for name in (
        "top1", "top5", "lost", "won", "agreed", "compared", "differing")}  # fmt: skip
    tally |= {"pictures": 3, "labelled": 2, "energy": "12/7", "noise": ["0", None]}
    value = {
        "knightlite_evaluation": state.FORMAT,
        "models": [["a", "chip", "b"], ["c", "float", "d"]], "data": "x", "pictures": 3,
        "recipe": "r", "scores": "outputs", "check": False, "shard": [1, 2], "stamp": "s",
        "total": 3, "tally": tally,
    }  # fmt: skip
    return json.dumps(value).encode()


def picture_bytes(kind: str) -> bytes:
    pixels = np.random.default_rng(2).integers(0, 255, (9, 7, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def array_bytes() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.arange(24, dtype=np.float32).reshape(2, 3, 4))
    return stream.getvalue()


PIR = {
    "base_code": {"magic": "pir", "version": 1},
    "program": {"regions": [{"#": "region_0", "blocks": [{"#": "block_0", "args": [], "ops": [
        {"#": "p", "A": [0, 1, 1, "w"], "DA": [], "O": {"%": 1, "TT": {"#": "0.t_dtensor", "D": [
            {"#": "0.t_f32"}, [3, 4], "NCHW", [], 0]}}, "OA": [1, 0, 1]},
        {"#": "1.relu", "A": [], "I": [{"%": 1}], "O": [{"%": 2}]},
    ]}]}]},
}  # fmt: skip


def targets(folder: Path) -> tuple[Target, ...]:
    """Every reader with a sound file of ``folder``, which :func:`make_chain` filled."""
    recipe = load_recipe(str(folder / "r.toml"))
    graph = load(folder / "m.onnx")
    weights = conv_relu_weights()
    program = conv_relu_program(weights)
    cfg, weight = next(folder.glob("*_r.cfg")), next(folder.glob("*_r.weight"))
    cfg_bytes, weight_bytes = cfg.read_bytes(), weight.read_bytes()
    proto = (mutators.protobuf, mutators.protobuf, mutators.raw)
    text = (mutators.json_text, mutators.json_text, mutators.json_text, mutators.raw)
    toml, binary = (mutators.toml_text,), (mutators.compiled,) * 3 + (mutators.raw,)
    chip = (Path(chip_files.__file__).parent.parent / "chips").glob("*.toml")
    mix = next(folder.glob("m.json"), None)

    def quantized(path: Path) -> object:
        return load_quantized(path)

    def read_widths(path: Path) -> object:
        return read_mix(path.read_text("utf-8", "replace"), "x", graph)

    def read_picture(path: Path) -> object:
        return prepare_picture(path, recipe, (3, 8, 8))

    def read_cache(path: Path) -> object:
        return distribution_cache._unpack(
            distribution_cache.DistributionCache(path.name, path.read_bytes())
        )

    def decode(path: Path) -> object:
        data = path.read_bytes()
        mine, other = (data, weight_bytes) if path.suffix == ".cfg" else (cfg_bytes, data)
        return container.decode_program(mine, other, "a.cfg", "a.weight")

    made = [
        Target("onnx", "m.onnx", (folder / "m.onnx").read_bytes(), load, proto),
        Target("quantized", "q.onnx", (folder / "m_quantize.onnx").read_bytes(), quantized, proto),
        Target("cfg", "a.cfg", cfg_bytes, decode, binary),
        Target("weight", "a.weight", weight_bytes, decode, binary),
        Target("program", "p.pdmodel", program,
               lambda path: paddle_weights.expected_tensors(path.read_bytes(), path), proto),
        Target("forms", "p.pdmodel", program,
               lambda path: paddle_forms.spelled_out(path.read_bytes(), path), proto),
        Target("parameters", "p.pdiparams", records(weights), lambda path: paddle_weights.check(
            path.read_bytes(), path, paddle_weights.expected_tensors(program, path)),
            (mutators.raw,)),
        Target("pir", "p.json", json.dumps(PIR).encode(),
               lambda path: paddle_pir.expected_tensors(path.read_bytes(), path), text),
        Target("cache", "c.npz", (folder / "cache.npz").read_bytes(), read_cache, (mutators.raw,)),
        Target("array", "a.npy", array_bytes(), load_array, (mutators.npy,)),
        Target("manifest", workspace.MANIFEST, (folder / workspace.MANIFEST).read_bytes(),
               lambda path: workspace.open_workspace(path.parent), text),
        Target("scales", "s.json", next(folder.glob("*scales*.json")).read_bytes(),
               read_scales, text),
        Target("state", "e.json", state_text(), state.read, text),
        Target("run", "run.json", b'{"chip": "TX5368AV200", "quant": {"model": "m.onnx", "data": '
               b'"d", "recipe": "raw", "iteration": 3}, "compile": {"onnx": "q.onnx"}}',
               run_config.read, text),
        Target("recipe", "r.toml", (folder / "r.toml").read_bytes(), load_recipe, toml),
        Target("chip", "c.toml", next(chip).read_bytes(), lambda p: chip_files.find(str(p)), toml),
        Target("labels", "l.txt", (folder / "labels.txt").read_bytes(), read_labels,
               (mutators.raw,)),
    ]  # fmt: skip
    if mix is not None:
        made.append(Target("mix", "x.json", mix.read_bytes(), read_widths, text))
    for kind in ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP"):
        mutate = (mutators.png,) * 2 + (mutators.raw,) if kind == "PNG" else (mutators.raw,)
        made.append(Target(kind, f"p.{kind.lower()}", picture_bytes(kind), read_picture, mutate))
    return tuple(made)


# ------------------------------------------------------------------ running


def feed(target: Target, data: bytes, folder: Path, found: Found, hang_s: float = HANG_S) -> None:
    """Give a reader an input, and note what is no sentence."""
    path = folder / target.file
    path.write_bytes(data)
    started = time.monotonic()
    try:
        with _at_most(hang_s), warnings.catch_warnings():
            warnings.simplefilter("error")
            target.read(path)
    except KnightliteError as error:
        if "\n" in error.sentence or "failed inside" in error.sentence:
            found.add(target.name, f"{target.name}: sentence {error.sentence[:80]!r}", data)
    except Hang:
        found.add(target.name, f"{target.name}: over {hang_s} s", data)
    except Exception as error:
        found.add(target.name, f"{target.name}: {_place(error)}", data)
    found.slowest_s = max(found.slowest_s, time.monotonic() - started)


def _place(error: BaseException) -> str:
    """The kind of an error and the innermost line of ours that it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [item for item in frames if "/knightlite/" in item.filename]
    where = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"
    return f"{type(error).__name__} at {where}: {str(error)[:60]}"


@contextlib.contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def little_memory() -> Iterator[None]:
    """At most MEMORY_BYTES of addresses more than the process has."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def fuzz(
    folder: Path, seed: int, count: int, seconds: float = float("inf"), found: Found | None = None
) -> tuple[Found, Mapping[str, int]]:
    """``count`` inputs in turn to all readers, or as many as fit; what was found, and how many.

    ``folder`` holds what :func:`make_chain` made; the inputs are written below it.
    """
    found = Found() if found is None else found
    rng = random.Random(seed)
    chosen = targets(folder)
    place = folder / "input"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    fed = dict.fromkeys((item.name for item in chosen), 0)
    ends = time.monotonic() + seconds
    with little_memory():
        for number in range(count):
            target = chosen[number % len(chosen)]
            data = rng.choice(target.mutate)(target.seed, rng)
            if rng.random() < 0.2:  # two faults at once
                with contextlib.suppress(Exception):
                    data = rng.choice(target.mutate)(data, rng)
            feed(target, data, place, found)
            fed[target.name] += 1
            if time.monotonic() > ends:
                break
    return found, fed
