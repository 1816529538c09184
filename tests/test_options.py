"""An option is one field: parser, run-config keys, Python, its stub and checks come from it."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

import knightlite
from knightlite import KnightliteError
from knightlite.api.quantization import options as asking
from knightlite.api.quantization import quantize
from knightlite.cli.arguments import rewrite
from knightlite.cli.knight_command import SECTION, KnightCommand
from knightlite.cli.program import COMMANDS, run
from knightlite.cli.record_command import RecordOption, record_command
from knightlite.cli.vocabulary import ACCEPTED, LATER
from knightlite.errors import UsageError
from knightlite.frontend import interpreter
from knightlite.options import Option, check, like, options_of, shared
from knightlite.options.checks import within
from knightlite.options.commands import RECORDS
from knightlite.options.compare import CompareOptions
from knightlite.options.compile import CompileOptions, ExplainOptions
from knightlite.options.diagnose import DiagnoseOptions
from knightlite.options.evaluate import EvaluateOptions
from knightlite.options.kinds import COUNTS, NUMBERS, WHOLE, real, whole
from knightlite.options.profile import ProfileOptions
from knightlite.options.quantize import QuantizeOptions
from knightlite.public.record_function import record_function
from test_docs import command_of
from test_public_stub import function_text, public_functions

REQUIRED: Mapping[str, list[str]] = {  # what must be given beside the planted option
    "quant": ["-m", "x"],
    "serve": ["x"],
    "sim": ["-i", "x"],
    "check": ["-m", "x"],
    "explore": ["-m", "x"],
    "inspect": ["x"],
    "model_info": ["-m", "x"],
    "model_modifier": ["-m", "x"],
    "npy2bin": ["-i", "x", "-o", "y"],
    "deploy": ["-o", "x"],
    "sim-lib": ["-o", "x"],
    "bin2header": ["x", "y"],
}
PATIENCE = Option(
    flags=("-pt", "--patience-steps"),
    kind=WHOLE,
    help="Steps without gain before giving up.",
    default=7,
    check=within(1, 9, "the patience (-pt)"),
    also=("infer",),
)


# ------------------------------------------------------------------ a planted option


def planted(record: type) -> Any:
    """The record with an option more: one field."""
    return dataclasses.make_dataclass(
        "Planted", [("patience", int, like(PATIENCE))], bases=(record,),
        frozen=True, slots=True, kw_only=True,
    )  # fmt: skip


def command_with(record: type, found: list[Any], **settings: Any) -> click.Command:
    """A command of the record; what it is asked for is put into ``found``."""

    def command(options: Any) -> None:
        """Do it."""
        found.append(options)

    return record_command(record, epilog="", **settings)(command)


@pytest.mark.parametrize("name", RECORDS)
def test_a_new_field_is_an_option_of_the_command_line(name: str) -> None:
    found: list[Any] = []
    command = command_with(planted(RECORDS[name]), found)
    shown = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    wanted = "-pt, --patience-steps INTEGER Steps without gain before giving up. [default: 7]"
    assert wanted in shown
    for words in ([], ["-pt", "3"], ["--patience-steps=3"]):
        done = CliRunner().invoke(command, [*REQUIRED.get(name, []), *words])
        assert done.exit_code == 0, done.output
    assert [options.patience for options in found] == [7, 3, 3]


@pytest.mark.parametrize("name", SECTION)
def test_a_new_field_is_a_key_of_run_config_files(name: str, tmp_path: Path) -> None:
    found: list[Any] = []
    command = command_with(planted(RECORDS[name]), found, cls=KnightCommand, word=name)
    config = tmp_path / "c.json"
    config.write_text(json.dumps({SECTION[name]: {"patience-steps": 4}}))
    for words in ([], ["-pt", "5"], [f"--{SECTION[name]}.patience-steps", "6"]):
        given = ["-rc", str(config), *REQUIRED.get(name, []), *words]
        done = CliRunner().invoke(command, given)
        assert done.exit_code == 0, done.output
    assert [options.patience for options in found] == [4, 5, 6]


@pytest.mark.parametrize(
    ("key", "forms", "flag", "words", "field", "value"),
    [
        ("output-name", ["A B", ["A", "B"], [["A"], "B"]], "-on", ["A", "B"], "output_names",
         ("A", "B")),
        ("output-name", [357, ["357"], [357]], "-on", ["357"], "output_names", ("357",)),
        ("output-name", ["357 358", [357, 358]], "-on", ["357", "358"], "output_names",
         ("357", "358")),
        ("quantize-input-dtype", ["uint8 None", ["uint8", "None"], ["uint8", None]], "-qid",
         ["uint8", "None"], "input_types", ("uint8", "None")),
        ("mean", ["1.5 2", [1.5, 2], ["1.5", 2], ["1.5 2"], "1.5,2", "[1.5, 2]"], "--mean",
         ["1.5", "2"], "mean", (1.5, 2.0)),
        ("std", [255, "255.", [255], 255.0], "--std", ["255"], "std", (255.0,)),
        ("mean", ["0 0 0", [0, 0, 0]], "--mean", ["0", "0", "0"], "mean", (0.0, 0.0, 0.0)),
        ("input-shapes",
         ["-1 3 48 192", [-1, 3, 48, 192], ["-1 3 48 192"], [[-1, 3, 48, 192]], "-1,3,48,192",
          "[-1, 3, 48, 192]", " -1  3 48x192"],
         "-is", ["-1", "3", "48", "192"], "input_shapes", ((-1, 3, 48, 192),)),
        ("input-shapes", [["1 3", "1 4 5"], [[1, 3], [1, 4, 5]], [[1, 3], "1 4 5"]], "-is",
         ["1,3", "-is", "1,4,5"], "input_shapes", ((1, 3), (1, 4, 5))),
        ("iteration", ["1 10", [1, 10], ["1", 10], "1,10"], "-i", ["1", "10"], "iterations",
         (1, 10)),
        ("quant-mode", ["kl mse", ["kl", "mse"], "kl,mse"], "-qm", ["kl", "mse"], "methods",
         ("kl", "mse")),
        ("bit-width", [16, "16"], "-b", ["16"], "bit_width", 16),
        ("percent", [0.99, "0.99"], "-per", ["0.99"], "percent", 0.99),
        ("dump", [True, "true", 1, "1"], "-du", [], "dump", True),
        ("batch-size", [4, "4"], "-bs", ["4"], "batch_size", 4),
        ("lut-len", [9, "9"], "-ll", ["9"], "lut_len", 9),
        ("data", [7, "7"], "-d", ["7"], "data", "7"),
        ("run-mode", ["convert"], "-r", ["convert"], "run_mode", "convert"),
    ],
)  # fmt: skip
def test_texts_lists_and_numbers_of_run_configs_are_words_of_the_command_line(
    tmp_path: Path, key: str, forms: list[Any], flag: str, words: list[str], field: str, value: Any
) -> None:
    found: list[Any] = []
    command = command_with(QuantizeOptions, found, cls=KnightCommand, word="quant")
    given = [[flag, *words], *([flag, form] for form in forms if isinstance(form, str) and words)]
    for number, form in enumerate(forms):
        config = tmp_path / f"{number}.json"
        config.write_text(json.dumps({"quant": {key: form}}))
        given.append(["-rc", str(config)])
    for arguments in given:
        done = CliRunner().invoke(command, rewrite(["quant", "-m", "x", *arguments])[1:])
        assert done.exit_code == 0, done.output
    read = [getattr(options, field) for options in found]
    if field in ("output_names", "input_types"):  # texts, which the network's names divide
        read = [tuple(" ".join(texts).split()) for texts in read]
    assert read == [value] * len(given)


@pytest.mark.parametrize(
    "record",
    [QuantizeOptions, CompileOptions, EvaluateOptions, ProfileOptions, DiagnoseOptions,
     CompareOptions],
)  # fmt: skip
def test_a_new_field_is_an_argument_in_python(record: type) -> None:
    function = record_function(planted(record))(_body("made"))
    given = ["x"] if record is QuantizeOptions else []
    assert function(*given).patience == 7
    assert function(*given, patience_steps=3).patience == 3
    parameter = inspect.signature(function).parameters["patience_steps"]
    assert (parameter.annotation, parameter.default) == ("int", 7)
    line = "    patience_steps: steps without gain before giving up."
    assert line in (function.__doc__ or "").splitlines()
    stub = function_text(function)
    assert "    patience_steps: int = 7,\n" in stub
    assert f"    {line}\n" in stub
    for name, has in (("infer", True), ("convert", False)):
        other = record_function(planted(record), whole=False)(_body(name))
        assert ("patience_steps" in inspect.signature(other).parameters) == has


def _body(name: str) -> Callable[..., Any]:
    def body(asked: Callable[..., Any], talk: object) -> Any:
        """Do it."""
        return asked()

    body.__name__ = name
    return body


def test_a_new_field_is_checked() -> None:
    record = planted(ExplainOptions)
    check(record(patience=9))
    with pytest.raises(UsageError) as caught:
        check(record(patience=10))
    assert caught.value.sentence == "the patience (-pt) must be from 1 to 9, not 10."


# ------------------------------------------------------------------ every record


@pytest.mark.parametrize("name", RECORDS)
def test_a_command_has_the_options_of_its_record_and_no_others(name: str) -> None:
    """But for the words of Knight's that a table of their own lists."""
    command = command_of(name)
    own = [option for option in command.params if isinstance(option, RecordOption)]
    assert [tuple(option.opts) for option in own] == [
        item.flags for item in options_of(RECORDS[name]).values() if item.flags
    ]
    others = {flag for option in command.params for flag in option.opts if option not in own}
    words = {
        flag for word in (*ACCEPTED.get(name, ()), *LATER.get(name, ())) for flag in word.names
    }
    places = {key for key, item in options_of(RECORDS[name]).items() if item.position}
    assert others - words <= {"-rc", "--run-config", "-l", "--log-level", "target"} | places


