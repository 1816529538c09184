"""The whole diagnosis: measure every layer, name the causes, try the remedies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite import dtypes
from knightlite.diagnosis.causes import (
    DATA_RANGE,
    FEW_BITS,
    OUTLIER_CHANNEL,
    PREPROCESSING,
    WEIGHT_OUTLIER,
    Suspect,
    channel_quality,
    ratio_db,
    tensor_suspects,
)
from knightlite.diagnosis.judge import Judge, Score
from knightlite.diagnosis.preprocessing import Preprocessing, examine
from knightlite.diagnosis.probe import Sums, measure
from knightlite.diagnosis.remedies import HELPS_DB, Remedy, Tried, try_remedies, without_weights
from knightlite.diagnosis.weight_causes import weight_suspects
from knightlite.errors import UsageError
from knightlite.ir import Graph
from knightlite.ops import BY_NAME
from knightlite.preprocess import Recipe
from knightlite.quantize.channels import spread_channels
from knightlite.quantize.groups import features, scale_groups
from knightlite.quantize.observers import Statistics
from knightlite.quantize.passes import Observation, observe
from knightlite.quantize.settings import Settings
from knightlite.quantize.steps import sample_limit
from knightlite.quantize.workload import PictureFolder, Workload

Progress = Callable[[str, int], None]

HEALTHY_DB = 25.0  # outputs that keep more lose no accuracy to speak of
LOST_POINTS = 1.0  # of the metric
LOST_PICTURES = 3  # fewer may be chance
CAUSE_DB = 3.0  # won at the outputs by repairing one place: it made half of all errors
GLARING_DB = 1.0  # enough where one channel is so loud that nothing else can be meant
GLARING = 20.0  # times louder than all others
INPUT = "Input"
CUT = 4  # places of "8 bits are few" that are tried


@dataclass(frozen=True, slots=True)
class LayerQuality:
    """What one layer keeps, in dB and as cosine; in graph order.

    ``isolated_db``: only this layer quantized, on float inputs; ``accumulated_db`` and ``cosine``:
    in the whole quantized network, the cosine from -1 to 1; ``weights_db``: the part of its weights
    (None where it has none); ``rounding_db`` and ``clipping_db``: of its output's rounding and of
    what lies beyond its range; ``middle_channel_db``: the middle channel's own.
    """

    name: str
    op: str
    type: str
    isolated_db: float
    accumulated_db: float
    cosine: float
    weights_db: float | None
    rounding_db: float
    clipping_db: float
    middle_channel_db: float


@dataclass(frozen=True, slots=True)
class Finding:
    """A cause at a place, what it costs, and the remedies tried against it, the best first.

    ``cost_db``: what the outputs win where this place alone is not quantized (None where that is
    no question: the preprocessing). ``layer``: the tensor; ``node``: what makes it.
    """

    cause: str
    layer: str
    node: str
    sentence: str
    cost_db: float | None
    remedies: tuple[Remedy, ...]
    advice: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found. ``healthy``: nothing is wrong that has a name."""

    layers: tuple[LayerQuality, ...]
    findings: tuple[Finding, ...]
    score: Score
    float_metric: float | None
    pictures: int
    preprocessing: Preprocessing
    statistics: Mapping[str, Statistics] = field(repr=False)
    sums: Mapping[str, Sums] = field(repr=False)
    quantized: Graph = field(repr=False)

    @property
    def healthy(self) -> bool:
        """True where there is no finding."""
        return not self.findings


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
) -> Diagnosis:
    """Find out where ``quantized`` loses what the float ``graph`` has, and why.

    ``settings``: those it was quantized with, for remedies; ``recipe``: of the data, where known;
    ``suspects``: how many places are tried. UsageError where the two are not the same network.
    """
    if len(features(graph)) != len(features(quantized)):
        graph = spread_channels(graph)
    require_same(graph, quantized)
    limit = sample_limit(graph, settings)
    seen = observe(graph, workload, progress, threads, limit)
    count = seen.pictures

    def advance(done: int) -> None:
        if progress is not None:
            progress("layers", done)

    measured = measure(graph, quantized, workload, advance, threads)
    judge = Judge(graph, workload, seen.recording, threads)
    before = judge.score(quantized)
    preprocessing, findings = _preprocessing(graph, workload, seen, recipe, threads)
    lossy = is_lossy(before, seen.metric, count)
    candidates = tensor_suspects(graph, quantized, seen.statistics, measured.sums)
    candidates += weight_suspects(graph, quantized, measured.sums)
    candidates.sort(key=lambda item: (not item.certain, item.badness))
    tried: Tried = {}
    makers = {node.output: node.name for node in graph.nodes}
    doubtful = preprocessing.implausible is not None and preprocessing.better is None
    costs = _guilty(graph, quantized, candidates[:suspects], judge, before, doubtful, progress)
    if lossy and not costs:
        costs = _few_bits(graph, quantized, measured.sums, judge, before)
    costs.sort(key=lambda item: (not item[1].certain, -item[0]))
    for number, (cost, suspect) in enumerate(costs):
        remedies = try_remedies(
            graph, quantized, seen, measured.sums, suspect, before, judge, settings, tried
        )
        if progress is not None:
            progress("remedies", number + 1)
        helpful = tuple(item for item in remedies if item.gain_db >= HELPS_DB)
        findings.append(
            Finding(
                suspect.cause, suspect.layer, makers.get(suspect.layer, suspect.layer),
                suspect.sentence, round(cost, 2), helpful or tuple(remedies[:1]),
                _advice(suspect, helpful), suspect.facts,
            )
        )  # fmt: skip
    layers = tuple(
        _quality(graph, quantized, name, measured.sums[name]) for name in features(graph)
    )
    return Diagnosis(
        layers, tuple(findings), before, seen.metric, count, preprocessing,
        seen.statistics, measured.sums, quantized,
    )  # fmt: skip


