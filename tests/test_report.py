"""The report of a profile: ten lines, advice, the page."""

from __future__ import annotations

import base64
import gzip
import json
import re
from dataclasses import replace
from typing import Any

import pytest

from assembled import RCCN, RDMA, TINY, WDMA, load, program, small_matrix, store
from knightlite.container import Layer, LowerBound, Program, paired
from knightlite.events import Event, Timeline
from knightlite.isa import Space
from knightlite.profiler import (
    CAUSES,
    LIMITERS,
    LayerProfile,
    Profile,
    profile,
    profile_json,
)
from knightlite.profiler.limiter import BUSY, limiter, limiter_sentence
from knightlite.report import (
    Advice,
    Details,
    Point,
    Tried,
    assumed_advice,
    chosen,
    compiled_advice,
    report_page,
    summary_lines,
)
from knightlite.report import details as details_module
from knightlite.report.details import timeline_spans
from knightlite.report.summary import by_operator, moved_sentence, rates_sentence, shortened
from test_html_pages import HOSTILE, Elements

CHIP = replace(TINY, ddr_efficiency_percent=100, ddr_burst_bytes=64, dma_setup_cycles=100)
LONG = "backbone/stage_3/block_17/expand_conv_bn/BatchNormalization_conv2d_45.w_0/fused"


def net(names: tuple[str, ...] = ("a/in", "conv", "out"), loads: int = 2560) -> Program:
    code = [
        load(Space.FSPM, 0, loads, signal=RCCN),
        small_matrix(layer=1, wait=RDMA, signal=WDMA),
        store(1024, 4096, 16, layer=2, wait=RCCN),
    ]
    return program(code, layers=names, fspm_peak=[2560, 4096, 16], chip=CHIP)


def many_layers(count: int, op: str = "Conv") -> Profile:
    """Names that are long and differ in the middle only; the later, the longer they take."""
    code = [load(Space.FSPM, 0, 640 * (at + 1), layer=at) for at in range(count)]
    made = program(code, layers=[f"{LONG}_{at}_{LONG}" for at in range(count)], chip=CHIP,
                   fspm_peak=[0] * count)  # fmt: skip
    layers = tuple(replace(layer, op=op) for layer in made.meta.layers)
    return profile(paired(replace(made, meta=replace(made.meta, layers=layers))))


def tried(found: Profile, *points: Point, **more: Any) -> Tried:
    assumed = assumed_advice(found, "knightlite profile")
    return Tried(chosen(assumed, compiled_advice(found, points)), assumed, points, **more)


def point(kind: str, time_ms: float | None, why: str = "") -> Point:
    return Point(kind, f"Take another {kind}", f"another {kind}", (f"do {kind}",), time_ms, why)


def page(found: Profile, this: Tried | None = None, **more: Any) -> str:
    given = {
        "memory": (), "listing": [(2, ["one", "two"]) for _ in found.layers],
        "explained": [("conv", "passes", "kept")], "macs_per_second": 1e12,
        "bytes_per_second": 1e10,
    }  # fmt: skip
    details = Details(**{**given, **more})
    return report_page(found, this or tried(found), details, "From n.cfg", "\u00b1 20 %")


def data_of(text: str) -> Any:
    packed = re.search('id="data">([^<]*)<', text)
    assert packed is not None
    return json.loads(gzip.decompress(base64.b64decode(packed[1])))


# ------------------------------------------------------------------ ten lines


def test_lines_by_hand() -> None:
    assert summary_lines(profile(net()), tried(profile(net()), short="that is all")) == [
        "setup of instructions limits it: without it saves 70%",
        "  53.9%  a/in  Conv",
        "  27.8%  out  Conv",
        "  18.3%  conv  Conv",
        " -70.4%  no setup of instructions",
        " -14.4%  clock a quarter faster, DDR as it is",
        " -13.7%  DDR twice as fast",
        "that is all",
    ]


