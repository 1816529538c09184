"""What needs a browser: skipped without one, with the reason; CI must have it.

Chromium is Debian's, or what KNIGHTLITE_CHROMIUM names; ``make browser`` gets the rest from npm.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "tests" / "browser" / "look.cjs"
MODULES = ROOT / "build" / "browser" / "node_modules"
NAMES = ("chromium", "chromium-browser", "google-chrome")


@cache
def browser() -> str | None:
    """Where Chromium is."""
    named = os.environ.get("KNIGHTLITE_CHROMIUM")
    return named or next((path for name in NAMES if (path := shutil.which(name))), None)


def missing() -> str:
    """What a look at a page lacks here, "" where nothing; in CI nothing may be."""
    lacks = "" if browser() is not None else "there is no chromium"
    if not lacks and (shutil.which("node") is None or not (MODULES / "axe-core").is_dir()):
        lacks = "node and its packages are not there: make browser"
    assert not lacks or os.environ.get("CI") != "true", lacks
    return lacks


needs_browser = pytest.mark.skipif(bool(missing()), reason=missing())


def look_at(page: Path, pictures: Path | None = None) -> Any:
    """What ``look.cjs`` finds on a page."""
    found = browser()
    assert found is not None
    words = ["node", str(SCRIPT), found, str(page.resolve())]
    done = subprocess.run(
        words if pictures is None else [*words, str(pictures)],
        env=os.environ | {"NODE_PATH": str(MODULES)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
