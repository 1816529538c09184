"""A whole quantization: observe the float network, choose, try, compare with the quantized one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from knightlite.errors import Finding
from knightlite.evaluation import paired
from knightlite.inference import trim_heap
from knightlite.ir import Graph
from knightlite.ops import BY_NAME
from knightlite.ops.wide_table import with_lut_length
from knightlite.quantize.choices import AUTO_METHOD
from knightlite.quantize.data.workload import PictureFolder, Workload
from knightlite.quantize.data_free.standardize import Changes, changed, restored
from knightlite.quantize.data_free.workloads import (
    DataFree,
    RandomData,
    changes_for,
    is_made_up,
    settings_without_pictures,
    under,
)
from knightlite.quantize.mixed.cycles import Clock
from knightlite.quantize.mixed.mix_choice import choose_mix
from knightlite.quantize.ranges.methods import method_of
from knightlite.quantize.report import REPORT_VERSION, describe
from knightlite.quantize.report_entries import Entry
from knightlite.quantize.rewrites.equalization import Equalized
from knightlite.quantize.rewrites.lifting import Lifted, lift_tables
from knightlite.quantize.rewrites.spreading import spread_channels
from knightlite.quantize.scales.assignment import Assignment, check_constants
from knightlite.quantize.scales.basis import Basis
from knightlite.quantize.scales.widths import wide_entries
from knightlite.quantize.settings import DEFAULT_SETTINGS, Settings
from knightlite.quantize.statistics.distribution_cache import (
    DistributionCache,
    WatchedWorkload,
    check_data,
)
from knightlite.quantize.statistics.distribution_cache import observed as observed_or_cached
from knightlite.quantize.statistics.passes import (
    Comparison,
    Observation,
    Progress,
    compare,
    observe,
)
from knightlite.quantize.steps.equalizing import try_equalization
from knightlite.quantize.steps.improvement import comparison_limit, improve, made_of
from knightlite.quantize.steps.judgement import StepResult
from knightlite.quantize.steps.norms import bring_rows_together
from knightlite.quantize.steps.output_scales import choose_output_scales, sample_wanted
from knightlite.quantize.steps.range_choice import choose_ranges
from knightlite.quantize.weak_layers import findings, weak_layers

Array = NDArray[Any]
TOLD_DB = 20  # of a channel's weights: what keeps less is counted in a warning


@dataclass(frozen=True, slots=True)
class QuantizeResult:
    """What quantization made. ``report`` is deterministic; ``timings_s`` are kept apart from it.

    ``float_graph``: the float network that was quantized, whose tables may be lifted and whose
    channels may be equalized: tensor by tensor it is what ``graph`` is compared with.
    ``inputs``: the last batch the network read, one array [N, C, H, W] per network input;
    ``data_sha256``: of all arrays it read.
    ``warnings``: what the user should know.
    """

    graph: Graph
    float_graph: Graph
    report: Entry
    inputs: tuple[Array, ...]
    data_sha256: str
    warnings: tuple[Finding, ...]
    steps: tuple[StepResult, ...]
    timings_s: dict[str, float]


def quantize_graph(
    graph: Graph,
    workload: Workload,
    settings: Settings = DEFAULT_SETTINGS,
    progress: Progress | None = None,
    *,
    threads: int | None = None,
    clock: Clock | None = None,
) -> QuantizeResult:
    """Quantize the float ``graph`` with the pictures of ``workload``.

    ``threads`` are ONNX Runtime's. ``clock`` predicts cycles: the report says what widths cost, and
    a budget of them is kept. UsageError for an unknown method or lut_len or a budget without a
    clock, DataError for data that cannot be used, ModelError for NaN weights, UnsupportedError for
    nodes that the arithmetic cannot represent.
    """
    prepared = prepare(graph, workload, settings, progress, threads)
    return finish(prepared, workload, settings, progress, threads, clock=clock)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What all choices of ranges have in common: the float graph, and what was seen.

    ``exact``: the float graph before tables were spread; ``tried``: steps on it; ``changes``: what
    was seen is ``changed(graph, changes)``: without pictures, as its BatchNorms know the network;
    ``watched``: the data, hashed on its way.
    """

    graph: Graph
    exact: Graph
    lifted: tuple[Lifted, ...]
    changes: Changes
    equalized: tuple[Equalized, ...]
    tried: tuple[StepResult, ...]
    seen: Observation
    watched: WatchedWorkload
    seconds: float


