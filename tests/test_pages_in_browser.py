"""Pages in a real browser: nothing asked for, nothing that cannot be read, everything works."""

from __future__ import annotations

import html
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assembled import RCCN, RDMA, TINY, WDMA, load, program, small_matrix, store, tensor
from browsers import look_at, needs_browser
from knightlite.api.advising.page import page_of
from knightlite.api.models.binary import Binary
from knightlite.container import Program, paired
from knightlite.html_pages import document, table, text
from knightlite.isa import Instruction, Space, disassemble, listing_line
from knightlite.profiler import occupancies, profile
from knightlite.report import Tried, assumed_advice, chosen
from knightlite.report.details import own_cycles
from test_html_pages import HOSTILE

SECONDS = 2.0  # until a page of a large network is there; ten times that where others work too
OPS = ("Conv", "Gemm", "Add")
LAYERS, PARTS = 430, 5  # of DenseNet121 at level 0, and instructions of each by engine


def network(layers: int, parts: int, names: tuple[str, ...]) -> Program:
    """Layers that load, multiply and store; ``names``: of the first of them."""
    code: list[Instruction] = []
    for at in range(layers):
        for part in range(parts):
            code += [
                load(Space.FSPM, 4096, 640 + at, layer=at, signal=RCCN),
                small_matrix(layer=at, wait=RDMA, signal=WDMA),
                store(1024, 8192 + part, 16, layer=at, wait=RCCN),
            ]
    every = [*names, *(f"block_{at}/conv" for at in range(len(names), layers))]
    x = tensor("x", "u8", (1, 1, 2048), 4096)
    y = tensor("y", "u8", (1, 1, 16), 8192, first=2, ready=len(code) - 1)
    made = program(
        code, bytes(64), [x], [y], [x, y], every,
        replace(TINY, ddr_burst_bytes=64, matrix_input_lanes=4, matrix_output_lanes=2),
        fspm_peak=[2560 + at * 5 % 7 for at in range(layers)],
    )  # fmt: skip
    told = [replace(one, op=OPS[at % 3]) for at, one in enumerate(made.meta.layers)]
    return paired(replace(made, meta=replace(made.meta, layers=tuple(told))))


def page(made: Program) -> str:
    found = profile(made)
    assumed = assumed_advice(found, "knightlite profile")
    tried = Tried(chosen(assumed, ()), assumed, (), ("Nothing was compiled again",))
    explained = [(layer.name, "schedule", f"<i>{layer.name}</i>") for layer in made.meta.layers]
    return page_of(found, Binary(Path("n_r.cfg"), Path("n_r.weight"), made), tried, explained)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("page")
    path = folder / "page.html"
    made = network(LAYERS, PARTS, HOSTILE[:3])
    path.write_text(page(made), encoding="utf-8")
    return look_at(path) | {
        "address": f"file://{path.resolve()}",
        "bytes": path.stat().st_size,
        "made": made,
        "profile": profile(made),
    }


@needs_browser
def test_a_large_page_is_readable_and_asks_for_nothing(seen: Any) -> None:
    assert len(seen["looks"]) == 4
    for look in seen["looks"]:
        assert look["violations"] == []
        assert look["errors"] == []
        assert look["requests"] == [seen["address"]]
        assert look["overflow"] <= 0
        assert look["seconds"] < 10 * SECONDS
    assert min(look["seconds"] for look in seen["looks"]) < SECONDS
    assert seen["bytes"] < 600_000


@needs_browser
def test_layers_are_sorted_filtered_and_told_of(seen: Any) -> None:
    use = seen["use"]
    assert use["errors"] == []
    assert len(use["order"]) == LAYERS
    assert use["order"][3:5] == ["block_3/conv", "block_4/conv"]
    rows = {html.unescape(text(row.name)): row for row in seen["profile"].layers}
    cycles = {name: row.cycles for name, row in rows.items()}
    for names, wanted in (
        (use["slowest"], sorted(cycles.values(), reverse=True)),
        (use["fastest"], sorted(cycles.values())),
    ):
        assert [cycles[name] for name in names] == wanted
    assert cycles[use["slowest"][0]] > cycles[use["fastest"][0]]
    assert use["filtered"] == [use["order"][1]]
    assert use["counted"] == f"1 of {LAYERS}"
    for words, found in use["several"].items():  # in name, operator and bound: all of them
        texts = [f"{name} {row.op} {row.bound}".lower() for name, row in rows.items()]
        count = sum(all(word in one for word in words.lower().split()) for one in texts)
        assert found == [count, f"{count} of {LAYERS}"]
    assert [item[0] > 0 for item in use["several"].values()] == [True, True, True, False]
    assert use["counted_all"] == ""
    order = use["order"]
    by_type = sorted(order[::-1], key=lambda name: rows[name].op, reverse=True)  # alike: as before
    by_peak = sorted(by_type, key=lambda name: rows[name].fspm_peak_bytes, reverse=True)
    assert use["sorted"] == [
        [names, ["none" if at != column else told for at in range(9)]]
        for names, column, told in (
            (order, 0, "ascending"), (order[::-1], 0, "descending"), (by_type, 1, "descending"),
            (by_peak, 8, "descending"),
        )
    ]  # fmt: skip
    assert use["order"][0] == HOSTILE[0]  # text, and nothing else
    first = use["detailed"]
    number = order.index(first)
    lines = [
        listing_line(at, item)
        for at, item in enumerate(disassemble(seen["made"].code))
        if item.layer == number
    ]
    assert use["detail"] == (
        f"{rows[first].name}Node of the quantized model, {rows[first].op}; layer {number}."
        f"What the compiler did with itschedule: <i>{rows[first].name}</i>"
        f"Instructions: {3 * PARTS}" + "\n".join(lines)
    )
    assert use["link"] == f"#layer-{number}"


