"""The timeline as a trace for ui.perfetto.dev: Perfetto's own protobuf, written message by message.

Messages, field numbers and what they mean: protos/perfetto/trace/ of Perfetto ("TracePacket",
"TrackEvent"); the bytes are those of protobuf's wire format. A slice is two packets, its names are
numbers that one packet at the beginning explains ("interned data"): 80 bytes an instruction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache

from knightlite.profiler.profile import Profile
from knightlite.profiler.writers import certainty_sentence

LANES = ("RDMA", "WDMA", "RCCN", "RCVT")
COUNTERS = ("DDR read, bytes a second", "DDR write, bytes a second")
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
    slices = list(_slices(found, names))
    rates = [*_rates(found, True), *_rates(found, False)]
    facts = _instant(names, _facts(found))
    first = _packet(
        _number(13, _NEW_STATE), _message(12, *names.interned()), _number(87, 1)
    )  # sequence_flags, interned_data, first_packet_on_sequence
    return b"".join([first, *_tracks(found), facts, *slices, *rates])


# ------------------------------------------------------------------ protobuf


_SEVEN = 0x7F
_SHORT = tuple(
    bytes([value]) if value <= _SEVEN else bytes([value & _SEVEN | 0x80, value >> 7])
    for value in range(1 << 14)
)
_LOW = tuple(bytes([value & _SEVEN | 0x80, value >> 7 | 0x80]) for value in range(1 << 14))


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first, here two bytes at a time."""
    if value < len(_SHORT):
        return _SHORT[value]
    return _LOW[value & 0x3FFF] + _varint(value >> 14)


@lru_cache(maxsize=1 << 14)
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
        f"{item.frames} frames back to back": f"{item.time_ms:g} ms, {item.frames_per_second:g}/s"
        for item in found.batches
        if item.frames > 1
    }
    host = {"host beside it, a frame": f"{found.host_ms:g} ms"} if found.host_ms else {}
    return {
        "clock": f"{found.clock_hz} Hz",
        **({"assumed": assumed} if assumed else {}),
        "time": f"{found.time_ms:g} ms",
        "error": certainty_sentence(found),
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


def _slices(found: Profile, names: _Names) -> Iterator[bytes]:
    """Every instruction on its engine's track; of a transfer also its bytes."""
    moved = {item.number: item for item in found.transfers}
    begins = {lane: _number(9, _BEGIN) + _number(11, _uuid(at)) for at, lane in enumerate(LANES)}
    ends = {lane: _number(9, _END) + _number(11, _uuid(at)) for at, lane in enumerate(LANES)}

    @cache
    def title(mnemonic: str, layer: int) -> bytes:
        row = found.layers[layer]
        kinds = (_number(3, _of(names.categories, text)) for text in (mnemonic, row.op))
        return b"".join(kinds) + _number(10, _of(names.events, row.name))

    @cache
    def stall(reason: str) -> bytes:
        name, value = _of(names.annotations, "stall"), _of(names.values, reason)
        return _message(4, _number(1, name), _number(17, value))

    @lru_cache(maxsize=1 << 14)
    def count(name: str, value: int) -> bytes:
        return _message(4, _number(1, _of(names.annotations, name)), _number(3, value))

    for event in found.timeline.events:
        parts = [
            begins[event.engine],
            title(event.mnemonic, event.layer),
            count("instruction", event.number),
            count("cycles", event.cycles),
        ]
        if event.token_stall:
            parts.append(count("token_stall_cycles", event.token_stall))
        if event.ddr_stall:
            parts.append(count("ddr_stall_cycles", event.ddr_stall))
        if event.stall_reason:
            parts.append(stall(event.stall_reason))
        if event.number in moved:
            transfer = moved[event.number]
            parts += [count("bytes", transfer.bytes), count("burst_bytes", transfer.burst_bytes)]
        yield _event(_nanoseconds(found, event.start), *parts)
        yield _event(_nanoseconds(found, event.end), ends[event.engine])


def _rates(found: Profile, reads: bool) -> Iterator[bytes]:
    """A counter where it changes: while bytes of a transfer move, at their rate; else nothing."""
    kind = _number(9, _COUNTER) + _number(11, _uuid(len(LANES) + (not reads)))
    moving = [item for item in found.transfers if item.reads == reads and item.end > item.start]
    follows = [item.start for item in moving[1:]] + [-1]
    for item, then in zip(moving, follows, strict=True):
        rate = round(item.bytes * found.clock_hz / (item.end - item.start))
        changes = [(item.start, rate)] + ([(item.end, 0)] if then != item.end else [])
        for cycle, value in changes:
            at = _nanoseconds(found, cycle)
            yield _event(at, kind, _number(30, value))


_PACKET, _TIMESTAMP, _TRACK_EVENT = _varint(1 << 3 | 2), _varint(8 << 3), _varint(11 << 3 | 2)
_BEHIND = _number(13, _OF_STATE) + _SEQUENCE


def _event(nanoseconds: int, *parts: bytes) -> bytes:
    """A TrackEvent as a packet, of which there are hundreds of thousands: put together at once."""
    event = b"".join(parts)
    at, size = _varint(nanoseconds), _varint(len(event))
    whole = len(_TIMESTAMP + at + _TRACK_EVENT + size) + len(event) + len(_BEHIND)
    return b"".join((_PACKET, _varint(whole), _TIMESTAMP, at, _TRACK_EVENT, size, event, _BEHIND))


def _nanoseconds(found: Profile, cycles: int) -> int:
    return round(cycles * 10**9 / found.clock_hz)
