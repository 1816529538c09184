"""Which suspects cost something at the outputs: one by one, together, or the network as a whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from knightlite import dtypes
from knightlite.diagnosis.causes import (
    FEW_BITS,
    OUTLIER_CHANNEL,
    RAISED,
    RARE,
    SPREAD,
    WEIGHT_OUTLIER,
    WEIGHT_SCALE,
    Suspect,
    channel_quality,
    ratio_db,
)
from knightlite.diagnosis.judge import Judge, Score
from knightlite.diagnosis.probe import Sums
from knightlite.diagnosis.variants import without_weights
from knightlite.ir import Graph
from knightlite.ops import BY_NAME
from knightlite.quantize.groups import features, scale_groups

CAUSE_DB = 3.0  # won at the outputs by repairing one place: it made half of all errors
RARE_DB = 1.0  # what rare activations cost that are told, though they are no cause
GLARING_DB = 1.0  # enough where one channel is so loud that nothing else can be meant
GLARING = 20.0  # times louder than all others
LEAST_DB = 0.1  # what costs less is not named as dearest
CUT = 4  # places of "8 bits are few" that are tried
NAMED = 4  # layers listed in a sentence
LOSSY_DB = 40.0  # alone: below, a layer adds to what is lost
EVERYWHERE = "the whole network"
SHARED_CAUSES = (WEIGHT_OUTLIER, RAISED, WEIGHT_SCALE, SPREAD, OUTLIER_CHANNEL)


@dataclass(frozen=True, slots=True)
class Mended:
    """Places left in float: feature tensors, and outputs of nodes whose weights are meant."""

    tensors: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()

    def __or__(self, other: Mended) -> Mended:
        return Mended(self.tensors + other.tensors, self.weights + other.weights)


@dataclass(frozen=True, slots=True)
class Place:
    """A suspect and what it costs in dB at the outputs, where ``mended`` is in float already."""

    cost_db: float
    suspect: Suspect
    mended: Mended = Mended()


@dataclass(frozen=True, slots=True)
class Trial:
    """The two networks and who judges them, on a few pictures."""

    graph: Graph
    quantized: Graph
    judge: Judge
    lossy: Callable[[Score], bool]

    def score(self, mended: Mended) -> Score:
        """The quantized network with these places in float."""
        return mended_score(self.graph, self.quantized, self.judge, mended)

    def cost(self, suspect: Suspect, base: Score, mended: Mended) -> float:
        """What the outputs win where the suspect is left in float too."""
        return self.score(mended | place_of(suspect)).gain_over(base)


def mended_score(graph: Graph, quantized: Graph, judge: Judge, mended: Mended) -> Score:
    """The score of ``quantized`` with places in float."""
    return judge.score(without_weights(graph, quantized, mended.weights), mended.tensors)


def place_of(suspect: Suspect) -> Mended:
    """What is in float where the suspect is mended."""
    return Mended(suspect.tensors, suspect.weights)


def guilty(
    trial: Trial,
    suspects: Sequence[Suspect],
    others: Sequence[Suspect],
    doubtful: bool,
    advance: Callable[[int, int], None],
) -> list[Place]:
    """The suspects that cost something at the outputs; ``others`` count only together.

    Round by round: a loud fault hides the next one, so what is found is mended, and while the
    outputs are still lossy the others are tried again. What is certain is mended before anything
    else is tried. A place that wins too little beside a dearer find only passes that one's error
    on: it is no find. ``doubtful``: the float network itself is wrong; then weights that nobody
    trains are named whatever they cost: what they drown is lost in the float network already.
    """
    found: list[Place] = []
    left, mended, number = list(suspects), Mended(), 0
    base = trial.score(mended)
    first = True  # of the rounds in which all that are left are tried
    while left:
        sure = [item for item in left if item.certain]
        new = []
        tried = sure or left
        total = number + len(tried)
        for suspect in tried:
            score = trial.score(mended | place_of(suspect))
            cost = score.gain_over(base)
            number += 1
            advance(number, total)
            damaged = first and doubtful and suspect.facts.get("weight_ratio", 0.0) >= GLARING
            if suspect.certain or damaged or cost >= _least_cost(suspect):
                new.append((suspect.certain or damaged, Place(cost, suspect, mended), score))
        for named, place, alone in sorted(new, key=lambda item: -item[1].cost_db):
            more = mended | place_of(place.suspect)
            score = alone if mended == place.mended else trial.score(more)
            if named or score.gain_over(base) >= _least_cost(place.suspect):
                found.append(place)
                left.remove(place.suspect)
                mended, base = more, score
        if not new or not trial.lossy(base):
            break
        first = first and bool(sure)
    if trial.lossy(base):
        found += _together(trial, [*left, *others], base, mended)
    return found


def telling(trial: Trial, suspects: Sequence[Suspect], found: Sequence[Place]) -> list[Place]:
    """Rare activations that are no cause by themselves, and cost something measurable.

    ``found``: the causes. What was chosen between the two sides may be right, and is to be told.
    """
    causes = [place.suspect for place in found]
    rare = [item for item in suspects if item.cause == RARE and item not in causes]
    if not rare:
        return []
    base = trial.score(Mended())
    places = [Place(trial.cost(item, base, Mended()), item) for item in rare]
    return [place for place in places if place.cost_db >= RARE_DB]


def _least_cost(suspect: Suspect) -> float:
    """What a place must cost at the outputs to be called a cause."""
    loud = suspect.cause in (OUTLIER_CHANNEL, WEIGHT_OUTLIER)
    glaring = loud and suspect.facts.get("ratio", 0.0) >= GLARING
    return GLARING_DB if glaring else CAUSE_DB


def _together(
    trial: Trial, suspects: Sequence[Suspect], base: Score, mended: Mended
) -> list[Place]:
    """Suspects of one cause, none of which costs much, and all of which do."""
    found = []
    for cause in SHARED_CAUSES:
        alike = [item for item in suspects if item.cause == cause]
        if len(alike) < 2:
            continue
        layers = [item.layer for item in alike]
        listed = ", ".join(layers[:NAMED])
        if len(layers) > NAMED:
            listed += f" and {len(layers) - NAMED} more"
        joined = replace(
            alike[0],
            sentence=f"in {len(layers)} layers together ({listed}); the worst: {alike[0].sentence}",
            tensors=tuple(dict.fromkeys(name for item in alike for name in item.tensors)),
            weights=tuple(dict.fromkeys(name for item in alike for name in item.weights)),
            facts={**alike[0].facts, "layers": layers},
        )
        cost = trial.cost(joined, base, mended)
        if cost >= CAUSE_DB:
            found.append(Place(cost, joined, mended))
    return found


def few_bits(trial: Trial, sums: Mapping[str, Sums]) -> list[Place]:
    """Where nothing else has a name: the place whose rounding costs most, or all of them."""
    graph, quantized = trial.graph, trial.quantized
    base = trial.score(Mended())
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
        found.append(Place(trial.cost(suspect, base, Mended()), suspect))
    for name in weights:
        kept = _weights(sums[name])
        sentence = f"8-bit weights keep no more than {kept:.1f} dB of what they compute"
        suspect = Suspect(FEW_BITS, name, sentence, (), (name,), kept, {"sqnr_db": kept})
        found.append(Place(trial.cost(suspect, base, Mended()), suspect))
    best = sorted(found, key=lambda item: -item.cost_db)[:2]
    named = [item for item in best if item.cost_db >= CAUSE_DB]
    return named or _everywhere(graph, sums, best)


def _everywhere(graph: Graph, sums: Mapping[str, Sums], best: list[Place]) -> list[Place]:
    """No single place: the errors of all add up."""
    names = [name for name in features(graph) if name not in graph.inputs]
    lossy = [name for name in names if _alone(sums[name]) < LOSSY_DB]
    sentence = (
        f"no single place makes the loss: {len(lossy)} of {len(names)} layers keep less than "
        f"{LOSSY_DB:.0f} dB alone, and their errors add up"
    )
    if best and best[0].cost_db >= LEAST_DB:
        dearest = best[0]
        sentence += f"; {dearest.suspect.layer} costs most, {dearest.cost_db:.1f} dB"
    facts = {"layers": len(lossy), "dearest": [item.suspect.layer for item in best]}
    return [Place(0.0, Suspect(FEW_BITS, EVERYWHERE, sentence, (), (), 0.0, facts))]


def _tied(graph: Graph, name: str) -> tuple[str, ...]:
    """The scale group of a tensor."""
    return next(group.members for group in scale_groups(graph) if name in group.members)


def _alone(sums: Sums) -> float:
    return ratio_db(float(sums.energy.sum()), float(sums.alone.sum()))


def _weights(sums: Sums) -> float:
    return ratio_db(float(sums.energy.sum()), float(sums.weights.sum()))


def _own(sums: Sums) -> float:
    return min(ratio_db(float(sums.energy.sum()), float(sums.rounding.sum())), middle(sums))


def middle(sums: Sums) -> float:
    """What the middle channel keeps of itself behind the tensor's own rounding, in dB."""
    quality = channel_quality(sums)
    return float(np.median(quality)) if quality.size else 120.0
