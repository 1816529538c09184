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

from knightlite.api.checking import CheckResult, Latency
from knightlite.api.inspection import results
from knightlite.api.inspection.model_tensors import TensorInfo
from knightlite.cli import check, model_info, regions, show_sim_result
from knightlite.cli.diagnose import print_diagnosis
from knightlite.cli.profile import print_difference
from knightlite.cli.program import run
from knightlite.cli.sim import print_compared
from knightlite.diagnosis.findings import Finding as Found
from knightlite.diagnosis.findings import LayerQuality
from knightlite.diagnosis.judge import Score
from knightlite.diagnosis.remedies import Remedy
from knightlite.errors import Finding, UsageError
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


@pytest.mark.parametrize(("count", "first"), [(check.FEW, False), (check.FEW + 1, True)])
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
    assert run(["check", "-m", "net.onnx", "--chip", "all"]) == 0
    assert lines(capsys.readouterr().out) == [
        "net",
        "chip  fits   ms  \u00b1, or why not",
        "C1    yes   1.3  \u00b1 25 %, from 7 networks on one board",
        "C2    no         n1: it is not supported. Hint: take another (and 1 more)",
        "C3    yes     2",
        "ms: predicted at schedule level 0; knightlite compile takes level 1, where times differ",
    ]
    one = replace(refused, findings=(ERROR,))
    monkeypatch.setattr(check, "check_all", lambda *_: (one,))
    assert run(["check", "-m", "net.onnx", "--chip", "all"]) == 1
    assert lines(capsys.readouterr().out)[2:] == [
        "C2    no        n1: it is not supported. Hint: take another"
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
    rows = tuple(
        results.ResultInfo(at, name, None, Path("r") / f"result-{name}.npy", values)
        for at, (name, values) in enumerate(
            (("a", np.array([[[[-3, 5]]]], np.int8)), ("b", np.array([np.nan, 2.0], np.float32)))
        )
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


@pytest.mark.parametrize("count", [2, results.FEW, results.FEW + 1])
def test_texts_that_may_have_been_meant(count: int, tmp_path: Path) -> None:
    for at in range(count):
        (tmp_path / f"result-{at}_p.txt").touch()
    with pytest.raises(UsageError) as caught:
        results.text_form(tmp_path / "result-x_p.txt")
    some = ", ".join(f"result-{at}_p.txt" for at in range(min(count, results.FEW)))
    more = ", ..." if count > results.FEW else ""
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
