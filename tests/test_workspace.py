"""The manifest: what a stage left, found again, refused where it has changed."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from knightlite.array_files import map_array
from knightlite.errors import FormatError, UsageError
from knightlite.version import __version__
from knightlite.workspace import (
    MANIFEST,
    Workspace,
    hashed,
    latest,
    left_in,
    of_content,
    open_workspace,
    record,
    resolve,
    sha256_of,
)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def make(path: str, content: str = "x") -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(content)
    return path


def test_all_of_a_large_file_is_hashed() -> None:
    data = bytes(range(256)) * 4100  # more than one piece
    Path("large.onnx").write_bytes(data)
    (source,) = hashed(".", {"model": "large.onnx"}).values()
    assert source.sha256 == hashlib.sha256(data).hexdigest()


def left_by_quant(folder: str = "tmp/densenet", content: str = "x") -> Workspace:
    files = {"onnx": make(f"{folder}/d_quantize.onnx", content)}
    sources = hashed(".", {"model": make("d.pdmodel", "model"), "weight": "gone"})
    record(".", "quant", "TX5368AV200", {"iteration": 200, "method": "mse"}, files, sources)
    return open_workspace()


def test_a_pipe_is_not_waited_for_nor_a_huge_file_hashed(tmp_path: Path) -> None:
    (tmp_path / "huge").touch()
    os.truncate(tmp_path / "huge", 5 << 30)
    with pytest.raises(OSError, match="it has 5368709120 bytes, and at most 4294967296 are read"):
        sha256_of(tmp_path / "huge")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="it is not a regular file"):
        sha256_of(tmp_path / "pipe")
    with pytest.raises(OSError, match="it is not a regular file"):
        map_array(tmp_path / "pipe")


def test_manifest_bytes() -> None:
    left_by_quant()
    assert json.loads(Path(MANIFEST).read_text()) == {
        "format": 2,
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
                "sources": {
                    "model": {
                        "path": "d.pdmodel",
                        "sha256": hashlib.sha256(b"model").hexdigest(),
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


@pytest.mark.parametrize(
    ("source", "chip", "content", "told"),
    [
        ("a_r.cfg", "A", "other", ""),  # the same again
        ("a_r.cfg", "B", "same", ""),
        ("a_r.cfg", "B", "other", "a_r.cfg for A, and now what it makes of a_r.cfg for B"),
        ("b_r.cfg", "A", "other", "a_r.cfg for A, and now what it makes of b_r.cfg for A"),
    ],
)
def test_what_is_written_over_is_said(source: str, chip: str, content: str, told: str) -> None:
    """The table of a profile has one name for every network and chip."""

    def profiled(source: str, chip: str, text: str) -> list[str]:
        said: list[str] = []
        Path(source).write_text(source)
        names = {"text": "layer_cycles.txt", "json": f"{Path(source).stem}.json"}
        for name in names.values():
            Path(name).write_text(text)
        sources = hashed(".", {"cfg": source})
        record(".", "profile", chip, {}, names, sources, warn=said.append)
        return said

    assert profiled("a_r.cfg", "A", "same") == []
    files = "a_r.json and 1 more" if source == "a_r.cfg" else "layer_cycles.txt"
    end = f"{files} held what profile had made of {told}. Hint: -s DIR keeps both"
    assert profiled(source, chip, content) == ([end] if told else [])
    assert profiled(source, chip, "third") == []


def test_latest_without_a_run() -> None:
    with pytest.raises(UsageError) as caught:
        latest(open_workspace(), "compile", "cfg")
    assert caught.value.sentence == (
        "no file is named, and there is no knightlite.json, where stages note their files."
    )
    quant = "`knightlite quant -m MODEL -d PICTURES --recipe NAME`"
    assert caught.value.hint == (
        f"name the file with its option, or run {quant} and then `knightlite compile` here first"
    )
    left_by_quant()
    here = Path.cwd()
    (here / "below" / "it").mkdir(parents=True)
    for folder in ("below", "below/it", ".."):
        with pytest.raises(UsageError) as caught:
            latest(open_workspace(folder), "compile", "cfg")
        assert caught.value.hint.startswith(
            f"stages have run in {here}: go there; or name the file with its option, or run `"
        )
    with pytest.raises(UsageError) as caught:
        latest(open_workspace(), "compile", "cfg")
    assert caught.value.sentence == "no file is named, and knightlite.json records no compile run."
    assert caught.value.hint == (
        "name the file with its option, or run `knightlite compile` here first"
    )


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


def test_what_was_left_beside_a_file_comes_before_the_newest() -> None:
    left_by_quant("mine", "of mine")
    workspace = left_by_quant("other", "of another")
    name, mine, other = "d_quantize.onnx", Path("mine"), Path("other")
    assert resolve(workspace, name, with_sha256=sha256_of(mine / name))[0] == mine / name
    assert resolve(workspace, name, with_sha256="0" * 64)[0] == other / name


def test_existing_file_is_taken_as_it_is_and_a_change_is_said() -> None:
    workspace = left_by_quant(".")
    path = Path("d_quantize.onnx")
    assert resolve(workspace, path) == (path, "")
    make(str(path), "changed by hand")
    assert resolve(workspace, path) == (
        path, "d_quantize.onnx is taken as it is, though it has changed since quant left it.",
    )  # fmt: skip
    make("d_other.onnx", "which no stage left")
    assert resolve(workspace, "d_other.onnx") == (Path("d_other.onnx"), "")


def test_near_names_are_of_the_kind_that_is_meant() -> None:
    """By the manifest where a stage left the file, else by what the file holds."""
    left_by_quant()
    make("d_quantize_golden.onnx", "golden")
    record(
        ".", "compile", "TX5368AV200", {}, {"golden": "d_quantize_golden.onnx"}, {}
    )  # fmt: skip
    workspace = open_workspace(".")
    there = {"d_quantise_mine.onnx": True, "d_quantise_float.onnx": False}

    def hint(name: str) -> str:
        with pytest.raises(UsageError) as caught:
            resolve(workspace, name, "onnx", fits=lambda path: there.get(path.name, True))
        return caught.value.hint

    assert hint("d_quantise.onnx") == "did you mean tmp/densenet/d_quantize.onnx?"
    for name in there:
        make(name, "beside")
    assert hint("d_quantise.onnx") == "did you mean d_quantise_mine.onnx?"
    with pytest.raises(UsageError) as caught:
        resolve(workspace, "d_quantise_goldn.onnx", "golden")
    assert caught.value.hint.startswith("did you mean d_quantize_golden.onnx")


def test_name_that_is_nowhere() -> None:
    workspace = left_by_quant()
    with pytest.raises(UsageError) as caught:
        resolve(workspace, "other.onnx")
    assert caught.value.sentence == "file other.onnx does not exist."
    assert caught.value.hint == "the stages run here left d_quantize.onnx"


def test_a_name_in_another_folder() -> None:
    """A path is taken at its word; the hint says where a file of that name lies."""
    workspace = left_by_quant()
    with pytest.raises(
        UsageError, match=r"file elsewhere/d_quantize\.onnx does not exist"
    ) as caught:
        resolve(workspace, "elsewhere/d_quantize.onnx")
    assert caught.value.hint == "quant left tmp/densenet/d_quantize.onnx"
    Path("tmp/densenet/d_quantize.onnx").unlink()
    with pytest.raises(UsageError) as caught:
        resolve(workspace, "tmp/densenet/d_quantize.onnx")
    assert caught.value.hint == "the stages run here left d_quantize.onnx"


def test_files_outside_are_recorded_by_absolute_path(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    outside = tmp_path / "out" / "x.cfg"
    make(str(outside))
    record(work, "compile", "TX510x", {}, {"cfg": outside, "weight": make("work/x.weight")}, {})
    (entry,) = open_workspace(work).records
    assert {key: item.path for key, item in entry.files.items()} == {
        "cfg": outside.as_posix(),
        "weight": "x.weight",
    }
    assert latest(open_workspace(work), "compile", "cfg").path == outside
    assert latest(open_workspace(work), "compile", "weight").path == work / "x.weight"


# ------------------------------------------------------------------ sources that changed since


def left_by_compile(onnx: str, content: str = "cfg") -> Workspace:
    sources = hashed(".", {"onnx": onnx})
    record(".", "compile", "TX510x", {"onnx": onnx}, {"cfg": make("d_r.cfg", content)}, sources)
    return open_workspace()


ONNX, FLOAT = "tmp/densenet/d_quantize.onnx", "d.pdmodel"
COMPILE = f"`knightlite --chip TX510x compile --onnx {ONNX}`"
QUANT = f"`knightlite --chip TX5368AV200 quant -m {FLOAT}`"


@pytest.mark.parametrize(
    ("changed", "reason", "commands"),
    [
        (ONNX, f"{ONNX} has changed since compile read it", COMPILE),
        (FLOAT, f"{FLOAT} has changed since quant read it", f"{QUANT} and then {COMPILE}"),
    ],
)
def test_what_was_made_from_something_else_is_not_taken(
    changed: str, reason: str, commands: str
) -> None:
    left_by_quant()
    space = left_by_compile(ONNX)
    assert latest(space, "compile", "cfg").path == Path("d_r.cfg")
    assert resolve(space, "d_r.cfg") == (Path("d_r.cfg"), "")
    make(changed, "trained again")
    with pytest.raises(UsageError) as caught:
        latest(space, "compile", "cfg")
    assert caught.value.sentence == f"d_r.cfg is out of date: {reason}."
    assert caught.value.hint == (f"run {commands}, or name d_r.cfg to take it as it is")
    assert resolve(space, "d_r.cfg") == (
        Path("d_r.cfg"),
        f"d_r.cfg is taken as it is, though {reason}.",
    )
    make("d_r.cfg", "changed by hand")  # then it is the user's
    changed_since = "d_r.cfg is taken as it is, though it has changed since compile left it."
    assert resolve(space, "d_r.cfg") == (Path("d_r.cfg"), changed_since)


@pytest.mark.parametrize(("asked", "words"), [(None, ""), ("TX510x", " --chip TX510x")])
def test_a_chip_that_nobody_asked_for_is_not_asked_for_again(asked: str | None, words: str) -> None:
    """The quantized model says it, and may say another one now."""
    left_by_quant()
    sources = hashed(".", {"onnx": ONNX})
    options = {"onnx": ONNX, "chip": asked}
    record(".", "compile", "TX510x", options, {"cfg": make("d_r.cfg")}, sources)
    make(ONNX, "for another chip")
    with pytest.raises(UsageError) as caught:
        latest(open_workspace(), "compile", "cfg")
    assert caught.value.hint.startswith(f"run `knightlite{words} compile --onnx {ONNX}`, or name")


def test_what_a_command_names_that_is_gone_is_said() -> None:
    """A folder that was moved leaves commands that would find nothing."""
    left_by_quant()
    space = left_by_compile(ONNX)
    make("d_r.cfg", "changed by hand")
    Path(ONNX).unlink()
    for gone in (False, True):
        if gone:
            Path(FLOAT).unlink()
        with pytest.raises(UsageError) as caught:
            latest(space, "compile", "cfg")
        lost = f", but with the place where {FLOAT} is now: there is none any more" if gone else ""
        assert caught.value.hint == (
            f"run {QUANT} and then {COMPILE}{lost}, or name d_r.cfg to take it as it is"
        )


def test_a_name_that_is_looked_up_must_not_be_out_of_date() -> None:
    space = left_by_quant()
    make(FLOAT, "trained again")
    with pytest.raises(UsageError) as caught:
        resolve(space, "d_quantize.onnx")
    assert (
        caught.value.sentence == f"{ONNX} is out of date: {FLOAT} has changed since quant read it."
    )
    assert caught.value.hint.startswith(f"run {QUANT}, or name {ONNX} to take it")


def test_made_anew_it_is_taken_again() -> None:
    left_by_quant()
    left_by_compile(ONNX)
    make(FLOAT, "trained again")
    left_by_quant(content="quantized again")
    with pytest.raises(UsageError, match=r"d_quantize\.onnx has changed since compile read it\."):
        latest(open_workspace(), "compile", "cfg")
    assert latest(left_by_compile(ONNX, "again"), "compile", "cfg").record.chip == "TX510x"


def test_sources_that_are_gone_say_nothing() -> None:
    left_by_quant()
    space = left_by_compile(ONNX)
    for path in (ONNX, FLOAT):
        Path(path).unlink()
    assert latest(space, "compile", "cfg").path == Path("d_r.cfg")


def test_another_network_quantized_since() -> None:
    """The same again is the same; what another run left is another network."""
    left_by_quant()
    left_by_compile(ONNX)
    assert latest(left_by_quant(), "compile", "cfg").path == Path("d_r.cfg")
    assert latest(left_by_quant("a"), "compile", "cfg").path == Path("d_r.cfg")  # at another place
    space = left_by_quant("b", "other")
    with pytest.raises(UsageError) as caught:
        latest(space, "compile", "cfg")
    assert caught.value.sentence == (
        "d_r.cfg is out of date: quant has left b/d_quantize.onnx since."
    )
    assert caught.value.hint.startswith(
        "run `knightlite --chip TX510x compile --onnx b/d_quantize.onnx`, or name"
    )
    assert resolve(space, "d_r.cfg") == (  # named, it is wanted
        Path("d_r.cfg"),
        "d_r.cfg is taken as it is, though quant has left b/d_quantize.onnx since.",
    )
    assert latest(left_by_compile(ONNX), "compile", "cfg").path == Path("d_r.cfg")


def test_what_something_was_made_from_is_found_again() -> None:
    def found(content: str) -> Path | None:
        digest = hashlib.sha256(content.encode()).hexdigest()
        item = of_content(open_workspace(), "quant", "onnx", digest)
        said.append("" if item is None else item.sentence)
        return None if item is None else item.path

    said: list[str] = []
    left_by_quant("a", "one")
    left_by_quant("b", "two")
    assert found("one") == Path("a/d_quantize.onnx")
    assert found("two") == Path("b/d_quantize.onnx")
    assert found("three") is None
    assert said == [
        "a/d_quantize.onnx is taken: what came of it is here.",
        "b/d_quantize.onnx is taken: quant left it here last.",
        "",
    ]
    make(FLOAT, "trained again")
    with pytest.raises(UsageError, match=r"^a/d_quantize\.onnx is out of date: d\.pdmodel has cha"):
        found("one")


def test_the_run_that_left_something_in_a_folder() -> None:
    sources = hashed(".", {"cfg": make("a.cfg")})
    record(".", "sim", "TX510x", {}, {"y.npy": make("out/y.npy"), "z": make("out/z")}, sources)
    record(".", "sim", "TX510x", {}, {"y.npy": make("other/y.npy")}, {})
    item = left_in(open_workspace(), "sim", Path("out"))
    assert item is not None
    assert list(item.sources) == ["cfg"]
    make("out/y.npy", "changed")
    assert left_in(open_workspace(), "sim", Path("out")) == item  # of which z is left
    make("out/z", "changed")
    assert left_in(open_workspace(), "sim", Path("out")) is None
    assert left_in(open_workspace(), "quant", Path("other")) is None


def test_runs_that_feed_each_other_end() -> None:
    """Each made from the other's file: what changed in either is found, and the search ends."""
    for name, source in (("a", "b"), ("b", "a"), ("a", "b")):
        sources = hashed(".", {"model": make(source)})
        record(".", "quant", "TX510x", {}, {"onnx": make(name)}, sources)
    assert latest(open_workspace(), "quant", "onnx").path == Path("a")
    make("b", "changed")
    with pytest.raises(
        UsageError, match=r"^a is out of date: b has changed since quant read it\.$"
    ):
        latest(open_workspace(), "quant", "onnx")