def test_every_command_has_a_record() -> None:
    assert list(RECORDS) == list(COMMANDS)


@pytest.mark.parametrize("record", RECORDS.values())
def test_names_are_given_once(record: type) -> None:
    items = list(options_of(record).values())
    flags = [flag for item in items for flag in item.flags]
    assert len(set(flags)) == len(flags)
    arguments = [item.parameter for item in items if item.python and item.flags]
    assert len(set(arguments)) == len(arguments)


def every_option() -> list[Any]:
    return [
        pytest.param(item, id=f"{record.__name__}.{name}")
        for record in RECORDS.values()
        for name, item in options_of(record).items()
    ]


@pytest.mark.parametrize("item", every_option())
def test_an_option_is_told_and_its_default_is_one_of_its_values(item: Option) -> None:
    assert item.help.endswith(".") or not item.flags
    if item.required or item.default is None:
        return
    item.refuse(item.default)
    assert item.kind.several or item.kind.read(item.kind.write(item.default)) == item.default


def test_words_are_those_of_the_rooms_that_read_them() -> None:
    """Rooms that are not light have lists of their own, which may not differ."""
    assert interpreter.EXPORTERS == shared.EXPORTERS


@pytest.mark.parametrize("function", public_functions())
def test_every_argument_is_told(function: Callable[..., Any]) -> None:
    _, _, lines = (inspect.getdoc(function) or "").partition("\n\nArgs:\n")
    told = re.findall(r"^    (\w+): \S(?:.|\n {8})*\.$", lines, re.MULTILINE)
    assert told == list(inspect.signature(function).parameters)


