"""The whole diagnosis: measure every layer, name the causes, try the remedies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.diagnosis.causes import (
    DATA_RANGE,
    LABELS,
    PREPROCESSING,
    Suspect,
    beside_foreign_data,
    ratio_db,
    tensor_suspects,
)
from knightlite.diagnosis.findings import (
    HEALTHY_DB,
    PROVING,
    Diagnosis,
    Finding,
    LayerQuality,
    TakeMore,
    is_lossy,
    more_tell,
)
from knightlite.diagnosis.fitting import better_fit
from knightlite.diagnosis.judge import Judge, Score, few_pictures
from knightlite.diagnosis.measured import MeasuredWorkload
from knightlite.diagnosis.places import (
    EVERYWHERE,
    Mended,
    Place,
    Trial,
    few_bits,
    guilty,
    middle,
    telling,
)
from knightlite.diagnosis.preprocessing import LAYOUTS, Preprocessing, examine
from knightlite.diagnosis.probe import Sums, measure
from knightlite.diagnosis.rare_causes import rare_suspects
from knightlite.diagnosis.remedies import (
    HELPS_DB,
    NAMED,
    Case,
    Remedy,
    Tried,
    extra_cycles,
    remedy_count,
    try_remedies,
    wide_operators,
)
from knightlite.diagnosis.weight_causes import weight_suspects
from knightlite.errors import UsageError
from knightlite.evaluation import Answers
from knightlite.ir import Graph
from knightlite.ops import BY_NAME
from knightlite.preprocess import Recipe
from knightlite.quantize.data import PictureFolder, Workload
from knightlite.quantize.groups import features
from knightlite.quantize.mixed import Clock
from knightlite.quantize.rewrites import spread_channels
from knightlite.quantize.settings import Settings
from knightlite.quantize.statistics import Observation, observe
from knightlite.quantize.steps import sample_wanted

Progress = Callable[[str, int, int | None], None]
"""(stage, how much is done, of how much where that is known here: not of pictures)."""

SAMPLE = 16  # pictures on which places are tried
INPUT = "Input"
FIRST_MEND = (
    "; this was measured with the {} that {} called wrong above: mend that, quantize "
    "and diagnose again before this is tried"
)


def diagnose(
    graph: Graph,
    quantized: Graph,
    workload: Workload,
    settings: Settings,
    recipe: Recipe | None = None,
    *,
    suspects: int = 8,
    progress: Progress | None = None,
    threads: int | None = None,
    clock: Clock | None = None,
    take_more: TakeMore = more_tell,
    known: bool = False,
) -> Diagnosis:
    """Find out where ``quantized`` loses what the float ``graph`` has, and why.

    ``settings``: those it was quantized with, for remedies; ``recipe``: of the data, where known;
    ``suspects``: how many places are tried; ``clock``: of the chip, for what ``quant`` decides by
    cycles; ``take_more``: says where more pictures come from; ``known``: the data are a part of
    what it was calibrated on, so that to calibrate on them alone mends nothing. UsageError where
    the two are not the same network.
    """
    source = graph
    if len(features(graph)) != len(features(quantized)):
        graph = spread_channels(graph)
    require_same(graph, quantized)
    tell = progress or (lambda stage, done, total: None)
    limit = sample_wanted(graph, settings)
    seen = observe(
        graph,
        workload,
        lambda stage, done, _: tell(stage, done, None),
        threads,
        max(limit, SAMPLE),
    )
    exact = workload.values if isinstance(workload, MeasuredWorkload) else []
    measured = measure(graph, quantized, workload, lambda done: tell("layers", done, None), threads)
    sample, seen = seen.sample, _as_quant_has_it(seen, limit)
    judge = Judge(graph, workload, seen.recording, threads)
    before = judge.score(quantized)
    measured_drop = before.beside(Score(None, None, values=tuple(exact)), workload)
    wanted = _wanted(graph, workload)
    preprocessing, findings = _preprocessing(
        graph, workload, seen, recipe, threads, wanted,
        seen.pictures >= PROVING and before.sqnr_db is not None and before.sqnr_db < HEALTHY_DB,
        lambda done, total: tell("preprocessing", done, total),
    )  # fmt: skip
    candidates = tensor_suspects(graph, quantized, seen.statistics, measured.sums)
    candidates += rare_suspects(graph, quantized, measured.peaks)
    candidates += weight_suspects(graph, quantized)
    candidates = beside_foreign_data(candidates)
    candidates.sort(key=lambda item: (not item.certain, item.badness))
    doubtful = preprocessing.implausible is not None and preprocessing.better is None

    def lossy(score: Score) -> bool:
        return is_lossy(score, seen.metric, seen.pictures)

    trial = Trial(graph, quantized, few_pictures(graph, sample, SAMPLE, threads), lossy)
    places = guilty(
        trial, candidates[:suspects], candidates[suspects:], doubtful,
        lambda done, total: tell("suspects", done, total),
    )  # fmt: skip
    if not places and lossy(before):
        places = few_bits(trial, measured.sums)
    case = Case(
        source, graph, quantized, workload, settings, seen, measured.sums, judge, before, clock,
        wanted, known,
    )  # fmt: skip
    findings += _unfit(case, preprocessing, recipe)
    quiet = telling(trial, candidates, places)
    others = _findings(case, [*places, *quiet], lambda done, total: tell("remedies", done, total))
    others, rare = _told(others, len(places))
    blamed = ("labels", "are") if preprocessing.labels else ("preprocessing", "is")
    said = FIRST_MEND.format(*blamed) if findings else ""
    findings += [replace(item, advice=item.advice + said) for item in others]
    layers = tuple(
        _quality(graph, quantized, name, measured.sums[name]) for name in features(graph)
    )
    return Diagnosis(
        layers, tuple(findings), before, seen.metric, seen.pictures, preprocessing,
        seen.statistics, measured.sums, quantized,
        before.against(Score(None, seen.metric, judge.float_answers()), wanted), take_more,
        measured=measured_drop, rare=rare,
    )  # fmt: skip


def _wanted(graph: Graph, workload: Workload) -> Answers | None:
    """The class of each picture, where the data say it."""
    if not isinstance(workload, PictureFolder):
        return None
    return workload.wanted(graph.tensors[graph.chip_outputs[0]].elements)


def _as_quant_has_it(seen: Observation, limit: int) -> Observation:
    """With the sample that the steps of ``quant`` would see: where it takes none, one picture."""
    if limit >= SAMPLE:
        return seen
    return replace(seen, sample=tuple(item[:limit] for item in seen.sample))


def _findings(
    case: Case, places: Sequence[Place], tell: Callable[[int, int], None]
) -> list[Finding]:
    """Every place with its remedies, tried."""
    tried: Tried = {}
    cycles: dict[str, int | None] = {}
    done, total = 0, sum(remedy_count(case, place) for place in places)

    def advance() -> None:
        nonlocal done
        done += 1
        tell(done, total)

    return [_finding(case, place, tried, cycles, advance) for place in places]


def _told(found: Sequence[Finding], causes: int) -> tuple[list[Finding], tuple[str, ...]]:
    """The findings, and sentences on rare activations for which no other range is better.

    The first so many are ``causes``.
    """
    kept, said = list(found[:causes]), []
    for item in found[causes:]:
        if any(one.gain_db >= HELPS_DB and one.is_range for one in item.remedies):
            kept.append(item)
            continue
        said.append(
            f"{item.cause} at {item.layer}: {item.sentence}; not quantized there, the outputs "
            f"would keep {item.cost_db:.1f} dB more, but none of the other ranges that were tried "
            f"gives them {HELPS_DB:g} dB: at 8 bits it is best left as it is."
        )
    return kept, tuple(said)


def _finding(
    case: Case,
    place: Place,
    tried: Tried,
    cycles: dict[str, int | None],
    advance: Callable[[], None],
) -> Finding:
    """A cause with its remedies, tried."""
    suspect = place.suspect
    remedies = try_remedies(case, place, tried, advance)
    helpful = tuple(item for item in remedies if item.gain_db >= HELPS_DB)
    makers = {node.output: node.name for node in case.graph.nodes}
    facts = dict(suspect.facts)
    operators = list(wide_operators(case.graph, suspect))
    if len(operators) > NAMED:
        facts["mix"] = [{"op_names": operators, "bitwidth": 16}]
    advice = _advice(suspect, helpful)
    if helpful:
        advice += extra_cycles(case, helpful[0], cycles)
    if place.mended != Mended():
        advice += ", where what is above is mended"
    return Finding(
        suspect.cause, suspect.layer, makers.get(suspect.layer, suspect.layer), suspect.sentence,
        None if suspect.layer == EVERYWHERE else round(place.cost_db, 2),
        helpful or tuple(remedies[:1]), advice, facts,
    )  # fmt: skip


def require_same(graph: Graph, quantized: Graph) -> None:
    """UsageError where the quantized network is not the float one's."""
    missing = [name for name in features(graph) if name not in quantized.tensors]
    apart = [
        name for name in features(graph)
        if name in quantized.tensors and quantized.tensors[name].shape != graph.tensors[name].shape
    ]  # fmt: skip
    if missing or apart or len(features(graph)) != len(features(quantized)):
        name = (missing or apart or [features(quantized)[-1]])[0]
        raise UsageError(
            f"the quantized model is not that of the float model: tensor {name} differs "
            f"({len(missing)} are missing, {len(apart)} have another shape).",
            "name the float model that was quantized; quant leaves it as X.onnx",
        )


