"""Where the folders of data are: in the wheel or beside the package."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
CONTAINER = Path("/opt/Quantize/onnx_examples")  # where Knight has scripts that run-configs name


def _folder(name: str) -> Path:
    packaged = _PACKAGE / "_data" / name
    return packaged if packaged.is_dir() else _PACKAGE.parent / name


def chips_folder() -> Path:
    """Folder of the chip descriptions."""
    return _folder("chips")


def calibration_folder() -> Path:
    """Folder of the preprocessing recipes."""
    return _folder("calibration")


def scripts_folder() -> Path:
    """Folder of the modules that Knight user scripts import: an entry of ``sys.path``."""
    return _folder("scripts")


def demo_folder() -> Path:
    """Folder of the trained network and the pictures that ship: what ``demo`` runs."""
    packaged = _PACKAGE / "_data" / "digits"
    return packaged if packaged.is_dir() else _PACKAGE.parent / "examples" / "digits"


def script_file(named: Path) -> Path:
    """The user script of this name: ours for one of Knight's container that is not there."""
    ours = scripts_folder() / named.name
    return ours if named.parent == CONTAINER and not named.exists() and ours.is_file() else named