# ------------------------------------------------------------------ checks


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"effort": "huge"}, "effort must be one of low, normal, high, not huge."),
        ({"bias_correction": "no"},
         "bias correction must be one of off, fast, sequential, not no."),
        ({"rounding": "up"}, "rounding must be one of nearest, adaptive, not up."),
        ({"bit_width": 4}, "the bit_width must be 8 or 16, not 4."),
        ({"equalization": "no"}, "equalization must be False or True, not no."),
        ({"auto_mix_ratio": 1.5},
         "the share of operators at 16 bits must be from 0 to 1, not 1.5."),
        ({"auto_mix_ratio": float("nan")},
         "the share of operators at 16 bits must be from 0 to 1, not nan."),
        ({"auto_mix_strategy": "best"},
         "the strategy must be one of HAWQ, IOhigh, initial, not best."),
        ({"torch_exporter": "fx"},
         "The exporter of torch must be one of auto, torchscript, dynamo, not fx."),
        ({"lut_len": 7}, "the length of tables (lut_len) must be from 8 to 12, not 7."),
        ({"lut_len": 13}, "the length of tables (lut_len) must be from 8 to 12, not 13."),
        ({"ir_batch": 0}, "the batch of the model (ir_batch) must be from 1 to 4096, not 0."),
        ({"seed": -1}, "the seed must be from 0 to 4294967295, not -1."),
        ({"seed": 1 << 32}, "the seed must be from 0 to 4294967295, not 4294967296."),
        ({"percent": 0}, "the share of percentile must be above 0 and at most 1, not 0."),
        ({"chip": "TX1"}, "chip TX1 is not known."),
        ({"iteration": []}, "iteration must be a number, or several, not an empty list."),
        ({"iteration": (2, 0)},
         "iteration must be from 1 to 10000000 and batch_size from 1 to 4096, not 0 and 1."),
        ({"batch_size": 4097},
         "iteration must be from 1 to 10000000 and batch_size from 1 to 4096, not 1 and 4097."),
        ({"data": 5}, "data must be a folder, an array or an iterable of arrays, not int."),
    ],
)  # fmt: skip
def test_values_that_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.onnx").touch()
    with pytest.raises(KnightliteError) as caught:
        knightlite.quantize("m.onnx", **wrong)
    assert caught.value.sentence == sentence


