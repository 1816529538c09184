"""One function per stage. The command line parses, calls these and prints; nothing else decides."""

from knightlite.api.check import CheckResult, check
from knightlite.api.compile import CompileResult, compile_model, explain
from knightlite.api.evaluation.models import (
    EvaluateOptions,
    EvaluationResult,
    ModelScore,
    default_workers,
    evaluate_models,
    merge_states,
)
from knightlite.api.inspection import Inspection, inspect_file
from knightlite.api.profile import ProfileResult, profile_program
from knightlite.api.quantization.quantize import QuantizeOutcome, quantize
from knightlite.api.simulation.simulate import SimulateOptions, SimulateResult, simulate
from knightlite.options.quantize import QuantizeOptions

__all__ = [
    "CheckResult",
    "CompileResult",
    "EvaluateOptions",
    "EvaluationResult",
    "Inspection",
    "ModelScore",
    "ProfileResult",
    "QuantizeOptions",
    "QuantizeOutcome",
    "SimulateOptions",
    "SimulateResult",
    "check",
    "compile_model",
    "default_workers",
    "evaluate_models",
    "explain",
    "inspect_file",
    "merge_states",
    "profile_program",
    "quantize",
    "simulate",
]
