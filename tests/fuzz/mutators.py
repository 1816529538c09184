"""Structure-aware mutations: what a format says of its own bytes is repaired: readers go on.

Every mutator takes sound bytes and a seeded generator and gives other bytes. Lengths of protobuf
messages, checksums of compiled files and of PNG chunks, and the syntax of JSON are put right again.
"""

from __future__ import annotations

import copy
import io
import json
import random
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from knightlite.container import (
    CFG_MAGIC,
    MODEL_MAGIC,
    WEIGHT_MAGIC,
    Description,
    decode_model,
    encode_model,
    encode_program,
    paired,
    read_sections,
)
from knightlite.container.sections import write_sections
from knightlite.json_records import canonical_json, decode, to_json

Mutate = Callable[[bytes, random.Random], bytes]

NUMBERS = (0, 1, 2, 3, 7, 8, 127, 128, 255, 256, 1 << 15, 1 << 16, (1 << 31) - 1, 1 << 31, 1 << 32,
           (1 << 63) - 1, 1 << 63, (1 << 64) - 1)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 0.5, 1e308, -1e-320, 1 << 31, 1 << 63, -(1 << 70), "", "a",
    "\x1b[31m",
    "\u00b2", "\ud83d\ude00", "../x", "a" * 300, [], {}, [[]], {"": 0}, [0] * 300,
)  # fmt: skip
TOML_WORDS = (
    "[[[]]]", "{a = 1}", "1e400", "-0", "nan", "0x1F", "1979-05-27", '"""x"""', "''",
)  # fmt: skip
WORDS = (b"", b"x", b"..", b"../x", b"/", b"a" * 300, b"\0", b"\xff", b"\x1b[31m", b"-1", b"9" * 30,
         "\u00b2".encode(), b"{}", b"[[[[")  # fmt: skip
DEEPEST = 12  # messages within messages that are taken apart


def raw(data: bytes, rng: random.Random) -> bytes:
    """Flipped bits, a cut, a repeated, removed or overwritten piece; any format."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        at = rng.randrange(len(found) + 1)
        size = rng.choice((1, 2, 4, 8, 64))
        match rng.randrange(6):
            case 0 | 1 if at < len(found):
                found[at] ^= 1 << rng.randrange(8)
            case 2:
                found[at : at + size] = rng.choice(NUMBERS).to_bytes(8, "little")[: min(size, 8)]
            case 3:
                del found[at : at + size]
            case 4:
                found[at:at] = found[at : at + size]
            case 5 if rng.random() < 0.2:
                del found[at:]
    return bytes(found)


# ------------------------------------------------------------------ protobuf

Field = tuple[int, int, Any]  # number, wire type, value: an int or bytes


def protobuf(data: bytes, rng: random.Random) -> bytes:
    """One field of a message, or of one within it, changed, doubled, left out or moved."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        data = _changed(data, rng, DEEPEST) or raw(data, rng)
    return data


def _changed(data: bytes, rng: random.Random, depth: int) -> bytes | None:
    """Down a random path, then one change; None where the bytes are no message.

    Only messages on that path are taken apart.
    """
    fields = _fields(data)
    if not fields:
        return None
    at = rng.randrange(len(fields))
    number, wire, value = fields[at]
    inner = None
    if wire == 2 and depth and 1 < len(value) < 100_000 and rng.random() >= 0.15:
        inner = _changed(value, rng, depth - 1)
    if inner is None:
        _change(fields, at, rng)
    else:
        fields[at] = (number, wire, inner)
    return _joined(fields)


def _fields(data: bytes) -> list[Field] | None:
    """The fields of a message; None where the bytes are none."""
    found: list[Field] = []
    at = 0
    try:
        while at < len(data):
            key, at = _varint(data, at)
            number, wire = key >> 3, key & 7
            if not number:
                return None
            if wire == 0:
                value, at = _varint(data, at)
                found.append((number, wire, value))
                continue
            if wire in (1, 5):
                size = 8 if wire == 1 else 4
            elif wire == 2:
                size, at = _varint(data, at)
                if at + size > len(data):
                    return None
            else:
                return None
            found.append((number, wire, data[at : at + size]))
            at += size
    except IndexError:
        return None
    return found if at == len(data) else None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _written(value: int) -> bytes:
    value &= (1 << 64) - 1
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def _joined(fields: list[Field]) -> bytes:
    found = bytearray()
    for number, wire, value in fields:
        found += _written(number << 3 | wire)
        if wire == 0:
            found += _written(value)
        else:
            found += (_written(len(value)) if wire == 2 else b"") + value
    return bytes(found)


