"""Golden files, deterministic hypothesis, seeded generators and the digits chain for all tests."""

from __future__ import annotations

import difflib
import gc
import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy is imported; as the CLI does
os.environ["XDG_CONFIG_HOME"] = "/nonexistent"  # the user's default chip is not the tests'
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a run starts Python a hundred times

import numpy as np
import pytest
from hypothesis import settings

import conformance_table
from golden_table import Layout, Rows
from knightlite.cli.program import run
from made_once import MadeOnce, of_this_run
from refusals import Refusal

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")
sys.dont_write_bytecode = False  # as for the processes we start
gc.disable()  # until the tests are collected: what that makes stays to the end

# the files that take longest, in seconds of CPU: workers begin with them, so that none ends alone
LONG = {
    "test_docs.py": 110, "test_recurrent.py": 40, "test_runtime_crossed.py": 40,
    "test_deploy.py": 35, "test_node_cases.py": 34, "test_diagnosis.py": 26,
    "test_schedule.py": 19, "test_runtime.py": 18, "test_golden_figures.py": 15,
    "test_diagnose.py": 15, "test_modelzoo.py": 13, "test_token_nets.py": 13,
    "test_runtime_corpus.py": 12, "test_schedules.py": 11, "test_mix_output.py": 10,
    "test_bound.py": 10, "test_advising.py": 10, "test_golden_reports.py": 9, "test_compare.py": 9,
}  # fmt: skip
GOLDEN = Path(__file__).parent / "golden"
UPDATED = "golden figures"  # property of a test: what it wrote, before and after
DIGITS = Path(__file__).parent.parent / "examples" / "digits"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write what the tests see into tests/golden instead of comparing; review the diff",
    )
    parser.addoption(
        "--conformance-json",
        type=Path,
        metavar="FILE",
        help="write the conformance suite's table to FILE as JSON",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first where several workers share them; all else stays as it was."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: -LONG.get(item.path.name, 0))


def pytest_collection_finish() -> None:
    """Leave modules and tests out of every later look for garbage, and look for less at a time.

    It takes a seventh of the time otherwise.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Golden figures that were updated; the conformance suite's table, where it ran."""
    for report in terminalreporter.stats.get("passed", ()):
        for name, table in report.user_properties:
            if name == UPDATED:
                terminalreporter.section(UPDATED)
                terminalreporter.write(table)
    config = terminalreporter.config
    rows = config.stash.get(conformance_table.ROWS, [])
    if not rows:
        return
    terminalreporter.section("conformance")
    for line in conformance_table.lines(rows):
        terminalreporter.write_line(line)
    path = config.getoption("--conformance-json")
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(conformance_table.as_json(rows), encoding="utf-8")
        terminalreporter.write_line(f"written to {path}")


@dataclass(frozen=True)
class Golden:
    """Compares text, JSON or figures with ``tests/golden/<name>``.

    ``tell`` takes what an update of figures changed.
    """

    update: bool
    tell: Callable[[str], None] = print

    def text(self, name: str, found: str) -> None:
        """Fail with a diff where ``found`` is not exactly what the file holds."""
        path = GOLDEN / name
        if self.update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(found, encoding="utf-8")
            return
        if not path.is_file():
            pytest.fail(f"{path} does not exist: run pytest --update-golden and review it")
        wanted = path.read_text(encoding="utf-8")
        if wanted != found:
            lines = difflib.unified_diff(
                wanted.splitlines(), found.splitlines(), f"golden/{name}", "found", lineterm=""
            )
            pytest.fail("\n".join([*lines, "(pytest --update-golden writes the new text)"]))

    def json(self, name: str, found: Any) -> None:
        """The same for a JSON value, written with sorted keys."""
        self.text(name, json.dumps(found, indent=1, sort_keys=True, allow_nan=False) + "\n")

    def table(self, name: str, layout: Layout, found: Rows) -> None:
        """The same for figures; fails, and tells after an update, with before and after."""
        path = GOLDEN / name
        if self.update:
            before = layout.rows(path.read_text(encoding="utf-8")) if path.is_file() else {}
            self.text(name, layout.text(found))
            if changes := layout.changes(before, found):
                self.tell(f"golden/{name}\n{changes}")
        elif not path.is_file():
            self.text(name, "")  # fails: it says what to do
        elif changes := layout.changes(layout.rows(path.read_text(encoding="utf-8")), found):
            pytest.fail(
                f"golden/{name} has other figures:\n{changes}"
                "(pytest --update-golden writes the new ones)"
            )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    properties = request.node.user_properties  # they reach the summary from any process
    return Golden(
        update=bool(request.config.getoption("--update-golden")),
        tell=lambda table: properties.append((UPDATED, table)),
    )


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """A generator that depends on the test's name only."""
    return np.random.default_rng(list(request.node.nodeid.encode()))


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    return of_this_run(tmp_path_factory)


@pytest.fixture(scope="session")
def digits_chain(made_once: MadeOnce) -> Path:
    """A folder in which digits was quantized (10 pictures) and compiled; not to be changed."""
    return made_once.folder("digits_chain", make_digits_chain)


def make_digits_chain(folder: Path) -> None:
    for name in ("digits.pdmodel", "digits.pdiparams", "labels.txt"):
        shutil.copy(DIGITS / name, folder)
    for label in "0123456789":
        (folder / "calib" / label).mkdir(parents=True)
        shutil.copy(min((DIGITS / "calib" / label).iterdir()), folder / "calib" / label)
    before = Path.cwd()
    os.chdir(folder)
    try:
        quant = ["quant", "-m", "digits.pdmodel", "-d", "calib", "--recipe", "digits", "-i", "10"]
        assert run(quant) == 0
        assert run(["compile"]) == 0
    finally:
        os.chdir(before)


@pytest.fixture
def here(digits_chain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the digits chain as the current folder; a test may do to it what it wants."""
    folder = tmp_path / "work"
    shutil.copytree(digits_chain, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def refused(here: Path, capsys: pytest.CaptureFixture[str]) -> Refusal:
    return Refusal(capsys)
