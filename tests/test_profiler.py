"""The profile of a small program, to the byte and the cycle."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assembled import (
    RCCN,
    RDMA,
    TINY,
    WDMA,
    load,
    make,
    program,
    record,
    small_matrix,
    store,
    whole_memory_program,
)
from knightlite.api.profiling import save_profile
from knightlite.chip import TIMING_FACTS, Chip, Evidence, Held
from knightlite.container import Program, paired
from knightlite.errors import MachineError, UsageError
from knightlite.isa import Instruction, Lookup, Space, assemble, disassemble
from knightlite.profiler import (
    assumed_facts,
    perfetto_trace,
    profile,
    profile_json,
    profile_text,
    rounded,
)
from knightlite.sim import Machine
from perfetto_reader import read_trace

READ, WRITE = "DDR read, bytes a second", "DDR write, bytes a second"

# 12.8e9 bytes/s at 500 MHz and 100 %: 25.6 bytes per cycle
CHIP = replace(TINY, ddr_efficiency_percent=100, ddr_burst_bytes=64, dma_setup_cycles=100)


HELD = Evidence(20, "B", ("a",), 0, ("Conv",))


def net(chip: Chip = CHIP) -> Program:
    code = [
        load(Space.FSPM, 0, 2560, signal=RCCN),  # 0 to 200
        small_matrix(layer=1, wait=RDMA, signal=WDMA),  # 200 to 268
        store(1024, 4096, 16, layer=2, wait=RCCN),  # 268 to 268 + 100 + 3
    ]
    return program(code, layers=("a/in", "conv", "out"), fspm_peak=[2560, 4096, 16], chip=chip)


def test_rows_and_totals() -> None:
    found = profile(net())
    assert [row.name for row in found.layers] == ["a/in", "conv", "out"]
    assert [row.cycles for row in found.layers] == [200, 68, 103]
    assert [row.time_ms for row in found.layers] == [200 / 5e5, 68 / 5e5, 103 / 5e5]
    assert [row.macs for row in found.layers] == [0, 128, 0]
    assert [row.read_bytes for row in found.layers] == [2560, 0, 0]
    assert [row.write_bytes for row in found.layers] == [0, 0, 16]
    assert [row.bound for row in found.layers] == ["ddr read", "latency", "latency"]
    assert [row.fspm_peak_bytes for row in found.layers] == [2560, 4096, 16]
    assert [row.instructions for row in found.layers] == [1, 1, 1]
    assert found.layers[1].mac_utilization == 128 / (68 * 2048)
    assert found.cycles == 371
    assert found.frames_per_second == 1_300_000  # of 1,347,709: no bar allows more digits
    assert found.ddr_busy_cycles == 103
    assert found.ddr_utilization == 103 / 371
    assert found.busy_cycles == {"RDMA": 200, "WDMA": 103, "RCCN": 68, "RCVT": 0}


@pytest.mark.parametrize(
    ("item", "bound"),
    [
        (small_matrix(x_height=16, y_height=16), "matrix"),  # 64 cycles behind a setup of 64
        (small_matrix(x_height=63, y_height=63, x_width=1, y_width=1), "latency"),
        (make(Lookup, x_width=32, y_width=32, x_channels=64, y_channels=64), "vector"),  # 32 of 64
        (make(Lookup, x_width=31, y_width=31, x_channels=64, y_channels=64), "latency"),
        (load(Space.FSPM, 0, 2560), "ddr read"),  # 100 cycles behind a setup of 100
        (load(Space.FSPM, 0, 2496), "latency"),
        (store(0, 4096, 2560), "ddr write"),
        (store(0, 4096, 2496), "latency"),
    ],
)
def test_a_layer_is_bound_by_what_is_busy_for_half_of_it(item: Instruction, bound: str) -> None:
    """Setups are nobody's work."""
    assert profile(program([item], chip=CHIP)).layers[0].bound == bound