def _change(fields: list[Field], at: int, rng: random.Random) -> None:
    number, wire, value = fields[at]
    match rng.randrange(8):
        case 0:
            del fields[at]
            if not fields:
                fields.append((number, wire, value))
        case 1:
            fields.insert(rng.randrange(len(fields) + 1), (number, wire, value))
        case 2:
            other = rng.randrange(len(fields))
            fields[at], fields[other] = fields[other], fields[at]
        case 3:
            fields[at] = (rng.randrange(1, 32), wire, value)
        case _ if wire == 0:
            fields[at] = (number, wire, rng.choice((*NUMBERS, value + 1, max(0, value - 1))))
        case _ if wire != 2:
            fields[at] = (number, wire, rng.randbytes(len(value)))
        case 4 if inner := _fields(value):  # a message with its last fields left out
            fields[at] = (number, wire, _joined(inner[: rng.randrange(len(inner) + 1)]))
        case 5:
            fields[at] = (number, wire, rng.choice(WORDS))
        case _:
            fields[at] = (number, wire, raw(value, rng))


# ------------------------------------------------------------------ text


def json_text(data: bytes, rng: random.Random) -> bytes:
    """A value of a JSON text replaced, left out, doubled or put into another one."""
    value = [json.loads(data)]
    for _ in range(rng.choice((1, 1, 2, 4))):
        places = _places(value)
        holder, key = rng.choice(places)
        match rng.randrange(5):
            case 0:
                holder[key] = [[holder[key]]] if rng.random() < 0.5 else {"a": holder[key]}
            case 1:
                other, name = rng.choice(places)
                holder[key] = copy.deepcopy(other[name])
            case 2 if isinstance(holder, dict):
                holder[rng.choice(("", "a", "version", str(key) * 2))] = holder.pop(key)
            case _:
                holder[key] = copy.deepcopy(rng.choice(VALUES))
    return json.dumps(value[0], ensure_ascii=rng.random() < 0.5).encode("utf-8", "replace")


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every value in lists and objects: what holds it, and where."""
    found: list[tuple[Any, Any]] = []
    holders = [value]
    while holders:
        holder = holders.pop()
        if isinstance(holder, dict):
            found += [(holder, key) for key in holder]
            holders += [item for item in holder.values() if isinstance(item, (dict, list))]
        else:
            found += [(holder, index) for index in range(len(holder))]
            holders += [item for item in holder if isinstance(item, (dict, list))]
    return found


def toml_text(data: bytes, rng: random.Random) -> bytes:
    """A line of a TOML text with another value, left out, doubled or moved."""
    lines = data.decode("utf-8").splitlines()
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(lines))
        name = lines[at].partition("=")[0]
        match rng.randrange(5):
            case 0 if len(lines) > 1:
                del lines[at]
            case 1:
                lines.insert(rng.randrange(len(lines)), lines[at])
            case 2:
                return raw(data, rng)
            case _:
                value = rng.choice((*TOML_WORDS, *map(json.dumps, VALUES)))
                lines[at] = f"{name}= {value}"
    return "\n".join(lines).encode("utf-8", "replace")


NUMERALS = (
    b"0x100", b"0xfg", b"-1", b"256", b"1e3", b"9" * 5000, b"0b1", b"'a'", b'"x"', b"010", b"{",
    b"}", b"};", b"/*", b"*/", b"//", b"#if 0\n", b"\\\n", b"\xff", "\u0661".encode(), b"{{",
)  # fmt: skip


def c_array(data: bytes, rng: random.Random) -> bytes:
    """A word of a C array with another one, left out, doubled, or one more."""
    words = data.split(b" ")
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(words))
        match rng.randrange(4):
            case 0:
                words[at] = rng.choice(NUMERALS) + b","
            case 1:
                words.insert(at, rng.choice(NUMERALS))
            case 2 if len(words) > 1:
                del words[at]
            case _:
                words.insert(at, words[at])
    return b" ".join(words)


# ------------------------------------------------------------------ files with checksums


def compiled(data: bytes, rng: random.Random) -> bytes:
    """A section of a ``.cfg``, ``.weight`` or ``.tsmodel`` mutated; all checksums are right."""
    magic = next(item for item in (CFG_MAGIC, WEIGHT_MAGIC, MODEL_MAGIC) if data.startswith(item))
    sections = read_sections(magic, data, "seed")
    name = rng.choice(list(sections))
    part = sections[name]
    if rng.random() < 0.05:
        del sections[name]
    elif magic == MODEL_MAGIC:
        sections[name] = compiled(part, rng)
    elif part[:1] == b"{":  # canonical, or it is refused for that alone
        changed = json.loads(json_text(part, rng))
        text = json.dumps(changed, sort_keys=True, separators=(",", ":"))
        sections[name] = text.encode("ascii")
    else:
        sections[name] = raw(part, rng)
    return write_sections(magic, sections)


def program(data: bytes, rng: random.Random) -> bytes:
    """A ``.tsmodel`` whose program is another, with the identity of that one: what runs is reached.

    Of its description, instructions, constants or host model one is mutated.
    """
    found = decode_model(data, "seed")
    match rng.randrange(8):
        case 0 | 1 | 2:
            text = json_text(json.dumps(to_json(found.meta)).encode(), rng)
            found = replace(found, meta=decode(Description, canonical_json(json.loads(text)), ""))
        case 3 if found.host:
            found = replace(found, host=protobuf(found.host, rng))
        case 4:
            found = replace(found, data=raw(found.data, rng)[: len(found.data)])
        case 5:
            found = replace(found, code=raw(found.code, rng))
        case _:
            code = bytearray(found.code)
            for _ in range(rng.choice((1, 1, 2, 4))):
                at = rng.randrange(len(code))
                code[at] = rng.choice((code[at] ^ 1 << rng.randrange(8), rng.randrange(256)))
            found = replace(found, code=bytes(code))
    return encode_model(*encode_program(paired(found)))


def png(data: bytes, rng: random.Random) -> bytes:
    """A chunk of a PNG changed, doubled, left out or moved; its CRC is right."""
    chunks = []
    at = 8
    while at + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    at = rng.randrange(len(chunks))
    kind, content = chunks[at]
    match rng.randrange(6):
        case 0:
            del chunks[at]
        case 1:
            chunks.insert(rng.randrange(len(chunks)), chunks[at])
        case 2:
            chunks[at] = (
                rng.choice((b"tEXt", b"iCCP", b"PLTE", b"tRNS", b"acTL", b"fdAT")),
                content,
            )
        case 3 if kind == b"IDAT":
            packed = zlib.compress(raw(zlib.decompress(content), rng))
            chunks[at] = (kind, packed)
        case _:
            chunks[at] = (kind, raw(content, rng))
    made = bytearray(data[:8])
    for kind, content in chunks:
        made += struct.pack(">I", len(content)) + kind + content
        made += struct.pack(">I", zlib.crc32(kind + content))
    return bytes(made)


def npy(data: bytes, rng: random.Random) -> bytes:
    """The header of a ``.npy`` with other fields, of the length that it says."""
    if rng.random() < 0.3:
        return raw(data, rng)
    (length,) = struct.unpack_from("<H", data, 8)
    header = data[10 : 10 + length].decode("latin-1")
    words = ("'<f4'", "'<f8'", "'|O'", "'<U9'", "'|V4'", "()", "(1,)", "(-1,)", "(1<<40,)", "((((",
             "{}", "True", "0", "99999999999999999999", "lambda: 0",
             "'<M8[ns]'", "'>i2'", "1e9")  # fmt: skip
    parts = header.split(" ")
    parts[rng.randrange(len(parts))] = rng.choice(words) + rng.choice(("", ","))
    text = " ".join(parts).encode("latin-1")
    return data[:8] + struct.pack("<H", len(text)) + text + data[10 + length :]


def npz(data: bytes, rng: random.Random) -> bytes:
    """A member of a ``.npz`` changed, left out, doubled or renamed; its checksum is right."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(item.filename, archive.read(item)) for item in archive.infolist()]
    at = rng.randrange(len(members))
    name, content = members[at]
    match rng.randrange(6):
        case 0 if len(members) > 1:
            del members[at]
        case 1:
            members[at] = (rng.choice(members)[0], content)
        case 2 if name.startswith("notes"):
            values = raw(content[128:], rng)
            members[at] = (name, content[:128] + values)
        case _:
            members[at] = (name, npy(content, rng))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two of one name
        for name, content in members:
            archive.writestr(name, content)
    return stream.getvalue()


