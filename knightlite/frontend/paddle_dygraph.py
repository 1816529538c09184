"""A Paddle model function of a user script and a ``.pdparams`` -> ONNX bytes.

Paddle itself saves the layer as ``.pdmodel``; from there the way is that of :mod:`frontend.paddle`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from knightlite.errors import KnightliteError, UnsupportedError
from knightlite.frontend import interpreter, model_functions, paddle
from knightlite.frontend.interpreter import Conversion, Home
from knightlite.frontend.static_shapes import InputShapes
from knightlite.leftovers import scratch_folder

SUFFIX = ".pdparams"
HOME = Home(
    "paddlepaddle",
    "--paddle-python",
    "KNIGHTLITE_PADDLE_PYTHON",
    "pip install paddlepaddle==3.3.1",
)


def convert(
    model: Path,
    weight: Path | None,
    input_shapes: InputShapes | None,
    conversion: Conversion,
    names: Sequence[str] = (),
) -> paddle.Converted:
    """The converted layer of a script; ``model`` is its function's name, or a .pdparams.

    ``names`` as for :func:`knightlite.frontend.paddle.convert`.

    A ``.pdparams`` as the model takes the function of its name, or the only one of the script.
    """
    is_weight = model.suffix.lower() == SUFFIX
    if is_weight and weight is None:
        weight = model
    script = model_functions.script_of(conversion, str(model), "paddle")
    model_functions.require_weight(weight)
    here = importlib.util.find_spec("paddle") is not None
    python = interpreter.find(
        HOME, conversion.paddle_python, here, f"Building {model}", conversion.script_python
    )
    with scratch_folder() as folder:
        saved = Path(folder, "model")
        request = {
            "script": str(script),
            "function": None if is_weight else str(model),
            "weight": None if weight is None else str(weight),
            "input_shapes": model_functions.shapes_as_json(input_shapes),
            "output": str(saved),
        }
        answer = interpreter.run(python, "paddle_model", request, f"building {model}")
        if answer.values is None:
            raise UnsupportedError(
                f"{python} cannot save {model} of {script}: {answer.reason}.",
                "does the script run by itself there?",
            )
        try:
            return paddle.convert(saved.with_suffix(".pdmodel"), None, names)
        except KnightliteError as error:  # the user knows no such file
            sentence = error.sentence.replace(str(saved.with_suffix(".pdmodel")), str(model))
            raise type(error)(sentence, error.hint, error.findings) from error
