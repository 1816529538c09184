"""The texts and the JSON of a profile: every figure another one, each in its place, by hand."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest

from knightlite.events import Timeline
from knightlite.profiler import Occupancy, Profile, profile
from knightlite.profiler.certainty import Certainty
from knightlite.profiler.certificate import certificate_lines
from knightlite.profiler.frame_time import FrameTime
from knightlite.profiler.occupancy import Span
from knightlite.profiler.profile import Trip
from knightlite.profiler.writers import profile_json, profile_text, totals
from knightlite.report import Advice, Details, Point, Tried, advice_json
from knightlite.report.details import plot_data
from test_report import net

SURE = Certainty(25, 7, "board")
FIGURES = {
    "clock_hz": 500_000_000, "ddr_bytes_per_second": 3 << 29, "ddr_efficiency_percent": 75,
    "cycles": 1_000_000, "macs": 11, "mac_utilization": 0.12345, "read_bytes": 21,
    "write_bytes": 22, "burst_bytes": 23, "ddr_busy_cycles": 24, "host_ms": 1.5,
}  # fmt: skip


def profiled(**more: Any) -> Profile:
    """2 ms on the chip, 1.5 on the host, and two trips to it in the middle."""
    found = profile(net())
    trips = (Trip(("l",), "NonZero", "conv", 31, 32), Trip(("m",), "Where", "", 33, 34))
    one = found.batches[0]
    batches = (one, replace(one, frames=8, time_ms=12.5))
    values = {**FIGURES, "certainty": SURE, "trips": trips, "batches": batches, "assumed": ()}
    return replace(found, **{**values, **more})


def test_totals() -> None:
    found = profiled()
    told = dict(totals(found))
    assert len(told) == len(totals(found)) == 15
    assert {key: value for key, value in told.items() if not key.startswith("Cost of 8")} == {
        "Total RDMA byte": "21", "Total WDMA byte": "22", "Total burst byte": "23",
        "Cost (ms)": "2.000000", "Cost error": "\u00b1 25 %, from 7 networks on one board",
        "Host beside it, a frame (ms)": "1.5",
        "Cost with the host": "3.500 ms, 290 frames/s; at most 500 where it works beside the chip",
        "Trip 1 to the host": "NonZero before conv, 31 bytes read, 32 written; its time is not "
        "counted",
        "Trip 2 to the host": "Where behind the last layer, 33 bytes read, 34 written; its time is "
        "not counted",
        "Total calculation amount": "11", "RCCN utilization": "12.35%",
        "Storage bandwidths (GB/s)": "1.500000", "Storage bandwidths use rate": "75.00%",
        "NPU freq (MHZ)": "500",
    }  # fmt: skip
    assert told["Cost of 8 back to back (ms)"].startswith("12.500000, ")
    bare = dict(totals(profiled(host_ms=0.0, trips=(), certainty=None)))
    assert len(bare) == 11
    assert bare["Cost error"] == "no board of any chip was measured"


def test_the_text_of_a_profile() -> None:
    """The totals, then a line for each layer, then the certificate."""
    found = profiled()
    row = replace(
        found.layers[0], time_ms=1.25, read_bytes=41, write_bytes=42, burst_bytes=43, name="a b"
    )
    lines = profile_text(replace(found, layers=(row,))).splitlines()
    count = len(totals(found))
    assert lines[:count] == [f"{label}: {value}" for label, value in totals(found)]
    assert lines[count : count + 4] == [
        "", "    Time(ms)     RD(Byte)     WD(Byte)  Burst(Byte) Layer Name",
        "    1.250000           41           42           43 a b", "",
    ]  # fmt: skip
    assert lines[count + 4 :] == [
        f"{label}: {value}" for label, value in certificate_lines(found.certificate)
    ]


def test_the_json_of_a_profile() -> None:
    """Under its own name each; what is said of a layer by its fields."""
    found = profiled()
    value = json.loads(profile_json(found, {"remarks": ["r"]}))
    names = {
        "ddr_read_bytes": "read_bytes", "ddr_write_bytes": "write_bytes",
        "ddr_burst_bytes": "burst_bytes",
    }  # fmt: skip
    for key in (*FIGURES.keys() - names.values(), *names):
        assert value[key] == FIGURES[names.get(key, key)], key
    assert (value["name"], value["chip"]) == (found.name, found.chip_name)
    assert value["ddr_utilization"] == 24 / 1_000_000
    assert (value["latency_ms"], value["with_host"]["latency_ms"]) == (2.0, 3.5)
    assert value["certainty"]["percent"] == 25
    assert value["advice"] == {"remarks": ["r"]}
    assert value["engine_busy_cycles"] == found.busy_cycles
    assert value["ddr_bytes_by_cause"] == dict(found.ddr_causes)
    assert [item["frames"] for item in value["batches"]] == [1, 8]
    assert [item["before"] for item in value["trips"]] == ["conv", ""]
    assert [item["name"] for item in value["layers"]] == [row.name for row in found.layers]
    assert set(value["layers"][0]) == {item.name for item in fields(found.layers[0])}
    assert value["certificate"]["cycles"] == found.certificate.cycles


@pytest.mark.parametrize(
    ("host_ms", "whole"),
    [
        (0.0, []),
        (0.5, [("with the host's 0.5 ms", "1.760 ms, 570 frames/s; at most 790 where it works "
                "beside the chip")]),
        (2.0, [("with the host's 2 ms", "3.260 ms, 310 frames/s; at most 500 where it works beside "
                "the chip")]),
    ],
)  # fmt: skip
def test_lines_of_a_frame(host_ms: float, whole: list[tuple[str, str]]) -> None:
    """Beside each other the slower of both decides."""
    found = FrameTime(1.26, host_ms, SURE).lines
    assert [label for label, _ in found[:2]] == ["time of a frame", "frames/s"]
    assert found[1][1] == "790, of the chip alone"
    assert found[2:] == whole


# ------------------------------------------------------------------ what the page is made from


def test_advice_as_json() -> None:
    best = Advice("level", "Compile so", "so", ("do it",), 1.5, 0.25)
    points = (
        Point("level", "Compile so", "so", ("do it",), 1.5),
        Point("chip", "C", "c", (), None, "no"),
    )
    found = advice_json(Tried((best,), (), points, ("a remark",), "short"))
    assert found == {
        "chosen": [
            {"kind": "level", "sentence": "Compile so", "short": "so", "commands": ("do it",),
             "time_ms": 1.5, "saved": 0.25},
        ],
        "compiled": [
            {"kind": "level", "sentence": "Compile so", "short": "so", "commands": ("do it",),
             "time_ms": 1.5, "why": ""},
            {"kind": "chip", "sentence": "C", "short": "c", "commands": (), "time_ms": None,
             "why": "no"},
        ],
        "remarks": ["a remark"],
    }  # fmt: skip
    assert Tried((), (), points).known == 1


def test_what_plots_are_drawn_from() -> None:
    """Lengths, not ends; a name stands once, whatever its number of blocks."""
    spans = (Span(10, 30, 100, 150, 2, "b"), Span(0, 5, 7, 9, -1, "a"), Span(1, 2, 3, 4, 0, "b"))
    memory = (Occupancy("FSPM", 4_096, spans, 6),)
    found = profiled()
    data = plot_data(found, Details(memory, [(3, ["x"])], [("n", "p", "s")], 1e12, 1e10))
    assert data["memory"] == [
        {"name": "FSPM", "capacity": 4_096, "names": ["b", "a"], "leftOut": 6,
         "spans": [10, 20, 100, 50, 2, 0, 0, 5, 7, 2, -1, 1, 1, 1, 3, 1, 0, 0]},
    ]  # fmt: skip
    assert data["roofs"] == [1e12, 1e10]
    assert (data["listing"], data["explained"]) == ([[3, ["x"]]], [["n", "p", "s"]])
    assert (data["clockHz"], data["cycles"]) == (500_000_000, 1_000_000)
    rows = found.layers
    assert [data["ops"][at] for at in data["opOf"]] == [row.op for row in rows]
    for key, name in (("layerCycles", "cycles"), ("macs", "macs"), ("bytes", "burst_bytes")):
        assert data[key] == [getattr(row, name) for row in rows]
    assert plot_data(found, Details((), [], None, 1.0, 1.0))["explained"] is None


def test_a_lane_of_an_engine() -> None:
    """Start, length and layer of each; the busiest of DDR and engines is a layer's own time."""
    found = profiled()
    data = plot_data(found, Details((), [], None, 1.0, 1.0))
    events = found.timeline.events
    for engine, lane in zip(data["engines"], data["timeline"], strict=True):
        assert lane == [
            value
            for event in events
            if event.engine == engine
            for value in (event.start, event.end - event.start, event.layer)
        ]
    assert data["merged"] == 0
    own = [{"RDMA": 0, "WDMA": 0, "RCCN": 0, "RCVT": 0} for _ in found.layers]
    for event in events:
        own[event.layer][event.engine] += event.cycles
    assert data["ownCycles"] == [
        max(item["RDMA"] + item["WDMA"], item["RCCN"], item["RCVT"]) for item in own
    ]
    empty = replace(found, timeline=Timeline((), 0))
    assert plot_data(empty, Details((), [], None, 1.0, 1.0))["ownCycles"] == [0] * len(found.layers)
