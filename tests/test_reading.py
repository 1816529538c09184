"""Files and texts at their limits: what has just as much is read, what has one more is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from knightlite import limits
from knightlite.reading import json_value, read_bytes, read_part, read_text, toml_table

DEPTH, BITS = limits.TEXT_DEPTH, limits.WHOLE_BITS


@pytest.mark.parametrize("read", [read_bytes, read_text])
def test_a_file_of_the_limit_is_read_and_no_larger_one(
    tmp_path: Path, read: Callable[[Path, int], bytes | str]
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 9)
    assert len(read(path, 9)) == 9
    with pytest.raises(OSError, match="it has 9 bytes, and at most 8 are read"):
        read(path, 8)


@pytest.mark.parametrize("read", [read_bytes, read_text])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_regular_file_is_refused_at_once(
    tmp_path: Path, make: Callable[[Path], None], read: Callable[[Path], bytes | str]
) -> None:
    make(tmp_path / "a")
    with pytest.raises(OSError, match=r"regular file|directory"):
        read(tmp_path / "a")


@pytest.mark.parametrize(
    ("offset", "length", "wanted"),
    [(0, 9, b"012345678"), (3, 2, b"34"), (7, 9, b"78"), (9, 1, b""), (20, 1, b""), (2, -1, b"")],
)
def test_a_part_ends_with_the_file(tmp_path: Path, offset: int, length: int, wanted: bytes) -> None:
    (tmp_path / "a").write_bytes(b"012345678")
    assert read_part(tmp_path / "a", offset, length) == wanted


def test_every_end_of_a_line_is_one(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes("ä\rb\r\nc\n\r\nd".encode())
    assert read_text(tmp_path / "a") == "ä\nb\nc\n\nd"


def nested(depth: int, inner: str = "1") -> str:
    return "[" * depth + inner + "]" * depth


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (json_value, nested),
        (json_value, lambda depth: '{"a":' * depth + "1" + "}" * depth),
        (toml_table, lambda depth: f"a = {nested(depth - 1)}"),  # in the table that it is
        (toml_table, lambda depth: f"[{'.'.join('a' * (depth - 1))}]\nb = 1"),
    ],
)
def test_as_deep_as_is_said(read: Callable[[str], Any], text: Callable[[int], str]) -> None:
    read(text(DEPTH))
    with pytest.raises(ValueError, match=f"^objects and lists are nested more than {DEPTH} deep$"):
        read(text(DEPTH + 1))


@pytest.mark.parametrize(
    ("read", "text"),
    [(json_value, "[{}]"), (json_value, '{{"a": {}}}'), (toml_table, "a = [{}]")],
)
@pytest.mark.parametrize("sign", ["", "-"])
def test_as_wide_as_is_said(read: Callable[[str], Any], text: str, sign: str) -> None:
    widest = (1 << BITS) - 1
    assert f"{sign}{widest}" in str(read(text.format(f"{sign}{widest}")))
    with pytest.raises(ValueError, match=f"^a whole number has more than {BITS} bits$"):
        read(text.format(f"{sign}{widest + 1}"))


@pytest.mark.parametrize(
    ("read", "name", "text"), [(json_value, "TEXT_BYTES", "[1]"), (toml_table, "TOML_BYTES", "a=1")]
)
def test_as_long_as_is_said(
    read: Callable[[str], Any], name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, name, 3)
    assert str(read(text)) in ("[1]", "{'a': 1}")
    with pytest.raises(ValueError, match=r"^it has more than 3 letters$"):
        read(text + " ")


def test_bytes_are_utf_8() -> None:
    assert json_value(json.dumps("ä", ensure_ascii=False).encode()) == "ä"
    with pytest.raises(UnicodeDecodeError):
        json_value(b'"\xff"')
