"""What ``knightlite quant`` can do, ``knightlite.quantize`` can: the same options either way."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import pytest

import knightlite
from knightlite import KnightliteError
from knightlite.cli import quant
from knightlite.cli.program import run
from knightlite.cli.vocabulary import ACCEPTED, LATER
from knightlite.datafiles import CONTAINER
from knightlite.options import Option, kinds, options_of
from knightlite.options.kinds import Kind
from knightlite.options.quantize import QuantizeOptions

IN_THE_CONTAINER = str(CONTAINER / "infer_common.py")  # which stands for the one that ships
# kind -> (words behind the flag, the argument in Python): values other than any default
SAMPLES: Sequence[tuple[Kind, tuple[str, ...], Any]] = (
    (kinds.TEXT, ("text",), "text"),
    (kinds.NAME, ("digits",), Path("digits")),
    (kinds.FILE, ("folder/file",), "folder/file"),
    (kinds.SCRIPT_FILE, (IN_THE_CONTAINER,), IN_THE_CONTAINER),
    (kinds.FOLDER, ("pictures",), Path("pictures")),
    (kinds.FUNCTION, ("function",), "function"),
    (kinds.WHOLE, ("3",), 3),
    (kinds.REAL, ("0.25",), 0.25),
    (kinds.SWITCH, (), True),
    (kinds.ON_OFF, ("off",), False),
    (kinds.BITS, ("16",), 16),
    (kinds.BUDGET, ("2.5",), 2.5),
    (kinds.TEXTS, ("a", "b"), ["a", "b"]),
    (kinds.WORDS, ("kl", "mse"), ["kl", "mse"]),
    (kinds.COUNTS, ("2", "7"), (2, 7)),
    (kinds.NUMBERS, ("1", "-2.5"), (1, -2.5)),
    (kinds.SHAPES, ("1", "3", "8", "8"), [[1, 3, 8, 8]]),
    (kinds.JSON_LIST, ('[{"input_name": "x"}]',), [{"input_name": "x"}]),
)
# options of the command line alone
NOT_ARGUMENTS: Mapping[str, str] = {
    "json": "the result is an object",
    "log-level": "remarks are Python's warnings, which its filters choose",
    "run-config": "a Python program has its own",
}
OPTIONS = options_of(QuantizeOptions)
BOTH = [name for name, item in OPTIONS.items() if item.python and item.flags and name != "model"]


# what the kind of an option does not give
SPECIAL: Mapping[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "no option": ((), {}),
    "chip": (("--chip", "TX5112CV201"), {"chip": "TX5112CV201"}),
    "save_dir": (("-s", "out"), {"save_dir": "out"}),
    "dump": (("-du", "-s", "out"), {"dump": True, "save_dir": "out"}),
    "run_mode": (("-r", "auto_quant"), {"run_mode": "auto_quant"}),
}


def sample(item: Option) -> tuple[tuple[str, ...], Any]:
    """A value that is not the default, on the command line and in Python."""
    if item.kind.words and item.kind not in (kinds.ON_OFF, kinds.BITS):
        word = next(word for word in item.kind.words if word != item.default)
        return (word,), word
    if item.kind.form is kinds.Form.REAL:
        return ("0.25",), 0.25
    return next((words, value) for kind, words, value in SAMPLES if kind == item.kind)


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
    """Of the parser, and of the function: not of the record alone."""
    arguments = [OPTIONS[name].parameter for name in BOTH]
    assert set(inspect.signature(knightlite.quantize).parameters) == {
        "model", "chip", "save_dir", *arguments
    }  # fmt: skip
    assert len(set(arguments)) == len(arguments)
    known = {key for name in ("model", *BOTH) for key in OPTIONS[name].keys}
    assert long_options() == known | {"save-dir"} | set(NOT_ARGUMENTS)


@pytest.mark.parametrize("name", sorted({*SPECIAL, *BOTH}))
def test_either_way_asks_for_the_same(
    name: str, caught: list[tuple[QuantizeOptions, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KNIGHTLITE_DEBUG", "1")
    words, arguments = SPECIAL.get(name) or asked(OPTIONS[name])
    with pytest.raises(Caught):
        run(["quant", "onnx", "-m", "m.onnx", *words])
    with pytest.raises(Caught):
        knightlite.quantize("m.onnx", **arguments)
    with pytest.raises(Caught):
        knightlite.quantize("m.onnx")
    (typed, _), (called, saved), (plain, _) = caught
    assert called == typed
    assert saved == ("save_dir" in arguments)
    assert (called != plain) == (name != "no option")


def asked(item: Option) -> tuple[tuple[str, ...], dict[str, Any]]:
    words, value = sample(item)
    return (item.flags[0], *words), {item.parameter: value}


def test_other_run_modes_have_functions_of_their_own(tmp_path: Path) -> None:
    for mode, name in (("convert", "convert"), ("infer", "infer"), ("compare", "compare_layers")):
        with pytest.raises(KnightliteError) as refused:
            knightlite.quantize("m.onnx", run_mode=mode)
        assert refused.value.sentence == f"run mode {mode} has a function of its own."
        assert refused.value.hint == f"knightlite.{name}"
        assert callable(getattr(knightlite, name))
    with pytest.raises(KnightliteError, match=r"^a dump is written into save_dir, which is not"):
        knightlite.quantize("m.onnx", dump=True)
    (tmp_path / "m.onnx").touch()
    with pytest.raises(KnightliteError, match="run mode must be one of"):
        knightlite.quantize(tmp_path / "m.onnx", run_mode="all")


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
