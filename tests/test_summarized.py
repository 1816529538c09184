"""Many findings as a person reads them: one of a kind, and first what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
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


def linear(net: Net, x: str, name: str, size: tuple[int, int]) -> str:
    made = net.node("MatMul", [x, net.random(f"{name}.w", size)], f"{name}.matmul")
    return net.node("Add", [made, net.random(f"{name}.b", size[1:])], name)


def tokens(net: Net, channels: int) -> str:
    net.input("x", [1, 3, 32, 32])
    net.conv("x", "patches", (channels, 3, 8, 8), strides=[8, 8])
    shape = net.weight("tokens.shape", np.asarray([1, channels, 16]))
    net.node("Reshape", ["patches", shape], "rows")
    return net.node("Transpose", ["rows"], "tokens", perm=[0, 2, 1])


def windows(net: Net) -> str:
    """As Swin: normalized, cut into windows, attention of two activations."""
    x, channels = tokens(net, 16), 16
    cut = net.weight("windows", np.asarray([1, 2, 2, 2, 2, channels]))
    rows = net.weight("rows.shape", np.asarray([1, 16, channels]))
    scale, shift = net.random("scale", (channels,)), net.random("shift", (channels,))
    for block in range(20):
        name = f"layers.{block}"
        y = net.node("LayerNormalization", [x, scale, shift], f"{name}/norm", axis=-1)
        y = net.node("Reshape", [y, cut], f"{name}/cut")
        y = net.node("Transpose", [y], f"{name}/turned", perm=[0, 1, 3, 2, 4, 5])
        y = net.node("Reshape", [y, rows], f"{name}/rows")
        turned = net.node("Transpose", [y], f"{name}/keys", perm=[0, 2, 1])
        y = net.node("MatMul", [y, turned], f"{name}/attention")
        y = net.node("MatMul", [y, x], f"{name}/mixed")
        x = net.node("Add", [x, y], f"{name}/sum")
    return linear(net, x, "head", (channels, 4))


def maxima(net: Net) -> str:
    """Maxima over channels, each read by a convolution."""
    x = net.input("x", [1, 8, 6, 6])
    for block in range(12):
        y = net.node("ReduceMax", [x], f"most.{block}", axes=[1], keepdims=1)
        x = net.node("Add", [net.conv(x, f"conv.{block}", (8, 8, 1, 1)), y], f"sum.{block}")
    return net.conv(x, "last", (4, 8, 1, 1))


def scans(net: Net) -> str:
    """Recurrent layers behind convolutions, as in text recognition."""
    net.input("x", [1, 3, 1, 20])
    net.conv("x", "columns", (8, 3, 1, 3))
    net.node("Squeeze", ["columns", net.weight("axis", np.asarray([2]))], "squeezed")
    x = net.node("Transpose", ["squeezed"], "steps.0", perm=[2, 0, 1])
    for layer in range(9):
        weights = [net.random(f"{layer}.{part}", (1, 32, 8)) for part in "wr"]
        y = net.node("LSTM", [x, *weights], f"lstm.{layer}", hidden_size=8)
        x = net.node(
            "Reshape", [y, net.weight(f"s{layer}", np.asarray([18, 1, 8]))], f"steps.{layer + 1}"
        )
    return linear(net, x, "head", (8, 5))


OTHERWISE = "export a network without these operators, or not as it has them: "
LOOK_ALIKES = {  # and what helps, or the operators
    windows: (OTHERWISE, "LayerNormalization (20)", "MatMul (40)"),
    maxima: ("end the network before it, or reduce with Max and Min of split channels.",),
    scans: (OTHERWISE, "LSTM (9)"),
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
