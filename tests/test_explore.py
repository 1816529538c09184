"""``explore``: every model on every chip, the same bytes however often it was stopped."""

from __future__ import annotations

import base64
import gzip
import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import knightlite
from browsers import look_at, needs_browser
from knightlite import chip_files
from knightlite.api import processes
from knightlite.api.exploration import (
    bar_notes,
    explore,
    page,
    points,
    records,
    run,
    smallest,
    told_of_rate,
)
from knightlite.api.exploration.networks import Source, _naming, in_width, read_source
from knightlite.api.exploration.records import Accuracy, Exploration, Network, Point, Size, Time
from knightlite.api.exploration.trade import with_best
from knightlite.cli.program import run as command
from knightlite.errors import FormatError, UsageError
from knightlite.json_records import canonical_json
from knightlite.options.explore import ExploreOptions
from knightlite.options.quantize import QuantizeOptions
from knightlite.report import ExploredNetwork, ExploredPoint, exploration_page
from knightlite.talk import Talk
from onnx_nets import Net
from test_html_pages import HOSTILE

ROOT = Path(__file__).parent.parent
Capture = pytest.CaptureFixture[str]
SMALL = ("TX5112CV201", "TX5368AV200")


def net(folder: Path, name: str, channels: int = 8) -> Path:
    made = Net(seed=channels)
    made.input("x", (1, 3, 16, 16))
    made.conv("x", "a", (channels, 3, 3, 3), pads=[1, 1, 1, 1])
    made.node("Relu", ["a"], "b")
    made.conv("b", "y", (4, channels, 1, 1))
    return made.save(folder, "y").rename(folder / name)


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    monkeypatch.chdir(tmp_path)
    return net(tmp_path, "a.onnx"), net(tmp_path, "b.onnx", 24)


def asked(*models: Path, **changes: Any) -> ExploreOptions:
    options = ExploreOptions(models=models, chips=SMALL, workers=1)
    return replace(options, **changes)


# ------------------------------------------------------------------ what a point is


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("chip", SMALL)
def test_a_point_is_what_compiling_and_profiling_say(here: Path, chip: str, level: int) -> None:
    """A quantized model keeps its widths; nothing of it is made up."""
    model = Path("digits_quantize.onnx")
    found = explore(asked(model, chips=(chip,), levels=(level,), widths=(8, 16)))
    (point,) = found.points
    compiled = knightlite.compile(model, chip=chip, opt_group=level)
    profiled = knightlite.profile(compiled)
    assert point.bits is None
    assert point.time is not None
    assert point.time.cycles == profiled.cycles
    assert point.time.latency_ms == profiled.time_ms
    assert point.time.moved_bytes == profiled.burst_bytes
    assert point.time.ddr_bytes == compiled.figures["ddr_bytes"]
    assert profiled.certainty is not None
    assert point.time.error_percent == profiled.certainty.percent
    assert point.time.extrapolated == profiled.certainty.extrapolated


def test_a_float_model_has_the_time_of_the_quantized_one(here: Path) -> None:
    """In 8 bits and in 16, with pictures and without; pictures tell what is kept."""
    shutil.copy(here / "digits_quantize.onnx", "known.onnx")
    alone = explore(asked(Path("digits.onnx"), Path("known.onnx"), widths=(8, 16)))
    cycles = {(p.model, p.chip, p.bits): p.time.cycles for p in alone.points if p.time is not None}
    for chip in (0, 1):
        assert cycles[0, chip, 8] == cycles[1, chip, None]
    assert cycles[0, 1, 16] > cycles[0, 1, 8]
    assert alone.models[0].accuracy == ()
    told = explore(
        asked(
            Path("digits.onnx"), widths=(8, 16), data="calib", recipe="digits", iteration=4,
            chips=SMALL[1:], result=Path("told.json"),
        )
    )  # fmt: skip
    narrow, broad = told.models[0].accuracy
    assert (narrow.bits, broad.bits) == (8, 16)
    assert narrow.sqnr_db is not None
    assert broad.sqnr_db is not None
    assert 15 < narrow.sqnr_db < broad.sqnr_db
    assert (narrow.pictures, narrow.output) == (4, broad.output)
    assert [point.best for point in told.points] == [True, True]  # slower, but keeps more


