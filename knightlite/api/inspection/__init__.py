"""``inspect``, ``model_info``, ``show_sim_result``, ``npy2bin``: what a file holds."""

from knightlite.api.inspection.compiled_files import inspect_file
from knightlite.api.inspection.model_tensors import TensorInfo, model_info, quantization_notes
from knightlite.api.inspection.results import (
    npy_to_raw,
    result_facts,
    result_text,
    save_facts,
    simulated_results,
)

__all__ = [
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
