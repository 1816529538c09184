"""What ``eval`` and ``knightlite.evaluate`` can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from knightlite.errors import UsageError
from knightlite.options import shared
from knightlite.options.checks import Check, annotations_of_a_metric, within
from knightlite.options.fields import like, option
from knightlite.options.kinds import FILE, SWITCH, Kind, Several, shapes_of, whole
from knightlite.options.texts import shape

STATE = Path("knightlite-eval.json")
WHOLE = (1, 1)  # the only shard


def _shard(text: str) -> tuple[int, int]:
    index, slash, count = text.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal()):
        raise UsageError(f"a shard must be written as 1/4, not {text}.")
    return int(index), int(count)


def _possible(shard: tuple[int, int]) -> None:
    index, count = shard
    if not 1 <= index <= count:
        raise UsageError(f"a shard must be from 1/{max(count, 1)} up, not {index}/{count}.")


def _pictures(options: EvaluateOptions) -> None:
    if options.data is None and not options.merge:
        raise UsageError("eval needs pictures.", "name their folder with --data DIR")


SHARD = Kind(
    read=_shard,
    write=lambda shard: "/".join(map(str, shard)),
    shown=False,
    python="tuple[int, int]",
)
MODELS = Kind(several=Several.REPEATED, read=tuple, form=FILE.form)
ONE_SHAPE = Kind(
    several=Several.SHAPE,
    single=True,
    item=shape,
    read=lambda only: (only,),
    python="Sequence[Sequence[int]]",
    take=shapes_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions:
    """What ``eval`` is asked for.

    ``models``: the first is what the others are compared with; none: what the manifest holds.
    ``recipe``: name or file; None: the one that the models were calibrated with. ``labels``: a file
    of class folders' names in the order of the scores. ``count``: a seeded sample of the pictures.
    ``check``: compare every byte of the chip's layers with its golden model, which lies beside it.
    ``workers`` None: one per processor. ``state``: file of the sums so far; ``keep_state``: leave
    it when finished. ``shard``: (i, n). With ``merge`` the models are such files, whose sums are
    added up. ``directory``: where the manifest is kept.
    """

    RULES: ClassVar[tuple[Check, ...]] = (_pictures, annotations_of_a_metric)

    models: tuple[Path, ...] = option(
        kind=MODELS, default=(), metavar="[MODEL]...", position=True, python=False
    )
    chip: str | None = like(shared.CHIP, doc="must be the one compiled for, or another name of it.")
    engine: str = like(shared.ENGINE)
    data: Path | None = like(
        shared.DATA,
        kind=FILE,
        help="Folder of pictures, one sub-folder per class, or a .npy file of frames [N, C, H, W] "
        "as the network reads them.",
        python=False,
    )
    recipe: str | None = like(
        shared.RECIPE,
        help="How pictures become input [default: as the models were calibrated].",
        doc="how pictures become input; default: as the models were calibrated.",
    )
    labels: Path | None = like(
        shared.LABELS,
        help="Folder names of the classes in the order of the scores, one a line or as idx:name "
        "[default: the folders, sorted]; of frames a .npy file with the class of each.",
        python=False,
    )
    count: int | None = option(
        "-n",
        "--count",
        kind=whole(),
        help="Take a seeded sample of so many [default: all].",
        check=within(1, None, "the number of pictures"),
        doc="a seeded sample of so many pictures; default: all.",
    )
    seed: int = like(shared.SEED, help="Of the sample.", doc="of the sample.")
    input_shapes: tuple[tuple[int, ...], ...] = like(
        shared.INPUT_SHAPES,
        kind=ONE_SHAPE,
        help="Where a model leaves its input open.",
        doc="of the one input, where a model leaves it open.",
    )
    workers: int | None = like(shared.WORKERS)
    state: Path | None = option(
        "--state",
        kind=FILE,
        help=f"Where the sums so far are kept, and stay [default: {STATE}, until finished].",
        doc="file of the sums so far, from which the same call goes on after a stop.",
    )
    shard: tuple[int, int] = option(
        "--shard",
        kind=SHARD,
        help="Every N-th picture from the I-th on.",
        default=WHOLE,
        metavar="I/N",
        check=_possible,
        doc="(i, n) takes every n-th picture from the i-th on; the states of all n shards give the "
        "whole with ``knightlite eval --merge``.",
    )
    check: bool = option(
        "--check",
        kind=SWITCH,
        help="Compare every byte of every layer of the compiled network with its golden model.",
        default=False,
        doc="also compare every byte of every layer of a compiled network with its golden model.",
    )
    merge: bool = option(
        "--merge",
        kind=SWITCH,
        help="Add up the state files named instead of models.",
        default=False,
        python=False,
    )
    metric: str | None = like(shared.METRIC)
    annotations: Path | None = like(shared.ANNOTATIONS)
    as_json: bool = like(shared.AS_JSON)
    keep_state: bool = True
    directory: Path = Path()

    @property
    def folder(self) -> Path:
        """That of the pictures, where there is one."""
        assert self.data is not None
        return self.data
