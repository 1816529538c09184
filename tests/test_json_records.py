"""Records as JSON: what fits comes back, what does not is one sentence, nothing else happens."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knightlite.chip import Chip
from knightlite.container import (
    Constant,
    Description,
    HostOperator,
    QuantizationNotes,
    WeightDescription,
)
from knightlite.errors import FormatError
from knightlite.json_records import (
    AtLeast,
    AtMostCharacters,
    AtMostItems,
    Between,
    Hexadecimal,
    NotEmpty,
    PositiveFloat32,
    PowerOfTwo,
    canonical_json,
    decode,
    encode,
    from_json,
    key,
    parse_json,
    record_form,
    to_json,
)
from knightlite.workspace import Manifest
from record_values import mutations, records

EXAMPLES = {
    Description: 120, WeightDescription: 30, QuantizationNotes: 60, HostOperator: 60, Constant: 60,
    Chip: 60, Manifest: 60,
}  # fmt: skip


@dataclass(frozen=True)
class Part:
    size: Annotated[int, AtLeast(1)] = key("how large")
    text: str | None = key("or none", default=None)
    count: int = key("mostly one", default=1)


@dataclass(frozen=True)
class Whole:
    part: Part | None = key("or nothing", none_as_empty=True)
    parts: Annotated[tuple[Part, ...], AtMostItems(2)] = key("up to two")
    kind: Literal["a", "b", 3] = key("one of them")
    code: Annotated[str, Hexadecimal(4)] = key("a hash")
    short: Annotated[str, AtMostCharacters(3)] = key("a few letters")
    level: Annotated[int, Between(-1, 7)] = key("a number")
    step: Annotated[int, PowerOfTwo()] = key("a power of two")
    scale: Annotated[float, PositiveFloat32()] | Annotated[tuple[float, ...], NotEmpty()] = key("s")
    flag: bool = key("yes or no")
    data: bytes = key("bytes")
    pair: tuple[int, str] = key("two values")
    table: Mapping[str, int | float | tuple[str, ...] | tuple[int, ...]] = key("by name")
    free: Any = key("anything")

    def misfits(self) -> Iterator[tuple[str, str, str]]:
        if len(self.parts) > self.level:
            yield "level", f"at least {len(self.parts)}", str(self.level)


WHOLE = Whole(
    None, (Part(1, "x"), Part(2)), 3, "00ff", "abc", 2, 64, 0.5, True, b"\0\xff", (7, "ü"),
    {"i": 1, "f": 1.0, "t": ("a",), "n": (1, 2), "e": ()}, {"any": [1.5]},
)  # fmt: skip
VALUE: Any = {
    "part": {}, "parts": [{"size": 1, "text": "x"}, {"size": 2}], "kind": 3, "code": "00ff",
    "short": "abc", "level": 2, "step": 64, "scale": 0.5, "flag": True, "data": "AP8=",
    "pair": [7, "ü"], "table": {"i": 1, "f": 1.0, "t": ["a"], "n": [1, 2], "e": []},
    "free": {"any": [1.5]},
}  # fmt: skip


def refusal(value: Any, kind: type = Whole) -> str:
    """What is said of the value, without what every such sentence begins with."""
    with pytest.raises(FormatError) as caught:
        from_json(kind, value, "x.cfg", "try again")
    assert caught.value.hint == "try again"
    before, sentence = caught.value.sentence.split("x.cfg is damaged: ")
    assert not before
    return sentence


def outcome(reader: Callable[[type, Any, str], Any], kind: type, value: Any) -> Any:
    """The record in a value, or the sentence that refuses it; any other error is the test's."""
    try:
        return reader(kind, value, "x.cfg")
    except FormatError as error:
        return error.sentence


# ------------------------------------------------------------------ both ways


def test_a_record_is_its_keys() -> None:
    assert to_json(WHOLE) == VALUE
    assert from_json(Whole, json.loads(json.dumps(VALUE)), "x") == WHOLE
    text = encode(WHOLE, "x")
    assert text == json.dumps(VALUE, sort_keys=True, separators=(",", ":")).encode()
    assert decode(Whole, text, "x") == WHOLE