def test_facts_are_varied_in_all_combinations(two: tuple[Path, Path]) -> None:
    facts = (("dma_setup_cycles", (200, 20)), ("fspm_bytes", (65536, 1 << 40, 3)))
    found = explore(asked(two[0], chips=SMALL[1:], facts=facts))
    sizes = [tuple(size.facts.values()) for size in found.chips]
    assert sizes == [
        (200, 65536), (200, 1 << 40), (200, 3), (20, 65536), (20, 1 << 40), (20, 3),
    ]  # fmt: skip
    runs = [point.time is not None for point in found.points]
    assert runs == [size.refused is None for size in found.chips] == [True, False, False] * 2
    slow, fast = (found.points[place].time for place in (0, 3))
    assert slow is not None
    assert fast is not None
    assert slow.cycles > fast.cycles
    assert slow.extrapolated[-2:] == (
        "boards ran schedule level 0, this is 1",
        "fspm_bytes is assumed",
    )
    assert slow.extrapolated[0] == "dma_setup_cycles, which is fitted to boards, is assumed"
    assert slow.error_percent is None
    assert fast.extrapolated == slow.extrapolated[1:]  # 20 is the chip's own
    assert fast.error_percent == 25
    chip = chip_files.find(SMALL[1]).chip
    assert found.chips[0].on_chip_bytes == 65536 + chip.wspm_bytes + chip.mspm_bytes
    same = explore(
        asked(two[0], chips=SMALL[1:], facts=(("vector_lanes", (chip.vector_lanes,)),),
              result=Path("same.json"))
    )  # fmt: skip
    plain = explore(asked(two[0], chips=SMALL[1:], result=Path("plain.json")))
    assert same.chips[0].digest == plain.chips[0].digest
    assert same.points == plain.points


def test_what_quant_warns_of_names_no_file_that_is_not_there(two: tuple[Path, Path]) -> None:
    """Said once of a network, in front of its warnings."""
    said: list[str] = []
    talk = Talk(say=said.append, warn=said.append)
    asked_of = QuantizeOptions(model=Path("a.onnx"), chip="TX5105C", data="calib", bit_width=16)
    told = _naming(Path("a.onnx"), 16, asked_of, talk)
    told.say("nothing is said of stages")
    assert said == []
    for sentence in ("one", "another"):
        told.warn(sentence)
    assert said == [
        "a.onnx at 16 bits: explore leaves neither the quantized model nor its report, which the "
        "next warning may name; `knightlite quant -m a.onnx --chip TX5105C -d calib -b 16` does.",
        "a.onnx at 16 bits: one",
        "a.onnx at 16 bits: another",
    ]


# ------------------------------------------------------------------ stopped, and gone on


def test_chips_of_the_same_figures_keep_their_own_bars(two: tuple[Path, Path]) -> None:
    """Of five names for one machine one was measured: again, and under another name."""
    names = ("TX5336AV200", "TX5368AV200", "TX5256AV200")
    found = explore(asked(two[0], chips=names))
    assert len({size.digest for size in found.chips}) == 1
    first, measured, last = (point.time for point in found.points)
    assert first is not None
    assert measured is not None
    assert last is not None
    assert first.extrapolated[0] == "TX5336AV200 itself was never measured"
    assert "never measured" not in " ".join(measured.extrapolated)
    assert last.extrapolated[0] == "TX5256AV200 itself was never measured"
    again = explore(asked(two[0], chips=names))
    assert again.points == found.points
    for name in ("TX5339AV200", "TX5336AV200"):
        explore(asked(two[0], chips=names[1:], result=Path("those.json")))
        other = explore(asked(two[0], chips=(name,), result=Path("those.json")))
        fresh = explore(asked(two[0], chips=(name,), result=Path(f"{name}.json")))
        assert other.points == fresh.points


