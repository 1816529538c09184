"""Values as the command line and run-config files write them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from knightlite.errors import UsageError

Shape = tuple[int, ...]


def words(texts: Iterable[str]) -> tuple[str, ...]:
    """The words of several values, each once, in order: of ("kl,mse", "kl") kl and mse."""
    found = (word for text in texts for word in text.replace(",", " ").split())
    return tuple(dict.fromkeys(found))


def whole_numbers(texts: Iterable[str]) -> tuple[int, ...]:
    """The same of whole numbers."""
    found = words(texts)
    for word in found:
        if not is_whole(word):
            raise ValueError(f"'{word}' is not a valid integer.")
    return tuple(int(word) for word in found)


def is_whole(text: str) -> bool:
    """Whether a text is a whole number."""
    return text.removeprefix("-").isdecimal()


def numbers(texts: Iterable[str]) -> tuple[float, ...]:
    """The numbers of ``("123.675 116.28 103.53",)``, ``("0.5", "0.5")`` or ``("1,2,3",)``."""
    found = [word for text in texts for word in re.split(r"[\s,\[\]]+", text) if word]
    try:
        return tuple(float(word) for word in found)
    except ValueError:
        raise UsageError(
            "--mean and --std must be numbers such as 123.675 116.28 103.53, not "
            f"{' '.join(found)}."
        ) from None


def shape(text: str) -> Shape:
    """A shape: integers separated by commas, spaces or x, perhaps in brackets."""
    inside = re.sub(r"^\s*([\[(]?)(.*?)[\])]?\s*$", r"\2", text)
    try:
        return tuple(int(item) for item in re.split(r"\s*[\s,x]\s*", inside))
    except ValueError:
        raise ValueError(f"{text} must be integers such as 1,3,48,192.") from None


def span(text: str) -> tuple[int, int]:
    """FIRST:LAST, or one number."""
    first, _, last = text.partition(":")
    try:
        found = int(first), int(last or first)
    except ValueError:
        found = (-1, -1)
    if not 0 <= found[0] <= found[1]:
        raise ValueError(f"{text} must be FIRST:LAST, two numbers from 0 up.")
    return found


def fact(text: str) -> tuple[str, int]:
    """``clock_hz=800e6`` or ``clock_hz=800_000_000``: a fact of a chip and a whole number."""
    name, sign, value = text.partition("=")
    try:
        return name, _whole_number(value if sign else "")
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text} must be a fact of a chip and a whole number, such as clock_hz=800_000_000."
        ) from None


def fact_values(text: str) -> tuple[str, tuple[int, ...]]:
    """``vector_lanes=8,16,32``: a fact of a chip and whole numbers, each once, in order."""
    name, sign, values = text.partition("=")
    try:
        found = [_whole_number(value) for value in (values if sign else "").split(",")]
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text} must be a fact of a chip and whole numbers, such as vector_lanes=8,16,32."
        ) from None
    return name, tuple(dict.fromkeys(found))


def _whole_number(text: str) -> int:
    """A whole number, perhaps with an exponent; ValueError, OverflowError."""
    number = float(text)
    whole = int(text) if text.replace("_", "").isdecimal() else int(number)
    if whole != number:
        raise ValueError(text)
    return whole
