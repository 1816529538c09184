"""``profile --diff``: two saved profiles beside each other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assembled import RCCN, RDMA, TINY, WDMA, load, program, small_matrix, store
from knightlite.cli.program import run
from knightlite.container import Program
from knightlite.isa import Space
from knightlite.profiler import (
    CAUSES,
    Assumption,
    LayerProfile,
    SavedProfile,
    profile,
    profile_json,
    read_profile,
)
from knightlite.report import difference, difference_page
from refusals import Refusal
from test_html_pages import HOSTILE, Elements

# a thousandth of the usual clock and rate: milliseconds of a small program have digits
CHIP = replace(
    TINY, clock_hz=500_000, ddr_bytes_per_second=12_800_000, ddr_efficiency_percent=100,
    ddr_burst_bytes=64, dma_setup_cycles=100,
)  # fmt: skip


def net(loads: int, names: tuple[str, ...] = ("in", "conv", "out")) -> Program:
    code = [
        load(Space.FSPM, 0, loads, signal=RCCN),
        small_matrix(layer=1, wait=RDMA, signal=WDMA),
        store(1024, 4096, 16, layer=2, wait=RCCN),
    ]
    return program(code, layers=names, fspm_peak=[2560, 4096, 16], chip=CHIP)


def saved(made: Program) -> bytes:
    return profile_json(profile(made)).encode()


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.json").write_bytes(saved(net(2560)))
    Path("b.json").write_bytes(saved(net(5120, ("in", "conv", "end"))))


def test_what_changed_by_hand() -> None:
    a, b = (read_profile(saved(net(size)), "x") for size in (2560, 5120))
    found = difference(a, b)
    assert found.sentence == (
        "A and B: net on tiny. A takes 0.742 ms a frame, B 0.942 ms, 27.0% more."
    )
    totals = {row[0]: row[1:] for row in found.totals}
    assert totals["cycles"] == ("371", "471", "+27.0%")
    assert totals["DDR bytes written"] == ("16", "16", "=")
    assert totals["  features between layers"] == ("2,576", "5,136", "+99.4%")
    assert found.layers == (("in", "0.4000", "0.6000", "+0.2000"),)
    assert found.operators == (("Conv", "0.7420", "0.9420", "+0.2000"),)
    assert found.only == ""
    same = difference(a, a)
    assert same.sentence.endswith("B 0.742 ms, the same.")
    assert {row[3] for row in same.totals} == {"="}
    assert same.layers == same.operators == ()


def test_layers_that_one_of_both_has() -> None:
    a, b = (
        read_profile(saved(net(2560, names)), "x") for names in (("a", "b", "c"), ("a", "d", "e"))
    )
    found = difference(a, b)
    assert found.only == "2 layers only in A, 2 only in B."
    assert ("b", "0.1360", "", "-0.1360") in found.layers
    assert ("d", "", "0.1360", "+0.1360") in found.layers


def row(name: str, time_ms: float, op: str = "Conv") -> LayerProfile:
    return LayerProfile(name, op, 1, 1, time_ms, 0, 0.0, 0, 0, 0, "latency", 0)


def given(first: int, *layers: LayerProfile, **more: Any) -> SavedProfile:
    """A profile of which every number is another one, counted from ``first``."""
    names = ("clock_hz", "cycles", "macs", "ddr_read_bytes", "ddr_write_bytes",
             "ddr_burst_bytes", "ddr_busy_cycles")  # fmt: skip
    numbers = {name: first + at for at, name in enumerate(names)}
    causes = {cause: first + 10 + at for at, cause in enumerate(CAUSES)}
    engines = {name: first + 20 + at for at, name in enumerate(("RDMA", "WDMA", "RCCN", "RCVT"))}
    fields = {"name": "net", "chip": "tiny", "assumed": (), "latency_ms": 1.0, **numbers}
    return SavedProfile(
        **{**fields, **more}, ddr_bytes_by_cause=causes, engine_busy_cycles=engines, layers=layers
    )


def test_every_total_is_of_its_own_number() -> None:
    found = difference(given(1000), given(2000)).totals
    assert [(name.strip(), one, two) for name, one, two, _ in found] == [
        ("cycles", "1,001", "2,001"),
        ("clock, Hz", "1,000", "2,000"),
        ("multiply-accumulates", "1,002", "2,002"),
        ("DDR bytes read", "1,003", "2,003"),
        ("DDR bytes written", "1,004", "2,004"),
        ("DDR bytes in bursts", "1,005", "2,005"),
        *(
            (told.partition(":")[0], f"{1010 + at:,}", f"{2010 + at:,}")
            for at, told in enumerate(CAUSES.values())
        ),
        ("DDR busy, cycles", "1,006", "2,006"),
        ("matrix engine busy, cycles", "1,022", "2,022"),
        ("vector engine busy, cycles", "1,023", "2,023"),
    ]


def test_changes_are_of_what_was() -> None:
    """Down by three quarters, up by three times; from nothing, to nothing."""
    totals = [
        {row[0]: row[3] for row in difference(a, b).totals}["cycles"]
        for a, b in (
            (given(1, cycles=400), given(1, cycles=100)),
            (given(1, cycles=100), given(1, cycles=400)),
            (given(1, cycles=0), given(1, cycles=7)),
            (given(1, cycles=7), given(1, cycles=0)),
            (given(1, cycles=0), given(1, cycles=0)),
        )
    ]
    assert totals == ["-75.0%", "+300.0%", "new", "-100.0%", "="]
    told = "A and B: net on tiny. A takes 4.000 ms a frame, B 1.000 ms, 75.0% less."
    assert difference(given(1, latency_ms=4.0), given(1)).sentence == told
    assert "B 4.000 ms, 300.0% more." in difference(given(1), given(1, latency_ms=4.0)).sentence


def test_both_are_named_where_they_are_not_one() -> None:
    facts = (Assumption("clock_hz", 5, 1000), Assumption("vector_lanes", 6, 7))
    other = given(1, chip="huge", assumed=facts)
    assert difference(given(1), other).sentence == (
        "A: net on tiny; B: net on huge. A takes 1.000 ms a frame, B 1.000 ms, the same. B is of a "
        "chip that is assumed: clock_hz = 5 instead of 1,000; vector_lanes = 6 instead of 7."
    )
    assert " ms, the same. A is of a chip that is assumed: " in difference(other, given(1)).sentence


def test_what_changed_most_stands_first() -> None:
    """Whether it grew or shrank; of equal changes as the layers stand, and ten of them."""
    a = given(1, row("a", 2.0), row("b", 5.0), row("gone", 1.5, "Add"), row("same", 9.0))
    b = given(1, row("new", 3.0, "Pool"), row("a", 4.5), row("b", 2.0), row("same", 9.0))
    found = difference(a, b)
    assert found.layers == (
        ("b", "5.0000", "2.0000", "-3.0000"),
        ("new", "", "3.0000", "+3.0000"),
        ("a", "2.0000", "4.5000", "+2.5000"),
        ("gone", "1.5000", "", "-1.5000"),
    )
    assert found.operators == (
        ("Pool", "", "3.0000", "+3.0000"),
        ("Add", "1.5000", "", "-1.5000"),
        ("Conv", "16.0000", "15.5000", "-0.5000"),
    )
    assert found.only == "1 layers only in A, 1 only in B."
    many = given(1, *(row(f"l{at}", 1.0 + at) for at in range(12)))
    assert difference(many, a).only == "12 layers only in A, 4 only in B."
    assert [line[0] for line in difference(given(1), many).layers] == [
        f"l{at}" for at in range(11, 1, -1)
    ]
    assert difference(given(1), many).only == "0 layers only in A, 12 only in B."
    assert difference(many, given(1)).only == "12 layers only in A, 0 only in B."


def test_the_command(two: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["profile", "--diff", "a.json", "b.json", "--html", "page.html"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("A and B: net on tiny. A takes 0.742 ms a frame, B 0.942 ms")
    assert "1 layers only in A, 1 only in B." in lines
    assert any(line.split() == ["cycles", "371", "471", "+27.0%"] for line in lines)
    assert "A: a.json" in Path("page.html").read_text("utf-8")
    assert sorted(path.name for path in Path().iterdir()) == ["a.json", "b.json", "page.html"]


def test_names_are_text() -> None:
    plain, hostile = (
        difference(*(read_profile(saved(net(size, names)), "x") for size in (2560, 5120)))
        for names in (("a", "b", "c"), HOSTILE[:3])
    )
    pages = [difference_page(found, "a", "b") for found in (plain, hostile)]
    assert Elements(pages[0]).found == Elements(pages[1]).found


@pytest.mark.parametrize(
    ("change", "sentence", "hint"),
    [
        ({"schema": "knightlite.profile/2"},
         "b.json must be of schema knightlite.profile/1, not \"knightlite.profile/2\".",
         "profile the network again with this version"),
        ({"schema": None}, "b.json is no profile: it has no schema.",
         "name two X.profile.json, which profile leaves"),
        ({"ddr_bytes_by_cause": None, "macs": None},
         "b.json has no macs, ddr_bytes_by_cause: another version wrote it.",
         "profile the network again with this version"),
        ({"cycles": "many"}, "b.json is damaged: cycles must be *",
         "profile the network again with this version"),
        ({"layers": [{"name": "a"}]}, "b.json is damaged: layers[0]*",
         "profile the network again with this version"),
    ],
)  # fmt: skip
def test_other_files_are_refused(
    change: dict[str, Any], sentence: str, hint: str, two: None, capsys: pytest.CaptureFixture[str]
) -> None:
    value = json.loads(Path("b.json").read_bytes())
    value = {key: item for key, item in (value | change).items() if item is not None}
    Path("b.json").write_text(json.dumps(value))
    words = ["profile", "--diff", "a.json", "b.json", "--html", "page.html"]
    Refusal(capsys)(words, 1, sentence, hint)


def test_other_words_are_refused(two: None, capsys: pytest.CaptureFixture[str]) -> None:
    refused = Refusal(capsys)
    refused(["profile", "--diff", "a.json"], 2, "--diff takes two profiles, not 1.",
            "as in --diff before/X_r.profile.json after/X_r.profile.json")  # fmt: skip
    words = ["profile", "--diff", "a.json", "c.json"]
    hint = "the files there are a.json, b.json; profile leaves X.profile.json"
    refused(words, 2, "profile c.json does not exist.", hint)
    Path("c.json").write_bytes(b"\x08\x07")  # a model, for instance
    refused(words, 1, "c.json is no profile: it does not begin as one.",
            "name two X.profile.json, which profile leaves")  # fmt: skip
    Path("c.json").write_bytes(b"{\xff")
    refused(words, 1, "c.json is damaged: it is not JSON *",
            "profile the network again with this version")  # fmt: skip
    words = ["profile", "--diff", "a.json", "b.json", "--json"]
    refused(words, 2, "--diff prints tables: it has no --json.", "--html FILE writes a page")
