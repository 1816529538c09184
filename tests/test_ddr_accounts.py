"""Bytes asked of the DDR, and those of the bursts that move them: the same wherever they stand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from integer_nets import densenet, mobilenet_v2, text_direction
from knightlite.api.compilation import compile_bytes
from knightlite.container import decode_program
from knightlite.ir import Graph
from knightlite.isa import Load, Transfer, disassemble
from knightlite.onnx_models import write_qdq
from knightlite.options.compile import CompileOptions
from knightlite.profiler import perfetto_trace, profile, profile_json, profile_text
from perfetto_reader import read_trace

Account = tuple[int, int, int]  # bytes read, bytes written, bytes of the bursts


@pytest.mark.parametrize("make", [densenet, mobilenet_v2, text_direction])
@pytest.mark.parametrize("chip", ["TX5368AV200", "TX5112CV201"])
def test_sums_agree(make: Callable[[], Graph], chip: str) -> None:
    """Of the instructions, layer by layer, in the text, the JSON, the trace and the summary."""
    model = write_qdq(make(), {}).SerializeToString()
    made = compile_bytes(model, Path("n_quantize.onnx"), CompileOptions(chip=chip))
    program = decode_program(made.cfg, made.weight, "n.cfg", "n.weight")
    wanted = _of_instructions(program)
    read, written, bursts = wanted
    assert bursts > read + written > 0

    found = profile(program)
    assert (found.read_bytes, found.write_bytes, found.burst_bytes) == wanted
    assert _summed((row.read_bytes, row.write_bytes, row.burst_bytes) for row in found.layers) == (
        wanted
    )
    for row in found.layers:
        assert row.burst_bytes >= row.read_bytes + row.write_bytes

    totals, table, _ = profile_text(found).split("\n\n")
    said = dict(line.split(": ", 1) for line in totals.splitlines())
    names = ("Total RDMA byte", "Total WDMA byte", "Total burst byte")
    assert tuple(int(said[name]) for name in names) == wanted
    columns = [line.split()[1:4] for line in table.splitlines()[1:]]
    assert _summed(tuple(map(int, row)) for row in columns) == wanted

    names = ("read_bytes", "write_bytes", "burst_bytes")
    value = json.loads(profile_json(found))
    assert tuple(value[f"ddr_{name}"] for name in names) == wanted
    assert _summed(tuple(row[name] for name in names) for row in value["layers"]) == wanted
    assert tuple(made.figures[f"ddr_{name}"] for name in names) == wanted

    slices = read_trace(perfetto_trace(found)).slices
    moved = {
        kind: [item.values for item in slices if item.kinds[0] == kind]
        for kind in ("load", "store")
    }
    assert sum(int(item["bytes"]) for item in moved["load"]) == read
    assert sum(int(item["bytes"]) for item in moved["store"]) == written
    assert sum(int(item["burst_bytes"]) for kind in moved.values() for item in kind) == bursts
    computes = [item.values for item in slices if item.kinds[0] not in moved]
    assert not any({"bytes", "burst_bytes"} & set(item) for item in computes)


def _of_instructions(program: Any) -> Account:
    code = [item for item in disassemble(program.code) if isinstance(item, Transfer)]
    return (
        sum(item.payload_bytes for item in code if isinstance(item, Load)),
        sum(item.payload_bytes for item in code if not isinstance(item, Load)),
        sum(item.ddr_bytes(program.meta.chip_values) for item in code),
    )


def _summed(rows: Any) -> Account:
    read, written, bursts = map(sum, zip(*rows, strict=True))
    return read, written, bursts
