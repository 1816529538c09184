"""What ``profile`` and ``knightlite.profile`` can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from knightlite.options import shared
from knightlite.options.fields import like, option
from knightlite.options.kinds import FILE, REAL, Kind, Several, real
from knightlite.options.texts import fact

FACTS = Kind(
    several=Several.REPEATED,
    item=fact,
    read=tuple,
    python="Mapping[str, int]",
    take=lambda facts: tuple(facts.items()),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileOptions:
    """What ``profile`` is asked for.

    ``max_bandwidth``: GiB/s as Knight states it, 0 for the chip's; ``utilization``: the share of it
    that transfers reach; ``facts``: other figures to assume, (fact, value). ``model``: a
    ``.tsmodel`` instead of the pair. ``html``: a page to write. ``advice_seconds``: how
    long other programs are compiled for advice, None for a while where there is a page; ``onnx``:
    from which model. ``directory``: where the manifest is kept.
    """

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
    html: Path | None = option(
        "--html",
        kind=FILE,
        help="Also write a page: what limits the network, what helps, every layer and plots.",
        metavar="FILE",
        python=False,
    )
    advice_seconds: float | None = option(
        "--advice-seconds",
        kind=real(0),
        help="Compile again, with other levels, chips, widths and sizes, for at most so long, for "
        "advice [default: 60 with --html, else 0].",
        metavar="SECONDS",
        python=False,
    )
    onnx: Path | None = like(
        shared.QUANTIZED, help="The quantized model for that [default: what it was compiled from]."
    )
    as_json: bool = like(shared.AS_JSON, help="Print the profile as JSON on stdout.")
    directory: Path = Path()
