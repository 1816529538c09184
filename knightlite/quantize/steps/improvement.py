"""What is tried on top of ranges: each step measured on pictures it was not tuned on, or undone.

A step changes integer weights and biases of the quantized graph layer by layer (``walk``). It
is tuned on some pictures of the sample and judged on others (``judgement``); where that
undoes it, the graph stays as it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from knightlite.inference import trim_heap
from knightlite.ir import Graph
from knightlite.ops import BY_NAME, View
from knightlite.quantize.data.sample import bytes_at_widest, pictures_at_once
from knightlite.quantize.settings import Settings, as_made
from knightlite.quantize.steps.bias import (
    correct_bias,
    correct_biases,
    pictures_for,
)
from knightlite.quantize.steps.judgement import (
    FEWEST,
    HALVES,
    JUDGES,
    JUDGING,
    Burden,
    StepResult,
    judge,
)
from knightlite.quantize.steps.rounding import round_weights
from knightlite.quantize.steps.walk import Constants, Errors, Layer, Walk, joined

Array = NDArray[Any]

SEQUENTIAL, ADAPTIVE = "sequential bias correction", "adaptive rounding"  # names of steps
COMPARED = (8, 32)  # pictures that tell what the outputs keep: of a large network, of a small one
SAMPLE_BYTES = 128 << 20  # of the sample's pictures, which stay in memory to the end


def sample_limit(graph: Graph, settings: Settings) -> int:
    """How many pictures the steps need at most; 1 where they would take too long for the effort.

    One picture passes both networks three times or so. Of large ones :data:`SAMPLE_BYTES` hold
    fewer, though never less than can be judged.
    """
    chooses = settings.range_choice and settings.bit_width == 8
    if not chooses and not steps_of(settings, graph):
        return 1
    return affordable_pictures(graph, settings) if _affords(graph, settings) else 1


def affordable_pictures(graph: Graph, settings: Settings) -> int:
    """How many pictures the effort and memory allow, though never less than can be judged."""
    affordable = max(FEWEST, settings.sample_macs // max(1, macs(graph)))
    picture = 4 * sum(graph.tensors[name].elements for name in graph.inputs)
    held = max(FEWEST, SAMPLE_BYTES // picture)
    return min(settings.sample, affordable, held)


def comparison_limit(graph: Graph, settings: Settings) -> int:
    """How many pictures tell what the outputs keep, where no metric wants them all."""
    least, most = COMPARED
    return min(most, max(least, settings.sample_macs // max(1, macs(graph))))


def left_out(graph: Graph, settings: Settings, pictures: int) -> str:
    """Why the steps that are asked for were not tried on a sample of so many pictures.

    A sentence; "" where they were, or where none is asked for.
    """
    names = " and ".join(step.name for step in steps_of(settings, graph))
    if not names:
        return ""
    if not _affords(graph, settings):
        return too_dear(names, graph, settings, FEWEST)
    if pictures >= FEWEST:
        return ""
    return f"{names}: not tried, which takes {FEWEST} pictures or more"


def _affords(graph: Graph, settings: Settings) -> bool:
    return settings.sample_macs // max(1, macs(graph)) >= FEWEST


def too_dear(names: str, graph: Graph, settings: Settings, pictures: int, runs: int = 1) -> str:
    """The sentence on steps that take so many pictures, each so often, of a large network.

    Their memory is that of the pictures, and of what is alive at the widest place for those that
    are looked at together.
    """
    inputs = 4 * sum(graph.tensors[name].elements for name in graph.inputs)
    together = pictures_at_once(graph, settings.live_bytes)
    memory = pictures * inputs + together * bytes_at_widest(graph)
    each = macs(graph) / 1e9
    times = "" if runs == 1 else f", {runs} times,"
    return (
        f"{names}: not tried, {pictures} pictures of {each:.1f} G multiply-accumulates{times} take "
        f"{pictures * runs * each:.0f} G (and {memory >> 20} MiB of memory), and "
        f"{settings.sample_macs / 1e9:.0f} G are all that {TOO_DEAR}"
    )


TOO_DEAR = "this effort affords"  # ends a sentence on what a higher effort tries


def macs(graph: Graph) -> int:
    """Multiply-accumulates of a picture."""
    return sum(BY_NAME[node.op].macs(View(graph, node)) for node in graph.nodes)


Tune = Callable[[Walk, Graph, slice], Graph]
"""Changes integer constants of a quantized graph by what some of the walk's pictures say."""


@dataclass(frozen=True, slots=True)
class Step:
    """What is tried: its name, how it is tuned, what it must show.

    ``most``: pictures of a quantized graph that it can be tuned on at once, in so many bytes.
    """

    name: str
    tune: Tune
    burden: Burden
    most: Callable[[Graph, int], int]


