"""What commands print: every figure with its unit, each beside another one, by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from knightlite.api import names
from knightlite.api.checking import CheckResult, Latency, _is_work, check_on
from knightlite.api.chips.operators import sizes
from knightlite.api.comparison.differences import Comparison
from knightlite.api.comparison.differences import Difference as Apart
from knightlite.api.diagnosis import as_json
from knightlite.api.inspection import results
from knightlite.api.inspection.model_tensors import TensorInfo
from knightlite.chip_files import families
from knightlite.cli import check, compare, model_info, profile, quant, regions, show_sim_result
from knightlite.cli.diagnose import print_diagnosis
from knightlite.cli.profile import print_difference
from knightlite.cli.program import run
from knightlite.cli.sim import print_compared
from knightlite.cli.terminal import table_gaps
from knightlite.diagnosis.findings import Finding as Found
from knightlite.diagnosis.findings import LayerQuality
from knightlite.diagnosis.judge import Score
from knightlite.diagnosis.preprocessing import Preprocessing, Trial
from knightlite.diagnosis.remedies import Remedy
from knightlite.errors import FEW, Finding, UsageError
from knightlite.evaluation import Paired
from knightlite.options import Names
from knightlite.options.inspection import CheckOptions
from knightlite.preprocess import list_recipes
from knightlite.profiler import FrameTime
from knightlite.profiler.certainty import Certainty
from knightlite.report import Difference
from knightlite.schedule import Peak
from knightlite.schedule.peaks import Holder
from test_diagnosis_figures import diagnosis

Capture = pytest.CaptureFixture[str]
SURE = Certainty(25, 7, "board")
WARNING = Finding("n0", "it is doubtful.", severity="warning")
ERROR = Finding("n1", "it is not supported.", "take another")


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


def checked(**more: Any) -> CheckResult:
    """Of 3 million multiply-accumulates, 1 of them on the host."""
    values: dict[str, Any] = {
        "name": "net", "chip": "C1", "findings": (WARNING,),
        "operators": {"Softmax": (2, 2, 1), "Conv": (5, 4, 0)}, "macs": 3_000_000,
        "npu_macs": 2_000_000, "parameters": 1_234_567, "host": ("Softmax", "Reshape", "Softmax"),
        "latency": Latency(1, FrameTime(1.26, 0.5, SURE)),
    }  # fmt: skip
    return CheckResult(**values | more)


def printed(
    result: CheckResult, monkeypatch: pytest.MonkeyPatch, capsys: Capture, *words: str
) -> tuple[int, str]:
    monkeypatch.setattr(check, "check", lambda options, talk: result)
    code = run(["check", "-m", "net.onnx", *words])
    return code, capsys.readouterr().out


def test_check(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    code, out = printed(checked(), monkeypatch, capsys)
    assert code == 0
    assert lines(out) == [
        "net on C1",
        "operator  nodes  on the NPU  on the host",
        "Conv          5           4            0",
        "Softmax       2           1            1",
        "0.006 GFLOPs, 1.235 M parameters, 66.7 % of the MACs on the NPU",
        "on the host: Softmax (2), Reshape",
        "warning: n0: it is doubtful.",
        "1.3 ms \u00b1 25 %, from 7 networks on one board (predicted at schedule level 1); with "
        "the host's 0.5 ms 1.760 ms, 570 frames/s; at most 790 where it works beside the chip",
        "net runs on C1.",
    ]


def test_check_of_what_does_not_run(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """No column of nothing; a network without multiply-accumulates is all on the NPU."""
    bare = checked(
        findings=(ERROR,), operators={"Relu": (1, 0, 0)}, macs=0, npu_macs=0, host=(),
        latency=None,
    )  # fmt: skip
    code, out = printed(bare, monkeypatch, capsys)
    assert code == 1
    assert lines(out) == [
        "net on C1",
        "operator  nodes  on the NPU",
        "Relu          1           0",
        "0.000 GFLOPs, 1.235 M parameters, 100.0 % of the MACs on the NPU",
        "error: n1: it is not supported. Hint: take another",
        "net does not run on C1.",
    ]


@pytest.mark.parametrize(("count", "first"), [(FEW, False), (FEW + 1, True)])
def test_many_places_are_counted_first(
    count: int, first: bool, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    wrong = tuple(Finding(f"n{at}", f"sentence {at}.") for at in range(count))
    _, out = printed(checked(findings=(WARNING, *wrong)), monkeypatch, capsys)
    begin = f"net does not run on C1, {count} places are not supported: "
    assert out.startswith(begin if first else "net on C1\n")


def test_check_as_json(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    code, out = printed(checked(findings=(ERROR,)), monkeypatch, capsys, "--json")
    found = json.loads(out)
    assert code == 1
    assert {key: found[key] for key in ("latency_ms", "host_ms", "schedule_level", "fits")} == {
        "latency_ms": 1.26, "host_ms": 0.5, "schedule_level": 1, "fits": False,
    }  # fmt: skip
    assert (found["gflops"], found["macs"], found["parameters"]) == (0.006, 3_000_000, 1_234_567)
    assert found["npu_macs_percent"] == pytest.approx(200 / 3)
    assert found["with_host"] == {
        "latency_ms": 1.76, "frames_per_second": 570, "overlapped_frames_per_second": 790,
    }  # fmt: skip
    assert found["certainty"]["percent"] == 25
    assert found["operators"]["Softmax"] == {"nodes": 2, "supported": 2, "host": 1}
    assert found["findings"] == [
        {"where": "n1", "sentence": "it is not supported.", "hint": "take another",
         "severity": "error"},
    ]  # fmt: skip


def test_check_of_all_chips(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """One that runs it is enough; the levels of the times are said by the lowest."""
    refused = checked(chip="C2", findings=(WARNING, ERROR, ERROR), latency=None)
    unsure = checked(chip="C3", latency=Latency(0, FrameTime(2.0, 0.0, None)))
    monkeypatch.setattr(check, "check_all", lambda *_: (checked(), refused, unsure))
    monkeypatch.setattr(check, "another_maker_s", lambda names: [f"of {', '.join(names)}"])
    assert run(["check", "-m", "net.onnx", "--chip", "all"]) == 0
    assert lines(capsys.readouterr().out) == [
        "net",
        "chip  fits   ms  \u00b1, or why not",
        "C1    yes   1.3  \u00b1 25 %, from 7 networks on one board",
        "C2    no         n1: it is not supported. Hint: take another (and 1 more)",
        "C3    yes     2  no board of any chip was measured",
        "ms: predicted at schedule level 0; knightlite compile takes level 1, where times differ",
        "of C1, C2, C3",
    ]
    one = replace(refused, findings=(ERROR,))
    monkeypatch.setattr(check, "check_all", lambda *_: (one,))
    assert run(["check", "-m", "net.onnx", "--chip", "all"]) == 1
    assert lines(capsys.readouterr().out)[2:] == [
        "C2    no        n1: it is not supported. Hint: take another",
        "of C2",
    ]


# ------------------------------------------------------------------ diagnose, profile, sim


def test_a_diagnosis(capsys: Capture) -> None:
    layers = tuple(
        LayerQuality(name, "Conv", "s8", alone, 20.04, 0.9876543, weights, 1.0, 45.67, 8.04)
        for name, alone, weights in (("a", 30.0, None), ("b", 10.04, 33.33), ("c", 20.0, None))
    )
    remedy = Remedy("quant -qm kl", Score(10, None), Score(20, None), words=("-qm", "kl"))
    findings = (
        Found("cause", "b", "node_b", "it is so", 2.345, (remedy,), "do that", {}),
        Found("other", "c", "c", "and so", None, (), "do this", {}),
    )
    found = diagnosis(layers=layers, findings=findings, again=("knightlite", "quant"))
    print_diagnosis(found, 2)
    told = lines(capsys.readouterr().out)
    assert told[:4] == [
        "outputs: 12.35 dB of SQNR over 40 pictures",
        "metric, float model: 0.7500",
        "metric, quantized model: 0.6250",
        "metric, difference: -0.1250 over 40 pictures: no interval, as it is no top-1",
    ]
    at = 4 + len(found.remarks)
    assert told[4:at] == list(found.remarks)
    assert told[at:] == [
        "1. cause: b (node node_b), costs 2.3 dB at the outputs",
        "   why: it is so.",
        "   remedy: do that",
        "   run: knightlite quant -qm kl",
        "2. other: c",
        "   why: and so.",
        "   remedy: do this",
        "Layers that keep least",
        "layer  op    type  alone dB  in all dB   cosine  weights dB  clipping dB  middle channel "
        "dB",
        "b      Conv  s8        10.0       20.0  0.98765        33.3         45.7                "
        "8.0",
        "c      Conv  s8        20.0       20.0  0.98765                     45.7                "
        "8.0",
    ]
    print_diagnosis(diagnosis(score=Score(None, None), float_metric=None), 2)
    assert lines(capsys.readouterr().out)[:2] == [
        "outputs: exact of SQNR over 40 pictures",
        "no cause found: nothing is wrong that has a name.",
    ]


def test_two_profiles(capsys: Capture) -> None:
    """Tables without rows are left out."""
    print_difference(
        Difference("They differ.", (("cycles", "1", "2", "+100.0%"),), (), (), "1 layers only in A")
    )
    assert lines(capsys.readouterr().out) == [
        "They differ.", "Totals", "what    A  B  change", "cycles  1  2  +100.0%",
        "1 layers only in A",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("compared", "differing", "names", "told"),
    [
        (None, None, None, []),
        (12_345, 0, (), ["12,345 bytes compared with the golden model, 0 differ"]),
        (12_345, 1_024, ("a", "b"),
         ["12,345 bytes compared with the golden model, 1,024 differ", "differs: a", "differs: b"]),
    ],
)  # fmt: skip
def test_compared_bytes(
    compared: int | None, differing: int | None, names: Any, told: list[str], capsys: Capture
) -> None:
    result: Any = SimpleNamespace(
        compared_bytes=compared, differing_bytes=differing, differing_tensors=names
    )
    print_compared(result)
    assert lines(capsys.readouterr().out) == told


@pytest.mark.parametrize(
    ("peak", "told"),
    [
        (Peak("FSPM", 4_096, 1_234, 1_000, "conv1", (Holder("x", "input", 1_024),), "because"),
         ["FSPM where it is fullest at conv1", "what  as     bytes", "x     input  1,024",
          "FSPM: 1,234 of 4,096 bytes, 1,000 alive at most: because"]),
        (Peak("DDR", 9_000, 5_000, 4_000, "", ()),
         ["DDR: 5,000 of 9,000 bytes, 4,000 alive at most"]),
    ],
)  # fmt: skip
def test_a_memory_at_its_fullest(peak: Peak, told: list[str], capsys: Capture) -> None:
    regions.print_peak(peak)
    assert lines(capsys.readouterr().out) == told


# ------------------------------------------------------------------ files


def test_notes_of_a_quantization() -> None:
    """By name; of a recipe, which is a whole text, its name."""
    notes: Mapping[str, Any] = {
        "seed": 3, "recipe": 'name = "unit"\nmean = 0\n', "chip": "C", "wide": None, "b": [1, 2],
    }  # fmt: skip
    assert model_info._facts(notes) == [
        ("b", "[1, 2]"), ("chip", "C"), ("recipe", "unit"), ("seed", "3"), ("wide", "null"),
    ]  # fmt: skip
    one = TensorInfo(1, "x", (1, 2), "s8", (0.123456789123, 2.0))
    assert model_info._scales((one,)) == [(1, "x", "0.123456789 2")]


def test_results_of_sim(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    given: list[tuple[str, Any]] = [
        ("a", np.array([[[[-3, 5]]]], np.int8)), ("b", np.array([np.nan, 2.0], np.float32))
    ]  # fmt: skip
    rows = tuple(
        results.ResultInfo(at, name, None, Path("r") / f"result-{name}.npy", values)
        for at, (name, values) in enumerate(given)
    )
    monkeypatch.setattr(show_sim_result, "simulated_results", lambda *_: rows)
    assert run(["show_sim_result", "-sd", "r"]) == 0
    assert [line.split() for line in lines(capsys.readouterr().out)] == [
        ["Results"], ["Index", "Output", "name", "tensor", "shape", "type", "min", "max"],
        ["0", "a", "None", "1x1x1x2", "int8", "-3", "5"],
        ["1", "b", "None", "2", "float32", "None", "None"],
    ]  # fmt: skip
    assert run(["show_sim_result", "-sd", "r", "-i", "1"]) == 0
    assert capsys.readouterr().out == "SHAPE:(2)\nnan,2.0,\n"
    assert run(["show_sim_result", "-sd", "r", "-i", "2"]) == 2
    assert "there is no result 2 in r: they are numbered from 0 to 1." in capsys.readouterr().err


@pytest.mark.parametrize("count", [2, FEW, FEW + 1])
def test_texts_that_may_have_been_meant(count: int, tmp_path: Path) -> None:
    for at in range(count):
        (tmp_path / f"result-{at}_p.txt").touch()
    with pytest.raises(UsageError) as caught:
        results.text_form(tmp_path / "result-x_p.txt")
    some = ", ".join(f"result-{at}_p.txt" for at in range(min(count, FEW)))
    more = ", ..." if count > FEW else ""
    assert caught.value.hint == (
        f"{tmp_path} holds {some}{more}: results are named as the network's outputs are"
    )


@pytest.mark.parametrize(
    ("given", "written"),
    [(np.int64, "<f4"), (np.float64, "<f4"), (np.float16, "<f4"), (">f4", "<f4"), (">i2", "<i2"),
     (np.uint8, "|u1")],
)  # fmt: skip
def test_raw_bytes_of_an_array(given: Any, written: str, tmp_path: Path) -> None:
    """Little-endian; what a network does not read becomes float32."""
    np.save(tmp_path / "a.npy", np.array([[1, 2], [3, 200]]).astype(given))
    made = results.npy_to_raw(tmp_path / "a.npy", tmp_path / "a.bin")
    assert made.dtype == np.dtype(written)
    raw = (tmp_path / "a.bin").read_bytes()
    assert raw == np.array([[1, 2], [3, 200]]).astype(written).tobytes()


def test_a_diagnosis_as_json() -> None:
    remedy = Remedy(
        "quant -qm kl", Score(10.0, 0.5), Score(20.126, 0.75), pictures=Paired(8, 1, 3),
        words=("-qm", "kl"),
    )  # fmt: skip
    bare = Remedy("quant", Score(None, None), Score(10.0, None))
    trial = Trial("unit", "keys", 0.5, Paired(8, 2, 5), 1)
    found = as_json(
        diagnosis(
            findings=(Found("cause", "a", "n", "so", 2.5, (remedy, bare), "do", {"k": 1}),),
            preprocessing=Preprocessing("0..1", 0.75, (trial,), doubt="doubt", enough=50),
            again=("knightlite", "quant"), against=Paired(40, 6, 1),
        )
    )  # fmt: skip
    (finding,) = found["findings"]
    assert finding["remedies"] == [
        {"switch": "quant -qm kl", "gain_db": 10.13, "before": {"sqnr_db": 10.0, "metric": 0.5},
         "after": {"sqnr_db": 20.126, "metric": 0.75}, "lost": 1, "won": 3},
        {"switch": "quant", "gain_db": -110.0, "before": {"sqnr_db": None, "metric": None},
         "after": {"sqnr_db": 10.0, "metric": None}, "lost": None, "won": None},
    ]  # fmt: skip
    assert {key: value for key, value in finding.items() if key != "remedies"} == {
        "cause": "cause", "layer": "a", "node": "n", "sentence": "so", "cost_db": 2.5,
        "advice": "do", "command": "knightlite quant -qm kl", "facts": {"k": 1},
    }  # fmt: skip
    assert found["preprocessing"] == {
        "used": "0..1", "unjudged": None, "doubt": "doubt", "enough": 50,
        "trials": [{"name": "unit", "keys": "keys", "metric": 0.5, "lost": 2, "won": 5}],
    }  # fmt: skip
    assert (found["float_metric"], found["quantized_metric"]) == (0.75, 0.625)
    assert (found["sqnr_db"], found["pictures"], found["healthy"]) == (12.346, 40, False)
    assert found["metric_drop"]["drop"] == 12.5


def test_names_that_a_shell_offers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes and what they make; all names of all chips."""
    nodes = [SimpleNamespace(name=f"node{at}", output=f"tensor{at}") for at in range(2)]
    graph = SimpleNamespace(nodes=nodes)
    monkeypatch.setattr(names, "find_quantized", lambda *words: Path("q.onnx"))
    monkeypatch.setattr("knightlite.frontend.load_quantized", lambda *words, **more: graph)
    assert names.known_names(Names.LAYERS) == ("node0", "node1")
    assert names.known_names(Names.TENSORS) == ("tensor0", "tensor1")
    chips = names.known_names(Names.CHIPS)
    assert len(chips) > len(families())
    assert set(names.known_names(Names.RECIPES)) == set(list_recipes())


