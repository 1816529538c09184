"""The binary files: sections with names, versions and checksums (docs/formats.md).

Magic (8 bytes), version u32, section count u32, then per section name (16 bytes, zero padded),
offset u64, size u64, SHA-256 (32 bytes); then SHA-256 of everything before it; then the sections.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping

from knightlite.errors import FormatError

VERSION = 11
CFG_MAGIC = b"KLITECFG"
WEIGHT_MAGIC = b"KLITEWGT"
MODEL_MAGIC = b"KLITETSM"
KINDS = {
    CFG_MAGIC: "configuration (.cfg)",
    WEIGHT_MAGIC: "weight (.weight)",
    MODEL_MAGIC: "model (.tsmodel)",
}
REMEDY = "compile the model again"
_ENTRY = struct.Struct("<16sQQ32s")
_HEAD = struct.Struct("<8sII")


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
    if len(data) < _HEAD.size:
        raise FormatError(f"{where} is truncated: {len(data)} bytes.", REMEDY)
    _, version, count = _HEAD.unpack_from(data)
    if version != VERSION:
        raise FormatError(f"{where} has format version {version}, not {VERSION}.", REMEDY)
    end = _HEAD.size + _ENTRY.size * count
    if len(data) < end + 32:
        raise FormatError(f"{where} is truncated: {len(data)} bytes.", REMEDY)
    if hashlib.sha256(data[:end]).digest() != data[end : end + 32]:
        raise FormatError(f"{where} is damaged: its header checksum is wrong.", REMEDY)
    sections = {}
    last = end + 32
    for index in range(count):
        raw, offset, size, digest = _ENTRY.unpack_from(data, _HEAD.size + index * _ENTRY.size)
        name = raw.rstrip(b"\0").decode("ascii", "backslashreplace")
        if name in sections:
            raise FormatError(f"{where} is damaged: it has two sections {name}.", REMEDY)
        if offset != last:
            raise FormatError(
                f"{where} is damaged: section {name} must start at byte {last}, not {offset}.",
                REMEDY,
            )
        if offset + size > len(data):
            have, need = len(data), offset + size
            raise FormatError(f"{where} is truncated: {have} bytes, needs {need}.", REMEDY)
        section = data[offset : offset + size]
        if hashlib.sha256(section).digest() != digest:
            raise FormatError(
                f"{where} is damaged: the checksum of section {name} is wrong.", REMEDY
            )
        sections[name] = section
        last = offset + size
    if last != len(data):
        sentence = f"{where} is damaged: it has {len(data)} bytes, but its sections end at {last}."
        raise FormatError(sentence, REMEDY)
    return sections
