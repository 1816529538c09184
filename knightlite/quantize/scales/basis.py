"""What every choice of types and scales rests on, in one record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.dtypes import DType
from knightlite.ir import Graph
from knightlite.quantize.groups import Group
from knightlite.quantize.settings import DEFAULT_SETTINGS, Settings
from knightlite.quantize.statistics.observation_plan import ObservationPlan
from knightlite.quantize.statistics.observers import Statistics
from knightlite.quantize.statistics.passes import Observation

ChannelChoice = tuple[str, DType, str, float]
"""A tensor with a scale per channel, its type, the range method and the share of "percentile"."""


@dataclass(frozen=True, slots=True, eq=False)
class Basis:
    """A float network, what was seen of it, and what the user asks.

    ``statistics``: of every feature tensor of ``graph``, watched as ``plan`` says. ``found``: what
    scales per channel were chosen by now, None for one scale; the same record under other settings
    knows them too. ``gains``: of convolutions, the norms of their weights with these.
    """

    graph: Graph
    statistics: Mapping[str, Statistics]
    plan: ObservationPlan
    settings: Settings = DEFAULT_SETTINGS
    found: dict[ChannelChoice, NDArray[np.float32] | None] = field(default_factory=dict)
    gains: dict[str, tuple[NDArray[Any], NDArray[np.float64]]] = field(default_factory=dict)

    @classmethod
    def of(cls, graph: Graph, seen: Observation, settings: Settings = DEFAULT_SETTINGS) -> Basis:
        """The basis of all pictures of a first pass over ``graph``."""
        return cls(graph, seen.statistics, seen.plan, settings)

    def under(self, settings: Settings) -> Basis:
        """The same network and statistics under other settings."""
        return replace(self, settings=settings)

    def switched(self, **switches: Any) -> Basis:
        """The same with single settings changed."""
        return self.under(replace(self.settings, **switches))

    def method_of(self, group: Group) -> str:
        """The name of a group's range method: that of a member alone, or the general one."""
        own = dict(self.settings.tensor_methods)
        return next((own[name] for name in group.members if name in own), self.settings.method)

    def factor_of(self, group: Group) -> float:
        """What the scale that the method finds for a group is multiplied by."""
        factors = dict(self.settings.range_factors)
        return next((factors[name] for name in group.members if name in factors), 1.0)
