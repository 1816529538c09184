"""What ``demo`` can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from knightlite.options import shared
from knightlite.options.fields import like, option
from knightlite.options.kinds import one_of

QUANT, RNE, RNE_SIM_LIB, ALL = STAGES = ("quant", "rne", "rne-sim-lib", "all")


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What ``demo`` is asked for; ``chip`` None: the default one, or that of what is there."""

    framework: str = like(
        shared.FRAMEWORK, help="Framework of a model that ships: paddle or onnx.", default="paddle"
    )
    model: str = option("-m", "--model", help="Model that ships: digits.", default="digits")
    stage: str = option(
        "-s",
        "--stage",
        kind=one_of(STAGES),
        help="quant; rne: compile, sim and profile what that left; rne-sim-lib: the C library, "
        "built and run on the same picture; or all of them, one after the other.",
        default=ALL,
    )
    chip: str | None = like(shared.CHIP)
    out_dir: Path = like(
        shared.OUT_DIR,
        flags=("--save-dir",),
        help="Where all files go.",
        default=Path("demo-out"),
    )
