"""An option that takes one value and stands twice: what counts is said, whichever command it is."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import click
import pytest

from knightlite.cli.program import COMMANDS, group, run
from knightlite.cli.repeated import OnceCommand

Capture = pytest.CaptureFixture[str]


def warnings(capsys: Capture, line: str) -> list[str]:
    capsys.readouterr()
    run(shlex.split(line))
    return [row for row in capsys.readouterr().err.splitlines() if row.startswith("Warning")]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("quant -m no.onnx -qm kl mse -qm mse percentile", ["-qm: last, mse,percentile"]),
        ("quant -m no.onnx -i 3 -i 4 5 --effort low --effort=high", [
            "-i: last, 4,5", "--effort: last, high",
        ]),
        ("quant -m a.onnx -m no.onnx", ["-m: last, no.onnx"]),
        # several values, and switches, may stand as often as one likes
        ("quant -m no.onnx -is 1 3 4 4 -is 1 2 --mean 1 2 --mean 3 -gp -gp -on a -on b", []),
        ("compile --chip A --chip B", ["--chip: first, A"]),
        ("--chip A compile --chip A", []),
        ("quant -rc a.json -rc b.json", ["--run-config: last, b.json"]),
        ("quant -m no.onnx --quant.seed 1 --quant.seed 2", ["--quant.seed: last, 2"]),
        ("compile -l 3 -l 2", ["-l: last, 2"]),
        ("compile -l 2 -l 3", []),  # errors only
    ],
)  # fmt: skip
def test_which_value_counts(
    line: str, told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    expected = []
    for item in told:
        flag, _, rest = item.partition(": ")
        which, _, value = rest.partition(", ")
        expected.append(
            f"Warning: {flag} is given 2 times and counts once: the {which} is taken, {value}."
        )
    assert warnings(capsys, line) == expected


def test_every_command_says_it() -> None:
    context = click.Context(group)
    found = [group.get_command(context, name) for name in COMMANDS]
    assert [name for name, item in zip(COMMANDS, found, strict=True)
            if not isinstance(item, OnceCommand)] == []  # fmt: skip


def test_what_is_taken_is_what_is_said(here: Path, capsys: Capture) -> None:
    words = ["quant", "-m", "digits.onnx", "-d", "calib", "--recipe", "digits", "-i", "2"]
    assert run([*words, "-qm", "kl", "-qm", "percentile", "--effort", "low"]) == 0
    report = json.loads(Path("digits_quantize_report.json").read_text())
    assert report["method"] == "percentile"
