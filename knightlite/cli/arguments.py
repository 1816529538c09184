"""Arguments as Knight writes them, rewritten to what click can parse; words for later are refused.

``-is 1 3 48 192`` has as many values as the shape has axes; ``--chip`` may stand anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

import click

from knightlite.cli.vocabulary import ALIASES, LATER_COMMANDS, SEVERAL, later_word
from knightlite.errors import UnsupportedError

SHAPE_OPTIONS = ("-is", "--input-shapes")
SEVERAL_OPTIONS = ("-qid", "--quantize-input-dtype", "--mean", "--std", "-on", "--output-name")
CHIP_OPTION = "--chip"
END_OF_OPTIONS = "--"
TARGETS = ("onnx",)  # of quant; may follow any option
Shape = tuple[int, ...]


def rewrite(arguments: Sequence[str]) -> list[str]:
    """The arguments as click can parse them; UnsupportedError for what comes later."""
    chips, others = _split_chips(arguments)
    _refuse_later(others)
    command = ALIASES.get(others[0], others[0]) if others else ""
    return [*chips, *join_values(spread(join_shapes(others)), SEVERAL.get(command, ()))]


def _refuse_later(arguments: Sequence[str]) -> None:
    """Asked before click parses, which would stumble over the values of words it does not know."""
    command = ALIASES.get(arguments[0], arguments[0]) if arguments else ""
    if command in LATER_COMMANDS:
        raise UnsupportedError(
            f"Knight's command {command} is not supported yet.", LATER_COMMANDS[command]
        )
    items = list(takewhile(lambda text: text != END_OF_OPTIONS, arguments))
    for item, follows in zip(items, [*items[1:], ""], strict=False):
        option, equals, value = item.partition("=")
        word = later_word(command, option, value if equals else follows)
        if word is not None:
            raise UnsupportedError(
                f"Knight's option {option} is not supported yet: {word.remark}.",
                "leave it out; --help of the command lists its options",
            )


def _split_chips(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Every ``--chip NAME`` in the order given, and all other arguments."""
    chips: list[str] = []
    others: list[str] = []
    items = iter(arguments)
    for item in items:
        if item == END_OF_OPTIONS:
            others += [item, *items]
        elif item == CHIP_OPTION:
            chips += [item, *(value for value in [next(items, None)] if value is not None)]
        elif item.startswith(f"{CHIP_OPTION}="):
            chips.append(item)
        else:
            others.append(item)
    return chips, others


def join_shapes(arguments: Sequence[str]) -> list[str]:
    """``-is 1 3 48 192`` as ``-is 1,3,48,192``, which an option with one value can take."""
    joined: list[str] = []
    items = list(arguments)
    position = 0
    while position < len(items):
        joined.append(items[position])
        position += 1
        if joined[-1] not in SHAPE_OPTIONS:
            continue
        numbers = []
        while position < len(items) and _is_integer(items[position]):
            numbers.append(items[position])
            position += 1
        if numbers:
            joined.append(",".join(numbers))
    return joined


def spread(arguments: Sequence[str]) -> list[str]:
    """``--mean 1 2 3`` as ``--mean 1 --mean 2 --mean 3``: one option takes one value."""
    found: list[str] = []
    items = list(arguments)
    position = 0
    while position < len(items):
        option = items[position]
        if option == END_OF_OPTIONS:
            return found + items[position:]
        found.append(option)
        position += 1
        if option not in SEVERAL_OPTIONS:
            continue
        count = 0
        while position < len(items) and _belongs(items[position], count):
            found += [items[position]] if count == 0 else [option, items[position]]
            position, count = position + 1, count + 1
    return found


def _belongs(text: str, count: int) -> bool:
    """True for a value, the first of which may be called like a target."""
    if text.startswith("-"):
        return text[1:].replace(".", "").replace("e-", "").isdigit()
    return count == 0 or text not in TARGETS


def join_values(arguments: Sequence[str], several: Sequence[str]) -> list[str]:
    """``-qm kl mse`` as ``-qm kl,mse`` for the options ``several``.

    What follows belongs to the value while it is of the same kind, a number or a word. ``several``:
    short and long name in turn; an option that is given again replaces what it had.
    """
    joined: list[str] = []
    places: dict[int, int] = {}
    items = list(arguments)
    while items:
        item = items.pop(0)
        joined.append(item)
        if item == END_OF_OPTIONS:
            return [*joined, *items]
        if item not in several or not items:
            continue
        values = [items.pop(0)]
        while items and not items[0].startswith("-") and items[0] not in TARGETS:
            if _is_integer(items[0]) != _is_integer(values[0]):
                break
            values.append(items.pop(0))
        number = several.index(item) // 2
        if number in places:
            joined[places[number]] = ",".join(values)
            joined.pop()
        else:
            places[number] = len(joined)
            joined.append(",".join(values))
    return joined


def _is_integer(text: str) -> bool:
    return text.removeprefix("-").isdigit()


def fact(text: str) -> tuple[str, int]:
    """``clock_hz=800e6`` or ``clock_hz=800_000_000``: a fact of a chip and a whole number."""
    name, sign, value = text.partition("=")
    try:
        number = float(value)
        whole = int(value) if value.replace("_", "").isdigit() else int(number)
        if not sign or whole != number:
            raise ValueError(value)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{text} must be a fact of a chip and a whole number, such as clock_hz=800_000_000."
        ) from None
    return name, whole


def shape(text: str) -> Shape:
    """A shape: integers separated by commas, spaces or x."""
    try:
        return tuple(int(item) for item in text.replace("x", ",").replace(" ", ",").split(","))
    except ValueError:
        raise click.BadParameter(f"{text} must be integers such as 1,3,48,192.") from None
