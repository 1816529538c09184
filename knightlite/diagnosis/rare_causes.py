"""Suspects among the feature tensors that only some pictures excite: two sides of one choice.

A range that follows the few pictures in which a tensor is loud leaves the others few codes; one
that follows the others clips what is rare, which may be just what the network looks for. No error
of the tensor alone says which is wrong: the outputs do (:mod:`knightlite.diagnosis.places`).

Such pictures are loud in many tensors, all along a residual stream, and each of these alone costs
little: mended are all of them, or none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.diagnosis.causes import RARE, Suspect
from knightlite.ir import Graph
from knightlite.ops import BY_NAME
from knightlite.quantize.groups import computed_members, scale_groups

Float64 = NDArray[np.float64]

FEW = 0.2  # of the pictures: more are no exception
COARSE = 2.0  # times the peak: a range that costs a picture a bit
CLIPPED = 1.5  # times the range: more than rounding cuts off
FOLLOWS = "the range of {limit:.4g} follows them: {bits:.1f} bits less for all others"
BETWEEN = (
    "the range of {limit:.4g} serves neither: {bits:.1f} bits less for all others, and what is "
    "rare is cut off"
)
CUTS = "the range of {limit:.4g} cuts off what is rare"
NAMED = 5  # pictures, and tensors, named in a sentence
ONE_BIT_DB = 6.02  # of a range twice as wide


@dataclass(frozen=True, slots=True)
class _Rare:
    """A scale group that ``pictures``, counted from 0, excite; the loudest of its tensors.

    ``what``: what its range makes of them.
    """

    layer: str
    members: tuple[str, ...]
    peaks: Float64
    limit: float
    pictures: NDArray[np.intp]
    what: str

    @property
    def middle(self) -> float:
        return float(np.median(self.peaks))

    @property
    def bits(self) -> float:
        """By how much the range misses what the pictures reach, or what the middle one does."""
        if self.what != CUTS:
            return float(np.log2(self.limit / self.middle))
        return float(np.log2(self.peaks.max() / self.limit))


def rare_suspects(graph: Graph, quantized: Graph, peaks: Mapping[str, Float64]) -> list[Suspect]:
    """One suspect for all ranges of 8 bits that follow few pictures, one for all that clip them.

    ``peaks``: the largest magnitude in each picture (n,), by tensor.
    """
    producers = graph.producers()
    follow: list[_Rare] = []
    clip: list[_Rare] = []
    for group in scale_groups(graph):
        made = [producers[name] for name in group.members if name in producers]
        fixed = any(BY_NAME[node.op].fixed_output is not None for node in made)
        tensor = quantized.tensors[group.members[0]]
        assert tensor.scale is not None
        if fixed or tensor.dtype.bits > 8 or tensor.scale.ndim:
            continue
        limit = float(tensor.scale) * tensor.dtype.maximum
        sources = computed_members(graph, group)
        loudest = np.max([peaks[name] for name in sources], axis=0)
        layer = max(sources, key=lambda name: float(peaks[name].max()))
        middle, most = float(np.median(loudest)), FEW * loudest.size
        clipped = np.flatnonzero(loudest > CLIPPED * limit)
        loud = np.flatnonzero(loudest > limit / COARSE)  # whom the largest bit is for
        if middle > 0 and 0 < loud.size <= most:
            what = BETWEEN if clipped.size else FOLLOWS
            follow.append(_Rare(layer, group.members, loudest, limit, loud, what))
        elif 0 < middle <= limit and 0 < clipped.size <= most:
            clip.append(_Rare(layer, group.members, loudest, limit, clipped, CUTS))
    return [_suspect(some) for some in (follow, clip) if some]


def _suspect(found: Sequence[_Rare]) -> Suspect:
    worst = max(found, key=lambda item: item.bits)
    sentence = (
        f"{_pictures(worst)} {worst.peaks.max():.4g}, where the middle one reaches "
        f"{worst.middle:.4g}, and {worst.what.format(limit=worst.limit, bits=worst.bits)}"
    )
    if len(found) > 1:
        others = [item.layer for item in found if item is not worst]
        more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
        sentence += f"; so at {', '.join(others[:NAMED])}{more}"
    facts: dict[str, Any] = {
        "limit": worst.limit,
        "middle_peak": worst.middle,
        "largest_peak": float(worst.peaks.max()),
        "pictures": (worst.pictures + 1).tolist(),
        "tensors": [item.layer for item in found],
    }
    members = tuple(name for item in found for name in item.members)
    return Suspect(RARE, worst.layer, sentence, members, (), -ONE_BIT_DB * worst.bits, facts)


def _pictures(rare: _Rare) -> str:
    """The loudest first, as numbers in the order of the data."""
    places, peaks = rare.pictures, rare.peaks
    order = places[np.argsort(peaks[places])[::-1]] + 1
    named = ", ".join(str(number) for number in order[:NAMED].tolist())
    more = f" and {order.size - NAMED} more" if order.size > NAMED else ""
    some = "picture" if order.size == 1 else "pictures"
    verb = "reaches" if order.size == 1 else "reach"
    return f"{some} {named}{more} of {peaks.size} {verb}"
