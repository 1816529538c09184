"""What the user asks of the quantizer, in one record that goes down to every choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Settings:
    """Switches of the quantizer.

    ``method``: how a range is chosen from a histogram, a key of ``ranges.METHODS``.
    ``bias_correction``: biases get what rounding the weights loses on an average input: "off",
    "fast" (from the means of the float network) or "sequential" (after that, layer by layer on what
    the quantized network computes). ``rounding`` of weights: "nearest", or "adaptive" to what the
    layer computes. ``sample``: pictures at most that sequential work sees; ``sample_macs``: their
    multiply-accumulates at most; ``live_bytes``: of their values in memory at once.
    """

    method: str = "mse"
    bias_correction: str = "sequential"
    rounding: str = "nearest"
    sample: int = 64
    sample_macs: int = 24 << 30
    live_bytes: int = 200 << 20


BIAS_CORRECTIONS = ("off", "fast", "sequential")
ROUNDINGS = ("nearest", "adaptive")

EFFORTS: Mapping[str, Mapping[str, Any]] = {
    "low": {"bias_correction": "fast"},
    "normal": {},
    "high": {
        "rounding": "adaptive",
        "sample": 128,
        "sample_macs": 1 << 43,
        "live_bytes": 600 << 20,
    },
}
"""What each ``--effort`` sets, against the defaults of ``Settings``."""

DEFAULT_SETTINGS = Settings()


def settings_for(effort: str, **switches: Any) -> Settings:
    """The settings of an effort with single ``switches``; one that is None is the effort's."""
    given = {name: value for name, value in switches.items() if value is not None}
    return Settings(**{**EFFORTS[effort], **given})
