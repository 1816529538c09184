"""Points of an exploration: what is kept, lost, refused and said of them, without any network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from knightlite.api.exploration import networks, run, sentences, sizes
from knightlite.api.exploration.networks import Source
from knightlite.api.exploration.records import Accuracy, Exploration, Network, Point, Size, Time
from knightlite.api.exploration.trade import Smallest, smallest, with_best
from knightlite.chip_files import find
from knightlite.errors import KnightliteError, UsageError
from knightlite.options.explore import ExploreOptions
from knightlite.talk import Talk

HASH = "0" * 64
NETWORK = Network(file="m.onnx", sha256="1" * 64)
SIZE = Size(name="C", facts={"lanes": 8}, digest="2" * 64, on_chip_bytes=3 << 10, macs_per_cycle=64)
POINT = Point(
    model=0, chip=0, level=1, bits=8, best=False,
    time=Time(cycles=1, latency_ms=4.0, error_percent=25, moved_bytes=1, ddr_bytes=1),
)  # fmt: skip


def explored(*points: Point, **more: Any) -> Exploration:
    values: dict[str, Any] = {
        "schema": "knightlite.explore/1", "version": "1", "finished": True, "models": (NETWORK,),
        "chips": (SIZE,), "points": points,
    }  # fmt: skip
    return Exploration(**values | more)


def kept(bits: Any = 8, data: str = HASH, **more: Any) -> Accuracy:
    return Accuracy(bits=bits, data=data, **more)


# ------------------------------------------------------------------ what the file no longer holds


def lost(
    before: Exploration, of: Exploration, asked: tuple[Point, ...], data: str | None
) -> tuple[Point, ...]:
    """Of the points of one exploration, where those of another are asked for."""
    keys = {run._key(point, of) for point in asked}
    called = {run._called(of.models[point.model], of.chips[point.chip], point) for point in asked}
    return run._lost(before, keys, called, work=SimpleNamespace(data=data))  # type: ignore[arg-type]


def test_points_that_the_file_no_longer_holds() -> None:
    """Not those that are asked for, that never ran, or whose model or chip has changed."""
    still = replace(POINT, time=None, refused="no")
    before = explored(POINT, still)
    assert lost(before, before, (POINT,), None) == ()
    assert lost(before, before, (), None) == (POINT,)
    changed = explored(models=(replace(NETWORK, sha256="3" * 64),))
    assert lost(before, changed, (POINT,), None) == ()
    faster = explored(chips=(replace(SIZE, digest="4" * 64),))
    assert lost(before, faster, (POINT,), None) == ()
    for other in (replace(POINT, level=0), replace(POINT, bits=16)):
        assert lost(before, before, (other,), None) == (POINT,)
    renamed = explored(models=(replace(NETWORK, file="n.onnx", sha256="3" * 64),))
    assert lost(before, renamed, (POINT,), None) == (POINT,)
    lanes = explored(chips=(replace(SIZE, facts={"lanes": 16}, digest="4" * 64),))
    assert lost(before, lanes, (POINT,), None) == (POINT,)


def test_decibels_are_lost_where_no_pictures_are_named() -> None:
    measured = explored(POINT, models=(replace(NETWORK, accuracy=(kept(),)),))
    assert lost(measured, explored(), (POINT,), None) == (POINT,)
    assert lost(measured, explored(), (POINT,), "5" * 64) == ()  # of other pictures: measured anew


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (0, ""),
        (1, "e.json no longer holds 1 point of an earlier exploration, which is not asked for now: "
         "m.onnx on C lanes=8 (level 1, 8 bits). Hint: another file (-o FILE) keeps both"),
        (3, "e.json no longer holds 3 points of an earlier exploration, which are not asked for "
         "now: m.onnx on C lanes=8 (level 1, 8 bits) and 2 more. Hint: another file (-o FILE) "
         "keeps both"),
    ],
)  # fmt: skip
def test_what_is_said_of_them(count: int, told: str) -> None:
    assert sentences.told_lost((POINT,) * count, explored(), Path("e.json")) == told


def test_it_is_said_once() -> None:
    said: list[str] = []
    work: Any = SimpleNamespace(lost="gone")
    for _ in range(2):
        run._tell_lost(work, Talk(warn=said.append))
    assert said == ["gone"]


# ------------------------------------------------------------------ sentences


def test_reasons_are_told_once_with_all_their_places() -> None:
    """Of a model, of its widths, of a chip, of points; what is a point's only, on which chips."""
    no = Size(name="D", facts={}, refused="no chip")
    models = (
        replace(NETWORK, refused="no model"),
        Network(file="n.onnx", sha256=HASH, accuracy=(kept(refused="no data"), kept(16))),
    )
    points = (
        replace(POINT, time=None, refused="no model"),
        replace(POINT, model=1, time=None, refused="too large"),
        replace(POINT, model=1, level=0, time=None, refused="too large"),
        replace(POINT, model=1, chip=1, time=None, refused="no chip"),
        replace(POINT, model=1, bits=None, time=None, refused="too wide"),
    )
    found = sentences.reasons(explored(*points, models=models, chips=(SIZE, no)))
    assert [(item.model, item.where, item.sentence) for item in found] == [
        (0, "m.onnx", "no model"),
        (1, "n.onnx", "at 8 bits: no data"),
        (None, "D", "no chip"),
        (1, "n.onnx on C lanes=8 (level 1, 8 bits), C lanes=8 (level 0, 8 bits)", "too large"),
        (1, "n.onnx on C lanes=8 (level 1)", "too wide"),
    ]


