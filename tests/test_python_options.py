"""What ``knightlite quant`` can do, ``knightlite.quantize`` can: the same options either way."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import pytest

import knightlite
from knightlite import KnightliteError
from knightlite.api.quantization import QuantizeOptions
from knightlite.cli import quant
from knightlite.cli.program import run
from knightlite.cli.vocabulary import ACCEPTED, LATER

# long option -> (words of the command line, arguments in Python); an argument has the option's name
SAME: Mapping[str, tuple[tuple[str, ...], Mapping[str, Any]]] = {
    "chip": (("--chip", "TX5112CV201"), {"chip": "TX5112CV201"}),
    "weight": (("-w", "w"), {"weight": "w"}),
    "framework": (("-f", "onnx"), {"framework": "onnx"}),
    "save-dir": (("-s", "out"), {"save_dir": "out"}),
    "data": (("-d", "pictures"), {"data": "pictures"}),
    "recipe": (("--recipe", "digits"), {"recipe": "digits"}),
    "batch-size": (("-bs", "3"), {"batch_size": 3}),
    "iteration": (("-i", "2", "7"), {"iteration": (2, 7)}),
    "percent": (("-per", "0.9"), {"percent": 0.9}),
    "equalization": (("--equalization", "off"), {"equalization": False}),
    "effort": (("--effort", "high"), {"effort": "high"}),
    "bias-correction": (("--bias-correction", "off"), {"bias_correction": "off"}),
    "rounding": (("--rounding", "adaptive"), {"rounding": "adaptive"}),
    "bit-width": (("-b", "16"), {"bit_width": 16}),
    "generate-template": (("-gt",), {"generate_template": True}),
    "mix-config": (("-mc", "mix.json"), {"mix_config": "mix.json"}),
    "input-shapes": (("-is", "1", "3", "8", "8"), {"input_shapes": [(1, 3, 8, 8)]}),
    "run-mode": (("-r", "auto_quant"), {"run_mode": "auto_quant"}),
    "auto-mix-ratio": (("-amr", "0.25"), {"auto_mix_ratio": 0.25}),
    "auto-mix-strategy": (("-ams", "initial"), {"auto_mix_strategy": "initial"}),
    "mix-budget": (("--mix-budget", "2.5"), {"mix_budget": 2.5}),
    "general-process": (("-gp",), {"general_process": True}),
    "mean": (("--mean", "1", "2"), {"mean": (1, 2)}),
    "std": (("--std", "0.5"), {"std": (0.5,)}),
    "generate-scale-json": (("-gsj",), {"generate_scale_json": True}),
    "lut-len": (("-ll", "9"), {"lut_len": 9}),
    "input-configs": (
        ("--input-configs", '[{"input_name": "x"}]'),
        {"input_configs": [{"input_name": "x"}]},
    ),
    "ir-batch": (("-ib", "4"), {"ir_batch": 4}),
    "cache-distribution": (("-cd", "seen"), {"cache_distribution": "seen"}),
    "dump": (("-du", "-s", "out"), {"dump": True, "save_dir": "out"}),
    "paddle-python": (("--paddle-python", "p"), {"paddle_python": "p"}),
    "torch-python": (("--torch-python", "t"), {"torch_python": "t"}),
    "torch-exporter": (("--torch-exporter", "dynamo"), {"torch_exporter": "dynamo"}),
    "seed": (("--seed", "5"), {"seed": 5}),
}
# the same under a name that was there first
SHORTER: Mapping[str, tuple[tuple[str, ...], Mapping[str, Any]]] = {
    "user-defined-script": (("-uds", "s.py"), {"script": "s.py"}),
    "infer-func": (("-if", "f"), {"infer": "f"}),
    "quant-mode": (("-qm", "kl", "mse"), {"method": ("kl", "mse")}),
    "quantize-input-dtype": (("-qid", "uint8"), {"input_types": ("uint8",)}),
    "output-name": (("-on", "a", "b"), {"output_names": ("a", "b")}),
    "load-scale-json": (("-lsj", "s.json"), {"scales": "s.json"}),
}
# options of the command line alone
NOT_ARGUMENTS: Mapping[str, str] = {
    "json": "the result is an object",
    "log-level": "remarks are Python's warnings, which its filters choose",
    "run-config": "a Python program has its own",
}
BOTH = {**SAME, **SHORTER}


class Caught(Exception):
    """Raised where the work would begin."""


@pytest.fixture
def caught(monkeypatch: pytest.MonkeyPatch) -> list[tuple[QuantizeOptions, bool]]:
    """The options that reach the work, and whether files are to be written."""
    found: list[tuple[QuantizeOptions, bool]] = []

    def stop(options: QuantizeOptions, talk: object, *, save: bool = True) -> None:
        found.append((options, save))
        raise Caught

    monkeypatch.setattr("knightlite.api.quantization.quantize_all", stop)
    monkeypatch.setattr(quant, "quantize", stop)
    return found


def long_options() -> set[str]:
    words = (*ACCEPTED["quant"], *LATER["quant"])
    without = {name for word in words for name in word.names}
    return {
        name[2:]
        for option in quant.command.params
        if isinstance(option, click.Option)
        for name in option.opts
        if name.startswith("--") and name not in without
    }


def test_every_option_is_an_argument() -> None:
    known = {"model", *BOTH, *NOT_ARGUMENTS}
    assert long_options() == known - {"chip"}  # which stands before the command's name too
    arguments = set(inspect.signature(knightlite.quantize).parameters)
    given = {name for _, arguments in BOTH.values() for name in arguments}
    assert arguments == {"model"} | given
    assert all(option.replace("-", "_") in arguments for option in SAME)


@pytest.mark.parametrize("option", ["no option", *BOTH])
def test_either_way_asks_for_the_same(
    option: str, caught: list[tuple[QuantizeOptions, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KNIGHTLITE_DEBUG", "1")
    words, arguments = BOTH.get(option, ((), {}))
    with pytest.raises(Caught):
        run(["quant", "onnx", "-m", "m.onnx", *words])
    with pytest.raises(Caught):
        knightlite.quantize("m.onnx", **arguments)
    with pytest.raises(Caught):
        knightlite.quantize("m.onnx")
    (typed, _), (called, saved), (plain, _) = caught
    assert called == typed
    assert saved == ("save_dir" in arguments)
    assert (called != plain) == (option != "no option")


def test_other_run_modes_have_functions_of_their_own(tmp_path: Path) -> None:
    for mode, name in (("convert", "convert"), ("infer", "infer"), ("compare", "compare_layers")):
        with pytest.raises(KnightliteError) as refused:
            knightlite.quantize("m.onnx", run_mode=mode)
        assert refused.value.sentence == f"run mode {mode} has a function of its own."
        assert refused.value.hint == f"knightlite.{name}"
        assert callable(getattr(knightlite, name))
    with pytest.raises(KnightliteError, match=r"^a dump is written into save_dir, which is not"):
        knightlite.quantize("m.onnx", dump=True)
    with pytest.raises(KnightliteError, match="run mode must be one of"):
        knightlite.quantize("m.onnx", run_mode="all")


def test_each_leaves_what_the_command_leaves(here: Path) -> None:
    """Several methods, a template, scales, a dump: files and their bytes."""
    common = ["quant", "-m", "digits.onnx", "-d", "calib", "--recipe", "digits"]
    given: Mapping[str, Any] = {"data": "calib", "recipe": "digits"}
    assert run([*common, "-qm", "kl", "min_max", "-i", "2", "-s", "typed", "-gt"]) == 0
    best = knightlite.quantize(
        "digits.onnx", method=("kl", "min_max"), iteration=2, save_dir="called",
        generate_template=True, **given,
    )  # fmt: skip
    assert best.combinations[0]["method"] == best.report["method"]
    assert {row["folder"] for row in best.combinations} == {"called/kl_it_2", "called/min_max_it_2"}
    one = knightlite.quantize("digits.onnx", method=("kl", "min_max"), iteration=2, **given)
    assert (one.onnx, {row["folder"] for row in one.combinations}) == (best.onnx, {None})

    assert run([*common, "-i", "2", "-s", "typed", "-du", "-cd", "typed/seen", "-gsj"]) == 0
    knightlite.quantize(
        "digits.onnx", iteration=2, save_dir="called", dump=True, generate_scale_json=True,
        cache_distribution="called/seen", **given,
    )  # fmt: skip
    files = {path.relative_to("typed") for path in Path("typed").rglob("*") if path.is_file()}
    assert files == {
        path.relative_to("called") for path in Path("called").rglob("*") if path.is_file()
    }
    assert {"seen", "digits.json", "digits_scales.json"} <= {str(path) for path in files}
    for name in files:
        assert (Path("typed") / name).read_bytes() == (Path("called") / name).read_bytes(), name


def test_convert_infer_and_compare_layers(here: Path) -> None:
    assert run(["quant", "-m", "digits.pdmodel", "-r", "convert", "-s", "converted"]) == 0
    assert knightlite.convert("digits.pdmodel") == Path("converted/digits.onnx").read_bytes()

    given: Mapping[str, Any] = {"data": "calib", "recipe": "digits", "iteration": 3}
    assert knightlite.infer("digits.pdmodel", **given) == 100.0  # the folder has classes
    assert knightlite.infer("digits.pdmodel") is None
    metrics = []
    made = knightlite.quantize("digits.pdmodel", infer=_share, iteration=2)
    for model in ("digits.pdmodel", made):
        metrics.append(knightlite.infer(model, infer=_share, iteration=2))
    assert metrics == [made.float_metric, made.quantized_metric]
    assert metrics[0] != metrics[1]

    made = knightlite.quantize("digits.pdmodel", save_dir="out", **given)
    rows = knightlite.compare_layers(made, **given)
    assert rows == knightlite.compare_layers("out/digits_quantize.onnx", "out/digits.onnx", **given)
    assert len(rows) == len(made.report["tensors"])
    assert all(row.difference is not None for row in rows)
    with pytest.raises(KnightliteError, match="is not named"):
        knightlite.compare_layers("out/digits_quantize.onnx", **given)


def _share(executor: Any) -> float:
    """A metric that sees rounding: the mean of the scores of two pictures."""
    import numpy as np

    rng = np.random.default_rng(0)
    values = [
        float(executor.forward(rng.normal(0, 1, (1, 3, 32, 32)).astype(np.float32))[0].mean())
        for _ in range(executor.iteration)
    ]
    return sum(values)
