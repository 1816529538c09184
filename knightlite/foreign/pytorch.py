"""A PyTorch module that a user script builds, exported to ONNX.

Request: ``script``, ``function`` (null: the script's only one), ``weight`` (.pth or null),
``input_shapes``, ``exporter`` (auto, torchscript or dynamo), ``names`` (tensors that will be asked
for), ``trusted`` (the weights may hold pickled objects), ``output``. Values: ``exporter`` that
was used, and ``notes``, sentences to be said. Everything is exported static with batch 1: no shape
computations are left in the graph, and the importer wants one picture anyway. Outputs that the
function does not name keep the numbers that the older exporter gives them, as Knight's have.
"""

from __future__ import annotations

import copy
import importlib.util
import inspect
import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from knightlite.errors import DataError, ModelError, UnsupportedError, UsageError
from knightlite.foreign import model_function, value_names
from knightlite.foreign.forward_call import ForwardCall, forward_call
from knightlite.foreign.model_function import Built
from knightlite.script_loading import (
    SEED,
    is_untrusted,
    script_errors,
    script_loaded,
    untrusted,
)

OPSETS = {"torchscript": 17, "dynamo": 18}  # the newest of the one, the native one of the other
AUTO = ("torchscript", "dynamo")  # the older exporter is faster and leaves a plainer graph
STATES = ("state_dict", "model")  # keys under which checkpoints keep the weights


class ExportError(Exception):
    """Why an exporter cannot export a model, on one line."""


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Build, load, try, export. A sentence with the script's line where it fails."""
    try:
        import torch
    except ImportError as error:
        raise UsageError(
            f"torch of {sys.executable} cannot be imported: {_line(error)}.",
            f"{sys.executable} -m pip install --force-reinstall torch",
        ) from error
    script, weight = Path(request["script"]), request["weight"]
    torch.manual_seed(SEED)
    with script_loaded(script) as loaded:
        built = model_function.build(
            script, loaded, loaded.pytorch_functions, request["function"], weight, "pytorch_model"
        )
        if not isinstance(built.model, torch.nn.Module):
            kind = type(built.model).__name__
            raise DataError(f"{built.where} must return a torch.nn.Module, not {kind}.")
        if weight and not built.loaded:
            _load(torch, built, weight, request["trusted"])
        built.model.eval()
        call = forward_call(built)
        names = built.input_names or call.names
        examples = _examples(torch, built, names, request["input_shapes"])
        positional, named = call.arguments(examples)
        tried = _copied(built.model)
        with script_errors(script), torch.no_grad():
            outputs = tried(*positional, **named)
        del tried
        exporter = _Exporter(
            torch,
            _bound(call),
            examples,
            names[: len(examples)],
            _output_names(torch, built, outputs),
        )
        used, note = exporter.run(built.where, request["exporter"], request["output"])
    taken = ""
    if request["names"]:
        taken = value_names.put_back(
            request["output"], request["names"], exporter.noted, built.where
        )
    return {"exporter": used, "notes": [text for text in (call.note, note, taken) if text]}


# ------------------------------------------------------------------ weights


def _load(torch: Any, built: Built, weight: str, trusted: bool) -> None:
    """Load a state dict, alone or inside a checkpoint; every key must be on both sides.

    A ``trusted`` checkpoint may hold the module itself.
    """
    try:
        state = torch.load(weight, map_location="cpu", weights_only=not trusted)
    except (
        OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError,
        AttributeError, ImportError,
    ) as error:  # fmt: skip
        if is_untrusted(error):
            raise untrusted(weight) from error
        raise ModelError(
            f"{weight} is no state dict of torch.save or is damaged: {_line(error)}.",
            "copy it again, or load it in the function, which gets its path as weight_path",
        ) from error
    for key in STATES:
        kept = state.get(key) if isinstance(state, dict) else None
        state = kept if isinstance(kept, (dict, torch.nn.Module)) else state
    if isinstance(state, torch.nn.Module):
        state = state.float().state_dict()
    if not isinstance(state, dict):
        raise ModelError(f"{weight} must hold a state dict, not {type(state).__name__}.")
    own = built.model.state_dict()
    missing, unexpected = sorted(set(own) - set(state)), sorted(set(state) - set(own))
    if missing or unexpected:
        raise model_function.misfit(built.where, weight, missing, unexpected)
    try:
        built.model.load_state_dict(state)
    except RuntimeError as error:  # a shape
        raise ModelError(
            f"{weight} does not fit the model of {built.where}: {_line(error)}."
        ) from error


# ------------------------------------------------------------------ inputs and outputs


def _examples(torch: Any, built: Built, names: Sequence[str], asked: Any) -> tuple[Any, ...]:
    """One tensor of batch 1 per input: of ``-is``, else the function's own."""
    shapes = model_function.wanted_shapes(asked, names, len(built.inputs or ()))
    inputs = model_function.require_inputs(built, shapes, "torch.randn(1, 3, 224, 224)")
    if len(shapes) > len(inputs):
        raise UsageError(
            f"{built.where} has {len(inputs)} inputs, but {len(shapes)} shapes were given."
        )
    examples = [
        _example(torch, built, given, shapes[index], index) for index, given in enumerate(inputs)
    ]
    batches = {item.shape[0] for item in examples if item.dim()}
    if len(batches) == 1:  # a common first axis is the batch
        return tuple(item[:1] for item in examples)
    return tuple(examples)


