"""What an infer function of a user script gets, here or in another interpreter, and its call.

Whoever runs the network gives ``feed``; an infer function calls ``forward``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import DataError, KnightliteError, UsageError
from knightlite.frames import for_inputs
from knightlite.script_loading import (
    ForwardError,
    MissingAttributeError,
    script_errors,
    script_loaded,
)

Array = NDArray[Any]
Feed = Callable[..., Sequence[Array]]
"""One array per input -> one array per output, which may still be computed."""

# what Knight's manual and scripts know of an executor
OFFERED = (
    "iteration", "batch_size", "dataset", "save_dir", "run_mode", "user_defined_script", "gpu",
    "input_nodes", "input_types", "shape_dicts", "init_shape_info", "input_configs_dict",
    "output_node_list", "output_name_to_node_name", "early_stop_flag", "forward",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class NetworkInput:
    """An input as scripts see it: ``element`` is ONNX's number of its type, 1 for float32."""

    name: str
    shape: tuple[int, ...]
    element: int


@dataclass
class Executor:
    """What an infer function gets: Knight's attributes (facts: the public manual) and forward.

    ``input_types`` maps an input to its ONNX element type, ``shape_dicts`` to its shape; the
    latter is filled by :meth:`init_shape_info`, which scripts call themselves. ``gpu`` is the
    number of a device, which scripts compare with 0. ``declared_inputs``: names of all inputs,
    where nothing reads some. A script may keep attributes of its own here.
    """

    iteration: int
    batch_size: int
    dataset: str | None
    save_dir: str
    run_mode: str
    user_defined_script: str
    inputs: tuple[NetworkInput, ...]
    output_node_list: list[str]
    feed: Feed
    input_configs_dict: list[dict[str, Any]] = field(default_factory=list)
    gpu: int = -1  # none: the tool has no device
    declared_inputs: tuple[str, ...] = ()
    early_stop_flag: bool = False
    shape_dicts: dict[str, list[int]] = field(default_factory=dict)

    @property
    def input_nodes(self) -> list[str]:
        """Names of the network's inputs in order."""
        return [item.name for item in self.inputs]

    @property
    def input_types(self) -> dict[str, int]:
        """Input name -> ONNX element type (1 = float32)."""
        return {item.name: item.element for item in self.inputs}

    def __getattr__(self, name: str) -> Any:
        """Of what is not here: scripts may ask with hasattr; else it is said whose gap it is."""
        raise MissingAttributeError("executor", name, OFFERED)

    def init_shape_info(self) -> None:
        """Fill ``shape_dicts``: input name -> shape with this run's batch size."""
        self.shape_dicts.update(
            {item.name: [self.batch_size, *item.shape[1:]] for item in self.inputs}
        )

    def output_name_to_node_name(self) -> dict[str, str]:
        """Output name -> the name of the node that writes it (here the same)."""
        return {name: name for name in self.output_node_list}

    def forward(self, *arrays: Array) -> list[Array]:
        """Run the model on one array per input; a list with one array per output."""
        several = max(len(self.inputs), len(self.declared_inputs)) > 1
        if len(arrays) == 1 and several and isinstance(arrays[0], (list, tuple)):
            arrays = tuple(arrays[0])
        arrays = tuple(for_inputs(arrays, self.input_nodes, self.declared_inputs))
        if len(arrays) != len(self.inputs):
            names = ", ".join(self.input_nodes)
            raise DataError(
                f"executor.forward must get {len(self.inputs)} arrays ({names}), not {len(arrays)}."
            )
        fed = [_as_array(value, item.name) for value, item in zip(arrays, self.inputs, strict=True)]
        try:
            return list(self.feed(*fed))
        except (KnightliteError, ForwardError):
            raise
        except Exception as error:
            raise ForwardError from error


def _as_array(value: object, name: str) -> Array:
    """The value as a numpy array of numbers: a torch tensor converts itself."""
    if not isinstance(value, np.ndarray):
        if not hasattr(value, "__array__"):
            raise DataError(
                f"executor.forward must get a numpy array for input {name}, "
                f"not {type(value).__name__}."
            )
        value = np.asarray(value)
    if not np.issubdtype(value.dtype, np.number) and value.dtype != np.bool_:
        raise DataError(f"input {name} must hold numbers, not {value.dtype}.")
    return value


# ------------------------------------------------------------------ the call


def call_infer_function(script: Path, name: str, executor: Executor | None) -> float | None:
    """Load the script and call its registered function; the metric that it returns.

    ``executor`` None: the function is only looked up. DataError or UsageError with the script's
    file and line where it fails; what the script prints goes to stderr.
    """
    with script_loaded(script) as loaded:
        function = _find(script, loaded.infer_functions, name)
        if executor is None:
            return None
        with script_errors(script):
            returned = function(executor)
        return metric_of(returned, f"{script.name}: {name}")


def _find(
    script: Path, registered: Mapping[str, Callable[..., Any]], name: str
) -> Callable[..., Any]:
    if name in registered:
        return registered[name]
    known = ", ".join(sorted(registered))
    raise UsageError(
        f"{script} registers no infer function {name}.",
        f"it registers {known}; name one with -if"
        if known
        else f'put @onnx_infer_func.register("{name}") before the function',
    )


def metric_of(value: Any, where: str) -> float | None:
    """What an infer function returned as a number; DataError where it is neither that nor None."""
    if value is None:
        return None
    shape = tuple(getattr(value, "shape", ()))
    number = None
    if not shape and not isinstance(value, (str, bytes)):
        # numpy, torch and paddle scalars convert themselves
        with contextlib.suppress(TypeError, ValueError):
            number = float(value)
    if number is None:
        what = type(value).__name__ + (f" of shape {shape}" if shape else "")
        raise DataError(f"{where} must return one number or None, not {what}.")
    if not np.isfinite(number):
        raise DataError(f"{where} must return a finite number, not {number}.")
    return number