def test_accuracy_is_asked_for_once(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Points without pictures do not stand for points with them; those with the same ones do."""
    plain = asked(Path("digits.onnx"), chips=SMALL[1:])
    with_pictures = replace(plain, data="calib", recipe="digits", iteration=2)
    explore(plain)
    told = explore(with_pictures)
    assert [item.sqnr_db is not None for item in told.models[0].accuracy] == [True]
    whole = plain.result.read_bytes()
    monkeypatch.setattr(run, "timed", lambda task: pytest.fail("it is known"))
    monkeypatch.setattr(run, "quantized", lambda *_: pytest.fail("it is known"))
    assert explore(with_pictures) == told
    assert plain.result.read_bytes() == whole


def test_the_same_bytes_however_often_it_was_stopped(
    two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = asked(*two, levels=(0, 1), widths=(8, 16))
    explore(options)
    whole = options.result.read_bytes()
    assert len(json.loads(whole)["points"]) == 16
    partly = replace(options, result=Path("partly.json"))
    done: list[object] = []

    def stopping(task: points.Task) -> Time | str:
        done.append(task)
        if len(done) % 4 == 0:
            raise KeyboardInterrupt
        return points.timed(task)

    monkeypatch.setattr(run, "timed", stopping)
    stops = 0
    while True:
        try:
            explore(partly)
            break
        except KeyboardInterrupt:
            stops += 1
            left = json.loads(partly.result.read_bytes())
            assert not left["finished"]
            assert len(left["points"]) == 3 * stops
    assert stops == 5
    assert len(done) == 16 + stops
    assert partly.result.read_bytes() == whole
    monkeypatch.setattr(run, "timed", lambda task: pytest.fail("it is known"))
    explore(partly)
    assert partly.result.read_bytes() == whole


def test_processes_make_the_same_bytes(two: tuple[Path, Path]) -> None:
    explore(asked(*two))
    explore(asked(*two, workers=2, result=Path("two.json")))
    assert Path("two.json").read_bytes() == Path("explore.json").read_bytes()


def test_ctrl_c_ends_workers_in_their_work(two: tuple[Path, Path]) -> None:
    """Level 2 of a large search takes minutes: nobody waits for it."""
    code = (
        "import time\n"
        "from knightlite.api.exploration import points, run\n"
        "def slow(task):\n"
        "    print('begun', flush=True)\n"
        "    time.sleep(600)\n"
        "run.timed = slow\n"
        "if __name__ == '__main__':\n"
        "    from knightlite.cli import main\n"
        "    main(['explore', '-m', 'a.onnx', 'b.onnx', '-j', '2'])\n"
    )
    Path("slow.py").write_text(code, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "slow.py"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == ["begun\n"] * 2
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert err.rstrip().endswith("Stopped.")
    assert not Path("explore.json").exists()  # nothing is known


def test_only_what_changed_is_computed_again(
    two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two
    explore(asked(first, second))
    seen: list[tuple[str, int]] = []

    def timed(task: points.Task) -> Time | str:
        seen.append((task.name, task.level))
        return points.timed(task)

    def again(options: ExploreOptions) -> list[tuple[str, int]]:
        seen.clear()
        explore(options)
        return list(seen)

    monkeypatch.setattr(run, "timed", timed)
    assert again(asked(second)) == []
    assert again(asked(second, first)) == [(name, 1) for name in SMALL]  # second alone was kept
    net(first.parent, "a.onnx", 9)
    assert again(asked(second, first)) == [(name, 1) for name in SMALL]
    assert again(asked(second, levels=(1, 0))) == [(name, 0) for name in SMALL]
    found = json.loads(Path("explore.json").read_bytes())
    Path("explore.json").write_bytes(canonical_json({**found, "version": "0.0"}) + b"\n")
    said: list[str] = []
    explore(asked(second), Talk(say=said.append))
    assert said == ["explore.json is of version 0.0: all points are computed anew."]


def test_points_that_are_dropped_are_said(
    two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is that of one question; what is replaced, renamed or never ran is not lost."""
    first, second = (Path(path.name) for path in two)

    def warned(options: ExploreOptions, file: str = "explore.json") -> list[str]:
        said: list[str] = []
        explore(replace(options, result=Path(file)), Talk(warn=said.append))
        return said

    assert warned(asked(first, second, widths=(8, 16))) == []
    whole = Path("explore.json").read_bytes()
    assert warned(asked(first, second, widths=(8, 16), levels=(1, 0))) == []
    Path("explore.json").write_bytes(whole)
    assert warned(asked(second, widths=(8, 16)), "other.json") == []
    assert warned(asked(second, widths=(8, 16))) == [
        "explore.json no longer holds 4 points of an earlier exploration, which are not asked for "
        "now: a.onnx on TX5112CV201 (level 1, 8 bits) and 3 more. Hint: another file (-o FILE) "
        "keeps both"
    ]
    assert warned(asked(second, widths=(8, 16))) == []
    assert "no longer holds 2 points of" in warned(asked(second))[0]
    (last,) = warned(asked(second, chips=SMALL[1:]))
    assert "no longer holds 1 point of an earlier exploration, which is not asked for now" in last
    renamed = second.rename("c.onnx")
    assert warned(asked(renamed, chips=SMALL[1:])) == []
    net(Path(), "c.onnx", 9)
    assert warned(asked(renamed, chips=SMALL[1:])) == []
    kept = Path("explore.json").read_bytes()

    def stopping(task: points.Task) -> Time | str:
        if task.level:
            raise KeyboardInterrupt
        return points.timed(task)

    monkeypatch.setattr(run, "timed", stopping)
    said: list[str] = []
    for levels, count in (((1,), 0), ((0, 1), 1)):  # before anything is known, and then
        with pytest.raises(KeyboardInterrupt):
            explore(asked(first, levels=levels), Talk(warn=said.append))
        assert len(said) == count
        assert (Path("explore.json").read_bytes() == kept) == (not count)
    assert "no longer holds 1 point" in said[0]


def test_decibels_that_are_dropped_are_said(
    two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = asked(two[0], chips=SMALL[1:])
    explore(options)
    found = records.read(options.result)
    assert found is not None
    kept = Accuracy(bits=8, data="0" * 64, sqnr_db=20.0, output="y", pictures=4)
    network = replace(found.models[0], accuracy=(kept,))
    options.result.write_bytes(records.text(replace(found, models=(network,))))
    told = options.result.read_bytes()
    said: list[str] = []
    for count in (1, 1):  # without pictures, and again
        explore(options, Talk(warn=said.append))
        assert len(said) == count
    assert "no longer holds 1 point of" in said[0]
    options.result.write_bytes(told)
    graph = read_source(two[0], options, Talk()).float_graph
    assert graph is not None
    made = in_width(graph, 8)
    monkeypatch.setattr(run, "data_digest", lambda options: "1" * 64)  # other pictures: anew
    monkeypatch.setattr(
        run, "quantized", lambda path, bits, chip, data, *_: (replace(kept, data=data), made)
    )
    explore(options, Talk(warn=said.append))
    assert len(said) == 1


def test_a_file_of_another_kind_is_not_written_over(two: tuple[Path, Path]) -> None:
    for text, kind, sentence in (
        (
            "a letter",
            UsageError,
            r"^mine\.json is not a file of explore: it is not written over\.$",
        ),
        (
            '{"schema":"knightlite.explore/1"}',
            FormatError,
            r"^mine\.json is damaged: version must be a text, not absent\.",
        ),
    ):
        Path("mine.json").write_text(text, encoding="utf-8")
        with pytest.raises(kind, match=sentence):
            explore(asked(two[0], result=Path("mine.json")))
        assert Path("mine.json").read_text(encoding="utf-8") == text


# ------------------------------------------------------------------ what does not run


def test_what_does_not_run_is_a_sentence_and_the_rest_goes_on(
    two: tuple[Path, Path], capsys: Capture
) -> None:
    Path("bad.onnx").write_bytes(b"no network")
    unsupported = Net()
    unsupported.input("x", (1, 3, 8, 8))
    unsupported.node("Det", ["x"], "y")
    unsupported.save(Path(), "y").rename("det.onnx")
    words = ["explore", "-m", "a.onnx", "no.onnx", "bad.onnx", "det.onnx", "-b", "8", "16"]
    words += ["--chips", "TX5105C", "--set", "fspm_bytes=65536,16", "-j", "1"]
    assert command(words) == 0
    out = capsys.readouterr().out
    found = json.loads(Path("explore.json").read_bytes())
    assert len(found["points"]) == 16
    assert sum("time" in point for point in found["points"]) == 1
    assert all(("time" in point) != ("refused" in point) for point in found["points"])
    for line in (
        "no.onnx: file no.onnx does not exist.",
        "bad.onnx: ",
        "det.onnx: ",
        "a.onnx on TX5105C fspm_bytes=65536 (level 1, 16 bits), TX5105C fspm_bytes=16 (level 1, "
        "16 bits): the chip has no 16 bits.",
    ):
        assert f"\n{line}" in out
    assert "TX5105C fspm_bytes=16" in out


def test_where_nothing_runs_no_file_is_written(two: tuple[Path, Path], capsys: Capture) -> None:
    """Sentences go to stderr; ``--json`` prints the result all the same."""
    small = ["-m", "a.onnx", "--chips", "TX5105C", "-j", "1", "--html", "page.html"]
    narrow = ["explore", *small, "-b", "16"]
    before = sorted(Path().rglob("*"))
    assert command(narrow) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "Error: none of 1 points runs; no file is written.\n" in said.err
    assert "\n  - a.onnx on TX5105C (level 1, 16 bits): the chip has no 16 bits." in said.err
    assert command([*narrow, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [point["refused"] for point in found["points"]] == ["the chip has no 16 bits."]
    assert sorted(Path().rglob("*")) == before
    assert command(["explore", *small]) == 0
    whole = Path("explore.json").read_bytes()
    assert command(narrow) == 1
    assert Path("explore.json").read_bytes() == whole  # known before, and still


def test_models_that_cannot_be_read(two: tuple[Path, Path], capsys: Capture) -> None:
    assert command(["explore", "-m", "no.onnx", "-j", "1"]) == 2
    assert command(["explore", "-m", "no.onnx", "none.onnx", "-j", "1"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    first, hint = (
        "Error: file no.onnx does not exist.\n",
        "Hint: the files there are a.onnx, b.onnx",
    )
    second = f"  - none.onnx: file none.onnx does not exist. {hint}\n"
    assert said.err == f"{first}{hint}\n{first}{second}{hint}\n"
    assert not Path("explore.json").exists()


def test_a_page_that_cannot_be_written_leaves_the_points(
    two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("page.html").mkdir()
    options = asked(two[0], page=Path("page.html"))
    with pytest.raises(UsageError, match=r"^page\.html cannot be written: it is a folder\.$"):
        explore(options)
    assert not json.loads(Path("explore.json").read_bytes())["finished"]
    monkeypatch.setattr(run, "timed", lambda task: pytest.fail("it is known"))
    explore(replace(options, page=Path("other.html")))
    assert json.loads(Path("explore.json").read_bytes())["finished"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "Missing option '-m' / '--model'"),
        (["-m", "a.onnx", "--chips", "TX9"], "chip TX9 is not known."),
        (["-m", "a.onnx", "--set", "lanes=3"], "a chip has no fact called lanes."),
        (["-m", "a.onnx", "--set", "vector_lanes"], "must be a fact of a chip and whole numbers"),
        (["-m", "a.onnx", "--set", "vector_lanes=1.5"], "must be a fact of a chip and whole"),
        (
            ["-m", "a.onnx", "--set", "vector_lanes=8", "--set", "vector_lanes=9"],
            "--set vector_lanes is given 2 times.",
        ),
        (["-m", "a.onnx", "--opt-group", "3"], "3 is none of 0, 1, 2."),
        (["-m", "a.onnx", "-b", "4"], "4 is none of 8, 16."),
        (["-m", "a.onnx", "-d", "calib"], "-d tells nothing without --recipe"),
        (["-m", "a.onnx", "--recipe", "digits"], "--recipe tells nothing without -d"),
        (["-m", "a.onnx", "-i", "3"], "-i tells nothing without -d and --recipe"),
        (["-m", "a.onnx", "-j", "0"], "workers must be at least 1, not 0."),
        (["-m", "a.onnx", "--fps", "0"], "frames a second must be at least 1e-06, not 0.0."),
        (["-m", "a.onnx", "--chip", "TX5105C", "--chips", "TX5105C"], "both say which chips."),
        (["-m", "a.onnx", "-d", "nowhere", "--recipe", "digits"], "nowhere"),
        (["-m", "a.onnx", "-o", "a.onnx/x.json"], "a.onnx"),
    ],
)
def test_requests_that_cannot_be_met(
    two: tuple[Path, Path], capsys: Capture, words: list[str], sentence: str
) -> None:
    assert command(["explore", *words]) == 2
    assert sentence in " ".join(capsys.readouterr().err.split())
    assert not Path("explore.json").exists()


# ------------------------------------------------------------------ which are worth it


def point(
    chip: int, ms: float | None, bits: Any = 8, model: int = 0, bar: int | None = 10
) -> Point:
    time = None
    if ms is not None:
        time = Time(cycles=1, latency_ms=ms, error_percent=bar, moved_bytes=1, ddr_bytes=1)
    return Point(model=model, chip=chip, level=1, bits=bits, time=time, best=False)


CHIPS = tuple(
    Size(name=f"{size}", facts={}, digest="0" * 64, on_chip_bytes=size, macs_per_cycle=macs)
    for size, macs in ((100, 4), (100, 8), (200, 8))
)
KEPT = (
    Accuracy(bits=8, data="0" * 64, sqnr_db=20.0, pictures=1),
    Accuracy(bits=16, data="0" * 64, pictures=1),  # nothing is lost
)


@pytest.mark.parametrize(
    ("given", "accuracy", "best"),
    [
        ([point(0, 5.0), point(1, 5.0), point(2, 5.0)], (), [True, False, False]),
        ([point(0, 5.0), point(1, 4.0), point(2, 4.5)], (), [True, True, False]),
        ([point(0, 5.0), point(0, 5.0)], (), [True, True]),
        ([point(0, 5.0), point(0, 6.0, 16)], (), [True, False]),
        ([point(0, 5.0), point(0, 6.0, 16)], KEPT, [True, True]),
        ([point(0, 5.0), point(0, 4.0, 16)], KEPT, [False, True]),
        ([point(0, 5.0), point(1, None), point(1, 4.0, model=1)], (), [True, False, True]),
    ],
)
def test_best_is_what_no_other_beats(given: list[Point], accuracy: Any, best: list[bool]) -> None:
    networks = (Network(file="a", accuracy=accuracy), Network(file="b"))
    assert [item.best for item in with_best(given, networks, CHIPS)] == best


@pytest.mark.parametrize(
    ("rate", "nominal", "surely"),
    [(100.0, 0, 1), (100.1, 1, 1), (125.0, 1, 2), (200.0, 2, None), (250.0, None, None)],
)
def test_the_smallest_chip_for_a_rate(rate: float, nominal: int | None, surely: int | None) -> None:
    """At 10 ms exactly 100 frames a second; the bar of ten percent counts against it."""
    given = (point(2, 5.0), point(1, 8.0), point(0, 10.0), point(0, None))
    found = Exploration(
        schema=records.SCHEMA, version="", finished=True, models=(Network(file="a"),),
        chips=CHIPS, points=given,
    )  # fmt: skip
    (row,) = smallest(found, rate)
    assert (row.point and row.point.chip, row.surely and row.surely.chip) == (nominal, surely)


def test_what_the_command_says_of_a_rate(two: tuple[Path, Path], capsys: Capture) -> None:
    words = ["explore", "-m", "a.onnx", "--chips", *SMALL, "-j", "1", "--fps"]
    assert command([*words, "1"]) == 0
    out = capsys.readouterr().out
    told = "a.onnx: the smallest chip for 1 frames/s, the host's share apart, is TX5112CV201 (level"
    assert f"{told} 1, 8 bits) with " in out
    found = records.read(Path("explore.json"))
    assert found is not None
    time = found.points[0].time
    assert time is not None
    assert f": {time.words}, {time.longest_text} ms at most, which is enough too." in out
    told = "\n\u00b1 (N) is extrapolated: TX5112CV201 itself was never measured; boards ran"
    assert told in out
    assert command([*words, "1e9"]) == 0
    assert "a.onnx: no chip here runs 1000000000 frames/s." in capsys.readouterr().out


AT = "(level 1, 8 bits) with 0 KiB on chip and"
NONE_HERE = "; with the bar against it none here runs so many."


@pytest.mark.parametrize(
    ("rate", "bar", "told"),
    [
        (100.0, 10, f"100 {AT} 4 MAC/cycle: 10 ms \u00b1 10 %, 11 ms at most; with the bar against "
         f"it, 100 {AT} 8 MAC/cycle: 8 ms \u00b1 10 %, 8.8 ms at most."),
        (90.0, 10, f"100 {AT} 4 MAC/cycle: 10 ms \u00b1 10 %, 11 ms at most, which is enough too."),
        (200.0, 10, f"200 {AT} 8 MAC/cycle: 5 ms \u00b1 10 %, 5.5 ms at most{NONE_HERE}"),
        (100.0, None, f"100 {AT} 4 MAC/cycle: 10 ms without a bar{NONE_HERE}"),
    ],
)  # fmt: skip
def test_a_rate_is_told_with_the_bar_that_counts(rate: float, bar: int | None, told: str) -> None:
    """What no bar bounds is never sure."""
    given = (point(2, 5.0, bar=bar), point(1, 8.0, bar=bar), point(0, 10.0, bar=bar))
    found = Exploration(
        schema=records.SCHEMA, version="", finished=True, models=(Network(file="a"),),
        chips=CHIPS, points=given,
    )  # fmt: skip
    (row,) = smallest(found, rate)
    first = f"a: the smallest chip for {rate:g} frames/s, the host's share apart, is "
    assert told_of_rate(row, found, rate) == first + told


def test_of_chips_of_one_size_one_with_a_bar_is_named() -> None:
    """What no board was fitted to is faster on paper only."""
    given = (point(1, 4.0, bar=None), point(1, 8.0), point(1, 9.0))
    found = Exploration(
        schema=records.SCHEMA, version="", finished=True, models=(Network(file="a"),),
        chips=CHIPS, points=given,
    )  # fmt: skip
    (row,) = smallest(found, 100.0)
    assert row.point is row.surely is given[1]
    (row,) = smallest(found, 200.0)
    assert (row.point, row.surely) == (given[0], None)


def test_bars_that_may_not_hold_are_marked_and_missing_ones_told() -> None:
    times = [replace(item.time, extrapolated=why) for item, why in (
        (point(0, 5.0), ()), (point(0, 5.0), ("a", "b")), (point(0, 5.0), ("b", "c", "d", "e")),
        (point(0, 5.0, bar=None), ("f", "b")),
    ) if item.time is not None]  # fmt: skip
    found = Exploration(
        schema=records.SCHEMA, version="", finished=True, models=(Network(file="a"),),
        chips=CHIPS, points=tuple(replace(point(0, 1.0), time=time) for time in times),
    )  # fmt: skip
    assert [time.bar_text for time in times] == ["10", "(10)", "(10)", "none"]
    extrapolated, none = bar_notes(found)
    assert extrapolated == "\u00b1 (N) is extrapolated: a; b; c; d; and 1 more."
    assert none == "\u00b1 none: f; b."


def test_a_chip_of_another_maker_is_marked(two: tuple[Path, Path], capsys: Capture) -> None:
    alone = ["explore", "-m", "a.onnx", "--chips", "BENCH-1024", "-j", "1", "--fps", "1"]
    assert command(alone) == 0
    told = "is BENCH-1024 (level 1, 8 bits) (no chip of the vendor's) with "
    assert told in capsys.readouterr().out
    words = ["explore", "-m", "a.onnx", "--chips", "BENCH-1024", SMALL[1], "-j", "1", "--html"]
    assert command([*words, "page.html"]) == 0
    said, page_text = capsys.readouterr().out, Path("page.html").read_text("utf-8")
    told = "BENCH-1024 is no chip of the vendor's: it models Arm's Ethos-U85-1024 in the terms of "
    own = "matrix_setup_cycles and 3 more, which are fitted to boards, are BENCH-1024's own"
    for text in (said, html.unescape(page_text)):
        assert own in text
        assert text.count(told) == text.count("is no chip of the vendor's") == 1
        assert (
            "matrix_setup_cycles and 3 more, which are fitted to boards, are BENCH-1024's own"
            in text
        )
    assert " none " in said


def test_results_of_processes_come_in_order() -> None:
    def numbers() -> Iterator[int]:
        yield from range(20)

    assert list(processes.ordered(abs, numbers(), 3)) == list(range(20))


# ------------------------------------------------------------------ the page


def networks(name: str) -> tuple[ExploredNetwork, ...]:
    dots = (
        ExploredPoint(name, 0, 8, 2.5, "25", 30.0, 408, 1024, 1.5, best=False),
        ExploredPoint("b", 1, 16, 1.25, "none", None, 816, 2048, 0.5, best=True),
        ExploredPoint("c", 1, None, None, "", None, 64, 256, 0.0, best=False),
    )
    return ExploredNetwork(name, dots, (f"{name}: no.",)), ExploredNetwork(
        "empty", (), ("it is no.",)
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_is_markup_on_the_page(name: str) -> None:
    """Dots go to the script packed, all else as text."""
    text = exploration_page(networks(name), name)
    assert text == exploration_page(networks(name), name)
    plain = exploration_page(networks("name"), "name")
    for mark in ("<script", "<img", "<h2", "</main>", "<td"):
        assert text.count(mark) == plain.count(mark)
    packed = re.findall(r'id="data">([^<]+)<', text)
    plots = json.loads(gzip.decompress(base64.b64decode(packed[0])))
    assert [plot["label"] for plot in plots] == ["KiB on chip", "multiply-accumulates per cycle"]
    assert plots[0]["dots"] == [
        [408, 2.5, 0, 0, f"{name}, level 0, 8 bits"], [816, 1.25, 1, 1, "b, level 1, 16 bits"],
    ]  # fmt: skip


def test_every_point_to_the_cell() -> None:
    """Every figure another one. A column of nothing is left out, a plot of one place as well."""
    one = ExploredPoint("a", 0, 8, 2.5, "(25)", 30.04, 1408, 1024, 1.25, best=True)
    other = ExploredPoint("b", 2, None, 1234.5678, "none", None, 816, 1024, 0.04, best=False)
    not_there = ExploredPoint("c", 1, 16, None, "", None, 64, 256, 0.0, best=False)
    text = exploration_page((ExploredNetwork("net", (one, other, not_there), ()),), "e.json")
    assert "Predicted times of 1 network, from e.json" in text
    rows = [
        re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall("<tr>.*?</tr>", text)
    ]
    assert rows == [
        [
            "chip",
            "level",
            "bits",
            "ms",
            "\u00b1 %",
            "dB",
            "KiB on chip",
            "MAC/cycle",
            "DDR MB",
            "best",
        ],
        ["a", "0", "8", "2.500", "(25)", "30.0", "1,408", "1,024", "1.2", "yes"],
        ["b", "2", "", "1234.568", "none", "", "816", "1,024", "0.0", ""],
        ["c", "1", "16", "no", "", "", "", "", "", ""],
    ]
    packed = re.findall(r'id="data">([^<]+)<', text)
    plots = json.loads(gzip.decompress(base64.b64decode(packed[0])))
    assert plots == [
        {"label": "KiB on chip",
         "dots": [[1408, 2.5, 0, 1, "a, level 0, 8 bits"], [816, 1234.5678, 2, 0, "b, level 2"]]},
    ]  # fmt: skip
    measured = replace(other, decibels=20.0, macs_per_cycle=2048)
    text = exploration_page((ExploredNetwork("net", (one, measured), ()),), "e.json")
    packed = re.findall(r'id="data">([^<]+)<', text)
    plots = json.loads(gzip.decompress(base64.b64decode(packed[0])))
    assert [(plot["label"], [dot[0] for dot in plot["dots"]]) for plot in plots] == [
        ("KiB on chip", [1408, 816]),
        ("multiply-accumulates per cycle", [1024, 2048]),
        ("dB kept", [30.04, 20.0]),
    ]


def test_the_page_says_what_the_command_says(two: tuple[Path, Path], capsys: Capture) -> None:
    words = ["explore", "-m", "a.onnx", "no.onnx", "--chips", *SMALL, "-j", "1", "--fps", "1"]
    assert command([*words, "--html", "page.html"]) == 0
    out, page = capsys.readouterr().out, Path("page.html").read_text(encoding="utf-8")
    for line in out.splitlines():
        if line.startswith(("a.onnx:", "no.onnx:")):
            assert line in html.unescape(page)
    assert page.count("<tr>") == 1 + len(SMALL)
    assert "<th>dB</th>" not in page  # nothing was measured


@needs_browser
def test_the_page_is_readable_and_asks_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(exploration_page(networks(HOSTILE[0]), "explore.json"), encoding="utf-8")
    seen = look_at(path)
    for look in seen["looks"]:
        assert look["violations"] == []
        assert look["errors"] == []
        assert look["requests"] == [f"file://{path.resolve()}"]
        assert look["overflow"] <= 0
    places = ("KiB on chip", (408, 816)), ("multiply-accumulates per cycle", (1024, 2048))
    levels = [["level 0", "rgb(201, 128, 59)"], ["level 1", "rgb(79, 134, 181)"]]
    assert seen["trades"] == [
        {
            "told": [
                f"{HOSTILE[0]}, level 0, 8 bits: 2.50 ms, {one} {label}",
                f"b, level 1, 16 bits: 1.25 ms, {other} {label}, best",
            ],
            "keys": levels,
        }
        for label, (one, other) in places
    ]


def test_what_is_found_anew_stands_for_what_was_known_of_a_width() -> None:
    old = tuple(Accuracy(bits=bits, data="0" * 64, sqnr_db=float(bits)) for bits in (8, 16))
    work: Any = SimpleNamespace(sources=[Source(Network(file="m", accuracy=old))])
    new = Accuracy(bits=8, data="1" * 64, sqnr_db=30.0)
    run._remember(work, 0, new)
    assert work.sources[0].network.accuracy == (new, old[1])


def test_a_point_of_the_page_has_the_figures_of_its_columns() -> None:
    time = Time(
        cycles=1, latency_ms=2.5, error_percent=7, moved_bytes=3_000_000, ddr_bytes=11_000_000
    )
    chip = Size(
        name="N", facts={"clock_hz": 5}, digest="0" * 64, on_chip_bytes=6 << 10, macs_per_cycle=64
    )
    kept = Accuracy(bits=16, data="0" * 64, sqnr_db=41.5)
    point = Point(model=0, chip=0, level=1, bits=16, time=time, best=True)
    found = Exploration(
        schema="knightlite.explore/1", version="1", finished=True,
        models=(Network(file="m", accuracy=(kept,)),), chips=(chip,), points=(point,),
    )  # fmt: skip
    assert page._point(point, found) == ExploredPoint(
        "N clock_hz=5", 1, 16, 2.5, "7", 41.5, 6, 64, 3.0, True
    )
    bare = replace(point, time=None, bits=None, best=False)
    assert page._point(bare, found) == ExploredPoint(
        "N clock_hz=5", 1, None, None, "", None, 6, 64, 0.0, False
    )
