"""What lies where and when, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from assembled import RCCN, RDMA, TINY, WDMA, load, program, small_matrix, store, tensor
from integer_nets import NETWORKS
from knightlite.chip_files import find
from knightlite.compiler import compile_graph
from knightlite.container import Origin, Program, program_chip
from knightlite.isa import Space, disassemble
from knightlite.profiler import Occupancy, occupancies, profile
from knightlite.profiler import occupancy as module

CHIP = replace(TINY, ddr_efficiency_percent=100, ddr_burst_bytes=64, dma_setup_cycles=100)


def of(made: Program) -> dict[str, Occupancy]:
    code = disassemble(made.code)
    found = occupancies(made, code, profile(made).timeline, program_chip(made))
    return {item.memory: item for item in found}


def test_spans_by_hand() -> None:
    code = [
        load(Space.FSPM, 256, 2560, signal=RCCN),  # 0 to 200
        small_matrix(layer=1, wait=RDMA, signal=WDMA, y_address=4096),  # 200 to 268
        store(4096, 8192, 16, layer=2, wait=RCCN, signal=RDMA),  # 268 to 371
        load(Space.FSPM, 8192, 16, layer=2, local_address=4096, wait=WDMA),  # 371 to 474
    ]
    x = tensor("x", "u8", (1, 1, 2560), 256)
    y = tensor("y", "u8", (1, 1, 16), 8192, first=2, ready=2)
    z = tensor("z", "u8", (1, 1, 16), 9000, first=2, ready=3)
    found = of(program(code, bytes(128), [x], [z], [x, y, z], chip=CHIP))
    assert list(found) == ["FSPM", "WSPM", "MSPM", "DDR"]
    assert [item.capacity for item in found.values()] == [
        CHIP.fspm_bytes, CHIP.wspm_bytes, CHIP.mspm_bytes, 1 << 16,
    ]  # fmt: skip
    spans = [(s.first, s.last, s.start, s.end, s.layer) for s in found["FSPM"].spans]
    first, made, again = spans
    assert first == (0, 2560, 0, 268, 0)
    assert (made[0], made[2:]) == (4096, (200, 371, 1))
    assert again == (4096, 4112, 371, 474, 2)
    assert [(s.name, s.first, s.last, s.start, s.end) for s in found["DDR"].spans] == [
        ("weights, parameters and tables", 0, 128, 0, 474),
        ("x", 256, 2816, 0, 200),
        ("y", 8192, 8208, 268, 474),
        ("z", 9000, 9016, 268, 474),
    ]


def test_small_spans_are_left_out_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_SPANS", 1)
    code = [load(Space.FSPM, 256, 16), load(Space.FSPM, 512, 2560, local_address=1024)]
    found = of(program(code, chip=CHIP))["FSPM"]
    assert [(span.first, span.last) for span in found.spans] == [(1024, 3584)]
    assert found.left_out == 1


def test_large_is_bytes_times_cycles(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small tile that lies for long stays before a large one that does not."""
    code = [
        load(Space.FSPM, 256, 400),  # is read at the end
        load(Space.FSPM, 768, 900, local_address=1024),
        load(Space.FSPM, 768, 640, local_address=2048),
        load(Space.FSPM, 768, 800, local_address=2048),
        load(Space.FSPM, 768, 10, local_address=3000),
        load(Space.FSPM, 768, 2560, local_address=1024, signal=RCCN),
        small_matrix(layer=1, wait=RDMA, y_address=4000),
    ]
    made = program(code, chip=CHIP)
    every = of(made)["FSPM"].spans
    ranked = sorted(every, key=lambda one: (one.last - one.first) * (one.start - one.end))
    assert ranked != sorted(every, key=lambda one: one.first - one.last)
    for count in range(1, len(every)):
        monkeypatch.setattr(module, "MOST_SPANS", count)
        found = of(made)["FSPM"]
        assert sorted(map(str, found.spans)) == sorted(map(str, ranked[:count]))
        assert found.left_out == len(every) - count


def test_a_tensor_lies_until_its_own_last_reader() -> None:
    """Not that of what replaces it, nor of a neighbour in another layer."""
    code = [
        store(0, 8192, 16),
        store(0, 8208, 16),
        load(Space.FSPM, 8192, 8, layer=1),  # its halves
        load(Space.FSPM, 8200, 8, layer=1),
        load(Space.FSPM, 8208, 16, layer=2),  # the neighbour
        store(0, 8192, 16, layer=1),  # what replaces it
        load(Space.FSPM, 8192, 16, layer=2),
    ]
    tensors = [
        tensor("y", "u8", (1, 1, 16), 8192, first=0, ready=0),
        tensor("beside", "u8", (1, 1, 16), 8208, first=1, ready=1),
        tensor("z", "u8", (1, 1, 16), 8192, first=5, ready=5),
        tensor("end", "u8", (1, 1, 16), 9000, first=5, ready=6),
    ]
    made = program(code, b"", [], [tensors[3]], tensors, chip=CHIP)
    events = profile(made).timeline.events
    found = {span.name: (span.start, span.end, span.layer) for span in of(made)["DDR"].spans}
    assert found == {
        "y": (events[0].start, events[3].end, 0),
        "beside": (events[1].start, events[6].end, 0),  # both runs of layer 2 touch
        "z": (events[5].start, events[6].end, 1),
        "end": (events[5].start, max(item.end for item in events), 2),
    }


def test_nothing_lies_beyond_a_memory_or_the_frame() -> None:
    family = find("TX5112CV201")
    origin = Origin("0", "0" * 64)
    for make_net, level in ((NETWORKS[1], 0), (NETWORKS[1], 1)):
        made = compile_graph(make_net(), family, family.names[0], origin, level=level).program
        cycles = profile(made).cycles
        for item in of(made).values():
            assert item.spans
            for span in item.spans:
                assert 0 <= span.first < span.last <= item.capacity
                assert 0 <= span.start < span.end <= cycles
