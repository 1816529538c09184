"""The timeline as a trace for ui.perfetto.dev: Perfetto's own protobuf, written column by column.

Messages, field numbers and what they mean: protos/perfetto/trace/ of Perfetto ("TracePacket",
"TrackEvent"); the bytes are those of protobuf's wire format. A slice is two packets, its names are
numbers that one packet at the beginning explains ("interned data"): 80 bytes an instruction. There
are hundreds of thousands of packets: each part of all of them is looked up at once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.profiler.certainty import certainty_sentence, plain
from knightlite.profiler.profile import Profile

LANES = ("RDMA", "WDMA", "RCCN", "RCVT")
COUNTERS = ("DDR read, bytes a second", "DDR write, bytes a second")
ANNOTATIONS = (
    "instruction", "cycles", "token_stall_cycles", "ddr_stall_cycles", "stall", "bytes",
    "burst_bytes",
)  # fmt: skip
NUMBER, CYCLES, TOKEN, MOVES, STALL, BYTES, BURSTS = ANNOTATIONS
_PROCESS = 1  # uuid of its track; the lanes' and then the counters' follow
_NEW_STATE, _OF_STATE = 1, 2  # SequenceFlags
_BEGIN, _END, _INSTANT, _COUNTER = 1, 2, 3, 4  # TrackEvent.Type
_EXPLICIT = 3  # TrackDescriptor.ChildTracksOrdering
_BYTES = 3  # CounterDescriptor.Unit


def perfetto_trace(found: Profile) -> bytes:
    """A process with a track per engine, and what the DDR moves as two counters.

    A slice is an instruction, named by its layer; categories: mnemonic and operator. Times are
    whole nanoseconds, the cycles of an instruction an annotation.
    """
    names = _Names()
    slices = _slices(found, names)
    rates = _rates(found, True) + _rates(found, False)
    facts = _instant(names, _facts(found))
    first = _packet(
        _number(13, _NEW_STATE), _message(12, *names.interned()), _number(87, 1)
    )  # sequence_flags, interned_data, first_packet_on_sequence
    return b"".join([first, *_tracks(found), facts, slices, rates])


# ------------------------------------------------------------------ protobuf


_DIGIT = 14  # bits that are looked up at once


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*found, value))


def _number(tag: int, value: int) -> bytes:
    """An unsigned number as field ``tag``."""
    return _varint(tag << 3) + _varint(value)


def _message(tag: int, *parts: bytes) -> bytes:
    """A message, or text, as field ``tag``."""
    body = b"".join(parts)
    return _varint(tag << 3 | 2) + _varint(len(body)) + body


def _text(tag: int, value: str) -> bytes:
    return _message(tag, value.encode("utf-8", "replace"))


_SEQUENCE = _number(10, 1)  # all packets are of one


def _packet(*parts: bytes) -> bytes:
    """One of the trace's packets."""
    return _message(1, *parts, _SEQUENCE)


# ------------------------------------------------------------------ names


@dataclass
class _Names:
    """Texts by number, from 1, as they turn up: what InternedData explains."""

    categories: dict[str, int] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)
    annotations: dict[str, int] = field(default_factory=dict)
    values: dict[str, int] = field(default_factory=dict)

    def interned(self) -> Iterator[bytes]:
        """The fields of InternedData."""
        for tag, known in (
            (1, self.categories), (2, self.events), (3, self.annotations), (29, self.values),
        ):  # fmt: skip
            for text, number in known.items():
                yield _message(tag, _number(1, number), _text(2, text))


def _of(known: dict[str, int], text: str) -> int:
    return known.setdefault(text, len(known) + 1)


# ------------------------------------------------------------------ packets


def _tracks(found: Profile) -> Iterator[bytes]:
    """The descriptors: the process, its lanes in order, the counters."""
    process = _message(3, _number(1, 1), _text(6, f"{found.name} on {found.chip_name}"))
    yield _packet(_message(60, _number(1, _PROCESS), process, _number(11, _EXPLICIT)))
    for place, name in enumerate((*LANES, *COUNTERS)):
        counter = _message(8, _number(3, _BYTES)) if name in COUNTERS else b""
        parts = (_number(1, _uuid(place)), _text(2, name), _number(5, _PROCESS), counter)
        yield _packet(_message(60, *parts, _number(12, place)))


def _uuid(place: int) -> int:
    return _PROCESS + 1 + place


def _facts(found: Profile) -> Mapping[str, str]:
    """What the prediction rests on."""
    assumed = ", ".join(str(item) for item in found.assumed)
    batches = {
        f"{item.frames} frames back to back": f"{plain(item.time_ms)} ms, {item.rate_text}/s"
        for item in found.batches
        if item.frames > 1
    }
    host = {"host beside it, a frame": f"{plain(found.host_ms)} ms"} if found.host_ms else {}
    return {
        "clock": f"{found.clock_hz} Hz",
        **({"assumed": assumed} if assumed else {}),
        "time": f"{plain(found.time_ms)} ms",
        "error": certainty_sentence(found.certainty),
        **batches,
        **host,
    }


