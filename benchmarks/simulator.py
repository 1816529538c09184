"""The simulator beside ONNX Runtime: seconds of a picture, memory.

    python benchmarks/simulator.py [--models densenet121,mobilenet_v2] [--levels 0,1]
        [--rounds 9] [--json FILE]

The networks are those of ``schedule_networks.py`` with seeded weights, made as ``runtime.py`` does;
they are kept in ``build/simulator``. Time depends on neither weights nor pictures.

A row is a network at a schedule level in a mode: ``fast``, in a machine whose program has been
checked, one picture after the other or ``batch`` of them in one call; ``checked``, from the bytes
of the files on: decoded, checked and run for one picture. ``seconds_per_picture`` is the median of
some rounds, ``ort_fp32_seconds`` that of the float ONNX model in ONNX Runtime, one picture on one
thread; a round measures everything once, so that both see the same machine. ``cpu_ratio``: of the
processors' time instead, of all threads, which other work on the machine hardly changes. numpy's
BLAS has one thread; a call with several pictures shares them out to two. ``peak_mib``: the most
that a process which does nothing else had in memory. All rows of a network must give the same
bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy is imported; as the CLI does

import numpy as np
import runtime

import knightlite
from knightlite.container import Program
from knightlite.container.sections import VERSION
from knightlite.sim import Machine

FOLDER = runtime.FOLDER.parent / "simulator"
MODELS = ("densenet121", "mobilenet_v2")
BATCH = 16
FAST, CHECKED = "fast", "checked"
FORMS = ((FAST, 1), (FAST, BATCH), (CHECKED, 1))  # mode, batch
Call = Callable[[], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Row:
    """A network at a level in a mode."""

    model: str
    mode: str
    batch: int
    opt_group: int
    seconds_per_picture: float
    ort_fp32_seconds: float
    cpu_ratio: float
    peak_mib: float

    @property
    def ratio(self) -> float:
        """To ONNX Runtime."""
        return self.seconds_per_picture / self.ort_fp32_seconds


def find_or_make(name: str, level: int) -> Path:
    """The .cfg of a level, kept in FOLDER beside its .weight."""
    runtime.find_or_make(name)
    folder = FOLDER / f"format{VERSION}" / f"level{level}"
    path = folder / f"{name}_quantize_r.cfg"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        quantized = runtime.FOLDER / f"{name}_quantize.onnx"
        knightlite.compile(quantized, opt_group=level).save(folder)
    return path


def machine_call(path: Path, mode: str, batch: int) -> Call:
    """What a row measures: pictures that differ, the first as in every other row."""
    program, one = runtime.read(path)
    inputs = pictures(program, one, batch)
    if mode == CHECKED:
        return lambda: Machine(program).run(inputs)
    machine = Machine(program)
    machine.check()
    return lambda: machine.run(inputs)


def pictures(program: Program, one: runtime.Inputs, batch: int) -> runtime.Inputs:
    """``batch`` seeded pictures; of a smaller batch the first ones."""
    kinds = {entry.name: entry.dtype for entry in program.meta.inputs}
    found = {}
    for name, first in one.items():
        rng = np.random.default_rng(1)
        kind = kinds[name]
        more = rng.integers(kind.minimum, kind.maximum + 1, (BATCH - 1, *first.shape[1:]))
        found[name] = np.concatenate([first, more.astype(first.dtype)])[:batch]
    return found


def onnx_call(name: str) -> Callable[[], object]:
    """One picture through the float model on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    path = str(runtime.FOLDER / f"{name}.onnx")
    opened = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (entry,) = opened.get_inputs()
    shape = [size if isinstance(size, int) else 1 for size in entry.shape]
    feed = {entry.name: np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)}
    return lambda: opened.run(None, feed)


def peak_mib(path: Path, mode: str, batch: int) -> float:
    """Of a process that calls twice and does nothing else."""
    command = [sys.executable, __file__, "--peak", str(path), mode, str(batch)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


def print_peak(path: Path, mode: str, batch: int) -> None:
    call = machine_call(path, mode, batch)
    for _ in range(2):
        call()
    status = Path("/proc/self/status").read_text()  # rusage would tell of the parent's, too
    (line,) = (item for item in status.splitlines() if item.startswith("VmHWM:"))
    print(round(int(line.split()[1]) / 1024, 1))


def seconds(call: Callable[[], object]) -> tuple[float, float]:
    """Of a call, and of processors."""
    started, worked = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - started, time.process_time() - worked


def medians(times: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Of both."""
    wall, cpu = (statistics.median(side) for side in zip(*times, strict=True))
    return wall, cpu


def measure(name: str, levels: Sequence[int], rounds: int) -> tuple[list[Row], bool]:
    """The rows of a network, and whether all gave the same bytes."""
    rows, calls, results = [], [], []
    for level in levels:
        path = find_or_make(name, level)
        for mode, batch in FORMS:
            calls.append(machine_call(path, mode, batch))
            results.append(calls[-1]())
            rows.append(Row(name, mode, batch, level, 0.0, 0.0, 0.0, peak_mib(path, mode, batch)))
    most = max(results, key=lambda outputs: len(next(iter(outputs.values()))))
    same = all(
        np.array_equal(values, most[key][: len(values)])
        for outputs in results
        for key, values in outputs.items()
    )
    beside = onnx_call(name)
    beside()
    found: list[list[tuple[float, float]]] = [[] for _ in calls]
    floats: list[tuple[float, float]] = []
    for _ in range(rounds):
        for call, times in zip(calls, found, strict=True):
            floats.append(seconds(beside))
            times.append(seconds(call))
    reference, worked = medians(floats)
    done = []
    for row, times in zip(rows, found, strict=True):
        wall, cpu = (both / row.batch for both in medians(times))
        done.append(
            replace(
                row, seconds_per_picture=wall, ort_fp32_seconds=reference, cpu_ratio=cpu / worked
            )
        )
    return done, same


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--levels", default="0,1")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.peak:
        path, mode, batch = asked.peak
        print_peak(Path(path), mode, int(batch))
        return 0
    rows: list[Row] = []
    all_same = True
    for name in asked.models.split(","):
        levels = [int(level) for level in asked.levels.split(",")]
        found, same = measure(name, levels, asked.rounds)
        for row in found:
            print(
                f"{row.model:14s} level {row.opt_group} {row.mode:8s} {row.batch:3d} at once "
                f"{1000 * row.seconds_per_picture:8.2f} ms a picture, {row.ratio:5.2f} x ONNX "
                f"Runtime's {1000 * row.ort_fp32_seconds:6.2f} fp32, {row.cpu_ratio:5.2f} x in CPU "
                f"time, peak {row.peak_mib:6.1f} MiB",
                flush=True,
            )
        fast = {row.opt_group: row for row in found if (row.mode, row.batch) == FORMS[0]}
        for row in found:
            if row.mode == CHECKED:
                times = row.seconds_per_picture / fast[row.opt_group].seconds_per_picture
                print(f"{row.model:14s} level {row.opt_group} checked: {times:.1f} x fast")
        if not same:
            print(f"{name}: OTHER BYTES", file=sys.stderr)
        rows += found
        all_same = all_same and same
    if asked.json:
        asked.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return int(not all_same)


if __name__ == "__main__":
    raise SystemExit(main())