def prepare(
    graph: Graph,
    workload: Workload,
    settings: Settings = DEFAULT_SETTINGS,
    progress: Progress | None = None,
    threads: int | None = None,
    snapshots: Sequence[int] = (),
    cache: DistributionCache | None = None,
) -> Prepared:
    """The first pass; ``snapshots``: numbers of forward calls of which ``finish`` may be asked.

    ``cache`` may stand for the pass; it holds no snapshots.
    """
    method_of(settings.method, settings.percent)  # refused before any work
    check_constants(graph)
    if settings.lut_len is not None:
        graph = with_lut_length(graph, settings.lut_len)
    started = time.perf_counter()
    graph = bring_rows_together(graph, workload, settings, threads)
    lifted: tuple[Lifted, ...] = ()
    # without any bias correction the rounding of weights would meet a larger mean
    if settings.lift_tables and settings.bit_width == 8 and settings.bias_correction != "off":
        graph, lifted = lift_tables(graph)
    settings = settings_without_pictures(settings, workload)
    graph, equalized, tried = try_equalization(graph, workload, settings, threads)
    trim_heap()
    changes: Changes = {}
    if isinstance(workload, DataFree):
        changes = changes_for(graph, workload, threads)
    exact = graph
    if settings.spread_channels and settings.bit_width == 8:
        graph = spread_channels(graph)
    seen_as = changed(graph, changes)
    limit = sample_wanted(graph, settings)
    watched = WatchedWorkload(workload)

    def first_pass() -> Observation:
        return observe(seen_as, watched, progress, threads, limit, snapshots)

    if cache is not None:
        seen = observed_or_cached(cache, seen_as, watched, limit, first_pass)
    else:
        seen = first_pass()
    trim_heap()
    seconds = time.perf_counter() - started
    return Prepared(graph, exact, lifted, changes, equalized, tried, seen, watched, seconds)


def finish(
    prepared: Prepared,
    workload: Workload,
    settings: Settings = DEFAULT_SETTINGS,
    progress: Progress | None = None,
    threads: int | None = None,
    calls: int | None = None,
    cache: DistributionCache | None = None,
    clock: Clock | None = None,
) -> QuantizeResult:
    """The choice by ``settings`` and the second pass.

    Ranges come from the first ``calls`` forward calls, of those that ``prepare`` was told, else
    from all; the comparison is over all pictures. ``clock`` as for :func:`quantize_graph`.
    """
    graph, seen, watched = prepared.graph, prepared.seen, prepared.watched
    statistics, pictures = seen.earlier.get(calls or 0, (seen.statistics, seen.pictures))
    seen_as = changed(graph, prepared.changes)
    settings = settings_without_pictures(settings, workload)
    observed = time.perf_counter()
    basis = Basis(graph, statistics, seen.plan, settings)
    mixed = choose_mix(basis, seen_as, prepared.exact, workload, seen, threads, clock)
    assignment, settings = mixed.assignment, mixed.settings
    assigned = time.perf_counter()
    chosen: tuple[StepResult, ...] = ()
    if not is_made_up(workload):  # such pictures do not tell what readers make of real ones
        own = basis.under(settings)
        assignment, chosen = choose_ranges(own, assignment, seen.sample, threads)
        assignment, moved = choose_output_scales(
            own, assignment, seen.sample, seen.striking, threads
        )
        chosen += moved
        trim_heap()
    improved, steps = improve(
        seen_as, changed(assignment.graph, prepared.changes), seen.sample, settings, threads
    )
    quantized = restored(assignment.graph, improved, prepared.changes)
    trim_heap()
    steps = (*prepared.tried, *chosen, *steps)
    corrected = time.perf_counter()
    # without a metric a few pictures tell what the outputs keep; a cache is held against all data
    whole = seen.metric is not None or not seen.last
    enough = None if whole else comparison_limit(graph, settings)
    with ThreadPoolExecutor(1) as beside:  # pricing keeps one core busy, beside ONNX Runtime's runs
        pricing = beside.submit(mixed.price)
        again = workload if cache is None else watched  # what a cache is of must be what is fed
        comparison = compare(seen_as, improved, again, seen.recording, progress, threads, enough)
        cost = pricing.result()
    if cache is not None:
        check_data(cache, watched)
    finished = time.perf_counter()
    described = describe(basis, assignment)
    wide = [name for name, feature in assignment.features.items() if feature.dtype.bits == 16]
    report: Entry = {
        "version": REPORT_VERSION,
        "model": graph.name,
        "method": AUTO_METHOD if settings.range_choice else settings.method,
        **made_of(settings, steps),
        "workload": workload.description,
        "pictures": pictures,
        "metric": {
            "float": seen.metric,
            "quantized": comparison.metric,
            "loss_percent": quantization_loss(seen.metric, comparison.metric),
            **_counted(graph, seen.metric, comparison, workload),
        },
        "outputs": comparison.outputs,
        "compared": comparison.pictures,
        "steps": [item.entry for item in steps],
        "sample": len(seen.sample[0]),
        **mixed.report,
        "cycles": cost,
        "wide": wide_entries(graph, settings, wide),
        "lifted": [{"tensor": item.tensor, "lift": item.lift} for item in prepared.lifted],
        "equalized": [
            {
                "tensors": list(item.tensors),
                "channels": item.channels,
                "spread_before": round(item.spread_before, 2),
                "spread_after": round(item.spread_after, 2),
            }
            for item in prepared.equalized
        ],
        **described,
    }
    return QuantizeResult(
        quantized,
        prepared.exact,
        report,
        seen.last or comparison.inputs,
        watched.digest,
        (
            *_warnings(graph, assignment, workload, settings),
            *findings(weak_layers(basis, assignment, described["tensors"])),
        ),
        steps,
        {
            "observe": prepared.seconds,
            "assign": assigned - observed,
            "improve": corrected - assigned,
            "compare": finished - corrected,
            "total": prepared.seconds + finished - observed,
        },
    )


