"""Check a ``.pdiparams`` against its ``.pdmodel``, tensor by tensor.

A ``.pdiparams`` is a concatenation of LoDTensor records in the sorted order of the names of the
program's persistable variables: u32 version 0, u64 LoD levels (0), u32 version 0, i32 length of a
protobuf description {1: type, 2: dims}, the description, raw data. The names stand only in the
program, a protobuf ProgramDesc, of which the few fields needed are read here.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from knightlite.errors import ModelError

# VarType.Type of the program's variables
LOD_TENSOR = 7
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
    """Bytes that are no protobuf message."""


def expected_tensors(program: bytes, where: Path) -> list[Expected]:
    """The persistable tensors of a ProgramDesc, sorted by name; ModelError where it is none."""
    try:
        blocks = [value for number, value in _fields(program) if number == 1]
        if not blocks:
            raise _Damaged
        tensors = [
            item
            for block in blocks
            for number, value in _fields(_message(block))
            if number == 3 and (item := _variable(_message(value))) is not None
        ]
    except (_Damaged, UnicodeDecodeError):
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
        element, shape = _tensor_description(data[start : start + length])
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


# ------------------------------------------------------------------ protobuf, as far as needed


def _variable(data: bytes) -> Expected | None:
    """A VarDesc {1: name, 2: type, 3: persistable} where it is a persistable tensor."""
    name, described, persistable = "", b"", 0
    for number, value in _fields(data):
        if number == 1:
            name = _message(value).decode()
        elif number == 2:
            described = _message(value)
        elif number == 3:
            persistable = _number(value)
    if not persistable:
        return None
    kind, lod = -1, b""
    for number, value in _fields(described):  # VarType {1: kind, 3: LoDTensorDesc {1: tensor}}
        if number == 1:
            kind = _number(value)
        elif number == 3:
            lod = _message(value)
    if kind != LOD_TENSOR:  # feed and fetch lists are persistable too
        return None
    tensor = next((_message(value) for number, value in _fields(lod) if number == 1), None)
    if tensor is None:
        raise _Damaged
    return Expected(name, *_tensor_description(tensor))


def _tensor_description(data: bytes) -> tuple[int, tuple[int, ...]]:
    """Element type and shape of a TensorDesc; dims come packed or one by one."""
    element, dims = -1, []
    for number, value in _fields(data):
        if number == 1:
            element = _number(value)
        elif number == 2:
            dims += [value] if isinstance(value, int) else list(_varints(value))
    signed = tuple(item - (1 << 64) if item >> 63 else item for item in dims)
    if element not in ELEMENT_TYPES or any(item < 0 for item in signed):
        raise _Damaged
    return element, signed


def _message(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise _Damaged
    return value


def _number(value: int | bytes) -> int:
    if not isinstance(value, int):
        raise _Damaged
    return value


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers and values of a protobuf message: integers, or bytes of fields with length."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, position = _varint(data, position)
            yield number, value
            continue
        if wire == 2:
            size, position = _varint(data, position)
        else:
            size = {1: 8, 5: 4}.get(wire, -1)
        if size < 0 or number == 0 or position + size > len(data):
            raise _Damaged
        yield number, data[position : position + size]
        position += size


def _varints(data: bytes) -> Iterator[int]:
    position = 0
    while position < len(data):
        value, position = _varint(data, position)
        yield value


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & ((1 << 64) - 1), position
    raise _Damaged
