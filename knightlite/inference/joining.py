"""What a network gave for the parts of a batch, as one array per output."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import DataError

Array = NDArray[Any]


def join_parts(names: Iterable[str], parts: Sequence[Iterable[Array]]) -> dict[str, Array]:
    """The values of each output along its first axis; ``parts``: arrays in the order of ``names``.

    Operators on the host may leave no axis that counts pictures: numbers are lined up. DataError
    where shapes depend on the values and do not fit.
    """
    return {name: _joined(name, values) for name, *values in zip(names, *parts, strict=True)}


def _joined(name: str, values: Sequence[Array]) -> Array:
    first = values[0]
    if len(values) == 1:
        return first
    if any(item.ndim != first.ndim or item.shape[1:] != first.shape[1:] for item in values):
        shapes = " and ".join(map(str, dict.fromkeys(item.shape for item in values)))
        raise DataError(
            f"output {name} must have one shape in all pictures of a batch, not {shapes}.",
            "run one picture at a time",
        )
    return np.concatenate([np.atleast_1d(item) for item in values])
