"""Commands composed from what was asked for: the command line's own parser reads the same again."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from PIL import Image

from knightlite.cli.arguments import rewrite
from knightlite.cli.program import group, run
from knightlite.options import options_of
from knightlite.options.command_line import alike, command_line, option_words
from knightlite.options.commands import RECORDS
from knightlite.options.inspection import CheckOptions
from knightlite.options.quantize import QuantizeOptions
from onnx_nets import Net

TYPED = [
    "quant -m a.onnx",
    "quant -m 'my net.onnx' -d 'my pictures' --recipe imagenet -i 100 -bs 4 --labels l.txt",
    "quant -m a.pdmodel -w a.pdiparams -f paddle -uds s.py -if f -d D -i 10 100 -qm kl mse",
    "quant -m a.onnx -is 1 3 48 192 -is 1 4 -qid uint8,None --mean 1 2 3 --std 4.5 5 6 -on y z",
    "quant -m a.onnx -gp -gt -b 16 --effort high --rounding adaptive --mix-budget 5% --json -s out",
    "quant -m a.onnx -r auto_quant -ams HAWQ -amr 0.2 --seed 7 --chip TX5112CV201",
    "compile --onnx a_quantize.onnx --outpath out --chip TX5112CV201",
    "compile",
    "sim --config a_r.cfg --weight a_r.weight --input a.bin:b.bin -fc 3 --check --outpath o",
    "eval a.onnx b_r.cfg --data val --count 100 --shard 2/4 --check -is 1 3 8 8",
    "compare --sort -sn 10 -sl 3",
    "diagnose -q a_quantize.onnx -m a.onnx -d D --recipe raw -i 20 --html page.html",
    "check -m a.pdmodel -w w -f paddle -is 1 3 48 192 --chip TX5112CV201",
    "profile --config a_r.cfg",
    "inspect a_r.cfg",
    "chips TX5368AV200 --ops",
    "npy2bin --input a.npy --output a.bin",
]


def parsed(line: str) -> tuple[str, Any]:
    """The command and the record that the parser makes of a line; nothing runs."""
    words = rewrite(shlex.split(line))
    with group.make_context("knightlite", list(words)) as context:
        name, command, rest = group.resolve_command(
            context, [*context._protected_args, *context.args]
        )
        assert name is not None
        assert isinstance(command, click.Command)
        chip = context.params.get("chip")
        with command.make_context(name, rest, parent=context) as inner:
            values = {
                key: inner.params[key] for key in options_of(RECORDS[name]) if key in inner.params
            }
    record = RECORDS[name](**values)
    return name, replace(record, chip=chip[0]) if chip else record


@pytest.mark.parametrize("line", TYPED)
def test_a_command_is_read_again_as_it_was(line: str) -> None:
    name, asked = parsed(line)
    composed = command_line(name, asked)
    assert composed.startswith(f"knightlite {name}")
    assert parsed(composed.removeprefix("knightlite ")) == (name, asked)


def test_what_is_changed_and_left_out() -> None:
    asked = QuantizeOptions(model=Path("a b.onnx"), data="D", recipe="raw", iterations=(5,))
    assert command_line("quant", asked, effort="high") == (
        "knightlite quant -m 'a b.onnx' -d D --recipe raw -i 5 --effort high"
    )
    assert option_words(asked, frozenset({"model", "data"})) == ["--recipe", "raw", "-i", "5"]


def test_arrays_and_functions_are_not_typed() -> None:
    asked = QuantizeOptions(model=Path("a.onnx"), function=lambda executor: None, batches=[])
    assert command_line("quant", asked) == "knightlite quant -m a.onnx"


def test_the_same_for_another_command() -> None:
    asked = QuantizeOptions(model=Path("a.onnx"), input_shapes=((1, 3, 8, 8),), as_json=True)
    assert alike(CheckOptions, asked) == CheckOptions(
        model=Path("a.onnx"), input_shapes=((1, 3, 8, 8),)
    )


def commands_in(text: str) -> list[str]:
    """Commands between backquotes, as they would be pasted into a shell."""
    return re.findall(r"`knightlite ([^`]+)`", text)


def test_commands_in_hints_run_as_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of failing cases from one end of the work to the other: the parser takes every command."""
    monkeypatch.chdir(tmp_path)
    net = Net()
    net.input("x", ("N", 3, "height", "width"))
    net.conv("x", "y", (4, 3, 3, 3))
    net.save(tmp_path, "y")
    Path("my pictures").mkdir()
    Image.new("RGB", (40, 50)).save("my pictures/a.png")
    script = (
        "from onnx_quantize_tool.common.register import onnx_infer_func\n"
        "@onnx_infer_func.register('f')\n"
        "def f(executor):\n    raise ValueError\n"
    )
    Path("s.py").write_text(script)
    cases = {
        "quant -m net.onnx -d 'my pictures' --recipe ppocr_cls": ["quant"],
        "quant -m net.onnx -uds s.py -if f -is 1 3 8 8 --effort low": ["quant"],
        "compile": ["quant"],
        "sim --input a.bin": ["quant", "compile"],
        "profile": ["quant", "compile"],
        "eval --data 'my pictures'": ["quant"],
    }
    for line, names in cases.items():
        assert run(shlex.split(line)) != 0
        found = [parsed(command) for command in commands_in(capsys.readouterr().err)]
        assert [name for name, _ in found] == names, line
    (_, sized), *_ = [parsed(text) for text in commands_in(said(capsys, next(iter(cases))))]
    assert sized.input_shapes == ((1, 3, 48, 192),)
    assert (sized.data, sized.recipe, sized.model) == ("my pictures", "ppocr_cls", Path("net.onnx"))


@pytest.mark.parametrize(
    ("shapes", "typed"),
    [
        ([("N", 4, "h", "w")], "-is 1 4 224 224"),
        ([("N", 3, 8, 8), ("N", 3, "h", "w")], "-is 1 3 8 8 -is 1 3 224 224"),
    ],
)
def test_shapes_in_hints_run_as_they_stand(
    shapes: list[tuple[int | str, ...]],
    typed: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    net = Net()
    for number, shape in enumerate(shapes):
        net.input(f"x{number}", shape)
        net.conv(f"x{number}", f"y{number}", (4, int(shape[1]), 3, 3))
    net.save(tmp_path, *[f"y{number}" for number in range(len(shapes))])
    assert run(["check", "-m", "net.onnx"]) != 0
    told = capsys.readouterr()
    assert f" {typed}" in told.err + told.out
    assert run(["check", "-m", "net.onnx", *typed.split()]) == 0


def said(capsys: pytest.CaptureFixture[str], line: str) -> str:
    run(shlex.split(line))
    return capsys.readouterr().err
