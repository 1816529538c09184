"""The runtime in C beside numpy and ONNX Runtime: milliseconds of a frame, memory.

    python benchmarks/runtime.py [--models densenet121,...] [--engines scalar,avx2,avx512_vnni]
        [--levels 0,1,2] [--frames 15] [--json FILE]

The networks are those of ``schedule_networks.py``, written as they were published, with seeded
weights, quantized by noise (effort low) and compiled for TX5368AV200 at schedule level 0, or at
those asked for; time does not depend on weights and noise. They are made once and kept in
``build/runtime``.

A row is a network in an engine, all on one thread: ``milliseconds`` is the median CPU time of a
frame from input integers to output integers, inputs and outputs copied, the program checked before;
the host's share excluded. ``ort_fp32_ms`` and ``ort_int8_ms``: the float ONNX model, and the QDQ
model that ``quant`` wrote, in ONNX Runtime on the same thread in the same run, frame by frame in
turn with ours. ``arena_bytes``: what the caller gives the runtime to run fast, beside the files;
``plan_bytes``: the plan's DDR without constants, of which it is a part, and ``fspm_bytes`` those
of FSPM up to the last that the program touches, where it keeps tensors there, else 0.
``peak_mib``: the most that the process had in memory, Python and the files included, after a few
frames in a process of its own.
``same`` says that every output byte is numpy's.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy is imported; as the CLI does

import numpy as np
import onnx
from network_onnx import OnnxWriter
from schedule_networks import BY_NAME, build

import knightlite
from knightlite.container import Program, decode_program
from knightlite.isa import Space, disassemble
from knightlite.native import NativeMachine
from knightlite.native.library import KERNELS, load_library
from knightlite.sim import Machine

FOLDER = Path(__file__).resolve().parent.parent / "build" / "runtime"
MODELS = ("densenet121", "resnet50", "mobilenet_v2", "squeezenet1_1", "yolox_nano")
NUMPY = "numpy"
SEED = 0
Inputs = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """A network in an engine."""

    model: str
    level: int
    engine: str
    threads: int
    milliseconds: float
    ort_fp32_ms: float
    ort_int8_ms: float
    arena_bytes: int
    plan_bytes: int
    fspm_bytes: int
    peak_mib: float
    same: bool


def find_or_make(name: str, level: int = 0) -> Path:
    """The .cfg, kept beside the .weight; the two ONNX models lie in FOLDER."""
    folder = FOLDER / f"level{level}" if level else FOLDER
    path = folder / f"{name}_quantize_r.cfg"
    if path.is_file():
        return path
    print(f"{name}: making it ...", file=sys.stderr)
    folder.mkdir(parents=True, exist_ok=True)
    if not (FOLDER / f"{name}_quantize.onnx").is_file():
        writer = OnnxWriter()
        build(BY_NAME[name], writer)
        model = FOLDER / f"{name}.onnx"
        onnx.save(writer.model(name), model)
        noise = np.random.default_rng(SEED).normal(0, 1, writer.input_shape).astype(np.float32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one noise picture: accuracy is not measured
            made = knightlite.quantize(model, data=noise, effort="low", equalization=False)
        made.save(FOLDER)
    knightlite.compile(FOLDER / f"{name}_quantize.onnx", opt_group=level).save(folder)
    return path


def read(path: Path) -> tuple[Program, Inputs]:
    """The program, and integers that fill its inputs' types."""
    weight = path.with_suffix(".weight")
    program = decode_program(path.read_bytes(), weight.read_bytes(), path.name, weight.name)
    rng = np.random.default_rng(SEED)
    inputs = {
        entry.name: rng.integers(entry.dtype.minimum, entry.dtype.maximum + 1, entry.shape).astype(
            entry.dtype.numpy
        )
        for entry in program.meta.inputs
    }
    return program, inputs


def machine_of(program: Program, engine: str) -> Machine | NativeMachine:
    """A checked program."""
    machine = Machine(program) if engine == NUMPY else NativeMachine(program, kernels=engine)
    machine.check()
    return machine


