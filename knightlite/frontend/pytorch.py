"""A PyTorch model function of a user script -> ONNX bytes."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from knightlite.errors import UnsupportedError, UsageError
from knightlite.frontend import interpreter, model_functions
from knightlite.frontend.interpreter import EXPORTERS, Conversion, Home
from knightlite.frontend.static_shapes import InputShapes
from knightlite.leftovers import scratch_folder

HOME = Home(
    "torch, numpy and onnx (and onnxscript for its newer exporter)",
    "--torch-python",
    "KNIGHTLITE_TORCH_PYTHON",
    "pip install 'torch>=2.13' numpy onnx onnxscript",
)


def to_onnx(
    function: str,
    weight: Path | None,
    input_shapes: InputShapes | None,
    conversion: Conversion,
    names: Sequence[str] = (),
) -> bytes:
    """ONNX bytes of the module that ``function`` of the script builds, static with batch 1.

    ``names``: tensors that will be asked for, which may be called by the numbers of torch's trace.

    Errors: UsageError, DataError and ModelError of script and weights, UnsupportedError where
    neither exporter can do it.
    """
    exporter = conversion.torch_exporter
    if exporter not in EXPORTERS:
        raise UsageError(
            f"The exporter of torch must be one of {', '.join(EXPORTERS)}, not {exporter}."
        )
    script = model_functions.script_of(conversion, function, "pytorch")
    model_functions.require_weight(weight)
    here = importlib.util.find_spec("torch") is not None
    python = interpreter.find(
        HOME, conversion.torch_python, here, f"Exporting {function}", conversion.script_python
    )
    with scratch_folder() as folder:
        output = Path(folder, "model.onnx")
        request = {
            "script": str(script),
            "function": function,
            "weight": None if weight is None else str(weight),
            "input_shapes": model_functions.shapes_as_json(input_shapes),
            "exporter": exporter,
            "names": list(names),
            "trusted": conversion.trusted,
            "output": str(output),
        }
        answer = interpreter.run(
            python, "pytorch", request, f"exporting {function}", conversion.trusted
        )
        if answer.values is None:
            raise UnsupportedError(
                f"{python} cannot export {function} of {script}: {answer.reason}.",
                "does the script run by itself there?",
            )
        for note in answer.values["notes"]:
            conversion.talk.warn(note)
        return output.read_bytes()
