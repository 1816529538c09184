"""Which tensors are watched, and how: each once, per channel where it may have such scales."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from knightlite.ir import Graph, Node
from knightlite.ops import BY_NAME, View, Window
from knightlite.ops.signs import nonnegative_outputs
from knightlite.quantize.groups import channel_scaled
from knightlite.quantize.statistics.observers import (
    WELL_COUNTED,
    Observer,
    Statistics,
    add_statistics,
)


@dataclass(frozen=True, slots=True)
class ObservationPlan:
    """Which tensors calibration looks at; ``derived`` nodes' outputs follow from their parts."""

    observed: tuple[str, ...]
    derived: tuple[Node, ...]
    per_channel: frozenset[str]
    nonnegative: frozenset[str]
    means: frozenset[str]


def observation_plan(graph: Graph) -> ObservationPlan:
    """Every tensor is observed once: what a Concat joins along channels is the sum of its parts.

    The means are those of tensors that convolutions read, for the bias correction.
    """
    derived = tuple(node for node in graph.nodes if _stacks_channels(View(graph, node)))
    names = {node.output for node in derived}
    observed = tuple(
        name
        for name in (*graph.inputs, *(node.output for node in graph.nodes))
        if name not in names
    )
    means = {node.inputs[0] for node in graph.nodes if BY_NAME[node.op].kernel}
    for node in reversed(derived):
        if node.output in means:
            means.update(node.inputs)
    return ObservationPlan(
        observed, derived, channel_scaled(graph), nonnegative_outputs(graph), frozenset(means)
    )


def _stacks_channels(view: View) -> bool:
    """True where the output is its inputs, channel behind channel."""
    joins = BY_NAME[view.node.op].joins
    return joins is not None and all(part == Window(part.channel) for part in joins(view))


def make_observers(
    graph: Graph, plan: ObservationPlan, well: int = WELL_COUNTED
) -> dict[str, Observer]:
    """One observer for each tensor of the plan; ``well``: pictures that each counts well."""
    return {
        name: Observer(
            name,
            graph.tensors[name].shape[1],
            per_channel=name in plan.per_channel,
            signed=name not in plan.nonnegative,
            mean=name in plan.means,
            integral=name in graph.inputs,
            well=well,
        )
        for name in plan.observed
    }


def collect(observers: Mapping[str, Observer], plan: ObservationPlan) -> dict[str, Statistics]:
    """The statistics of all feature tensors so far, the derived ones included."""
    return with_derived({name: observer.result() for name, observer in observers.items()}, plan)


def collect_last(observers: dict[str, Observer], plan: ObservationPlan) -> dict[str, Statistics]:
    """The same in the end: each observer's memory is given back when it is read."""
    return with_derived({name: observers.pop(name).result() for name in list(observers)}, plan)


def with_derived(statistics: dict[str, Statistics], plan: ObservationPlan) -> dict[str, Statistics]:
    """The statistics of all that is observed with those of the derived tensors."""
    for node in plan.derived:
        statistics[node.output] = add_statistics([statistics[name] for name in node.inputs])
    return statistics
