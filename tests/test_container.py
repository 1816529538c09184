"""The binary files: sections round-trip; any damage, truncation or mix-up is one sentence."""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assembled import program, tensor
from knightlite.container import (
    CFG_MAGIC,
    VERSION,
    WEIGHT_MAGIC,
    Program,
    WeightDescription,
    decode_program,
    encode_program,
    pair_digest,
    paired,
    read_sections,
    write_sections,
)
from knightlite.errors import FormatError
from knightlite.json_records import encode

NAMES = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=16)
SMALL = {"meta": b'{"a":1}', "code": bytes(range(40))}
Y = tensor("y", "u8", (3, 1, 2), 1 << 15)
META = program([], inputs=[Y], outputs=[Y], tensors=[Y]).meta


def small_file() -> bytes:
    return write_sections(CFG_MAGIC, SMALL)


def compiled(name: str = "net", code: bytes = b"code", data: bytes = b"data") -> Program:
    meta = replace(META, name=name, constants_bytes=len(data))
    return paired(Program(meta, code, data))


def pair(name: str = "net", code: bytes = b"code", data: bytes = b"data") -> tuple[bytes, bytes]:
    return encode_program(compiled(name, code, data))


# ------------------------------------------------------------------ round trips


@given(st.dictionaries(NAMES, st.binary(max_size=200), max_size=5))
def test_sections_round_trip(sections: dict[str, bytes]) -> None:
    for magic in (CFG_MAGIC, WEIGHT_MAGIC):
        data = write_sections(magic, sections)
        found = read_sections(magic, data, "a file")
        assert list(found.items()) == list(sections.items())
        assert write_sections(magic, found) == data


def test_layout_is_as_documented() -> None:
    """Read with struct alone, from the description in the module's docstring."""
    data = small_file()
    magic, version, count = struct.unpack_from("<8sII", data)
    assert (magic, version, count) == (b"KLITECFG", VERSION, 2)
    end = 16 + 64 * count
    for index, (name, wanted) in enumerate(SMALL.items()):
        raw, offset, size, digest = struct.unpack_from("<16sQQ32s", data, 16 + 64 * index)
        assert raw == name.encode().ljust(16, b"\0")
        assert data[offset : offset + size] == wanted
        assert digest == hashlib.sha256(wanted).digest()
    assert data[end : end + 32] == hashlib.sha256(data[:end]).digest()
    assert len(data) == end + 32 + sum(map(len, SMALL.values()))


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_program_round_trips(code: bytes, data: bytes) -> None:
    written = compiled("net", code, data)
    cfg, weight = encode_program(written)
    found = decode_program(cfg, weight, "x.cfg", "x.weight")
    assert found == written
    assert encode_program(found) == (cfg, weight)


# ------------------------------------------------------------------ damage


def flips() -> Iterator[tuple[int, bytes]]:
    """The small file with every single byte changed, each in three ways."""
    data = small_file()
    for place in range(len(data)):
        for change in (0x01, 0x80, 0xFF):
            damaged = bytearray(data)
            damaged[place] ^= change
            yield place, bytes(damaged)


def test_every_flipped_byte_is_found() -> None:
    seen = set()
    for _, damaged in flips():
        with pytest.raises(FormatError) as caught:
            read_sections(CFG_MAGIC, damaged, "x.cfg")
        assert caught.value.sentence.startswith("x.cfg ")
        seen.add(re.sub(r"\d+", "N", caught.value.sentence))
    assert seen == {
        "x.cfg is not a knightlite configuration (.cfg) file.",
        "x.cfg has format version N, not N.",
        "x.cfg is truncated: N bytes.",
        "x.cfg is damaged: its header checksum is wrong.",
        "x.cfg is damaged: the checksum of section meta is wrong.",
        "x.cfg is damaged: the checksum of section code is wrong.",
    }