def test_canonical_json() -> None:
    assert canonical_json({"b": [1.5, "ü"], "a": None}) == b'{"a":null,"b":[1.5,"\\u00fc"]}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"a": float("nan")})


@pytest.mark.parametrize("kind", EXAMPLES, ids=lambda kind: kind.__name__)
def test_round_trip(kind: type) -> None:
    @settings(max_examples=EXAMPLES[kind] // 4, deadline=None)
    @given(records(kind))
    def check(record: Any) -> None:
        text = encode(record, "x.cfg")
        found: Any = decode(kind, text, "x.cfg")
        assert found == record
        assert encode(found, "x.cfg") == text

    check()


# ------------------------------------------------------------------ one value changed


@pytest.mark.parametrize("kind", EXAMPLES, ids=lambda kind: kind.__name__)
def test_a_changed_value_is_refused_or_another_record(kind: type) -> None:
    @settings(max_examples=EXAMPLES[kind], deadline=None)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        value = to_json(data.draw(records(kind)))
        changed = data.draw(mutations(value))
        found = outcome(from_json, kind, changed)
        if isinstance(found, str):
            assert found.startswith("x.cfg is damaged: ")
            assert found.isascii()
            assert len(found) < 400
        else:  # what was changed is in the record
            assert canonical_json(to_json(found)) == canonical_json(changed)

    check()


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_changed_bytes_are_refused_or_another_record(data: st.DataObject) -> None:
    text = bytearray(encode(WHOLE, "x"))
    place = data.draw(st.integers(0, len(text) - 1))
    text[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    found = outcome(decode, Whole, bytes(text))
    if isinstance(found, str):
        assert found.startswith("x.cfg is damaged: ")
    else:
        assert encode(found, "x") == bytes(text)


# ------------------------------------------------------------------ sentences


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"flag": 1}, "flag must be true or false, not 1."),
        ({"flag": None}, "flag must be true or false, not null."),
        ({"level": True}, "level must be a whole number from -1 to 7, not true."),
        ({"level": 2.0}, "level must be a whole number from -1 to 7, not 2.0."),
        ({"level": 8}, "level must be a whole number from -1 to 7, not 8."),
        ({"level": -2}, "level must be a whole number from -1 to 7, not -2."),
        ({"level": 1}, "level must be at least 2, not 1."),
        ({"step": 48}, "step must be a whole number that is a power of 2, not 48."),
        ({"step": 0}, "step must be a whole number that is a power of 2, not 0."),
        ({"scale": 1}, "scale must be a floating-point number above 0 that float32 holds or a list "
         "that is not empty, not 1."),
        ({"scale": 0.1}, "scale must be a floating-point number above 0 that float32 holds or a "
         "list that is not empty, not 0.1."),
        ({"scale": float("nan")}, "scale must be a floating-point number above 0 that float32 "
         "holds or a list that is not empty, not NaN."),
        ({"scale": 1e60}, "scale must be a floating-point number above 0 that float32 holds or a "
         "list that is not empty, not 1e+60."),
        ({"scale": []}, "scale must be a floating-point number above 0 that float32 holds or a "
         "list that is not empty, not a list of 0."),
        ({"scale": [1.0, 2]}, "scale[1] must be a floating-point number, not 2."),
        ({"scale": [float("inf")]}, "scale[0] must be a floating-point number, not Infinity."),
        ({"kind": "c"}, "kind must be one of a, b, 3, not \"c\"."),
        ({"kind": 3.0}, "kind must be one of a, b, 3, not 3.0."),
        ({"code": "00FF"}, "code must be a text of 4 hexadecimal digits, not \"00FF\"."),
        ({"code": "00ff\n"}, "code must be a text of 4 hexadecimal digits, not \"00ff\\n\"."),
        ({"short": "abcd"}, "short must be a text of at most 3 characters, not \"abcd\"."),
        ({"short": "\ud800"}, "short must be a text of at most 3 characters, not \"\\ud800\"."),
        ({"data": "AP8"}, "data must be bytes in base64, not \"AP8\"."),
        ({"data": "AP9="}, "data must be bytes in base64, not \"AP9=\"."),  # bits behind the end
        ({"data": "ü" * 80}, "data must be bytes in base64, not \"" + "\\u00fc" * 9 + "\\u...."),
        ({"pair": [1]}, "pair must be a list of 2, not a list of 1."),
        ({"pair": [1, 2]}, "pair[1] must be a text, not 2."),
        ({"pair": [1 << 63, ""]}, "pair[0] must be a whole number, not 9223372036854775808."),
        ({"part": None}, "part must be an object, not null."),
        ({"part": {"size": 0}}, "part.size must be a whole number of at least 1, not 0."),
        ({"part": {"text": "x"}}, "part.size must be a whole number of at least 1, not absent."),
        ({"parts": {}}, "parts must be a list of at most 2 items, not an object of 0."),
        ({"parts": [{}, {}, {}]}, "parts must be a list of at most 2 items, not a list of 3."),
        ({"parts": [{"size": 1, "text": 5}]}, "parts[0].text must be a text, not 5."),
        ({"parts": [{"size": 1, "n\nw": [5]}]}, "parts[0].n\\nw must be absent, not a list of 1."),
        ({"free": {"a": [1, float("inf")]}}, "free must be JSON of finite numbers and UTF-8 texts, "
         "not an object of 1."),
        ({"free": {"\ud800": 1}}, "free must be JSON of finite numbers and UTF-8 texts, not an "
         "object of 1."),
        ({"new": 5}, "new must be absent, not 5."),
        ({"part": {"size": 1, "count": 1}}, "part.count must be absent, not 1."),
        ({"part": {"size": 1, "text": None}}, "part.text must be a text, not null."),
        ({"table": {"x": [1, "a"]}}, "table.x must be a whole number or a floating-point number or "
         "a list, not a list of 2."),
        ({"table": {"\udc00": 1}}, "table must be a text, not \"\\udc00\"."),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(changed: dict[str, Any], sentence: str) -> None:
    assert refusal({**VALUE, **changed}) == sentence


