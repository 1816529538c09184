"""What a network gave for the parts of a batch, as one array per tensor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import DataError

Array = NDArray[Any]


def join_parts(names: Iterable[str], parts: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """The values of ``names`` in all parts, along their first axis.

    Operators on the host may leave no axis that counts pictures: numbers are lined up. DataError
    where shapes depend on the values and do not fit.
    """
    return {name: _joined(name, [part[name] for part in parts]) for name in names}


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
