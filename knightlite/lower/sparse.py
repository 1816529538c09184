"""Convolutions without their blocks of zeros (``--sparse``).

A block is as many input and output channels of one tap as the array multiplies in a cycle. Tiles
that have blocks of nothing but zeros are stored without them, and computed by ``SparseMatrix``;
others stay as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.chip import Chip
from knightlite.ir import Graph, Node
from knightlite.ir.graph import flatten_chains
from knightlite.isa import Block, Instruction, Matrix, SparseMatrix, blocks_of, largest, whole_words
from knightlite.lower.work import Range, Tile, Work, span
from knightlite.ops import BY_NAME, View, weighted

MARK = "zero_blocks"  # attribute of a node: input and output channels of a block, and the pattern
PATTERN_BYTES = 6
LARGEST_COUNT = largest(SparseMatrix, "blocks")


@dataclass(frozen=True, slots=True)
class Stored:
    """How a tile's weights lie in WSPM: which blocks do, in order, and bytes with their mask."""

    mask: NDArray[np.bool_]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class SparseLayer:
    """A convolution that may be stored without blocks. ``block``: input and output channels."""

    view: View
    block: tuple[int, int]

    @property
    def weights(self) -> NDArray[Any]:
        """[output channels, input channels, rows, columns]."""
        return weighted.weights(self.view)

    def counts(self) -> tuple[int, int]:
        """Blocks of zeros, and all, of the layer as a whole."""
        outputs, inputs = self.weights.shape[:2]
        mask = self._mask((0, outputs), (0, inputs))
        return int((~mask).sum()), mask.size

    def pattern(self) -> int:
        """A number of the places of its zeros: layers alike but for these are not alike."""
        digest = hashlib.sha256((self.weights != 0).tobytes()).digest()
        return int.from_bytes(digest[:PATTERN_BYTES], "little")

    def stored(self, outs: Range, ins: Range) -> Stored | None:
        """Of a tile; None where it has no block of zeros, or is no smaller without."""
        mask = self._mask(outs, ins)
        count = int(mask.sum())
        if count == mask.size or count > LARGEST_COUNT:
            return None
        if not count:
            mask[0] = True  # an instruction multiplies by one block at least
        size = self.weights.dtype.itemsize
        found = whole_words(-(-mask.size // 8)) + sum(
            block.size_bytes(size)
            for block, there in zip(self._blocks(outs, ins), mask, strict=True)
            if there
        )
        dense = self._taps() * span(ins) * whole_words(span(outs) * size)
        return Stored(mask, found) if found <= dense else None

    def data(self, outs: Range, ins: Range, mask: NDArray[np.bool_]) -> bytes:
        """The mask and the blocks of a tile."""
        rows = self._rows(outs, ins)
        size = rows.dtype.itemsize
        bits = np.packbits(mask, bitorder="little").tobytes()
        found = bytearray(bits + bytes(whole_words(len(bits)) - len(bits)))
        for block, there in zip(self._blocks(outs, ins), mask, strict=True):
            if there:
                part = rows[block.tap, slice(*block.inputs), slice(*block.outputs)]
                padded = np.zeros((part.shape[0], block.row_bytes(size) // size), rows.dtype)
                padded[:, : part.shape[1]] = part
                found += padded.tobytes()
        return bytes(found)

    def _taps(self) -> int:
        return int(np.prod(self.weights.shape[2:]))

    def _rows(self, outs: Range, ins: Range) -> NDArray[Any]:
        """[taps, input channels, output channels] of a tile."""
        part = self.weights[slice(*outs), slice(*ins)]
        return part.transpose(2, 3, 1, 0).reshape(self._taps(), span(ins), span(outs))

    def _blocks(self, outs: Range, ins: Range) -> Iterator[Block]:
        return blocks_of(self._taps(), (span(ins), span(outs)), self.block)

    def _mask(self, outs: Range, ins: Range) -> NDArray[np.bool_]:
        there: NDArray[Any] = self._rows(outs, ins) != 0
        for axis, step in zip((1, 2), self.block, strict=True):
            starts = np.arange(0, there.shape[axis], step)
            there = np.asarray(np.logical_or.reduceat(there, starts, axis=axis))
        return there.reshape(-1)


def without_zero_blocks(graph: Graph, chip: Chip) -> tuple[Graph, list[tuple[str, str]]]:
    """The graph with a mark on every convolution that has blocks of zeros.

    And for every node that multiplies by weights what becomes of its blocks of zeros, by name.
    """
    told: list[tuple[str, str]] = []

    def marked(node: Node) -> Node:
        if BY_NAME[node.op].kernel is None:
            return node
        layer = _layer_of(View(graph, node), chip)
        if isinstance(layer, str):
            told.append((node.name, f"keeps its blocks of zeros: {layer}"))
            return node
        zeros, total = layer.counts()
        block = f"blocks of {layer.block[0]} x {layer.block[1]} channels"
        if not zeros:
            told.append((node.name, f"has no zeros to skip: none of its {total} {block} is zero"))
            return node
        told.append((node.name, f"skips {zeros} of {total} {block}, which are zero"))
        return replace(node, attributes={**node.attributes, MARK: (*layer.block, layer.pattern())})

    nodes = [
        replace(node, parts=tuple(map(marked, node.parts))) if node.parts else marked(node)
        for node in graph.nodes
    ]
    return graph.with_nodes(nodes), told


def skips_zeros(graph: Graph) -> bool:
    """Whether any convolution is marked."""
    return any(MARK in part.attributes for part in flatten_chains(graph.nodes))


def _layer_of(view: View, chip: Chip) -> SparseLayer | str:
    """The layer without blocks of zeros, or why it keeps them."""
    if view.node.op != "Conv":
        return f"a {view.node.op} is done phase by phase"
    if weighted.is_depthwise(view) or view.integer("group") > 1:
        return "its channels are grouped"
    inputs = weighted.weights(view).shape[1]
    if inputs <= chip.matrix_packed_channels:
        return f"its {inputs} input channels share lanes with other taps"
    wide = max(view.tensor(0).dtype.bits, 8 * weighted.weights(view).dtype.itemsize) > 8
    lanes = chip.wide_matrix_output_lanes if wide else chip.matrix_output_lanes
    return SparseLayer(view, (chip.matrix_input_lanes, lanes))


def sparse_work(graph: Graph, node: Node, work: Work) -> Work:
    """The work of a layer: where it is marked, with tiles that lack their blocks of zeros."""
    part = next((part for part in flatten_chains([node]) if MARK in part.attributes), None)
    if part is None:
        return work
    mark = part.attributes[MARK]
    assert isinstance(mark, tuple)
    layer = SparseLayer(View(graph, part), (int(mark[0]), int(mark[1])))
    known: dict[tuple[Range, Range], Stored | None] = {}

    def stored(outs: Range, ins: Range) -> Stored | None:
        if (outs, ins) not in known:
            known[outs, ins] = layer.stored(outs, ins)
        return known[outs, ins]

    def compute(tile: Tile) -> tuple[Instruction, ...]:
        found = stored(tile.outs, tile.ins)
        if found is None:
            return work.compute(tile)
        return tuple(_sparse(item, layer.block, found) for item in work.compute(tile))

    def weights(outs: Range, ins: Range, align: int) -> bytes:
        found = stored(outs, ins)
        if found is None:
            return bytes(_given(work.weights)(outs, ins, align))
        return layer.data(outs, ins, found.mask)

    def weight_bytes(outs: Range, ins: Range, align: int) -> int:
        found = stored(outs, ins)
        return _given(work.weight_bytes)(outs, ins, align) if found is None else found.size_bytes

    def stored_blocks(outs: Range, ins: Range) -> tuple[int, int]:
        found = stored(outs, ins)
        return (0, 0) if found is None else (int(found.mask.sum()), found.size_bytes)

    return replace(
        work,
        compute=compute,
        weights=weights,
        weight_bytes=weight_bytes,
        stored_blocks=stored_blocks,
    )


def _given(function: Callable[..., Any] | None) -> Callable[..., Any]:
    assert function is not None
    return function


def _sparse(item: Instruction, block: tuple[int, int], stored: Stored) -> SparseMatrix:
    values = {field.name: getattr(item, field.name) for field in fields(Matrix)}
    values |= {
        "weight_row_bytes": 0,
        "block_inputs": block[0],
        "block_outputs": block[1],
        "blocks": int(stored.mask.sum()),
        "stored_bytes": stored.size_bytes,
    }
    return SparseMatrix(**values)
