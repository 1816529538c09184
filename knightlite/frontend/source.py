"""What the readers hand to the canonical form: an ONNX model with everything static resolved.

Shapes are static (batch 1), shape computations are evaluated, constants are arrays, Identity is
resolved, and nodes that no output needs are gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.dtypes import DType
from knightlite.errors import Finding
from knightlite.ir import State

Array = NDArray[Any]
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SourceNode:
    """One ONNX node. ``name`` is never empty; an absent optional input is ""."""

    name: str
    op_type: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """The operator's name, with its domain where that is not ONNX's own."""
        return f"{self.domain}.{self.op_type}" if self.domain else self.op_type

    @property
    def captured(self) -> tuple[str, ...]:
        """What the graphs in its attributes may read of the graph around them."""
        from onnx import GraphProto

        waiting = [value for value in self.attributes.values() if isinstance(value, GraphProto)]
        found: dict[str, None] = {}
        while waiting:
            graph = waiting.pop()
            found.update(dict.fromkeys(item.name for item in graph.output))
            for inner in graph.node:
                found.update(dict.fromkeys(inner.input))
                waiting += [item.g for item in inner.attribute if item.HasField("g")]
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Quantization:
    """Type and scale (float32; shape () or one per channel) of a quantized value."""

    dtype: DType
    scale: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SourceModel:
    """A resolved ONNX model.

    ``shapes`` and ``types`` (ONNX element types) lack the values that inference could not reach.
    ``aliases`` maps the output of a removed Identity to its source; ``folded`` counts removed
    nodes per operator type. ``quantized`` is filled by the QDQ reader only. ``uncomputed``: why
    nodes that read constants only were not computed, by name. ``warnings``: what the reader has to
    say. ``mixes_frames``: it takes several at once, and alone one gives something else.
    ``user_layers``: of what user-defined layers make, their number and what they read.
    ``picks_on_npu``: an ArgMax at its end is wanted on the NPU.
    ``states`` and ``sequences``: of a network of one step, as ``ir.Graph`` has them.
    """

    name: str
    opset: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[SourceNode, ...]
    constants: Mapping[str, Array]
    shapes: Mapping[str, Shape]
    types: Mapping[str, int]
    folded: Mapping[str, int] = field(default_factory=dict)
    quantized: Mapping[str, Quantization] = field(default_factory=dict)
    uncomputed: Mapping[str, Finding] = field(default_factory=dict)
    warnings: tuple[Finding, ...] = ()
    user_layers: Mapping[str, tuple[int, tuple[str, ...]]] = field(default_factory=dict)
    mixes_frames: bool = False
    picks_on_npu: bool = False
    states: tuple[State, ...] = ()
    sequences: Mapping[str, tuple[Shape, int]] = field(default_factory=dict)

    @property
    def read_inputs(self) -> tuple[str, ...]:
        """The inputs that a node, a graph in its attributes, or the model's user reads."""
        read = {name for node in self.nodes for name in (*node.inputs, *node.captured)}
        return tuple(name for name in self.inputs if name in read or name in self.outputs)
