"""The range method of each scale group by the error it leaves behind the operators that read it.

A method sees a tensor alone: what it counts as error may be an outlier that every reader multiplies
by nearly nothing, or just the values that matter. So the scale of each method is tried on a few
pictures: the group's values are rounded and saturated to it, every operator that reads the group
computes on them and on the float ones, and what differs is added up over the readers, each relative
to the energy of its output. Layer-wise output error as the measure of a quantizer: Nagel et al.,
"Up or Down? Adaptive Rounding for Post-Training Quantization", 2020, section 3; Hubara et al.,
"Accurate Post Training Quantization With Small Calibration Sets", 2021, section 3.1.

A few pictures know little of outliers; the histograms know all pictures. So what the pictures tell
is only by how much the readers amplify the error of a scale; the error itself is the histogram's.
(Taken from 16 pictures alone, the choice follows them: it gained there and lost on others.)
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import UnsupportedError
from knightlite.ir import Graph, Node, Tensor
from knightlite.quantize.groups import Group, computed_members, felt_interval, scale_groups
from knightlite.quantize.ranges.methods import METHODS
from knightlite.quantize.scales.assignment import Assignment, assign
from knightlite.quantize.scales.basis import Basis
from knightlite.quantize.scales.feature_choice import choose_features
from knightlite.quantize.scales.features import quantized_tensor
from knightlite.quantize.scales.group_scales import expected_error
from knightlite.quantize.steps.improvement import output_errors
from knightlite.quantize.steps.judgement import FEWEST, Burden, StepResult, judge
from knightlite.quantize.steps.live_values import fake_quantize
from knightlite.quantize.steps.walk import Compute, Walk

Array = NDArray[Any]
Float64 = NDArray[np.float64]

NAME = "range methods by the readers' error"
LEAST_GAIN = 0.05  # of a group's error: for less the general method stays
ALIKE = 1e-3  # scales that differ less are one candidate
MOST_PICTURES = 16  # each costs its share of a pass per candidate


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A scale group under one method: its tensors with type and scale, by name."""

    method: str
    tensors: Mapping[str, Tensor]


def choose_ranges(
    basis: Basis,
    assignment: Assignment,
    pictures: tuple[Array, ...],
    threads: int | None = None,
) -> tuple[Assignment, tuple[StepResult, ...]]:
    """The assignment with each group's best method, where that gains on other pictures; the step.

    ``pictures`` [n, C, H, W] per network input: the first of every two choose, the others judge.
    """
    graph, settings = basis.graph, basis.settings
    walk = Walk(graph, pictures, threads)
    if not settings.range_choice or settings.bit_width == 16 or walk.count < FEWEST:
        return assignment, ()
    groups = candidates(basis, assignment)
    if not groups:
        return assignment, ()
    started = time.perf_counter()
    errors = readers_errors(walk, basis, groups, slice(0, 2 * MOST_PICTURES, 2))
    methods = best_methods(groups, errors)
    if not methods:
        return assignment, ()
    own = basis.switched(tensor_methods=(*settings.tensor_methods, *methods))
    try:
        changed = assign(own)
    except UnsupportedError:  # a narrow range may ask for more than the arithmetic holds
        return assignment, (StepResult(NAME, None, False, time.perf_counter() - started),)
    before, after = (output_errors(walk, graph, item.graph) for item in (assignment, changed))
    judgement = judge(before, after)
    kept = judgement.kept(Burden.DOUBTFUL)
    step = StepResult(NAME, judgement, kept, time.perf_counter() - started)
    return (changed if kept else assignment), (step,)


def candidates(basis: Basis, assignment: Assignment) -> tuple[tuple[Candidate, ...], ...]:
    """Per scale group whose method is free the scales to choose from, the present one first.

    A method is free where it made the scale, and neither the user's scales nor a method for this
    tensor alone decide. Groups on which all methods agree are left out.
    """
    graph, settings = basis.graph, basis.settings
    decided = {name for name, _ in settings.tensor_methods} | {pin.name for pin in settings.pins}
    chosen = {settings.method: assignment.features}
    for method in METHODS:
        if method not in chosen:
            chosen[method] = choose_features(basis.switched(method=method), assignment.widths)
    found = []
    for group in scale_groups(graph):
        first = group.members[0]
        rule = assignment.features[first].rule
        by_method = rule.is_method and rule.name == settings.method
        if not by_method or decided.intersection(group.members):
            continue
        some: list[Candidate] = []
        for method, features in chosen.items():
            tensors = {name: quantized_tensor(graph, features[name]) for name in group.members}
            if all(not _alike(tensors[first], item.tensors[first]) for item in some):
                some.append(Candidate(method, tensors))
        if len(some) > 1:
            found.append(tuple(some))
    return tuple(found)