@pytest.mark.parametrize("op", ["Conv", "Conv+Add+Relu+" * 8])
@pytest.mark.parametrize("width", [40, 60])
def test_ten_lines_fit_a_narrow_terminal(op: str, width: int) -> None:
    found = many_layers(9, op)
    lines = summary_lines(found, tried(found, short="x" * 99), width)
    assert len(lines) == 10
    assert max(map(len, lines[1:])) <= width
    assert len(lines[0]) <= 60
    if width == 60 and op == "Conv":  # names that differ in the middle alone are told by neither
        assert [line.split()[0] for line in lines[1:6]] == sorted(
            (line.split()[0] for line in lines[1:6]), key=lambda one: -float(one[:-1])
        )
        assert all("\u2026" in line and line.endswith("  Conv") for line in lines[1:6])
        assert lines[1].split()[1].startswith("backbone/stage_3")


@pytest.mark.parametrize(("count", "shown"), [(4, 4), (5, 5), (6, 5)])
def test_five_layers_are_shown(count: int, shown: int) -> None:
    found = many_layers(count, "Conv")
    lines = summary_lines(found, Tried((), ()))
    assert len(lines) == 1 + shown + 1
    assert lines[-1] == "nothing that was tried makes it faster"


def test_a_short_name_is_not_cut_for_a_long_operator() -> None:
    code = [load(Space.FSPM, 0, 640)]
    made = program(code, layers=("conv_1",), chip=CHIP, fspm_peak=[0])
    layer = replace(made.meta.layers[0], op="+".join(["Conv", "Add"] * 20))
    made = paired(replace(made, meta=replace(made.meta, layers=(layer,))))
    found = profile(made)
    assert "  conv_1  Conv+" in summary_lines(found, tried(found))[1]


@pytest.mark.parametrize(
    ("name", "room", "wanted"),
    [("abcdef", 6, "abcdef"), ("abcdef", 5, "ab\u2026ef"), ("abcdef", 4, "a\u2026ef")],
)
def test_names_lose_their_middle(name: str, room: int, wanted: str) -> None:
    assert shortened(name, room) == wanted


# ------------------------------------------------------------------ what limits


