"""Write files so that none is ever half-written: aside first, then renamed, all or none.

A set of files belongs together (a .cfg without its .weight is of no use), so a set appears as a
whole: where anything fails, no new file is there and every old one is as it was.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from knightlite import leftovers
from knightlite.errors import KnightliteError, UsageError

MANIFEST = "knightlite.json"  # where stages note their files: no result may have its name
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no mistake of who asks: exit code 1


class FileSet:
    """Files being written, each aside its final place. Made by :func:`file_set`."""

    def __init__(self, notes: bool = False) -> None:
        self._notes = notes  # whether it is the manifest itself that is written
        self._asides: dict[Path, Path] = {}  # final place -> where it is written meanwhile
        self._made: list[Path] = []  # folders made for them, outermost first
        self._swept: set[Path] = set()  # folders rid of what killed runs left

    def path(self, final: str | Path) -> Path:
        """Where to write the file that will be ``final``; folders are made as needed.

        The name keeps the suffix, for writers that go by it. UsageError where it cannot be written.
        """
        final = Path(final)
        if final in self._asides:
            return self._asides[final]
        if final.exists() and not final.is_file():
            what = "a folder" if final.is_dir() else "not a regular file"
            raise UsageError(f"{final} cannot be written: it is {what}.")
        if final.name == MANIFEST and not self._notes:
            raise UsageError(
                f"{final} cannot be written: stages note their files under this name.",
                "name another file",
            )
        try:
            self._make_folder(final.parent)
            if final.parent not in self._swept:
                leftovers.sweep(final.parent)
                self._swept.add(final.parent)
            handle, name = tempfile.mkstemp(
                prefix=leftovers.prefix(final.stem), suffix=final.suffix, dir=final.parent
            )
            os.close(handle)
        except OSError as error:
            raise _cannot_write(final, error) from error
        self._asides[final] = Path(name)
        return self._asides[final]

    def write_bytes(self, final: str | Path, data: bytes) -> None:
        """Add a file of bytes."""
        self.write_pieces(final, (data,))

    def write_pieces(self, final: str | Path, pieces: Iterable[bytes | memoryview]) -> None:
        """Add a file of bytes that come piece by piece."""
        aside = self.path(final)
        try:
            with aside.open("wb") as stream:
                stream.writelines(pieces)
        except OSError as error:
            raise _cannot_write(Path(final), error) from error

    def write_text(self, final: str | Path, text: str) -> None:
        """Add a UTF-8 text file; line ends stay as they are."""
        self.write_bytes(final, text.encode("utf-8"))

    def _make_folder(self, folder: Path) -> None:
        missing = []
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for item in reversed(missing):
            item.mkdir()
            self._made.append(item)

    def _publish(self) -> None:
        """Rename all into place; where one fails, put the old files back.

        Every old file is in its place, or has a second name, at every moment. What has been done is
        read off the files, not noted: a Ctrl-C may come between a rename and its note.
        """
        mode = 0o666 & ~_umask()
        kept = {  # of those that are replaced: a second name
            final: final.with_name(f"{leftovers.prefix(final.stem)}old{number}{final.suffix}")
            for number, final in enumerate(self._asides)
            if final.exists()
        }
        try:
            for final, aside in self._asides.items():
                aside.chmod(mode)  # mkstemp's are for the owner only
                if final in kept:
                    _keep(final, kept[final])
                os.replace(aside, final)
        except BaseException as error:
            if any(aside.exists() for aside in self._asides.values()):
                self._put_back(kept)
            if isinstance(error, OSError):
                raise _cannot_write(final, error) from error
            raise
        finally:
            for old in kept.values():
                with contextlib.suppress(OSError):  # all files are in place: not worth failing for
                    old.unlink(missing_ok=True)

    def _put_back(self, kept: dict[Path, Path]) -> None:
        """Undo the renames: a file that is still aside has not taken its place."""
        for final, aside in reversed(self._asides.items()):
            if aside.exists():
                continue
            if final in kept:
                os.replace(kept[final], final)
            else:
                final.unlink(missing_ok=True)

    def _discard(self) -> None:
        for aside in self._asides.values():
            aside.unlink(missing_ok=True)
        for folder in reversed(self._made):
            with contextlib.suppress(OSError):  # someone else put a file there
                folder.rmdir()


class _NewFolder(FileSet):
    """Files of a folder that is not there yet: made aside, it takes its place by one rename."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._aside: Path | None = None

    def path(self, final: str | Path) -> Path:
        final = Path(final)
        try:
            if self._aside is None:
                beside = self._folder.parent
                self._make_folder(beside)
                leftovers.sweep(beside)
                mark = leftovers.prefix(self._folder.name)
                self._aside = Path(tempfile.mkdtemp(prefix=mark, dir=beside))
            aside = self._aside / final.relative_to(self._folder)
            aside.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _cannot_write(final, error) from error
        return aside

    def _publish(self) -> None:
        if self._aside is None:
            return
        try:
            self._aside.chmod(0o777 & ~_umask())  # mkdtemp's are for the owner only
            os.rename(self._aside, self._folder)
        except OSError as error:
            raise _cannot_write(self._folder, error) from error

    def _discard(self) -> None:
        if self._aside is not None:
            shutil.rmtree(self._aside, ignore_errors=True)
        super()._discard()