# ------------------------------------------------------------------ quant


@pytest.mark.parametrize(
    ("db", "compared", "figures", "told"),
    [
        (None, 9, (1.0, 2.0, 3.0),
         "exact over 9 calibration pictures (median 2.0, all from 1.0 to 3.0)"),
        (30.5, None, (1.0, 2.0, 3.0), "SQNR 30.5 dB"),
        (30.5, 0, (1.0, 2.0, 3.0), "SQNR 30.5 dB"),
        (30.5, 1, (1.0, 2.0, 3.0), "SQNR 30.5 dB over 1 calibration picture: not a verdict"),
        (30.5, 2, (1.0, None, 3.0), "SQNR 30.5 dB over 2 calibration pictures"),
        (30.5, 9, (1.04, 2.06, 3.0),
         "SQNR 30.5 dB over 9 calibration pictures (median 2.1, all from 1.0 to 3.0)"),
        (30.5, 10, (1.0, 2.0, 3.06),
         "SQNR 30.5 dB over 10 calibration pictures (median 2.0, 80 % of them from 1.0 to 3.1)"),
    ],
)  # fmt: skip
def test_what_an_output_keeps(
    db: float | None, compared: int | None, figures: tuple[Any, ...], told: str
) -> None:
    output = dict(zip(("low_db", "median_db", "high_db"), figures, strict=True), sqnr_db=db)
    assert quant._kept(output, compared) == told


