"""The user's default chip: where it is kept, what it stands behind, and when it cannot be taken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from knightlite.api.chips import store_chip
from knightlite.api.chips.settings import default_chip, settings_file, stored_chip
from knightlite.chip_files import DEFAULT
from knightlite.cli.program import run
from knightlite.datafiles import chips_folder
from knightlite.errors import KnightliteError
from refusals import Refusal

Capture = pytest.CaptureFixture[str]
REMEDY = "set another with --default-chip NAME"


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "knightlite" / "settings.json"


def test_the_file(settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stored_chip() is None
    assert default_chip() == DEFAULT
    assert store_chip("TX5105C") == settings == settings_file()
    assert settings.read_text() == '{\n  "default_chip": "TX5105C",\n  "format": 1\n}\n'
    assert stored_chip() == default_chip() == "TX5105C"
    monkeypatch.setenv("HOME", "/home/me")
    for value in ("", "relative"):  # the specification: a relative path is not taken
        monkeypatch.setenv("XDG_CONFIG_HOME", value)
        assert settings_file() == Path("/home/me/.config/knightlite/settings.json")


def test_the_command(settings: Path, capsys: Capture) -> None:
    assert run(["--default-chip", "TX5112CV201"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"TX5112CV201 is the default chip from now on, as {settings} says.\n"
    assert run(["chips", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {row["family"]: row["default"] for row in rows if row["default"]} == {
        "TX5112x201": "TX5112CV201"
    }


def test_what_it_stands_behind(here: Path, capsys: Capture) -> None:
    """--chip before what quant was told before the default."""
    store_chip("TX5105C")

    def compiled(*options: str) -> str:
        capsys.readouterr()
        assert run([*options, "compile", "--json"]) == 0
        return str(json.loads(capsys.readouterr().out)["chip"])

    assert compiled() == "TX5368AV200"
    assert compiled("--chip", "TX5112CV201") == "TX5112CV201"
    data = ["-d", "calib", "--recipe", "digits", "--effort", "low"]
    assert run(["quant", "-m", "digits.onnx", *data]) == 0
    assert compiled() == "TX5105C"
    capsys.readouterr()
    assert run(["check", "-m", "digits.onnx", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["chip"] == "TX5105C"


def test_a_home_that_cannot_be_used(
    here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What only might have been there keeps nobody from working; what is to be kept there is."""
    for home in ("/dev/null", "/proc/1/none"):
        monkeypatch.setenv("XDG_CONFIG_HOME", home)
        assert run(["check", "-m", "digits.onnx"]) == 0
        capsys.readouterr()
        path, hint = settings_file(), "set XDG_CONFIG_HOME to a folder that can be written, or name"
        assert run(["--default-chip", "TX5105C"]) == 2
        sentence, remedy = capsys.readouterr().err.splitlines()
        assert sentence.startswith(f"Error: {path} cannot be written: ")
        assert remedy.startswith(f"Hint: {hint}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(here))
    settings_file().mkdir(parents=True)  # as root, who may read everything
    assert run(["check", "-m", "digits.onnx"]) == 0
    err = capsys.readouterr().err
    assert err.startswith(f"Warning: {settings_file()}, where a default chip of yours would be, ")
    assert f"{DEFAULT} is taken, the default chip" in err


def test_which_one_is_taken_is_said_once(here: Path, capsys: Capture) -> None:
    data = ["-d", "calib", "--recipe", "digits", "-i", "2", "--effort", "low", "-s", "out"]
    quant = ["quant", "-m", "digits.onnx", *data]
    for stored, default in ((False, DEFAULT), (True, "TX5105C")):
        if stored:
            store_chip(default)
        said = f"{default} is taken, the default chip; --chip NAME takes another.\n"
        for words, times in (
            (quant, 1),
            (["check", "-m", "digits.onnx"], 1),
            (["compile"], 0),  # the quantized model says which
            ([*quant, "--chip", default], 0),
        ):
            capsys.readouterr()
            assert run(words) == 0
            assert capsys.readouterr().err.count(said) == times, words


def test_a_chip_file(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, refused: Refusal
) -> None:
    text = (chips_folder() / "tx510.toml").read_text(encoding="utf-8")
    Path("my.toml").write_text(text.replace('family = "TX510"', 'family = "MINE"'))
    own = Path("my.toml").absolute()
    assert run(["--default-chip", "my.toml"]) == 0
    monkeypatch.chdir(tmp_path)
    assert default_chip() == str(own)
    assert run(["chips"]) == 0
    assert capsys.readouterr().out.splitlines()[-2].endswith(str(own))
    own.unlink()
    sentence = f"the default chip cannot be taken: chip file {own} does not exist."
    refused(["check", "-m", "work/digits.onnx"], 2, sentence, REMEDY)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "{} cannot be read: Expecting property name enclosed in double quotes: *"),
        ("[]", "{} is not a settings file of knightlite."),
        ('{"format": 2}', "{} is not a settings file of knightlite."),
        ('{"format": 1}', "{} names no default chip."),
    ],
)
def test_a_damaged_file(settings: Path, refused: Refusal, text: str, sentence: str) -> None:
    settings.parent.mkdir(parents=True)
    settings.write_text(text)
    wanted = sentence.replace("{}", str(settings), 1)
    refused(["check", "-m", "digits.onnx"], 1, wanted, REMEDY)
    assert run(["check", "-m", "digits.onnx", "--chip", DEFAULT]) == 0  # it is not even read
    assert run(["--default-chip", DEFAULT]) == 0  # the remedy


def test_a_folder_that_cannot_be_made(settings: Path) -> None:
    settings.parent.parent.write_text("a file")
    with pytest.raises(KnightliteError, match=r"settings\.json cannot be written: Not a directory"):
        store_chip("TX5105C")
    assert stored_chip() is None
