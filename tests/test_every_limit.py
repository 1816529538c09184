"""Every limit at N and at N + 1, and that the rows would notice another one."""

from __future__ import annotations

from pathlib import Path

import pytest

import limit_rows
import limit_rows_layouts
import limit_rows_machine
import limit_rows_models
import limit_rows_operators
import limit_rows_rooms
import limit_rows_serving
from knightlite.errors import KnightliteError
from limit_rows import EQUIVALENT, Case
from mutants import guards, mutants, swapped

TABLES = (
    limit_rows, limit_rows_models, limit_rows_machine, limit_rows_rooms, limit_rows_layouts,
    limit_rows_operators, limit_rows_serving,
)  # fmt: skip
ROWS = {key: cases for table in TABLES for key, cases in table.ROWS.items()}


ELSEWHERE = {
    "api/demonstration.py:_require_model": "test_demo.py",
    "api/exploration/run.py:_require_readable": "test_explore.py",
    "api/inspection/submodel.py:_require_whole": "test_submodel.py",
    "api/residents.py:side_by_side": "test_once.py",
    "cli/show_sim_result.py:command": "test_compare.py",
    "emit/resident.py:_places": "test_once.py",
    "frontend/axis_orders.py:settle": "test_carrying.py",
    "frontend/carrying.py:_View.aligned": "test_carrying.py",
    "frontend/compute.py:_check_features": "test_canonical.py",
    "frontend/compute.py:_constant": "test_canonical.py",
    "frontend/compute.py:check_made": "test_canonical.py",
    "frontend/dense.py:_as_convolution": "test_carrying.py",
    "frontend/open_loops.py:_steps": "test_open_loops.py",
    "frontend/paddle_answers.py:_unlike": "test_paddle_pir.py",
    "frontend/paddle_forms.py:_group_norm": "test_paddle_forms.py",
    "frontend/paddle_forms.py:_linear_resize": "test_paddle_forms.py",
    "ir/states.py:with_states": "test_open_loops.py",
    "quantize/statistics/passes.py:compare.forward": "test_picture_runs.py",
    "schedule/homes.py:_pieces": "test_schedules.py",
    "sim/program_check.py:ProgramCheck._check_once": "test_once.py",
}
"""What networks show better than a call, and where; their mutants were run there once."""


def test_every_guard_has_its_rows() -> None:
    """A new limit needs rows here, or a test of its own that is named."""
    assert set(guards()) == {*ROWS, *ELSEWHERE}
    assert all((Path(__file__).parent / name).is_file() for name in ELSEWHERE.values())


def told(case: Case, folder: Path) -> str:
    """What a call says: its error, or the text that it returns."""
    try:
        made = case[0](folder)
    except (KnightliteError, ValueError, OSError) as error:
        return str(error) or type(error).__name__
    except Exception as error:
        return getattr(error, "sentence", type(error).__name__)
    return made if isinstance(made, str) else ""


def differing(cases: tuple[Case, ...], folder: Path) -> list[str]:
    """Where a call says something else than stands beside it."""
    found = []
    for number, case in enumerate(cases):
        said, wanted = told(case, folder), case[1]
        if said != wanted[1:] if wanted[:1] == "=" else (wanted not in said if wanted else said):
            found.append(f"case {number}: {said!r}, not {wanted!r}")
    return found


@pytest.mark.parametrize("key", ROWS)
def test_limit(tmp_path: Path, key: str) -> None:
    assert not differing(ROWS[key], tmp_path)


@pytest.mark.parametrize("key", ROWS)
def test_another_limit_is_noticed(tmp_path: Path, key: str) -> None:
    survivors = []
    for what, code in mutants(key):
        with swapped(key, code):
            if not differing(ROWS[key], tmp_path):
                survivors.append(what)
    assert survivors == list(EQUIVALENT.get(key, ()))