def test_every_truncation_is_found() -> None:
    """Within the sections the sentence says up to where the one that is cut goes."""
    data = small_file()
    sizes = [len(section) for section in read_sections(CFG_MAGIC, data, "x.cfg").values()]
    head = len(data) - sum(sizes)
    ends = [head + end for end in accumulate(sizes)]
    for length in range(len(data)):
        with pytest.raises(FormatError) as caught:
            read_sections(CFG_MAGIC, data[:length], "x.cfg")
        if length < 8:
            assert caught.value.sentence == "x.cfg is not a knightlite configuration (.cfg) file."
        else:
            needs = f", needs {next(end for end in ends if end > length)}"
            assert caught.value.sentence == (
                f"x.cfg is truncated: {length} bytes{needs if length >= head else ''}."
            )
            assert caught.value.hint == "compile the model again"


@pytest.mark.parametrize("extra", [b"\0", b"\0" * 4096, small_file()])
def test_bytes_behind_the_end_are_found(extra: bytes) -> None:
    data = small_file()
    with pytest.raises(FormatError) as caught:
        read_sections(CFG_MAGIC, data + extra, "x.cfg")
    assert caught.value.sentence == (
        f"x.cfg is damaged: it has {len(data) + len(extra)} bytes, but its sections end at "
        f"{len(data)}."
    )


def test_every_damage_to_a_pair_is_found() -> None:
    files = pair()
    for which in range(2):
        for place in range(len(files[which])):
            damaged = [bytearray(item) for item in files]
            damaged[which][place] ^= 0x40
            with pytest.raises(FormatError, match=r"^x\.(cfg|weight) "):
                decode_program(bytes(damaged[0]), bytes(damaged[1]), "x.cfg", "x.weight")


# ------------------------------------------------------------------ mix-ups


def test_swapped_files() -> None:
    cfg, weight = pair()
    with pytest.raises(FormatError) as caught:
        decode_program(weight, cfg, "x.weight", "x.cfg")
    assert caught.value.sentence == "x.weight is not a knightlite configuration (.cfg) file."
    assert caught.value.hint == "it is a weight (.weight) file: are the two files swapped?"
    with pytest.raises(FormatError) as caught:
        decode_program(cfg, cfg, "x.cfg", "y.cfg")
    assert caught.value.sentence == "y.cfg is not a knightlite weight (.weight) file."
    assert caught.value.hint == "it is a configuration (.cfg) file: are the two files swapped?"


@pytest.mark.parametrize("data", [b"", b"KLITE", b"GIF89a" * 9, b"\x7fELF" + bytes(200)])
def test_file_of_another_kind(data: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        decode_program(data, pair()[1], "x.cfg", "x.weight")
    assert caught.value.sentence == "x.cfg is not a knightlite configuration (.cfg) file."
    assert caught.value.hint == ""


def test_files_of_two_networks() -> None:
    """Also where only the weights changed, or only the code."""
    one = pair()
    for other in (pair("other", b"other code"), pair(data=b"Data"), pair(code=b"Code")):
        with pytest.raises(FormatError) as caught:
            decode_program(one[0], other[1], "x.cfg", "y.weight")
        name = "other" if other == pair("other", b"other code") else "net"
        assert caught.value.sentence == (
            f"x.cfg (net) and y.weight ({name}) do not belong together."
        )
        assert caught.value.hint == "take both from the same compile run"


def test_newer_version_is_refused() -> None:
    data = bytearray(small_file())
    data[8] = VERSION + 1
    with pytest.raises(FormatError) as caught:
        read_sections(CFG_MAGIC, bytes(data), "x.cfg")
    assert caught.value.sentence == f"x.cfg has format version {VERSION + 1}, not {VERSION}."


@pytest.mark.parametrize("missing", ["meta", "code"])
def test_missing_section_is_refused(missing: str) -> None:
    """A file of ours with sound checksums, but not of this kind of content."""
    cfg, weight = pair()
    sections = read_sections(CFG_MAGIC, cfg, "x.cfg")
    del sections[missing]
    with pytest.raises(FormatError) as caught:
        decode_program(write_sections(CFG_MAGIC, sections), weight, "x.cfg", "x.weight")
    assert caught.value.sentence == f"x.cfg has no section {missing}."


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"pair": "0" * 64}, f"pair must be {compiled().meta.pair}, not {'0' * 64}."),
        ({"constants_bytes": 5}, "constants_bytes must be 4, not 5."),
        ({"constants_bytes": 3}, "constants_bytes must be 4, not 3."),
    ],
)
def test_a_description_of_other_bytes_is_refused(changed: dict[str, Any], sentence: str) -> None:
    """Written it is not, and read it is not, whatever the checksums say."""
    right = compiled()
    wrong = replace(right.meta, **changed)
    if "pair" not in changed:
        wrong = paired(replace(right, meta=wrong)).meta
    with pytest.raises(FormatError) as caught:
        encode_program(replace(right, meta=wrong))
    assert caught.value.sentence == f"the description of net is damaged: {sentence}"
    cfg, weight = (
        write_sections(magic, {"meta": encode(record, "x"), name: data})
        for magic, record, name, data in (
            (CFG_MAGIC, wrong, "code", right.code),
            (WEIGHT_MAGIC, WeightDescription("net", wrong.pair), "data", right.data),
        )
    )
    with pytest.raises(FormatError) as caught:
        decode_program(cfg, weight, "x.cfg", "x.weight")
    assert caught.value.sentence == f"x.cfg is damaged: {sentence}"


