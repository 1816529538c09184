"""Several -qm and -i at once: files, table, the best one where compile finds it, refusals."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from float_nets import Pictures, small_net
from knightlite.api.quantization import run as run_module
from knightlite.cli.program import run
from knightlite.options.quantize import QuantizeOptions
from knightlite.quantize.pipeline import finish, prepare, quantize_graph
from knightlite.quantize.ranges.methods import METHODS
from knightlite.quantize.settings import Settings, settings_for, with_method
from knightlite.quantize.steps.range_choice import NAME
from refusals import Refusal

Capture = pytest.CaptureFixture[str]
HINTS = {
    "percentile": "0.9999 to 0.999999 are usual",
    "few": "in sim, -i is the input",
    "best": "auto chooses one for each tensor, all tries every one",
    **dict.fromkeys(
        ("seen.bin", "-du"), "leave them out, or name one method (-qm) and one iteration (-i)"
    ),
}
DATA = ["-d", "calib", "--recipe", "digits", "--equalization", "off"]


def test_every_pair_once() -> None:
    options = QuantizeOptions(model=Path("m"), methods=("kl", "all"), iterations=(10, 1))
    pairs = options.combinations
    assert pairs[:2] == (("kl", 10), ("kl", 1))
    assert len(pairs) == 2 * len(METHODS)
    assert set(pairs) == {(name, count) for name in METHODS for count in (1, 10)}
    plain = QuantizeOptions(model=Path("m"))
    assert plain.combinations == (("mse", 1),)
    assert replace(plain, methods=("kl",), iterations=(3,)).combinations == (("kl", 3),)
    assert replace(plain, effort="high").combinations == (("auto", 1),)


def test_a_method_that_is_named_serves_every_tensor() -> None:
    high = settings_for("high")
    assert with_method(high, "mse") == replace(high, range_choice=False)
    assert with_method(high, "kl") == replace(high, method="kl", range_choice=False)
    assert with_method(Settings(), "auto") == Settings(range_choice=True)


def test_ranges_of_fewer_calls_are_those_of_a_run_of_that_many() -> None:
    """From one observation, in any order, and the largest as if it had run alone."""
    graph, settings = small_net(), Settings(bias_correction="off", equalize=False)
    whole, few = Pictures(count=24), Pictures(count=24)
    few.batches = few.batches[:2]
    prepared = prepare(graph, whole, settings, threads=1, snapshots=(2,))
    alone = [quantize_graph(graph, data, settings, threads=1).report for data in (few, whole)]
    both = [
        finish(prepared, whole, settings, threads=1, calls=calls).report
        for calls in (2, len(whole.batches))
    ]
    for one, other in zip(alone, both, strict=True):
        assert one["pictures"] == other["pictures"]
        assert one["tensors"] == other["tensors"]
    assert both[0]["tensors"] != both[1]["tensors"]


class Counting(Pictures):
    """Counts its runs."""

    runs = 0

    def run(self, forward: Any) -> float | None:
        self.runs += 1
        return super().run(forward)


def test_the_float_model_is_observed_once() -> None:
    data, settings = Counting(count=12), Settings(bias_correction="off", equalize=False)
    prepared = prepare(small_net(), data, settings, threads=1)
    for method in ("kl", "mse", "octav"):
        finish(prepared, data, Settings(method, bias_correction="off"), threads=1)
    assert data.runs == 1 + 3


def test_combinations_on_the_command_line(here: Path, capsys: Capture) -> None:
    capsys.readouterr()
    line = [
        "quant",
        "-m",
        "digits.onnx",
        *DATA,
        "-s",
        "out",
        "-qm",
        "kl",
        "min_max",
        "-i",
        "2",
        "10",
    ]
    assert run([*line, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = found["combinations"]
    assert {(row["method"], row["iteration"]) for row in rows} == {
        ("kl", 2), ("kl", 10), ("min_max", 2), ("min_max", 10),
    }  # fmt: skip
    keys = [
        (np.inf if row["quantization_loss"] is None else row["quantization_loss"], -row["sqnr_db"])
        for row in rows
    ]
    assert keys == sorted(keys)
    for row in rows:
        folder = Path(row["folder"])
        assert folder == Path("out") / f"{row['method']}_it_{row['iteration']}"
        report = json.loads((folder / "digits_quantize_report.json").read_text())
        assert (report["method"], report["pictures"]) == (row["method"], row["iteration"])
    best = (Path(rows[0]["folder"]) / "digits_quantize.onnx").read_bytes()
    assert (Path("out") / "digits_quantize.onnx").read_bytes() == best
    assert run(["compile"]) == 0
    assert "out/digits_quantize.onnx is taken: quant left it here last." in capsys.readouterr().err


@dataclasses.dataclass(frozen=True)
class Made:
    """What a combination gives, as far as the choice looks at it."""

    loss_percent: float | None
    sqnr_db: tuple[float | None, ...]
    quantized_metric: float | None = None
    combinations: tuple[Any, ...] = ()

    @property
    def report(self) -> dict[str, Any]:
        return {"outputs": [{"sqnr_db": item} for item in self.sqnr_db]}


@pytest.mark.parametrize(
    ("made", "order"),
    [
        ([Made(2, (9,)), Made(1, (9,)), Made(3, (9,))], "bac"),
        ([Made(1, (9,)), Made(3, (9,)), Made(2, (9,))], "acb"),
        ([Made(3, (9,)), Made(1, (9,)), Made(2, (9,))], "bca"),
        ([Made(1, (9,)), Made(1, (11,)), Made(1, (10,))], "bca"),  # equal losses: the better SQNR
        ([Made(-1, (9,)), Made(0, (90,)), Made(-2, (1,))], "cab"),  # a network may gain
        ([Made(None, (20, 30)), Made(None, (40, 11)), Made(None, (10, 40))], "bac"),  # the mean
        ([Made(None, (20, None)), Made(None, (None,)), Made(None, (21, None))], "bca"),  # exact
        ([Made(1, (9,)), Made(1, (9,)), Made(1, (9,))], "abc"),  # the first of equal ones
    ],
)
def test_the_best_of_all_combinations(
    made: list[Made], order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The least loss, then the best mean SQNR; sorted like that in the table."""
    runs = [(name, 1, item) for name, item in zip("abc", made, strict=True)]
    monkeypatch.setattr(run_module, "quantize_models", lambda *_, **__: iter(runs))
    options = QuantizeOptions(model=Path("m"), methods=("kl", "mse", "octav"))
    best, _ = run_module.quantize_all(dataclasses.replace(options, chip="TX5368AV200"), save=False)
    assert "".join(row["method"] for row in best.combinations) == order
    first = made["abc".index(order[0])]
    assert (best.loss_percent, best.report) == (first.loss_percent, first.report)


