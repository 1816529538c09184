"""What ``profile`` and ``knightlite.profile`` can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from knightlite.errors import UsageError
from knightlite.options import shared
from knightlite.options.checks import Check, existing
from knightlite.options.fields import like, option
from knightlite.options.kinds import FILES, REAL, Kind, Several, real
from knightlite.options.texts import fact

FACTS = Kind(
    several=Several.REPEATED,
    item=fact,
    read=tuple,
    python="Mapping[str, int]",
    take=lambda facts: tuple(facts.items()),
)


def _two(options: ProfileOptions) -> None:
    """That --diff has two files, and nothing beside it that it has no use for."""
    if not options.diff:
        return
    if len(options.diff) != 2:
        raise UsageError(
            f"--diff takes two profiles, not {len(options.diff)}.",
            "as in --diff before/X_r.profile.json after/X_r.profile.json",
        )
    if options.as_json:
        raise UsageError("--diff prints tables: it has no --json.", "--html FILE writes a page")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileOptions:
    """What ``profile`` is asked for.

    ``max_bandwidth``: GiB/s as Knight states it, 0 for the chip's; ``utilization``: the share of it
    that transfers reach; ``facts``: other figures to assume, (fact, value). ``model``: a
    ``.tsmodel`` instead of the pair. ``html``: a page to write. ``advice_seconds``: how
    long other programs are compiled for advice, None for a while where there is a page; ``onnx``:
    from which model. ``diff``: two saved profiles that are compared instead.
    ``directory``: where the manifest is kept.
    """

    RULES: ClassVar[tuple[Check, ...]] = (_two,)

    chip: str | None = like(shared.CHIP, doc="must be the one compiled for, or another name of it.")
    model: Path | None = like(shared.TSMODEL)
    weight: Path | None = like(shared.WEIGHT_FILE)
    cfg: Path | None = like(shared.CFG_FILE)
    out_dir: Path = like(shared.OUT_DIR)
    max_bandwidth: float = option(
        "-mbw",
        "--max-storage-bandwidth",
        kind=REAL,
        help="Assume this DDR rate in Knight's unit, 2^30 bytes [default: 0, the chip's].",
        default=0.0,
        metavar="GB/S",
        doc="assume this DDR rate, in 2^30 bytes a second; 0 is the chip's.",
    )
    utilization: float | None = option(
        "-bu",
        "--bandwidth-utilization",
        kind=REAL,
        help="Assume that transfers reach this share of it, up to 1 [default: the chip's].",
        metavar="SHARE",
        doc="assume that transfers reach this share of it, up to 1; default: the chip's.",
    )
    facts: tuple[tuple[str, int], ...] = option(
        "--set",
        kind=FACTS,
        help="Assume another figure of the chip, one that only time depends on.",
        default=(),
        metavar="FACT=VALUE",
        argument="facts",
        doc='assume other figures of the chip, such as {"clock_hz": 800_000_000}, that only time '
        "depends on.",
        unsaid=None,
    )
    html: Path | None = like(shared.HTML)
    advice_seconds: float | None = option(
        "--advice-seconds",
        kind=real(0),
        help="Compile again, with other levels, chips, widths and sizes, for at most so long, for "
        "advice [default: 60 with --html, else 0].",
        metavar="SECONDS",
        python=False,
    )
    onnx: Path | None = like(
        shared.QUANTIZED,
        help="The quantized model for that [default: what it was compiled from].",
        check=existing("quantized model", "quant leaves X_quantize.onnx", ("_quantize.onnx",)),
    )
    diff: tuple[Path, ...] = option(
        "--diff",
        kind=FILES,
        help="Compare two X.profile.json instead: what changed, and in which layers.",
        default=(),
        metavar="A B",
        python=False,
    )
    as_json: bool = like(shared.AS_JSON, help="Print the profile as JSON on stdout.")
    directory: Path = Path()
