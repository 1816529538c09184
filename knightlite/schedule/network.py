"""A network as the schedules above level 0 see it: layers in order, and the buffers they touch.

A buffer is what tensors lie in together (``allocate.places``): a Concat with its inputs, a tensor
with its Slices, mostly one tensor alone. Lives are counted in layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from knightlite.allocate import Place, align, trips
from knightlite.allocate import layers as executed_layers
from knightlite.chip import Chip
from knightlite.ir import Graph, Tensor
from knightlite.isa import Engine
from knightlite.lower import Range, work_of
from knightlite.ops import Window
from knightlite.schedule.channels import Cut, channel_cut
from knightlite.schedule.layers import Layer, Part
from knightlite.schedule.tiling import LARGEST_PIXEL, LARGEST_ROW, geometry, pixel_stride


@dataclass(frozen=True, slots=True)
class Buffer:
    """What tensors lie in together. ``first``, ``last``: layers that touch it.

    ``given``: the host writes it, as the network's input or in between; ``delivered``: the host
    reads one of its tensors, as the network's output or in between.
    """

    name: str
    tensor: Tensor
    first: int
    last: int
    given: bool
    delivered: bool

    def pixel_bytes(self, channels: int, chip: Chip) -> int:
        """Bytes between pixels in FSPM, of so many channels."""
        return pixel_stride(channels * self.tensor.dtype.size_bytes, chip)

    def row_bytes(self, channels: int, chip: Chip) -> int:
        """Bytes between rows in FSPM."""
        return self.tensor.shape[3] * self.pixel_bytes(channels, chip)

    def fspm_bytes(self, rows: int, channels: int, chip: Chip) -> int:
        """Bytes of some rows in FSPM."""
        return align(rows * self.row_bytes(channels, chip), chip.fspm_align_bytes)

    def whole_bytes(self, chip: Chip) -> int:
        """Bytes of all of it in FSPM."""
        return self.fspm_bytes(self.tensor.shape[2], self.tensor.shape[1], chip)

    def encodable(self, channels: int, chip: Chip) -> bool:
        """Whether the strides fit their fields of instructions."""
        return (
            self.pixel_bytes(channels, chip) <= LARGEST_PIXEL
            and self.row_bytes(channels, chip) <= LARGEST_ROW
        )


@dataclass(frozen=True)
class Network:
    """Layers and buffers of a graph whose tensors are placed, on a chip."""

    graph: Graph
    chip: Chip
    layers: tuple[Layer, ...]
    buffers: Mapping[str, Buffer]
    parts: Mapping[str, Part]  # of every tensor that is placed
    windows: Mapping[str, Window]  # where it lies in its buffer
    borders: tuple[int, ...] = ()  # layers before which the host computes

    @cached_property
    def cuts(self) -> tuple[Cut | None, ...]:
        """How every layer is cut over channels; None where no cut fits."""
        return tuple(channel_cut(layer) for layer in self.layers)

    @cached_property
    def least_cycles(self) -> int:
        """What the busiest of the engines and the DDR takes at least, cut as layers are."""
        busy = dict.fromkeys((*Engine, None), 0)
        weights = 0
        for layer, cut in zip(self.layers, self.cuts, strict=True):
            busy[layer.engine] += cut.cycles if cut is not None else 0
            weights += layer.weight_bytes
        return max(*busy.values(), self.chip.ddr_cycles(weights))

    @cached_property
    def readers(self) -> Mapping[str, tuple[int, ...]]:
        """Buffer -> the layers that read of it, in order."""
        found: dict[str, list[int]] = {name: [] for name in self.buffers}
        for layer in self.layers:
            for name in dict.fromkeys(part.buffer for part in layer.sources):
                found[name].append(layer.index)
        return {name: tuple(indices) for name, indices in found.items()}

    @cached_property
    def loaded_as_weights(self) -> Mapping[str, int]:
        """The buffers that must be in DDR, since WSPM is loaded from there alone: first reader."""
        found: dict[str, int] = {}
        for layer in self.layers:
            if layer.w is not None:
                found.setdefault(layer.w.buffer, layer.index)
        return found

    @cached_property
    def outputs(self) -> tuple[Part, ...]:
        """The parts that the host reads."""
        read = (name for _, node in trips(self.graph) for name in node.inputs)
        names = dict.fromkeys((*self.graph.chip_outputs, *read))
        return tuple(self.parts[name] for name in names)

    def parted(self, first: int, last: int) -> bool:
        """Whether the host computes between two of the layers [first, last)."""
        return any(first < border < last for border in self.borders)

    @cached_property
    def _last_reads(self) -> tuple[int, ...]:
        """For every layer the last one that reads of what it writes; the host counts as one more.

        -1 where nobody does. Bytes that another layer has overwritten before count as well.
        """
        found = []
        for layer in self.layers:
            readers = [
                index
                for index in self.readers[layer.y.buffer]
                if any(layer.y.meets(part) for part in self.layers[index].sources)
            ]
            if any(layer.y.meets(output) for output in self.outputs):
                readers.append(len(self.layers))
            found.append(max(readers, default=-1))
        return tuple(found)

    @cached_property
    def _joined(self) -> frozenset[str]:
        """The buffers that several layers write."""
        written: dict[str, int] = {}
        for layer in self.layers:
            written[layer.y.buffer] = written.get(layer.y.buffer, 0) + 1
        return frozenset(name for name, count in written.items() if count > 1)

    def leaves(self, layer: Layer, first: int, last: int) -> bool:
        """Whether what a layer writes is wanted outside a region of layers [first, last).

        Of what several layers write together all goes where one part goes.
        """
        if self._last_reads[layer.index] >= last:
            return True
        buffer = self.buffers[layer.y.buffer]
        return buffer.name in self._joined and (buffer.first < first or buffer.last >= last)


def network_of(graph: Graph, places: Mapping[str, Place], chip: Chip) -> Network:
    """The layers and buffers of a graph, whose tensors lie in ``places``, on a chip."""
    parts = {name: _part(graph, name, place) for name, place in places.items()}
    skewed = {part.buffer for part in parts.values() if not part.plain}
    parts |= {
        name: replace(part, plain=False) for name, part in parts.items() if part.buffer in skewed
    }
    layers = []
    for index, node in enumerate(executed_layers(graph)):
        work = work_of(graph, node)
        z = parts[work.z] if work.z is not None else None
        w = parts[work.w] if work.w is not None else None
        shape = geometry(graph, work, chip)
        layers.append(Layer(index, node, shape, parts[work.x], z, w, parts[work.y]))
    lives: dict[str, Range] = {}

    def touch(name: str, layer: int) -> None:
        first, last = lives.get(name, (layer, layer))
        lives[name] = (min(first, layer), max(last, layer))

    given = {places[name].buffer for name in graph.inputs}
    delivered = {places[name].buffer for name in graph.chip_outputs}
    for name in given:
        touch(name, -1)
    for layer in layers:
        for part in (*layer.sources, layer.y):
            touch(part.buffer, layer.index)
    for name in delivered:
        touch(name, len(layers))
    hosted = trips(graph)
    for border, node in hosted:
        for name in node.inputs:
            touch(places[name].buffer, border)
        touch(places[node.output].buffer, border - 1)  # there before the layer is
    given |= {places[node.output].buffer for _, node in hosted}
    delivered |= {places[name].buffer for _, node in hosted for name in node.inputs}
    buffers = {
        name: Buffer(name, graph.tensors[name], *life, name in given, name in delivered)
        for name, life in lives.items()
    }
    windows = {name: place.window for name, place in places.items()}
    borders = tuple(sorted({border for border, _ in hosted}))
    return Network(graph, chip, tuple(layers), buffers, parts, windows, borders)


def _part(graph: Graph, name: str, place: Place) -> Part:
    window, channels = place.window, graph.tensors[name].shape[1]
    plain = (
        (window.row, window.column, window.row_step, window.column_step) == (0, 0, 1, 1)
        and not window.turned
        and graph.tensors[name].shape[2:] == graph.tensors[place.buffer].shape[2:]
    )
    return Part(name, place.buffer, (window.channel, window.channel + channels), plain)
