"""The runtime in C built with AddressSanitizer and UBSan: samples, changed programs, damaged files.

One process runs all cases, each in memory of exactly its size; whatever a sanitizer finds ends it.
"""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compilers import SANITIZED, compile_c, needs_compiler, runtime_objects
from conformance_checks import MAIN, TIGHT, build, multiplies_wide, random_inputs
from knightlite.chip_files import find
from knightlite.container import Program, encode_model, encode_program, paired
from knightlite.native.library import CHECKED, CHIP_ONLY, load_library
from knightlite.ops import ALL_OPS
from knightlite.sim import Machine
from made_once import MadeOnce
from program_faults import PROGRAMS, faults, unread_files
from test_runtime import damaged_files, random_program, sound
from test_sparse import layer, pruned, stored_mask

pytestmark = needs_compiler

FAULTS, DAMAGED, RANDOM = 80, 400, 60
KNL_PROGRAM = 7  # an instruction that the machine refuses
Inputs = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """Files, kernels, inputs, and what must come out: bytes of all tensors (None: unknown)."""

    cfg: bytes
    weight: bytes
    kernels: int
    inputs: bytes = b""
    wanted: bytes | None = None
    options: int = CHECKED | CHIP_ONLY

    def told(self) -> bytes:
        head = (len(self.cfg), len(self.weight), self.kernels, self.options, len(self.inputs))
        return struct.pack("<5I", *head) + self.cfg + self.weight + self.inputs


@pytest.fixture(scope="module")
def driver(made_once: MadeOnce, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_driver(made_once, tmp_path_factory.mktemp("sanitized"))


def build_driver(made_once: MadeOnce, folder: Path) -> Path:
    """What runs cases, with both sanitizers."""
    program = folder / "driver"
    files = [*runtime_objects(made_once, *SANITIZED), Path(__file__).parent / "runtime_driver.c"]
    compile_c(program, files, *SANITIZED)
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
    """What numpy makes of all tensors in DDR of a sound program, in the order of completion."""
    found: Inputs = {}
    machine.run(inputs, found.__setitem__)
    return of_tensors(machine.program, inputs, found, kernels)


def of_tensors(program: Program, inputs: Inputs, found: Inputs, kernels: int) -> Case:
    """As :func:`of_machine`, of tensors that were observed before."""
    shown = {entry.name for entry in program.meta.tensors_in_ddr}
    wanted = b"".join(values.tobytes() for name, values in found.items() if name in shown)
    given = b"".join(inputs[entry.name].tobytes() for entry in program.meta.inputs)
    return Case(*encode_program(program), kernels, given, wanted)


def kernels() -> range:
    return range(load_library().knl_best_kernels() + 1)


def sample_cases() -> Iterator[Case]:
    for number, graph in enumerate(graph for op in ALL_OPS for graph in op.samples()):
        chip = (MAIN, TIGHT)[number % 2]
        if multiplies_wide(graph) and 16 not in find(chip).chip.bit_widths:
            continue
        built = build(graph, chip)
        inputs = random_inputs(graph, np.random.default_rng(number))
        case = of_machine(built.machine, inputs, 0)
        yield from (replace(case, kernels=kind) for kind in kernels())


def test_samples(driver: Path) -> None:
    cases = list(sample_cases())
    for case, (status, found) in zip(cases, run(driver, cases), strict=True):
        assert (status, found) == (0, case.wanted)


def test_random_instructions(driver: Path) -> None:
    cases = []
    for seed in range(1000, 1000 + RANDOM):
        program, fspm = random_program(seed)
        case = of_machine(Machine(program), {"fspm": fspm}, 0)
        checked = [replace(case, kernels=kind) for kind in kernels()]
        cases += [*checked, *(replace(case, options=CHIP_ONLY) for case in checked)]
    for case, (status, found) in zip(cases, run(driver, cases), strict=True):
        assert (status, found) == (0, case.wanted)


def test_sparse_weights(driver: Path) -> None:
    """Sound ones, and bits turned over in their masks: refused, checked or not."""
    graph = pruned(layer(64), (32, 64), 0.5)
    built = build(graph, MAIN, sparse=True)
    inputs = random_inputs(graph, np.random.default_rng(0))
    sound = of_machine(built.machine, inputs, 0)
    data, place = built.program.data, built.program.data.index(stored_mask(graph))
    cases = [sound]
    for bit in range(0, 128, 7):
        damaged = bytearray(data)
        damaged[place + bit // 8] ^= 1 << bit % 8
        program = paired(replace(built.program, data=bytes(damaged)))
        cfg, weight = encode_program(program)
        cases += [replace(sound, cfg=cfg, weight=weight, options=option)
                  for option in (CHECKED | CHIP_ONLY, CHIP_ONLY)]  # fmt: skip
    (first, *others) = run(driver, cases)
    assert first == (0, sound.wanted)
    assert {status for status, _ in others} == {KNL_PROGRAM}


def test_one_file_that_holds_both(driver: Path) -> None:
    program, fspm = random_program(5)
    case = of_machine(Machine(program), {"fspm": fspm}, 0)
    model = encode_model(case.cfg, case.weight)
    broken = bytearray(model)
    broken[-1] ^= 1
    cases = [replace(case, cfg=data, weight=b"") for data in (model, bytes(broken), case.cfg)]
    sound, damaged, other = run(driver, cases)
    assert sound == (0, case.wanted)
    assert damaged[1] == b"the .tsmodel is damaged: the checksum of section weight is wrong."
    assert other[1] == b"the .tsmodel begins with another file's magic."


def test_what_the_host_must_do_is_refused_by_name(driver: Path) -> None:
    """Unless the caller does it itself."""
    told = {}
    for name in PROGRAMS:
        files = encode_program(sound(name))
        ((status, sentence), (own, _)) = run(
            driver, [Case(*files, 0, options=options) for options in (CHECKED, CHIP_ONLY)]
        )
        assert own == 0
        told[name] = sentence if status else b""
    assert told["wide"] == b""
    assert told["classifier"] == b"the .cfg has 2 operators that the host must run."
    assert told["tail"] == (
        b"the .cfg has a section host, an ONNX model, which ONNX Runtime must run."
    )


def test_changed_programs_and_damaged_files(driver: Path) -> None:
    """What comes of them is ``test_runtime``'s; here nothing undefined happens on the way.

    Nor where tokens, races and unwritten bytes are not looked at.
    """
    cases = [Case(cfg, weight, max(kernels())) for cfg, weight in damaged_files(DAMAGED)]
    for name in PROGRAMS:
        for _, fault in zip(range(FAULTS), faults(sound(name), seed=20), strict=False):
            case = Case(*unread_files(fault.program), max(kernels()))
            cases += [case, replace(case, options=CHIP_ONLY)]
    found = run(driver, cases)
    refused = [sentence for status, sentence in found if status]
    assert len(refused) > len(found) // 2
    assert all(sentence.endswith(b".") for sentence in refused)