@needs_browser
def test_plots_are_drawn_and_zoom_together_by_keyboard(seen: Any) -> None:
    use, cycles = seen["use"], seen["profile"].cycles
    assert min(use["painted"].values()) > 100
    assert use["whole"] == [0, cycles]
    assert use["zoomed"][0] == use["zoomed"][1]
    sixteenths = [
        (4, 12), (6, 10), (7, 11), (6, 10), (5, 9), (3, 11), (5, 9),  # + = right left left - +
        (3, 11), (1, 9), (3, 7), (4, 8),  # buttons: out, earlier, in, later
    ]  # fmt: skip
    assert use["steps"] == [
        pytest.approx([low * cycles / 16, high * cycles / 16], abs=1e-6 * cycles)
        for low, high in sixteenths
    ]
    assert use["again"] == use["whole"]
    assert use["otherMemory"]


@needs_browser
def test_plots_say_what_is_pointed_at(seen: Any) -> None:
    """The figures of the profile, in the units of the page."""
    found, told = seen["profile"], seen["use"]["told"]
    micros = 1e6 / found.clock_hz
    events = {
        f"{item.engine}, {found.layers[item.layer].name}, {found.layers[item.layer].op}: "
        f"cycles {item.start:,} to {item.end:,} ({(item.end - item.start) * micros:.2f} \u00b5s)"
        for item in found.timeline.events
    }
    assert set(told["timeline"]) <= events
    engines = [item.partition(",")[0] for item in told["timeline"]]
    assert list(dict.fromkeys(engines)) == ["RDMA", "WDMA", "RCCN"]  # from the top
    code = disassemble(seen["made"].code)
    memory = occupancies(seen["made"], code, found.timeline, seen["made"].meta.chip_values)[0]
    assert told["memory"]
    assert set(told["memory"]) <= {
        f"{one.name}: bytes {one.first:,} to {one.last:,}, cycles {one.start:,} to {one.end:,}"
        for one in memory.spans
    }
    own, peak = own_cycles(found), seen["made"].meta.chip_values.peak_macs_per_cycle
    assert told["roofline"]
    assert set(told["roofline"]) <= {
        f"{row.name}, {row.op}: {row.macs / row.burst_bytes:#.3g} per byte, "
        f"{row.macs / own[at] / peak * 100:.1f} % of the peak, "
        f"{row.cycles / found.cycles * 100:.1f} % of the time"
        for at, row in enumerate(found.layers)
    }
    colors = ["rgb(79, 134, 181)", "rgb(201, 128, 59)", "rgb(93, 154, 91)"]
    ops = [list(item) for item in zip(OPS, colors, strict=True)]
    assert seen["use"]["keys"] == {
        "roofline": ops, "timeline": ops,
        "memory": [*ops, ["constants in DDR", "rgb(122, 135, 145)"]],
    }  # fmt: skip


@needs_browser
def test_a_page_that_asks_is_caught(tmp_path: Path) -> None:
    """The checks above see what they are to see."""
    path = tmp_path / "page.html"
    body = '<img src="http://127.0.0.1:9/x"><p style="color:#ccc;background:#fff">pale</p>'
    wide = '<div style="width:2000px">wide</div><script>null.x</script>'
    bad = document("bad", table(("a",), [("b",)], "all") + body + wide)
    path.write_text(bad.replace("default-src 'none'; ", ""), encoding="utf-8")
    for look in look_at(path)["looks"]:
        names = [item.partition(":")[0] for item in look["violations"]]
        assert {"image-alt", "color-contrast"} <= set(names)
        assert look["overflow"] > 0
        assert any("127.0.0.1" in item for item in look["requests"])
        assert look["errors"]