@pytest.mark.parametrize(
    "ends",
    [
        {"lut_len": (8, 12)},
        {"ir_batch": (1, 4096)},
        {"batch_size": (1, 4096)},
        {"iterations": ((1,), (1 << 20, 1))},
        {"seed": (0, (1 << 32) - 1)},
        {"mix_ratio": (0.0, 1.0)},
        {"percent": (1e-6, 1.0)},
    ],
    ids=str,
)
def test_the_ends_of_what_can_be(ends: dict[str, tuple[Any, Any]]) -> None:
    """The first and the last value that is taken, beside those above that are not."""
    for name, values in ends.items():
        for value in values:
            check(QuantizeOptions(model=Path("m.onnx"), **{name: value}))


def test_arguments_are_named_as_pythons_own_are() -> None:
    with pytest.raises(TypeError, match=r"^quantize\(\) multiple values for argument 'model'$"):
        knightlite.quantize("m.onnx", model="x")  # type: ignore[misc]  # the point


@pytest.mark.parametrize(
    ("function", "argument", "near"),
    [
        ("quantize", "metod", "method"),
        ("quantize", "quantize_method", "method"),  # as the command has it
        ("compile", "optgroup", "opt_group"),
        ("infer", "dta", "data"),
        ("evaluate", "dat", "data"),
        ("explore", "chip_names", "chips"),
    ],
)
def test_an_argument_that_there_is_not_leads_to_the_nearest(
    function: str, argument: str, near: str
) -> None:
    with pytest.raises(UsageError) as caught:
        getattr(knightlite, function)("m.onnx", **{argument: 1})
    assert caught.value.sentence == f"{function}() has no argument {argument}."
    assert near in caught.value.hint
    assert caught.value.hint.endswith(f"help(knightlite.{function}) lists them")


def test_options_are_checked_once(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []

    def counted(asked: object) -> None:
        seen.append(asked)
        check(asked)

    monkeypatch.setattr(asking, "check", counted)
    assert run(["quant", "-m", "digits.onnx", "-s", "out"]) == 0
    with pytest.warns(UserWarning, match="calibrated with random data"):
        knightlite.quantize("digits.onnx")
    quantize(QuantizeOptions(model=Path("digits.onnx"), run_mode="infer"))
    assert len(seen) == 3


@pytest.mark.parametrize("make", [whole, real])
@pytest.mark.parametrize(("low", "high"), [(2, 9), (2, None), (None, 9), (None, None)])
def test_bounds_of_a_kind_are_inside(make: Any, low: int | None, high: int | None) -> None:
    item = Option(flags=("--number",), kind=make(low, high))
    for value in (-5, 1, 2, 9, 10, 1000):
        good = (low is None or value >= low) and (high is None or value <= high)
        if good:
            item.refuse(value)
            continue
        with pytest.raises(UsageError, match=rf"^number must be .*, not {value}\.$"):
            item.refuse(value)


@pytest.mark.parametrize("kind", [whole(), real(), COUNTS, NUMBERS])
@pytest.mark.parametrize("value", [True, False, [True], object()])
def test_true_is_no_number(kind: Any, value: object) -> None:
    if isinstance(value, list) and kind.several is None:
        return
    with pytest.raises(UsageError, match=f"^number must be {kind.wanted}, not "):
        Option(flags=("--number",), kind=kind).taken(value)
