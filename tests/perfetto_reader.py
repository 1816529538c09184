"""A trace read with Perfetto's published protobuf definitions, and held to what they ask."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from google.protobuf.unknown_fields import UnknownFieldSet
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as perfetto

NEEDS_STATE = perfetto.TracePacket.SEQ_NEEDS_INCREMENTAL_STATE
CLEARED = perfetto.TracePacket.SEQ_INCREMENTAL_STATE_CLEARED


@dataclass(frozen=True)
class Slice:
    """Nanoseconds."""

    track: str
    name: str
    kinds: tuple[str, ...]
    start: int
    end: int
    values: dict[str, int | str]


@dataclass
class Trace:
    """``tracks`` in the order in which they are to be shown; ``counters``: (nanosecond, value)."""

    process: str = ""
    tracks: list[str] = field(default_factory=list)
    slices: list[Slice] = field(default_factory=list)
    counters: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)


def read_trace(data: bytes) -> Trace:
    """AssertionError where it is not sound."""
    whole = perfetto.Trace()
    whole.ParseFromString(data)
    first, *packets = whole.packet
    assert first.sequence_flags == CLEARED
    assert first.first_packet_on_sequence
    texts = {
        kind: {item.iid: getattr(item, text) for item in getattr(first.interned_data, kind)}
        for kind, text in (
            ("event_categories", "name"), ("event_names", "name"),
            ("debug_annotation_names", "name"), ("debug_annotation_string_values", "str"),
        )
    }  # fmt: skip
    found = Trace()
    names: dict[int, str] = {}
    ranks: dict[str, int] = {}
    open_slices: dict[int, Any] = {}
    latest: dict[int, int] = {}
    for packet in whole.packet:
        require_known(packet)
        assert packet.trusted_packet_sequence_id == first.trusted_packet_sequence_id != 0
    for packet in packets:
        if packet.HasField("track_descriptor"):
            track = packet.track_descriptor
            assert track.uuid not in {0, *names}
            names[track.uuid] = track.name
            if track.HasField("process"):
                found.process = track.process.process_name
                assert track.child_ordering == perfetto.TrackDescriptor.EXPLICIT
                continue
            assert track.parent_uuid in names
            ranks[track.name] = track.sibling_order_rank
            if track.HasField("counter"):
                found.counters[track.name] = []
            continue
        assert packet.sequence_flags == NEEDS_STATE
        event, at = packet.track_event, packet.timestamp
        assert latest.get(event.track_uuid, 0) <= at
        latest[event.track_uuid] = at
        track_name = names[event.track_uuid]
        if event.type == event.TYPE_COUNTER:
            found.counters[track_name].append((at, event.counter_value))
        elif event.type == event.TYPE_SLICE_BEGIN:
            assert event.track_uuid not in open_slices
            open_slices[event.track_uuid] = (at, event)
        elif event.type == event.TYPE_SLICE_END:
            start, begun = open_slices.pop(event.track_uuid)
            kinds = tuple(texts["event_categories"][number] for number in begun.category_iids)
            name = texts["event_names"][begun.name_iid]
            values = annotated(begun, texts)
            found.slices.append(Slice(track_name, name, kinds, start, at, values))
        else:
            assert event.type == event.TYPE_INSTANT
            found.facts |= {name: str(value) for name, value in annotated(event, texts).items()}
    assert not open_slices
    found.tracks = sorted(ranks, key=ranks.__getitem__)
    found.slices.sort(key=lambda item: int(item.values["instruction"]))
    return found


def annotated(event: Any, texts: dict[str, dict[int, Any]]) -> dict[str, int | str]:
    """By name: numbers, and texts, said here or elsewhere."""
    found: dict[str, int | str] = {}
    for item in event.debug_annotations:
        name = texts["debug_annotation_names"][item.name_iid]
        match item.WhichOneof("value"):
            case "uint_value":
                found[name] = item.uint_value
            case "string_value":
                found[name] = item.string_value
            case "string_value_iid":
                text = texts["debug_annotation_string_values"][item.string_value_iid]
                found[name] = text.decode()
            case other:
                raise AssertionError(other)
    return found


def require_known(message: Any) -> None:
    """No field, at any depth, that the definitions do not have or have as another type."""
    assert len(UnknownFieldSet(message)) == 0
    for descriptor, value in message.ListFields():
        if descriptor.message_type is not None:
            several = value if descriptor.is_repeated else [value]
            for one in several:
                require_known(one)
