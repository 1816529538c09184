"""What a search for a schedule has found so far: from there the next one goes on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from knightlite.json_records import (
    AtLeast,
    Hexadecimal,
    NotEmpty,
    canonical_json,
    decode,
    key,
    to_json,
)

if TYPE_CHECKING:
    from knightlite.schedule import Budget, Order

Count = Annotated[int, AtLeast(0)]
Positive = Annotated[int, AtLeast(1)]
Digest = Annotated[str, Hexadecimal(64)]


@dataclass(frozen=True, slots=True)
class SavedTiling:
    """How a layer from DDR to DDR is cut."""

    rows: Positive = key("output rows of a tile")
    outs: Positive = key("output channels of a tile")
    ins: Positive = key("input channels of a tile")
    outs_outer: bool = key("whether output channels are the outer loop")
    buffers: Positive = key("tiles of each operand that FSPM holds at once")


@dataclass(frozen=True, slots=True)
class SavedRegion:
    """Layers that are walked together."""

    first: Count = key("the first layer")
    last: Positive = key("one past the last layer")
    bands: Positive = key("in how many bands of rows")
    kept: bool = key("whether rows that two bands need are moved from one to the other")
    tiling: SavedTiling | None = key("of a layer in tiles of its own, from DDR to DDR")


@dataclass(frozen=True, slots=True)
class SavedSearch:
    """The best schedule of a search, and how many changes were tried until then."""

    format: Literal[1] = key("of this file")
    model_sha256: Digest = key("of the quantized model")
    chip_digest: Digest = key("of the facts of the chip")
    tried: Count = key("changes of a schedule that were tried")
    regions: Annotated[tuple[SavedRegion, ...], NotEmpty()] = key("in order")
    resident: tuple[str, ...] = key("buffers that stay whole in FSPM")


def saved_search(order: Order, model_sha256: str, chip_digest: str) -> bytes:
    """The file of a schedule that was searched for."""
    regions = tuple(
        SavedRegion(
            region.first,
            region.last,
            region.bands,
            region.kept,
            None
            if region.tiling is None
            else SavedTiling(
                region.tiling.rows, region.tiling.outs, region.tiling.ins,
                region.tiling.outs_outer, region.tiling.buffers,
            ),
        )
        for region in order.decisions.regions
    )  # fmt: skip
    resident = tuple(sorted(order.decisions.resident))
    found = SavedSearch(1, model_sha256, chip_digest, order.tried, regions, resident)
    return canonical_json(to_json(found))


def budget_from(
    path: Path, model_sha256: str, chip_digest: str, evaluations: int, seconds: float | None
) -> Budget:
    """A budget that goes on from a file, where it is there and of the same model and chip.

    FormatError where it is damaged. One that has tried more already is not gone on from.
    """
    from knightlite.reading import read_bytes
    from knightlite.schedule import Budget, Decisions, Region, Tiling

    fresh = Budget(evaluations, seconds)
    if not path.is_file():
        return fresh
    hint = "delete the file: the search begins anew then"
    found = decode(SavedSearch, read_bytes(path), str(path), hint)
    same = (found.model_sha256, found.chip_digest) == (model_sha256, chip_digest)
    if not same or found.tried > evaluations:
        return fresh
    regions = tuple(
        Region(
            item.first, item.last, item.bands, item.kept,
            None
            if item.tiling is None
            else Tiling(
                item.tiling.rows, item.tiling.outs, item.tiling.ins, item.tiling.outs_outer,
                item.tiling.buffers,
            ),
        )
        for item in found.regions
    )  # fmt: skip
    best = Decisions(regions, frozenset(found.resident))
    return Budget(evaluations, seconds, best, found.tried)
