"""The manifest: what a stage left, found again, refused where it has changed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from knightlite.errors import FormatError, UsageError
from knightlite.version import __version__
from knightlite.workspace import MANIFEST, Workspace, latest, open_workspace, record, resolve


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def make(path: str, content: str = "x") -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(content)
    return path


def left_by_quant(folder: str = "tmp/densenet", content: str = "x") -> Workspace:
    files = {"onnx": make(f"{folder}/d_quantize.onnx", content)}
    record(".", "quant", "TX5368AV200", {"iteration": 200, "method": "mse"}, files)
    return open_workspace()


def test_manifest_bytes() -> None:
    left_by_quant()
    assert json.loads(Path(MANIFEST).read_text()) == {
        "format": 1,
        "records": [
            {
                "stage": "quant",
                "chip": "TX5368AV200",
                "version": __version__,
                "options": {"iteration": 200, "method": "mse"},
                "files": {
                    "onnx": {
                        "path": "tmp/densenet/d_quantize.onnx",
                        "sha256": hashlib.sha256(b"x").hexdigest(),
                    }
                },
            }
        ],
    }
    first = Path(MANIFEST).read_bytes()
    left_by_quant()
    assert Path(MANIFEST).read_bytes() == first


def test_read_what_was_written() -> None:
    workspace = left_by_quant()
    assert open_workspace(Path.cwd()).records == workspace.records
    assert workspace.records[0].options == {"iteration": 200, "method": "mse"}


def test_latest_is_the_last_run() -> None:
    left_by_quant("a")
    left_by_quant("b")
    workspace = left_by_quant("a", "again")
    assert [item.files["onnx"].path for item in workspace.records] == [
        "b/d_quantize.onnx",
        "a/d_quantize.onnx",
    ]
    found = latest(workspace, "quant", "onnx")
    assert found.path == Path("a/d_quantize.onnx")
    assert found.record.chip == "TX5368AV200"
    assert found.sentence == "a/d_quantize.onnx is taken: quant left it here last."


def test_latest_without_a_run() -> None:
    with pytest.raises(UsageError) as caught:
        latest(open_workspace(), "compile", "cfg")
    assert caught.value.sentence == "no file is named, and knightlite.json records no compile run."
    assert caught.value.hint == "name the file with its option, or run compile here first"


def test_changed_and_missing_files_are_refused() -> None:
    workspace = left_by_quant()
    make("tmp/densenet/d_quantize.onnx", "y")
    changed = r"d_quantize\.onnx has changed since quant left it"
    with pytest.raises(UsageError, match=changed):
        latest(workspace, "quant", "onnx")
    with pytest.raises(UsageError, match=changed):
        resolve(workspace, "d_quantize.onnx")
    Path("tmp/densenet/d_quantize.onnx").unlink()
    with pytest.raises(UsageError, match=r"d_quantize\.onnx, which quant left, is gone"):
        latest(workspace, "quant", "onnx")


def test_bare_name_is_looked_up() -> None:
    workspace = left_by_quant()
    path, sentence = resolve(workspace, "d_quantize.onnx")
    assert path == Path("tmp/densenet/d_quantize.onnx")
    assert sentence == (
        "d_quantize.onnx is not here; tmp/densenet/d_quantize.onnx is taken, which quant left."
    )


def test_the_newest_of_one_name_is_taken() -> None:
    left_by_quant("new")
    left_by_quant("old")
    workspace = left_by_quant("new")
    assert resolve(workspace, "d_quantize.onnx")[0] == Path("new/d_quantize.onnx")


def test_existing_file_is_taken_as_it_is() -> None:
    workspace = left_by_quant(".")
    make("d_quantize.onnx", "changed by hand")
    assert resolve(workspace, "d_quantize.onnx") == (Path("d_quantize.onnx"), "")


def test_name_that_is_nowhere() -> None:
    workspace = left_by_quant()
    with pytest.raises(UsageError) as caught:
        resolve(workspace, "other.onnx")
    assert caught.value.sentence == "file other.onnx does not exist."
    assert caught.value.hint == "the stages run here left d_quantize.onnx"
    with pytest.raises(UsageError, match=r"file elsewhere/d_quantize\.onnx does not exist"):
        resolve(workspace, "elsewhere/d_quantize.onnx")


def test_files_outside_are_recorded_by_absolute_path(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    outside = tmp_path / "out" / "x.cfg"
    make(str(outside))
    record(work, "compile", "TX510x", {}, {"cfg": outside, "weight": make("work/x.weight")})
    (entry,) = open_workspace(work).records
    assert {key: item.path for key, item in entry.files.items()} == {
        "cfg": outside.as_posix(),
        "weight": "x.weight",
    }
    assert latest(open_workspace(work), "compile", "cfg").path == outside
    assert latest(open_workspace(work), "compile", "weight").path == work / "x.weight"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "knightlite.json is damaged: Expecting property name"),
        ("[]", "knightlite.json is not a manifest of knightlite."),
        ('{"format": 2, "records": []}', "knightlite.json has format 2, not 1."),
        ('{"format": 1}', "knightlite.json is damaged: a record is incomplete (KeyError"),
        ('{"format": 1, "records": [{"stage": "quant"}]}', "a record is incomplete (KeyError"),
        ('{"format": 1, "records": 7}', "a record is incomplete (TypeError"),
        (
            '{"format": 1, "records": [{"stage": 1, "chip": "", "version": "", "options": {},'
            ' "files": {}}]}',
            "a record is incomplete (ValueError: expected a text, found 1).",
        ),
    ],
)
def test_damaged_manifest(text: str, sentence: str) -> None:
    Path(MANIFEST).write_text(text)
    with pytest.raises(FormatError) as caught:
        open_workspace()
    assert sentence in caught.value.sentence
    assert caught.value.hint.startswith("remove knightlite.json and run the stages again")


def test_manifest_that_is_no_text() -> None:
    Path(MANIFEST).write_bytes(b"\xff\xfe")
    with pytest.raises(FormatError, match=r"knightlite\.json cannot be read"):
        open_workspace()


def test_unknown_stage_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="stage must be one of"):
        record(".", "cook", "TX510x", {}, {})
