"""Requests and responses of the inference protocol as bytes: JSON, and tensors in binary behind it.

Nothing is made that a request only names: a tensor's size is compared with what came before an
array is built from it.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import DataError, UsageError
from knightlite.reading import json_value

Array = NDArray[Any]

HEADER_LENGTH = "inference-header-content-length"
BYTES = "BYTES"  # of pictures as files hold them
BASE64 = "base64"  # the value of a tensor's parameter content_type
DTYPES: Mapping[str, np.dtype[Any]] = {
    name: np.dtype(kind)
    for name, kind in (
        ("BOOL", "?"), ("INT8", "<i1"), ("INT16", "<i2"), ("INT32", "<i4"), ("INT64", "<i8"),
        ("UINT8", "<u1"), ("UINT16", "<u2"), ("UINT32", "<u4"), ("UINT64", "<u8"),
        ("FP16", "<f2"), ("FP32", "<f4"), ("FP64", "<f8"),
    )
}  # fmt: skip
MAX_DIGITS = 18  # of a number of bytes
MAX_AXES = 8
MAX_TENSORS = 64
MAX_TEXT = 256  # letters of a name or an id


@dataclass(frozen=True, slots=True)
class Wanted:
    """An output that a request names, and whether its values are to be in binary."""

    name: str
    binary: bool


@dataclass(frozen=True, slots=True)
class Request:
    """``feeds``: arrays as they came, or pictures as files hold them; ``outputs`` None: all.

    ``binary``: how outputs are sent that no entry speaks of.
    """

    id: str | None
    feeds: Mapping[str, Array | tuple[bytes, ...]]
    outputs: tuple[Wanted, ...] | None
    binary: bool


# ------------------------------------------------------------------ reading


def read_request(body: bytes, header_length: str | None) -> Request:
    """The request in a body; UsageError or DataError with a sentence for whoever sent it.

    ``header_length``: the HTTP header of this name, None where all is JSON.
    """
    text, binary = _split(body, header_length)
    try:
        value = json_value(text)
    except ValueError as error:
        raise UsageError(f"the request is not JSON: {error}.") from None
    _require(isinstance(value, dict), "the request must be a JSON object")
    identifier = value.get("id")
    if identifier is not None:
        _name(identifier, "id")
    parameters = _table(value, "parameters", "the request")
    feeds: dict[str, Array | tuple[bytes, ...]] = {}
    rest = memoryview(binary)
    for entry in _entries(value, "inputs", required=True):
        name = _name(entry.get("name"), "the name of an input")
        _require(name not in feeds, f"input {name} is there twice")
        feeds[name], rest = _tensor(entry, name, rest)
    _require(not rest, f"{len(rest)} bytes are left behind the last tensor")
    outputs = None
    by_default = _flag(parameters, "binary_data_output", False)
    if value.get("outputs"):
        outputs = tuple(_outputs(value, by_default))
    return Request(identifier, feeds, outputs, by_default)


def _split(body: bytes, header_length: str | None) -> tuple[bytes, bytes]:
    if header_length is None:
        return body, b""
    _require(
        is_count(header_length) and int(header_length) <= len(body),
        f"the header {HEADER_LENGTH} must be a number of up to {len(body)} bytes, not "
        f"{header_length[:MAX_TEXT]!r}",
    )
    return body[: int(header_length)], body[int(header_length) :]


def is_count(text: str) -> bool:
    """Whether a header is a whole number that some body may have."""
    return text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS


def _tensor(
    entry: Mapping[str, Any], name: str, rest: memoryview
) -> tuple[Array | tuple[bytes, ...], memoryview]:
    """An input's values, and the binary data behind it."""
    kind, shape = entry.get("datatype"), _shape(entry.get("shape"), name)
    parameters = _table(entry, "parameters", f"input {name}")
    size = parameters.get("binary_data_size")
    if size is None:
        _require("data" in entry, f"input {name} has neither data nor binary_data_size")
        return _from_json(entry["data"], kind, shape, name, parameters), rest
    _require("data" not in entry, f"input {name} has data and binary_data_size")
    _require(
        type(size) is int and 0 <= size <= len(rest),
        f"binary_data_size of input {name} must be up to {len(rest)}, not {size!r}",
    )
    return _from_binary(rest[:size], kind, shape, name), rest[size:]


def _from_binary(
    data: memoryview, kind: object, shape: tuple[int, ...], name: str
) -> Array | tuple[bytes, ...]:
    count = math.prod(shape)
    if kind == BYTES:
        found = tuple(_texts(data, name))
        _require_count(len(found), count, shape, name)
        return found
    dtype = _dtype(kind, name)
    _require(
        len(data) == count * dtype.itemsize,
        f"input {name} of {kind} {[*shape]} takes {count * dtype.itemsize} bytes, not {len(data)}",
    )
    return np.frombuffer(data, dtype).reshape(shape)


def _texts(data: memoryview, name: str) -> Iterator[bytes]:
    """Elements of BYTES: each behind its length, four bytes."""
    while data:
        _require(len(data) >= 4, f"input {name} ends inside a length")
        (size,) = struct.unpack("<I", data[:4])
        _require(size <= len(data) - 4, f"input {name} ends inside an element of {size} bytes")
        yield bytes(data[4 : 4 + size])
        data = data[4 + size :]


