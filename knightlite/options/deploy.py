"""What ``deploy``, ``sim-lib`` and ``bin2header`` can be asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from knightlite.options import shared
from knightlite.options.fields import REQUIRED, Option, like, option
from knightlite.options.kinds import FILE

OUT_DIR = Option(
    flags=("-o", "--outpath", "--save-dir"),
    kind=FILE,
    help="Folder of the project; it must be empty, or not be there yet.",
    default=REQUIRED,
    metavar="DIR",
)
FORCE = replace(shared.SHOWN, flags=("--force",), help="Write into a folder that is not empty.")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployOptions:
    """What ``deploy`` is asked for; ``directory``: where the manifest is kept."""

    cfg: Path | None = like(shared.CFG_FILE)
    weight: Path | None = like(shared.WEIGHT_FILE)
    model: Path | None = like(shared.TSMODEL)
    out_dir: Path = like(OUT_DIR)
    arrays: bool = like(
        shared.SHOWN,
        flags=("--arrays",),
        help="The network as C arrays, for boards without files.",
    )
    force: bool = like(FORCE)
    directory: Path = Path()


@dataclass(frozen=True, slots=True, kw_only=True)
class SimLibOptions:
    """What ``sim-lib`` is asked for."""

    out_dir: Path = like(OUT_DIR, help="Folder of the library's sources; it must be empty.")
    force: bool = like(FORCE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin2HeaderOptions:
    """What ``bin2header`` is asked for."""

    source: Path = option(kind=FILE, default=REQUIRED, position=True, metavar="BIN_FILE")
    target: Path = option(kind=FILE, default=REQUIRED, position=True, metavar="HEADER_FILE")
    back: bool = like(
        shared.SHOWN,
        flags=("-r", "--reverse"),
        help="The way back: a header, or numbers with commas, to bytes.",
    )