def _instant(names: _Names, facts: Mapping[str, str]) -> bytes:
    """At the beginning of the process' track: the prediction, and what it rests on."""
    parts = [
        _message(4, _number(1, _of(names.annotations, name)), _text(6, value))
        for name, value in facts.items()
    ]
    event = (
        _number(9, _INSTANT), _number(11, _PROCESS), _number(10, _of(names.events, "prediction")),
    )  # fmt: skip
    return _event(0, *event, *parts)


def _slices(found: Profile, names: _Names) -> bytes:
    """Every instruction on its engine's track; of a transfer also its bytes."""
    events = found.timeline.events
    if not events:
        return b""
    number, engine, mnemonic, layer, start, end, cycles, token, _, ddr = zip(*events, strict=True)
    moved = {item.number: (item.bytes, item.burst_bytes) for item in found.transfers}
    bytes_of = [moved.get(one) for one in number]
    stalls = [
        (waits, moves, event.stall_reason) if waits or moves else None
        for event, waits, moves in zip(events, token, ddr, strict=True)
    ]
    name = _annotations(names, stalls, bytes_of)
    lanes = {lane: _number(11, _uuid(at)) for at, lane in enumerate(LANES)}

    def opened(one: tuple[str, str, int]) -> bytes:
        row = found.layers[one[2]]
        kinds = (_number(3, _of(names.categories, text)) for text in (one[1], row.op))
        track = _number(9, _BEGIN) + lanes[one[0]]
        return track + b"".join(kinds) + _number(10, _of(names.events, row.name))

    def count(text: str, value: int) -> bytes:
        return _message(4, _number(1, name[text]), _number(3, value))

    def stalled(one: tuple[int, int, str] | None) -> bytes:
        if one is None:
            return b""
        waits, moves, reason = one
        value = _number(17, _of(names.values, reason))
        return b"".join((
            count(TOKEN, waits) if waits else b"",
            count(MOVES, moves) if moves else b"",
            _message(4, _number(1, name[STALL]), value),
        ))  # fmt: skip

    def sizes(one: tuple[int, int] | None) -> bytes:
        return b"" if one is None else count(BYTES, one[0]) + count(BURSTS, one[1])

    body = [
        _looked_up(list(zip(engine, mnemonic, layer, strict=True)), opened),
        *_count_columns(name[NUMBER], np.array(number, np.int64)),
        _looked_up(cycles, lambda value: count(CYCLES, value)),
        _looked_up(stalls, stalled),
        _looked_up(bytes_of, sizes),
    ]
    closed = _looked_up(engine, lambda lane: _number(9, _END) + lanes[lane])
    return _joined(
        *_packets(_nanoseconds(found, start), body), *_packets(_nanoseconds(found, end), [closed])
    )


def _annotations(
    names: _Names,
    stalls: Sequence[tuple[int, int, str] | None],
    bytes_of: Sequence[tuple[int, int] | None],
) -> Mapping[str, int]:
    """Numbers of annotations as they turn up; of those that do not, 0."""
    used = [(0, 0, NUMBER), (0, 1, CYCLES)]
    for place, text in enumerate((TOKEN, MOVES, STALL)):
        have = (at for at, one in enumerate(stalls) if one is not None and one[place])
        used += [(at, 2 + place, text) for at in islice(have, 1)]
    first = next((at for at, one in enumerate(bytes_of) if one is not None), None)
    if first is not None:
        used += [(first, 5, BYTES), (first, 6, BURSTS)]
    numbers = {text: _of(names.annotations, text) for *_, text in sorted(used)}
    return dict.fromkeys(ANNOTATIONS, 0) | numbers


def _rates(found: Profile, reads: bool) -> bytes:
    """A counter where it changes: while bytes of a transfer move, at their rate; else nothing."""
    moving = [item for item in found.transfers if item.reads == reads and item.end > item.start]
    if not moving:
        return b""
    start, end = (np.array([getattr(one, side) for one in moving]) for side in ("start", "end"))
    rates = [round(one.bytes * found.clock_hz / (one.end - one.start)) for one in moving]
    stops = end != np.append(start[1:], -1)
    kept = np.stack([np.ones(len(moving), np.bool_), stops], axis=1).ravel()
    cycles = np.stack([start, end], axis=1).ravel()[kept]
    values = np.stack([np.array(rates), np.zeros(len(moving), np.int64)], axis=1).ravel()[kept]
    kind = _number(9, _COUNTER) + _number(11, _uuid(len(LANES) + (not reads)))
    body = [
        _constant(kind + _varint(30 << 3), len(values)),
        *_varint_columns(values),
    ]
    return _joined(*_packets(_nanoseconds(found, cycles.tolist()), body))


# ------------------------------------------------------------------ columns