@pytest.mark.parametrize("part", ["meta", "code", "data", "host"])
def test_the_identity_covers_every_byte(part: str) -> None:
    """Checksums repaired, the pair kept: whatever was changed, the program is not that one."""
    right = compiled()
    changed: dict[str, Any] = {part: b"kode"}
    if part == "meta":
        changed = {part: replace(right.meta, version="9")}
    wrong = replace(right, **changed)
    assert pair_digest(wrong) != right.meta.pair
    with pytest.raises(FormatError) as caught:
        encode_program(wrong)
    assert caught.value.sentence == (
        f"the description of net is damaged: pair must be {pair_digest(wrong)}, "
        f"not {right.meta.pair}."
    )


@pytest.mark.parametrize(
    ("sections", "sentence"),
    [
        ({"more": b"x"}, 'its sections must be of meta, plan, code, host, not "more".'),
        ({"name": "other"}, 'name must be "net", not "other".'),
    ],
)
def test_what_no_reader_looks_at_is_refused(sections: dict[str, Any], sentence: str) -> None:
    cfg, weight = pair()
    name = "x.cfg"
    if "more" in sections:
        found = read_sections(CFG_MAGIC, cfg, name)
        cfg = write_sections(CFG_MAGIC, {**found, **sections})
    else:
        name, own = "x.weight", compiled().meta.pair
        meta = encode(WeightDescription("other", own), "x")
        weight = write_sections(WEIGHT_MAGIC, {"meta": meta, "data": b"data"})
    with pytest.raises(FormatError) as caught:
        decode_program(cfg, weight, "x.cfg", "x.weight")
    assert caught.value.sentence == f"{name} is damaged: {sentence}"


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        (0, b"meta", "it has two sections meta."),
        (1, 209, "section code must start at byte 183, not 209."),
        (1, 176, "section code must start at byte 183, not 176."),
    ],
)
def test_sections_lie_one_behind_the_other(field: int, value: Any, sentence: str) -> None:
    """Nothing between them that no checksum covers, nothing that is read twice."""
    data = bytearray(small_file())
    entry = struct.Struct("<16sQQ32s")
    fields = list(entry.unpack_from(data, 16 + 64))
    fields[field] = value.ljust(16, b"\0") if field == 0 else value
    entry.pack_into(data, 16 + 64, *fields)
    data[144:176] = hashlib.sha256(data[:144]).digest()
    with pytest.raises(FormatError) as caught:
        read_sections(CFG_MAGIC, bytes(data), "x.cfg")
    assert caught.value.sentence == f"x.cfg is damaged: {sentence}"
