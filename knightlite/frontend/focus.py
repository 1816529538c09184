"""Focus: pixels of b x b blocks stacked as channels, then a convolution, as one convolution.

::

    x -> Slice [dy::b, dx::b] of every (dy, dx) -> Concat -> Conv k, stride s, pads p
    x -> SpaceToDepth b -> Conv k, stride s, pads p
    x -> Conv b*k, stride b*s, pads b*p

YOLOv5 and YOLOX begin like this. The new kernel holds the old weights at other places, and zeros
where a pixel of the block is not stacked: the sums have the same terms, so the fold is exact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from knightlite import dtypes
from knightlite.frontend.instruction_sizes import LONGEST
from knightlite.ir import Graph, Node, Tensor
from knightlite.ops import BY_NAME, View, Window, concat, depth_to_space
from knightlite.ops import slice as cutting

Array = NDArray[Any]


class _Stack(NamedTuple):
    """What is stacked: the tensor, the block, and for every channel (dy, dx, channel of x)."""

    source: str
    block: int
    channels: list[tuple[int, int, int]]


def fold_focus(graph: Graph) -> Graph:
    """The graph with every stack that only one convolution reads folded into that convolution."""
    producers = graph.producers()
    readers = Counter(name for node in graph.nodes for name in node.inputs)
    readers.update(graph.chip_outputs)
    nodes: list[Node] = []
    for node in graph.nodes:
        top = producers.get(node.inputs[0]) if node.op == "Conv" else None
        stack = None
        if top is not None and readers[top.output] == 1 and _is_float(graph, top.output):
            stack = _stack(graph, producers, top)
        if stack is not None and _folds(View(graph, node), stack.block):
            kernel = _kernel(graph, View(graph, node), stack)
            node = _folded(node, stack)
            weight = Tensor(node.inputs[1], kernel.shape, dtypes.from_numpy(kernel.dtype))
            graph = graph.with_tensors([weight]).with_constants({weight.name: kernel})
        nodes.append(node)
    return graph.with_nodes(_needed(nodes, set(graph.chip_outputs)))


def _needed(nodes: list[Node], read: set[str]) -> list[Node]:
    """The nodes without those that rearrange values for nobody."""
    kept: list[Node] = []
    for node in reversed(nodes):
        if node.output in read or not BY_NAME[node.op].rearranges:
            kept.append(node)
            read.update(node.inputs)
    return kept[::-1]


def _is_float(graph: Graph, name: str) -> bool:
    return graph.tensors[name].scale is None


def _stack(graph: Graph, producers: Mapping[str, Node], top: Node) -> _Stack | None:
    """What ``top`` stacks, or None."""
    view = View(graph, top)
    if top.op == "SpaceToDepth":
        depth, block = view.tensor(0).shape[1], view.integer("block")
        cells = [(dy, dx) for dy in range(block) for dx in range(block)]
        if depth_to_space.mode_of(view) == "DCR":
            channels = [(dy, dx, channel) for dy, dx in cells for channel in range(depth)]
        else:
            channels = [(dy, dx, channel) for channel in range(depth) for dy, dx in cells]
        return _Stack(top.inputs[0], block, channels)
    if top.op != "Concat" or concat.axis_of(view) != 1:
        return None
    parts = [_cell(graph, producers, name) for name in top.inputs]
    found = [part for part in parts if part is not None]
    if len(found) < len(parts) or len({(source, block) for source, block, _ in found}) != 1:
        return None
    source, block, _ = found[0]
    depth = graph.tensors[source].shape[1]
    return _Stack(
        source, block, [(*cell, channel) for _, _, cell in found for channel in range(depth)]
    )


def _cell(
    graph: Graph, producers: Mapping[str, Node], name: str
) -> tuple[str, int, tuple[int, int]] | None:
    """(source, block, (dy, dx)) where Slices make ``name`` of one pixel of every block."""
    window, source = Window(), name
    while (node := producers.get(source)) is not None and node.op == "Slice":
        if not _is_float(graph, source):
            return None
        window = window.within(cutting.window(View(graph, node)))
        source = node.inputs[0]
    block = window.row_step
    _, depth, height, width = graph.tensors[source].shape
    whole = (1, depth, height // block, width // block)
    if (
        block < 2
        or window.column_step != block
        or window.channel
        or max(window.row, window.column) >= block
        or height % block
        or width % block
        or graph.tensors[name].shape != whole
    ):
        return None
    return source, block, (window.row, window.column)


def _folds(view: View, block: int) -> bool:
    """A plain float convolution whose new kernel, strides and pads an instruction can say."""
    kernel = view.constant(1).shape[2:]
    sizes = (*kernel, *view.integers("strides"), *view.integers("pads"))
    return (
        view.tensor(1).dtype.is_float
        and view.integer("group") == 1
        and view.integers("dilations") == (1, 1)
        and max(sizes) * block <= LONGEST
    )


def _folded(node: Node, stack: _Stack) -> Node:
    scaled = {
        name: tuple(stack.block * int(item) for item in values)
        for name in ("strides", "pads")
        if isinstance(values := node.attributes[name], tuple)
    }
    inputs = (stack.source, f"{node.output}.{node.inputs[1]}", *node.inputs[2:])
    return replace(node, inputs=inputs, attributes={**node.attributes, **scaled})


def _kernel(graph: Graph, view: View, stack: _Stack) -> Array:
    """The old weights at the pixels of their blocks."""
    weights, block = view.constant(1), stack.block
    outputs, _, high, wide = weights.shape
    depth = graph.tensors[stack.source].shape[1]
    kernel = np.zeros((outputs, depth, high * block, wide * block), weights.dtype)
    for index, (dy, dx, channel) in enumerate(stack.channels):
        kernel[:, channel, dy::block, dx::block] += weights[:, index]
    return kernel