def medians_ms(runs: Sequence[Callable[[], object]], frames: int) -> list[float]:
    """CPU milliseconds of a call of each, in turn: medians of some, behind one that warms up."""
    found: list[list[float]] = [[] for _ in runs]
    for frame in range(frames + 1):
        for run, taken in zip(runs, found, strict=True):
            started = time.process_time()
            run()
            if frame:
                taken.append(1000 * (time.process_time() - started))
    return [round(statistics.median(taken), 2) for taken in found]


def onnx_frame(path: Path) -> Callable[[], object]:
    """Runs an ONNX model on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    opened = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(SEED)
    feed = {
        item.name: rng.normal(0, 1, [size if isinstance(size, int) else 1 for size in item.shape])
        .astype(np.float32)
        for item in opened.get_inputs()
    }  # fmt: skip
    return lambda: opened.run(None, feed)


def peak_mib(path: Path, engine: str) -> float:
    """Of a process that runs three frames and nothing else."""
    command = [sys.executable, __file__, "--peak", str(path), engine]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


def print_peak(path: Path, engine: str) -> None:
    program, inputs = read(path)
    machine = machine_of(program, engine)
    for _ in range(3):
        machine.run(inputs)
    status = Path("/proc/self/status").read_text()  # rusage would tell of the parent's, too
    (line,) = (item for item in status.splitlines() if item.startswith("VmHWM:"))
    print(round(int(line.split()[1]) / 1024, 1))


def measure(name: str, level: int, engines: Sequence[str], frames: int) -> Iterator[Row]:
    path = find_or_make(name, level)
    program, inputs = read(path)
    wanted = Machine(program).run(inputs)
    models = [onnx_frame(FOLDER / f"{name}{end}.onnx") for end in ("", "_quantize")]
    machines = [machine_of(program, engine) for engine in engines]
    ours = [lambda machine=machine: machine.run(inputs) for machine in machines]
    *times, floats, integers = medians_ms([*ours, *models], frames)
    for engine, machine, milliseconds in zip(engines, machines, times, strict=True):
        found = machine.run(inputs)
        arena = machine.arena_bytes if isinstance(machine, NativeMachine) else 0
        plan = program.meta.ddr_bytes - program.meta.constants_bytes
        fspm = max(
            (access.last for item in disassemble(program.code) for access in item.accesses()
             if access.space is Space.FSPM),
            default=0,
        )  # fmt: skip
        yield Row(
            model=name,
            level=level,
            engine=engine,
            threads=1,
            milliseconds=milliseconds,
            ort_fp32_ms=floats,
            ort_int8_ms=integers,
            arena_bytes=arena,
            plan_bytes=plan,
            fspm_bytes=fspm if isinstance(machine, NativeMachine) and machine.has_fspm else 0,
            peak_mib=peak_mib(path, engine),
            same=all(found[key].tobytes() == wanted[key].tobytes() for key in wanted),
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    known = (*KERNELS[: load_library().knl_best_kernels() + 1], NUMPY)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--engines", default=",".join(known[1:]))
    parser.add_argument("--levels", default="0")
    parser.add_argument("--frames", type=int, default=15)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.peak:
        print_peak(Path(asked.peak[0]), asked.peak[1])
        return 0
    rows: list[Row] = []
    levels = [int(item) for item in asked.levels.split(",")]
    for name, level in itertools.product(asked.models.split(","), levels):
        for row in measure(name, level, asked.engines.split(","), asked.frames):
            print(
                f"{row.model:14s} level {row.level} {row.engine:12s} {row.milliseconds:8.2f} ms, "
                f"ONNX Runtime {row.ort_fp32_ms:7.2f} fp32 {row.ort_int8_ms:7.2f} int8, arena "
                f"{row.arena_bytes / 1e6:5.2f} MB of plan {row.plan_bytes / 1e6:5.2f} and FSPM "
                f"{row.fspm_bytes / 1e6:5.2f}, peak "
                f"{row.peak_mib:6.1f} MiB, {'same bytes' if row.same else 'OTHER BYTES'}",
                flush=True,
            )
            rows.append(row)
    if asked.json:
        asked.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return int(not all(row.same for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
