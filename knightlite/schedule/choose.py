"""The choice of a layer's tiling: candidates are lowered and priced by their cycles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from knightlite.allocate import Location
from knightlite.errors import CapacityError
from knightlite.lower import LEAST_CHANNELS
from knightlite.schedule.least import LeastCycles
from knightlite.schedule.price import price, tile_costs
from knightlite.schedule.tiling import LARGEST_PIXEL, LARGEST_ROW, Geometry, Tiling

FACTORS = (16, 8, 4, 2, 1)
ROW_PARTS = (1, 2, 4)  # of the most rows that fit, that are priced
INPUT_CUTS = 3  # how many cuts of the input channels are priced: the largest that fit


def choose(geometry: Geometry, locations: Mapping[str, Location], name: str) -> tuple[Tiling, int]:
    """The cheapest tiling that fits and its estimated cycles; CapacityError where none fits."""
    costs = tile_costs(geometry, locations)
    tilings = list(candidates(geometry))
    if not tilings:
        raise _capacity_error(geometry, name)
    least = LeastCycles(costs)
    promising = sorted((least.of(item), at) for at, item in enumerate(tilings))
    best: tuple[int, int] | None = None  # cycles, and of those that are equally fast the first
    for bound, at in promising:
        if best is not None and bound > best[0]:
            break
        # at most as many cycles as the best where this one comes before it, else fewer
        limit = None if best is None else best[0] + (at < best[1])
        cycles = price(costs, tilings[at], limit)
        if cycles is not None:
            best = (cycles, at)
    assert best is not None
    return tilings[best[1]], best[0]


def candidates(geometry: Geometry) -> Iterator[Tiling]:
    """Tilings that fit: for every channel cut, the most rows that fit, a half and a quarter.

    Fewer rows overlap better: the first load and the last store, beside which nothing else runs,
    are smaller.
    """
    height, channels = geometry.y.shape[2], geometry.y.shape[1]
    for outs in channel_cuts(geometry):
        for ins in _input_cuts(geometry, outs):
            tilings = []
            for buffers in (2, 1):
                tiling = Tiling(height, outs, ins, False, buffers)
                rows = _most_rows(geometry, tiling)
                if rows:
                    even = -(-height // -(-height // rows))
                    parts = (-(-even // part) for part in ROW_PARTS)
                    counts = {_whole_phases(geometry, value) for value in parts}
                    tilings = [replace(tiling, rows=value) for value in counts]
                    break
            for tiling in sorted(tilings, key=lambda item: -item.rows):
                if not geometry.fits(tiling):
                    continue
                yield tiling
                if outs < channels and tiling.rows < height:
                    yield replace(tiling, outs_outer=True)


def _whole_phases(geometry: Geometry, rows: int) -> int:
    """Fewer rows, of which all of a tile's instructions write equally many; at least one."""
    step = geometry.work.interleave[0]
    return rows if rows in (geometry.y.shape[2], rows % step) else rows - rows % step


def channel_cuts(geometry: Geometry) -> list[int]:
    """All output channels, whole groups that fill the lanes, parts of a group."""
    channels, chip = geometry.y.shape[1], geometry.chip
    if not geometry.work.cuts_channels:
        return [channels]
    if geometry.work.channelwise:
        parts = [chip.vector_lanes * factor for factor in FACTORS]
        parts += [part for part in (16, 8, 4) if part < chip.vector_lanes]
        return [channels, *(part for part in parts if part < channels)]
    ins, outs = geometry.group
    lanes = chip.matrix_output_lanes
    filling = max(1, min(chip.matrix_input_lanes // ins, lanes // outs))  # groups of one block
    whole = [outs * filling * factor for factor in FACTORS] + [outs]
    parts = [lanes * factor for factor in FACTORS] + [LEAST_CHANNELS] * (lanes > LEAST_CHANNELS)
    inside = [part for part in parts if part < outs and geometry.work.cuts_groups]
    return list(dict.fromkeys([channels, *(cut for cut in whole if cut < channels), *inside]))


def _input_cuts(geometry: Geometry, outs: int) -> list[int]:
    """All input channels of a group; parts of them only where all at once do not fit twice."""
    channels, lanes = geometry.group[0], geometry.chip.matrix_input_lanes
    whole = Tiling(1, outs, channels, False, 1)
    if not geometry.splits(whole):
        return [channels]
    _, count, slots = geometry.weight_slots(whole)
    if geometry.fits(whole) and slots >= min(count, 2):
        return [channels]
    parts = [lanes * factor for factor in (32, 16, 8, 4, 2, 1) if lanes * factor < channels]
    fitting = [part for part in (channels, *parts) if geometry.fits(replace(whole, ins=part))]
    return fitting[:INPUT_CUTS]


def _most_rows(geometry: Geometry, tiling: Tiling) -> int:
    """The most output rows that fit, 0 where not even one does."""
    low, high = 0, tiling.rows
    if geometry.fits(tiling):
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if geometry.fits(replace(tiling, rows=middle)):
            low = middle
        else:
            high = middle
    return low


def smallest(geometry: Geometry) -> Tiling:
    """A row of the fewest channels: where not even this fits, nothing does."""
    ins = min(geometry.group[0], geometry.chip.matrix_input_lanes)
    return Tiling(1, min(channel_cuts(geometry)), ins, False, 1)


def _capacity_error(geometry: Geometry, name: str) -> CapacityError:
    """Names what even the smallest tile does not fit; the limits saw to WSPM."""
    chip, tiling = geometry.chip, smallest(geometry)
    need = geometry.fspm_bytes(tiling)
    if need > chip.fspm_bytes:
        width = geometry.x.shape[3]
        return CapacityError(
            f"layer {name} needs {need} bytes of FSPM for one row of its smallest tile "
            f"({tiling.outs} channels, {width} pixels a row), the chip has {chip.fspm_bytes}.",
            "use a narrower input, or a chip with more FSPM",
        )
    need = sum(geometry.parameter_bytes(tiling))
    if need <= chip.mspm_bytes:
        return CapacityError(
            f"layer {name} takes strides that instructions cannot hold even in its smallest tile "
            f"({tiling.outs} channels): {geometry.pixel_bytes(tiling)} bytes a pixel, at most "
            f"{LARGEST_PIXEL}, and {geometry.row_bytes(tiling)} bytes a row, at most "
            f"{LARGEST_ROW}.",
            "use fewer channels, or features of 8 bits",
        )
    return CapacityError(
        f"layer {name} needs {need} bytes of MSPM for the parameters of its smallest tile, "
        f"the chip has {chip.mspm_bytes}.",
        "use a chip with more MSPM",
    )
