"""Arrays that a Python program gives as data, as batches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from knightlite.errors import UsageError
from knightlite.quantize.data import as_batches, count_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from knightlite.quantize.data import Batch

Data: TypeAlias = (
    "str | Path | NDArray[np.floating[Any]] | Mapping[str, NDArray[Any]] | Iterable[Batch]"
)
"""What may stand for the data of a run: a folder, arrays, or batches of them."""


def batches_of(
    data: Any, batch_size: int, asked: Sequence[int | None]
) -> tuple[Iterable[Batch], tuple[int, ...]]:
    """Arrays as batches that can be read twice, and the number of forward calls for each asked.

    Asked None: all batches of the data.
    """
    if batch_size < 1:
        raise UsageError(f"the batch size must be at least 1, not {batch_size}.")
    if not isinstance(data, (np.ndarray, Mapping, Iterable)):
        raise UsageError(
            f"data must be a folder, an array or an iterable of arrays, not {type(data).__name__}."
        )
    found = as_batches(data, batch_size)
    return found, tuple(count_of(found, count) for count in asked)