def _example(torch: Any, built: Built, given: Any, shape: Any, index: int) -> Any:
    known = shape is not None or torch.is_tensor(given) or model_function.is_shape(given)
    if not known:
        raise DataError(
            f"{built.where} must give a tensor or a shape for input {index + 1}, "
            f"not {type(given).__name__}."
        )
    if torch.is_tensor(given) and shape is None:
        return given
    dtype = given.dtype if torch.is_tensor(given) else torch.float32
    sizes = model_function.static_shape(shape or given, built.where)
    return torch.rand(sizes).to(dtype)


def _copied(model: Any) -> Any:
    """A copy to try; the model itself where it has none.

    What a first run leaves in a module, as YOLO's grids, would move the numbers of all tensors.
    """
    try:
        return copy.deepcopy(model)
    except Exception:  # whatever a module of the user's raises
        return model


def _bound(call: ForwardCall) -> Any:
    """The model with its concrete arguments set.

    The module itself, not one around it, and as it is where they are its defaults: anything else
    would move the numbers of all tensors.
    """
    model = call.built.model
    if not call.is_plain:
        forward = model.forward

        def bound(*inputs: Any) -> Any:
            positional, named = call.arguments(inputs)
            return forward(*positional, **named)

        model.forward = bound
    return model


def _output_names(torch: Any, built: Built, outputs: Any) -> dict[str, list[str]]:
    """By exporter what it is to call the outputs; none: as it does by itself."""
    count = sum(1 for item in _leaves(outputs) if torch.is_tensor(item))
    if len(built.output_names) == count:
        return {exporter: list(built.output_names) for exporter in AUTO}
    counted = ["output"] if count == 1 else [f"output_{index}" for index in range(count)]
    return {"torchscript": [], "dynamo": counted}


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        return [leaf for item in value for leaf in _leaves(item)]
    return [value]


# ------------------------------------------------------------------ export


class _Exporter:
    """Both exporters of the installed torch around one model."""

    def __init__(
        self, torch: Any, model: Any, inputs: tuple[Any, ...], names: Sequence[str],
        outputs: Mapping[str, list[str]],
    ) -> None:  # fmt: skip
        self.torch = torch
        self.model = model
        self.inputs = inputs
        full = len(names) == len(inputs)
        self.names = list(names) if full else [f"x{index or ''}" for index in range(len(inputs))]
        self.outputs = outputs
        self.noted: dict[str, str] = {}

    def run(self, where: str, asked: str, output: str) -> tuple[str, str]:
        """The exporter that did it, and what to say of one that did not."""
        reasons: list[str] = []
        for exporter in AUTO if asked == "auto" else (asked,):
            try:
                self._export(exporter, output)
            except ExportError as error:
                reasons.append(f"{exporter}: {error}")
                continue
            if not reasons:
                return exporter, ""
            return exporter, (
                f"torch's exporter {reasons[0]} ({where}); the exporter {exporter} is taken."
            )
        raise UnsupportedError(
            f"torch {self.torch.__version__} cannot export {where} ({'; '.join(reasons)}).",
            "replace what it names, or export the model elsewhere and pass the .onnx",
        )

    def _export(self, exporter: str, output: str) -> None:
        known = inspect.signature(self.torch.onnx.export).parameters
        options: dict[str, Any] = {
            "opset_version": OPSETS[exporter],
            "input_names": self.names,
            "output_names": self.outputs[exporter] or None,
        }
        if exporter == "dynamo":
            if "dynamo" not in known or "external_data" not in known:
                raise ExportError("this torch does not have it; 2.6 and later do")
            if importlib.util.find_spec("onnxscript") is None:
                raise ExportError("it needs the package onnxscript, which is not installed")
            options |= {"dynamo": True, "external_data": False}
        elif "dynamo" in known:
            options["dynamo"] = False
        self._call(self.torch.onnx.export, output, options)

    def _call(self, export: Callable[..., Any], output: str, options: dict[str, Any]) -> None:
        try:
            with self.torch.no_grad(), value_names.numbers_noted(self.torch) as self.noted:
                export(self.model, self.inputs, output, **options)
        except Exception as error:  # each exporter has dozens of kinds
            raise ExportError(_line(error)) from error
        if not Path(output).exists():
            raise ExportError("it wrote no file")


def _line(error: BaseException) -> str:
    """The root of an error as one line: exporters wrap it in pages of advice."""
    root = error
    while root.__cause__ is not None:
        root = root.__cause__
    lines = [line.strip() for line in str(root).splitlines() if line.strip()]
    text = lines[0].rstrip(".:") if lines else type(root).__name__
    return text if len(text) <= 200 else text[:199] + "…"
