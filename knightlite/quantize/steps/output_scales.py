"""The scale of each group by what it does at the network's outputs, picture by picture.

A range method weighs squared errors of a tensor alone, over all pictures. That goes wrong both
ways. Where a few pictures excite a tensor many times as far as the others, they pay for a scale
that is too coarse for the typical one, and what they buy may be discarded downstream. Where rare
values are what the network is for (the faces that a detector finds), clipping them looks cheap.

So the error of a scale is measured at the outputs (:mod:`.consequences`), of whole outputs and of
their upper tails (:mod:`.output_views`), for each picture. Errors of different groups are nearly
uncorrelated: they add up, on top of what the rest (weights, other groups) does to the picture. What
is minimised is the mean over the pictures of the relative error: none counts by its loudness, and a
group that is a small part of the noise has no say. It is done group by group, the largest part
first, in steps of half a bit, up or down as long as that gains. Other pictures judge the whole.

Layer-wise errors propagated to the output as the measure: Nagel et al., "A White Paper on Neural
Network Quantization", 2021, section 3.1 (cross entropy for the last layer), here for every layer.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import UnsupportedError
from knightlite.inference import Runner, available_cores, float_network
from knightlite.ir import Graph
from knightlite.quantize.data.workload import Workload
from knightlite.quantize.data_free.workloads import is_made_up
from knightlite.quantize.groups import scale_groups
from knightlite.quantize.ranges.methods import ROOMY_METHODS
from knightlite.quantize.scales.assignment import Assignment, assign
from knightlite.quantize.scales.basis import Basis
from knightlite.quantize.scales.features import quantized_tensor
from knightlite.quantize.settings import DEFAULT_SETTINGS, Settings
from knightlite.quantize.steps.consequences import Consequences
from knightlite.quantize.steps.improvement import (
    TOO_DEAR,
    affordable_pictures,
    macs,
    sample_limit,
)
from knightlite.quantize.steps.judgement import FEWEST, Burden, StepResult, judge
from knightlite.quantize.steps.output_views import (
    OUTPUT_BYTES,
    OutputViews,
    delivered,
    mean_cost,
    quantized_outputs,
    view_cost,
)
from knightlite.quantize.steps.scale_moves import (
    Aim,
    EveryView,
    PictureMeans,
    Tried,
    factor,
    part_of,
)
from knightlite.quantize.steps.walk import Errors, Walk

Array = NDArray[Any]
Float64 = NDArray[np.float64]

WORTH = 0.9  # times the relative error of all views: what it must be with room for rare values
NAME = "scales by what the outputs keep"
FURTHEST = 6  # steps from the method's scale
RUNS = 8  # of settings.sample_macs, in all
LEAST_PART = 0.04  # of the noise at the outputs: a group that is less has nothing to gain
FIRST_PART = 0.01  # of the noise of the first picture
MOST_GROUPS = 10  # that are tried
SCREENING, GLANCE, CHOOSING = 2, 4, 10  # pictures: which groups matter, may gain, do gain
FEW_VALUES = 256  # of all outputs, below which a picture says little: screening takes twice as many


def choose_output_scales(
    basis: Basis,
    assignment: Assignment,
    pictures: tuple[Array, ...],
    striking: tuple[Array, ...] = (),
    threads: int | None = None,
) -> tuple[Assignment, tuple[StepResult, ...]]:
    """The assignment with the scales that the outputs want, where other pictures agree; the step.

    ``pictures`` [n, C, H, W] per network input: the first of every two choose, the others judge;
    ``striking``: pictures with what the outputs seldom hold, taken in turn with these.
    """
    graph, settings = basis.graph, basis.settings
    count = len(pictures[0])
    if not asked(settings) or count < FEWEST or not affordable(graph, settings):
        return assignment, ()
    if not free_groups(basis, assignment):
        return assignment, ()
    started = time.perf_counter()
    watch = _Watch(graph, pictures, striking, assignment.graph, threads)
    clipped = watch.total
    basis, start = _with_room(watch, basis, assignment)
    aim = PictureMeans() if start is assignment else EveryView()
    moved = _choose(watch, free_groups(basis, start), _passes(graph, settings), aim)
    if not moved and start is assignment:
        return assignment, ()
    factors = tuple((next(iter(group.tensors)), factor(by)) for group, by in moved)
    try:
        changed = assign(basis.switched(range_factors=factors))
    except UnsupportedError:  # a narrow range may ask for more than the arithmetic holds
        return assignment, (StepResult(NAME, None, False, time.perf_counter() - started),)
    before, after = watch.errors(assignment.graph, changed.graph)
    judgement = judge(before, after)
    if start is not assignment:
        # what rare pictures gain is in no trimmed mean; nothing was tuned on those that choose
        kept = watch.cost_of_all(watch.total, after) < watch.cost_of_all(clipped, before)
    else:
        kept = judgement.kept(Burden.DOUBTFUL) and mean_cost(after) < mean_cost(before)
    step = StepResult(NAME, judgement, kept, time.perf_counter() - started)
    return (changed if kept else assignment), (step,)


def output_scales_left_out(
    graph: Graph, settings: Settings, workload: Workload, pictures: int
) -> str:
    """Why the step was not tried on a sample of so many pictures: a sentence, "" where it was."""
    if not asked(settings) or is_made_up(workload):
        return ""
    if not affordable(graph, settings):
        passes, each = least_passes(graph), macs(graph) / 1e9
        return (
            f"{NAME}: not tried, {passes} passes of {each:.1f} G multiply-accumulates take "
            f"{passes * each:.0f} G, and {RUNS * settings.sample_macs / 1e9:.0f} G are all that "
            f"{TOO_DEAR}"
        )
    if pictures < FEWEST:
        return f"{NAME}: not tried, which takes {FEWEST} pictures or more"
    return ""


def _with_room(watch: _Watch, basis: Basis, assignment: Assignment) -> tuple[Basis, Assignment]:
    """Ranges with room for rare values everywhere, where rare values of maps keep more so.

    What is rare at the outputs is rare in many tensors before: one of them alone tells little.
    """
    best, total = (basis, assignment), watch.total
    if not watch.views.tails:
        return best
    least = WORTH * view_cost(total, watch.energy)
    for method in ROOMY_METHODS:
        roomy = basis.switched(method=method)
        try:
            other = assign(roomy)
        except UnsupportedError:
            continue
        noise = watch.noise(other.graph)
        found = view_cost(noise, watch.energy)
        if found < least:
            best, total, least = (roomy, other), noise, found
    watch.total = total
    return best


def sample_wanted(graph: Graph, settings: Settings) -> int:
    """How many pictures all steps on top of ranges need at most, this one too; 1 for none."""
    least = sample_limit(graph, settings)
    if not asked(settings) or not affordable(graph, settings):
        return least
    return max(least, affordable_pictures(graph, settings))


def asked(settings: Settings) -> bool:
    """Whether the settings ask for the step: a method that the user names serves as it is."""
    return (
        settings.output_scales
        and settings.bit_width == 8
        and settings.method == DEFAULT_SETTINGS.method
    )


def affordable(graph: Graph, settings: Settings) -> bool:
    """Whether the effort allows to look at every group on one picture, and half as much again."""
    return least_passes(graph) <= _passes(graph, settings)


def least_passes(graph: Graph) -> int:
    """Forward passes of a picture that the step takes at least: half of the network by group."""
    return -(-3 * len(scale_groups(graph)) // 4)


def _passes(graph: Graph, settings: Settings) -> int:
    """Forward passes of a picture that the effort affords."""
    return RUNS * settings.sample_macs // max(1, macs(graph))


def free_groups(basis: Basis, assignment: Assignment) -> list[Tried]:
    """The groups of 8 bits whose scale a range method chose, and no pin or other rule."""
    pinned = {pin.name for pin in basis.settings.pins}
    found = []
    for group in scale_groups(basis.graph):
        first = assignment.features[group.members[0]]
        if (
            first.dtype.bits == 8
            and first.rule.is_method
            and not pinned.intersection(group.members)
        ):
            tensors = {
                name: quantized_tensor(basis.graph, assignment.features[name])
                for name in group.members
            }
            found.append(Tried(tensors))
    return found


def in_turn(one: tuple[Array, ...], other: tuple[Array, ...]) -> tuple[Array, ...]:
    """Pictures of two sets, in turn as long as both have some; arrays by network input."""
    if not other:
        return one
    order = sorted(
        [*range(len(one[0])), *(len(one[0]) + place for place in range(len(other[0])))],
        key=lambda place: place if place < len(one[0]) else place - len(one[0]) - 0.5,
    )
    return tuple(np.concatenate(pair)[order] for pair in zip(one, other, strict=True))


class _Watch:
    """The outputs of both networks on the pictures that choose and on those that judge.

    ``choosing``: how many choose; ``total``: the noise [views, n] of the quantized network on them,
    ``energy`` what it is relative to; ``values``: of all outputs for a picture.
    """

    def __init__(
        self,
        graph: Graph,
        pictures: tuple[Array, ...],
        striking: tuple[Array, ...],
        quantized: Graph,
        threads: int | None,
    ) -> None:
        self.graph, self._threads = graph, threads
        each = 4 * sum(graph.tensors[name].elements for name in graph.chip_outputs)
        most = max(FEWEST, OUTPUT_BYTES // each)
        self.values = each // 4
        choosing = tuple(item[: min(most, 2 * CHOOSING) : 2] for item in pictures)
        chosen = in_turn(choosing, tuple(item[::2] for item in striking))
        self._judging = in_turn(
            tuple(item[1:most:2] for item in pictures), tuple(item[1::2] for item in striking)
        )
        self._walk = Walk(graph, chosen, threads)
        self.choosing = len(chosen[0])
        exact = self._exactly(chosen)
        self.views = OutputViews(exact)
        self._chosen = chosen, exact
        self.total = self.noise(quantized)
        self.energy = self.views.energy(exact)

    def _exactly(self, pictures: tuple[Array, ...]) -> dict[str, Array]:
        runner = Runner(float_network(self.graph, self.graph.chip_outputs), self._threads)
        return delivered(self.graph, runner, pictures)

    def noise(self, quantized: Graph) -> Float64:
        """Of a quantized network [views, n] on the pictures that choose."""
        pictures, exact = self._chosen
        return self.views.noise(exact, quantized_outputs(quantized, pictures, self._threads))

    def errors(self, *quantized: Graph) -> Iterator[tuple[Errors, ...]]:
        """Of each view on the pictures that judge, of each quantized network."""
        exact = self._exactly(self._judging)
        for network in quantized:
            fixed = quantized_outputs(network, self._judging, self._threads)
            yield self.views.errors(exact, fixed)

    def cost_of_all(self, noise: Float64, errors: Sequence[Errors]) -> float:
        """What a network costs by views: its ``noise`` where pictures choose, and ``errors``."""
        noises = [
            np.concatenate([one, item.noise]) for one, item in zip(noise, errors, strict=True)
        ]
        energies = [
            np.concatenate([one, item.energy])
            for one, item in zip(self.energy, errors, strict=True)
        ]
        return view_cost(np.asarray(noises), np.asarray(energies))

    def measure(self, wanted: Sequence[tuple[Tried, int]], count: int) -> None:
        """The noise of every group at a number of steps, on the first ``count`` that choose.

        What is known already is not measured again.
        """
        with ThreadPoolExecutor(self._threads or available_cores()) as pool:
            for place in range(count):
                tasks = [(group, by) for group, by in wanted if group.seen(by) <= place]
                if not tasks:
                    continue
                noise = partial(self._noise, Consequences(self.graph, self._walk, place))
                for (group, by), found in zip(tasks, pool.map(noise, tasks), strict=True):
                    group.add(by, found)

    def _noise(self, some: Consequences, task: tuple[Tried, int]) -> Float64:
        group, by = task
        return self.views.noise(some.outputs, some.of(group.at(by)))


def _choose(
    watch: _Watch, groups: Sequence[Tried], passes: int, aim: Aim
) -> list[tuple[Tried, int]]:
    """The groups that move and by how many steps; ``passes``: that may be run."""
    each = max(1.0, len(groups) / 2)  # of one picture: half of the network on the average
    screening = SCREENING if watch.values >= FEW_VALUES else 2 * SCREENING
    screening = max(1, min(screening, watch.choosing, int(passes / each / 2)))
    parts: list[float] = []
    for count, least in ((1, FIRST_PART), (screening, LEAST_PART)):  # one picture rules most out
        watch.measure([(group, 0) for group in groups], count)
        parts = [part_of(group.noise[0][:, :count], watch.total[:, :count]) for group in groups]
        loud = [place for place, part in enumerate(parts) if part >= least]
        groups, parts = [groups[place] for place in loud], [parts[place] for place in loud]
    order = [groups[place] for place in np.argsort(parts)[::-1]]
    left = passes - int(screening * each)
    order = order[: min(MOST_GROUPS, left // (2 * GLANCE))]
    _measure_steps(watch, order, aim)
    total = watch.total
    moved = []
    for group in order:
        by, total = aim.best(group, total, watch.energy)
        if by:
            moved.append((group, by))
    return moved


def _measure_steps(watch: _Watch, groups: Sequence[Tried], aim: Aim) -> None:
    """Every group a step up and down, and further where that gains; a glance ends the most.

    On few pictures, then on more of them, as long as these could show what a scale must gain.
    """
    ways: dict[Tried, tuple[int, ...]] = dict.fromkeys(groups, aim.ways)
    for count in sorted(
        {min(some, watch.choosing) for some in (SCREENING, GLANCE)} | {watch.choosing}
    ):
        watch.measure([(group, by) for group in ways for by in (0, *ways[group])], count)
        total, energy = watch.total[:, :count], watch.energy[:, :count]
        ways = {
            group: tuple(by for by in some if aim.may_gain(group, by, total, energy))
            for group, some in ways.items()
        }
        ways = {group: some for group, some in ways.items() if some}
    best = {group: aim.least(group, (0, *some), total, energy) for group, some in ways.items()}
    groups = [group for group in ways if best[group]]
    for distance in range(2, FURTHEST + 1):
        further = [(group, distance * best[group]) for group in groups]
        watch.measure(further, watch.choosing)
        groups = [
            group
            for group, by in further
            if aim.least(group, (by - best[group], by), total, energy) == by
        ]