def steps_of(settings: Settings, graph: Graph) -> tuple[Step, ...]:
    """The steps that the settings ask for, in order. ``graph`` is the float one."""
    if settings.bit_width == 16:
        return ()  # its rounding errors are not worth a pass
    found = []
    if settings.bias_correction == "sequential":
        found.append(
            Step(
                SEQUENTIAL,
                correct_biases,
                Burden.OPEN,
                lambda quantized, memory: pictures_for(graph, quantized, memory),
            )
        )
    if settings.rounding == "adaptive":
        weights = _float_weights(graph)

        def rounded(layer: Layer) -> Constants | None:
            if layer.node.output not in weights:
                return None
            return correct_bias(layer, round_weights(layer, weights[layer.node.output]))

        found.append(
            Step(
                ADAPTIVE,
                lambda walk, quantized, some: walk.run(quantized, rounded, pictures=some).graph,
                Burden.LIKELY,
                lambda quantized, memory: pictures_at_once(graph, memory),
            )
        )
    return tuple(found)


def made_of(settings: Settings, steps: Sequence[StepResult]) -> dict[str, str]:
    """How biases were corrected and weights rounded in the end: steps may be undone, or not tried.

    What is asked for and takes no step is made in any case.
    """
    kept = {item.name: item.kept for item in steps}
    in_steps = settings.bias_correction == "sequential", settings.rounding == "adaptive"
    bias, rounding = (
        kept.get(name) if asked else True
        for name, asked in zip((SEQUENTIAL, ADAPTIVE), in_steps, strict=True)
    )
    return {
        "bias_correction": as_made(settings.bias_correction, "fast", bias),
        "rounding": as_made(settings.rounding, "nearest", rounding),
    }


def improve(
    graph: Graph,
    quantized: Graph,
    pictures: tuple[Array, ...],
    settings: Settings,
    threads: int | None = None,
) -> tuple[Graph, tuple[StepResult, ...]]:
    """The quantized graph after every step that was kept, and what each one did.

    A step is tuned on every other picture and judged on the others, or on half of them where these
    are clear. Where they leave it open, the halves change places, and all pictures judge; where it
    is then kept it is tuned on all of them.
    """
    steps = steps_of(settings, graph)
    walk = Walk(graph, pictures, threads)
    if not steps or walk.count < FEWEST or not _affords(graph, settings):
        return quantized, ()
    results = []
    for step in steps:
        started = time.perf_counter()
        most = step.most(quantized, settings.live_bytes)
        before: list[tuple[Errors, ...]] = []
        after: list[tuple[Errors, ...]] = []
        tuned: list[Graph] = []
        for tuning, judging in (HALVES, HALVES[::-1]):
            tuned.append(step.tune(walk, quantized, _spread(walk.count, tuning, most)))
            trim_heap()
            for some in in_portions(walk.count, judging):
                before.append(output_errors(walk, graph, quantized, some))
                after.append(output_errors(walk, graph, tuned[-1], some))
                judgement = judge(over_folds(before), over_folds(after))
                if judgement.is_clear(step.burden):
                    break
            if not judgement.is_open(step.burden):
                break
        kept = judgement.kept(step.burden)
        if kept and len(tuned) > 1:
            quantized = step.tune(walk, quantized, _spread(walk.count, slice(None), most))
        elif kept:
            quantized = tuned[0]
        results.append(StepResult(step.name, judgement, kept, time.perf_counter() - started))
    return quantized, tuple(results)


def in_portions(count: int, pictures: slice) -> tuple[slice, ...]:
    """Every other one of the pictures, which often say enough, and the others.

    All at once where half of them are too few to judge.
    """
    places = range(count)[pictures]
    if len(places) < 2 * JUDGES:
        return (pictures,)
    every = 2 * places.step
    return (
        slice(places.start, places.stop, every),
        slice(places.start + places.step, places.stop, every),
    )


def over_folds(parts: Sequence[tuple[Errors, ...]]) -> tuple[Errors, ...]:
    """The errors of each output on the pictures of several folds."""
    return tuple(joined(outputs) for outputs in zip(*parts, strict=True))


def output_errors(
    walk: Walk, graph: Graph, quantized: Graph, pictures: slice = JUDGING
) -> tuple[Errors, ...]:
    """Of each of the chip's outputs on the judging pictures."""
    return walk.outputs(quantized, graph.chip_outputs, pictures)


def _spread(count: int, pictures: slice, most: int) -> slice:
    """At most so many of the pictures, spread evenly over them."""
    places = range(count)[pictures]
    step = places.step * -(-len(places) // most)
    return slice(places.start, places.stop, step)


def _float_weights(graph: Graph) -> Mapping[str, Array]:
    """The trained weights of every node that multiplies, by the name of its output."""
    return {
        node.output: graph.constants[node.inputs[1]]
        for node in graph.nodes
        if BY_NAME[node.op].kernel is not None
    }