@pytest.mark.parametrize(
    ("point", "surely", "end"),
    [
        (None, None, "m.onnx: no chip here runs 40 frames/s."),
        (0, None, "is C lanes=8 (level 1, 8 bits) with 3 KiB on chip and 64 MAC/cycle: 4 ms \u00b1 "
         "25 %, 5 ms at most; with the bar against it none here runs so many."),
        (0, 0, "64 MAC/cycle: 4 ms \u00b1 25 %, 5 ms at most, which is enough too."),
        (0, 1, "4 ms \u00b1 25 %, 5 ms at most; with the bar against it, D (level 0) with 5 KiB on "
         "chip and 32 MAC/cycle: 2.5 ms \u00b1 25 %, 3.1 ms at most."),
    ],
)  # fmt: skip
def test_the_smallest_chip_in_words(point: int | None, surely: int | None, end: str) -> None:
    large = Size(name="D", facts={}, on_chip_bytes=5 << 10, macs_per_cycle=32)
    assert POINT.time is not None
    points = (
        POINT,
        replace(POINT, chip=1, level=0, bits=None, time=replace(POINT.time, latency_ms=2.51)),
    )
    chosen = [None if at is None else points[at] for at in (point, surely)]
    row = Smallest(0, *chosen)
    told = sentences.told_of_rate(row, explored(*points, chips=(SIZE, large)), 40.0)
    begin = "m.onnx: the smallest chip for 40 frames/s, the host's share apart, "
    assert told.startswith(begin) == (point is not None)
    assert told.endswith(end)


def timed(chip: int, ms: float, bar: int | None = None, model: int = 0) -> Point:
    assert POINT.time is not None
    time = replace(POINT.time, latency_ms=ms, error_percent=bar)
    return replace(POINT, chip=chip, model=model, time=time)


def test_the_smallest_chip_has_the_fewest_bytes_then_multipliers_then_the_shortest_time() -> None:
    """A rate that is just reached is reached; the bar against it is of each point's own.

    Where there is no bar nothing bounds the time.
    """
    chips = tuple(
        Size(name="C", facts={}, on_chip_bytes=size, macs_per_cycle=macs)
        for size, macs in ((2, 1), (1, 9), (1, 8), (1, 8))
    )
    points = (
        timed(0, 1), timed(1, 1, 0), timed(2, 10, 25), timed(3, 8, 25), timed(0, 1, model=1),
    )  # fmt: skip
    found = explored(*points, chips=chips, models=(NETWORK, NETWORK))
    assert smallest(found, 100.0) == (
        Smallest(0, points[3], points[3]), Smallest(1, points[4], None)
    )  # fmt: skip
    assert smallest(found, 100.1)[0] == Smallest(0, points[3], points[1])
    assert smallest(found, 126)[0] == Smallest(0, points[1], points[1])
    assert smallest(found, 1001)[0] == Smallest(0, None, None)


