"""Records to JSON and back; what does not fit is refused by name, with what is wanted and found.

Types are exact: ``1`` is not read as 1.0, nor ``true`` as 1, so that no two values of a key mean
the same record. Numbers are finite, whole ones have at most 64 bits, texts can be written as UTF-8.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
import math
import re
import struct
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from knightlite.errors import FormatError
from knightlite.json_records.forms import (
    Anything,
    AtLeast,
    AtMostCharacters,
    AtMostItems,
    Between,
    Binary,
    Either,
    Form,
    Hexadecimal,
    Items,
    ListOf,
    MapOf,
    NotEmpty,
    OneOf,
    PositiveFloat32,
    PowerOfTwo,
    RecordOf,
    Rule,
    Scalar,
    record_form,
    words,
)
from knightlite.reading import json_value

Record = TypeVar("Record")

ABSENT = "absent"
SHOWN = 60  # characters of a wrong value, or of a key
LARGEST_WHOLE = (1 << 63) - 1  # of whole numbers, which have 64 bits with their sign


def key(doc: str, *, none_as_empty: bool = False, **given: Any) -> Any:
    """A field of a record. ``doc``: what the page on the format says of it.

    ``default``: what it is where the key is left out; what equals it is not written.
    ``none_as_empty``: None is written ``{}``, not ``null``.
    """
    return dataclasses.field(metadata={"doc": doc, "none_as_empty": none_as_empty}, **given)


class Misfit(Exception):
    """A value that does not fit: where it stands, and the two ends of the sentence."""

    def __init__(self, path: str, wanted: str, found: str) -> None:
        super().__init__(path, wanted, found)
        self.path, self.wanted, self.found = path, wanted, found


# ------------------------------------------------------------------ writing


def to_json(value: Any) -> Any:
    """A record, or a value in one, as what the ``json`` module writes."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        found = {}
        for item in record_form(type(value)).keys:
            given = getattr(value, item.name)
            if item.default is dataclasses.MISSING or given != item.default:
                found[item.name] = {} if item.none_as_empty and given is None else to_json(given)
        return found
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Mapping):
        return {name: to_json(item) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_json(item) for item in value]
    return value


def canonical_json(value: Any) -> bytes:
    """The one spelling of a JSON value: sorted keys, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def encode(record: Any, where: str, hint: str = "") -> bytes:
    """The canonical JSON of a record; FormatError where :func:`decode` would refuse it."""
    value = to_json(record)
    from_json(type(record), value, where, hint)
    return canonical_json(value)


# ------------------------------------------------------------------ reading


def from_json(kind: type[Record], value: Any, where: str, hint: str = "") -> Record:
    """The record in a JSON value; FormatError says what does not fit, found in ``where``."""
    try:
        found: Record = read(record_form(kind), value, "")
    except Misfit as misfit:
        what = misfit.path or "it"
        sentence = f"{where} is damaged: {what} must be {misfit.wanted}, not {misfit.found}."
        raise FormatError(sentence, hint) from None
    return found


def parse_json(text: str | bytes, where: str, hint: str = "") -> Any:
    """The value of a JSON text; FormatError where it is none."""
    try:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
        return json_value(decoded)
    except ValueError as error:  # ValueError: neither JSON, nor perhaps UTF-8
        raise FormatError(f"{where} is damaged: it is not JSON ({error}).", hint) from None


def decode(kind: type[Record], data: bytes, where: str, hint: str = "") -> Record:
    """The record in canonical JSON; FormatError where it does not fit or is spelled otherwise."""
    value = parse_json(data, where, hint)
    found = from_json(kind, value, where, hint)
    if canonical_json(to_json(found)) != data:
        raise FormatError(f"{where} is damaged: its JSON is not canonical.", hint)
    return found


def read(form: Form, value: Any, path: str) -> Any:
    """A JSON value as a record holds it; Misfit. ``path``: where it stands."""
    if not takes(form, value):
        raise Misfit(path, words(form), shown(value))
    match form:
        case Scalar() | OneOf() | Anything():
            return value
        case Binary():
            return _bytes(value, path)
        case ListOf(item, _):
            return tuple(read(item, part, f"{path}[{at}]") for at, part in enumerate(value))
        case Items(items):
            pairs = enumerate(zip(items, value, strict=True))
            return tuple(read(item, part, f"{path}[{at}]") for at, (item, part) in pairs)
        case MapOf(item):
            within = f"{path}." if path else ""
            return {
                read(Scalar(str), name, path): read(item, part, within + _named(name))
                for name, part in value.items()
            }
        case Either(forms):
            return _either(form, forms, value, path)
        case RecordOf():
            return _record(form, value, path)


def takes(form: Form, value: Any) -> bool:
    """Whether a form fits the outermost part of a value: what is inside a list is not looked at."""
    match form:
        case Anything():
            return _all_sound(value)
        case Scalar(kind, rules):
            return type(value) is kind and _sound(value) and all(_holds(r, value) for r in rules)
        case OneOf(values):
            return type(value) in (str, int) and value in values
        case Binary():
            return type(value) is str
        case ListOf(_, rules):
            return type(value) is list and all(_holds(rule, value) for rule in rules)
        case Items(items):
            return type(value) is list and len(value) == len(items)
        case MapOf() | RecordOf():
            return type(value) is dict
        case Either(forms):
            return any(takes(item, value) for item in forms)


def _sound(value: Any) -> bool:
    if type(value) is str:
        return not any("\ud800" <= letter <= "\udfff" for letter in value)
    if type(value) is int:
        return -LARGEST_WHOLE - 1 <= value <= LARGEST_WHOLE
    return type(value) is not float or math.isfinite(value)


def _all_sound(value: Any) -> bool:
    """Whether all texts and numbers in a JSON value are; it may be nested deeply."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting.extend((*item.keys(), *item.values()))
        elif isinstance(item, list):
            waiting.extend(item)
        elif not _sound(item):
            return False
    return True


