"""``inspect``, ``model_info``, ``model_modifier``, ``show_sim_result``, ``npy2bin``: files."""

from knightlite.api.inspection.compiled_files import inspect_file
from knightlite.api.inspection.model_tensors import (
    TensorInfo,
    model_info,
    quantization_notes,
)
from knightlite.api.inspection.results import (
    npy_to_raw,
    result_facts,
    result_text,
    save_array,
    save_facts,
    simulated_results,
    text_form,
)
from knightlite.api.inspection.submodel import cut_out

__all__ = [
    "TensorInfo",
    "cut_out",
    "inspect_file",
    "model_info",
    "npy_to_raw",
    "quantization_notes",
    "result_facts",
    "result_text",
    "save_array",
    "save_facts",
    "simulated_results",
    "text_form",
]
