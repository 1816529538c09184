"""Files appear whole, together, or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from knightlite import atomic_write
from knightlite.errors import KnightliteError, UsageError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


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

    def no_links(source: object, target: object) -> None:
        raise OSError(95, "Operation not supported")

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


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written: it is a folder"):
        atomic_write.write_bytes(tmp_path, b"")
    with pytest.raises(UsageError, match="/dev/null cannot be written: it is not a regular file"):
        atomic_write.write_bytes("/dev/null", b"")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"file/x cannot be written: Not a directory\."):
        atomic_write.write_bytes(tmp_path / "file" / "x", b"")
    assert names(tmp_path) == ["file"]