def _alike(one: Tensor, other: Tensor) -> bool:
    assert one.scale is not None
    assert other.scale is not None
    if one.scale.shape != other.scale.shape:
        return False
    return bool(np.all(np.abs(one.scale - other.scale) <= ALIKE * one.scale))


def readers_errors(
    walk: Walk, basis: Basis, groups: Sequence[Sequence[Candidate]], pictures: slice
) -> list[Float64]:
    """Per group the error [candidates] behind its readers to expect over all pictures.

    On the pictures of the slice the readers' error is so many times that of the group's values;
    the histograms tell what the latter is over all.
    """
    behind, own = _errors_on(walk, basis.graph, groups, pictures)
    found = []
    for some, outer, inner in zip(groups, behind, own, strict=True):
        whole = [expected_error(basis, item.tensors) for item in some]
        ratio = np.divide(whole, inner, out=np.ones(len(some)), where=inner > 0)
        found.append(outer * ratio)
    return found


def _errors_on(
    walk: Walk, graph: Graph, groups: Sequence[Sequence[Candidate]], pictures: slice
) -> tuple[list[Float64], list[Float64]]:
    """Relative squared errors [candidates] per group: behind its readers, and of its own sources.

    What is delivered is read by the host as it is.
    """
    behind = [_Errors(len(some)) for some in groups]
    own = [_Errors(len(some)) for some in groups]
    place = {name: index for index, some in enumerate(groups) for name in some[0].tensors}
    sources = {
        name: felt_interval(graph, name)
        for some in groups
        for name in computed_members(graph, Group(tuple(some[0].tensors)))
    }

    def made(name: str, values: Array) -> None:
        if name not in sources:
            return
        index, felt = place[name], np.clip(values, *sources[name])
        fixed = [fake_quantize(felt, item.tensors[name]) for item in groups[index]]
        own[index].add(name, felt, fixed)
        if name in graph.chip_outputs:
            behind[index].add("", felt, fixed)

    def visit(node: Node, inputs: Mapping[str, Array], value: Array, compute: Compute) -> None:
        made(node.output, value)
        for index in sorted({place[name] for name in inputs if name in place}):
            if place.get(node.output) == index:
                continue  # it only moves the values on
            fixed = []
            for item in groups[index]:
                rounded = {
                    name: fake_quantize(values, item.tensors[name])
                    for name, values in inputs.items()
                    if name in item.tensors
                }
                fixed.append(compute({**inputs, **rounded}))
            behind[index].add(node.output, value, fixed)

    walk.visit(visit, pictures, inputs=made)
    return [item.relative() for item in behind], [item.relative() for item in own]


class _Errors:
    """Sums of squares by place: of what each candidate changes, and of the values."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._sums: dict[str, Float64] = {}

    def add(self, place: str, exact: Array, fixed: Sequence[Array]) -> None:
        """Some pictures' values at a place, and what each candidate makes of them."""
        squares = [np.sum(np.square(item - exact), dtype=np.float64) for item in fixed]
        row = np.asarray([*squares, np.sum(np.square(exact), dtype=np.float64)])
        self._sums[place] = self._sums.get(place, 0.0) + row

    def relative(self) -> Float64:
        """Every place's errors relative to the energy there, added up [candidates]."""
        rows = [row[:-1] / row[-1] for row in self._sums.values() if row[-1] > 0]
        return np.sum(rows, axis=0) if rows else np.zeros(self._count)


def best_methods(
    groups: Sequence[Sequence[Candidate]], errors: Sequence[Float64]
) -> tuple[tuple[str, str], ...]:
    """(first tensor of the group, method) where another than the general one is clearly better."""
    found = []
    for some, error in zip(groups, errors, strict=True):
        best = int(np.argmin(error))
        if error[best] < (1 - LEAST_GAIN) * error[0]:
            found.append((next(iter(some[best].tensors)), some[best].method))
    return tuple(found)
