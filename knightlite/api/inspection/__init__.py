"""What a file holds: a compiled network, a model's inputs and outputs, results of ``sim``."""

from knightlite.api.inspection.compiled_files import Inspection, inspect_file
from knightlite.api.inspection.knight_files import (
    TensorInfo,
    model_info,
    npy_to_raw,
    quantization_notes,
    result_facts,
    result_text,
    save_facts,
    simulated_results,
)

__all__ = [
    "Inspection",
    "TensorInfo",
    "inspect_file",
    "model_info",
    "npy_to_raw",
    "quantization_notes",
    "result_facts",
    "result_text",
    "save_facts",
    "simulated_results",
]