def changed(**given: Any) -> str:
    """A manifest of one run, changed."""
    run = {
        "stage": "sim",
        "chip": "TX510x",
        "version": "0",
        "options": {},
        "files": {},
        "sources": {},
        **given,
    }
    return json.dumps({"format": 2, "records": [run]})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "knightlite.json is damaged: it is not JSON (Expecting property name"),
        ("[]", "knightlite.json is not a manifest of knightlite."),
        ('{"format": 1, "records": []}', "knightlite.json has format 1, not 2."),
        ('{"format": 2}', "knightlite.json is damaged: records must be a list, not absent."),
        ('{"format": true}', "knightlite.json has format true, not 2."),
        (
            '{"format": 2, "records": [{"stage": "quant"}]}',
            "knightlite.json is damaged: records[0].chip must be a text, not absent.",
        ),
        (
            '{"format": 2, "records": 7}',
            "knightlite.json is damaged: records must be a list, not 7.",
        ),
        (
            changed(stage="cook"),
            "knightlite.json is damaged: records[0].stage must be one of quant, compile, sim, "
            'profile, not "cook".',
        ),
        (
            changed(files={"cfg": {"path": "x.cfg", "sha256": "0"}}),
            "knightlite.json is damaged: records[0].files.cfg.sha256 must be a text of 64 "
            'hexadecimal digits, not "0".',
        ),
        (
            changed(options={"percent": 1e999}).replace("Infinity", "1e999"),
            "knightlite.json is damaged: records[0].options.percent must be JSON of finite "
            "numbers and UTF-8 texts, not Infinity.",
        ),
        (
            changed(seconds=5),
            "knightlite.json is damaged: records[0].seconds must be absent, not 5.",
        ),
    ],
)
def test_damaged_manifest(text: str, sentence: str) -> None:
    Path(MANIFEST).write_text(text)
    with pytest.raises(FormatError) as caught:
        open_workspace()
    assert sentence in caught.value.sentence
    assert caught.value.hint.startswith("remove knightlite.json; without it run the stages again")


def test_manifest_that_is_no_text() -> None:
    Path(MANIFEST).write_bytes(b"\xff\xfe")
    with pytest.raises(FormatError, match=r"knightlite\.json cannot be read"):
        open_workspace()


def test_unknown_stage_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="stage must be one of"):
        record(".", "cook", "TX510x", {}, {}, {})  # type: ignore[arg-type]  # that is the point