def test_depthwise_convolutions_are_told_apart() -> None:
    """In every place that names an operator; evidence is of the operators of the .cfg."""
    code = [
        load(Space.FSPM, 0, 2560, signal=RCCN),
        small_matrix(layer=1, wait=RDMA),
        small_matrix(layer=2, signal=WDMA, depthwise=1, x_channels=4, y_channels=4),
        store(1024, 4096, 16, layer=2, wait=RCCN),
    ]
    made = program(code, layers=("in", "conv", "out"), fspm_peak=[2560, 4096, 16], chip=CHIP)
    chain = replace(made.meta.layers[2], op="Affine+Conv+Add")
    made = replace(made, meta=replace(made.meta, layers=(*made.meta.layers[:2], chain)))
    held = replace(HELD, operators=("Conv", "Affine", "Add"))
    found = profile(paired(made), evidence=Held(held, True))
    assert [row.op for row in found.layers] == ["Conv", "Conv", "Affine+depthwise Conv+Add"]
    assert found.certainty is not None
    assert not found.certainty.extrapolated


def test_layers_that_overlap_share_no_cycle() -> None:
    """A short load that ends before a long compute in front of it moved nothing on."""
    code = [
        small_matrix(x_height=100, y_height=100, layer=0),  # 0 to 464
        load(Space.WSPM, 0, 2560, layer=1),  # 0 to 200
        store(0, 4096, 2560, layer=2),  # behind the load's bytes: 0 to 300
        load(Space.WSPM, 0, 2560, layer=1),  # 200 to 400
        load(Space.WSPM, 0, 2560, layer=2),  # 400 to 600
    ]
    found = profile(program(code, chip=CHIP))
    assert [row.cycles for row in found.layers] == [464, 0, 136]
    assert found.cycles == 600
    assert [row.read_bytes for row in found.layers] == [0, 5120, 2560]
    assert (found.read_bytes, found.write_bytes) == (7680, 2560)
    assert found.ddr_busy_cycles == 400
    assert [(item.start, item.end) for item in found.transfers] == [
        (100, 200), (200, 300), (300, 400), (500, 600),
    ]  # fmt: skip
    assert found.mac_utilization == found.macs / (600 * 2048)
    assert found.macs == 100 * 4 * 8 * 4


def test_two_accounts_of_the_ddr() -> None:
    """Bytes asked for, and of the bursts that move them: of layers they add up to the total."""
    code = [
        load(Space.FSPM, 0, 1),
        load(Space.FSPM, 0, 65, layer=1),
        store(0, 4096, 640, layer=1),
    ]
    found = profile(program(code, chip=CHIP))
    assert [row.burst_bytes for row in found.layers] == [64, 128 + 640, 0]
    assert found.burst_bytes == 832
    assert found.read_bytes + found.write_bytes == 1 + 65 + 640


def test_certainty_is_said_everywhere() -> None:
    found = profile(net(), evidence=Held(HELD, False))
    assert found.certainty is not None
    reason = "tiny itself was never measured"
    assert found.certainty.extrapolated == (reason,)
    told = json.loads(profile_json(found))["certainty"]
    assert told == {"percent": 20, "networks": 1, "board": "B", "extrapolated": [reason]}
    sentence = found.certainty.sentence
    assert f"Cost error: {sentence}\n" in profile_text(found)
    assert read_trace(perfetto_trace(found)).facts["error"] == sentence
    assert found.frames_per_second == 1.3e6  # of 1,347,709


def test_a_layer_beside_another_uses_no_more_than_the_engine_has() -> None:
    """A load that ends last leaves the product, 68 cycles of which 4 compute, one cycle."""
    code = [load(Space.FSPM, 4096, 2560), small_matrix(layer=1), load(Space.FSPM, 0, 67 * 25)]
    found = profile(program(code, layers=("in", "conv"), fspm_peak=[1, 2], chip=CHIP))
    assert found.layers[1].cycles == 0
    assert found.layers[1].mac_utilization == 128 / (4 * 2048)


@pytest.mark.parametrize(("macs", "useful"), [(96, 96), (128, 128), (256, 256), (257, 256)])
def test_products_count_once_and_only_where_they_are_done(macs: int, useful: int) -> None:
    """A layer of so many, for which 256 are done: rows twice, or blocks of zeros left out."""
    made = program([small_matrix(layer=1), small_matrix(layer=1)], chip=CHIP)
    layers = (made.meta.layers[0], replace(made.meta.layers[1], macs=macs), made.meta.layers[2])
    found = profile(paired(replace(made, meta=replace(made.meta, layers=layers))))
    assert found.layers[1].cycles == found.cycles == 136
    assert found.layers[1].macs == found.macs == useful
    assert found.layers[1].mac_utilization == found.mac_utilization == useful / (136 * 2048)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"y_type": 3}, "must have y_type of u8, s8 or s16, not code 3."),
        ({"layer": 3}, "must name one of 3 layers, not 3."),
    ],
)
def test_programs_that_make_no_sense(changes: dict[str, int], sentence: str) -> None:
    """Right in every checksum, and of no type or layer that there is."""
    sound = net()
    first, middle, last = disassemble(sound.code)
    wrong = assemble([first, replace(middle, **changes), last])
    with pytest.raises(MachineError) as caught:
        profile(replace(sound, code=wrong))
    assert caught.value.sentence.endswith(sentence)


