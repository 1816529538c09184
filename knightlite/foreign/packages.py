"""Which packages this interpreter lacks. Request: ``names``; values: ``missing``, of these."""

from __future__ import annotations

from typing import Any

from knightlite.script_loading import is_missing


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Look for the packages without importing them."""
    return {"missing": [name for name in request["names"] if is_missing(name)]}
