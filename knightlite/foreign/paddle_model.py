"""A Paddle layer that a user script builds, saved as ``.pdmodel`` and ``.pdiparams``.

Request: ``script``, ``function`` (null: the script's only one), ``weight`` (.pdparams or null),
``input_shapes``, ``output`` (path without suffix). One process per model: PaddleClas's layers have
parameter names that may exist once.
"""

from __future__ import annotations

import contextlib
import pickle
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from knightlite.errors import DataError, ModelError, UsageError
from knightlite.foreign import model_function
from knightlite.foreign.model_function import Built
from knightlite.script_loading import SEED, script_errors, script_loaded

NAMES_KEY = "StructuredToParameterName@@"  # a table in older files, not a weight


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Build, load, save. UsageError or DataError with the script's line where it fails."""
    try:
        import paddle
    except ImportError as error:
        raise UsageError(
            f"{sys.executable} has no paddlepaddle.",
            f"{sys.executable} -m pip install paddlepaddle",
        ) from error
    script, weight = Path(request["script"]), request["weight"]
    paddle.seed(SEED)
    with script_loaded(script) as loaded:
        built = model_function.build(
            script, loaded, loaded.paddle_functions, request["function"], weight, "paddle_model"
        )
        if not isinstance(built.model, paddle.nn.Layer):
            kind = type(built.model).__name__
            raise DataError(f"{built.where} must return a paddle.nn.Layer, not {kind}.")
        if weight and not built.loaded:
            _load(paddle, built, weight)
        built.model.eval()  # BatchNorm and Dropout would be saved in training form
        specifications = _specifications(paddle, built, request["input_shapes"])
        # paddle 2 has no other format, and no guard
        pir = getattr(paddle, "pir_utils", None)
        guard = pir.DygraphOldIrGuard() if pir else contextlib.nullcontext()
        with script_errors(script), guard:
            paddle.jit.save(built.model, request["output"], input_spec=specifications)
    return {}


def _load(paddle: Any, built: Built, weight: str) -> None:
    """Put the weights into the layer; every key must be on both sides, with its shape."""
    try:
        state = paddle.load(weight)
    except (
        OSError, ValueError, KeyError, EOFError, RuntimeError, pickle.UnpicklingError, struct.error,
        AttributeError, ImportError, IndexError, TypeError,
    ) as error:  # fmt: skip
        text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise ModelError(
            f"{weight} is not a .pdparams file or is damaged: {text}.",
            "copy it again, or save it again with paddle.save(layer.state_dict(), path)",
        ) from error
    if not isinstance(state, dict):
        raise ModelError(f"{weight} must hold a dict of weights, not {type(state).__name__}.")
    state.pop(NAMES_KEY, None)
    own = built.model.state_dict()
    missing, unexpected = sorted(set(own) - set(state)), sorted(set(state) - set(own))
    if missing or unexpected:
        raise model_function.misfit(built.where, weight, missing, unexpected)
    for name, value in state.items():
        shape, wanted = list(getattr(value, "shape", ())), list(own[name].shape)
        if shape != wanted:
            raise ModelError(
                f"{weight} does not fit the model of {built.where}: {name} must have shape "
                f"{wanted}, not {shape}."
            )
    built.model.set_state_dict(state)


def _specifications(paddle: Any, built: Built, asked: Any) -> list[Any]:
    shapes = model_function.wanted_shapes(asked, built.input_names, len(built.inputs or ()))
    example = "paddle.static.InputSpec([None, 3, 224, 224], 'float32', 'x')"
    inputs = model_function.require_inputs(built, shapes, example)
    if len(shapes) > len(inputs):
        raise UsageError(
            f"{built.where} has {len(inputs)} inputs, but {len(shapes)} shapes were given."
        )
    return [
        _specification(paddle, built, given, shapes[index], index)
        for index, given in enumerate(inputs)
    ]


def _specification(paddle: Any, built: Built, given: Any, shape: Any, index: int) -> Any:
    """An InputSpec with a dynamic batch: of ``-is``, else of an InputSpec, a tensor or a shape."""
    if (given is None and shape is not None) or model_function.is_shape(given):
        name, dtype, own = None, "float32", given
    elif hasattr(given, "shape") and hasattr(given, "dtype"):
        name, dtype, own = getattr(given, "name", None), given.dtype, list(given.shape)
        if isinstance(given, paddle.Tensor):  # its name is a counter
            name = None
    else:
        raise DataError(
            f"{built.where} must give an InputSpec, a tensor or a shape for input {index + 1}, "
            f"not {type(given).__name__}."
        )
    if index < len(built.input_names):
        name = built.input_names[index]
    sizes: Sequence[int] = model_function.static_shape(shape or own, built.where)
    return paddle.static.InputSpec([None, *sizes[1:]], dtype, name or f"x{index or ''}")