def _guilty(
    graph: Graph,
    quantized: Graph,
    suspects: list[Suspect],
    judge: Judge,
    before: Score,
    doubtful: bool,
    progress: Progress | None,
) -> list[tuple[float, Suspect]]:
    """The suspects that cost something at the outputs, with what they cost.

    ``doubtful``: the float network itself is wrong; then weights that nobody trains are named
    whatever they cost: what they drown is lost in the float network already.
    """
    found = []
    for number, suspect in enumerate(suspects):
        bare = without_weights(graph, quantized, suspect.weights)
        cost = judge.score(bare, suspect.tensors).gain_over(before)
        if progress is not None:
            progress("suspects", number + 1)
        damaged = doubtful and suspect.facts.get("weight_ratio", 0.0) >= GLARING
        if cost >= _least_cost(suspect) or suspect.certain or damaged:
            found.append((cost, suspect))
    return found


def _least_cost(suspect: Suspect) -> float:
    """What a place must cost at the outputs to be called a cause."""
    loud = suspect.cause in (OUTLIER_CHANNEL, WEIGHT_OUTLIER)
    glaring = loud and suspect.facts.get("ratio", 0.0) >= GLARING
    return GLARING_DB if glaring else CAUSE_DB


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


def is_lossy(score: Score, float_metric: float | None, pictures: int) -> bool:
    """True where the outputs, or the metric, say that accuracy is lost."""
    if score.metric is not None and float_metric is not None:
        unit = 1.0 if max(score.metric, float_metric) <= 1 else 100.0
        lost = (float_metric - score.metric) / unit
        if lost * 100 >= LOST_POINTS and lost * pictures >= LOST_PICTURES - 0.5:
            return True
    return score.sqnr_db is not None and score.sqnr_db < HEALTHY_DB