def _from_json(
    data: object, kind: object, shape: tuple[int, ...], name: str, parameters: Mapping[str, Any]
) -> Array | tuple[bytes, ...]:
    flat = list(_flat(data))
    _require_count(len(flat), math.prod(shape), shape, name)
    if kind == BYTES:
        _require(
            parameters.get("content_type") == BASE64,
            f"JSON holds no bytes: send input {name} in binary, or as base64 with the parameter "
            f'"content_type": "{BASE64}"',
        )
        return tuple(_decoded(text, name) for text in flat)
    dtype = _dtype(kind, name)
    allowed = {"b": (bool,), "i": (int,), "u": (int,), "f": (int, float)}[dtype.kind]
    for item in flat:
        _require(type(item) in allowed, f"input {name} of {kind} holds {_shown(item)}")
    try:
        with np.errstate(over="raise"):
            return np.array(flat, dtype).reshape(shape)
    except (OverflowError, FloatingPointError):
        raise DataError(f"input {name} holds a number that is none of {kind}.") from None


def _flat(data: object) -> Iterator[Any]:
    """The values of nested lists, row by row; their depth is bounded by the reader."""
    if isinstance(data, list):
        for item in data:
            yield from _flat(item)
    else:
        yield data


def _decoded(text: object, name: str) -> bytes:
    try:
        return base64.b64decode(text if isinstance(text, str) else "!", validate=True)
    except (binascii.Error, ValueError):
        raise DataError(f"input {name} holds an element that is no base64.") from None


def _outputs(value: Mapping[str, Any], by_default: bool) -> Iterator[Wanted]:
    seen = set()
    for entry in _entries(value, "outputs"):
        name = _name(entry.get("name"), "the name of an output")
        _require(name not in seen, f"output {name} is there twice")
        seen.add(name)
        parameters = _table(entry, "parameters", f"output {name}")
        _require(
            not parameters.get("classification"),
            "this server gives scores, not classes: leave classification out",
        )
        yield Wanted(name, _flag(parameters, "binary_data", by_default))


def _entries(
    value: Mapping[str, Any], key: str, required: bool = False
) -> Sequence[Mapping[str, Any]]:
    entries = value.get(key, [])
    _require(
        isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries),
        f"{key} must be a list of objects",
    )
    _require(len(entries) <= MAX_TENSORS, f"{key} must be at most {MAX_TENSORS}")
    _require(bool(entries) or not required, f"the request has no {key}")
    return entries  # type: ignore[no-any-return]  # seen above


def _table(value: Mapping[str, Any], key: str, what: str) -> Mapping[str, Any]:
    found = value.get(key, {})
    _require(isinstance(found, dict), f"{key} of {what} must be an object")
    return found  # type: ignore[no-any-return]  # seen above


def _flag(parameters: Mapping[str, Any], key: str, default: bool) -> bool:
    found = parameters.get(key, default)
    _require(isinstance(found, bool), f"{key} must be true or false")
    return bool(found)


def _name(value: object, what: str) -> str:
    _require(
        isinstance(value, str) and 0 < len(value) <= MAX_TEXT,
        f"{what} must be a text of up to {MAX_TEXT} letters",
    )
    return str(value)


def _shape(value: object, name: str) -> tuple[int, ...]:
    _require(
        isinstance(value, list)
        and 0 < len(value) <= MAX_AXES
        and all(type(size) is int and size >= 0 for size in value),
        f"the shape of input {name} must be a list of up to {MAX_AXES} sizes",
    )
    assert isinstance(value, list)
    return tuple(value)


def _dtype(kind: object, name: str) -> np.dtype[Any]:
    found = DTYPES.get(kind) if isinstance(kind, str) else None
    if found is None:
        raise UsageError(
            f"the datatype of input {name} must be one of {', '.join([*DTYPES, BYTES])}, not "
            f"{_shown(kind)}."
        )
    return found


def _require_count(found: int, wanted: int, shape: tuple[int, ...], name: str) -> None:
    _require(found == wanted, f"input {name} of shape {[*shape]} has {wanted} values, not {found}")


def _require(holds: bool, sentence: str) -> None:
    if not holds:
        raise UsageError(f"{sentence}.")


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


# ------------------------------------------------------------------ writing


def datatype(dtype: np.dtype[Any]) -> str:
    """The protocol's name of a numpy type; KeyError where it has none."""
    return {kind: name for name, kind in DTYPES.items()}[dtype.newbyteorder("<")]


def write_response(
    model: str, version: str, request: Request, outputs: Mapping[str, Array]
) -> tuple[bytes, int | None]:
    """The body, and the length of its JSON where tensors in binary follow it.

    ``outputs`` in the order in which they are sent. DataError for a value that JSON cannot hold.
    """
    wanted = {item.name: item.binary for item in request.outputs or ()}
    entries, behind = [], []
    for name, values in outputs.items():
        stored = np.ascontiguousarray(values)
        entry: dict[str, Any] = {
            "name": name,
            "datatype": datatype(stored.dtype),
            "shape": [*stored.shape],
        }
        if wanted.get(name, request.binary):
            behind.append(stored.astype(stored.dtype.newbyteorder("<"), copy=False).tobytes())
            entry["parameters"] = {"binary_data_size": len(behind[-1])}
        else:
            if stored.dtype.kind == "f" and not np.isfinite(stored).all():
                raise DataError(
                    f"output {name} holds values that are no numbers, which JSON cannot say.",
                    'ask for it with the parameter "binary_data": true',
                )
            entry["data"] = stored.ravel().tolist()
        entries.append(entry)
    value: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": entries}
    if request.id is not None:
        value["id"] = request.id
    text = json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")
    return (b"".join([text, *behind]), len(text)) if behind else (text, None)
