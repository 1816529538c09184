"""Run a Knight user script (``-uds FILE -if FUNCTION``) unmodified.

A script registers functions through ``onnx_quantize_tool.common.register``; that package exists
only while a script is loaded and run. An infer function gets an executor, feeds batches to its
``forward`` and returns a metric. Each run loads the script afresh and seeds the random generators,
so every run sees the same data.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.dtypes import DType
from knightlite.errors import DataError, KnightliteError, UsageError
from knightlite.frames import are_frames, for_inputs
from knightlite.ir import Tensor
from knightlite.numerics import real_numbers
from knightlite.quantize.data.workload import Forward
from knightlite.script_loading import (
    ForwardError,
    Loaded,
    MissingAttributeError,
    script_errors,
    script_loaded,
)

Array = NDArray[Any]
Say = Callable[[str], None]

ONNX_FLOAT, ONNX_UINT8, ONNX_INT8, ONNX_INT16, ONNX_INT32 = 1, 2, 3, 5, 6
ONNX_TYPES = {
    "f32": ONNX_FLOAT,
    "u8": ONNX_UINT8,
    "s8": ONNX_INT8,
    "s16": ONNX_INT16,
    "s32": ONNX_INT32,
}


# what Knight's manual and scripts know of an executor
OFFERED = (
    "iteration", "batch_size", "dataset", "save_dir", "run_mode", "user_defined_script", "gpu",
    "input_nodes", "input_types", "shape_dicts", "init_shape_info", "input_configs_dict",
    "output_node_list", "output_name_to_node_name", "early_stop_flag", "forward",
)  # fmt: skip


def say_nothing(sentence: str) -> None:
    """For callers that do not want a workload's remarks."""


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
    inputs: tuple[Tensor, ...]
    output_node_list: list[str]
    forward_function: Forward
    say: Say
    gpu: int = -1  # none: the tool has no device
    input_configs_dict: list[dict[str, Any]] = field(default_factory=list)
    declared_inputs: tuple[str, ...] = ()
    early_stop_flag: bool = False
    shape_dicts: dict[str, list[int]] = field(default_factory=dict)
    forwards: int = 0
    said: set[str] = field(default_factory=set)

    @property
    def input_nodes(self) -> list[str]:
        """Names of the network's inputs in order."""
        return [tensor.name for tensor in self.inputs]

    @property
    def input_types(self) -> dict[str, int]:
        """Input name -> ONNX element type (1 = float32)."""
        return {tensor.name: ONNX_TYPES[tensor.dtype.name] for tensor in self.inputs}

    def __getattr__(self, name: str) -> Any:
        """Of what is not here: scripts may ask with hasattr; else it is said whose gap it is."""
        raise MissingAttributeError("executor", name, OFFERED)

    def init_shape_info(self) -> None:
        """Fill ``shape_dicts``: input name -> shape with this run's batch size."""
        self.shape_dicts.update(
            {tensor.name: [self.batch_size, *tensor.shape[1:]] for tensor in self.inputs}
        )

    def output_name_to_node_name(self) -> dict[str, str]:
        """Output name -> the name of the node that writes it (here the same)."""
        return {name: name for name in self.output_node_list}

    def forward(self, *arrays: Array) -> list[Array]:
        """Run the model on one array per input; a list with one array per output."""
        try:
            return list(self.feed(*arrays))
        except (KnightliteError, ForwardError):
            raise
        except Exception as error:
            raise ForwardError from error

    def feed(self, *arrays: Array) -> Sequence[Array]:
        """As ``forward``, but without waiting for the outputs before they are looked at."""
        several = max(len(self.inputs), len(self.declared_inputs)) > 1
        if len(arrays) == 1 and several and isinstance(arrays[0], (list, tuple)):
            arrays = tuple(arrays[0])
        arrays = tuple(for_inputs(arrays, self.input_nodes, self.declared_inputs))
        if len(arrays) != len(self.inputs):
            names = ", ".join(self.input_nodes)
            raise DataError(
                f"executor.forward must get {len(self.inputs)} arrays ({names}), not {len(arrays)}."
            )
        checked = [
            self._checked(array, tensor) for array, tensor in zip(arrays, self.inputs, strict=True)
        ]
        batches = {array.shape[0] for array in checked}
        if len(batches) != 1:
            raise DataError(
                "the arrays of executor.forward must have one batch size, not "
                f"{', '.join(str(count) for count in sorted(batches))}."
            )
        self.forwards += 1
        try:
            return self.forward_function(tuple(checked))
        except KnightliteError:
            raise
        except Exception as error:
            raise ForwardError from error

    def _checked(self, value: object, tensor: Tensor) -> Array:
        """The array as the model takes it: shape [N, ...] and the input's type."""
        array = _as_array(value)
        if array is None:
            raise DataError(
                f"executor.forward must get a numpy array for input {tensor.name}, "
                f"not {type(value).__name__}."
            )
        shape = tensor.shape[1:]
        if not are_frames(array.shape, shape):
            raise DataError(
                f"input {tensor.name} must have shape ({', '.join(['N', *map(str, shape)])}), "
                f"not {array.shape}."
            )
        return self._cast(array, tensor).reshape(array.shape[0], *shape)

    def _cast(self, array: Array, tensor: Tensor) -> Array:
        wanted = tensor.dtype.numpy
        if array.dtype == wanted:
            return array
        if not np.issubdtype(array.dtype, np.number) and array.dtype != np.bool_:
            raise DataError(f"input {tensor.name} must hold numbers, not {array.dtype}.")
        if not _holds(array.dtype, tensor.dtype):
            sentence = (
                f"the script feeds {array.dtype} to input {tensor.name}; it is cast to {wanted}."
            )
            if sentence not in self.said:
                self.said.add(sentence)
                self.say(sentence)
        cast = _converted(array, tensor)
        if not tensor.dtype.is_float and not np.array_equal(cast, array):
            raise DataError(
                f"input {tensor.name} takes {wanted}, but the script feeds {array.dtype} from "
                f"{array.min():.4g} to {array.max():.4g} that it cannot hold.",
                "feed raw pixels; --mean and --std normalize them inside the network",
            )
        return cast


