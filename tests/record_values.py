"""Random records for hypothesis, made from the forms of their fields; and a value gone wrong."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, get_args

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from knightlite.chip_files import families
from knightlite.container import (
    Constant,
    Description,
    HostOperator,
    Layer,
    LowerBound,
    Made,
    Once,
    Region,
    RegionNote,
    ScheduleNotes,
    StoredTensor,
    constant,
)
from knightlite.container.description import IntegerType
from knightlite.json_records import record_form
from knightlite.json_records.forms import (
    Anything,
    AtLeast,
    AtMostCharacters,
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
)

NAMES = st.text(min_size=1, max_size=4)
WHOLE = st.integers(-(1 << 63), (1 << 63) - 1)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@cache  # a strategy that is kept is not validated anew in every draw
def records(kind: type) -> SearchStrategy[Any]:
    """Random records of a class, those of ``COMPOSED`` without contradictions."""
    if kind in COMPOSED:
        return COMPOSED[kind]()
    given = {}
    for item in record_form(kind).keys:
        given[item.name] = values(item.form)
        if item.none_as_empty:
            given[item.name] |= st.none()
        if item.default is not dataclasses.MISSING:
            given[item.name] |= st.just(item.default)
    return st.builds(kind, **given)


@cache
def values(form: Form) -> SearchStrategy[Any]:
    """Random values of a form, as records hold them."""
    match form:
        case Anything():
            return NAMES | WHOLE | st.none() | st.lists(st.booleans(), max_size=2)
        case OneOf(choices):
            return st.sampled_from(choices)
        case Binary():
            return st.binary(max_size=8)
        case ListOf(item, rules):
            least = int(NotEmpty() in rules)
            return st.lists(values(item), min_size=least, max_size=3).map(tuple)
        case Items(items):
            return st.tuples(*map(values, items))
        case MapOf(item):
            return st.dictionaries(NAMES, values(item), max_size=2)
        case Either(forms):
            return st.one_of(*map(values, forms))
        case RecordOf(kind):
            return records(kind)
        case Scalar(kind, rules):
            return _scalars(kind, rules)


def _scalars(kind: type, rules: tuple[Rule, ...]) -> SearchStrategy[Any]:
    match rules:
        case (Hexadecimal(digits),):
            return st.text("0123456789abcdef", min_size=digits, max_size=digits)
        case (AtMostCharacters(count),):
            return st.text(max_size=count)
        case (PositiveFloat32(),):
            least = float(np.finfo(np.float32).tiny)
            return st.floats(least, width=32, allow_infinity=False)
        case (AtLeast(low), PowerOfTwo()):
            return st.integers(math.ceil(math.log2(low)), 62).map(lambda power: 1 << power)
        case (AtLeast(low),):
            return st.integers(low, (1 << 63) - 1)
        case (Between(low, high),):
            return st.integers(low, high)
        case () if kind is float:
            return st.floats(allow_nan=False, allow_infinity=False)
        case ():
            return {str: NAMES, int: WHOLE, bool: st.booleans(), type(None): st.none()}[kind]
    raise AssertionError(f"no strategy for {kind} with {rules}")


@st.composite
def stored_tensors(draw: DrawFn) -> StoredTensor:
    """A tensor whose strides leave room."""
    channels, height, width = (draw(st.integers(1, 5)) for _ in range(3))
    kind: IntegerType = draw(st.sampled_from(get_args(IntegerType)))
    scales = values(Scalar(float, (PositiveFloat32(),)))
    scale = draw(scales | st.lists(scales, min_size=channels, max_size=channels).map(tuple))
    column_stride = channels * (2 if kind == "s16" else 1) + draw(st.integers(0, 3))
    row_stride = width * column_stride + draw(st.integers(0, 3))
    first = draw(st.integers(-1, 9))
    ready = first if first < 0 else draw(st.integers(first, 9))
    return StoredTensor(
        draw(NAMES), (1, channels, height, width), kind, scale, draw(st.integers(0, 1 << 20)),
        row_stride, column_stride, first, ready,
    )  # fmt: skip


@st.composite
def constants(draw: DrawFn) -> Constant:
    """An array of any type and shape, also without elements."""
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    kinds = next(item.form for item in record_form(Constant).keys if item.name == "type")
    return constant(np.ones(shape, np.dtype(draw(values(kinds)))))


@st.composite
def any_host_operators(draw: DrawFn) -> HostOperator:
    """An operator that tells of all that it makes, or of nothing."""
    keys = record_form(HostOperator).keys
    made: HostOperator = draw(
        st.builds(HostOperator, **{item.name: values(item.form) for item in keys})
    )
    count = len(made.outputs) * draw(st.integers(0, 1))
    told = draw(st.lists(records(Made), min_size=count, max_size=count))
    return dataclasses.replace(made, makes=tuple(told))


@st.composite
def host_operators(draw: DrawFn, known: list[str]) -> HostOperator:
    """An operator that reads what is known; what it computes is known then."""
    made = draw(any_host_operators())
    sources = st.sampled_from(["", *known, *made.constants])
    taken = {"", *known, *made.constants}
    new = tuple(dict.fromkeys(name for name in made.outputs if name not in taken))
    outputs = new or (max(taken, key=len) + "+",)
    known.extend(outputs)
    inputs = tuple(draw(st.lists(sources, min_size=1, max_size=3)))
    makes = made.makes if len(made.makes) == len(outputs) else ()
    return dataclasses.replace(made, inputs=inputs, outputs=outputs, makes=makes)


@st.composite
def descriptions(draw: DrawFn) -> Description:
    """A program whose parts fit together."""
    given = {item.name: item.form for item in record_form(Description).keys}
    tensors = draw(st.lists(stored_tensors(), min_size=1, max_size=3, unique_by=lambda t: t.name))
    tensors[0] = dataclasses.replace(tensors[0], first=-1, ready=-1)  # the input
    chosen = st.lists(st.sampled_from(tensors), min_size=1, max_size=2, unique_by=lambda t: t.name)
    outputs = tuple(draw(chosen))
    known = [tensor.name for tensor in outputs]
    host = tuple(draw(host_operators(known)) for _ in range(draw(st.integers(0, 2))))
    layers = tuple(draw(st.lists(records(Layer), max_size=2)))
    ddr_bytes = max(tensor.end for tensor in tensors) + draw(st.integers(0, 9))
    constants_bytes = draw(st.integers(0, ddr_bytes))
    regions: tuple[Region, ...] = ()
    if len(outputs) == 1 and draw(st.booleans()):  # it lies outside the network's memory
        moved = dataclasses.replace(outputs[0], address=ddr_bytes)
        regions = (Region("outputs", ddr_bytes, moved.end - ddr_bytes),)
        tensors = [moved if item is outputs[0] else item for item in tensors]
        outputs, ddr_bytes = (moved,), moved.end
    free: dict[str, Any] = {
        name: None if name == "quantization" and draw(st.booleans()) else draw(values(given[name]))
        for name in (
            "name", "version", "pair", "chip", "chip_family", "chip_digest", "model_sha256",
            "quantization", "recipe", "input_layout", "res_version",
            "schedule_level",
        )
    }  # fmt: skip
    return Description(
        **free,
        chip_values=draw(st.sampled_from([family.chip for family in families()])),
        layers=layers,
        fspm_peak=tuple(draw(st.integers(0, 9)) for _ in layers),
        ddr_bytes=ddr_bytes,
        constants_bytes=constants_bytes,
        inputs=(tensors[0],),
        outputs=outputs,
        tensors=tuple(tensors),
        graph_outputs=tuple(
            draw(st.lists(st.sampled_from(known), min_size=1, max_size=2, unique=True))
        ),
        host=host,
        schedule=draw(st.none() | schedules(len(layers))) if layers else None,
        regions=regions,
        once=draw(st.none() | onces()),
    )


@st.composite
def onces(draw: DrawFn) -> Once:
    """Something stays in one memory or in both."""
    sizes = draw(st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(any))
    places = [draw(st.integers(0, 99)) if size else 0 for size in sizes]
    return Once(draw(st.integers(1, 9)), places[0], sizes[0], places[1], sizes[1])


@st.composite
def schedules(draw: DrawFn, layers: int) -> ScheduleNotes:
    """Regions of all layers."""
    cut = draw(st.integers(0, layers - 1))
    sizes = [size for size in (cut, layers - cut) if size]
    regions = tuple(RegionNote(size, draw(st.integers(1, 9))) for size in sizes)
    return ScheduleNotes(draw(records(LowerBound)), regions)


COMPOSED: dict[type, Callable[[], SearchStrategy[Any]]] = {
    StoredTensor: stored_tensors,
    Constant: constants,
    HostOperator: any_host_operators,
    Once: onces,
    Description: descriptions,
}

# ------------------------------------------------------------------ one value changed

Path = tuple[str | int, ...]


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Where every value in a JSON value stands, the whole first."""
    yield path
    inside = value.items() if isinstance(value, dict) else ()
    for name, item in enumerate(value) if isinstance(value, list) else inside:
        yield from places(item, (*path, name))


