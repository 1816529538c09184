"""``quant --mix-budget``: what is printed, what the files say, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from knightlite.cli.mix_output import ROWS, cost_line, rule_lines, shown
from knightlite.cli.program import run

Capture = pytest.CaptureFixture[str]
QUANT = ["quant", "-m", "digits.pdmodel", "-d", "calib", "--recipe", "digits", "-i", "2"]
COST = {
    "chip": "TX5368AV200", "clock_hz": 500_000_000, "quantized": 1_250_000,
    "all_8_bits": 1_000_000, "extra_percent": 25.0, "without_mix": None,
    "mix_extra_percent": None, "reason": None,
    "wider": {"tensors": [], "operators": [], "requantized": 0},
}  # fmt: skip


@pytest.fixture
def digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with the example's model and pictures."""
    source = Path(__file__).parent.parent / "examples/digits"
    for name in ("digits.pdmodel", "digits.pdiparams", "calib"):
        (tmp_path / name).symlink_to(source / name)
    monkeypatch.chdir(tmp_path)


def test_the_program_takes_the_cycles_that_quant_states(digits: None, capsys: Capture) -> None:
    assert run([*QUANT, "--mix-budget", "2", "--effort", "low", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    cost = made["cycles"]
    assert cost["without_mix"] < cost["quantized"] <= cost["without_mix"] * 1.02
    assert run(["compile", "--opt-group", "0"]) == 0  # the level that quant counts at
    assert run(["profile", "--json"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out[out.index("{") :])["cycles"] == cost["quantized"]
    (chosen,) = [row for row in made["mix_points"] if row["chosen"]]
    assert chosen["extra_cycles"] == cost["quantized"] - cost["without_mix"]
    report = json.loads(Path("digits_quantize_report.json").read_text("utf-8"))
    assert (report["cycles"], report["mix_points"]) == (cost, made["mix_points"])
    types = {row["name"]: row["type"] for row in report["tensors"]}
    assert {types[name] for name in chosen["tensors"]} == {"s16"}


def test_the_list_is_printed(digits: None, capsys: Capture) -> None:
    assert run([*QUANT, "--mix-budget", "300cycles", "--effort", "low"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (head,) = [index for index, line in enumerate(lines) if "extra cycles" in line]
    assert lines[head].split() == [
        "extra",
        "cycles",
        "%",
        "ms",
        "SQNR",
        "dB",
        "tensors,",
        "convolutions",
        "wide",
    ]
    first = lines[head + 1].split()
    assert first[:2] == ["0", "0.00"]
    (chosen,) = [line for line in lines if "<- chosen" in line]
    assert 0 < int(chosen.split()[0].replace(",", "")) <= 300
    assert any(line.endswith("(beyond)") for line in lines)
    (cost,) = [line for line in lines if "predicted" in line]
    assert "% against no mix (predicted at schedule level 0; knightlite compile takes" in cost


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--mix-budget", "much"], "must be percent of extra cycles"),
        (["--mix-budget", "-1"], "must be 0 or more, not -1"),
        (["--mix-budget", "5", "-r", "auto_quant"], "but -r auto_quant is asked for too."),
        (["--mix-budget", "5", "-r", "convert"], "but -r convert is asked for too."),
        (["--mix-budget", "5", "-b", "16"], "but -b 16 is asked for too."),
        (["--mix-budget", "5", "-mc", "m.json"], "but -mc is asked for too."),
        (["--mix-budget", "5", "-lsj", "s.json"], "but -lsj is asked for too."),
    ],
)
def test_refusals(more: list[str], said: str, digits: None, capsys: Capture) -> None:
    assert run([*QUANT, *more]) == 2
    assert said in capsys.readouterr().err
    assert not list(Path().glob("*.onnx"))


def test_a_chip_of_8_bits_is_refused_before_any_work(digits: None, capsys: Capture) -> None:
    assert run(["--chip", "TX5105C", *QUANT, "--mix-budget", "5"]) == 2
    said = capsys.readouterr().err
    assert "TX5105C multiplies 8 bits only" in said
    assert "Quant Start" not in said


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {},
            "1,250,000 cycles, 2.500 ms \u00b1 25 % on TX5368AV200, +25.00 % against all at 8 bits",
        ),
        (
            {"wider": {"tensors": list("abcdef"), "operators": ["k"], "requantized": 1}},
            "1,250,000 cycles, 2.500 ms \u00b1 25 % on TX5368AV200, +25.00 % against all at 8 bits "
            "(16 bits for a, b, c, d and 2 more; 16-bit weights of k; nodes that requantize "
            "channels: 1)",
        ),
        (
            {"without_mix": 1_100_000, "mix_extra_percent": 13.64, "extra_percent": None},
            "1,250,000 cycles, 2.500 ms \u00b1 25 % on TX5368AV200, +13.64 % against no mix",
        ),
        (
            {"quantized": None, "reason": "node a cannot run."},
            "cycles on TX5368AV200 at schedule level 0: not predicted, node a cannot run.",
        ),
    ],
)
def test_the_line_of_cycles(changes: dict[str, Any], line: str) -> None:
    level = " (predicted at schedule level 0; knightlite compile takes level 1, where times and "
    level += "what widths cost differ)"
    found = cost_line({**COST, **changes})
    assert found == (line if "reason" in changes else line + level)


WIDE = (
    {"rule": "tables", "why": "read by tables", "tensors": list("abcdef")},
    {"rule": "outputs", "why": "delivered", "tensors": ["y"]},
)


def test_16_bits_by_rule_are_said_with_the_way_out() -> None:
    assert list(rule_lines(WIDE)) == [
        "16 bits for 6 tensors read by tables: a, b, c, d and 2 more",
        "16 bits for 1 tensor delivered: y",
        "that is by rule at -b 8: --wide-tensors off leaves only what is delivered",
    ]
    assert list(rule_lines(WIDE[1:])) == ["16 bits for 1 tensor delivered: y"]
    wider = {"tensors": ["a", "b", "n"], "operators": [], "requantized": 0}
    by_rule = {name for entry in WIDE for name in entry["tensors"]}
    line = cost_line({**COST, "wider": wider}, by_rule)
    assert "all at 8 bits (16 bits by rule; 16 bits for n) (predicted" in line


@pytest.mark.parametrize(("count", "chosen"), [(1, 0), (20, 3), (21, 20), (57, 56), (400, 123)])
def test_a_long_list_is_thinned(count: int, chosen: int) -> None:
    points = [{"index": index, "chosen": index == chosen} for index in range(count)]
    kept = [row["index"] for row in shown(points)]
    assert {0, chosen, count - 1} <= set(kept)
    assert len(kept) <= ROWS
    assert kept == sorted(set(kept))
    assert count > ROWS or kept == list(range(count)) or len(kept) > ROWS // 2