def _holds(rule: Rule, value: Any) -> bool:
    match rule:
        case AtLeast(low):
            return bool(value >= low)
        case Between(low, high):
            return bool(low <= value <= high)
        case PowerOfTwo():
            return value > 0 and not value & (value - 1)
        case PositiveFloat32():
            return value > 0 and _is_float32(value)
        case NotEmpty():
            return bool(value)
        case AtMostItems(count) | AtMostCharacters(count):
            return len(value) <= count
        case Hexadecimal(digits):
            return re.fullmatch(f"[0-9a-f]{{{digits}}}", value) is not None


def _is_float32(value: float) -> bool:
    try:
        return bool(struct.unpack("<f", struct.pack("<f", value))[0] == value)
    except OverflowError:
        return False


def _bytes(value: str, path: str) -> bytes:
    try:
        data = base64.b64decode(value, validate=True)
        if base64.b64encode(data).decode("ascii") == value:
            return data
    except (binascii.Error, ValueError):
        pass
    raise Misfit(path, words(Binary()), shown(value))


def _either(form: Form, forms: Iterable[Form], value: Any, path: str) -> Any:
    likely = [item for item in forms if takes(item, value)]
    if len(likely) == 1:  # it knows best what is wrong inside
        return read(likely[0], value, path)
    for item in likely:
        try:
            return read(item, value, path)
        except Misfit:
            continue
    raise Misfit(path, words(form), shown(value))


def _record(form: RecordOf, value: Mapping[str, Any], path: str) -> Any:
    within = f"{path}." if path else ""
    known = {item.name for item in form.keys}
    for name in value:
        if name not in known:
            raise Misfit(within + _named(name), ABSENT, shown(value[name]))
    found: dict[str, Any] = {}
    for item in form.keys:
        where = within + item.name
        if item.name not in value:
            if item.default is dataclasses.MISSING:
                raise Misfit(where, words(item.form), ABSENT)
        elif item.none_as_empty and value[item.name] == {}:
            found[item.name] = None
        else:
            found[item.name] = read(item.form, value[item.name], where)
            if found[item.name] == item.default:  # written it is not
                raise Misfit(where, ABSENT, shown(value[item.name]))
    record = form.kind(**found)
    for name, wanted, have in getattr(record, "misfits", tuple)():
        raise Misfit(within + name, wanted, have)
    return record


def shown(value: Any) -> str:
    """A JSON value in a sentence: ASCII, and short however much it holds."""
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return f"an object of {len(value)}"
    return _cropped(json.dumps(value, default=str))  # str: a date of a TOML file


def _named(name: str) -> str:
    """A key as part of a path."""
    return _cropped(json.dumps(name)[1:-1])


def _cropped(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
