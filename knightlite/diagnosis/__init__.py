"""Where a quantized network loses accuracy, why, and what helps: measured, not guessed."""

from knightlite.diagnosis import page
from knightlite.diagnosis.judge import Score
from knightlite.diagnosis.measured import MeasuredWorkload
from knightlite.diagnosis.remedies import Remedy
from knightlite.diagnosis.run import Diagnosis, Finding, LayerQuality, diagnose, is_lossy

__all__ = [
    "Diagnosis",
    "Finding",
    "LayerQuality",
    "MeasuredWorkload",
    "Remedy",
    "Score",
    "diagnose",
    "is_lossy",
    "page",
]
