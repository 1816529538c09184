"""The golden fixture: writes on demand, compares exactly, says how to update."""

from __future__ import annotations

from pathlib import Path

import pytest
from _pytest.outcomes import Failed

import conftest
from conftest import Golden
from golden_table import Layout, Rows


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


LAYOUT = Layout(("network", "level"), ("cycles", "hash"))
BEFORE: Rows = {
    ("net", "0"): {"cycles": "1000", "hash": "aa"},
    ("gone", "0"): {"cycles": "7", "hash": "bb"},
    ("same", "0"): {"cycles": "0", "hash": "1e5"},
}
AFTER: Rows = {
    ("net", "0"): {"cycles": "1205", "hash": "ac"},
    ("same", "0"): {"cycles": "0", "hash": "1e5"},
    ("net", "1"): {"cycles": "900", "hash": "dd"},
}
CHANGES = """\
network  level  figure  before  after   change
net          0  cycles    1000   1205  +20.50%
net          0    hash      aa     ac        -
gone         0     row     old      -        -
net          1     row       -    new        -
"""


def test_figures_are_a_table(tmp_path: Path) -> None:
    Golden(update=True).table("t.txt", LAYOUT, BEFORE)
    assert (tmp_path / "t.txt").read_text() == (
        "network  level  cycles  hash\n"
        "net          0    1000    aa\n"
        "gone         0       7    bb\n"
        "same         0       0   1e5\n"
    )
    Golden(update=False).table("t.txt", LAYOUT, BEFORE)


def test_changed_figures_are_shown_before_and_after(tmp_path: Path) -> None:
    told: list[str] = []
    Golden(update=True, tell=told.append).table("t.txt", LAYOUT, BEFORE)
    with pytest.raises(Failed) as caught:
        Golden(update=False).table("t.txt", LAYOUT, AFTER)
    assert str(caught.value) == (
        f"golden/t.txt has other figures:\n{CHANGES}(pytest --update-golden writes the new ones)"
    )
    Golden(update=True, tell=told.append).table("t.txt", LAYOUT, AFTER)
    assert told[1:] == [f"golden/t.txt\n{CHANGES}"]
    Golden(update=True, tell=told.append).table("t.txt", LAYOUT, AFTER)
    assert len(told) == 2  # nothing changed, nothing told
    Golden(update=False).table("t.txt", LAYOUT, AFTER)


def test_a_column_that_is_new_or_gone_is_shown(tmp_path: Path) -> None:
    Golden(update=True).table("t.txt", LAYOUT, AFTER)
    other = Layout(LAYOUT.key, ("cycles", "bytes"))
    rows: Rows = {("net", "0"): {"cycles": "1205", "bytes": "5"}}
    with pytest.raises(Failed) as caught:
        Golden(update=False).table("t.txt", other, rows)
    assert str(caught.value).splitlines()[2:4] == [
        "net          0   bytes       -      5       -",
        "net          0    hash      ac      -       -",
    ]


def test_missing_figures_are_a_failure() -> None:
    with pytest.raises(Failed, match=r"does not exist: run pytest --update-golden"):
        Golden(update=False).table("none.txt", LAYOUT, AFTER)
