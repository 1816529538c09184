"""The runtime in C built with AddressSanitizer and UBSan: samples, changed programs, damaged files.

One process runs all cases, each in memory of exactly its size; whatever a sanitizer finds ends it.
"""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compilers import SANITIZERS, compile_c, needs_compiler, runtime_files
from conformance_checks import MAIN, TIGHT, build, multiplies_wide, random_inputs
from knightlite.chip_files import find
from knightlite.container import encode_program
from knightlite.native.library import load_library
from knightlite.ops import ALL_OPS
from knightlite.sim import Machine
from program_faults import PROGRAMS, faults, unread_files
from test_runtime import damaged_files, random_program, sound

pytestmark = needs_compiler

FAULTS, DAMAGED, RANDOM = 80, 400, 60
Inputs = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """Files, kernels, inputs, and what must come out: bytes of all tensors (None: unknown)."""

    cfg: bytes
    weight: bytes
    kernels: int
    inputs: bytes = b""
    wanted: bytes | None = None

    def told(self) -> bytes:
        sizes = (len(self.cfg), len(self.weight), self.kernels, len(self.inputs))
        return struct.pack("<4I", *sizes) + self.cfg + self.weight + self.inputs


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("sanitized") / "driver"
    files = [*runtime_files(), Path(__file__).parent / "runtime_driver.c"]
    compile_c(program, files, "-std=c99", "-g", "-O1", *SANITIZERS)
    return program


def run(driver: Path, cases: list[Case]) -> list[tuple[int, bytes]]:
    """Status and what came out, per case."""
    done = subprocess.run(
        [driver], input=b"".join(case.told() for case in cases), capture_output=True, timeout=600
    )
    assert done.returncode == 0, done.stderr.decode()[:4000]
    found, at = [], 0
    while at < len(done.stdout):
        status, size = struct.unpack_from("<2I", done.stdout, at)
        found.append((status, done.stdout[at + 8 : at + 8 + size]))
        at += 8 + size
    assert len(found) == len(cases)
    return found


def of_machine(machine: Machine, inputs: Inputs, kernels: int) -> Case:
    """What numpy makes of all tensors of a sound program, in the order of their completion."""
    parts: list[bytes] = []
    machine.run(inputs, lambda _, values: parts.append(values.tobytes()))
    cfg, weight = encode_program(machine.program)
    given = b"".join(inputs[entry.name].tobytes() for entry in machine.program.meta.inputs)
    return Case(cfg, weight, kernels, given, b"".join(parts))


def kernels() -> range:
    return range(load_library().knl_best_kernels() + 1)


def sample_cases() -> Iterator[Case]:
    for number, graph in enumerate(graph for op in ALL_OPS for graph in op.samples()):
        chip = (MAIN, TIGHT)[number % 2]
        if multiplies_wide(graph) and 16 not in find(chip).chip.bit_widths:
            continue
        built = build(graph, chip)
        inputs = random_inputs(graph, np.random.default_rng(number))
        for kind in kernels():
            yield of_machine(built.machine, inputs, kind)


def test_samples(driver: Path) -> None:
    cases = list(sample_cases())
    for case, (status, found) in zip(cases, run(driver, cases), strict=True):
        assert (status, found) == (0, case.wanted)


def test_random_instructions(driver: Path) -> None:
    cases = []
    for seed in range(1000, 1000 + RANDOM):
        program, fspm = random_program(seed)
        cases += [of_machine(Machine(program), {"fspm": fspm}, kind) for kind in kernels()]
    for case, (status, found) in zip(cases, run(driver, cases), strict=True):
        assert (status, found) == (0, case.wanted)


def test_changed_programs_and_damaged_files(driver: Path) -> None:
    """What comes of them is ``test_runtime``'s; here nothing undefined happens on the way."""
    cases = [Case(cfg, weight, max(kernels())) for cfg, weight in damaged_files(DAMAGED)]
    for name in PROGRAMS:
        for _, fault in zip(range(FAULTS), faults(sound(name), seed=20), strict=False):
            cases.append(Case(*unread_files(fault.program), max(kernels())))
    found = run(driver, cases)
    refused = [sentence for status, sentence in found if status]
    assert len(refused) > len(found) // 2
    assert all(sentence.endswith(b".") for sentence in refused)
