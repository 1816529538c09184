"""What the user asks, in one record that goes down to every choice: switches, widths, pins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.dtypes import DType
from knightlite.quantize.choices import (
    AUTO_METHOD,
    DEFAULT_METHOD,
    DEFAULT_PERCENT,
    EFFORTS,
    MixBudget,
)

OUTPUT_HEADROOM = 2.0  # 16 bits have one to spare: leave it to pictures not seen


@dataclass(frozen=True, slots=True)
class Widths:
    """What has 16 bits: ``wide`` feature tensors, and the weights of the nodes ``weights16``."""

    wide: frozenset[str] = field(default=frozenset())
    weights16: frozenset[str] = field(default=frozenset())


NARROW = Widths()


@dataclass(frozen=True, slots=True, eq=False)
class Pin:
    """Type and scale (float32, shape () or (C,)) of tensor ``name``, and who says so.

    ``integral``: an input that must be fed whole numbers of the type.
    """

    name: str
    dtype: DType
    scale: NDArray[np.float32]
    source: str
    integral: bool = False

    @classmethod
    def of_integers(cls, name: str, dtype: DType) -> Pin:
        """An input that is fed with integers: its scale is 1."""
        scale = np.asarray(1.0, np.float32)
        return cls(name, dtype, scale, f"-qid {dtype.numpy.name}", integral=True)


@dataclass(frozen=True, slots=True)
class Settings:
    """Switches of the quantizer.

    ``method``: how a range is chosen from a histogram, a key of ``ranges.METHODS``;
    ``percent``: the share of magnitudes inside the range of "percentile".
    ``bias_correction``: biases get what rounding the weights loses on an average input: "off",
    "fast" (from the means of the float network) or "sequential" (after that, layer by layer on what
    the quantized network computes). ``rounding`` of weights: "nearest", or "adaptive" to what the
    layer computes. ``sample``: pictures at most that sequential work sees; ``sample_macs``: their
    multiply-accumulates at most; ``live_bytes``: of their values in memory at once.
    ``bit_width``: 8 or 16. At 8, what only tables read (``wide_tables``), the end of the network
    (``wide_heads``) and what a convolution hands to a residual Add (``wide_middles``) have 16 all
    the same; ``mix`` is added to these, ``widths`` stands for all of them. ``spread_channels``:
    tables before depthwise convolutions write 16 bits, which are requantized per channel.
    ``lift_tables``: what a table gives is lifted to 0 where it dips below and readers can take that
    into their biases.
    ``tensor_methods``: (tensor, method) where it is not ``method``; ``range_factors``: (tensor,
    factor) by which the scale of the tensor's group is multiplied then. ``output_scales``: such
    factors are chosen by what the network's outputs keep, see
    :mod:`knightlite.quantize.steps.output_scales`. ``auto_mix``: (strategy, share
    of the convolutions that may have 16 bits), see :mod:`knightlite.quantize.mixed.auto_mix`;
    ``mix_budget``: what more may be wide by its cost, :mod:`knightlite.quantize.mixed.mix_budget`.
    ``pins``: types and scales that the user decides. ``lut_len``: tables of 16-bit tensors have
    2^lut_len intervals, 8 to 12; None: 10 or 11, see :mod:`knightlite.quantize.scales.table_fit`.
    ``output_headroom``: how far a 16-bit tensor reaches beyond the largest magnitude seen.
    ``range_choice``: of every scale group whose range is by ``method`` another method is taken
    where the operators that read it then err less, see
    :mod:`knightlite.quantize.steps.range_choice`.
    ``tuned_weights``: scales of small kernels are searched, see
    :mod:`knightlite.quantize.scales.weight_scales`.
    ``equalize``: channels that share a scale are brought to like ranges where that gains.
    """

    method: str = DEFAULT_METHOD
    bias_correction: str = "sequential"
    rounding: str = "nearest"
    sample: int = 64
    sample_macs: int = 24 << 30
    live_bytes: int = 128 << 20
    bit_width: int = 8
    wide_tables: bool = True
    wide_heads: bool = True
    wide_middles: bool = True
    spread_channels: bool = True
    lift_tables: bool = True
    widths: Widths | None = None
    mix: Widths = NARROW
    auto_mix: tuple[str, float] | None = None
    mix_budget: MixBudget | None = None
    tensor_methods: tuple[tuple[str, str], ...] = ()
    range_factors: tuple[tuple[str, float], ...] = ()
    percent: float = DEFAULT_PERCENT
    pins: tuple[Pin, ...] = ()
    lut_len: int | None = None
    equalize: bool = True
    tuned_weights: bool = True
    output_headroom: float = OUTPUT_HEADROOM
    range_choice: bool = False
    output_scales: bool = True


DEFAULT_SETTINGS = Settings()

NOTHING_BY_RULE: Mapping[str, bool] = {
    "wide_tables": False, "wide_heads": False, "wide_middles": False, "spread_channels": False,
}  # fmt: skip
"""The switches without which no tensor has 16 bits at 8 but what is asked for, or delivered."""


def settings_for(effort: str, **switches: Any) -> Settings:
    """The settings of an effort with single ``switches``; one that is None is the effort's."""
    given = {name: value for name, value in switches.items() if value is not None}
    return Settings(**{**EFFORTS[effort], **given})


def with_method(settings: Settings, method: str) -> Settings:
    """The settings with a method that the user names, which then serves every tensor, or "auto"."""
    if method == AUTO_METHOD:
        return replace(settings, method=DEFAULT_METHOD, range_choice=True)
    return replace(settings, method=method, range_choice=False)


def as_made(asked: str, without: str, kept: bool | None) -> str:
    """What reports say of a step: its word, or what the model has where it was not kept.

    ``kept`` None: it was not tried.
    """
    if kept:
        return asked
    return f"{without} ({asked} {'not tried' if kept is None else 'undone'})"


def as_asked(made: str) -> str:
    """The word that was asked for, of what :func:`as_made` says."""
    return made.rpartition("(")[2].removesuffix(" undone)").removesuffix(" not tried)")
