"""Files appear whole, together, or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from knightlite import atomic_write, leftovers
from knightlite.errors import KnightliteError, UsageError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def no_links(source: object, target: object) -> None:
    raise OSError(95, "Operation not supported")


def test_write_and_replace(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "x.bin"
    atomic_write.write_bytes(path, b"one")
    atomic_write.write_bytes(str(path), b"two")
    assert path.read_bytes() == b"two"
    atomic_write.write_text(path.with_name("t.txt"), "ä\n")
    assert path.with_name("t.txt").read_bytes() == "ä\n".encode()
    assert names(path.parent) == ["t.txt", "x.bin"]


def test_mode_follows_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        atomic_write.write_bytes(tmp_path / "x", b"")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


def test_set_appears_at_the_end(tmp_path: Path) -> None:
    with atomic_write.file_set() as files:
        files.write_bytes(tmp_path / "n.cfg", b"c")
        aside = files.path(tmp_path / "n.onnx")
        aside.write_bytes(b"o")
        assert aside.suffix == ".onnx"
        assert files.path(tmp_path / "n.onnx") == aside
        assert not (tmp_path / "n.cfg").exists()
    assert names(tmp_path) == ["n.cfg", "n.onnx"]
    assert (tmp_path / "n.onnx").read_bytes() == b"o"


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_nothing_appears_after_an_error(tmp_path: Path, kind: type[BaseException]) -> None:
    (tmp_path / "old").write_bytes(b"old")

    def write() -> None:
        with atomic_write.file_set() as files:
            files.write_bytes(tmp_path / "old", b"new")
            files.write_bytes(tmp_path / "deep" / "er" / "n.cfg", b"c")
            raise kind

    with pytest.raises(kind):
        write()
    assert names(tmp_path) == ["old"]
    assert (tmp_path / "old").read_bytes() == b"old"


@pytest.mark.parametrize("links", [True, False])
def test_old_files_come_back_where_a_rename_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    (tmp_path / "a").write_bytes(b"old a")
    (tmp_path / "c").write_bytes(b"old c")
    real = os.replace

    def replace(source: Path, target: Path) -> None:
        if Path(target).name == "c" and "old" not in Path(source).name:
            raise OSError(28, "No space left on device")
        real(source, target)

    if not links:
        monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(os, "replace", replace)

    def write() -> None:
        with atomic_write.file_set() as files:
            for name in "abc":
                files.write_bytes(tmp_path / name, b"new")

    with pytest.raises(KnightliteError, match=r"/c cannot be written: No space left on device\."):
        write()
    assert names(tmp_path) == ["a", "c"]
    assert (tmp_path / "a").read_bytes() == b"old a"
    assert (tmp_path / "c").read_bytes() == b"old c"


LONG = "n" * 150  # alike in all letters that temporary names keep


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_ctrl_c_at_a_rename_leaves_all_old_files_or_all_new_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool, before: bool, number: int
) -> None:
    """Just before the rename, and just after it."""
    finals = {name: f"old {name}" for name in (f"{LONG}a", f"{LONG}c")}
    for name, text in finals.items():
        (tmp_path / name).write_text(text)
    real, left = os.replace, [number]

    def replace(source: Path, target: Path) -> None:
        left[0] -= 1
        if left[0] or not before:
            real(source, target)
        if not left[0]:
            raise KeyboardInterrupt

    if not links:
        monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(os, "replace", replace)

    def write() -> None:
        with atomic_write.file_set() as files:
            for letter in "abc":
                files.write_text(tmp_path / f"{LONG}{letter}", "new")

    with pytest.raises(KeyboardInterrupt):
        write()
    if number == 3 and not before:
        finals = {f"{LONG}{letter}": "new" for letter in "abc"}
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == finals


DIES = """
import os, sys
from pathlib import Path
from knightlite import atomic_write, leftovers
def no_links(source, target):
    raise OSError(95, "Operation not supported")
if sys.argv[1] == "no links":
    os.link = no_links
real = os.replace
for number in range(8):  # 4 renames, before and after each
    folder = Path(str(number))
    folder.mkdir()
    for letter in "abcd":
        (folder / ("n" * 150 + letter)).write_text("old " + letter)
    if os.fork():
        os.wait()
        continue
    left = number
    def replace(source, target):
        global left
        if left == 0:
            os._exit(9)
        real(source, target)
        if left == 1:
            os._exit(9)
        left -= 2
    os.replace = replace
    with atomic_write.file_set() as files:
        for letter in "abcd":
            files.write_text(folder / ("n" * 150 + letter), "new " + letter)
    os._exit(1)  # it must have died
