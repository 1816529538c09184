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

# what `signal` is made of: importing that takes milliseconds, in which a Ctrl-C is a traceback
import _signal  # type: ignore[import-not-found]  # typeshed has it not
import sys
from importlib import import_module
from itertools import pairwise

from knightlite.version import __version__

_interruptible = _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler
if _interruptible and ("-m", __name__) in pairwise(sys.orig_argv):
    # python -m knightlite: a Ctrl-C before the program answers it ends the process, without the
    # traceback of an import; __main__ gives it back
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)

TYPE_CHECKING = False  # of typing, which takes its time

# The package that does the work has the function's name. It is loaded first (it is empty), because
# loading it later would put it in the function's place.
import_module("knightlite.quantize")
globals().pop("quantize", None)

if TYPE_CHECKING:
    from knightlite.api.comparison import Comparison
    from knightlite.api.evaluation import EvaluationResult, ModelScore
    from knightlite.api.exploration import Exploration
    from knightlite.api.models import CompiledModel, QuantizedModel
    from knightlite.api.residents import ScratchpadUse
    from knightlite.api.simulation import NodeArg
    from knightlite.diagnosis import Diagnosis
    from knightlite.errors import KnightliteError
    from knightlite.profiler import LayerProfile, Profile
    from knightlite.public import (
        Session,
        compare,
        compare_layers,
        compile,
        convert,
        diagnose,
        evaluate,
        explore,
        infer,
        profile,
        quantize,
        side_by_side,
    )

__all__ = [
    "Comparison",
    "CompiledModel",
    "Diagnosis",
    "EvaluationResult",
    "Exploration",
    "KnightliteError",
    "LayerProfile",
    "ModelScore",
    "NodeArg",
    "Profile",
    "QuantizedModel",
    "ScratchpadUse",
    "Session",
    "__version__",
    "compare",
    "compare_layers",
    "compile",
    "convert",
    "diagnose",
    "evaluate",
    "explore",
    "infer",
    "profile",
    "quantize",
    "side_by_side",
]

_HOMES = {
    "Comparison": "knightlite.api.comparison",
    "CompiledModel": "knightlite.api.models",
    "Diagnosis": "knightlite.diagnosis",
    "EvaluationResult": "knightlite.api.evaluation",
    "Exploration": "knightlite.api.exploration",
    "KnightliteError": "knightlite.errors",
    "LayerProfile": "knightlite.profiler",
    "ModelScore": "knightlite.api.evaluation",
    "NodeArg": "knightlite.api.simulation",
    "Profile": "knightlite.profiler",
    "QuantizedModel": "knightlite.api.models",
    "ScratchpadUse": "knightlite.api.residents",
}  # the others are of knightlite.public


def __getattr__(name: str) -> object:
    """What the package offers, loaded when it is asked for.

    The command line loads this package before it can answer a Ctrl-C: it must not take long.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES.get(name, "knightlite.public")), name)
    if name == "quantize":  # and what is imported of the package is found behind either
        package = vars(sys.modules["knightlite.quantize"])
        package.update(vars(value))
        value.__dict__ = package
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