def test_the_table(here: Path, capsys: Capture) -> None:
    capsys.readouterr()
    assert run(["quant", "-m", "digits.onnx", *DATA, "-s", "out", "-qm", "mse", "octav"]) == 0
    out, err = capsys.readouterr()
    lines = [line for line in out.splitlines() if line.startswith(("method ", "mse ", "octav "))]
    assert lines[0].split() == [
        "method", "i", "loss", "%", "SQNR", "dB", "folder", "against", "float",
    ]  # fmt: skip
    assert all(line.endswith(" lost of 10 pictures") for line in lines[1:])
    assert {line.split()[0] for line in lines[1:]} == {"mse", "octav"}
    assert f"the best of 2 is {lines[1].split()[0]} with 10 iteration(s)" in err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-qm", "kl", "best"],
         "the method must be one of kl, kl_v2, min_max, mse, octav, percentile, not best."),
        (["-i", "2", "0"],
         "iteration (-i) must be from 1 to 10000000 and batch size (-bs) from 1 to 4096, not 0 and "
         "1."),
        (["-qm", "percentile", "-per", "1.5"],
         "the share of percentile must be above 0 and at most 1, not 1.5."),
        (["-qm", "kl", "mse", "-r", "convert"],
         "run mode convert takes one value of -qm and of -i, not several."),
        (["-qm", "kl", "mse", "-cd", "seen.bin"],
         "-du and -cd belong to one run, but several range methods or iterations are asked for."),
        (["-i", "1", "2", "-du"],
         "-du and -cd belong to one run, but several range methods or iterations are asked for."),
        (["-i", "1", "2", "-r", "auto_quant", "-du"],
         "-du and -cd belong to one run, but several range methods or iterations are asked for."),
        (["-i", "few"], "Invalid value for '-i' / '--iteration': 'few' is not a valid integer."),
    ],
)  # fmt: skip
def test_refusals(refused: Refusal, arguments: list[str], sentence: str) -> None:
    hint = HINTS.get(arguments[-1], HINTS.get(arguments[1], ""))
    refused(["quant", "-m", "digits.onnx", *arguments], 2, sentence, hint)


def test_auto_is_a_method_beside_others(here: Path, capsys: Capture) -> None:
    capsys.readouterr()
    line = ["quant", "-m", "digits.onnx", *DATA, "-s", "out", "-qm", "mse", "auto", "-i", "20"]
    assert run([*line, "--json"]) == 0
    out, err = capsys.readouterr()
    assert {row["method"] for row in json.loads(out)["combinations"]} == {"mse", "auto"}
    reports = {
        name: json.loads((Path("out") / f"{name}_it_20/digits_quantize_report.json").read_text())
        for name in ("mse", "auto")
    }
    names = {name: [step["name"] for step in report["steps"]] for name, report in reports.items()}
    assert NAME not in names["mse"]
    assert reports["auto"]["method"] == "auto"
    assert (NAME in names["auto"]) == (f"{NAME}: " in err)
