"""Advice is true: who does what it says finds the gain that it promised, to 1 %."""

from __future__ import annotations

import json
import shlex
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from knightlite.api.advising import commands as commands_module
from knightlite.api.advising import trying
from knightlite.api.advising.commands import Job, Outcome, run_all
from knightlite.api.advising.source import without
from knightlite.api.advising.trying import try_out
from knightlite.api.models.binary import find_binary
from knightlite.api.profiling import profile_binary
from knightlite.chip_files import find
from knightlite.cli.program import run
from knightlite.options.profile import ProfileOptions
from knightlite.report import Tried
from knightlite.talk import SILENT
from refusals import Refusal

Capture = pytest.CaptureFixture[str]
STEM = "digits_quantize"
LONG = 600.0  # seconds: as long as it takes, on a busy computer too


def advised(**asked: Any) -> tuple[Tried, float]:
    """What is tried on the network that compile left here, and its time."""
    options = ProfileOptions(**{"advice_seconds": LONG, **asked})
    binary = find_binary(Path(), None, None)
    found = profile_binary(binary, None, dict(options.facts))
    return try_out(found, binary, options, SILENT).tried, found.time_ms


def save_open_network(path: Path) -> None:
    """Convolutions over a picture of any size."""
    rng = np.random.default_rng(1)
    shapes = {"w0": (32, 3, 3, 3), "w1": (64, 32, 3, 3)}
    weights = [
        numpy_helper.from_array(rng.normal(0, 0.2, shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"], name="a", pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"], name="b"),
        helper.make_node("Conv", ["b", "w1"], ["c"], name="c", pads=[1] * 4),
        helper.make_node("GlobalAveragePool", ["c"], ["y"], name="y"),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, "height", "width"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 64, 1, 1])
    graph = helper.make_graph(nodes, "open", [x], [y], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)]), path)


def latency(capsys: Capture, *words: str) -> float:
    """What ``profile`` says; the last one of its commands is it already where that is asked for."""
    capsys.readouterr()
    assert run([*(words or ("profile",)), "--json"]) == 0
    return float(json.loads(capsys.readouterr().out)["latency_ms"])


