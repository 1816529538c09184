"""The binary files: sections with names, versions and checksums (docs/formats.md).

Both files: magic (8 bytes), version u32, section count u32, then per section name (16 bytes, zero
padded), offset u64, size u64, SHA-256 (32 bytes); then SHA-256 of everything before it; then the
sections. ``X_r.cfg`` holds ``meta`` (canonical JSON) and ``code``; ``X_r.weight`` holds ``meta``
and ``data``, the DDR image of all constants. The two name each other by hash. ``X_r.tsmodel`` holds
both files whole, as ``cfg`` and ``weight``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import FormatError

VERSION = 3
CFG_MAGIC = b"KLITECFG"
WEIGHT_MAGIC = b"KLITEWGT"
MODEL_MAGIC = b"KLITETSM"
KINDS = {
    CFG_MAGIC: "configuration (.cfg)",
    WEIGHT_MAGIC: "weight (.weight)",
    MODEL_MAGIC: "model (.tsmodel)",
}
_ENTRY = struct.Struct("<16sQQ32s")
_HEAD = struct.Struct("<8sII")


def canonical_json(value: Mapping[str, Any]) -> bytes:
    """The one spelling of a JSON object: sorted keys, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def write_sections(magic: bytes, sections: Mapping[str, bytes]) -> bytes:
    """The bytes of a file with these sections, in the given order."""
    head_size = _HEAD.size + _ENTRY.size * len(sections) + 32
    head = _HEAD.pack(magic, VERSION, len(sections))
    offset = head_size
    for name, data in sections.items():
        head += _ENTRY.pack(name.encode("ascii"), offset, len(data), hashlib.sha256(data).digest())
        offset += len(data)
    return b"".join([head, hashlib.sha256(head).digest(), *sections.values()])


def read_sections(magic: bytes, data: bytes, where: str) -> dict[str, bytes]:
    """The checked sections of a file; FormatError says what is wrong with it."""
    kind = KINDS[magic]
    found = data[:8]
    if found != magic:
        other = KINDS.get(found)
        hint = f"it is a {other} file: are the two files swapped?" if other else ""
        raise FormatError(f"{where} is not a knightlite {kind} file.", hint)
    remedy = "compile the model again"
    if len(data) < _HEAD.size:
        raise FormatError(f"{where} is truncated: {len(data)} bytes.", remedy)
    _, version, count = _HEAD.unpack_from(data)
    if version != VERSION:
        raise FormatError(f"{where} has format version {version}, not {VERSION}.", remedy)
    end = _HEAD.size + _ENTRY.size * count
    if len(data) < end + 32:
        raise FormatError(f"{where} is truncated: {len(data)} bytes.", remedy)
    if hashlib.sha256(data[:end]).digest() != data[end : end + 32]:
        raise FormatError(f"{where} is damaged: its header checksum is wrong.", remedy)
    sections = {}
    last = end + 32
    for index in range(count):
        raw, offset, size, digest = _ENTRY.unpack_from(data, _HEAD.size + index * _ENTRY.size)
        name = raw.rstrip(b"\0").decode("ascii")
        if offset + size > len(data):
            have, need = len(data), offset + size
            raise FormatError(f"{where} is truncated: {have} bytes, needs {need}.", remedy)
        section = data[offset : offset + size]
        if hashlib.sha256(section).digest() != digest:
            raise FormatError(
                f"{where} is damaged: the checksum of section {name} is wrong.", remedy
            )
        sections[name] = section
        last = max(last, offset + size)
    if last != len(data):
        sentence = f"{where} is damaged: it has {len(data)} bytes, but its sections end at {last}."
        raise FormatError(sentence, remedy)
    return sections


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled network: what the two files hold.

    ``meta`` keys: see docs/formats.md (chip, chip_digest, model_sha256, layers, inputs, outputs,
    ddr_bytes, host, recipe, materialised, ...). ``host``: the host's share as an ONNX model where
    an operator in it needs ONNX Runtime, else empty.
    """

    meta: Mapping[str, Any]
    code: bytes
    data: bytes
    host: bytes = b""


def array_entry(values: NDArray[Any]) -> dict[str, Any]:
    """An array as JSON: numpy type, shape, and its little-endian bytes in base64."""
    data = np.ascontiguousarray(values)
    little = data.astype(data.dtype.newbyteorder("<"))
    return {
        "type": str(data.dtype),
        "shape": list(values.shape),
        "data": base64.b64encode(little.tobytes()).decode("ascii"),
    }


def entry_array(entry: Mapping[str, Any]) -> NDArray[Any]:
    """The array of :func:`array_entry`; FormatError where it is damaged."""
    try:
        kind = np.dtype(str(entry["type"])).newbyteorder("<")
        flat = np.frombuffer(base64.b64decode(entry["data"], validate=True), kind)
        return flat.reshape(entry["shape"])
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"the .cfg holds a damaged constant ({error}).") from None


def pair_digest(code: bytes, data: bytes) -> str:
    """The identity of a compiled network: both files carry it."""
    return hashlib.sha256(hashlib.sha256(code).digest() + hashlib.sha256(data).digest()).hexdigest()


def encode_program(program: Program) -> tuple[bytes, bytes]:
    """The bytes of (``.cfg``, ``.weight``)."""
    pair = pair_digest(program.code, program.data)
    meta = canonical_json({**program.meta, "pair": pair})
    sections = {"meta": meta, "code": program.code}
    if program.host:
        sections["host"] = program.host
    cfg = write_sections(CFG_MAGIC, sections)
    weight_meta = canonical_json({"pair": pair, "name": program.meta["name"]})
    weight = write_sections(WEIGHT_MAGIC, {"meta": weight_meta, "data": program.data})
    return cfg, weight


def encode_model(cfg: bytes, weight: bytes) -> bytes:
    """The bytes of a ``.tsmodel`` that holds both files."""
    return write_sections(MODEL_MAGIC, {"cfg": cfg, "weight": weight})


def decode_model(data: bytes, where: str) -> Program:
    """Read a ``.tsmodel``; FormatError where it is damaged."""
    sections = read_sections(MODEL_MAGIC, data, where)
    for name in ("cfg", "weight"):
        if name not in sections:
            raise FormatError(f"{where} has no section {name}.", "compile the model again")
    return decode_program(sections["cfg"], sections["weight"], where, where)


def decode_program(cfg: bytes, weight: bytes, cfg_name: str, weight_name: str) -> Program:
    """Read both files; FormatError where one is damaged, or they do not belong together."""
    cfg_sections = read_sections(CFG_MAGIC, cfg, cfg_name)
    weight_sections = read_sections(WEIGHT_MAGIC, weight, weight_name)
    for where, sections, wanted in (
        (cfg_name, cfg_sections, ("meta", "code")),
        (weight_name, weight_sections, ("meta", "data")),
    ):
        for name in wanted:
            if name not in sections:
                raise FormatError(f"{where} has no section {name}.", "compile the model again")
    meta = json.loads(cfg_sections["meta"])
    other = json.loads(weight_sections["meta"])
    if meta["pair"] != other["pair"]:
        raise FormatError(
            f"{cfg_name} ({meta['name']}) and {weight_name} ({other['name']}) "
            "do not belong together.",
            "take both from the same compile run",
        )
    host = cfg_sections.get("host", b"")
    return Program(meta, cfg_sections["code"], weight_sections["data"], host)