def _converted(array: Array, tensor: Tensor) -> Array:
    if not tensor.dtype.is_float or array.dtype.kind != "f":
        return array.astype(tensor.dtype.numpy)
    try:
        return real_numbers(array)
    except ValueError as error:
        raise DataError(f"input {tensor.name} does not fit: {error}.") from None


def _as_array(value: object) -> Array | None:
    """The value as a numpy array; None where it is none (a torch tensor converts itself)."""
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "__array__"):
        return np.asarray(value)
    return None


def _holds(source: np.dtype[Any], target: DType) -> bool:
    """True where every value of ``source`` is kept by a cast: 8-bit pixels to float32."""
    return np.can_cast(source, target.numpy, casting="safe")


@dataclass(frozen=True, slots=True)
class UserScript:
    """A Knight user script as a workload.

    ``function`` is the registered infer function (``-if``), ``dataset`` what the script reads
    (``-d``), ``inputs`` and ``outputs`` are the network's; ``say`` gets remarks, one sentence each.
    ``input_configs``: entries of a run-config file, for scripts that read them;
    ``declared_inputs``: as ``Executor`` has them.
    """

    script: Path
    function: str
    dataset: str | None
    iteration: int
    batch_size: int
    save_dir: Path
    run_mode: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[str, ...] = ()
    say: Say = say_nothing
    input_configs: tuple[Mapping[str, Any], ...] = ()
    declared_inputs: tuple[str, ...] = ()

    @property
    def description(self) -> str:
        """Script and function."""
        return f"user script {self.script.name}:{self.function}"

    @property
    def forwards(self) -> int:
        """How many forward calls the script is asked for."""
        return self.iteration

    def check(self) -> None:
        """Load the script and look the function up, before any long work is begun."""
        with script_loaded(self.script) as loaded:
            self._function(loaded)

    def run(self, forward: Forward) -> float | None:
        """Call the infer function with an executor around ``forward``; the metric it returns.

        DataError or UsageError with the script's file and line where it fails; what the script
        prints goes to stderr.
        """
        with script_loaded(self.script) as loaded:
            function = self._function(loaded)
            executor = Executor(
                iteration=self.iteration,
                batch_size=self.batch_size,
                dataset=self.dataset,
                save_dir=str(self.save_dir),
                run_mode=self.run_mode,
                user_defined_script=str(self.script),
                inputs=self.inputs,
                output_node_list=list(self.outputs),
                forward_function=forward,
                say=self.say,
                input_configs_dict=[dict(item) for item in self.input_configs],
                declared_inputs=self.declared_inputs,
            )
            with script_errors(self.script):
                returned = function(executor)
            metric = metric_of(returned, f"{self.script.name}: {self.function}")
        if executor.forwards == 0:
            raise DataError(
                f"{self.script.name}: {self.function} never called executor.forward.",
                f"does {self.dataset} hold data?" if self.dataset else "name its data with -d DIR",
            )
        if executor.forwards < self.iteration:
            self.say(
                f"the script ended after {executor.forwards} of {self.iteration} forward calls."
            )
        return metric

    def _function(self, loaded: Loaded) -> Callable[..., Any]:
        if self.function in loaded.infer_functions:
            return loaded.infer_functions[self.function]
        known = ", ".join(sorted(loaded.infer_functions))
        raise UsageError(
            f"{self.script} registers no infer function {self.function}.",
            f"it registers {known}; name one with -if"
            if known
            else f'put @onnx_infer_func.register("{self.function}") before the function',
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
