"""A converted network beside Paddle itself: made-up inputs, and answers that must be alike.

paddle2onnx 2 drops or misreads what it does not know, and says nothing. Where Paddle is there to
ask, what it computes decides.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from knightlite.errors import ModelError

Array = NDArray[Any]

OPEN_EXTENT = 64  # of an axis behind the batch that the program leaves open
ALIKE_DB = 60.0  # two orders of the same sums in float32 are 90 dB and more apart
UNLIKE_SHARE = 0.01  # of whole numbers: ties and steps fall either way
REMEDY = (
    "save the model in the old format, which is converted exactly: `with "
    "paddle.pir_utils.DygraphOldIrGuard(): paddle.jit.save(...)`, or with Paddle 2 where Paddle 3 "
    "does not save it so"
)


def made_up(inputs: Mapping[str, tuple[str, tuple[int, ...]]]) -> dict[str, Array]:
    """Values for inputs of these NumPy types and shapes (-1: open), the same ones every time.

    Reals are from -1 to 1; whole numbers are 0 or 1, which any table of theirs holds.
    """
    rng = np.random.default_rng(0)
    found = {}
    for name, (kind, extents) in inputs.items():
        shape = [
            extent if extent > 0 else OPEN_EXTENT if axis else 1
            for axis, extent in enumerate(extents)
        ]
        dtype = np.dtype(kind)
        real = dtype.kind == "f"
        values = rng.uniform(-1, 1, shape) if real else rng.integers(0, 2, shape)
        found[name] = values.astype(dtype)
    return found


def hold_against(
    model: onnx.ModelProto, inputs: Mapping[str, Array], answers: Sequence[Array], where: Path
) -> None:
    """ModelError where the model gives other outputs for ``inputs`` than Paddle's ``answers``."""
    from knightlite.inference import session

    wanted = {item.name for item in model.graph.input}
    feeds = {name: values for name, values in inputs.items() if name in wanted}
    names = [item.name for item in model.graph.output]
    try:
        found = session(model, called=f"what it makes of {where}").run(None, feeds)
    except ModelError as error:
        said = error.sentence.rstrip(".")
        raise ModelError(f"paddle2onnx does not convert {where}: {said}.", REMEDY) from None
    for reason in _unlike(names, found, answers):
        raise ModelError(f"paddle2onnx does not convert {where} exactly: {reason}.", REMEDY)


def _unlike(
    names: Sequence[str], found: Sequence[Array], answers: Sequence[Array]
) -> Iterator[str]:
    """What is unlike about each output, as a clause."""
    if len(found) != len(answers):
        yield f"it has {len(found)} outputs, with Paddle {len(answers)}"
        return
    for name, ours, paddle in zip(names, found, answers, strict=True):
        if _extents(ours) != _extents(paddle):
            yield f"output {name} is {list(ours.shape)}, with Paddle {list(paddle.shape)}"
        elif paddle.dtype.kind != "f":
            share = float(np.mean(ours.ravel() != paddle.ravel())) if ours.size else 0.0
            if share > UNLIKE_SHARE:
                yield f"{share:.0%} of the values of output {name} differ from Paddle's"
        else:
            found_db = sqnr_db(paddle, ours)
            if found_db < ALIKE_DB:
                yield f"output {name} keeps {found_db:.0f} dB of what Paddle computes"


def _extents(values: Array) -> list[int]:
    """The sizes that are not 1: the converter is free in the rest."""
    return [size for size in values.shape if size != 1]


def sqnr_db(wanted: Array, found: Array) -> float:
    """How much of ``wanted`` is in ``found``, in dB; what is not finite must be the same."""
    a, b = (np.asarray(item, np.float64).ravel() for item in (wanted, found))
    finite = np.isfinite(a)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return -math.inf
    noise = float(np.sum(np.square(a[finite] - b[finite])))
    signal = float(np.sum(np.square(a[finite])))
    if noise == 0 or signal == 0:
        return math.inf if noise == 0 else -math.inf
    return 10 * math.log10(signal / noise) if math.isfinite(noise) else -math.inf
