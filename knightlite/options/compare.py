"""What ``compare`` and ``knightlite.compare`` can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from knightlite.options import shared
from knightlite.options.fields import Names, like, option
from knightlite.options.kinds import FILE, TEXTS, Kind, whole
from knightlite.options.texts import span

LEVEL = 4
OUTPUTS = 2  # the last level at which only the network's outputs are compared
LEVELS = (
    "outputs, chip with quantized",
    "outputs, neighbours of float, quantized, golden, chip",
    "outputs, all pairs",
    "layers, chip with quantized",
    "layers, neighbours",
    "layers, all pairs",
    "the same, and layers that the chip keeps to itself",
)
FOLDERS = Kind(
    read=lambda text: tuple(Path(item) for item in text.split(":") if item),
    write=lambda folders: ":".join(map(str, folders)),
    python="str | Path",
    take=lambda folder: (Path(folder),),
)
SPAN = Kind(item=span, write=lambda ends: ":".join(map(str, ends)))


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareOptions:
    """What ``compare`` is asked for; names as Knight's options.

    ``sim_dirs`` none: the chip's values are computed from ``cfg`` and ``weight``, or from what
    ``compile`` left. ``number`` None: all rows. ``sort``: the largest MRE first. ``level``: an
    index of LEVELS. ``indices``: first and last index shown. ``plots``: pictures into ``save_dir``.
    ``show_index`` and what follows it choose the columns of the printed table. ``directory``: where
    the manifest is kept.
    """

    quant_dir: Path | None = option(
        "-qd",
        "--quant-dir",
        kind=FILE,
        help="Where quant left its files [default: what it left here].",
        python=False,
    )
    sim_dirs: tuple[Path, ...] = option(
        "-sd",
        "--sim-dir",
        kind=FOLDERS,
        help="Where sim left results of inputs/, folders as a:b [default: they are computed].",
        default=(),
        doc="where ``knightlite sim`` left results; default: they are computed.",
        unsaid=None,
    )
    weight: Path | None = like(shared.WEIGHT_FILE, python=True, doc="default: beside ``cfg``.")
    cfg: Path | None = like(shared.CFG_FILE)
    level: int = option(
        "-sl",
        "--show-level",
        kind=whole(0, len(LEVELS) - 1),
        help="How much is compared, from the outputs alone (0) to all pairs of every layer (6).",
        default=LEVEL,
        argument="level",
        doc="0 to 2 the network's outputs, 3 to 6 every layer (``knightlite compare --help``).",
    )
    names: tuple[str, ...] = option(
        "-on",
        "--out-name",
        kind=TEXTS,
        help="Only this tensor; repeatable.",
        completes=Names.TENSORS,
        default=(),
        python=False,
    )
    op_type: str | None = option("--op-type", help="Only outputs of this operator.", python=False)
    indices: tuple[int, int] | None = option(
        "--index-range",
        kind=SPAN,
        help="Only layers with these numbers, counted from 0.",
        metavar="FIRST:LAST",
        python=False,
    )
    number: int | None = option(
        "-sn", "--show-number", kind=whole(1), help="Rows [default: all].", python=False
    )
    show_index: bool = like(shared.SHOWN, flags=("-si", "--show-index"), help="Number the layers.")
    show_hist: bool = like(
        shared.SHOWN, flags=("-sh", "--show-hist"), help="Add a histogram of the differences."
    )
    plots: bool = like(shared.SHOWN, flags=("--show-plot",), help="Draw every row into --save-dir.")
    sort: bool = like(shared.SHOWN, flags=("--sort",), help="The largest MRE first.")
    no_mre: bool = like(
        shared.SHOWN, flags=("--no-mre",), help="Leave out MRE%: sum |r - l| / sum |l|."
    )
    no_cos: bool = like(
        shared.SHOWN,
        flags=("--no-cos",),
        help="Leave out cos%, Knight's: 50 % and half the cosine of r and l.",
    )
    rmse: bool = like(
        shared.SHOWN, flags=("--rmse",), help="Add RMSE%: sqrt(sum (r - l)^2 / sum l^2)."
    )
    maxdiff: bool = like(shared.SHOWN, flags=("--maxdiff",), help="Add the largest difference.")
    bias: bool = like(shared.SHOWN, flags=("--bias",), help="Add the mean difference.")
    save_dir: Path | None = option(
        "-s", "--save-dir", kind=FILE, help="Also write compare.json there.", python=False
    )
    as_json: bool = like(shared.AS_JSON)
    directory: Path = Path()
