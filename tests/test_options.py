"""An option is one field: parser, run-config keys, Python, its stub and checks come from it."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

import knightlite
from knightlite import KnightliteError
from knightlite.api.quantization import options as asking
from knightlite.api.quantization import quantize
from knightlite.cli.knight_command import KnightCommand
from knightlite.cli.program import run
from knightlite.cli.record_command import record_command
from knightlite.errors import UsageError
from knightlite.options import Option, check, option, options_of
from knightlite.options.checks import within
from knightlite.options.kinds import WHOLE
from knightlite.options.quantize import QuantizeOptions
from knightlite.public.record_function import record_function
from test_public_stub import function_text

RECORDS = (QuantizeOptions,)


# ------------------------------------------------------------------ a planted option


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Planted(QuantizeOptions):
    """One option more than ``quant`` has."""

    patience: int = option(
        "-pt",
        "--patience-steps",
        kind=WHOLE,
        help="Steps without gain before giving up.",
        default=7,
        check=within(1, 9, "the patience (-pt)"),
        also=("infer",),
    )


def planted_command(found: list[Planted]) -> click.Command:
    """``quant`` of the record; what it is asked for is put into ``found``."""

    def command(options: Planted) -> None:
        """Quantize."""
        found.append(options)

    return record_command(Planted, cls=KnightCommand, word="quant", epilog="")(command)


def made(asked: Callable[..., Planted], talk: object) -> Planted:
    """Quantize."""
    return asked()


def test_a_new_field_is_an_option_of_the_command_line() -> None:
    found: list[Planted] = []
    command = planted_command(found)
    shown = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    wanted = "-pt, --patience-steps INTEGER Steps without gain before giving up. [default: 7]"
    assert wanted in shown
    for words in ([], ["-pt", "3"], ["--patience-steps=3"]):
        assert CliRunner().invoke(command, ["-m", "x", *words]).exit_code == 0
    assert [options.patience for options in found] == [7, 3, 3]


def test_a_new_field_is_a_key_of_run_config_files(tmp_path: Path) -> None:
    found: list[Planted] = []
    config = tmp_path / "c.json"
    config.write_text(json.dumps({"quant": {"model": "x", "patience-steps": 4}}))
    for words in ([], ["-pt", "5"], ["--quant.patience-steps", "6"]):
        done = CliRunner().invoke(planted_command(found), ["-rc", str(config), *words])
        assert done.exit_code == 0, done.output
    assert [options.patience for options in found] == [4, 5, 6]


def test_a_new_field_is_an_argument_in_python() -> None:
    function = record_function(Planted)(made)
    assert function("x").patience == 7
    assert function("x", patience_steps=3).patience == 3
    parameter = inspect.signature(function).parameters["patience_steps"]
    assert (parameter.annotation, parameter.default) == ("int", 7)
    line = "    patience_steps: steps without gain before giving up."
    assert line in (function.__doc__ or "").splitlines()
    stub = function_text(function)
    assert "    patience_steps: int = 7,\n" in stub
    assert f"    {line}\n" in stub
    for name, has in (("infer", True), ("convert", False)):
        other = record_function(Planted, whole=False)(_named(name))
        assert ("patience_steps" in inspect.signature(other).parameters) == has


def _named(name: str) -> Callable[..., Planted]:
    def body(asked: Callable[..., Planted], talk: object) -> Planted:
        """Quantize."""
        return asked()

    body.__name__ = name
    return body


def test_a_new_field_is_checked() -> None:
    check(Planted(model=Path("x")))
    with pytest.raises(UsageError) as caught:
        check(Planted(model=Path("x"), patience=10))
    assert caught.value.sentence == "the patience (-pt) must be from 1 to 9, not 10."


# ------------------------------------------------------------------ every record


@pytest.mark.parametrize("record", RECORDS)
def test_names_are_given_once(record: type) -> None:
    items = list(options_of(record).values())
    flags = [flag for item in items for flag in item.flags]
    assert len(set(flags)) == len(flags)
    arguments = [item.parameter for item in items if item.python and item.flags]
    assert len(set(arguments)) == len(arguments)


def every_option() -> list[Any]:
    return [
        pytest.param(item, id=f"{record.__name__}.{name}")
        for record in RECORDS
        for name, item in options_of(record).items()
    ]


@pytest.mark.parametrize("item", every_option())
def test_an_option_is_told_and_its_default_is_one_of_its_values(item: Option) -> None:
    assert item.help.endswith(".") or not item.flags
    assert item.documentation.endswith(".") or not item.python or item.parameter == "data"
    if item.required or item.default is None:
        return
    item.refuse(item.default)
    assert item.kind.read(item.kind.write(item.default)) == item.default


# ------------------------------------------------------------------ checks


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"effort": "huge"}, "effort must be one of low, normal, high, not huge."),
        ({"bias_correction": "no"},
         "bias correction must be one of off, fast, sequential, not no."),
        ({"rounding": "up"}, "rounding must be one of nearest, adaptive, not up."),
        ({"bit_width": 4}, "the bit width (-b) must be 8 or 16, not 4."),
        ({"equalization": "no"}, "equalization must be False or True, not no."),
        ({"auto_mix_ratio": 1.5},
         "the share of operators at 16 bits must be from 0 to 1, not 1.5."),
        ({"auto_mix_ratio": float("nan")},
         "the share of operators at 16 bits must be from 0 to 1, not nan."),
        ({"auto_mix_strategy": "best"},
         "the strategy must be one of HAWQ, IOhigh, initial, not best."),
        ({"torch_exporter": "fx"},
         "The exporter of torch must be one of auto, torchscript, dynamo, not fx."),
        ({"lut_len": 7}, "the length of tables (-ll) must be from 8 to 12, not 7."),
        ({"lut_len": 13}, "the length of tables (-ll) must be from 8 to 12, not 13."),
        ({"ir_batch": 0}, "the batch of the model (-ib) must be from 1 to 4096, not 0."),
        ({"seed": -1}, "the seed must be from 0 to 4294967295, not -1."),
        ({"seed": 1 << 32}, "the seed must be from 0 to 4294967295, not 4294967296."),
        ({"percent": 0}, "the share of percentile must be above 0 and at most 1, not 0."),
        ({"chip": "TX1"}, "chip TX1 is not known."),
        ({"iteration": []}, "iteration must be a number, or several, not an empty list."),
        ({"iteration": (2, 0)},
         "iteration (-i) must be at least 1 and batch size (-bs) from 1 to 4096, not 0 and 1."),
        ({"batch_size": 4097},
         "iteration (-i) must be at least 1 and batch size (-bs) from 1 to 4096, not 1 and 4097."),
        ({"data": 5}, "data must be a folder, an array or an iterable of arrays, not int."),
    ],
)  # fmt: skip
def test_values_that_cannot_be(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(KnightliteError) as caught:
        knightlite.quantize("m.onnx", **wrong)
    assert caught.value.sentence == sentence


def test_arguments_are_named_as_pythons_own_are() -> None:
    for arguments, said in (
        ({"metod": "kl"}, r"^quantize\(\) got an unexpected keyword argument 'metod'$"),
        ({"model": "x"}, r"^quantize\(\) multiple values for argument 'model'$"),
    ):
        with pytest.raises(TypeError, match=said):
            knightlite.quantize("m.onnx", **arguments)  # type: ignore[arg-type]  # the point


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
