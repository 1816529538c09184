"""Hand-assembled programs for tests of the machine: a tiny chip, defaults for every field."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar

from knightlite.chip import Chip, facts_digest, find
from knightlite.container import Program
from knightlite.isa import Engine, Instruction, Load, Matrix, Space, Store, assemble, layout

RDMA, WDMA, RCCN, RCVT = (1 << engine for engine in Engine)
U8, S8, S16 = range(3)

TINY = replace(
    find("TX5368AV200").chip,
    fspm_bytes=4096,
    wspm_bytes=2048,
    wspm_align_bytes=16,
    mspm_bytes=1024,
    ddr_bytes=1 << 20,
)

Record = TypeVar("Record", bound=Instruction)
_CLAMPS = {"y_low": -32768, "y_high": 32767, "middle_low": -32768, "middle_high": 32767,
           "prologue_low": -32768, "prologue_high": 32767}  # fmt: skip


def make(record: type[Record], **given: int) -> Record:
    """An instruction; fields not given are 1 for counts, open for clamps, else 0."""
    kind: type = record
    least = {item.name: max(0, item.minimum) for item in layout(kind)}
    unknown = set(given) - set(least)
    assert not unknown, unknown
    values = {name: _CLAMPS.get(name, value) for name, value in least.items()}
    return record(**{**values, **given})


def load(space: Space, ddr_address: int, size: int, local_address: int = 0, **given: int) -> Load:
    """One run from DDR."""
    return make(
        Load, space=space, ddr_address=ddr_address, run_bytes=size, local_address=local_address,
        **given,
    )  # fmt: skip


def store(local_address: int, ddr_address: int, size: int, **given: int) -> Store:
    """One run to DDR."""
    return make(
        Store, ddr_address=ddr_address, run_bytes=size, local_address=local_address, **given
    )


def record(m: int, q: int = 0, b: int = 0) -> bytes:
    """One parameter record."""
    return struct.pack("<hBBi", m, q, 0, b)


def tensor(name: str, kind: str, shape: Sequence[int], address: int, **more: Any) -> dict[str, Any]:
    """A dense NHWC tensor of the .cfg; ``shape`` is C, H, W."""
    channels, height, width = shape
    size = {"u8": 1, "s8": 1, "s16": 2}[kind]
    entry = {
        "name": name, "shape": [1, channels, height, width], "type": kind, "scale": 1.0,
        "address": address, "row_stride": width * channels * size, "column_stride": channels * size,
    }  # fmt: skip
    return {**entry, **more}


def facts(chip: Chip) -> dict[str, Any]:
    """``chip_values`` of a .cfg."""
    values = {field.name: getattr(chip, field.name) for field in fields(Chip)}
    return {**values, "bit_widths": list(chip.bit_widths)}


def program(
    instructions: Iterable[Instruction],
    data: bytes = b"",
    inputs: Sequence[dict[str, Any]] = (),
    outputs: Sequence[dict[str, Any]] = (),
    tensors: Sequence[dict[str, Any]] = (),
    layers: Sequence[str] = ("conv1", "conv2", "conv3"),
    chip: Chip = TINY,
    ddr_bytes: int = 1 << 16,
    **more: Any,
) -> Program:
    """A program of these instructions."""
    meta: dict[str, Any] = {
        "name": "net", "version": "0", "chip": "tiny", "chip_family": "tiny",
        "chip_digest": facts_digest(chip), "chip_values": facts(chip), "model_sha256": "0" * 64,
        "schedule_level": 0, "layers": [{"name": n, "op": "Conv", "macs": 0} for n in layers],
        "inputs": list(inputs), "outputs": list(outputs), "tensors": list(tensors), "host": [],
        "graph_outputs": [entry["name"] for entry in outputs], "input_layout": "nchw",
        "recipe": None, "fspm_peak": [0 for _ in layers], "constants_bytes": len(data),
        "ddr_bytes": ddr_bytes,
    }  # fmt: skip
    return Program({**meta, **more}, assemble(instructions), data)


def whole_memory_program(
    items: Sequence[Instruction], weights: bytes, parameters: bytes, chip: Chip = TINY
) -> Program:
    """Input ``fspm`` fills FSPM, ``items`` run one after the other, output ``after`` is FSPM."""
    weights = weights.ljust(chip.wspm_bytes, b"\0")
    parameters = parameters.ljust(chip.mspm_bytes, b"\0")
    size = chip.fspm_bytes
    data = weights + parameters
    source, target = len(data), len(data) + size
    code: list[Instruction] = [
        load(Space.WSPM, 0, len(weights)),
        load(Space.MSPM, len(weights), len(parameters)),
        load(Space.FSPM, source, size, signal=1 << items[0].ENGINE),
    ]
    waits = [Engine.RDMA, *(item.ENGINE for item in items[:-1])]
    follows = [*(item.ENGINE for item in items[1:]), Engine.WDMA]
    for item, before, after in zip(items, waits, follows, strict=True):
        code.append(replace(item, wait=1 << before, signal=1 << after))
    code.append(store(0, target, size, wait=1 << items[-1].ENGINE))
    return program(
        code, data, [tensor("fspm", "u8", (1, 1, size), source)],
        [tensor("after", "u8", (1, 1, size), target)], chip=chip,
    )  # fmt: skip


def small_matrix(**given: int) -> Matrix:
    """A 1x1 matrix instruction, 4 pixels in a row, 8 channels to 4: x at 0, y at 1024."""
    values = {
        "x_row_stride": 32, "x_column_stride": 8, "x_width": 4, "x_channels": 8, "x_type": U8,
        "y_address": 1024, "y_row_stride": 16, "y_column_stride": 4, "y_width": 4,
        "y_channels": 4, "y_type": S8, "weight_row_bytes": 4,
    }  # fmt: skip
    return make(Matrix, **{**values, **given})
