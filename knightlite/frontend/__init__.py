"""Models of other tools -> the canonical graph. Functions: load, load_quantized, survey."""

from knightlite.frontend.interpreter import Conversion
from knightlite.frontend.model_files import builds_model, load, load_quantized
from knightlite.frontend.static_shapes import OpenShapeError
from knightlite.frontend.survey import Survey, survey

__all__ = [
    "Conversion",
    "OpenShapeError",
    "Survey",
    "builds_model",
    "load",
    "load_quantized",
    "survey",
]
