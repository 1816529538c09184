"""JSON schemas of frozen records, from the forms of their fields."""

from __future__ import annotations

from dataclasses import MISSING
from typing import Any

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
    Key,
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
)

KINDS = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def definitions(*kinds: type) -> dict[str, Any]:
    """``$defs`` of record classes and of all records in them, by class name."""
    found: dict[str, Any] = {}
    waiting = [record_form(kind) for kind in kinds]
    while waiting:
        form = waiting.pop(0)
        if form.kind.__name__ not in found:
            found[form.kind.__name__] = _record(form)
            waiting += [part for item in form.keys for part in _records(item.form)]
    return found


def _records(form: Form) -> list[RecordOf]:
    match form:
        case RecordOf():
            return [form]
        case ListOf(item, _) | MapOf(item):
            return _records(item)
        case Items(parts) | Either(parts):
            return [found for part in parts for found in _records(part)]
    return []


def _record(form: RecordOf) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {item.name: _key(item) for item in form.keys},
        "required": [item.name for item in form.keys if item.default is MISSING],
        "additionalProperties": False,
    }


def _key(item: Key) -> dict[str, Any]:
    found = schema_of(item.form)
    if item.none_as_empty:
        found = {"anyOf": [found, {"type": "object", "maxProperties": 0}]}
    return {**found, "description": item.doc} if item.doc else found


def schema_of(form: Form) -> dict[str, Any]:
    """The schema of a form; records stand in ``$defs``."""
    match form:
        case Anything():
            return {}
        case Scalar(kind, rules):
            return {"type": KINDS[kind], **_rules(rules)}
        case OneOf(values):
            return {"enum": list(values)}
        case Binary():
            return {"type": "string", "contentEncoding": "base64"}
        case ListOf(item, rules):
            return {"type": "array", "items": schema_of(item), **_rules(rules)}
        case Items(parts):
            sizes = {"minItems": len(parts), "maxItems": len(parts)}
            return {"type": "array", "prefixItems": [*map(schema_of, parts)], **sizes}
        case MapOf(value):
            return {"type": "object", "additionalProperties": schema_of(value)}
        case Either(parts):
            return {"anyOf": [*map(schema_of, parts)]}
        case RecordOf(kind):
            return {"$ref": f"#/$defs/{kind.__name__}"}


def _rules(rules: tuple[Rule, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for rule in rules:
        match rule:
            case AtLeast(low):
                found["minimum"] = low
            case Between(low, high):
                found |= {"minimum": low, "maximum": high}
            case PositiveFloat32():
                found["exclusiveMinimum"] = 0
            case NotEmpty():
                found["minItems"] = 1
            case AtMostItems(count):
                found["maxItems"] = count
            case AtMostCharacters(count):
                found["maxLength"] = count
            case Hexadecimal(digits):
                found["pattern"] = f"^[0-9a-f]{{{digits}}}$"
            case PowerOfTwo():
                found["enum"] = [1 << n for n in range(63) if 1 << n >= found.get("minimum", 0)]
    return found
