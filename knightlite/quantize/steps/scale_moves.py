"""A scale group that is tried: the noise of its scales at the outputs, and which of them is best.

Noises of groups add up, on what weights and other groups do. Two aims decide between scales.
:class:`PictureMeans` minimises the pictures' mean relative error, where a gain must stand out from
their scatter. :class:`EveryView` is for scales that have room for rare values, of which few
pictures tell: a finer one serves where no view of the outputs, whole or tail, is worse for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from knightlite.ir import Tensor
from knightlite.quantize.steps.output_views import cost, view_costs

Float64 = NDArray[np.float64]

STEP = 2**0.5  # between one scale and the next to try: half a bit
LEAST_GAIN = 0.005  # of the relative error: 0.04 dB
BURDEN = 2.0  # standard errors of its gain over the pictures that a scale must show
LEAST_REST = 0.1  # of the noise: what the groups do not explain, at least


@dataclass(slots=True, eq=False)
class Tried:
    """A scale group: its ``tensors`` as they are, and the noise [views, n] of each of its scales.

    ``noise``: by the number of steps from the present scale.
    """

    tensors: Mapping[str, Tensor]
    noise: dict[int, Float64] = field(default_factory=dict)

    def add(self, by: int, noise: Float64) -> None:
        """Those [views, m] of more pictures."""
        known = self.noise.get(by)
        self.noise[by] = noise if known is None else np.concatenate([known, noise], axis=1)

    def seen(self, by: int) -> int:
        """On how many pictures the noise is known."""
        return self.noise[by].shape[1] if by in self.noise else 0

    def at(self, steps: int) -> dict[str, Tensor]:
        """The tensors with a scale so many steps coarser."""
        return {
            name: Tensor(name, item.shape, item.dtype, np.asarray(item.scale * factor(steps)))
            for name, item in self.tensors.items()
            if item.scale is not None
        }


def factor(steps: int) -> float:
    """What so many steps multiply a scale by."""
    return float(STEP**steps)


class Aim(Protocol):
    """What decides between the scales of a group where the noise is ``total`` [views, n]."""

    @property
    def ways(self) -> tuple[int, ...]:
        """The first steps to try."""
        ...

    def may_gain(self, group: Tried, by: int, total: Float64, energy: Float64) -> bool:
        """Whether more pictures could show that a number of steps gains what it must."""
        ...

    def least(self, group: Tried, steps: Sequence[int], total: Float64, energy: Float64) -> int:
        """Which of the steps costs least; the first where some are alike."""
        ...

    def best(self, group: Tried, total: Float64, energy: Float64) -> tuple[int, Float64]:
        """The best known number of steps, which gains what it must; the noise then."""
        ...


class PictureMeans:
    """The pictures' mean relative error falls by more than their scatter explains."""

    ways = (-1, 1)

    def may_gain(self, group: Tried, by: int, total: Float64, energy: Float64) -> bool:
        """By their scatter so far."""
        present = cost(instead(group, 0, total), energy)
        gains = present - cost(instead(group, by, total), energy)
        return bool(gains.mean() + BURDEN * _error(gains) > LEAST_GAIN * present.mean())

    def least(self, group: Tried, steps: Sequence[int], total: Float64, energy: Float64) -> int:
        """By the mean over the pictures."""
        return min(steps, key=lambda by: float(cost(instead(group, by, total), energy).mean()))

    def best(self, group: Tried, total: Float64, energy: Float64) -> tuple[int, Float64]:
        """None where the gain is within two standard errors."""
        known = _known(group, total)
        if len(known) < 2:
            return 0, total
        best = self.least(group, known, total, energy)
        present = cost(instead(group, 0, total), energy)
        gains = present - cost(instead(group, best, total), energy)
        if gains.mean() <= max(LEAST_GAIN * present.mean(), BURDEN * _error(gains)):
            return 0, total
        return best, instead(group, best, total)


class EveryView:
    """The views' mean relative error falls, and that of none rises."""

    ways = (-1,)

    def may_gain(self, group: Tried, by: int, total: Float64, energy: Float64) -> bool:
        """Where it does on the pictures so far."""
        return self._cost(group, by, total, energy) < self._cost(group, 0, total, energy)

    def least(self, group: Tried, steps: Sequence[int], total: Float64, energy: Float64) -> int:
        """By the mean over the views."""
        return min(steps, key=lambda by: self._cost(group, by, total, energy))

    def best(self, group: Tried, total: Float64, energy: Float64) -> tuple[int, Float64]:
        """Of those that leave every view as good as it is."""
        known = _known(group, total)
        if len(known) < 2:
            return 0, total
        now = view_costs(instead(group, 0, total), energy)
        best = self.least(
            group,
            [by for by in known if (view_costs(instead(group, by, total), energy) <= now).all()],
            total,
            energy,
        )
        if not best or self._cost(group, best, total, energy) > now.mean() * (1 - LEAST_GAIN):
            return 0, total
        return best, instead(group, best, total)

    @staticmethod
    def _cost(group: Tried, by: int, total: Float64, energy: Float64) -> float:
        return float(view_costs(instead(group, by, total), energy).mean())


def instead(group: Tried, by: int, total: Float64) -> Float64:
    """The noise [views, n] with the group at ``by`` steps, where it is ``total`` at none."""
    count = total.shape[1]
    rest = np.maximum(total - group.noise[0][:, :count], LEAST_REST * total)
    return rest + group.noise[by][:, :count]


def part_of(noise: Float64, total: Float64) -> float:
    """Of the noise at the outputs, the mean over pictures and views."""
    told = total > 0
    return float(np.mean(noise[told] / total[told])) if told.any() else 0.0


def _known(group: Tried, total: Float64) -> list[int]:
    return [by for by in group.noise if group.seen(by) == total.shape[1]]


def _error(gains: Float64) -> float:
    """The standard error of the mean of the pictures' gains."""
    return float(gains.std(ddof=1) / np.sqrt(gains.size))
