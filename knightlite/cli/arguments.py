"""Arguments as Knight writes them, rewritten to what click can parse; words for later are refused.

``-is 1 3 48 192`` has as many values as the shape has axes; ``--chip`` may stand anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from knightlite.cli.vocabulary import ALIASES, later_word
from knightlite.errors import UnsupportedError
from knightlite.options import options_of
from knightlite.options.commands import RECORDS
from knightlite.options.kinds import Several
from knightlite.options.texts import is_whole

CHIP_OPTION = "--chip"
END_OF_OPTIONS = "--"
TARGETS = ("onnx",)  # of quant; may follow any option
Names = Sequence[tuple[str, ...]]  # the flags of each option


def rewrite(arguments: Sequence[str]) -> list[str]:
    """The arguments as click can parse them; UnsupportedError for what comes later."""
    chips, others = _split_chips(arguments)
    _refuse_later(others)
    shapes, spreading, joined = (
        flags_of(others, kind) for kind in (Several.SHAPE, Several.SPREAD, Several.JOINED)
    )
    return [*chips, *join_values(spread(join_shapes(others, shapes), spreading), joined)]


def flags_of(arguments: Sequence[str], several: Several) -> Names:
    """The flags of the options of a command that take several values in this way."""
    command = command_of(arguments)
    items = options_of(RECORDS[command]).values() if command in RECORDS else ()
    return [item.flags for item in items if item.kind.several is several]


def command_of(arguments: Sequence[str]) -> str:
    """Our name of the command that is called; "" where none is."""
    names = (ALIASES.get(item, item) for item in _before_end(arguments))
    return next((name for name in names if name in RECORDS), "")


def _before_end(arguments: Sequence[str]) -> list[str]:
    return list(takewhile(lambda text: text != END_OF_OPTIONS, arguments))


def _refuse_later(arguments: Sequence[str]) -> None:
    """Asked before click parses, which would stumble over the values of words it does not know."""
    command = command_of(arguments)
    items = _before_end(arguments)
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


def join_shapes(arguments: Sequence[str], shapes: Names) -> list[str]:
    """``-is 1 3 48 192`` as ``-is 1,3,48,192``, which an option with one value can take."""
    flags = {flag for names in shapes for flag in names}
    joined: list[str] = []
    items = list(arguments)
    position = 0
    while position < len(items):
        joined.append(items[position])
        position += 1
        if joined[-1] == END_OF_OPTIONS:
            return joined + items[position:]
        if joined[-1] not in flags:
            continue
        numbers = []
        while position < len(items) and is_whole(items[position]):
            numbers.append(items[position])
            position += 1
        if numbers:
            joined.append(",".join(numbers))
    return joined


def spread(arguments: Sequence[str], spreading: Names) -> list[str]:
    """``--mean 1 2 3`` as ``--mean 1 --mean 2 --mean 3``: one option takes one value."""
    flags = {flag for names in spreading for flag in names}
    found: list[str] = []
    items = list(arguments)
    position = 0
    while position < len(items):
        option = items[position]
        if option == END_OF_OPTIONS:
            return found + items[position:]
        found.append(option)
        position += 1
        if option not in flags:
            continue
        count = 0
        while position < len(items) and _belongs(items[position], count):
            found += [items[position]] if count == 0 else [option, items[position]]
            position, count = position + 1, count + 1
    return found


def _belongs(text: str, count: int) -> bool:
    """True for a value, the first of which may be called like a target."""
    if text.startswith("-"):
        return text[1:].replace(".", "").replace("e-", "").isdecimal()
    return count == 0 or text not in TARGETS


def join_values(arguments: Sequence[str], several: Names) -> list[str]:
    """``-qm kl mse`` as ``-qm kl,mse`` for the options ``several``.

    What follows belongs to the value while it is of the same kind, a number or a word.
    """
    flags = {flag for names in several for flag in names}
    joined: list[str] = []
    items = list(arguments)
    while items:
        item = items.pop(0)
        joined.append(item)
        if item == END_OF_OPTIONS:
            return [*joined, *items]
        if item not in flags or not items:
            continue
        values = [items.pop(0)]
        while items and not items[0].startswith("-") and items[0] not in TARGETS:
            if is_whole(items[0]) != is_whole(values[0]):
                break
            values.append(items.pop(0))
        joined.append(",".join(values))
    return joined