@pytest.mark.parametrize(
    ("first", "second", "best"),
    [
        ({}, {}, (True, True)),  # alike: neither beats the other
        ({"sqnr_db": 30.0}, {"sqnr_db": 30.1}, (False, True)),
        ({"sqnr_db": 30.0}, {"sqnr_db": None}, (False, True)),  # nothing is lost
        ({"sqnr_db": 30.0}, {"refused": "no", "sqnr_db": 99.0}, (True, False)),
        ({"sqnr_db": -3.0}, {"refused": "no"}, (False, True)),  # counts as 0 dB
    ],
)
def test_decibels_decide_where_all_else_is_alike(
    first: dict[str, Any], second: dict[str, Any], best: tuple[bool, bool]
) -> None:
    model = replace(NETWORK, accuracy=(kept(8, **first), kept(16, **second)))
    found = with_best([POINT, replace(POINT, bits=16)], (model,), (SIZE,))
    assert tuple(point.best for point in found) == best


def test_another_models_points_beat_none() -> None:
    found = with_best([timed(0, 2.0), timed(0, 1.0, model=1)], (NETWORK, NETWORK), (SIZE,))
    assert [point.best for point in found] == [True, True]


# ------------------------------------------------------------------ models and chips


def test_a_model_that_no_chip_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The first place, and how many there are; its work is the chip's alone."""
    path = tmp_path / "m.pdmodel"
    path.write_bytes(b"")
    options = ExploreOptions(models=(path,))
    warned: list[str] = []

    def read(*errors: str, graph: Any = None, findings: tuple[str, ...] = ()) -> Source:
        found = SimpleNamespace(errors=errors, graph=graph, findings=findings, npu_macs=7, macs=9)
        monkeypatch.setattr("knightlite.frontend.survey", lambda *words, **more: found)
        return networks.read_source(path, options, Talk(warn=warned.append))

    assert read("a: no.").reason == "a: no."
    assert read("a: no.", "b: no.", "c: no.").reason == "a: no. (3 such places)"
    found = read(graph="graph", findings=("doubtful",))
    graph: Any = found.float_graph
    assert (graph, found.network.macs, found.reason) == ("graph", 7, "")
    assert warned == [f"{path}: doubtful"]


