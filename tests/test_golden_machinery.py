"""The golden fixture: writes on demand, compares exactly, says how to update."""

from __future__ import annotations

from pathlib import Path

import pytest
from _pytest.outcomes import Failed

import conftest
from conftest import Golden


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conftest, "GOLDEN", tmp_path)


def test_update_then_compare(tmp_path: Path) -> None:
    Golden(update=True).json("a/b.json", {"z": 1, "a": [2.5]})
    assert (tmp_path / "a" / "b.json").read_text() == '{\n "a": [\n  2.5\n ],\n "z": 1\n}\n'
    Golden(update=False).json("a/b.json", {"a": [2.5], "z": 1})


def test_difference_is_shown() -> None:
    Golden(update=True).text("t.txt", "one\ntwo\n")
    with pytest.raises(Failed, match=r"-two\n\+2\n\(pytest --update-golden writes the new text\)"):
        Golden(update=False).text("t.txt", "one\n2\n")


def test_missing_file_is_a_failure() -> None:
    with pytest.raises(Failed, match="does not exist: run pytest --update-golden"):
        Golden(update=False).text("none.txt", "")
