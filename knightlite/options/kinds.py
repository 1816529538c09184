"""How the values of an option are written: on the command line, in a run-config file, in Python."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from numbers import Integral, Number
from pathlib import Path
from typing import Any

from knightlite.datafiles import script_file
from knightlite.errors import UsageError
from knightlite.options.texts import numbers, shape, whole_numbers, words


class Form(Enum):
    """What one value is to the parser of the command line."""

    TEXT = "text"
    FILE = "file"
    WHOLE = "whole number"
    REAL = "real number"
    SWITCH = "switch"  # there or not, without a value


class Several(Enum):
    """How several values of one option are written on the command line."""

    REPEATED = "--output a --output b"
    SPREAD = "--mean 1 2 3"  # or repeated
    JOINED = "-qm kl mse"  # or with commas; given again, it stands for what was there
    SHAPE = "-is 1 3 48 192"  # one shape; repeated for another


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of values.

    ``words``: the only ones there are. ``low``, ``high``: bounds that belong to it, both inside.
    ``several``: how more than one is written; with ``single`` there is one all the same.
    ``item`` reads one text, ``read`` makes what the record holds of what the parser found (of all
    texts where there are several); both raise ValueError with the end of a sentence. ``write`` is
    the way back, for defaults. ``json``: a run-config file may hold any value. ``python``: the
    type in Python's signature, ``take`` makes what the record holds of an argument, or raises
    TypeError or ValueError for what is not ``wanted``, which sentences say.
    """

    form: Form = Form.TEXT
    words: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    several: Several | None = None
    single: bool = False
    item: Callable[[str], Any] | None = None
    read: Callable[[Any], Any] = _same
    write: Callable[[Any], Any] = _same
    json: bool = False
    shown: bool = True
    python: str = "str"
    take: Callable[[Any], Any] = _same
    wanted: str = "a text"

    @property
    def multiple(self) -> bool:
        """Whether the record holds as many values as there are."""
        return self.several is not None and not self.single

    @property
    def known(self) -> tuple[Any, ...]:
        """The ``words`` as the record holds them."""
        return tuple(self.read(word) for word in self.words)


def whole(low: int | None = None, high: int | None = None) -> Kind:
    """A whole number."""
    return Kind(
        form=Form.WHOLE, low=low, high=high, python="int", take=_whole, wanted="a whole number"
    )


def real(low: float | None = None, high: float | None = None) -> Kind:
    """A real number."""
    return Kind(form=Form.REAL, low=low, high=high, python="float", take=_real, wanted="a number")


def one_of(words: Iterable[str]) -> Kind:
    """One of the words."""
    return Kind(words=tuple(words))


def _named(read: Callable[[str], bool | int], write: Mapping[Any, str], python: str) -> Kind:
    """Values that have names: in Python either is good."""
    values: dict[Any, Any] = {value: value for value in write}
    values |= {text: value for value, text in write.items()}
    return Kind(
        words=tuple(write.values()),
        read=read,
        write=write.__getitem__,
        python=python,
        take=lambda value: values.get(value, value),  # what is none of them is refused by name
    )


def _whole(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError
    return int(value) if isinstance(value, str) else operator.index(value)


def _real(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    return float(value)


def _switch(value: Any) -> bool:
    """Python's own truth would take "off" for true."""
    return SWITCHED[value.lower() if isinstance(value, str) else value]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _texts(values: str | Iterable[str]) -> tuple[str, ...]:
    return tuple(map(_text, _several(values)))


def _several(values: Any) -> tuple[Any, ...]:
    """One text, path or number as well as several."""
    if values is None or (isinstance(values, (list, tuple)) and not values):
        return ()
    return (values,) if isinstance(values, (str, Path, Number)) else tuple(values)


def _counts(values: int | str | Sequence[int]) -> tuple[int, ...]:
    found = whole_numbers((values,)) if isinstance(values, str) else _several(values)
    if not found:
        raise UsageError("iteration must be a number, or several, not an empty list.")
    return tuple(map(_whole, found))


def _numbers(values: float | str | Iterable[float]) -> tuple[float, ...]:
    return numbers((values,)) if isinstance(values, str) else tuple(map(_real, _several(values)))


def shapes_of(values: Iterable[Any]) -> tuple[tuple[int, ...], ...]:
    """Shapes as records hold them: of several, of texts, or of one alone."""
    if isinstance(values, str):
        return (shape(values),)
    found = tuple(values)
    if found and all(isinstance(item, Integral) for item in found):
        found = (found,)
    return tuple(
        shape(item) if isinstance(item, str) else tuple(map(_whole, item)) for item in found
    )


def _json_text(values: str | Sequence[Mapping[str, Any]]) -> str:
    if isinstance(values, str):
        return values
    return json.dumps([dict(item) for item in values]) if values else ""


SWITCHED: Mapping[Any, bool] = {
    **dict.fromkeys((False, "false", "off", "no", "0"), False),
    **dict.fromkeys((True, "true", "on", "yes", "1"), True),
}
TEXT = Kind(take=_text)
FILE = Kind(form=Form.FILE, python="str | Path", take=Path, wanted="a path")
SCRIPT_FILE = Kind(
    form=Form.FILE,
    python="str | Path",
    read=script_file,
    take=lambda path: script_file(Path(path)),
    wanted="a path",
)
NAME = Kind(python="str | Path", take=str)  # of something that ships, or a file
WHOLE, REAL = whole(), real()
SWITCH = Kind(form=Form.SWITCH, python="bool", take=_switch, wanted="True or False")
ON_OFF = _named(lambda text: text == "on", {False: "off", True: "on"}, "bool")
BITS = _named(int, {8: "8", 16: "16"}, "int")
FILES = Kind(
    form=Form.FILE,
    several=Several.SPREAD,
    read=tuple,
    python="Sequence[str | Path]",
    take=lambda paths: tuple(map(Path, _several(paths))),
    wanted="a path, or several",
)
TEXTS = Kind(
    several=Several.SPREAD,
    read=tuple,
    python="Sequence[str]",
    take=_texts,
    wanted="a text, or several",
)
REPEATED = replace(TEXTS, several=Several.REPEATED)
WORDS = Kind(
    several=Several.JOINED,
    read=words,
    python="str | Sequence[str]",
    take=lambda values: words(_texts(values)),
    wanted="a text, or several",
)
COUNTS = Kind(
    several=Several.JOINED,
    read=whole_numbers,
    python="int | Sequence[int]",
    take=_counts,
    wanted="a whole number, or several",
)
NUMBERS = Kind(
    several=Several.SPREAD,
    read=numbers,
    python="Sequence[float]",
    take=_numbers,
    wanted="a number, or several",
)
SHAPES = Kind(
    several=Several.SHAPE,
    item=shape,
    read=tuple,
    python="Sequence[Sequence[int]]",
    take=shapes_of,
    wanted="a shape such as (1, 3, 48, 192), or several",
)
JSON_LIST = Kind(
    json=True,
    python="Sequence[Mapping[str, Any]]",
    take=_json_text,
    wanted="a list of dictionaries",
)
FUNCTION = Kind(python="str | InferFunction")
# one argument of Python for two fields: where pictures lie, or what is in memory
FOLDER = Kind(python="Data", take=lambda data: str(data) if _is_path(data) else None)
ARRAYS = Kind(python="Data", take=lambda data: None if _is_path(data) else data)
BUDGET = Kind(python="str | float", take=str)


def _is_path(value: object) -> bool:
    return isinstance(value, (str, Path))