@pytest.fixture
def two_chips(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if no others shipped."""
    kept = (find("TX5368AV200"), find("TX5112CV201"))
    monkeypatch.setattr("knightlite.chip_files.families", lambda: kept)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network of 16 bits and 96 x 64 pixels, compiled at level 0."""
    folder = tmp_path_factory.mktemp("wide")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        save_open_network(Path("open.onnx"))
        quant = ["quant", "-m", "open.onnx", "-is", "1", "3", "96", "64", "-b", "16", "-i", "1"]
        assert run([*quant, "--effort", "low"]) == 0
        assert run(["compile", "--opt-group", "0"]) == 0
    return folder


@pytest.fixture
def at_work(wide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder as the current one."""
    folder = tmp_path / "work"
    shutil.copytree(wide, folder)
    monkeypatch.chdir(folder)
    return folder


def test_every_advice_does_what_it_says(
    wide: Path, at_work: Path, two_chips: None, capsys: Capture
) -> None:
    """What is compiled, and every what-if: each command is typed, and its time looked at."""
    tried, now = advised()
    assert [point.kind for point in tried.points] == ["level", "level", "width", "size", "chip"]
    assert [point.why for point in tried.points if point.time_ms is None] == []
    assert tried.remarks == []
    assert {item.kind for item in tried.chosen} <= {"level", "width", "size", "chip"}
    assert all(item.saved > 0.01 for item in tried.chosen)
    assert len(tried.chosen) == 3
    kinds = {point.kind: point for point in tried.points}
    assert "64 x 32 pixels" in kinds["size"].sentence
    assert "-b" not in shlex.split(kinds["width"].commands[0])
    assert "-b 16" in kinds["size"].commands[0]
    assert kinds["width"].sentence.startswith("Quantize to 8 bits: 4 tensors have 16")
    for shown in tried.assumed:
        (command,) = shown.commands
        assert latency(capsys, *shlex.split(command)[1:]) == pytest.approx(shown.time_ms, rel=1e-9)
    for item in tried.points:
        shutil.copytree(wide, at_work, dirs_exist_ok=True)  # quant leaves another model there
        for command in item.commands:
            words = shlex.split(command)
            assert words[0] == "knightlite"
            assert run(words[1:]) == 0
        found = latency(capsys)
        assert found == pytest.approx(item.time_ms, rel=0.01)
        if item.kind != "level":
            assert found != now


# ------------------------------------------------------------------ where it cannot be


def test_a_model_that_is_gone_is_said(here: Path, capsys: Capture) -> None:
    Path(f"{STEM}.onnx").rename("elsewhere.onnx")
    assert run(["profile", "--config", f"{STEM}_r.cfg", "--html", "page.html"]) == 0
    out = capsys.readouterr().out
    assert "not compiled again: name its model with --onnx\n" in out
    gone = f"Nothing was compiled again: {STEM}.onnx, the model that it was compiled from, is gone"
    assert f"{gone}: name it with --onnx FILE" in Path("page.html").read_text("utf-8")


def advised_of_files(**asked: Any) -> tuple[Tried, float]:
    options = ProfileOptions(**{"advice_seconds": LONG, **asked})
    binary = find_binary(Path(), Path(f"{STEM}_r.cfg"), None)
    found = profile_binary(binary)
    return try_out(found, binary, options, SILENT).tried, found.time_ms


def test_a_model_that_has_changed_is_said(here: Path) -> None:
    Path(f"{STEM}.onnx").write_bytes(b"another")
    tried, _ = advised_of_files()
    assert tried.points == ()
    assert "has changed since" in tried.remarks[0]


def test_without_records_the_model_is_not_known(here: Path) -> None:
    Path("knightlite.json").unlink()
    tried, _ = advised_of_files()
    assert list(tried.remarks) == [
        "Nothing was compiled again: no record says where the model that it was compiled from is: "
        "name it with --onnx FILE",
    ]


def test_another_model_is_refused(refused: Refusal) -> None:
    refused(
        ["profile", "--advice-seconds", "9", "--onnx", "digits.onnx"], 2,
        f"digits.onnx is not the model that {STEM}_r.cfg was compiled from: it has another "
        "SHA-256.",
        "leave --onnx out, or compile it first",
    )  # fmt: skip
    words = ["profile", "--advice-seconds", "9", "--onnx", "none.onnx"]
    refused(words, 2, "quantized model none.onnx does not exist.", "the files there are *")
    refused(["profile", "--html", "no/file/", "--advice-seconds", "-1"], 2, "*")


def test_what_is_tried_and_what_is_not(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Digits have 8 bits and one size; of chips that are assumed to be others none is tried."""
    jobs: list[Job] = []

    def ran(given: Sequence[Job], seconds: float, done: object) -> list[Outcome]:
        jobs.extend(given)
        return [Outcome(None, f"not in {seconds:g} s") for _ in given]

    monkeypatch.setattr(trying, "run_all", ran)
    tried, _ = advised(facts=(("clock_hz", 400_000_000),), advice_seconds=9.0)
    assert [(point.kind, point.why) for point in tried.points] == [("level", "not in 9 s")]
    assert tried.remarks == [
        "Narrower tensors: not tried, quant was asked for 8 bits already; its report says what "
        "has 16 all the same (quant --wide-tensors off)",
        "Another input size: not tried, it was not chosen with -is",
        "Other chips: not tried, figures of this one are assumed",
    ]
    assert [job.commands[-1][2] for job in jobs] == ["explain", "compile"]
    Path(f"{STEM}.onnx").rename("elsewhere.onnx")
    tried, _ = advised_of_files(onnx=Path("elsewhere.onnx"), advice_seconds=9.0)
    chips = [point for point in tried.points if point.kind == "chip"]
    assert len(chips) == 4  # all but this one and those of which nothing is public
    assert not any("BENCH" in point.short for point in chips)


# ------------------------------------------------------------------ commands beside each other


def test_time_that_is_up_stops_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "knightlite"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(
        "import sys, time\nprint(sys.argv[1], flush=True)\ntime.sleep(float(sys.argv[2]))\n"
        "if sys.argv[1] == 'bad':\n    print('Error: it is so.', file=sys.stderr)\n    sys.exit(1)"
    )
    monkeypatch.setattr(commands_module, "HOME", tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    before = time.monotonic()
    jobs = [
        Job(tmp_path, (("a", "0"), ("b", "0"))),
        Job(tmp_path, (("bad", "0"), ("b", "0"))),
        Job(tmp_path, (("slow", "500"),)),
    ]
    counts: list[int] = []
    found = run_all(jobs, 8.0, counts.append)
    assert time.monotonic() - before < 60
    assert [(item.output, item.why) for item in found] == [
        ("b\n", ""), (None, "it is so"), (None, "not finished within 8 s"),
    ]  # fmt: skip
    assert counts == sorted(counts)


def test_words_without_options() -> None:
    words = ["--output", "a", "-s", "out", "--sparse", "--percent", "-1", "--opt-group", "2"]
    assert without(words, ("-s", "--opt-group")) == [
        "--output", "a", "--sparse", "--percent", "-1",
    ]  # fmt: skip
    numbers = ["--mean", "-1.5", "-2", "3", "-b", "8", "--mean"]
    assert without(numbers, ("--mean",)) == ["-b", "8"]
    assert without(numbers, ("-b",)) == ["--mean", "-1.5", "-2", "3", "--mean"]
