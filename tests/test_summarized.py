"""Many findings as a person reads them: one of a kind, and first what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from knightlite.cli.program import run
from knightlite.errors import Finding, summarized
from onnx_nets import Net


def texts(*findings: Finding) -> list[str]:
    return [str(item) for item in summarized(findings)]


def test_a_kind_is_a_sentence_whatever_its_names_numbers_and_operator() -> None:
    found = [
        *(Finding(f"/b{i}/Gather", "Gather is not supported yet.", f"cut {i}") for i in range(4)),
        *(Finding(f"norm.{i}", "LayerNormalization is not supported yet.") for i in range(2)),
        *(
            Finding(f"mm{i}", f"MatMul mm{i} must read features [1, K], not ({i}, 4{', 7' * i}).")
            for i in range(3)
        ),
        Finding("add", "Add add must have a constant per channel."),
        Finding("sum", "Add sum must have a constant per channel."),
        Finding("doubt", "MatMul doubt must read features [1, K], not (3, 4).", "", "warning"),
    ]
    assert texts(*found) == [
        "6 places of Gather (4), LayerNormalization (2), such as /b0/Gather: Gather is not "
        "supported yet. Hint: cut 0",
        "3 places, such as mm0: MatMul mm0 must read features [1, K], not (0, 4).",
        "add: Add add must have a constant per channel.",
        "sum: Add sum must have a constant per channel.",
        "doubt: MatMul doubt must read features [1, K], not (3, 4).",
    ]
    assert [item.severity for item in summarized(found)] == ["error"] * 4 + ["warning"]
    assert summarized([]) == []


def test_sentences_that_say_something_else_stay_apart() -> None:
    found = [
        *(Finding(f"a{i}", "the input is too wide.") for i in range(5)),
        *(Finding(f"b{i}", "the input is too high.") for i in range(4)),
    ]
    assert [text.split(",")[0] for text in texts(*found)] == ["5 places", "4 places"]


def test_a_few_findings_and_those_of_one_place_are_told_one_by_one() -> None:
    few = [Finding(f"a{i}", "Gather is not supported yet.") for i in range(8)]
    assert summarized(few) == few
    keys = [Finding("my.toml", f"key {name}_{i} is missing.") for i in range(9) for name in "ab"]
    assert summarized(keys) == keys


# ------------------------------------------------------------------ networks of many refusals


def sums(net: Net) -> str:
    """Numbers put in places, each beside a convolution: the host could do it, in as many trips."""
    x = net.input("x", [1, 8, 6, 6])
    for block in range(12):
        y = net.placed(x, [1, 8, 6, 6], f"total.{block}")
        x = net.node("Add", [net.conv(x, f"conv.{block}", (8, 8, 1, 1)), y], f"sum.{block}")
    return net.conv(x, "last", (4, 8, 1, 1))


def chosen(net: Net) -> str:
    """Places that are not zero: how many there are depends on the values."""
    x = net.input("x", [1, 8, 6, 6])
    for block in range(9):
        x = net.conv(x, f"conv.{block}", (8, 8, 1, 1))
        places = net.node("NonZero", [x], f"places.{block}")
        y = net.node("ReduceMax", [places], f"most.{block}", keepdims=0)
        y = net.node("Cast", [y], f"real.{block}", to=1)
        x = net.node("Mul", [x, y], f"times.{block}")
    return net.conv(x, "last", (4, 8, 1, 1))


LOOK_ALIKES = {  # and what helps, or the operators
    sums: ("-gp runs ScatterElements",),
    chosen: ("NonZero",),
}


@pytest.mark.parametrize(("build", "told"), LOOK_ALIKES.items(), ids=lambda item: "")
def test_a_large_model_is_refused_in_a_few_lines(
    build: Callable[[Net], str],
    told: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    net = Net(opset=17)
    path = net.save(tmp_path, build(net))
    assert run(["check", "-m", str(path), "--json"]) == 1
    errors = [item for item in json.loads(capsys.readouterr().out)["findings"]
              if item["severity"] == "error"]  # fmt: skip
    assert len(errors) > 8

    assert run(["quant", "onnx", "-m", str(path), "-s", str(tmp_path)]) == 2
    said = capsys.readouterr().err.splitlines()
    said = said[said.index("Quant Start") + 1 :]
    assert said[0].startswith(f"Error: {path} cannot run on the NPU, {len(errors)} places are not")
    assert all(text in said[0] for text in told)
    command = f"knightlite check -m {path} --chip TX5368AV200 --json"
    assert said[-1] == f"Hint: `{command}` lists every place"
    assert len(said) <= 10

    assert run(["quant", "onnx", "-m", str(path), "-s", str(tmp_path), "--json"]) == 2
    whole = [line for line in capsys.readouterr().err.splitlines() if line.startswith("  - ")]
    assert len(whole) == len(errors)

    assert run(["check", "-m", str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"net does not run on TX5368AV200, {len(errors)} places are not")
    assert sum(line.startswith("error: ") for line in lines) == len(said) - 2
    assert lines[-2] == "--json lists every place."


def test_what_runs_on_the_host_is_one_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = Net()
    net.input("x", [1, 4, 8, 8])
    parts = [net.conv("x", f"y{index}", (4, 4, 1, 1)) for index in range(9)]
    kinds = ("LogSoftmax", *("Softmax",) * 8)
    ends = [net.node(op, [x], f"end.{x}") for op, x in zip(kinds, parts, strict=True)]
    path = net.save(tmp_path, *ends)
    run(["check", "-m", str(path), "-gp"])
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning")]
    assert told == [
        "warning: 9 places of Softmax (8), LogSoftmax (1), such as end.y0: LogSoftmax runs on the "
        "host, after the NPU. Hint: sim, eval and Session run it; a program on a board has to do "
        "it itself"
    ]
    run(["quant", "onnx", "-m", str(path), "-gp", "-r", "convert", "-s", str(tmp_path / "out")])
    assert told[0].replace("warning", "Warning") in capsys.readouterr().err.splitlines()
