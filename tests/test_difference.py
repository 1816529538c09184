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
from knightlite.profiler import profile, profile_json, read_profile
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
    refused(["profile", "--diff", "a.json"], 2, "--diff takes two profiles, not 1.")
    words = ["profile", "--diff", "a.json", "c.json"]
    refused(words, 2, "file c.json does not exist.", "profile leaves X.profile.json")
    Path("c.json").write_bytes(b"\xff{")
    refused(words, 1, "c.json is damaged: it is not JSON *",
            "profile the network again with this version")  # fmt: skip
    words = ["profile", "--diff", "a.json", "b.json", "--json"]
    refused(words, 2, "--diff prints tables: it has no --json.", "--html FILE writes a page")
