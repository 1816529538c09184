"""JSON and TOML whose nesting and numbers are bounded."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from knightlite import limits
from knightlite.reading.files import read_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TOO_DEEP = f"objects and lists are nested more than {limits.TEXT_DEPTH} deep"
TOO_WIDE = f"a whole number has more than {limits.WHOLE_BITS} bits"


def json_value(text: str | bytes) -> Any:
    """The value of a JSON text (bytes: UTF-8); ValueError where it is none or has no bounds.

    Numbers that a double cannot hold come out infinite, as the ``json`` module has it.
    """
    if len(text) > limits.TEXT_BYTES:
        raise ValueError(f"it has more than {limits.TEXT_BYTES} letters")
    try:
        value = json.loads(text if isinstance(text, str) else text.decode("utf-8"))
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    except ValueError as error:  # Python converts whole numbers of some thousand digits only
        if isinstance(error, (json.JSONDecodeError, UnicodeDecodeError)):
            raise
        raise ValueError(TOO_WIDE) from None
    _require_bounded(value)
    return value


def holds_key(key: str) -> Callable[[Path], bool]:
    """Whether a file is TOML with this key: what tells chips and recipes apart."""

    def holds(path: Path) -> bool:
        try:
            return key in toml_table(read_text(path, limits.TOML_BYTES))
        except (OSError, ValueError):
            return False

    return holds


def toml_table(text: str) -> dict[str, Any]:
    """The table of a TOML text; ValueError where it is none or has no bounds."""
    if len(text) > limits.TOML_BYTES:
        raise ValueError(f"it has more than {limits.TOML_BYTES} letters")
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    except ValueError as error:  # Python converts whole numbers of some thousand digits only
        if isinstance(error, tomllib.TOMLDecodeError):
            raise
        raise ValueError(TOO_WIDE) from None
    _require_bounded(table)
    return table


def _require_bounded(value: Any) -> None:
    """ValueError for a value nested too deeply or a whole number that is too large."""
    widest = 1 << limits.WHOLE_BITS
    level = [value]
    for _ in range(limits.TEXT_DEPTH + 1):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
            elif isinstance(item, int) and not -widest < item < widest:
                raise ValueError(TOO_WIDE)
        if not below:
            return
        level = below
    raise ValueError(TOO_DEEP)
