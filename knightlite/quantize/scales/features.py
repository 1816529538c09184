"""What is decided about a feature tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.dtypes import DType
from knightlite.ir import Graph, Tensor


@dataclass(frozen=True, slots=True)
class Rule:
    """What decided a scale: the range method ``name``, or something else that is called so.

    ``per_channel``: the method chose a scale for every channel. ``factor``: by which its scale was
    then multiplied, because the network's outputs keep more so.
    """

    name: str
    is_method: bool = False
    per_channel: bool = False
    factor: float = 1.0

    @property
    def text(self) -> str:
        """As reports say it."""
        moved = "" if self.factor == 1 else f" x {self.factor:.2f}"
        return f"{self.name} per channel{moved}" if self.per_channel else f"{self.name}{moved}"


BY_DEFINITION = Rule("by definition")
LARGEST = Rule("absmax")
LARGEST_WITH_HEADROOM = Rule("absmax with headroom")


@dataclass(frozen=True, slots=True, eq=False)
class Feature:
    """What is decided about one feature tensor. ``scale`` is float32, shape () or (C,)."""

    name: str
    dtype: DType
    scale: NDArray[np.float32]
    group: int
    rule: Rule


def quantized_tensor(graph: Graph, feature: Feature) -> Tensor:
    """The graph's tensor with its integer type and scale."""
    scale: NDArray[Any] = feature.scale
    return Tensor(feature.name, graph.tensors[feature.name].shape, feature.dtype, scale)