def _unfit(case: Case, told: Preprocessing, recipe: Recipe | None) -> list[Finding]:
    """A finding where another recipe costs no top-1 and keeps clearly more when quantized."""
    used, score = told.normalization, case.before
    if used is None or told.implausible is not None or recipe is None:
        return []
    if score.sqnr_db is None or score.sqnr_db >= HEALTHY_DB or case.seen.pictures < PROVING:
        return []
    found = better_fit(case, used, told.trials)
    if found is None:
        return []
    facts = {"metric": told.metric, "trials": {t.name: t.metric for t in told.trials[:5]}}
    advice = (
        f"a recipe with {found.trial.keys}: {found.before_db:.1f} -> {found.after_db:.1f} dB, if "
        "that is what it was trained with"
    )
    name = case.graph.inputs[0]
    return [Finding(PREPROCESSING, name, name, found.sentence, None, (), advice, facts)]


def _preprocessing(
    graph: Graph,
    workload: Workload,
    seen: Observation,
    recipe: Recipe | None,
    threads: int | None,
    wanted: Answers | None,
    lossy: bool,
    advance: Callable[[int, int], None],
) -> tuple[Preprocessing, list[Finding]]:
    """The examination, and a finding where there is one."""
    first = seen.statistics[graph.inputs[0]]
    bounds = float(first.minimum.min()), float(first.maximum.max())
    classes, no_metric = None, "the data give no metric"
    if isinstance(workload, PictureFolder):
        classes = graph.tensors[graph.chip_outputs[0]].elements
        why = workload.mismatch(classes)
        no_metric = no_metric if why is None else why
    told = examine(
        graph, workload, seen.metric, seen.pictures, bounds, recipe, classes, no_metric, threads,
        advance, wanted, lossy,
    )  # fmt: skip
    if told.implausible is None:
        return told, []
    advice = "compare with the preprocessing of the training"
    if told.labels:
        advice = "name the class folders in the order of the scores with --labels FILE"
    if told.better is not None:
        layout = any(told.better.keys.startswith(advice) for advice in LAYOUTS.values())
        advice = told.better.keys if layout else f"a recipe with {told.better.keys}"
        advice += f": {told.metric:.2f} -> {told.better.metric:.2f}"
        if told.as_good:
            advice += "; these pictures do not tell it from the others that do about as well, so "
            advice += "take what the training had"
    facts = {"metric": told.metric, "trials": {t.name: t.metric for t in told.trials[:5]}}
    name = graph.inputs[0]
    cause = LABELS if told.labels else PREPROCESSING
    return told, [Finding(cause, name, name, told.implausible, None, (), advice, facts)]