def test_a_key_that_is_missing() -> None:
    for name in VALUE:
        sentence = refusal({other: VALUE[other] for other in VALUE if other != name})
        assert sentence.startswith(f"{name} must be ")
        assert sentence.endswith(", not absent.")


@pytest.mark.parametrize("value", [None, [], 3, "x"])
def test_a_value_that_is_no_object(value: Any) -> None:
    assert refusal(value).startswith("it must be an object, not ")


@pytest.mark.parametrize(
    "text", [b"", b"{", b"\xff", b"[" * 100_000, b'{"a":' + b"9" * 5000 + b"}", b"\xef\xbb\xbf{}"]
)
def test_a_text_that_is_no_json(text: bytes) -> None:
    with pytest.raises(FormatError, match=r"^x\.cfg is damaged: it is not JSON \(.+\)\.$"):
        parse_json(text, "x.cfg")


@pytest.mark.parametrize(
    "text",
    [
        encode(WHOLE, "x").replace(b'"level":2', b'"level": 2'),
        encode(WHOLE, "x").replace(b'"level":2', b'"level":1,"level":2'),
        encode(WHOLE, "x").replace(b"0.5", b"5e-1"),
        encode(WHOLE, "x").replace(b"\\u00fc", "ü".encode()),
    ],
)
def test_another_spelling_is_refused(text: bytes) -> None:
    with pytest.raises(FormatError, match=r"^x\.cfg is damaged: its JSON is not canonical\.$"):
        decode(Whole, text, "x.cfg")


def test_what_could_not_be_read_is_not_written() -> None:
    for wrong in (Part(0), Part(1, 5)):  # type: ignore[arg-type]  # that is the point
        with pytest.raises(FormatError, match=r"^it is damaged: (size|text) must be a "):
            encode(wrong, "it")


def test_types_that_json_cannot_hold_are_a_programming_error() -> None:
    @dataclass(frozen=True)
    class Odd:
        when: complex = key("no")

    @dataclass(frozen=True)
    class Ruled:
        data: Annotated[bytes, NotEmpty()] = key("no")

    for kind, match in ((Odd, "JSON holds no"), (Ruled, "takes no rules such as NotEmpty")):
        with pytest.raises(TypeError, match=match):
            record_form(kind)
