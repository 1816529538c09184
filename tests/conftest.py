"""Golden files, deterministic hypothesis and seeded generators for all tests."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write what the tests see into tests/golden instead of comparing; review the diff",
    )


@dataclass(frozen=True)
class Golden:
    """Compares text or JSON with ``tests/golden/<name>``."""

    update: bool

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


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(update=bool(request.config.getoption("--update-golden")))


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """A generator that depends on the test's name only."""
    return np.random.default_rng(list(request.node.nodeid.encode()))
