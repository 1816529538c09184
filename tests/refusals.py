"""Commands that must be refused: what they may print, and that they leave nothing behind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from knightlite.cli.program import run

Snapshot = dict[str, bytes | None]


def snapshot(folder: Path) -> Snapshot:
    """Every file below a folder with its bytes, every folder with None."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


class Refusal:
    """Runs a command in the current folder and holds its error to the letter."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, arguments: Sequence[str], code: int, sentence: str, hint: str = "") -> None:
        """``sentence`` and ``hint`` are whole lines; "*" at their end stands for any rest."""
        found, lines = self.run(arguments)
        errors = [line.removeprefix("Error: ") for line in lines if line.startswith("Error: ")]
        hints = [line.removeprefix("Hint: ") for line in lines if line.startswith("Hint: ")]
        assert found == code, lines
        assert len(errors) == 1, lines
        assert _matches(errors[0], sentence), errors[0]
        assert len(hints) == (1 if hint else 0), hints
        assert not hint or _matches(hints[0], hint), hints[0]

    def run(self, arguments: Sequence[str]) -> tuple[int, list[str]]:
        """Exit code and the lines of stderr; where the code is not 0, nothing may have changed."""
        before = snapshot(Path())
        self._capsys.readouterr()
        code = run(arguments)
        out, err = self._capsys.readouterr()
        assert "Traceback" not in err
        assert "failed inside" not in err, err
        if code:
            assert out == ""
            after = snapshot(Path())
            assert sorted(after) == sorted(before)
            assert after == before
        return code, err.splitlines()


def _matches(found: str, wanted: str) -> bool:
    return found.startswith(wanted[:-1]) if wanted.endswith("*") else found == wanted


def cut(path: str | Path, size: int) -> None:
    """Keep the first ``size`` bytes of a file; negative: leave out so many at the end."""
    data = Path(path).read_bytes()
    Path(path).write_bytes(data[:size])


def flip(path: str | Path, position: int, mask: int = 1) -> None:
    """Flip bits of one byte of a file."""
    data = bytearray(Path(path).read_bytes())
    data[position] ^= mask
    Path(path).write_bytes(data)
