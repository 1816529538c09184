"""Models of other tools -> the canonical graph. Functions: load, load_quantized, survey."""

from knightlite.frontend.model_files import load, load_quantized
from knightlite.frontend.survey import Survey, survey

__all__ = ["Survey", "load", "load_quantized", "survey"]
