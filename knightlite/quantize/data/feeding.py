"""The network's side of an executor: what a script feeds, checked and cast, goes into a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.dtypes import DType
from knightlite.errors import DataError, KnightliteError
from knightlite.executor import NetworkInput
from knightlite.frames import with_frames
from knightlite.ir import Tensor
from knightlite.numerics import real_numbers
from knightlite.quantize.data.workload import Forward
from knightlite.script_loading import ForwardError

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


def say_nothing(sentence: str) -> None:
    """For callers that do not want a workload's remarks."""


def network_inputs(inputs: Sequence[Tensor]) -> tuple[NetworkInput, ...]:
    """The inputs as scripts see them."""
    return tuple(
        NetworkInput(item.name, item.shape, ONNX_TYPES[item.dtype.name]) for item in inputs
    )


class Feeder:
    """A model behind ``executor.forward``; ``forwards`` counts its calls.

    ``say`` gets a sentence about each kind of cast, once.
    """

    def __init__(self, inputs: tuple[Tensor, ...], forward: Forward, say: Say) -> None:
        self.forwards = 0
        self._inputs, self._forward, self._say = inputs, forward, say
        self._said: set[str] = set()

    def __call__(self, *arrays: Array) -> Sequence[Array]:
        """One array of numbers per input -> one per output, which may still be computed."""
        checked = [
            self._checked(array, tensor) for array, tensor in zip(arrays, self._inputs, strict=True)
        ]
        batches = {array.shape[0] for array in checked}
        if len(batches) != 1:
            raise DataError(
                "the arrays of executor.forward must have one batch size, not "
                f"{', '.join(str(count) for count in sorted(batches))}."
            )
        self.forwards += 1
        try:
            return self._forward(tuple(checked))
        except KnightliteError:
            raise
        except Exception as error:
            raise ForwardError from error

    def _checked(self, array: Array, tensor: Tensor) -> Array:
        """The array as the model takes it: shape [N, ...] and the input's type."""
        shape = tensor.shape[1:]
        frames = with_frames(array.shape, shape)
        if frames is None:
            raise DataError(
                f"input {tensor.name} must have shape ({', '.join(['N', *map(str, shape)])}), "
                f"not {array.shape}."
            )
        return self._cast(array, tensor).reshape(frames)

    def _cast(self, array: Array, tensor: Tensor) -> Array:
        wanted = tensor.dtype.numpy
        if array.dtype == wanted:
            return array
        if not _holds(array.dtype, tensor.dtype):
            sentence = (
                f"the script feeds {array.dtype} to input {tensor.name}; it is cast to {wanted}."
            )
            if sentence not in self._said:
                self._said.add(sentence)
                self._say(sentence)
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


def _holds(source: np.dtype[Any], target: DType) -> bool:
    """True where every value of ``source`` is kept by a cast: 8-bit pixels to float32."""
    return np.can_cast(source, target.numpy, casting="safe")