@pytest.mark.parametrize(
    ("loss", "compared", "told"),
    [
        (1.25, None, "falls"), (-1.25, None, "rises"), (0.0, None, "stays"),
        (1.25, Paired(40, 2, 1), "may stay, its interval holds 0"),
        (0.0, Paired(40, 2, 2), "stays"),
        (25.0, Paired(40, 20, 1), "falls"),
    ],
)  # fmt: skip
def test_the_loss_in_words(loss: float, compared: Paired | None, told: str) -> None:
    outcome: Any = SimpleNamespace(
        loss_percent=loss, compared=compared, gain=None if compared is None else "so much won",
        pictures=40, float_metric=0.75, quantized_metric=0.5,
    )  # fmt: skip
    sure = "over 40 pictures: no interval, as it is no top-1" if compared is None else "so much won"
    assert quant.loss_sentence(outcome) == (
        f"Quantization Loss: {loss:.4f} % (the metric {told}: 0.7500 float, 0.5000 quantized; "
        f"{sure})"
    )


# ------------------------------------------------------------------ profile


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (0, "0"), (999, "999"), (1_000, "1.0k"), (1_049, "1.0k"), (1_051, "1.1k"),
        (99_949, "99.9k"), (99_950, "100k"), (999_499, "999k"), (999_500, "1.0M"),
        (99_949_999, "99.9M"), (999_500_000, "1.0G"), (123_456_000_000, "123.5G"),
    ],
)  # fmt: skip
def test_short_numbers(number: int, told: str) -> None:
    assert profile.short(number) == told