def test_text() -> None:
    assert profile_text(profile(net(), evidence=Held(HELD, True))) == (
        "Total RDMA byte: 2560\n"
        "Total WDMA byte: 16\n"
        "Total burst byte: 2624\n"
        "Cost (ms): 0.000742\n"
        "Cost error: \u00b1 20 %, from 1 network on one board\n"
        "Cost of 4 back to back (ms): 0.002968, 1300000 frames/s\n"
        "Cost of 8 back to back (ms): 0.005936, 1300000 frames/s\n"
        "Total calculation amount: 128\n"
        "RCCN utilization: 0.02%\n"
        "Storage bandwidths (GB/s): 11.920929\n"
        "Storage bandwidths use rate: 100.00%\n"
        "NPU freq (MHZ): 500\n"
        "\n"
        "    Time(ms)     RD(Byte)     WD(Byte)  Burst(Byte) Layer Name\n"
        "    0.000400         2560            0         2560 a/in\n"
        "    0.000136            0            0            0 conv\n"
        "    0.000206            0           16           64 out\n"
        "\n"
        "cycles: 371\n"
        "with FSPM's banks shared: 371 cycles, 0.0 % more\n"
    )


def test_bandwidth_in_knights_unit() -> None:
    half = profile(net(), facts=assumed_facts(max_bandwidth=5.9604644775390625))
    assert half.ddr_bytes_per_second == 6_400_000_000
    assert half.layers[0].cycles == 300
    assert profile(net(), facts=assumed_facts(max_bandwidth=0)).cycles == 371
    assert profile(net(), facts=assumed_facts(utilization=0.5)).layers[0].cycles == 300
    assert profile(net(), chip=replace(CHIP, dma_setup_cycles=50)).cycles == 271


def test_the_ends_of_what_can_be_assumed() -> None:
    """A bandwidth in units of 2^30 bytes, a share in whole percent."""
    assert assumed_facts(max_bandwidth=2.5, utilization=1.0) == {
        "ddr_bytes_per_second": 5 << 29, "ddr_efficiency_percent": 100,
    }  # fmt: skip
    for bytes_per_second, rate in ((1000.4, 1000), (1000.6, 1001), (0.6, 1)):  # to the nearest
        found = assumed_facts(max_bandwidth=bytes_per_second / (1 << 30))
        assert found == {"ddr_bytes_per_second": rate}
    assert assumed_facts(max_bandwidth=999_999_999.0) == {"ddr_bytes_per_second": 999_999_999 << 30}
    assert assumed_facts(utilization=0.01) == {"ddr_efficiency_percent": 1}
    for bandwidth in (-1.0, 1e9, 1e-12):
        with pytest.raises(UsageError, match=r"must be 0 or a number of GB/s, not "):
            assumed_facts(max_bandwidth=bandwidth)
    for utilization in (0.0, 1.01, 0.555, -0.5):
        with pytest.raises(UsageError, match=r"whole percentage, 0\.01 to 1\.00, not "):
            assumed_facts(utilization=utilization)
    with pytest.raises(
        UsageError, match=r"^ddr_efficiency_percent must be a whole number from 1 to 100, not"
    ):
        profile(net(), facts={"ddr_efficiency_percent": 101})
    profile(net(), facts={"ddr_efficiency_percent": 100})


