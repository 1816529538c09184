"""The runtime in C on Arm's processors, in an emulator: every tensor has the simulator's bytes.

With every kernel that they have, tile by tile and, unchecked, without scratchpads.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from assembled import whole_memory_program
from compilers import Processor, compile_c, crossed, needs, runtime_files
from conformance_checks import MAIN, build, random_inputs
from integer_nets import NETWORKS
from knightlite.native.library import CHIP_ONLY, KERNELS
from knightlite.sim import Machine
from test_runtime import STRICT, random_program, with_tensors
from test_runtime_kernels import CHIP, Wide, constants
from test_runtime_layers import CASES, compiled, simulated
from test_runtime_sanitized import Case, of_machine, run, sample_cases

FOUR = NETWORKS[:4]
WIDE = 12  # programs of matrix instructions that fill blocks of lanes and pixels
CORTEX_M = ("-mcpu=cortex-m3", "-mthumb")


def cases() -> list[Case]:
    """Every operator's samples and those of the host, instructions at random; scalar kernels."""
    found = [case for case in sample_cases() if case.kernels == 0]
    for number, name in enumerate(CASES):
        made = compiled(name)
        inputs = random_inputs(made.compiled.graph, np.random.default_rng(number))
        found.append(of_machine(simulated(made.program), inputs, 0))
    for seed in range(20):
        program, fspm = random_program(seed)
        found.append(of_machine(Machine(program), {"fspm": fspm}, 0))
    return found


def wide_cases() -> list[Case]:
    """For all kernels: instructions that fill them, networks, tile by tile and fast."""
    found = []
    for seed in range(WIDE):
        draw = Wide(seed)
        items = [draw.wide_eltwise(), *(draw.wide_matrix() for _ in range(2))]
        program = with_tensors(whole_memory_program(items, *constants(draw), chip=CHIP))
        fspm = draw.bytes_of(CHIP.fspm_bytes).reshape(1, 1, 1, -1)
        found.append(of_machine(Machine(program), {"fspm": fspm}, 0))
    for number, network in enumerate(FOUR):
        graph = network()
        inputs = random_inputs(graph, np.random.default_rng(number))
        for level in (0, 1):
            case = of_machine(build(graph, MAIN, level).machine, inputs, 0)
            found += [case, replace(case, options=CHIP_ONLY)]
    return found


@pytest.fixture(scope="module")
def wanted() -> tuple[list[Case], list[Case]]:
    return cases(), wide_cases()


@pytest.mark.parametrize("processor", crossed)
def test_every_tensor(
    processor: Processor, wanted: tuple[list[Case], list[Case]], tmp_path: Path
) -> None:
    program = tmp_path / "driver"
    files = [*runtime_files(), Path(__file__).parent / "runtime_driver.c"]
    flags = ("-std=c99", "-O2", "-static", *processor.flags)
    compile_c(program, files, *flags, compiler=processor.compiler)
    emulated = tmp_path / "emulated"
    emulated.write_text(f'#!/bin/sh\nexec {processor.emulator} "{program}"\n')
    emulated.chmod(0o755)
    asked = [*wanted[0]]
    for kind in processor.kernels:
        asked += [replace(case, kernels=KERNELS.index(kind)) for case in wanted[1]]
    assert len(asked) > 100
    for case, (status, found) in zip(asked, run(emulated, asked), strict=True):
        assert (status, found) == (0, case.wanted)


@pytest.mark.parametrize("processor", crossed)
def test_sources_are_strict(processor: Processor, tmp_path: Path) -> None:
    """Sizes of 32 bits: what is cut off is cut off on purpose."""
    flags = (*STRICT, "-fsyntax-only", *processor.flags)
    compile_c(tmp_path / "x", runtime_files(), *flags, compiler=processor.compiler)


@needs("arm-none-eabi-gcc")
def test_sources_are_strict_without_an_operating_system(tmp_path: Path) -> None:
    flags = (*STRICT, "-ffreestanding", "-fsyntax-only", *CORTEX_M)
    compile_c(tmp_path / "x", runtime_files(), *flags, compiler="arm-none-eabi-gcc")