@pytest.mark.parametrize("name", ["a", "n" * profile.NAME_ROOM, "n" * 40])
def test_columns_that_leave_room_for_names(name: str) -> None:
    """To the column: full figures, short ones, and those without operators; all into a file."""
    row: Any = SimpleNamespace(
        name=name, op="Conv", cycles=1_234_567, time_ms=1.25, macs=123_456_789,
        mac_utilization=0.5, read_bytes=1_000_000, write_bytes=2_000_000, burst_bytes=3_000_000,
        bound="matrix engine", fspm_peak_bytes=123_456,
    )  # fmt: skip

    def width(columns: Any) -> int:
        cells = [max(len(title), len(cell(row))) for title, cell in columns]
        return min(cells[0], profile.NAME_ROOM) + sum(cells[1:]) + table_gaps(len(columns))

    full, compact = width(profile.FULL), width(profile.COMPACT)
    assert full > compact > width(profile.NARROW)
    for room, columns in (
        (None, profile.FULL), (full, profile.FULL), (full - 1, profile.COMPACT),
        (compact, profile.COMPACT), (compact - 1, profile.NARROW), (1, profile.NARROW),
    ):  # fmt: skip
        assert profile._columns((row,), room) == columns
    texts = {title: cell(row) for title, cell in profile.FULL}
    assert texts == {
        "layer": name, "op": "Conv", "cycles": "1,234,567", "ms": "1.2500", "MACs": "123,456,789",
        "MAC %": "50.0", "DDR read": "1,000,000", "DDR write": "2,000,000",
        "in bursts": "3,000,000", "bound by": "matrix engine", "FSPM": "123,456",
    }  # fmt: skip
    assert [cell(row) for _, cell in profile.COMPACT][2:] == [
        "1.2M", "1.2500", "123M", "50.0", "1.0M", "2.0M", "3.0M", "matrix engine", "123k"
    ]  # fmt: skip


