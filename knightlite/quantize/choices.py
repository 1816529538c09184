"""Words and defaults: what a user of the quantizer chooses from, and what an effort sets.

It is light: the options of the commands and of Python are made of it (``knightlite.options``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DEFAULT_METHOD = "mse"
AUTO_METHOD = "auto"  # the default method, and every tensor's own where that gains
DEFAULT_PERCENT = 0.99999  # Knight's
BIAS_CORRECTIONS = ("off", "fast", "sequential")
ROUNDINGS = ("nearest", "adaptive")
STRATEGIES = ("HAWQ", "IOhigh", "initial")  # of automatic mixes


@dataclass(frozen=True, slots=True)
class MixBudget:
    """Extra predicted cycles that 16 bits may cost, in percent or as their number.

    ``asked``: by the user. An effort's budget is left where the chip is not known or cannot keep
    it. ``enough_db``: no more is spent than takes the outputs' SQNR (as the search measures it,
    before other steps) there.
    """

    amount: float
    absolute: bool = False
    asked: bool = True
    enough_db: float = math.inf

    def limit(self, base: int) -> int:
        """Cycles that a network may take which takes ``base`` without the mix."""
        return base + math.floor(self.amount if self.absolute else base * self.amount / 100)


EFFORTS: Mapping[str, Mapping[str, Any]] = {
    "low": {"bias_correction": "fast", "equalize": False, "output_scales": False},
    "normal": {},
    "high": {
        "rounding": "adaptive",
        "range_choice": True,
        "sample": 128,
        "sample_macs": 1 << 43,
        "live_bytes": 320 << 20,
        "mix_budget": MixBudget(10.0, asked=False, enough_db=30.0),
    },
}
"""What each ``--effort`` sets, against the defaults of ``Settings``."""


def method_for(effort: str) -> str:
    """The method, or ``AUTO_METHOD``, of an effort whose user names none."""
    return AUTO_METHOD if EFFORTS[effort].get("range_choice") else DEFAULT_METHOD