def _preprocessing(
    graph: Graph,
    workload: Workload,
    seen: Observation,
    recipe: Recipe | None,
    threads: int | None,
) -> tuple[Preprocessing, list[Finding]]:
    """The examination, and a finding where there is one."""
    first = seen.statistics[graph.inputs[0]]
    bounds = float(first.minimum.min()), float(first.maximum.max())
    classes = len(workload.folder.classes) if isinstance(workload, PictureFolder) else None
    count = seen.pictures
    told = examine(graph, workload, seen.metric, count, bounds, recipe, classes, threads)
    if told.implausible is None:
        return told, []
    advice = "compare with the preprocessing of the training"
    if told.better is not None:
        advice = f"a recipe with {told.better.keys}"
        advice += f": {told.metric:.2f} -> {told.better.metric:.2f}"
    facts = {"metric": told.metric, "trials": {t.name: t.metric for t in told.trials[:5]}}
    name = graph.inputs[0]
    return told, [Finding(PREPROCESSING, name, name, told.implausible, None, (), advice, facts)]


def _few_bits(
    graph: Graph, quantized: Graph, sums: Mapping[str, Sums], judge: Judge, before: Score
) -> list[tuple[float, Suspect]]:
    """The places whose rounding costs most, where nothing else has a name."""
    narrow = [name for name in features(graph) if quantized.tensors[name].dtype != dtypes.S16]
    worst = sorted(narrow, key=lambda name: _own(sums[name]))[:CUT]
    weighted = [node.output for node in graph.nodes if BY_NAME[node.op].kernel is not None]
    weights = sorted(weighted, key=lambda name: _weights(sums[name]))[:CUT]
    found = []
    for tensors in dict.fromkeys(_tied(graph, name) for name in worst):
        name = next(item for item in worst if item in tensors)
        kept = _own(sums[name])
        sentence = (
            f"its range fits, but 8 bits keep no more than {kept:.1f} dB of it; nothing else at "
            "this place has a name"
        )
        suspect = Suspect(FEW_BITS, name, sentence, tensors, (), kept, {"sqnr_db": kept})
        found.append((judge.score(quantized, tensors).gain_over(before), suspect))
    for name in weights:
        kept = _weights(sums[name])
        sentence = f"8-bit weights keep no more than {kept:.1f} dB of what they compute"
        read = _tied(graph, graph.producers()[name].inputs[0])
        suspect = Suspect(FEW_BITS, name, sentence, read, (name,), kept, {"sqnr_db": kept})
        bare = without_weights(graph, quantized, (name,))
        found.append((judge.score(bare, read).gain_over(before), suspect))
    best = sorted(found, key=lambda item: -item[0])[:2]
    return [item for item in best if item[0] >= HELPS_DB]


def _weights(sums: Sums) -> float:
    return ratio_db(float(sums.energy.sum()), float(sums.weights.sum()))


def _tied(graph: Graph, name: str) -> tuple[str, ...]:
    """The scale group of a tensor."""
    return next(group.members for group in scale_groups(graph) if name in group.members)


def _own(sums: Sums) -> float:
    return min(ratio_db(float(sums.energy.sum()), float(sums.rounding.sum())), _middle(sums))


def _middle(sums: Sums) -> float:
    quality = channel_quality(sums)
    return float(np.median(quality)) if quality.size else 120.0


def _advice(suspect: Suspect, helpful: tuple[Remedy, ...]) -> str:
    if not helpful:
        return "none of the remedies tried helps by a decibel; quantization-aware training may"
    best = helpful[0]
    text = f"{best.switch}: {_db(best.before)} -> {_db(best.after)} dB"
    if best.before.metric is not None and best.after.metric is not None:
        text += f", metric {best.before.metric:.2f} -> {best.after.metric:.2f}"
    if suspect.cause == DATA_RANGE:
        text += "; calibrate with the recipe and the pictures that the network will see"
    return text


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
        round(float(sums.product.sum() / norms), 6) if norms > 0 else 1.0,
        _round(energy, sums.weights) if weighted else None,
        _round(energy, sums.rounding),
        _round(energy, sums.clipping),
        round(_middle(sums), 2),
    )


def _round(energy: float, error: NDArray[Any]) -> float:
    return round(ratio_db(energy, float(error.sum())), 2)
