"""One function per stage. The command line parses, calls these and prints; nothing else decides."""

from knightlite.api.check import CheckResult, check
from knightlite.api.compile import CompileResult, compile_model
from knightlite.api.inspection import inspect_file
from knightlite.api.profile import ProfileResult, profile_program
from knightlite.api.quantize import QuantizeOptions, QuantizeOutcome, quantize
from knightlite.api.simulate import SimulateOptions, SimulateResult, simulate

__all__ = [
    "CheckResult",
    "CompileResult",
    "ProfileResult",
    "QuantizeOptions",
    "QuantizeOutcome",
    "SimulateOptions",
    "SimulateResult",
    "check",
    "compile_model",
    "inspect_file",
    "profile_program",
    "quantize",
    "simulate",
]
