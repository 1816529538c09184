"""What is decided about a feature tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.dtypes import DType
from knightlite.ir import Graph, Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Feature:
    """What is decided about one feature tensor. ``scale`` is float32, shape () or (C,)."""

    name: str
    dtype: DType
    scale: NDArray[np.float32]
    group: int
    method: str


def quantized_tensor(graph: Graph, feature: Feature) -> Tensor:
    """The graph's tensor with its integer type and scale."""
    scale: NDArray[Any] = feature.scale
    return Tensor(feature.name, graph.tensors[feature.name].shape, feature.dtype, scale)
