"""Frozen records as JSON: what may stand in a file of ours is said once, by the fields of a record.

A record is a frozen dataclass; its fields, made with :func:`key`, are the keys. The types say what
a value may be: ``str``, ``int``, ``float``, ``bool``, ``None``, ``bytes`` (base64), ``Any``, a
``Literal``, another record, ``tuple[X, ...]``, ``tuple[X, Y]``, ``Mapping[str, X]``, unions, and
``Annotated`` with the rules of ``forms``. What two keys must say together is checked by a method
``misfits`` of the record, which yields (key, what it must be, what it is) for what is wrong.
"""

from knightlite.json_records.codec import (
    LARGEST_WHOLE,
    Misfit,
    canonical_json,
    decode,
    encode,
    from_json,
    key,
    parse_json,
    read,
    shown,
    to_json,
)
from knightlite.json_records.forms import (
    AtLeast,
    AtMostCharacters,
    AtMostItems,
    Between,
    Hexadecimal,
    NotEmpty,
    PositiveFloat32,
    PowerOfTwo,
    record_form,
)

__all__ = [
    "LARGEST_WHOLE",
    "AtLeast",
    "AtMostCharacters",
    "AtMostItems",
    "Between",
    "Hexadecimal",
    "Misfit",
    "NotEmpty",
    "PositiveFloat32",
    "PowerOfTwo",
    "canonical_json",
    "decode",
    "encode",
    "from_json",
    "key",
    "parse_json",
    "read",
    "record_form",
    "shown",
    "to_json",
]
