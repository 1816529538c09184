"""What the types of a record's fields say of JSON values, and how a sentence puts it."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

NOUNS: Mapping[Any, str] = {
    str: "a text",
    int: "a whole number",
    float: "a floating-point number",
    bool: "true or false",
    type(None): "null",
}

# ------------------------------------------------------------------ rules, for Annotated


@dataclass(frozen=True, slots=True)
class AtLeast:
    """Numbers from ``low`` on."""

    low: int


@dataclass(frozen=True, slots=True)
class Between:
    """Numbers from ``low`` to ``high``, both included."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class PowerOfTwo:
    """The whole numbers 1, 2, 4, ..."""


@dataclass(frozen=True, slots=True)
class PositiveFloat32:
    """Numbers above 0 that float32 holds exactly."""


@dataclass(frozen=True, slots=True)
class NotEmpty:
    """Lists of at least one item."""


@dataclass(frozen=True, slots=True)
class AtMostItems:
    """Lists of up to ``count`` items."""

    count: int


@dataclass(frozen=True, slots=True)
class AtMostCharacters:
    """Texts of up to ``count`` characters."""

    count: int


@dataclass(frozen=True, slots=True)
class Hexadecimal:
    """Texts of ``digits`` hexadecimal digits in lower case."""

    digits: int


Rule = (
    AtLeast
    | Between
    | PowerOfTwo
    | PositiveFloat32
    | NotEmpty
    | AtMostItems
    | AtMostCharacters
    | Hexadecimal
)

# ------------------------------------------------------------------ forms


@dataclass(frozen=True, slots=True)
class Anything:
    """Any JSON value; it is kept as it is."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value of one of ``NOUNS``."""

    kind: type
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of some texts or whole numbers."""

    values: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Binary:
    """Bytes, as a text in base64."""


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of any length, all items of one form."""

    item: Form
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class Items:
    """A list of a certain length, each item of its own form."""

    items: tuple[Form, ...]


@dataclass(frozen=True, slots=True)
class MapOf:
    """An object with any keys, all values of one form."""

    value: Form


@dataclass(frozen=True, slots=True)
class Either:
    """The first of several forms that fits."""

    forms: tuple[Form, ...]


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a record; see :func:`knightlite.json_records.key`."""

    name: str
    form: Form
    doc: str
    default: Any  # MISSING: the key must be there
    none_as_empty: bool


@dataclass(frozen=True, slots=True)
class RecordOf:
    """An object with exactly the keys of a record class."""

    kind: type
    keys: tuple[Key, ...]


Form = Anything | Scalar | OneOf | Binary | ListOf | Items | MapOf | Either | RecordOf


_forms: dict[type, RecordOf] = {}  # computed once per class


def record_form(kind: type) -> RecordOf:
    """The form of a record class; TypeError where a field has a type that JSON cannot hold."""
    if kind not in _forms:
        hints = get_type_hints(kind, include_extras=True)
        keys = tuple(_key(item, hints[item.name]) for item in dataclasses.fields(kind))
        _forms[kind] = RecordOf(kind, keys)
    return _forms[kind]


def _key(item: dataclasses.Field[Any], hint: Any) -> Key:
    empty = bool(item.metadata.get("none_as_empty"))
    if empty or item.default is None:  # None is not null then
        (hint,) = (part for part in get_args(hint) if part is not type(None))
    doc = str(item.metadata.get("doc", ""))
    return Key(item.name, form_of(hint), doc, item.default, empty)


def form_of(hint: Any, rules: tuple[Rule, ...] = ()) -> Form:
    """The form of a type; ``rules``: those that ``Annotated`` adds to it. TypeError."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return form_of(arguments[0], (*arguments[1:], *rules))
    if hint in NOUNS:
        return Scalar(hint, rules)
    if origin is tuple and arguments[1:] == (...,):
        return ListOf(form_of(arguments[0]), rules)
    if rules:
        raise TypeError(f"{hint} takes no rules such as {rules[0]}")
    if origin is tuple:
        return Items(tuple(map(form_of, arguments)))
    if hint is Any:
        return Anything()
    if hint is bytes:
        return Binary()
    if origin is Literal:
        return OneOf(arguments)
    if origin is Mapping:
        return MapOf(form_of(arguments[1]))
    if origin in (Union, types.UnionType):
        return Either(tuple(map(form_of, arguments)))
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return record_form(hint)
    raise TypeError(f"JSON holds no {hint}")


# ------------------------------------------------------------------ in words


def words(form: Form) -> str:
    """What a sentence asks for, as in "must be a list that is not empty"."""
    match form:
        case Anything():
            return "JSON of finite numbers and UTF-8 texts"
        case Scalar(kind, rules):
            return " ".join((NOUNS[kind], *map(rule_words, rules)))
        case OneOf((value,)):
            return str(value)
        case OneOf(values):
            return f"one of {', '.join(map(str, values))}"
        case Binary():
            return "bytes in base64"
        case ListOf(_, rules):
            return " ".join(("a list", *map(rule_words, rules)))
        case Items(items):
            return f"a list of {len(items)}"
        case MapOf() | RecordOf():
            return "an object"
        case Either(forms):
            return " or ".join(dict.fromkeys(map(words, forms)))


def rule_words(rule: Rule) -> str:
    """What follows the noun, as in "a whole number of at least 1"."""
    match rule:
        case AtLeast(low):
            return f"of at least {low}"
        case Between(low, high):
            return f"from {low} to {high}"
        case PowerOfTwo():
            return "that is a power of 2"
        case PositiveFloat32():
            return "above 0 that float32 holds"
        case NotEmpty():
            return "that is not empty"
        case AtMostItems(count):
            return f"of at most {count} items"
        case AtMostCharacters(count):
            return f"of at most {count} characters"
        case Hexadecimal(digits):
            return f"of {digits} hexadecimal digits"