# ------------------------------------------------------------------ check's figures


def test_figures_of_a_survey(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of the network's beside the chip's share of it; by type all, done and on the host."""
    count = SimpleNamespace(total=3, supported=2, host=1)
    found = SimpleNamespace(
        name="net", findings=(WARNING,), graph=None, operators={"Conv": count}, macs=9, npu_macs=7,
        parameters=5,
    )  # fmt: skip
    asked: list[Any] = []

    def survey(*words: Any) -> Any:
        asked.append(words)
        return found

    monkeypatch.setattr("knightlite.frontend.survey", survey)
    monkeypatch.setattr("knightlite.frontend.model_files.require_there", lambda path: None)
    options = CheckOptions(model=Path("m.onnx"), input_shapes=((1, 2),))
    made = check_on(["TX5368AV200", "TX5112CV201"], options)
    assert [item.chip for item in made] == ["TX5368AV200", "TX5112CV201"]
    for item in made:
        assert (item.macs, item.npu_macs, item.parameters) == (9, 7, 5)
        assert item.operators == {"Conv": (3, 2, 1)}
        assert (item.findings, item.host, item.latency, item.fits) == ((WARNING,), (), None, True)
    assert len(asked) == 1
    assert asked[0][3] == [(1, 2)]


@pytest.mark.parametrize(
    ("host", "kinds"),
    [({}, ("Softmax",)), ({"Flatten": 0}, ("Softmax",)), ({"Flatten": 1}, ("Softmax", "Reshape"))],
)
def test_a_shape_that_no_node_asks_for_is_no_work(
    host: dict[str, int], kinds: tuple[str, ...]
) -> None:
    counts: Any = {name: SimpleNamespace(host=count) for name, count in host.items()}
    told = tuple(kind for kind in ("Softmax", "Reshape") if _is_work(kind, counts))
    assert told == kinds


def test_what_memories_hold() -> None:
    chip: Any = SimpleNamespace(
        fspm_bytes=1_001, wspm_bytes=2_002, mspm_bytes=3_003, ddr_bytes=4_004
    )
    assert sizes(chip) == (
        "A layer must have tiles that fit 1,001 bytes of FSPM, 2,002 of WSPM and 3,003 of MSPM; "
        "all tensors and constants together 4,004 bytes of DDR."
    )


@pytest.mark.parametrize(
    ("shape", "layout", "text"),
    [
        ((1, 2, 1, 2), "nchw", "chw"), ((1, 2, 1, 2), "nhwc", "hwc"),
        ((2, 2, 1, 1), "nchw", "plain"), ((2, 2), "nhwc", "plain"),
    ],
)  # fmt: skip
def test_which_text_a_result_has(
    shape: tuple[int, ...], layout: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is no one picture has no pixels."""
    for kind in ("chw", "hwc", "plain"):
        monkeypatch.setattr(f"knightlite.sim.outputs.{kind}_text", lambda values, kind=kind: kind)
    result = results.ResultInfo(0, "a", None, Path("a.npy"), np.zeros(shape, np.int8))
    assert results.result_text(result, layout) == text


# ------------------------------------------------------------------ compare


def test_a_row_of_a_comparison() -> None:
    """Shares in percent, a bias with its sign, the histogram in letters."""
    found = Apart(0.0123456, 0.98765, None, 1234.5678, -0.0123456, (0.5, 0.25, 0.125, 0.1, 0.025),
                  (0.5, 0.001, 0.0, 0.25))  # fmt: skip
    row = Comparison(3, "y", "Conv", "float", "chip", found)
    assert compare._cells(row) == {
        "idx": "3", "compared": "chip with float", "MRE%": "1.2346", "cos%": "98.7650",
        "RMSE%": "-", "max diff": "1234.57", "bias": "-0.01235", compare.HISTOGRAM: "|@. =|",
        "0-1%": "50.0", "1-10%": "25.0", "10-50%": "12.5", "50-100%": "10.0", "100+%": "2.5",
        "OP-TYPE": "Conv", "OUT-NAME": "y",
    }  # fmt: skip
    bare = compare._cells(Comparison(0, "y", "", "a", "b", None, "why"))
    assert bare["OUT-NAME"] == "y (why)"
    assert {bare[name] for name in ("MRE%", "cos%", "RMSE%", "max diff", "bias", "0-1%")} == {"-"}