def _advice(suspect: Suspect, helpful: tuple[Remedy, ...]) -> str:
    if not helpful:
        return "none of the remedies tried helps here by a decibel; quantization-aware training may"
    best = helpful[0]
    text = f"{best.switch}: {_db(best.before)} -> {_db(best.after)} dB"
    if best.before.metric is not None and best.after.metric is not None:
        text += f", metric {_metrics(best.before.metric, best.after.metric, best.gain)}"
    if suspect.cause == DATA_RANGE:
        text += "; calibrate with the recipe and the pictures that the network will see"
    return text


def _metrics(before: float, after: float, gain: str | None = None) -> str:
    """Two values of a metric, and how far apart: with the interval where one is known.

    A metric of a script's has any unit: digits that count are shown.
    """
    by = f"{100 * (after - before) / abs(before):+.2f} %, " if before else ""
    return f"{before:.4g} -> {after:.4g} ({gain or f'{by}no interval, as it is no top-1'})"


def _db(score: Score) -> str:
    return "exact" if score.sqnr_db is None else f"{score.sqnr_db:.1f}"


def _quality(graph: Graph, quantized: Graph, name: str, sums: Sums) -> LayerQuality:
    energy = float(sums.energy.sum())
    norms = np.sqrt(energy * float(sums.quantized_energy.sum()))
    op = next((node.op for node in graph.nodes if node.output == name), INPUT)
    weighted = op != INPUT and BY_NAME[op].kernel is not None
    return LayerQuality(
        name,
        op,
        quantized.tensors[name].dtype.name,
        _round(energy, sums.alone),
        _round(energy, sums.total),
        min(1.0, round(float(sums.product.sum() / norms), 6)) if norms > 0 else 1.0,
        _round(energy, sums.weights) if weighted else None,
        _round(energy, sums.rounding),
        _round(energy, sums.clipping),
        round(middle(sums), 2),
    )


def _round(energy: float, error: NDArray[Any]) -> float:
    return round(ratio_db(energy, float(error.sum())), 2)
