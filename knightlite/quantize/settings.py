"""What the user asks of the quantizer, in one record that goes down to every choice."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """Switches of the quantizer.

    ``method``: how a range is chosen from a histogram, a key of ``ranges.METHODS``.
    ``bias_correction``: biases get what rounding the weights loses on an average input.
    """

    method: str = "mse"
    bias_correction: bool = True


DEFAULT_SETTINGS = Settings()
