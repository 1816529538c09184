"""What the files that a stage leaves of a network are called: the one place that knows.

``quant`` names its files after the network, ``compile`` after the quantized model, ``profile``
after the ``.cfg``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

# by key, as the manifest has them; {} is the name
QUANT_FILES: Mapping[str, str] = {
    "onnx": "{}_quantize.onnx",
    "report": "{}_quantize_report.json",
    "float_onnx": "{}.onnx",
    "scales": "{}_scales.json",
    "mix_template": "{}.json",
}
CHANGED_FLOAT = "{}_float.onnx"  # where X.onnx is the model that was quantized, and not this one
COMPILE_FILES: Mapping[str, str] = {
    "cfg": "{}_r.cfg",
    "weight": "{}_r.weight",
    "tsmodel": "{}_r.tsmodel",
    "golden": "{}_golden.onnx",
    "known_input": "{}_known_input.bin",
    "known_output": "{}_known_output.bin",
    "map": "{}_r.map.txt",
    "search": "{}_r.search.json",
}
PROFILE_FILES: Mapping[str, str] = {
    "text": "layer_cycles_NPU_0.txt",  # Knight's name
    "json": "{}.profile.json",
    "trace": "{}.pftrace",
}
SAMPLES = "inputs"  # folder of the sample that quant leaves


def sibling(path: Path, own: str, other: str) -> Path | None:
    """The file of another kind of the same network; None where ``path`` is not called as its own.

    ``own`` and ``other`` are patterns: for ``X_r.cfg``, ``COMPILE_FILES["cfg"]`` and another one.
    """
    end = own.removeprefix("{}")
    if not path.name.endswith(end):
        return None
    return path.with_name(other.format(path.name.removesuffix(end)))


def weights_beside(cfg: Path) -> Path:
    """The ``.weight`` that belongs to a ``.cfg``: the file of its name, whatever that is."""
    return cfg.with_suffix(".weight")