@dataclass(frozen=True, slots=True)
class _Column:
    """A part of every packet of a kind: [packet, byte], of which the first ``sizes`` count."""

    parts: NDArray[np.uint8]
    sizes: NDArray[np.int64]


def _table(values: Sequence[bytes]) -> _Column:
    sizes = np.array([len(one) for one in values], np.int64)
    widest = int(sizes.max())
    parts = np.frombuffer(b"".join(one.ljust(widest, b"\0") for one in values), np.uint8)
    return _Column(parts.reshape(len(values), widest), sizes)


def _taken(table: _Column, places: NDArray[np.int64]) -> _Column:
    return _Column(table.parts[places], table.sizes[places])


def _constant(value: bytes, count: int) -> _Column:
    return _taken(_table([value]), np.zeros(count, np.int64))


def _looked_up(values: Sequence[Hashable], written: Callable[[Any], bytes]) -> _Column:
    """``written`` of every value; it is called once per value, as they turn up."""
    places = {value: place for place, value in enumerate(dict.fromkeys(values))}
    found = np.fromiter(map(places.__getitem__, values), np.int64, len(values))
    return _taken(_table([written(value) for value in places]), found)


def _by_size(sizes: NDArray[np.int64], written: Callable[[int], bytes]) -> _Column:
    """``written`` of small numbers."""
    return _taken(_table([written(size) for size in range(int(sizes.max()) + 1)]), sizes)


@cache
def _digits() -> _Column:
    """Numbers below 2^14 as varints, then as beginnings of longer ones, then nothing."""
    every = range(1 << _DIGIT)
    longer = (bytes((one & 0x7F | 0x80, one >> 7 | 0x80)) for one in every)
    return _table([*map(_varint, every), *longer, b""])


def _varint_columns(values: NDArray[np.int64]) -> list[_Column]:
    """Numbers as varints, 14 bits in each column."""
    table, found, rest = _digits(), list[_Column](), values
    alive = np.ones(len(values), np.bool_)
    while alive.any():
        digit, rest = rest & ((1 << _DIGIT) - 1), rest >> _DIGIT
        places = np.where(alive, digit + ((rest > 0) << _DIGIT), 2 << _DIGIT)
        found.append(_taken(table, places))
        alive &= rest > 0
    return found


def _size(columns: Sequence[_Column]) -> NDArray[np.int64]:
    found: NDArray[np.int64] = np.sum([one.sizes for one in columns], axis=0, dtype=np.int64)
    return found


def _count_columns(name: int, values: NDArray[np.int64]) -> list[_Column]:
    """Numbers that are all others as annotations."""
    numbers = _varint_columns(values)
    front = [_number(1, name) + _varint(3 << 3)]
    sizes = _size(numbers) + len(front[0])
    lengths = _by_size(sizes, lambda size: _varint(4 << 3 | 2) + _varint(size))
    return [lengths, _constant(front[0], len(values)), *numbers]


_PACKET, _TIMESTAMP, _TRACK_EVENT = _varint(1 << 3 | 2), _varint(8 << 3), _varint(11 << 3 | 2)
_BEHIND = _number(13, _OF_STATE) + _SEQUENCE


def _packets(nanoseconds: NDArray[np.int64], body: Sequence[_Column]) -> list[_Column]:
    """TrackEvents as packets; ``body``: what is in each event."""
    count, event = len(nanoseconds), _size(body)
    front = _by_size(event, lambda size: _TRACK_EVENT + _varint(size))
    times = _varint_columns(nanoseconds)
    whole = _size([*times, front, *body]) + len(_TIMESTAMP) + len(_BEHIND)
    begin = _by_size(whole, lambda size: _PACKET + _varint(size) + _TIMESTAMP)
    return [begin, *times, front, *body, _constant(_BEHIND, count)]


def _joined(*columns: _Column) -> bytes:
    """The packets, each from its parts."""
    there = [np.arange(one.parts.shape[1]) < one.sizes[:, np.newaxis] for one in columns]
    whole = np.concatenate([one.parts for one in columns], axis=1)
    return whole[np.concatenate(there, axis=1)].tobytes()


def _event(nanoseconds: int, *parts: bytes) -> bytes:
    """A single one."""
    return _joined(*_packets(np.array([nanoseconds]), [_constant(b"".join(parts), 1)]))


def _nanoseconds(found: Profile, cycles: Sequence[int]) -> NDArray[np.int64]:
    """Of cycles, rounded to even."""
    shared = gcd(10**9, found.clock_hz)
    times, clock = 10**9 // shared, found.clock_hz // shared
    wide = max(cycles) * times >= 1 << 63
    products: NDArray[Any] = np.array(cycles, np.object_ if wide else np.int64) * times
    whole, rest = products // clock, products % clock * 2
    made = whole + ((rest > clock) | (rest == clock) & (whole % 2 == 1))
    bounded: NDArray[Any] = np.minimum(made, np.iinfo(np.int64).max)  # 292 years: the format ends
    return np.asarray(bounded, np.int64)
