"""From a Paddle or ONNX model to the bytes of an NPU, and a simulator that runs them.

    import knightlite

    quantized = knightlite.quantize("digits.pdmodel", data="calib", recipe="digits", iteration=100)
    compiled = knightlite.compile(quantized, chip="TX5368AV200")
    session = knightlite.Session(compiled)
    (scores,) = session.run(None, {"x": array})
    print(knightlite.profile(compiled).time_ms)

docs/python.md has the details. Importing this package loads nothing heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# The package that does the work has the function's name. It is loaded first (it is empty), because
# loading it later would put it in the function's place.
import_module("knightlite.quantize")

from knightlite.public import (  # noqa: E402  # see above
    Session,
    compare,
    compare_layers,
    compile,
    convert,
    diagnose,
    evaluate,
    infer,
    profile,
    quantize,
)
from knightlite.version import __version__  # noqa: E402  # see above

if TYPE_CHECKING:
    from knightlite.api.comparison import Comparison
    from knightlite.api.evaluation import EvaluationResult, ModelScore
    from knightlite.api.models import CompiledModel, QuantizedModel
    from knightlite.api.simulation import NodeArg
    from knightlite.diagnosis import Diagnosis
    from knightlite.errors import KnightliteError
    from knightlite.profiler import LayerProfile, Profile

__all__ = [
    "Comparison",
    "CompiledModel",
    "Diagnosis",
    "EvaluationResult",
    "KnightliteError",
    "LayerProfile",
    "ModelScore",
    "NodeArg",
    "Profile",
    "QuantizedModel",
    "Session",
    "__version__",
    "compare",
    "compare_layers",
    "compile",
    "convert",
    "diagnose",
    "evaluate",
    "infer",
    "profile",
    "quantize",
]

_HOMES = {
    "Comparison": "knightlite.api.comparison",
    "CompiledModel": "knightlite.api.models",
    "Diagnosis": "knightlite.diagnosis",
    "EvaluationResult": "knightlite.api.evaluation",
    "KnightliteError": "knightlite.errors",
    "LayerProfile": "knightlite.profiler",
    "ModelScore": "knightlite.api.evaluation",
    "NodeArg": "knightlite.api.simulation",
    "Profile": "knightlite.profiler",
    "QuantizedModel": "knightlite.api.models",
}


def __getattr__(name: str) -> Any:
    """The types of results and errors, loaded when they are asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
