"""The runtime in C on whole networks: all its kernels, and with both sanitizers.

Each at most once for a network, on one picture that numpy has run: what is left to pay is C's time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from conformance_checks import Built, assert_alike
from knightlite.native import NativeMachine
from knightlite.native.library import CHIP_ONLY, KERNELS, load_library
from test_runtime_sanitized import of_tensors, run

# Multiplications that the scalar kernels get through in about ten seconds, tile by tile and then
# fast; with sanitizers they take ten times as long.
SCALAR_MACS, SANITIZED_SCALAR_MACS = 1 << 29, 1 << 26


def kinds(macs: int, largest: int) -> list[str]:
    """Kernels that the processor has; the scalar ones up to so many multiplications."""
    first = 0 if macs <= largest else 1
    return list(KERNELS[first : load_library().knl_best_kernels() + 1])


def every_kernel(
    built: Built, macs: int, inputs: Mapping[str, NDArray[Any]], found: Mapping[str, NDArray[Any]]
) -> list[str]:
    """All tensors of a picture by all kernels, tile by tile and fast; the kernels that ran."""
    names = kinds(macs, SCALAR_MACS)
    for name in names:
        assert_alike(NativeMachine(built.program, checked=False, kernels=name), inputs, found)
    return names


def sanitized(
    driver: Path,
    built: Built,
    macs: int,
    inputs: dict[str, NDArray[Any]],
    found: dict[str, NDArray[Any]],
) -> list[str]:
    """Under the sanitizers: fast by each kernel, which are named, and all checked by the best."""
    names = kinds(macs, SANITIZED_SCALAR_MACS)
    case = of_tensors(built.program, inputs, found, KERNELS.index(names[-1]))
    cases = [
        case,
        *(replace(case, kernels=KERNELS.index(name), options=CHIP_ONLY) for name in names),
    ]
    for asked in cases:
        ((status, tensors),) = run(driver, [asked])
        told = tensors.decode() if status else "other bytes"
        assert (status, tensors == case.wanted) == (0, True), f"{KERNELS[asked.kernels]}: {told}"
    return names
