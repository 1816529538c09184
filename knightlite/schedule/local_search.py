"""Level 2: small changes of a schedule, one after the other; what is faster stays.

Change number n is drawn from a stream of its own, so that a search goes on from its best schedule
and the number of changes tried as if it had never been stopped.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

from knightlite.isa import Engine
from knightlite.schedule.layers import Layer
from knightlite.schedule.network import Network
from knightlite.schedule.regions import Decisions, Region, walkable
from knightlite.schedule.shapes import BANDS
from knightlite.schedule.tiling import Tiling

DRAWS = 50  # of a change that makes sense
BAND_COUNTS = (1, *BANDS)

EVALUATIONS = 240  # about a minute on DenseNet121


@dataclass(frozen=True, slots=True)
class Budget:
    """How long to search: so many changes are tried in all, or until ``seconds`` have gone by.

    ``best`` and ``tried``: where a search before has stopped; it goes on from there.
    """

    evaluations: int = EVALUATIONS
    seconds: float | None = None
    best: Decisions | None = None
    tried: int = 0


Change = Callable[["Neighbours", Decisions, random.Random], Decisions | None]


class Neighbours:
    """Schedules that differ from one in one decision."""

    def __init__(
        self,
        network: Network,
        may_stay: frozenset[str],
        alone: Callable[[Layer], tuple[Tiling, int] | None],
    ) -> None:
        self.network, self.may_stay, self.alone = network, may_stay, alone

    def drawn(self, decisions: Decisions, number: int) -> Decisions | None:
        """Change ``number`` of a schedule; None where none that makes sense is drawn."""
        draw = random.Random(number)
        for _ in range(DRAWS):
            changed = draw.choice(CHANGES)(self, decisions, draw)
            if changed is not None and changed != decisions and self.sound(changed):
                return changed
        return None

    def sound(self, decisions: Decisions) -> bool:
        """Whether a schedule is one of all layers, and each region can be walked as it says."""
        layers = self.network.layers
        borders = [(0, 0), *((item.first, item.last) for item in decisions.regions)]
        follow = all(a[1] == b[0] < b[1] for a, b in pairwise(borders))
        if not follow or borders[-1][1] != len(layers):
            return False
        if not decisions.resident <= self.may_stay:
            return False
        for region in decisions.regions:
            if self.network.parted(region.first, region.last):
                return False
            run = layers[region.first : region.last]
            if region.tiling is not None:
                touched = {part.buffer for part in (*run[0].reads, run[0].y)}
                if touched & decisions.resident:
                    return False
            elif (
                any(layer.engine is None for layer in run)
                or region.bands > run[-1].height
                or (len(run) > 1 and not walkable(run))
            ):
                return False
        return True


def bands(found: Neighbours, decisions: Decisions, draw: random.Random) -> Decisions | None:
    """A region in more or fewer bands."""
    at = draw.randrange(len(decisions.regions))
    region = decisions.regions[at]
    if region.tiling is not None:
        return None
    place = BAND_COUNTS.index(region.bands) if region.bands in BAND_COUNTS else 0
    place = max(0, min(len(BAND_COUNTS) - 1, place + draw.choice([-2, -1, 1, 2])))
    return _with(decisions, at, 1, [replace(region, bands=BAND_COUNTS[place])])


def kept(found: Neighbours, decisions: Decisions, draw: random.Random) -> Decisions | None:
    """Rows that two bands need are kept, or computed again."""
    at = draw.randrange(len(decisions.regions))
    region = decisions.regions[at]
    if region.bands == 1:
        return None
    return _with(decisions, at, 1, [replace(region, kept=not region.kept)])


def joined(found: Neighbours, decisions: Decisions, draw: random.Random) -> Decisions | None:
    """Two neighbours walked together."""
    if len(decisions.regions) < 2:
        return None
    at = draw.randrange(len(decisions.regions) - 1)
    one, other = decisions.regions[at : at + 2]
    count = max(one.bands, other.bands, draw.choice(BANDS[:8]))
    return _with(decisions, at, 2, [Region(one.first, other.last, count, draw.random() < 0.5)])


def parted(found: Neighbours, decisions: Decisions, draw: random.Random) -> Decisions | None:
    """A region cut in two."""
    at = draw.randrange(len(decisions.regions))
    region = decisions.regions[at]
    if region.last - region.first < 2:
        return None
    border = draw.randrange(region.first + 1, region.last)
    parts = [replace(region, last=border), replace(region, first=border)]
    return _with(decisions, at, 1, parts)


def shifted(found: Neighbours, decisions: Decisions, draw: random.Random) -> Decisions | None:
    """A border between two regions, elsewhere."""
    if len(decisions.regions) < 2:
        return None
    at = draw.randrange(len(decisions.regions) - 1)
    one, other = decisions.regions[at : at + 2]
    border = one.last + draw.choice([-2, -1, 1, 2])
    if not one.first < border < other.last or one.tiling or other.tiling:
        return None
    return _with(decisions, at, 2, [replace(one, last=border), replace(other, first=border)])


def moved(found: Neighbours, decisions: Decisions, draw: random.Random) -> Decisions | None:
    """A buffer that stays on chip, or no longer."""
    name = draw.choice(sorted(found.may_stay) or [""])
    return replace(decisions, resident=decisions.resident ^ {name})


def apart(found: Neighbours, decisions: Decisions, draw: random.Random) -> Decisions | None:
    """A layer in tiles of its own, or in bands."""
    at = draw.randrange(len(decisions.regions))
    region = decisions.regions[at]
    if region.tiling is not None:
        return _with(decisions, at, 1, [Region(region.first, region.last, draw.choice(BANDS))])
    layer = found.network.layers[region.first]
    own = found.alone(layer) if region.last - region.first == 1 else None
    if own is None or layer.engine not in (Engine.RCCN, Engine.RCVT):
        return None
    return _with(decisions, at, 1, [Region(region.first, region.last, 1, tiling=own[0])])


CHANGES: tuple[Change, ...] = (bands, bands, kept, joined, parted, shifted, shifted, moved, apart)


def _with(decisions: Decisions, at: int, count: int, regions: list[Region]) -> Decisions:
    changed = (*decisions.regions[:at], *regions, *decisions.regions[at + count :])
    return replace(decisions, regions=changed)
