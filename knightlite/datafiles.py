"""Where the folders ``chips/`` and ``calibration/`` are: in the wheel or beside the package."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _folder(name: str) -> Path:
    packaged = _PACKAGE / "_data" / name
    return packaged if packaged.is_dir() else _PACKAGE.parent / name


def chips_folder() -> Path:
    """Folder of the chip descriptions."""
    return _folder("chips")


def calibration_folder() -> Path:
    """Folder of the preprocessing recipes."""
    return _folder("calibration")
