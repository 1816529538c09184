"""How long the chain takes and how much memory, beside ONNX Runtime's latency in the same run.

    python benchmarks/chain.py [--models digits,squeezenet1.1] [--networks DIR] [--json FILE]

Stages run as whole processes (wall time, peak resident memory as the system accounts it); the
simulator and ONNX Runtime run in this process (median of several pictures). ``quant`` runs with 16
and with 128 pictures, so that memory that grows with their number shows. Networks:
``digits`` ships; those of ../shared/data/models and those that examples/densenet121/make.py made
in ``--networks DIR/<name>`` are taken where they are there.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy is imported; as the CLI does

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[Any]
ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data" / "models"
FEW, MANY = 16, 128  # calibration pictures whose peak memory is compared
REPEATS = 7
CHIP = "TX5368AV200"
RECIPES = {
    "digits": "digits",
    "mobilenet_v1_0.25": "imagenet_pm1",
    "ocrV3_cls": "ppocr_cls",
    "resnet20_cifar10": "cifar10",
    "resnet8_cifar10": "raw",
    "densenet40_cifar10": "cifar10_mean53",
    "vww_96": "raw",
}
COLUMNS = {
    "model": "model",
    "quant_seconds": f"quant {FEW} s",
    "quant_many_seconds": f"quant {MANY} s",
    "quant_mib": f"MiB {FEW}",
    "quant_many_mib": f"MiB {MANY}",
    "memory_ratio": "ratio",
    "compile_seconds": "compile s",
    "load_seconds": "load+check s",
    "simulate_seconds": "sim s/picture",
    "profile_seconds": "profile s",
    "ort_float_seconds": "ORT fp32 s",
    "ort_int8_seconds": "ORT int8 s",
    "simulate_over_ort_int8": "sim / ORT int8",
}


@dataclass(frozen=True)
class Row:
    model: str
    quant_seconds: float
    quant_many_seconds: float
    quant_mib: float
    quant_many_mib: float
    memory_ratio: float
    compile_seconds: float
    load_seconds: float
    simulate_seconds: float
    profile_seconds: float
    ort_float_seconds: float
    ort_int8_seconds: float
    simulate_over_ort_int8: float


def find_models(networks: Path | None) -> dict[str, Path]:
    found = {"digits": ROOT / "examples" / "digits" / "digits.pdmodel"}
    if SHARED.is_dir():
        found |= {
            path.stem: path for path in sorted(SHARED.glob("*.onnx")) if "yolox" not in path.stem
        }
        found["ocrV3_cls"] = SHARED / "ppocr_cls" / "ocrV3_cls.pdmodel"
    if networks is not None:
        for name in ("densenet121", "resnet18", "mobilenet_v2"):
            path = networks / name / "model.pdmodel"
            if path.is_file():
                found[name] = path
    return found


def write_pictures(folder: Path, count: int) -> None:
    """Seeded smooth noise: what the pictures show does not matter here, their number does."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        small = rng.integers(0, 256, (8, 10, 3), dtype=np.uint8)
        picture = Image.fromarray(small).resize((320, 256), Image.Resampling.BICUBIC)
        picture.save(folder / f"{number:04d}.jpg")


# Runs a command and prints seconds, exit code and peak memory. A process of its own, because Linux
# counts what a process held before exec: started from here, a stage would be charged for us.
LAUNCHER = """
import os, subprocess, sys, time
started = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(child.pid, 0)
print(time.perf_counter() - started, os.waitstatus_to_exitcode(status), usage.ru_maxrss)
"""


def run_stage(folder: Path, *arguments: str) -> tuple[float, float]:
    """Wall seconds and peak MiB of one command of the program as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", LAUNCHER, sys.executable, "-m", "knightlite", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    seconds, code, kibibytes = done.stdout.split()
    if int(code):
        raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stderr}")
    return float(seconds), int(kibibytes) / 1024


def median_seconds(call: Callable[[], object]) -> float:
    call()
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def ort_latency(path: Path, feeds: dict[str, Array]) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return median_seconds(lambda: session.run(None, feeds))


def ort_int8(float_path: Path, folder: Path, feeds: dict[str, Array]) -> Path:
    """ONNX Runtime's own static quantization: U8 activations, S8 weights, per channel, MinMax."""
    import logging

    from onnxruntime import quantization

    logging.disable(logging.WARNING)

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.frames: Iterator[dict[str, Array]] = iter([feeds] * 2)

        def get_next(self) -> dict[str, Array] | None:
            return next(self.frames, None)

    target = folder / "ort_int8.onnx"
    quantization.quantize_static(str(float_path), str(target), Reader(), per_channel=True)
    return target


def measure(name: str, model: Path, folder: Path, pictures: dict[int, Path]) -> Row:
    from knightlite.container import decode_program
    from knightlite.sim import Machine

    recipe = RECIPES.get(name, "imagenet")
    stages = {}
    for count, data in pictures.items():
        stages[count] = run_stage(
            folder, "--chip", CHIP, "quant", "onnx", "-m", str(model), "-d", str(data),
            "--recipe", recipe, "-i", str(count),
        )  # fmt: skip
    compile_seconds, _ = run_stage(folder, "--chip", CHIP, "compile")
    profile_seconds, _ = run_stage(folder, "profile")
    stem = f"{model.stem}_quantize_r"
    started = time.perf_counter()
    program = decode_program(
        (folder / f"{stem}.cfg").read_bytes(), (folder / f"{stem}.weight").read_bytes(), "cfg", "w"
    )
    machine = Machine(program)
    machine.check()
    load_seconds = time.perf_counter() - started
    rng = np.random.default_rng(0)
    inputs = {}
    feeds = {}
    for entry in program.meta.inputs:
        values = rng.integers(0, 128, entry.shape)
        inputs[entry.name] = values.astype(entry.dtype.numpy)
        feeds[entry.name] = (values * np.float32(0.02)).astype(np.float32)
    simulate_seconds = median_seconds(lambda: machine.run(inputs))
    float_path = folder / f"{model.stem}.onnx"
    if not float_path.is_file():
        float_path = model
    ort_float = ort_latency(float_path, feeds)
    ort_integer = ort_latency(ort_int8(float_path, folder, feeds), feeds)
    few, many = stages[FEW], stages[MANY]
    return Row(
        name, few[0], many[0], few[1], many[1], many[1] / few[1], compile_seconds, load_seconds,
        simulate_seconds, profile_seconds, ort_float, ort_integer, simulate_seconds / ort_integer,
    )  # fmt: skip


def print_table(rows: Sequence[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"The chain on {CHIP}")
    for title in COLUMNS.values():
        table.add_column(title)
    for row in rows:
        values = asdict(row)
        table.add_row(*(f"{values[key]:.3g}" if key != "model" else values[key] for key in COLUMNS))
    Console(width=200).print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--models", help="comma-separated names; default: all that are found")
    parser.add_argument("--networks", type=Path, help="folder with densenet121/model.pdmodel, ...")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    options = parser.parse_args()
    models = find_models(options.networks)
    wanted = options.models.split(",") if options.models else list(models)
    missing = [name for name in wanted if name not in models]
    if missing:
        print(f"not found: {', '.join(missing)}; there are {', '.join(models)}", file=sys.stderr)
        return 2
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        pictures = {count: Path(scratch) / f"pictures{count}" for count in (FEW, MANY)}
        for count, folder in pictures.items():
            write_pictures(folder, count)
        for name in wanted:
            folder = Path(scratch) / name
            folder.mkdir()
            print(f"{name} ...", file=sys.stderr)
            rows.append(measure(name, models[name], folder, pictures))
    print_table(rows)
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
