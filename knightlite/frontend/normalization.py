"""``(x - mean) / std`` of a network input becomes part of the network, which then reads pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from knightlite import dtypes
from knightlite.errors import UsageError
from knightlite.frontend.simplify import simplify
from knightlite.ir import Graph, Node, Tensor, verify

SUFFIX = ".normalized"


def require_normalization(
    name: str, channels: int, mean: Sequence[float], std: Sequence[float]
) -> None:
    """UsageError where the numbers do not fit the channels of input ``name``."""
    for what, values in (("mean", mean), ("std", std)):
        if len(values) not in (1, channels):
            raise UsageError(
                f"--{what} must be one number or {channels} for the channels of input {name}, "
                f"not {len(values)}."
            )
        if not np.all(np.isfinite(values)):
            raise UsageError(f"--{what} must be finite numbers, not {list(values)}.")
    if min(std) <= 0:
        raise UsageError(f"--std must be above 0, not {min(std)}.")


def normalize_input(graph: Graph, name: str, mean: Sequence[float], std: Sequence[float]) -> Graph:
    """The float graph with ``(x - mean) / std`` behind input ``name``.

    ``mean`` and ``std`` [C], or one number for all channels. Where no reader of the input reads
    padding, this vanishes into the readers' weights and biases, exactly. A convolution with padding
    reads zeros of the *normalized* picture, which are pixels of value ``mean``: there the affine
    stays, as the prologue of the convolution, behind which zeros are padded. UsageError where the
    numbers do not fit the channels.
    """
    tensor = graph.tensors[name]
    channels = tensor.shape[1]
    require_normalization(name, channels, mean, std)
    gain = 1 / np.broadcast_to(np.asarray(std, np.float64), (channels,))
    offset = -np.broadcast_to(np.asarray(mean, np.float64), (channels,)) * gain

    def free(hint: str) -> str:
        while hint in graph.tensors or hint in graph.constants:
            hint += "'"
        return hint

    inner = free(f"{name}{SUFFIX}")
    constants = {
        free(f"{inner}.gain"): gain.astype(np.float32),
        free(f"{inner}.offset"): offset.astype(np.float32),
    }

    def renamed(names: Sequence[str]) -> tuple[str, ...]:
        return tuple(inner if item == name else item for item in names)

    affine = Node(inner, "Affine", (name, *constants), (inner,))
    readers = [replace(node, inputs=renamed(node.inputs)) for node in graph.nodes]
    wider = replace(
        graph,
        nodes=(affine, *readers),
        outputs=renamed(graph.outputs),
        host=tuple(replace(item, inputs=renamed(item.inputs)) for item in graph.host),
    )
    wider = wider.with_constants(constants).with_tensors(
        [
            Tensor(inner, tensor.shape, tensor.dtype),
            *(Tensor(key, values.shape, dtypes.F32) for key, values in constants.items()),
        ]
    )
    made = simplify(wider)
    verify(made)
    return made
