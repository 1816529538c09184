"""Check a ``.pdiparams`` against its ``.pdmodel``, tensor by tensor.

A ``.pdiparams`` is a concatenation of LoDTensor records in the sorted order of the names of the
program's persistable variables: u32 version 0, u64 LoD levels (0), u32 version 0, i32 length of a
protobuf description {1: type, 2: dims}, the description, raw data. The names stand only in the
program.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from knightlite.errors import ModelError
from knightlite.frontend.paddle_program import LOD_TENSOR, parse, parse_program

# VarType.Type of a tensor's elements
ELEMENT_TYPES: Mapping[int, str] = {
    0: "?", 1: "<i2", 2: "<i4", 3: "<i8", 4: "<f2", 5: "<f4", 6: "<f8", 20: "u1", 21: "i1",
}  # fmt: skip
HEADER_BYTES = 20
AGAIN = "copy or save model and weights again, together"


@dataclass(frozen=True, slots=True)
class Expected:
    """A weight the program needs: its Paddle element type and shape."""

    name: str
    element: int
    shape: tuple[int, ...]


class _Damaged(Exception):
    """A description that is none."""


def expected_tensors(program: bytes, where: Path) -> list[Expected]:
    """The persistable tensors of a ProgramDesc, sorted by name; ModelError where it is none."""
    message = parse_program(program, where)
    try:
        tensors = [
            item
            for block in message.blocks
            for described in block.vars
            if (item := _variable(described)) is not None
        ]
    except _Damaged:
        raise ModelError(
            f"{where} is not a Paddle program or is truncated.", "copy or save the model again"
        ) from None
    return sorted(tensors, key=lambda item: item.name)


def check(data: bytes, where: Path, expected: list[Expected]) -> None:
    """Raise ModelError naming the first tensor that is missing, misshapen, cut or not finite."""
    position = 0
    for index, tensor in enumerate(expected, start=1):
        which = f"tensor {tensor.name} ({index} of {len(expected)})"
        if position == len(data):
            raise ModelError(
                f"{where} ends before {which}: it is truncated or not this model's.", AGAIN
            )
        position = _check_record(data, position, where, tensor, which)
    if position != len(data):
        raise ModelError(
            f"{where} must have {position} bytes for the {len(expected)} tensors of the model, "
            f"not {len(data)}: it belongs to another model.",
            AGAIN,
        )


def _check_record(data: bytes, position: int, where: Path, tensor: Expected, which: str) -> int:
    """Check one record; returns where the next one starts."""
    start = position + HEADER_BYTES
    if start > len(data):
        raise ModelError(f"{where} is truncated inside {which}.", AGAIN)
    version, levels, tensor_version, length = struct.unpack_from("<IQIi", data, position)
    if (version, levels, tensor_version) != (0, 0, 0) or not 0 < length < 4096:
        raise ModelError(
            f"{where} is damaged at byte {position}: {which} has no valid record header.", AGAIN
        )
    if start + length > len(data):
        raise ModelError(f"{where} is truncated inside {which}.", AGAIN)
    try:
        described = parse("TensorDesc", data[start : start + length])
        if described is None:
            raise _Damaged
        element, shape = _element_and_shape(described)
    except _Damaged:
        raise ModelError(f"{where} is damaged: {which} has no valid description.", AGAIN) from None
    if (element, shape) != (tensor.element, tensor.shape):
        raise ModelError(
            f"{where} does not fit the model: {which} must be {_described(tensor.element)} "
            f"{list(tensor.shape)}, not {_described(element)} {list(shape)}.",
            AGAIN,
        )
    dtype = np.dtype(ELEMENT_TYPES[element])
    size = math.prod(shape) * dtype.itemsize
    end = start + length + size
    if end > len(data):
        raise ModelError(
            f"{where} is truncated inside {which}: {size} bytes of data are needed, "
            f"{len(data) - start - length} are left.",
            AGAIN,
        )
    if dtype.kind == "f":
        values = np.frombuffer(data, dtype, size // dtype.itemsize, start + length)
        bad = int(np.count_nonzero(~np.isfinite(values)))
        if bad:
            raise ModelError(
                f"{where}: {which} has {bad} of {values.size} values that are NaN or infinite.",
                "the file is damaged or the training diverged: copy or train it again",
            )
    return int(end)


def _described(element: int) -> str:
    name = ELEMENT_TYPES.get(element)
    return f"type {element}" if name is None else np.dtype(name).name


# ------------------------------------------------------------------ descriptions


def _variable(described: Any) -> Expected | None:
    """A VarDesc where it is a persistable tensor; feed and fetch lists are persistable too."""
    if not described.persistable or described.type.type != LOD_TENSOR:
        return None
    if not described.type.HasField("lod_tensor"):
        raise _Damaged
    return Expected(described.name, *_element_and_shape(described.type.lod_tensor.tensor))


def _element_and_shape(tensor: Any) -> tuple[int, tuple[int, ...]]:
    """Element type and shape of a TensorDesc."""
    shape = tuple(tensor.dims)
    if tensor.data_type not in ELEMENT_TYPES or any(size < 0 for size in shape):
        raise _Damaged
    return int(tensor.data_type), shape