def test_what_was_assumed_is_said() -> None:
    found = profile(net(), facts={"clock_hz": 1_000_000_000, "dma_setup_cycles": 100})
    (only,) = found.assumed  # 100 it is already
    assert str(only) == "clock_hz = 1,000,000,000 instead of 500,000,000"
    assert found.layers[0].cycles == 300  # twice the cycles for the same bytes
    text = profile_text(found)
    assert f"\nNPU freq (MHZ): 1000\nAssumed: {only}\n\n" in text
    assert json.loads(profile_json(found))["assumed"] == [
        {"fact": "clock_hz", "value": 1_000_000_000, "compiled_for": 500_000_000}
    ]
    assert read_trace(perfetto_trace(found)).facts == {
        "clock": "1000000000 Hz",
        "assumed": str(only),
        "time": "0.000473 ms",  # 300 + 68 + 105 cycles
        "error": "no board of any chip was measured",
        "4 frames back to back": "0.001892 ms, 2100000/s",
        "8 frames back to back": "0.003784 ms, 2100000/s",
    }


@pytest.mark.parametrize("fact", TIMING_FACTS)
def test_a_timing_fact_changes_nothing_but_time(fact: str) -> None:
    results = []
    for chip in (TINY, replace(TINY, **{fact: 2 * getattr(TINY, fact)})):
        made = whole_memory_program([small_matrix()], bytes(range(32)), record(1) * 4, chip)
        picture = (np.arange(chip.fspm_bytes) % 251).astype(np.uint8).reshape(1, 1, 1, -1)
        results.append(Machine(made).run({"fspm": picture})["after"].tobytes())
    assert results[0] == results[1]
    assert np.frombuffer(results[0], np.uint8)[1024:1040].any()  # what the instruction wrote


def test_facts_that_cannot_be_assumed() -> None:
    """Memories and types: what a program is laid out for."""
    rest = {item.name for item in fields(Chip)} - set(TIMING_FACTS)
    assert rest == {
        "bit_widths", "fspm_bytes", "fspm_align_bytes", "wspm_bytes", "wspm_align_bytes",
        "mspm_bytes", "mspm_align_bytes", "ddr_bytes", "ddr_align_bytes",
    }  # fmt: skip
    with pytest.raises(UsageError) as caught:
        profile(net(), facts={"clock": 1, "fspm_bytes": 1 << 20, "clock_hz": 0})
    assert [item.sentence for item in caught.value.findings] == [
        "a chip has no fact called clock.",
        "fspm_bytes cannot be assumed: the program was laid out for it.",
        "clock_hz must be a whole number of at least 1, not 0.",
    ]


def test_utilization_is_of_the_assumed_peak() -> None:
    """Twice the lanes, half the share, in a layer and in all."""
    assumed = profile(net(), facts={"matrix_output_lanes": 2 * TINY.matrix_output_lanes})
    assert assumed.cycles == 371
    assert assumed.layers[1].mac_utilization == 128 / (68 * 4096)
    assert assumed.mac_utilization == 128 / (371 * 4096)


def test_every_file_that_is_written_is_told(tmp_path: Path) -> None:
    found = profile(net())
    paths = save_profile(found, "net_r", tmp_path, {tmp_path / "page.html": "a page"})
    assert {key: path.name for key, path in paths.items()} == {
        "text": "layer_cycles_NPU_0.txt", "json": "net_r.profile.json",
        "trace": "net_r.pftrace", "html": "page.html",
    }  # fmt: skip
    assert sorted(paths.values()) == sorted(tmp_path.iterdir())
    assert paths["html"].read_text("utf-8") == "a page"
    assert paths["json"].read_text("utf-8") == profile_json(found)


def test_json() -> None:
    value = json.loads(profile_json(profile(net())))
    assert value["schema"] == "knightlite.profile/1"
    assert value["cycles"] == 371
    assert value["latency_ms"] == 371 / 5e5
    assert value["ddr_read_bytes"] == 2560
    assert value["ddr_burst_bytes"] == 2624
    assert value["certainty"] is None
    assert value["layers"][1] == {
        "name": "conv",
        "op": "Conv",
        "instructions": 1,
        "cycles": 68,
        "time_ms": 68 / 5e5,
        "macs": 128,
        "mac_utilization": 128 / (68 * 2048),
        "read_bytes": 0,
        "write_bytes": 0,
        "burst_bytes": 0,
        "bound": "latency",
        "fspm_peak_bytes": 4096,
    }


