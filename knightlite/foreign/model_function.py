"""Call the function of a user script that builds a model, and read what it returns.

Knight's forms: ``{"model": m, "inputs": [...]}`` with optional ``concrete_args``,
``dynamic_axes_inputs`` and ``dynamic_axes_outputs``, and ``(m, ["batch_size", 3, 224, 224])`` of
1.x. A bare model is taken as well, where ``-is`` says its input shapes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knightlite.errors import DataError, ModelError, UsageError, open_shapes_hint
from knightlite.script_loading import Loaded, script_errors

CONCRETE = "concrete_args"  # the key of arguments of forward that are set for good
DEFAULT = "build"  # a plain function of this name stands for the only registered one


@dataclass(frozen=True, slots=True)
class Built:
    """A model as its function returned it.

    ``inputs``: examples or shapes, None where the function gives none. ``input_names`` and
    ``output_names`` are empty where it names none. ``loaded``: it took the weight file itself.
    ``concrete_at``: as ``where``, with the line at which its concrete arguments stand.
    """

    where: str  # script and function, for sentences
    model: Any
    inputs: tuple[Any, ...] | None
    concrete: Mapping[str, Any]
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    loaded: bool
    concrete_at: str = ""


def build(
    script: Path,
    loaded: Loaded,
    registered: Mapping[str, Callable[..., Any]],
    name: str | None,
    weight: str | None,
    decorator: str,
) -> Built:
    """Call the model function ``name`` (None: the script's only one).

    A function with a parameter gets the weight file's path and loads it itself.
    """
    name, function = _find(script, loaded, registered, name, decorator)
    place = _weight_parameter(function)
    with script_errors(script):
        if place is None:
            returned = function()
        elif place:
            returned = function(**{place: weight})
        else:
            returned = function(weight)
    line = _line_of(CONCRETE, function)
    concrete_at = f"{script.name}:{line}: {name}" if line else f"{script.name}: {name}"
    return _read(f"{script.name}: {name}", returned, place is not None, concrete_at)


def _line_of(text: str, function: Callable[..., Any]) -> int | None:
    """The line of the script at which the text first stands in the function, else its first."""
    try:
        lines, first = inspect.getsourcelines(function)
    except (OSError, TypeError):  # made by exec, or no plain function
        return None
    return next((first + at for at, line in enumerate(lines) if text in line), first)


def _find(
    script: Path,
    loaded: Loaded,
    registered: Mapping[str, Callable[..., Any]],
    name: str | None,
    decorator: str,
) -> tuple[str, Callable[..., Any]]:
    if name is None:
        if len(registered) == 1:
            return next(iter(registered.items()))
        name = DEFAULT
    if name in registered:
        return name, registered[name]
    plain = getattr(loaded.module, name, None)
    if inspect.isfunction(plain):
        return name, plain
    known = ", ".join(sorted(registered))
    raise UsageError(
        f"{script} registers no model function {name}.",
        f"it registers {known}; name one with -m"
        if known
        else f'put @{decorator}.register("{name}") before the function that builds the model',
    )


def _weight_parameter(function: Callable[..., Any]) -> str | None:
    """How the weight path is passed: by name, "" for by position, None for not at all."""
    parameters = list(inspect.signature(function).parameters.values())
    if any(item.name == "weight_path" or item.kind == item.VAR_KEYWORD for item in parameters):
        return "weight_path"
    return "" if parameters else None


def _read(where: str, returned: Any, loaded: bool, concrete_at: str) -> Built:
    if isinstance(returned, Mapping):
        if "model" not in returned:
            keys = ", ".join(map(str, returned)) or "nothing"
            raise DataError(f'{where} must return a dict with "model" and "inputs", not {keys}.')
        return Built(
            where,
            returned["model"],
            _inputs(returned.get("inputs")),
            _concrete(concrete_at, returned.get(CONCRETE)),
            tuple(returned.get("dynamic_axes_inputs") or ()),
            tuple(returned.get("dynamic_axes_outputs") or ()),
            loaded,
            concrete_at,
        )
    if isinstance(returned, (tuple, list)) and len(returned) == 2:
        return Built(where, returned[0], _inputs(returned[1]), {}, (), (), loaded)
    return Built(where, returned, None, {}, (), (), loaded)


def _concrete(concrete_at: str, value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise DataError(
            f"{concrete_at} must give {CONCRETE} as a dict by names of forward's arguments, "
            f"not {type(value).__name__}."
        )
    return dict(value)


def _inputs(value: Any) -> tuple[Any, ...] | None:
    """One entry per input; a single example or shape stands for one input."""
    if value is None:
        return None
    if is_shape(value) or not isinstance(value, (tuple, list)):
        return (value,)
    return tuple(value)


def is_shape(value: Any) -> bool:
    """True for ["batch_size", 3, 224, 224]: sizes, or names (None, -1) of dynamic ones."""
    return (
        isinstance(value, (tuple, list))
        and any(isinstance(item, int) for item in value[1:])
        and all(item is None or isinstance(item, (int, str)) for item in value)
    )


def static_shape(shape: Sequence[Any], where: str) -> list[int]:
    """The shape with batch 1 for a dynamic batch; any other size must be a number."""
    sizes = [1 if axis == 0 and not _is_size(size) else size for axis, size in enumerate(shape)]
    if not all(_is_size(size) for size in sizes):
        raise UsageError(
            f"{where} has an input of the dynamic shape {list(shape)}, but only the batch may be "
            "dynamic.",
            open_shapes_hint([sizes]),
        )
    return [int(size) for size in sizes]


def _is_size(size: Any) -> bool:
    return isinstance(size, int) and size > 0


def wanted_shapes(asked: Any, names: Sequence[str], count: int | None) -> list[Any]:
    """The shapes of ``-is`` (a list, or a dict by input name) per input; None where not given."""
    if not asked:
        return [None] * (count or 0)
    if isinstance(asked, dict):
        return [asked.get(name) for name in (names or asked)]
    missing = max(0, (count or 0) - len(asked))
    return [*asked, *[None] * missing]


def require_inputs(built: Built, shapes: Sequence[Any], example: str) -> tuple[Any, ...]:
    """The function's inputs, or None for each shape of ``-is``; UsageError without both."""
    if built.inputs is not None:
        return built.inputs
    if not shapes:
        raise UsageError(
            f"{built.where} does not say the shape of its inputs.",
            f'return {{"model": ..., "inputs": [{example}]}}, or give -is 1 3 224 224',
        )
    return (None,) * len(shapes)


def misfit(
    where: str, weight: str, missing: Sequence[str], unexpected: Sequence[str]
) -> ModelError:
    """The error for a weight file whose keys are not the model's."""
    parts = []
    if missing:
        parts.append(f"it lacks {_listed(missing)}")
    if unexpected:
        parts.append(f"the model does not have its {_listed(unexpected)}")
    return ModelError(
        f"{weight} does not fit the model of {where}: {'; '.join(parts)}.",
        "give the weights of this very model, or load them in the function, which gets their path "
        "as weight_path",
    )


def _listed(keys: Sequence[str], most: int = 6) -> str:
    shown = ", ".join(sorted(keys)[:most])
    return shown if len(keys) <= most else f"{shown} and {len(keys) - most} more keys"