STATEMENTS = (
    "raise ValueError('two\\nlines')", "raise KeyError", "raise SystemExit(3)", "raise MemoryError",
    "raise RuntimeError('\\udcff\\x1b[31m')", "import missing", "return None", "return 'a'",
    "return float('nan')", "return []", "executor.forward(None)", "executor.forward()",
    "executor.forward(np.zeros(3))", "executor.forward(np.zeros((0, 3, 8, 8), np.float32))",
    "executor.forward(np.full((1, 3, 8, 8), np.nan, np.float32))", "executor.iteration = 'a'",
    "executor.forward([[1]], 2)", "1 / 0", "yield 1", "def", "print('\\udcff')",
    "import sys; sys.stdout = None", "del np", "    ", "class ValueError(Exception): pass",
    "raise Exception", "import os; os.chdir('/')", "raise GeneratorExit", "import os; os.close(2)",
    "import sys; sys.stdout.close()", "executor = None", "open('x')", "assert False, 'no'",
    "import threading; threading.Thread(target=print).start()", "np.float32 = None",
    "feed(executor)", "raise KnightliteError", "import knightlite.missing", "\x00", "\t",
)  # fmt: skip


def python_text(data: bytes, rng: random.Random) -> bytes:
    """A line of a script left out, doubled or moved, or a statement more."""
    lines = data.decode("utf-8").splitlines()
    for _ in range(rng.choice((1, 1, 2))):
        at = rng.randrange(len(lines))
        match rng.randrange(6):
            case 0:
                del lines[at]
            case 1:
                lines.insert(rng.randrange(len(lines)), lines[at])
            case 2:
                return raw(data, rng)
            case _:
                indent = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
                lines.insert(at, indent + rng.choice(STATEMENTS))
    return "\n".join(lines).encode("utf-8", "replace")