def test_the_host_s_share_is_apart() -> None:
    """In a line and a key of its own; no time, rate or layer has it."""
    plain = profile(net(), evidence=Held(HELD, True))
    found = profile(net(), evidence=Held(replace(HELD, host_us=500), True))
    with_its_figures = Held(replace(HELD, host_us=500), False)
    alike = profile(net(), evidence=with_its_figures)
    assert (plain.host_ms, found.host_ms, alike.host_ms) == (0, 0.5, 0.5)
    assert replace(found, host_ms=0.0) == plain
    assert "Host" not in profile_text(plain)
    whole = found.time_ms + 0.5
    rate = rounded(1e3 / whole, HELD.error_percent)
    assert (
        "\nHost beside it, a frame (ms): 0.5\n"
        f"Cost with the host: {whole:.3f} ms, {rate:g} frames/s; "
        "at most 2000 where it works beside the chip\nTotal calculation"
    ) in profile_text(found)
    value = json.loads(profile_json(found))
    assert (value["host_ms"], value["latency_ms"]) == (0.5, plain.time_ms)
    assert value["with_host"] == {
        "latency_ms": whole,
        "frames_per_second": rate,
        "overlapped_frames_per_second": 2000.0,
    }
    assert json.loads(profile_json(plain))["with_host"] is None
    long = replace(found, cycles=found.clock_hz // 1000)  # 1 ms: the chip is the slower one
    assert long.frame.with_host is not None
    assert long.frame.with_host.words == (
        "1.500 ms, 670 frames/s; at most 1000 where it works beside the chip"
    )
    assert read_trace(perfetto_trace(found)).facts["host beside it, a frame"] == "0.5 ms"
    assert "host beside it, a frame" not in read_trace(perfetto_trace(plain)).facts


def test_trace() -> None:
    found = read_trace(perfetto_trace(profile(net())))
    assert found.process == "net on tiny"
    assert found.tracks == ["RDMA", "WDMA", "RCCN", "RCVT", READ, WRITE]
    assert [(x.track, x.name, x.kinds, x.start, x.end) for x in found.slices] == [
        ("RDMA", "a/in", ("load", "Conv"), 0, 400),
        ("RCCN", "conv", ("matrix", "Conv"), 400, 536),
        ("WDMA", "out", ("store", "Conv"), 536, 742),
    ]
    assert [item.values for item in found.slices] == [
        {"instruction": 0, "cycles": 200, "bytes": 2560, "burst_bytes": 2560},
        {
            "instruction": 1,
            "cycles": 68,
            "token_stall_cycles": 200,
            "stall": "token from RDMA",
        },
        {
            "instruction": 2,
            "cycles": 103,
            "token_stall_cycles": 268,
            "stall": "token from RCCN",
            "bytes": 16,
            "burst_bytes": 64,
        },
    ]


def test_bandwidth_in_the_trace() -> None:
    """2560 bytes in 100 cycles at 500 MHz, then 16 bytes in 3 behind a setup of 100."""
    found = read_trace(perfetto_trace(profile(net())))
    assert found.counters == {
        READ: [(200, 12_800_000_000), (400, 0)],
        WRITE: [(736, round(16 * 5e8 / 3)), (742, 0)],
    }


@settings(max_examples=40)
@given(st.text(), st.integers(0, 1 << 40))
def test_any_text_and_number_in_a_trace(text: str, number: int) -> None:
    plain = profile(net())
    rows = (replace(plain.layers[0], name=text, op=f"{text}!"), *plain.layers[1:])
    first = plain.transfers[0]._replace(bytes=number, burst_bytes=number)
    found = read_trace(
        perfetto_trace(
            replace(plain, name=text, layers=rows, transfers=(first, *plain.transfers[1:]))
        )
    )
    assert found.process == f"{text} on tiny"
    assert (found.slices[0].name, found.slices[0].kinds) == (text, ("load", f"{text}!"))
    assert found.slices[0].values["bytes"] == found.slices[0].values["burst_bytes"] == number


def test_a_transfer_that_waits_moves_nothing_yet() -> None:
    """A store is set up beside a load, and has the DDR when the load's bytes are there."""
    code = [load(Space.FSPM, 0, 2560), store(0, 4096, 2560)]
    found = profile(program(code, chip=CHIP))
    assert [(item.start, item.end) for item in found.transfers] == [(100, 200), (200, 300)]
    assert read_trace(perfetto_trace(found)).counters == {
        READ: [(200, 12_800_000_000), (400, 0)],
        WRITE: [(400, 12_800_000_000), (600, 0)],
    }
