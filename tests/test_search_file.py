"""A searched schedule on disk: all of it comes back, for the same model and chip only."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from knightlite.api.models.search_file import budget_from, saved_search
from knightlite.errors import FormatError
from knightlite.schedule import Budget, Decisions, Region, Tiling

MODEL, CHIP = "a" * 64, "b" * 64
BEST = Decisions(
    (
        Region(0, 2, 3, True),
        Region(2, 3, 1, False, Tiling(4, 16, 8, True, 2)),
        Region(3, 7, 5, False, Tiling(9, 1, 2, False, 1)),
        Region(7, 8, 1),
    ),
    frozenset(["y", "c", "x"]),
)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    order: Any = SimpleNamespace(decisions=BEST, tried=40)
    path = tmp_path / "search.json"
    path.write_bytes(saved_search(order, MODEL, CHIP))
    return path


@pytest.mark.parametrize("seconds", [None, 2.5])
@pytest.mark.parametrize("evaluations", [40, 41, 1000])
def test_a_search_goes_on_from_all_that_was_decided(
    saved: Path, evaluations: int, seconds: float | None
) -> None:
    found = budget_from(saved, MODEL, CHIP, evaluations, seconds)
    assert found == Budget(evaluations, seconds, BEST, 40)


@pytest.mark.parametrize(
    ("model", "chip", "evaluations"),
    [(MODEL, "c" * 64, 50), ("c" * 64, CHIP, 50), (CHIP, MODEL, 50), (MODEL, CHIP, 39)],
)
def test_it_begins_anew_for_another_model_or_chip_or_fewer_changes(
    saved: Path, model: str, chip: str, evaluations: int
) -> None:
    assert budget_from(saved, model, chip, evaluations, 1.5) == Budget(evaluations, 1.5)
    saved.unlink()
    assert budget_from(saved, MODEL, CHIP, evaluations, 1.5) == Budget(evaluations, 1.5)


def test_a_damaged_file_is_no_search(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:-2])
    with pytest.raises(FormatError, match=r"search\.json"):
        budget_from(saved, MODEL, CHIP, 50, None)