def quantization_loss(float_metric: float | None, metric: float | None) -> float | None:
    """Percent of the float metric that is lost, negative where the quantized one is higher.

    Knight's ``|fix - float| / |float| * 100`` with its sign; None where there is no metric or it is
    zero.
    """
    if float_metric is None or metric is None or float_metric == 0:
        return None
    return (float_metric - metric) / abs(float_metric) * 100


def _counted(
    graph: Graph, float_metric: float | None, comparison: Comparison, workload: Workload
) -> dict[str, int | None]:
    """Pictures that only the float network gets right, and only the quantized one.

    None where the metrics are not the share of pictures whose answers are right.
    """
    found = None
    if float_metric is not None and comparison.metric is not None and comparison.answers:
        mine, theirs = comparison.answers
        wanted = None
        if isinstance(workload, PictureFolder):
            wanted = workload.wanted(graph.tensors[graph.chip_outputs[0]].elements)
        found = paired(mine, theirs, (float_metric, comparison.metric), wanted)
    return {
        "lost": None if found is None else found.lost,
        "won": None if found is None else found.won,
    }


STAYS = "where 8 bits are too few, end the network in front of it with -on"


def _warnings(
    graph: Graph, assignment: Assignment, workload: Workload, settings: Settings
) -> list[Finding]:
    """No pictures, raised channels, outputs and tensors that stay at 8 bits."""
    asked = (settings.widths or settings.mix).wide
    by_rule = [
        name for name in assignment.narrowed if settings.bit_width == 8 and name not in asked
    ]
    found = [
        Finding(name, f"it stays at 8 bits: {sentence}.", STAYS, "warning")
        for name, sentence in assignment.narrowed.items()
        if settings.bit_width == 16 or name in asked
    ]
    if by_rule:
        more = f" ({len(by_rule)} such tensors in all)" if len(by_rule) > 1 else ""
        found.append(
            Finding(
                by_rule[0],
                "it stays at 8 bits although a rule gives it 16: "
                f"{assignment.narrowed[by_rule[0]]}{more}.",
                STAYS,
                "warning",
            )
        )
    data = under(workload)
    if isinstance(data, (DataFree, RandomData)):
        found.append(Finding("data", data.warning, severity="warning"))
    found += _raised(assignment)
    for name in graph.seen_chip_outputs:
        if assignment.features[name].dtype.bits == 8 and not _is_place(graph, name):
            found.append(
                Finding(
                    name,
                    "the network output is delivered in 8 bits, because another operator reads it "
                    "or its producer cannot write 16.",
                    "where that is too coarse, end the network one operator earlier with -on",
                    "warning",
                )
            )
    return found


def _is_place(graph: Graph, name: str) -> bool:
    """True for a place that was picked, wherever it was moved: whole numbers lose nothing."""
    node = graph.producers().get(name)
    while node is not None and BY_NAME[node.op].value_preserving and len(node.inputs) == 1:
        node = graph.producers().get(node.inputs[0])
    return node is not None and BY_NAME[node.op].picks


def _raised(assignment: Assignment) -> list[Finding]:
    """The layers whose weights are too small for the range of ratios, which lose most first."""
    costs = {
        name: sum(item.after_db is not None and item.after_db < TOLD_DB for item in made.raises)
        for name, made in assignment.weights.items()
        if made.raises
    }
    return [
        Finding(
            name,
            f"{len(made.raises)} of {made.scale.size} channels have weights too small for the "
            f"requantize range, and their scales were raised; {costs[name]} of them keep less than "
            f"{TOLD_DB} dB.",
            "the report of `knightlite quant` lists every one under raises",
            "warning",
        )
        for name in sorted(costs, key=lambda name: costs[name], reverse=True)
        for made in (assignment.weights[name],)
    ]