def at(value: Any, path: Path) -> Any:
    """What stands there."""
    for name in path:
        value = value[name]
    return value


@st.composite
def mutations(draw: DrawFn, value: Any) -> Any:
    """The JSON value with one value replaced, taken out, or put in."""
    made = copy.deepcopy(value)
    path = draw(st.sampled_from(list(places(made))))
    if not path:
        return draw(JSON)
    holder, name = at(made, path[:-1]), path[-1]
    match draw(st.sampled_from(["replace", "near", "remove", "add"])):
        case "replace":
            holder[name] = draw(JSON)
        case "near":
            holder[name] = draw(_near(holder[name]))
        case "remove":
            del holder[name]
        case "add":
            if isinstance(holder, list):
                holder.insert(int(name), draw(JSON | st.sampled_from(holder)))
            else:
                holder[draw(st.text(st.characters(), max_size=5))] = draw(JSON)
    return made


def _near(value: Any) -> SearchStrategy[Any]:
    """Values that look like the right one."""
    if isinstance(value, (bool, type(None))):
        return st.sampled_from([None, True, False, 0, ""])
    if isinstance(value, (int, float)):
        return st.sampled_from([value + 1, value - 1, -value, float(value), value * 1e300, "1"])
    if isinstance(value, str):
        return st.sampled_from([value + "A", value[1:], value.upper(), value + "\ud800"])
    return st.sampled_from([[], {}, [value], list(value)])
