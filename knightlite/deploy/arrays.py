"""Bytes as a C array in a header, and back."""

from __future__ import annotations

import re

_BYTES_A_LINE = 16
_DIGITS = [f"0x{value:02x}," for value in range(256)]
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*|^[ \t]*#[^\n]*", re.DOTALL | re.MULTILINE)
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]{1,2}|[0-9]{1,3}")


def array_name(stem: str) -> str:
    """What the array of a file is called: letters, digits and underscores of its name."""
    found = re.sub("[^0-9A-Za-z]+", "_", stem).strip("_")
    return f"data_{found}" if not found or found[0].isdigit() else found


def c_array(name: str, data: bytes) -> str:
    """A header with ``static const unsigned char NAME[]``, at a multiple of 64 bytes."""
    lines = [
        "    " + " ".join(map(_DIGITS.__getitem__, data[at : at + _BYTES_A_LINE]))
        for at in range(0, len(data), _BYTES_A_LINE)
    ]
    body = "\n".join(lines) or "    0x00, /* there are no arrays without elements */"
    return (
        f"/* {len(data)} bytes */\n"
        "#if defined(__GNUC__)\n__attribute__((aligned(64)))\n#endif\n"
        f"static const unsigned char {name}[{max(1, len(data))}] = {{\n{body}\n}};\n"
    )


def from_c_array(text: str) -> bytes:
    """The bytes of a C array, or of numbers with commas alone; ValueError for anything else."""
    plain = _COMMENT.sub("", text)
    _, brace, rest = plain.partition("{")
    body, closed, _ = (rest if brace else plain).partition("}")
    if brace and not closed:
        raise ValueError("its array is not closed")
    values = []
    for word in filter(None, (word.strip() for word in re.split(r"[,\s]+", body))):
        if not _NUMBER.fullmatch(word) or int(word, 0 if word[:2] in ("0x", "0X") else 10) > 255:
            shown = word if len(word) <= 20 else f"{word[:17]}..."
            raise ValueError(f"{shown} is no number from 0 to 255")
        values.append(int(word, 0 if word[:2] in ("0x", "0X") else 10))
    if not values:
        raise ValueError("it has no numbers")
    return bytes(values)
