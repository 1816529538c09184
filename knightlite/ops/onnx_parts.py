"""Models whose large arrays stay outside their protobuf, written and read without copies of them.

A protobuf holds every array once more, and once more whenever it is put into another or made bytes:
of a network of 500 MB that is gigabytes. So large arrays are kept beside a protobuf that lacks
them, and meet it only in the bytes of a file, piece by piece.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

Array = NDArray[Any]
Piece = bytes | memoryview

LARGE_BYTES = 1 << 20  # of an array that stays outside

# numbers of fields in onnx.proto, and how protobuf encodes what follows
GRAPH, INITIALIZER, NAME, RAW_DATA = 7, 5, 8, 9
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True, eq=False)
class ModelParts:
    """A model. ``skeleton`` has all of it but the values of the initializers in ``arrays``."""

    skeleton: onnx.ModelProto
    arrays: Mapping[str, Array]

    def pieces(self) -> Iterator[Piece]:
        """The bytes of the whole model, the same as of its protobuf, in order."""
        data = memoryview(self.skeleton.SerializeToString(deterministic=True))
        for number, start, body, end in fields(data):
            if number != GRAPH:
                yield data[start:end]
                continue
            pieces = list(_graph_pieces(data[body:end], self.arrays))
            yield _header(GRAPH, sum(map(_size, pieces)))
            for piece in pieces:
                yield _bytes_of(piece)

    def to_bytes(self) -> bytes:
        """The bytes of the whole model."""
        return b"".join(self.pieces())

    def whole(self) -> onnx.ModelProto:
        """The model as one protobuf."""
        if not self.arrays:
            return self.skeleton
        found = onnx.ModelProto()
        found.CopyFrom(self.skeleton)
        for item in found.graph.initializer:
            if item.name in self.arrays:
                item.raw_data = _contiguous(self.arrays[item.name]).tobytes()
        return found

    def check(self) -> None:
        """ONNX's own check of everything but the large arrays' values."""
        if not self.arrays:
            onnx.checker.check_model(self.skeleton)
            return
        found = onnx.ModelProto()
        found.CopyFrom(self.skeleton)
        kept = [item for item in found.graph.initializer if item.name not in self.arrays]
        for item in found.graph.initializer:
            if item.name in self.arrays:  # a value that comes from elsewhere, for the checker
                described = onnx.helper.make_tensor_value_info(
                    item.name, item.data_type, list(item.dims)
                )
                found.graph.input.append(described)
        kept = [onnx.TensorProto.FromString(item.SerializeToString()) for item in kept]
        del found.graph.initializer[:]
        found.graph.initializer.extend(kept)
        onnx.checker.check_model(found)


def parts_of(data: bytes) -> tuple[bytes, dict[str, memoryview]]:
    """The bytes of a model without the values of its large initializers, and these by name.

    Only values in ``raw_data`` are taken out. Bytes that are no model come back as they are, for
    whoever parses them to say so.
    """
    arrays: dict[str, memoryview] = {}
    view = memoryview(data)
    try:
        pieces: list[Piece] = []
        for number, start, body, end in fields(view):
            if number != GRAPH:
                pieces.append(view[start:end])
                continue
            inner = list(_without_arrays(view[body:end], arrays))
            pieces += [_header(GRAPH, sum(map(_size, inner))), *map(_bytes_of, inner)]
    except ValueError:
        return data, {}
    return (b"".join(pieces), arrays) if arrays else (data, {})


def _without_arrays(graph: memoryview, arrays: dict[str, memoryview]) -> Iterator[Piece]:
    """The fields of a graph; values of large initializers go into ``arrays`` instead."""
    for number, start, body, end in fields(graph):
        if number != INITIALIZER or end - body < LARGE_BYTES:
            yield graph[start:end]
            continue
        tensor, kept, name, raw = graph[body:end], [], "", None
        for inner, first, inside, last in fields(tensor):
            if inner == NAME:
                name = bytes(tensor[inside:last]).decode("utf-8")
            if inner == RAW_DATA and last - inside >= LARGE_BYTES:
                raw = tensor[inside:last]
            else:
                kept.append(tensor[first:last])
        if raw is None or not name or name in arrays:
            yield graph[start:end]
            continue
        arrays[name] = raw
        yield _header(INITIALIZER, sum(map(_size, kept)))
        yield from kept


def _graph_pieces(graph: memoryview, arrays: Mapping[str, Array]) -> Iterator[Piece | Array]:
    """The fields of a graph, in order; values of large initializers as the arrays they are."""
    for number, start, body, end in fields(graph):
        values = None
        if number == INITIALIZER:
            tensor = graph[body:end]
            (name,) = [
                bytes(tensor[inside:last]).decode("utf-8")
                for inner, _, inside, last in fields(tensor)
                if inner == NAME
            ] or [""]
            values = arrays.get(name)
        if values is None:
            yield graph[start:end]
            continue
        raw = _header(RAW_DATA, values.nbytes)  # the last field of a tensor that has these
        yield _header(INITIALIZER, end - body + len(raw) + values.nbytes)
        yield graph[body:end]
        yield raw
        yield values


def fields(data: memoryview) -> Iterator[tuple[int, int, int, int]]:
    """Number, start, start of the content and end of every field of a message.

    ValueError where ``data`` is no message.
    """
    place = 0
    while place < len(data):
        start = place
        key, place = _varint(data, place)
        kind = key & 7
        if kind == VARINT:
            body, (_, end) = place, _varint(data, place)
        elif kind == LENGTH:
            length, body = _varint(data, place)
            end = body + length
        elif kind in (FIXED64, FIXED32):
            body, end = place, place + (8 if kind == FIXED64 else 4)
        else:
            raise ValueError(f"a field of kind {kind}")
        if end > len(data):
            raise ValueError("a field beyond the end")
        yield key >> 3, start, body, end
        place = end


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    """A whole number at ``place``, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            raise ValueError("a number beyond the end")
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise ValueError("a number of more than 64 bits")


def _header(number: int, length: int) -> bytes:
    """What precedes the content of a field with a length."""
    found, rest = [number << 3 | LENGTH], length
    while rest > 127:
        found.append(rest & 127 | 128)
        rest >>= 7
    return bytes([*found, rest])


def _size(piece: Piece | Array) -> int:
    return len(piece) if isinstance(piece, bytes) else piece.nbytes


def _bytes_of(piece: Piece | Array) -> Piece:
    if isinstance(piece, np.ndarray):
        return _contiguous(piece).reshape(-1).view(np.uint8).data
    return piece


def _contiguous(values: Array) -> Array:
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