def test_the_limiter_is_what_saves_most() -> None:
    ddr = profile(net(loads=256_000 // 8))
    assert limiter(ddr).part == "ddr"
    assert limiter_sentence(ddr).startswith("The DDR's rate limits net: twice the rate saves 4")
    assert "Busy: DDR 8" in limiter_sentence(ddr)
    quick = replace(ddr, what_ifs=tuple(replace(x, time_ms=ddr.time_ms) for x in ddr.what_ifs))
    assert limiter_sentence(quick).startswith("The DDR limits net: busy 8")
    idle = replace(quick, ddr_busy_cycles=quick.cycles * 7 // 10)
    assert limiter_sentence(idle).startswith("No part alone limits net: they wait for each other.")


def saving(**shares: float) -> Profile:
    """A profile whose what-ifs save these shares of a millisecond, and all others nothing."""
    found = profile(net())
    cycles = found.clock_hz // 1000
    what_ifs = tuple(
        replace(item, time_ms=1 - shares.get(item.part, 0.0)) for item in found.what_ifs
    )
    return replace(found, cycles=cycles, what_ifs=what_ifs)


@pytest.mark.parametrize(
    ("shares", "part"),
    [
        ({"ddr": 0.5, "matrix": 0.25}, "ddr"),
        ({"ddr": 0.25, "matrix": 0.5}, "matrix"),
        ({"ddr": 0.25, "vector": 0.5}, "vector"),
        ({"setup": 0.5, "clock": 0.75}, "setup"),  # the clock is no part
        ({"ddr": 0.5, "matrix": 0.5, "vector": 0.5, "setup": 0.5}, "ddr"),  # of equals the first
        ({"matrix": 0.5, "vector": 0.5, "setup": 0.5}, "matrix"),
        ({"vector": 0.5, "setup": 0.5}, "vector"),
        ({"clock": 0.75, "ddr": 1 / 64}, "order"),
        ({"ddr": 1 / 32}, "ddr"),
        ({}, "order"),
        (dict.fromkeys(LIMITERS, -0.5), "order"),
    ],
)
def test_the_limiter_by_hand(shares: dict[str, float], part: str) -> None:
    found = saving(**shares)
    limit = limiter(found)
    assert limit.part == part
    assert limit.saved == max(shares.get(name, 0.0) for name in LIMITERS)
    first, sentence = summary_lines(found, tried(found))[0], limiter_sentence(found)
    words, saves = {
        "ddr": ("The DDR's rate limits", "twice the rate saves"),
        "matrix": ("Multipliers limit", "twice as many save"),
        "vector": ("Vector lanes and banks limit", "twice as many save"),
        "setup": ("Setup of instructions limits", "without it saves"),
        "order": ("No part alone limits", ""),
    }[part]
    assert sentence.startswith(f"{words} net: ")
    assert first.lower().startswith(f"{words.lower()} it: ")
    value = json.loads(profile_json(found))["limiter"]
    assert value == {"part": part, "saved": limit.saved, "busy": None, "sentence": sentence}
    if saves:
        assert f"{saves} {limit.saved:.0%}" in first
        assert f"{saves} {limit.saved:.0%} of the time. Busy: " in sentence


@pytest.mark.parametrize(
    ("cycles", "layer", "shares", "busy", "filled", "wanted"),
    [  # a bound of 1,000 cycles by the matrix engine, or by weights from a layer on as well
        (1000, "", {}, 970, 0.25, "the matrix engine limits it: busy 97%, 26% of lanes filled"),
        (1000, "", {}, 970, 0.9, "the matrix engine limits it: busy 97%"),
        (1090, "", {"ddr": 0.0625}, 1090, 0.25,
         "the matrix engine limits it: busy 100%, 25% of lanes filled"),
        (1090, "", {"ddr": 0.125}, 1090, 0.25,
         "the DDR's rate limits it: twice the rate saves 12%"),
        (1090, "", {"matrix": 0.0625}, 1090, 0.25, "multipliers limit it: twice as many save 6%"),
        (1200, "", {"ddr": 0.0625}, 1000, 0.25,
         "the DDR's rate limits it: twice the rate saves 6%"),
        (1200, "", {}, 890, 0.25, "no part alone limits it: they wait for each other"),
        (1000, "c", {}, 700, 0.25, "no part alone limits it: they wait for each other"),
        (1000, "", {}, 700, 0.25, "the matrix engine limits it: busy 70%, 36% of lanes filled"),
    ],
)  # fmt: skip
def test_near_its_bound_the_part_of_the_bound_limits(
    cycles: int, layer: str, shares: dict[str, float], busy: int, filled: float, wanted: str
) -> None:
    found = saving(**shares)
    bound = LowerBound(0, 0, 1000, layer)
    found = replace(
        found, cycles=cycles, clock_hz=cycles * 1000, ddr_busy_cycles=0,
        busy_cycles={"RDMA": 0, "WDMA": 0, "RCCN": busy, "RCVT": 0}, mac_utilization=filled,
        certificate=replace(found.certificate, cycles=cycles, bound=bound),
    )  # fmt: skip
    assert summary_lines(found, tried(found))[0] == wanted
    limits = wanted.split(":")[0].replace(" it", " net")
    assert limiter_sentence(found).casefold().startswith(limits.casefold())


def test_little_is_no_limit() -> None:
    """Three percent are the least that counts."""
    quarter = replace(saving(), cycles=500 * 400)  # 0.4 ms
    for saved, part in ((0.3875, "ddr"), (0.3885, "order")):
        what_ifs = tuple(replace(item, time_ms=0.4) for item in quarter.what_ifs)
        first = replace(what_ifs[0], time_ms=saved)
        assert limiter(replace(quarter, what_ifs=(first, *what_ifs[1:]))).part == part


def test_who_is_busiest_stands_first() -> None:
    found = replace(
        saving(), cycles=1000, ddr_busy_cycles=250,
        busy_cycles={"RDMA": 900, "WDMA": 800, "RCCN": 500, "RCVT": 750},
    )  # fmt: skip
    assert limiter_sentence(found).endswith("Busy: vector engine 75%, matrix engine 50%, DDR 25%.")
    rows = re.findall(r"<bdi>([^<]*)</bdi></td><td>(\d+)</td><td>([\d.]+%)</td>", page(found))
    assert [row for row in rows if row[0] in BUSY.values()] == [
        ("DDR", "250", "25.0%"),
        ("matrix engine", "500", "50.0%"),
        ("vector engine", "750", "75.0%"),
    ]


def test_operators_that_take_most_stand_first() -> None:
    """By cycles, whatever the number of layers; of equals by name."""
    found = profile(net())
    rows = [
        replace(found.layers[0], op=op, cycles=cycles)
        for op, cycles in (("B", 3), ("Many", 1), ("Many", 1), ("Many", 1), ("A", 3), ("Most", 4))
    ]
    shares = by_operator(replace(found, layers=tuple(rows), cycles=16))
    assert [(item.name, item.cycles, item.share, item.layers) for item in shares] == [
        ("Most", 4, 4 / 16, 1), ("A", 3, 3 / 16, 1), ("B", 3, 3 / 16, 1), ("Many", 3, 3 / 16, 3),
    ]  # fmt: skip


def test_shares_by_operator_are_all_of_the_time() -> None:
    found = profile(net())
    layers = (replace(found.layers[0], op="Load"), *found.layers[1:])
    shares = by_operator(replace(found, layers=layers))
    assert [(item.name, item.cycles, item.layers) for item in shares] == [
        ("Load", 200, 1), ("Conv", 171, 2),
    ]  # fmt: skip
    assert sum(item.share for item in shares) == pytest.approx(1, abs=1e-12)


# ------------------------------------------------------------------ advice


def test_the_best_of_each_kind_is_shown_then_what_ifs() -> None:
    found = profile(net())
    now = found.time_ms
    points = [
        point("level", now * 0.9), point("level", now * 0.8), point("chip", now * 0.999),
        point("width", now * 1.5), point("size", None, "gone"),
    ]  # fmt: skip
    shown = tried(found, *points).chosen
    assert [(item.kind, round(item.saved, 3)) for item in shown] == [
        ("assumed", 0.704), ("level", 0.2), ("assumed", 0.144),
    ]  # fmt: skip
    assert shown[1].commands == ("do level",)


def advice(kind: str, saved: float) -> Advice:
    return Advice(kind, f"Take {kind}", kind, (f"do {kind}",), 1 - saved, saved)


@pytest.mark.parametrize(
    ("compiled", "assumed", "shown"),
    [
        ((0.5, 0.4, 0.3, 0.2), (0.9,), (0.5, 0.4, 0.3)),  # what can be done stands before what-ifs
        ((0.5, 0.2), (0.9, 0.8), (0.9, 0.5, 0.2)),  # which fill up to three; the best stands first
        ((0.1,), (0.9, 0.8, 0.7), (0.9, 0.8, 0.1)),
        ((), (0.9, 0.8, 0.7, 0.6), (0.9, 0.8, 0.7)),
        ((0.01, 0.0099), (0.01, 0.0099), (0.01, 0.01)),  # a hundredth is worth a line
        ((0.0,), (-0.5,), ()),
    ],
)
def test_three_are_shown(
    compiled: tuple[float, ...], assumed: tuple[float, ...], shown: tuple[float, ...]
) -> None:
    own = [advice(f"kind {at}", saved) for at, saved in enumerate(compiled)]
    found = chosen([advice("assumed", saved) for saved in assumed], own)
    assert tuple(item.saved for item in found) == shown


def test_what_ifs_keep_what_is_assumed_already() -> None:
    found = profile(net(), facts={"clock_hz": 400_000_000})
    commands = [command for item in tried(found).assumed for command in item.commands]
    assert all("--set clock_hz=" in command for command in commands)
    assert max(command.count("--set clock_hz=") for command in commands) == 1
    assert any("--set clock_hz=500000000" in command for command in commands)


# ------------------------------------------------------------------ the page


def test_the_page_says_first_what_limits_and_what_helps() -> None:
    found = profile(net())
    text = page(found, tried(found, point("level", 0.5), point("chip", None, "it is <gone>")))
    order = [
        "setup of instructions limits net", "What would make it faster",
        "no setup of instructions", "5 what-ifs of this program, 1 of 2 other programs",
        "it is &lt;gone&gt;",
        "Where the time goes", "<h2>Layers", "Roofline", "Engines over", "Memories over",
        "Bytes of DDR by cause",
    ]  # fmt: skip
    body = text[text.index("<main>") :].lower()
    places = [body.index(words.lower()) for words in order]
    assert places == sorted(places)
    assert page(found) == page(profile(net()))


def test_the_tables_of_shares_to_the_cell() -> None:
    """Types of layers, engines, causes of bytes: all of 371 cycles and 2,624 bytes."""
    found = profile(net())
    body = re.sub(r'<td class="bars".*?</td>', "", page(found))
    for row in (
        "<bdi>Conv</bdi></td><td>3</td><td>371</td><td>100.0%</td>",
        *(
            f"<bdi>{BUSY[part]}</bdi></td><td>{cycles:,}</td><td>{cycles / 371:.1%}</td>"
            for part, cycles in (("matrix", 68), ("ddr", 103))
        ),
        *(
            f"<bdi>{told}</bdi></td><td>{found.ddr_causes[cause]:,}</td>"
            f"<td>{found.ddr_causes[cause] / 2624:.1%}</td>"
            for cause, told in CAUSES.items()
        ),
    ):
        assert row in body


def test_rates_and_bytes_stand_in_front() -> None:
    found = profile(net())
    assert rates_sentence(found) == (
        "At 500 MHz and 12.8 GB/s of DDR, of which transfers are taken to reach 100 %."
    )
    causes = {"constants": 500_000, "constants_again": 1_500_000, "ends": 0, "features": 2_000_000,
              "padding": 4_000}  # fmt: skip
    moved = replace(found, ddr_causes=causes)
    assert moved_sentence(moved) == (
        "It moves 4.0 MB of DDR: 50.0% features between layers, 12.5% weights, parameters and "
        "tables, 0.1% burst padding; 1.5 MB (37.5%) a second time, because the scratchpads did not "
        "keep it."
    )
    once = replace(found, ddr_causes={**causes, "constants_again": 0})
    assert moved_sentence(once).endswith("; nothing a second time.")
    nothing = replace(found, ddr_causes=dict.fromkeys(causes, 0))
    assert moved_sentence(nothing) == "The DDR moves nothing."
    for sentence in (rates_sentence(moved), moved_sentence(moved)):
        assert sentence in page(moved)


def test_where_all_advice_is_other_hardware_the_page_says_why() -> None:
    found = profile(net())
    untried = page(found, tried(found, remarks=("Nothing was compiled again: it is <gone>",)))
    assert (
        "Nothing was compiled again: it is &lt;gone&gt;. So only other hardware is here; where "
        "profile compiles again, it tries schedule levels, chips, widths and input sizes too."
    ) in untried
    assert "5 what-ifs of this program</summary>" in untried
    slower = page(found, tried(found, point("level", 99.0), point("chip", None, "gone")))
    assert "None of 1 other programs that were compiled is faster. What follows is" in slower
    assert "other hardware" not in page(found, tried(found, point("level", found.time_ms / 2)))


def cells(body: str) -> list[list[str]]:
    """The cells of every row, as text; what sorts them in front, where that is said."""
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", body)
    found = [re.findall(r"<td([^>]*)>(.*?)</td>", row) for row in rows]
    return [
        [
            "".join(re.findall('data-value="([^"]*)"', made)) + re.sub("<[^>]*>", "|", told)
            for made, told in row
        ]
        for row in found
        if row
    ]


def test_the_table_of_layers_to_the_cell() -> None:
    """Every figure another one: what is shown, and what sorting goes by."""
    row = LayerProfile("a", "Conv", 7, 250, 9.0, 54321, 0.125, 1000, 2000, 4096, "vector", 2048)
    found = replace(profile(net()), layers=tuple(replace(row, name=x) for x in "abc"), cycles=2000)
    wanted = [
        "250250", "25012.50%", "5432154,321", "0.12512.5%", "40964,096", "vector", "20482,048",
    ]  # fmt: skip
    body = page(found)
    rows = [line for line in cells(body) if line[-1] == "20482,048"]
    assert [line[2:] for line in rows] == [wanted] * 3
    assert [line[1] for line in rows] == ["|Conv|"] * 3
    assert [line[0].strip("|") for line in rows] == ["a", "b", "c"]
    heads = re.findall(r'<button type="button" title="[^"]*">([^<]*)</button></th>', body)
    assert heads == [
        "layer", "op", "cycles", "%", "MACs", "MAC %", "DDR bytes", "bound by", "FSPM",
    ]  # fmt: skip


def test_the_tables_of_what_was_tried_to_the_cell() -> None:
    """Half the time is half less, twice the time is all of it more."""
    found = saving(ddr=0.25, matrix=0.125, vector=0.0625, setup=0.03125, clock=-0.5)
    points = (point("level", 0.5), point("chip", 2.0), point("size", None, "it is gone"))
    body = page(found, tried(found, *points, remarks=("Said <so>.",)))
    assert (
        "<summary>All that was tried: 5 what-ifs of this program, 2 of 3 other programs</summary>"
    ) in body
    rows = [line for line in cells(body) if line[1:2] in (["clocked again"], ["compiled"])]
    assert rows == [
        ["DDR twice as fast", "clocked again", "0.750", "-25.0%"],
        ["twice the multipliers", "clocked again", "0.875", "-12.5%"],
        ["twice the vector lanes and FSPM banks", "clocked again", "0.938", "-6.2%"],
        ["no setup of instructions", "clocked again", "0.969", "-3.1%"],
        ["clock a quarter faster, DDR as it is", "clocked again", "1.500", "+50.0%"],
        ["another level", "compiled", "0.500", "-50.0%"],
        ["another chip", "compiled", "2.000", "+100.0%"],
    ]
    assert ["another size", "it is gone", "", ""] in cells(body)
    first, second, _ = re.findall(r"<li>(.*?)</li>", body)
    assert re.sub("<[^>]*>", "|", first) == (
        "|50.0% less time|: Take another level. 1.000 \u2192 0.500 ms |(compiled and clocked)|||"
        "do level|"
    )
    assert re.sub("<[^>]*>", "|", second).startswith(
        "|25.0% less time|: A chip with DDR twice as fast, and the same program. 1.000 \u2192 "
        "0.750 ms |(the same program, clocked again)|||knightlite profile --set ddr_"
    )
    assert '<p class="dim">Said &lt;so&gt;.</p>' in body
    none = page(found, tried(saving()))
    assert "Nothing that was tried makes it faster." in none


def test_what_scripts_draw() -> None:
    data = data_of(page(profile(net())))
    assert data["layers"] == ["a/in", "conv", "out"]
    assert data["ownCycles"] == [200, 68, 103]
    assert data["timeline"] == [[0, 200, 0], [268, 103, 2], [200, 68, 1], []]
    assert data["listing"] == [[2, ["one", "two"]]] * 3
    assert data["explained"] == [["conv", "passes", "kept"]]


def test_hostile_names_are_text() -> None:
    plain, hostile = page(profile(net())), page(profile(net(HOSTILE[:3])))
    before, after = (one.index("<main>") for one in (plain, hostile))
    assert Elements(hostile[after:]).found == Elements(plain[before:]).found
    assert data_of(hostile)["layers"] == list(HOSTILE[:3])


def test_nothing_in_a_page_names_an_address_to_ask() -> None:
    text = page(profile(net()))
    assert not re.search(r"(src|href)\s*=|@import|url\(", text)
    assert re.findall(r"https?://[^\s)]*", text) == ["https://github.com/leeoniya/uPlot"]


def test_a_long_timeline_is_drawn_with_gaps_as_work(monkeypatch: pytest.MonkeyPatch) -> None:
    found = many_layers(9)
    whole, gap = timeline_spans(found)
    assert (gap, len(whole[0])) == (0, 27)
    code = [load(Space.FSPM, 0, 64, layer=at // 30) for at in range(90)]
    found = profile(program(code, chip=CHIP, fspm_peak=[0] * 3))
    monkeypatch.setattr(details_module, "MOST_SPANS", 10)
    lanes, gap = timeline_spans(found)
    assert gap > 0
    assert lanes[0] == [0, found.cycles // 3, 0, found.cycles // 3, found.cycles // 3, 1,
                        2 * found.cycles // 3, found.cycles // 3, 2]  # fmt: skip


@pytest.mark.parametrize(("most", "gap"), [(9, 0), (8, 16)])
def test_as_many_spans_as_may_be_drawn(
    most: int, gap: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nine of one engine: three numbers each."""
    monkeypatch.setattr(details_module, "MOST_SPANS", most)
    code = [load(Space.FSPM, 0, 64, layer=at // 3) for at in range(9)]
    assert timeline_spans(profile(program(code, chip=CHIP, fspm_peak=[0] * 3)))[1] == gap


def test_gaps_that_are_drawn_as_work() -> None:
    """Of at most 16 cycles, between work of one layer on one engine."""
    work = (
        ("RDMA", 0, 0, 10), ("WDMA", 0, 5, 20), ("RDMA", 0, 26, 30), ("RDMA", 0, 47, 50),
        ("RDMA", 1, 50, 60), ("RDMA", 0, 60, 61), ("RDMA", 0, 61, 70),
    )  # fmt: skip
    events = tuple(
        Event(at, engine, "load", layer, start, end, end - start, 0, "", 0)
        for at, (engine, layer, start, end) in enumerate(work)
    )
    found = replace(profile(net()), timeline=Timeline(events, 70))
    ends = [50, 10, 1, 60, 10, 0]  # start, length and layer of what is never merged
    assert details_module._lane(found, "RDMA", 0) == [
        0, 10, 0, 26, 4, 0, 47, 3, 0, 50, 10, 1, 60, 1, 0, 61, 9, 0,
    ]  # fmt: skip
    assert details_module._lane(found, "RDMA", 15) == [0, 10, 0, 26, 4, 0, 47, 3, 0, *ends]
    assert details_module._lane(found, "RDMA", 16) == [0, 30, 0, 47, 3, 0, *ends]
    assert details_module._lane(found, "RDMA", 17) == [0, 50, 0, *ends]
    assert details_module._lane(found, "WDMA", 17) == [5, 15, 0]
    assert details_module._lane(found, "RCVT", 17) == []


def test_own_work_of_a_layer_knows_no_neighbours() -> None:
    """Loads and stores share the DDR, engines do not."""
    found = profile(net())
    for cycles, own in (
        ((3, 4, 6, 5), 7), ((3, 4, 8, 5), 8), ((3, 4, 5, 9), 9), ((0, 6, 0, 5), 6), ((0,) * 4, 0),
    ):  # fmt: skip
        events = tuple(
            Event(at, engine, "x", 1, 0, 99, own_cycles, 0, "", 0)
            for at, (engine, own_cycles) in enumerate(
                zip(details_module.ENGINES, cycles, strict=True)
            )
        )
        timeline = Timeline((*events, events[0]._replace(layer=2, cycles=50)), 99)
        assert details_module.own_cycles(replace(found, timeline=timeline)) == [0, own, 50]


def test_a_layer_without_operator_and_a_program_without_time() -> None:
    made = program([], layers=("a",), chip=CHIP, fspm_peak=[0])
    found = profile(made)
    assert summary_lines(found, tried(found))[1] == "   0.0%  a  Conv"
    assert "a</bdi>" in page(found)
    assert isinstance(made.meta.layers[0], Layer)