@contextlib.contextmanager
def file_set(notes: bool = False) -> Iterator[FileSet]:
    """Collect files; all of them appear when the ``with`` ends well, none where it does not.

    ``notes``: the manifest is one of them.
    """
    with _appearing(FileSet(notes)) as files:
        yield files


@contextlib.contextmanager
def folder_set(folder: str | Path) -> Iterator[FileSet]:
    """As :func:`file_set`, of files below ``folder``.

    Where that is not there yet it appears as a whole or not at all, even if the process is killed.
    """
    folder = Path(folder)
    with _appearing(FileSet() if os.path.lexists(folder) else _NewFolder(folder)) as files:
        yield files


@contextlib.contextmanager
def _appearing(files: FileSet) -> Iterator[FileSet]:
    try:
        yield files
        files._publish()
    except BaseException:
        files._discard()
        raise


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write one file of bytes, whole or not at all."""
    with file_set() as files:
        files.write_bytes(path, data)


def write_text(path: str | Path, text: str) -> None:
    """Write one UTF-8 text file, whole or not at all."""
    with file_set() as files:
        files.write_text(path, text)


def write_manifest(folder: Path, text: str) -> None:
    """Write a folder's manifest, whole or not at all; nothing else may be called so."""
    with file_set(notes=True) as files:
        files.write_text(folder / MANIFEST, text)


def require_folder(folder: str | Path) -> None:
    """UsageError where files cannot be written into ``folder``: asked before long work begins."""
    nearest = Path(folder)
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise UsageError(
            f"files cannot be written into {folder}: {nearest} is a file.", "name another folder"
        )
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UsageError(
            f"files cannot be written into {folder}: {nearest} is not writable.",
            "name another folder",
        )


@contextlib.contextmanager
def folder(path: str | Path) -> Iterator[None]:
    """``path`` is there while the ``with`` lasts; of the folders made for it, empty ones go again.

    UsageError where it cannot be made.
    """
    made = [place for place in (Path(path), *Path(path).parents) if not place.exists()]
    if made:
        require_folder(path)
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(Path(path), error) from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # somebody put a file there
            for place in made:
                place.rmdir()


def _keep(path: Path, second: Path) -> None:
    """Give a file a second name, so that it can come back; the first one stays."""
    second.unlink(missing_ok=True)  # of an ended process that had our number
    try:
        os.link(path, second)
    except OSError:  # a file system without hard links
        shutil.copy2(path, second)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _cannot_write(path: Path, error: OSError) -> KnightliteError:
    if error.errno in FULL:
        return KnightliteError(
            f"{path} cannot be written: {error.strerror}.", "make room, or name another folder"
        )
    return UsageError(
        f"{path} cannot be written: {error.strerror or error}.", "name another folder"
    )


@contextlib.contextmanager
def locked(folder: str | Path) -> Iterator[None]:
    """One process at a time in the ``with``, of those that ask for the same existing folder.

    The lock is the folder's own and ends with the process: no file of it can be left behind. Where
    a file system has no locks nothing is waited for.
    """
    import fcntl

    handle = None
    try:
        with contextlib.suppress(OSError):
            handle = os.open(folder, os.O_RDONLY)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        if handle is not None:
            os.close(handle)
