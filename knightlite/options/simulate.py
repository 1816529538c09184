"""What ``sim`` can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from knightlite.errors import not_there
from knightlite.layouts import LAYOUTS
from knightlite.options import shared
from knightlite.options.fields import REQUIRED, Names, like, option
from knightlite.options.kinds import FILE, SWITCH, WHOLE, Form, Kind, one_of

NOT_ZERO = Kind(form=Form.WHOLE, low=-1, read=bool, write=int, python="bool")


def no_count(text: str) -> None:
    """That the input is not meant as quant's -i."""
    if text.isdigit() and not Path(text).exists():
        raise not_there("input file", text, "in quant, -i is the number of forward calls")


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulateOptions:
    """What ``sim`` is asked for; names as Knight's options.

    ``input``: raw float32 or integer file(s), ``.npy``, or a picture. ``debug``: a tensor or layer
    name, or "all". ``check`` compares every materialised byte with the golden model. ``model``: a
    ``.tsmodel`` instead of the pair. ``into_file``: also write the input integers as text.
    ``directory``: where the manifest is kept.
    """

    input: str = option(
        "-i",
        "--input",
        help="Raw float32 or integer file, .npy, or picture; several inputs as a:b.",
        unlike="in quant, -i is the number of forward calls",
        default=REQUIRED,
        check=no_count,
    )
    chip: str | None = like(shared.CHIP)
    engine: str = like(shared.ENGINE)
    model: Path | None = like(shared.TSMODEL)
    weight: Path | None = like(shared.WEIGHT_FILE)
    cfg: Path | None = like(shared.CFG_FILE)
    out_dir: Path = like(shared.OUT_DIR, help="Where the results go [default: here].")
    layout: str | None = option(
        "-fmt",
        "--format",
        kind=one_of(LAYOUTS),
        help="Layout of raw input [default: as stored in the .cfg].",
    )
    frame_step: int = option(
        "-fs", "--frame-step", kind=WHOLE, help="Take every n-th frame.", default=0
    )
    frame_count: int | None = option(
        "-fc", "--frame-count", kind=WHOLE, help="Frames to run [default: the first]."
    )
    labels: Path | None = option(
        "--labels",
        kind=FILE,
        help="Print the top 5 with the names of this file (idx:name or one a line).",
    )
    recipe: str | None = like(
        shared.RECIPE, help="Recipe for pictures [default: the one stored in the .cfg]."
    )
    check: bool = option(
        "--check",
        kind=SWITCH,
        help="Compare every byte with the golden model in ONNX Runtime.",
        default=False,
    )
    golden: Path | None = option(
        "--golden", kind=FILE, help="Golden model [default: beside the .cfg]."
    )
    into_file: bool = option(
        "-if",
        "--intofile",
        kind=NOT_ZERO,
        help="Where not 0: also write the input integers to intofile.txt.",
        unlike="in quant, -if is the infer function",
        default=False,
    )
    debug: str | None = option(
        "-d",
        "--debug",
        help="Also write a tensor that the program materialises, or all.",
        completes=Names.TENSORS,
        unlike="in quant, -d is the data",
    )
    as_json: bool = like(shared.AS_JSON)
    directory: Path = Path()