def test_the_digest_of_a_model_is_of_its_files_and_shapes(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(name)
    one, both = [tmp_path / "a"], [tmp_path / "a", tmp_path / "b"]
    digests = [networks._digest(files, shapes) for files in (one, both) for shapes in ((), ((1,),))]
    assert len(set(digests)) == 4


@pytest.mark.parametrize(
    ("outputs", "kept_db", "name"),
    [
        ([("a", 30.0), ("b", 20.0), ("c", None)], 20.0, "b"),
        ([("c", None)], None, None),
    ],
)
def test_what_a_width_keeps_is_what_its_worst_output_keeps(
    outputs: Any, kept_db: float | None, name: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def quantize_all(options: Any, talk: Talk, save: bool) -> Any:
        asked.append((options.bit_width, options.chip, options.iterations, options.input_shapes))
        talk.warn("doubtful")
        report = {"outputs": [{"name": at, "sqnr_db": db} for at, db in outputs], "compared": 12}
        return SimpleNamespace(report=report, file_name="q.onnx", onnx=b""), None

    monkeypatch.setattr("knightlite.api.quantization.quantize_all", quantize_all)
    monkeypatch.setattr("knightlite.frontend.load_quantized", lambda *words: "graph")
    warned: list[str] = []
    options = ExploreOptions(
        models=(Path("m"),), data="d", recipe="r", iteration=3, input_shapes=((1, 2),)
    )
    made: tuple[Any, Any] = networks.quantized(
        Path("m"), 16, "C", HASH, options, Talk(warn=warned.append)
    )
    assert made == (kept(16, sqnr_db=kept_db, output=name, pictures=12), "graph")
    assert asked == [(16, "C", (3,), ((1, 2),))]
    assert warned == ["m at 16 bits: doubtful"]


def test_what_cannot_be_quantized_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def quantize_all(*words: Any, **more: Any) -> Any:
        raise UsageError("it cannot be.", "take another")

    monkeypatch.setattr("knightlite.api.quantization.quantize_all", quantize_all)
    options = ExploreOptions(models=(Path("m"),))
    found = networks.quantized(Path("m"), 8, "C", HASH, options, Talk())
    assert found == (kept(8, refused="it cannot be. Hint: take another"), None)


def test_sizes_of_a_chip_with_other_figures() -> None:
    """Facts innermost; the same chip is there once, what is none each time."""
    family = find("TX5368AV200")
    chip = family.chip
    found = sizes.sizes(
        ["TX5368AV200"], [("fspm_bytes", (chip.fspm_bytes, 2 * chip.fspm_bytes)),
                          ("vector_lanes", (chip.vector_lanes, 0, 0))]
    )  # fmt: skip
    rows = [(size.facts, size.refused is None) for size, _ in found]
    figures = [(chip.fspm_bytes, True), (2 * chip.fspm_bytes, True)]
    assert rows == [
        ({"fspm_bytes": size, "vector_lanes": lanes}, lanes > 0)
        for size, _ in figures
        for lanes in (chip.vector_lanes, 0, 0)
    ]
    plain, larger = found[0], found[3]
    assert plain[0].on_chip_bytes == chip.fspm_bytes + chip.wspm_bytes + chip.mspm_bytes
    assert larger[0].on_chip_bytes - plain[0].on_chip_bytes == chip.fspm_bytes
    assert plain[0].macs_per_cycle == chip.matrix_input_lanes * chip.matrix_output_lanes
    assert plain[1] is not None
    assert larger[1] is not None
    assert (plain[0].digest, larger[0].digest) == (plain[1].digest, larger[1].digest)
    assert plain[0].digest == family.digest != larger[0].digest
    assert larger[1].chip.fspm_bytes == 2 * chip.fspm_bytes
    twice = sizes.sizes(["TX5368AV200"], [("vector_lanes", (chip.vector_lanes,) * 2)])
    assert len(twice) == 1


def test_errors_of_all_models_where_none_is_read() -> None:
    def source(name: str, error: KnightliteError | None) -> Source:
        return Source(Network(file=name), error=error)

    bad = [UsageError("a is no model.", "take one"), UsageError("b is none.", "try")]
    run._require_readable([source("a", bad[0]), source("b", None)])
    with pytest.raises(UsageError) as caught:
        run._require_readable([source("a", bad[0]), source("b", bad[1])])
    assert (caught.value.sentence, caught.value.hint) == ("a is no model.", "take one")
    assert [str(item) for item in caught.value.findings] == ["b: b is none. Hint: try"]


@pytest.mark.parametrize(
    ("bits", "widths", "told"),
    [(8, (8,), ""), (16, (8,), "the chip has no 16 bits."), (16, (8, 16), ""), (None, (8,), "")],
)
def test_widths_that_a_chip_has(bits: int | None, widths: tuple[int, ...], told: str) -> None:
    family: Any = SimpleNamespace(chip=SimpleNamespace(bit_widths=widths))
    assert run._narrow(bits, family) == told
    assert run._narrow(bits, None) == ""


def test_widths_are_kept_in_order() -> None:
    work: Any = SimpleNamespace(sources=[Source(NETWORK)])
    for item in (kept(16, sqnr_db=1.0), kept(8), kept(16, sqnr_db=2.0)):
        run._remember(work, 0, item)
    assert work.sources[0].network.accuracy == (kept(8), kept(16, sqnr_db=2.0))


def test_points_of_what_is_not_there() -> None:
    """Each by its place from 0 on, with the number that it must be below."""
    found = explored(POINT, replace(POINT, model=1, chip=2), replace(POINT, chip=1))
    assert found.misfits() == (
        ("points[1].model", "below 1", "1"), ("points[1].chip", "below 1", "2"),
        ("points[2].chip", "below 1", "1"),
    )  # fmt: skip
