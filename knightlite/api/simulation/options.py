"""What ``sim`` is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SimulateOptions:
    """What ``sim`` is asked for; names as Knight's options.

    ``input``: raw float32 or integer file(s), ``.npy``, or a picture. ``debug``: a tensor or layer
    name, or "all". ``check`` compares every materialised byte with the golden model. ``model``: a
    ``.tsmodel`` instead of the pair. ``into_file``: also write the input integers as text.
    """

    input: str
    cfg: Path | None = None
    weight: Path | None = None
    chip: str | None = None
    out_dir: Path = Path()
    layout: str | None = None
    frame_step: int = 0
    frame_count: int | None = None
    labels: Path | None = None
    recipe: str | None = None
    check: bool = False
    golden: Path | None = None
    debug: str | None = None
    model: Path | None = None
    into_file: bool = False
    directory: Path = field(default=Path())
