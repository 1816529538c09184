"""Hand-assembled programs for tests of the machine: a tiny chip, defaults for every field."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from knightlite.chip import Chip, facts_digest
from knightlite.chip_files import find
from knightlite.container import Description, Layer, Program, StoredTensor, Tile, paired
from knightlite.container.description import IntegerType
from knightlite.dtypes import BY_NAME
from knightlite.isa import Engine, Instruction, Load, Matrix, Space, Store, assemble, layout

RDMA, WDMA, RCCN, RCVT = (1 << engine for engine in Engine)
U8, S8, S16 = range(3)

FIGURES: dict[str, Any] = {
    "groups_per_block": 64,
    "vector_lanes": 64,
    "matrix_setup_cycles": 64,
    "vector_setup_cycles": 32,
    "dma_setup_cycles": 100,
    "ddr_efficiency_percent": 70,
}
"""Figures that are fitted to boards, here as they never change: times by hand rest on them."""

TINY = replace(
    find("TX5368AV200").chip,
    **FIGURES,
    fspm_bytes=4096,
    wspm_bytes=2048,
    wspm_align_bytes=16,
    mspm_bytes=2048,
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


def tensor(
    name: str, kind: IntegerType, shape: Sequence[int], address: int, **more: Any
) -> StoredTensor:
    """A dense NHWC tensor of the .cfg, there from the start; ``shape`` is C, H, W.

    ``ready``: one instruction writes all of it, where ``first`` says nothing else.
    """
    channels, height, width = shape
    size = BY_NAME[kind].size_bytes
    dense = StoredTensor(
        name, (1, channels, height, width), kind, 1.0, address, width * channels * size,
        channels * size, -1, -1,
    )  # fmt: skip
    return replace(dense, **{"first": more.get("ready", -1), **more})


def program(
    instructions: Iterable[Instruction],
    data: bytes = b"",
    inputs: Sequence[StoredTensor] = (),
    outputs: Sequence[StoredTensor] = (),
    tensors: Sequence[StoredTensor] = (),
    layers: Sequence[str] = ("conv1", "conv2", "conv3"),
    chip: Chip = TINY,
    ddr_bytes: int = 1 << 16,
    **more: Any,
) -> Program:
    """A program of these instructions, all of which make an output that says nothing else."""
    items = list(instructions)
    code = assemble(items)
    last = len(items) - 1
    outputs = [
        replace(entry, first=min(0, last), ready=last)
        if entry.ready == -1 and entry not in inputs
        else entry
        for entry in outputs
    ]
    tile = Tile(1, 1, 1, "rows", 1)
    meta = Description(
        name="net", version="0", pair="", chip="tiny", chip_family="tiny",
        chip_values=chip, chip_digest=facts_digest(chip), model_sha256="0" * 64, quantization=None,
        recipe=None, input_layout="nchw", res_version="1.0", schedule_level=0,
        layers=tuple(
            Layer(name, "Conv", sum(x.macs() for x in items if x.layer == index), 0, tile)
            for index, name in enumerate(layers)
        ),
        fspm_peak=(0,) * len(layers), ddr_bytes=ddr_bytes, constants_bytes=len(data),
        inputs=tuple(inputs), outputs=tuple(outputs), tensors=tuple(tensors),
        graph_outputs=tuple(entry.name for entry in outputs), host=(),
    )  # fmt: skip
    return paired(Program(replace(meta, **more), code, data))


def copying_program(**more: Any) -> Program:
    """Copies input ``x`` to tensor ``first``, and again to output ``y``."""
    code = [
        load(Space.FSPM, 64, 24, signal=WDMA),
        store(0, 128, 24, wait=RDMA),
        load(Space.FSPM, 64, 24, local_address=64, wait=0, signal=WDMA),
        store(64, 192, 24, wait=RDMA),
    ]
    x = tensor("x", "u8", (3, 2, 4), 64)
    first = tensor("first", "u8", (3, 2, 4), 128, ready=1)
    y = tensor("y", "u8", (3, 2, 4), 192, ready=3)
    return program(code, bytes(64), [x], [y], [x, first, y], **more)


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
        ddr_bytes=max(1 << 16, target + size),
    )  # fmt: skip


def small_matrix(**given: int) -> Matrix:
    """A 1x1 matrix instruction, 4 pixels in a row, 8 channels to 4: x at 0, y at 1024."""
    values = {
        "x_row_stride": 32, "x_column_stride": 8, "x_width": 4, "x_channels": 8, "x_type": U8,
        "y_address": 1024, "y_row_stride": 16, "y_column_stride": 4, "y_width": 4,
        "y_channels": 4, "y_type": S8, "weight_row_bytes": 4,
    }  # fmt: skip
    return make(Matrix, **{**values, **given})
