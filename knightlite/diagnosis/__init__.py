"""Where a quantized network loses accuracy, why, and what helps: measured, not guessed."""

from knightlite.diagnosis import page
from knightlite.diagnosis.causes import DATA_RANGE
from knightlite.diagnosis.findings import Diagnosis, Finding, LayerQuality, is_lossy, metric_told
from knightlite.diagnosis.judge import Score
from knightlite.diagnosis.measured import MeasuredWorkload
from knightlite.diagnosis.remedies import Remedy
from knightlite.diagnosis.run import diagnose

__all__ = [
    "DATA_RANGE",
    "Diagnosis",
    "Finding",
    "LayerQuality",
    "MeasuredWorkload",
    "Remedy",
    "Score",
    "diagnose",
    "is_lossy",
    "metric_told",
    "page",
]
