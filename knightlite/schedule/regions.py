"""What a schedule decides: regions of layers, in how many bands each is walked, what stays on chip.

A region is a run of layers. It is walked in bands of rows: for every band all its layers compute
the rows that the band's share of what leaves the region needs, so that what lies between the layers
is never whole. Rows that two bands need are computed (or loaded) twice, as in a pyramid, or kept:
moved on chip from one band's segment to the next. A region of one layer in one band is a layer as a
whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from knightlite.lower import Range
from knightlite.schedule.layers import Layer, Part
from knightlite.schedule.network import Network
from knightlite.schedule.tiling import Tiling


@dataclass(frozen=True, slots=True)
class Region:
    """Layers [first, last), walked in ``bands``.

    ``kept``: rows that two bands need are moved from one to the other, none is computed twice.
    ``tiling``: a layer alone, from DDR to DDR, cut also over channels, as level 0 does it.
    """

    first: int
    last: int
    bands: int
    kept: bool = False
    tiling: Tiling | None = None


@dataclass(frozen=True, slots=True)
class Decisions:
    """A schedule: regions in order, and the buffers that are whole in FSPM."""

    regions: tuple[Region, ...]
    resident: frozenset[str]


def band_rows(network: Network, region: Region, resident: frozenset[str]) -> list[dict[int, Range]]:
    """For every band: layer -> the output rows that it computes; layers without any left out.

    Of what is whole in FSPM nothing is computed twice. Every row of every layer is computed.
    """
    layers = network.layers[region.first : region.last]
    leaving = {item.index: network.leaves(item, region.first, region.last) for item in layers}
    done = {item.index: 0 for item in layers}  # rows that are, or were, there
    found = []
    for band in range(region.bands):
        rows: dict[int, Range] = {}
        wanted: list[tuple[Part, Range]] = []
        for layer in reversed(layers):
            needs = [item for part, item in wanted if part.meets(layer.y)]
            if leaving[layer.index]:
                needs.append(share(layer.height, band, region.bands))
            before = done[layer.index]
            if band == region.bands - 1:
                needs.append((before, layer.height))
            need = hull(needs)
            if need is None:
                continue
            # no row is left out, though nobody may read it: every tensor can be compared
            again = before if region.kept or layer.y.buffer in resident else need[0]
            need = layer.whole_phases((min(again, before), need[1]))
            if need[0] < need[1]:
                done[layer.index] = need[1]
                rows[layer.index] = need
                wanted.extend((part, layer.read_rows(part, need)) for part in layer.reads)
        found.append(rows)
    return found


def share(height: int, band: int, bands: int) -> Range:
    """The rows of a band where ``height`` rows are cut into equal ones."""
    return height * band // bands, height * (band + 1) // bands


def hull(ranges: Iterable[Range]) -> Range | None:
    """The least range that holds all that are not empty; None of none."""
    kept = [item for item in ranges if item[0] < item[1]]
    if not kept:
        return None
    return min(first for first, _ in kept), max(last for _, last in kept)


def walkable(layers: Sequence[Layer]) -> bool:
    """Whether bands of layers may follow each other."""
    return all(joins(layer, layers[index + 1 :]) for index, layer in enumerate(layers))


def joins(layer: Layer, behind: Sequence[Layer]) -> bool:
    """Whether a layer may be walked in bands with those behind it.

    What one band reads again another must not have overwritten: nobody writes bytes that a layer
    before it has read or written. Weights are whole in DDR before they are loaded. And rows are
    rows: parts of other shape go layer by layer.
    """
    if not all(part.plain for part in (*layer.reads, layer.y)):
        return False
    if any(other.w is not None and layer.y.meets(other.w) for other in behind):
        return False
    if any(layer.y.meets(part) for part in layer.reads):
        return False
    own = (*layer.sources, layer.y)
    return not any(other.y.meets(part) for other in behind for part in own)


def stages(layers: Sequence[Layer]) -> list[list[Layer]]:
    """A region's layers in runs that one engine computes.

    While one engine is at a band's run, the other is at the run before it of the next band.
    """
    found: list[list[Layer]] = []
    for layer in layers:
        if found and found[-1][-1].engine == layer.engine:
            found[-1].append(layer)
        else:
            found.append([layer])
    return found


def in_place(network: Network, layer: Layer) -> Part | None:
    """The operand whose bytes y may replace: of the same form, and read by nobody afterwards.

    A residual, or any operand of an elementwise layer: the machine replaces an element only where
    nothing else is read from its place.
    """
    chip = network.chip
    y = network.buffers[layer.y.buffer]
    operands = layer.reads if layer.elementwise else layer.reads[1:]
    for part in operands:
        other = network.buffers[part.buffer]
        if (
            part.buffer != layer.y.buffer
            and other.last == layer.index
            and y.first == layer.index
            and not other.given
            and other.tensor.shape == y.tensor.shape
            and other.tensor.dtype.size_bytes == y.tensor.dtype.size_bytes
            and part.channels == layer.y.channels
            and part.plain
            and layer.y.plain
            and sum(part.meets(read) for read in layer.sources) == 1
            and other.whole_bytes(chip) == y.whole_bytes(chip)
        ):
            return part
    return None