"""


@pytest.mark.parametrize("links", ["links", "no links"])
def test_a_death_between_renames_loses_no_file(tmp_path: Path, links: str) -> None:
    """Every file is there, old or new, also after the next run has removed what was left."""
    root = Path(__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", DIES, links]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    for number in range(8):
        folder = tmp_path / str(number)
        assert len(names(folder)) > 4  # second names, at least
        leftovers.sweep(folder)
        done = (number + 1) // 2
        expected = {f"{LONG}{x}": ("new" if at < done else "old") + f" {x}"
                    for at, x in enumerate("abcd")}  # fmt: skip
        assert {path.name: path.read_text() for path in folder.iterdir()} == expected


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written: it is a folder"):
        atomic_write.write_bytes(tmp_path, b"")
    with pytest.raises(UsageError, match="/dev/null cannot be written: it is not a regular file"):
        atomic_write.write_bytes("/dev/null", b"")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"file/x cannot be written: Not a directory\."):
        atomic_write.write_bytes(tmp_path / "file" / "x", b"")
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("kept", [False, True])
def test_a_folder_that_is_made_for_a_while(tmp_path: Path, kept: bool, fails: bool) -> None:
    """Of what was made nothing empty stays; a folder that was there does."""
    (tmp_path / "there").mkdir()
    path = tmp_path / "there" / "made" / "too"
    with contextlib.suppress(ZeroDivisionError), atomic_write.folder(path):
        assert path.is_dir()
        if kept:
            (path / "x").touch()
        if fails:
            1 / 0  # noqa: B018
    assert path.exists() == path.parent.exists() == kept
    with atomic_write.folder(tmp_path / "there"):
        pass
    assert (tmp_path / "there").is_dir()


def test_no_result_takes_the_manifests_name(tmp_path: Path) -> None:
    """What ``npy2bin -o knightlite.json`` would leave could not be read by any stage."""
    path = tmp_path / "knightlite.json"
    with pytest.raises(UsageError, match=r"knightlite\.json cannot be written: stages note"):
        atomic_write.write_text(path, "{}")
    with pytest.raises(UsageError, match="name"):
        atomic_write.write_bytes(path, b"\xe0")
    assert list(tmp_path.iterdir()) == []
    atomic_write.write_manifest(tmp_path, "{}")
    assert (tmp_path / "knightlite.json").read_text() == "{}"


# ------------------------------------------------------------------ a folder as a whole

HALF = """
import os, signal
from knightlite import atomic_write
with atomic_write.folder_set("up/project") as files:
    files.write_text("up/project/src/a.c", "half")
    os.kill(os.getpid(), signal.SIGTERM)
"""


def write_project(folder: Path) -> None:
    with atomic_write.folder_set(folder) as files:
        for name in ("src/a.c", "README.md"):
            files.write_text(folder / name, name)


def test_a_new_folder_appears_as_a_whole(tmp_path: Path) -> None:
    code = subprocess.run([sys.executable, "-c", HALF], cwd=tmp_path, check=False).returncode
    assert code == -signal.SIGTERM
    assert [path.name.startswith(".project-kl") for path in (tmp_path / "up").iterdir()] == [True]
    project = tmp_path / "up" / "project"
    write_project(project)
    assert [path.name for path in (tmp_path / "up").iterdir()] == ["project"]
    assert (project / "src" / "a.c").read_text() == "src/a.c"
    assert project.stat().st_mode == (project / "src").stat().st_mode
    write_project(project)  # that is there: its files are replaced


def test_a_new_folder_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOTEMPTY, "Directory not empty")

    project = tmp_path / "up" / "project"
    with monkeypatch.context() as patch:
        patch.setattr("os.rename", fail)
        with pytest.raises(UsageError) as caught:
            write_project(project)
    assert caught.value.sentence == f"{project} cannot be written: Directory not empty."
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(Path, "open", lambda *_: fail())
    with pytest.raises(KnightliteError) as full:
        write_project(project)
    assert "src/a.c cannot be written" in full.value.sentence
    assert list(tmp_path.iterdir()) == []
