"""Whole networks at full size, byte for byte: `make conformance`.

Every network goes through the chain as a user's does: model file, front-end, quantizer, QDQ file,
reader, compiler, bytes, machine. What is not there (the trained networks) is skipped, with the
reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray
from runtime_engines import every_kernel, sanitized
from sources import SOURCES, Loaded, Source

import conftest
from compilers import has_compiler
from conformance_checks import Built, Pictures, above_floor, build, judge, single
from conformance_table import ROWS, Row
from knightlite.frontend import load_quantized
from knightlite.ir import Graph
from knightlite.onnx_models import write_qdq
from knightlite.profiler import profile
from knightlite.quantize.pipeline import quantize_graph
from knightlite.sim.host import quantize
from made_once import MadeOnce
from test_runtime_sanitized import build_driver

pytestmark = pytest.mark.conformance

Array = NDArray[Any]


@dataclass(frozen=True)
class Prepared:
    """A network behind the quantizer, read back from its QDQ file."""

    source: Source
    loaded: Loaded
    quantized: Graph
    quantize_s: float


def prepare(source: Source, folder: Path) -> Prepared:
    loaded = source.load()
    started = time.perf_counter()
    result = quantize_graph(loaded.graph, Pictures(loaded.calibration), threads=2)
    path = folder / "network_quantize.onnx"
    path.write_bytes(write_qdq(result.graph, {}).SerializeToString())
    graph = load_quantized(path)
    path.unlink()  # the largest have hundreds of megabytes
    return Prepared(source, loaded, graph, time.perf_counter() - started)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Source], Prepared]:
    """Prepares a source; the last one is kept, since its other chips come next."""

    @lru_cache(maxsize=1)
    def keep(source: Source) -> Prepared:
        return prepare(source, tmp_path_factory.mktemp(source.name))

    return keep


@pytest.fixture(scope="module")
def driver(made_once: MadeOnce, tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """The runtime in C with both sanitizers; None without a compiler."""
    return build_driver(made_once, tmp_path_factory.mktemp("driver")) if has_compiler() else None


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
    driver: Path | None,
    golden: conftest.Golden,
    request: pytest.FixtureRequest,
) -> None:
    item = prepared(source)
    started = time.perf_counter()
    built = build(item.quantized, chip_name)
    compile_s = time.perf_counter() - started
    (name,) = item.loaded.graph.inputs
    started = time.perf_counter()
    verdict = judge(built, item.quantized, item.loaded.graph, single(name, item.loaded.test))
    compare_s = time.perf_counter() - started
    summary = profile(built.program)
    inputs = {
        entry.name: quantize(item.loaded.test[:1], entry) for entry in built.program.meta.inputs
    }
    simulate_s, found = simulated(built, inputs)
    started = time.perf_counter()
    if driver is not None and built.native is not None:
        every_kernel(built, summary.macs, inputs, found)
        sanitized(driver, built, summary.macs, inputs, found)
    runtime_s = time.perf_counter() - started
    first = chip_name == source.chips[0]  # what is done once counts there
    row = Row(
        network=source.name,
        chip=chip_name,
        pictures=len(item.loaded.test),
        tensors=verdict.tensors,
        counted=verdict.counted,
        bytes=verdict.bytes,
        differing=verdict.differing,
        max_lsb=verdict.max_lsb,
        sqnr_db=verdict.sqnr_db,
        latency_ms=summary.time_ms,
        make_s=item.loaded.make_s if first else 0.0,
        load_s=item.loaded.load_s if first else 0.0,
        quantize_s=item.quantize_s if first else 0.0,
        compile_s=compile_s,
        simulate_s=simulate_s,
        compare_s=compare_s,
        runtime_s=runtime_s,
    )
    request.config.stash.setdefault(ROWS, []).append(row)
    verdict.check()
    above_floor(golden, "full_size_sqnr_db.json", source.name, verdict.sqnr_db)


def simulated(
    built: Built, inputs: dict[str, Array], repeats: int = 2
) -> tuple[float, dict[str, Array]]:
    """Seconds that the machine takes for a picture, the best of a few; then all its tensors."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        built.machine.run(inputs)
        seconds.append(time.perf_counter() - started)
    found: dict[str, Array] = {}
    built.machine.run(inputs, found.__setitem__)
    return min(seconds), found
