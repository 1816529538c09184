"""``demo``: the stages on the network and the pictures that ship, and what is not there."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from knightlite.api import demonstration
from knightlite.cli.program import run
from knightlite.datafiles import demo_folder
from knightlite.deploy import chip_types
from knightlite.native import SOURCES
from knightlite.options.quantize import QuantizeOptions
from refusals import Refusal

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("words", "sentence", "hint"),
    [
        (["-f", "caffe"], "the demo has no model of caffe: digits was trained in Paddle, and is "
         "there as an ONNX model too.", "take -f paddle or -f onnx; its own tools convert one of "
         "yours; `knightlite quant -f caffe -m MODEL` says how"),
        (["-f", "pytorch", "-s", "quant"], "the demo has no model of pytorch: digits was trained "
         "in Paddle, and is there as an ONNX model too.", "*"),
        (["-f", "padle"], "the demo has no model of padle: digits was trained in Paddle, and is "
         "there as an ONNX model too.", "*"),
        (["-m", "resnet50"], "the demo has no model resnet50: what ships is digits.",
         "`knightlite build -rc FILE` goes through the stages with a network of yours"),
    ],
)  # fmt: skip
def test_what_is_not_there(refused: Refusal, words: list[str], sentence: str, hint: str) -> None:
    refused(["demo", *words], 2, sentence, hint)


def test_stages_need_what_those_before_leave(here: Path, capsys: Capture) -> None:
    assert run(["demo", "-s", "rne", "--save-dir", "empty"]) == 2
    said = capsys.readouterr().err
    wanted = here / "empty" / "digits_quantize.onnx"
    assert f"demo -s rne goes on from {wanted}, which is not there." in said
    assert "`knightlite demo -s quant` makes it" in said
    assert not (here / "empty").exists()


def test_no_compiler(refused: Refusal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    refused(
        ["demo"], 2, "rne-sim-lib is built from its sources, which takes make and a C compiler.",
        "install them (Debian: make, gcc), or leave it out with -s quant, then -s rne",
    )  # fmt: skip


@pytest.mark.parametrize("framework", ["paddle", "onnx"])
def test_quant(
    framework: str, here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trained model and the pictures that ship; as ONNX, the model is converted first."""
    asked: list[QuantizeOptions] = []

    def quantize(options: QuantizeOptions, talk: Any) -> Any:
        asked.append(options)
        files = {"float_onnx": Path("converted.onnx"), "onnx": Path("digits_quantize.onnx")}
        return SimpleNamespace(files=files, loss_percent=0.5)

    monkeypatch.setattr(demonstration, "quantize", quantize)
    assert run(["demo", "-f", framework, "-s", "quant", "--chip", "TX5215CV200"]) == 0
    assert "0.500 % of the float top-1" in capsys.readouterr().out
    modes = ["quant"] if framework == "paddle" else ["convert", "quant"]
    assert [options.run_mode for options in asked] == modes
    model = demo_folder() / "digits.pdmodel" if framework == "paddle" else Path("converted.onnx")
    assert (asked[-1].model, asked[-1].chip) == (model, "TX5215CV200")
    assert asked[-1].data == str(demo_folder() / "calib")
    assert asked[0].model == demo_folder() / "digits.pdmodel"
    assert asked[0].model.is_file()


@pytest.mark.parametrize("differs", [False, True])
def test_rne_and_the_library(
    differs: bool, here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real picture, every byte compared; the CRC16 that the C library says is held to sim's."""
    monkeypatch.setattr(shutil, "which", lambda name: name)
    assert run(["demo", "-s", "rne", "--save-dir", "."]) == 0
    said = capsys.readouterr().out
    assert re.search(r"class on the chip +3, with", said)
    assert re.search(r"bytes that differ +0\n", said)
    known = json.loads(Path("knightlite.json").read_text("utf-8"))
    assert [item["stage"] for item in known["records"]][-3:] == ["compile", "sim", "profile"]
    called: list[list[str]] = []

    def call(command: list[str], folder: Path) -> str:
        called.append(command)
        return "x: 1x1x10, 16 bits\ncrc16: 0x" + ("0000\n" if differs else crc)

    assert run(["sim", "--input", "picture.bin", "-fc", "1"]) == 0
    crc = re.findall(r"crc16: 0x(....)", capsys.readouterr().out)[0]
    monkeypatch.setattr(demonstration, "_call", call)
    assert run(["demo", "-s", "rne-sim-lib", "--save-dir", "."]) == int(differs)
    printed = capsys.readouterr()
    assert re.search(rf"CRC16 of the simulator +0x{crc}", printed.out)
    assert ("not the same bytes" in printed.err) == differs
    assert called[0][:2] == ["make", "-s"]
    assert called[1][1:] == [
        *(str(here / f"digits_quantize_r.{kind}") for kind in ("cfg", "weight")),
        str(here / "picture.bin"), "10",
    ]  # fmt: skip
    assert (here / "rne-sim-lib/src/rne_rt.c").is_file()


def test_chip_types() -> None:
    known = chip_types()
    source = (SOURCES / "simlib/src/rne_rt.c").read_text("utf-8")
    assert set(known) == set(re.findall(r'\{RNE_TYPE_NAME_\w+, +"(\w+)"\}', source))
    assert (known["TX5105C"], known["TX5368AV200"], known["TX5339AV200"]) == (0, 10, 11)
