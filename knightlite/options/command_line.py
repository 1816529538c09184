"""What to type for what a record asks for: hints name commands that run as they stand."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator
from typing import Any, TypeVar

from knightlite.options.fields import Option, options_of
from knightlite.options.kinds import Form, Several

Record = TypeVar("Record")


def command_line(word: str, asked: Any, **changed: Any) -> str:
    """The command ``word`` with all that the record asks for, but for what is ``changed``."""
    record = dataclasses.replace(asked, **changed)
    return shlex.join(["knightlite", word, *option_words(record)])


def option_words(asked: Any, without: frozenset[str] = frozenset()) -> list[str]:
    """The options of a record that are not the defaults, as typed; arrays and functions are not.

    ``without``: fields that are left out.
    """
    return [
        word
        for name, item in options_of(type(asked)).items()
        if name not in without and item.default != getattr(asked, name)
        for word in _typed(item, getattr(asked, name))
    ]


def alike(record: type[Record], asked: Any) -> Record:
    """Another command's record, with what ``asked`` says of the fields that both have."""
    both = options_of(record).keys() & options_of(type(asked)).keys() - {"as_json"}
    return record(**{name: getattr(asked, name) for name in both})


def _typed(item: Option, value: Any) -> Iterator[str]:
    if (not item.flags and not item.position and item.name != "chip") or callable(value):
        return
    flags = [] if item.position else [item.flags[0] if item.flags else "--chip"]
    kind = item.kind
    if kind.form is Form.SWITCH:
        yield from flags if value else ()
    elif kind.several is Several.SHAPE:
        for sizes in value:
            yield from (*flags, *map(str, sizes))
    elif not kind.multiple:
        yield from (*flags, str(kind.write(value)))
    elif kind.several is Several.REPEATED:
        for text in value:
            yield from (*flags, str(text))
    elif value:
        yield from (*flags, *map(str, value))
