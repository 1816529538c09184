"""What may help against a cause, tried: the network quantized again, or a place made wider."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from knightlite.diagnosis.causes import (
    CLIPPED,
    DATA_RANGE,
    FEW_BITS,
    GROUP,
    OUTLIER_CHANNEL,
    RAISED,
    RARE,
    SPREAD,
    TOO_WIDE,
    WEIGHT_OUTLIER,
    WEIGHT_SCALE,
    Suspect,
)
from knightlite.diagnosis.judge import Judge, Score
from knightlite.diagnosis.places import CAUSE_DB, Mended, Place, mended_score, place_of
from knightlite.diagnosis.probe import Sums
from knightlite.diagnosis.variants import widen
from knightlite.errors import KnightliteError
from knightlite.evaluation import Answers, Paired
from knightlite.ir import Graph
from knightlite.metrics import Difference
from knightlite.ops import BY_NAME
from knightlite.quantize.choices import BIAS_CORRECTIONS, DEFAULT_METHOD, EFFORTS, ROUNDINGS
from knightlite.quantize.data import Workload
from knightlite.quantize.data_free import is_made_up
from knightlite.quantize.groups import scale_groups
from knightlite.quantize.mixed import Clock, automatic_mix, draft, ranking_macs, read_mix
from knightlite.quantize.pipeline import quantize_graph
from knightlite.quantize.rewrites import spread_channels
from knightlite.quantize.scales import Basis, assign
from knightlite.quantize.settings import Settings, Widths, settings_for, with_method
from knightlite.quantize.statistics import Observation, observe
from knightlite.quantize.steps import (
    choose_output_scales,
    choose_ranges,
    improve,
    sample_limit,
    sample_wanted,
    try_equalization,
)

HELPS_DB = 1.0  # a remedy must win so much to be named
REACHES = 10 ** (-CAUSE_DB / 10)  # what a remedy may leave of the error that its place makes
ENOUGH_DB = 35.0  # at the outputs: what a remedy wins beyond is worth nothing
PREFER_DB = 3.0  # what costs more on the chip must win so much more to come first,
PREFER_SHARE = 0.5  # and the cheaper one less than this share of its decibels
TRIED_METHODS = ("mse", "min_max", "kl", "percentile")  # of -qm
MIX = ("HAWQ", 0.1)  # -ams and -amr of the automatic mix that is tried
RANKING_MACS = 600 << 30  # multiply-accumulates of its ranking at most: half a minute
NAMED = 3  # operators named in a sentence; of more, how many there are


@dataclass(frozen=True, slots=True)
class Remedy:
    """A remedy that was tried. ``switch``: what to say to ``quant``; scores before and after.

    ``pictures``: those that its metric loses and wins, where that is known; ``measured``: what a
    measure of the data's own wins. ``words``: the options
    to type, none where ``quant`` cannot write it; ``mix``: what the file of their ``-mc`` holds.
    """

    switch: str
    before: Score
    after: Score
    pictures: Paired | None = None
    words: tuple[str, ...] = ()
    mix: str = ""
    measured: Difference | None = None
    priced: Make | None = field(default=None, repr=False, compare=False)

    @property
    def gain(self) -> str | None:
        """What the metric wins, as words with its interval; None where none is known."""
        told = self.measured or self.pictures
        return None if told is None else told.gain

    @property
    def gain_db(self) -> float:
        """Won at the worst output."""
        return self.after.gain_over(self.before)

    @property
    def is_range(self) -> bool:
        """Whether it is another choice of ranges, which costs the chip nothing."""
        return bool(self.words) and self.words[0] in ("-qm", "--output-scales")

    @property
    def worth_db(self) -> float:
        """The same, up to where the outputs are as good as the float ones."""
        before = 120.0 if self.before.sqnr_db is None else self.before.sqnr_db
        after = 120.0 if self.after.sqnr_db is None else self.after.sqnr_db
        return min(after, max(before, ENOUGH_DB)) - before


@dataclass(frozen=True, slots=True)
class Case:
    """One diagnosis under way.

    ``source``: the float graph as it was read; ``graph``: with a requantize behind its tables where
    the quantized one has it. ``settings``: those of the quantization. ``before``: the score of the
    quantized network as it is. ``clock``: tells what widths cost, as for ``quant``. ``wanted``: the
    class of each picture, where known. ``known``: it was calibrated on these data, and more.
    """

    source: Graph
    graph: Graph
    quantized: Graph
    workload: Workload
    settings: Settings
    seen: Observation
    sums: dict[str, Sums]
    judge: Judge
    before: Score
    clock: Clock | None = None
    wanted: Answers | None = None
    known: bool = False


Make = Callable[[], Graph | None]


@dataclass(frozen=True, slots=True)
class Switch:
    """What to say to ``quant``: in a sentence, and as the words and the mix of a remedy.

    ``priced``: of what makes tensors wider, a network of its types, whose time is its own.
    ``reweighs``: its float weights may be others, so that none of its places can be left in float.
    """

    text: str
    words: tuple[str, ...] = ()
    mix: str = ""
    priced: Make | None = None
    reweighs: bool = False


Tried = dict[tuple[str, Mended, Mended], tuple[Score, Score] | None]
"""What was tried where so much is mended, and what it gave: as it is, and with more mended.

A requantization serves several suspects.
"""

METHODICAL = (CLIPPED, TOO_WIDE, GROUP, DATA_RANGE, OUTLIER_CHANNEL, SPREAD, RARE)
EVENER = (OUTLIER_CHANNEL, SPREAD, GROUP, WEIGHT_OUTLIER, FEW_BITS)
IN_WEIGHTS = (WEIGHT_OUTLIER, RAISED, WEIGHT_SCALE)
ROUNDER = (WEIGHT_OUTLIER, RAISED, WEIGHT_SCALE, FEW_BITS)
WIDER = (OUTLIER_CHANNEL, SPREAD, GROUP, FEW_BITS, WEIGHT_OUTLIER, RAISED, RARE)


def try_remedies(
    case: Case, place: Place, tried: Tried, advance: Callable[[], None]
) -> list[Remedy]:
    """All remedies against a suspect: first the cheapest of those that help most, then by gain.

    Where other places were mended to see this one, its remedies are judged beside them. What wins
    elsewhere and leaves a cause in weights as it was is no remedy of it. ``advance`` is called
    after each of :func:`remedy_count`.
    """
    found = []
    mended = place.mended
    before = case.before
    if mended != Mended():
        before = mended_score(case.graph, case.quantized, case.judge, mended)
    whole = mended
    if place.suspect.weights and place.suspect.cause in IN_WEIGHTS:
        whole = mended | place_of(place.suspect)
    own = _error(before)  # what the place makes of it
    if whole != mended:
        own -= _error(mended_score(case.graph, case.quantized, case.judge, whole))
    for switch, make in _candidates(case, place):
        beside = mended if switch.reweighs else whole
        if (switch.text, mended, beside) not in tried:
            tried[switch.text, mended, beside] = _scored(case, make, mended, beside)
        advance()
        scores = tried[switch.text, mended, beside]
        if scores is None:
            continue
        score, without = scores
        if beside == mended or _error(score) - _error(without) <= REACHES * own:
            pictures = score.against(before, case.wanted)
            measured = score.beside(before, case.workload)
            words = switch.text, before, score, pictures, switch.words, switch.mix
            found.append(Remedy(*words, measured, switch.priced))
    if not found:
        return []
    best = max(item.worth_db for item in found)
    enough = min(best - PREFER_DB, PREFER_SHARE * best) if best > HELPS_DB else best
    first = next(item for item in found if item.worth_db >= max(enough, min(best, HELPS_DB)))
    rest = [item for item in found if item is not first]
    return [first, *sorted(rest, key=lambda item: -item.gain_db)]


def remedy_count(case: Case, place: Place) -> int:
    """How many remedies there are against a suspect."""
    return sum(1 for _ in _candidates(case, place))


def _error(score: Score) -> float:
    """Of the worst output, against its energy."""
    return 0.0 if score.sqnr_db is None else float(10 ** (-score.sqnr_db / 10))


def _scored(case: Case, make: Make, mended: Mended, whole: Mended) -> tuple[Score, Score] | None:
    """None where this one cannot be represented, or changes nothing: no remedy."""
    try:
        made = make()
    except KnightliteError:
        return None
    if made is None:
        return None
    score = mended_score(case.graph, made, case.judge, mended)
    if whole == mended:
        return score, score
    return score, mended_score(case.graph, made, case.judge, whole)


def _candidates(case: Case, place: Place) -> Iterator[tuple[Switch, Make]]:
    """What to say to ``quant``, the cheapest on the chip first, and the network it gives."""
    settings, suspect = case.settings, place.suspect
    affordable = sample_limit(case.graph, settings_for("normal")) > 1
    named = "auto" if settings.range_choice else settings.method
    if not case.known:
        yield _options("-qm", named, said=" over this data"), lambda: _again(case, settings)
    if suspect.cause in METHODICAL:
        for method in TRIED_METHODS:
            if method != named:
                yield _options("-qm", method), _with(case, with_method(settings, method))
    if suspect.cause == RARE and (settings.method, settings.output_scales) != (
        DEFAULT_METHOD,
        True,
    ):
        words: tuple[str, ...] = ("--output-scales", "on")
        if settings.method != DEFAULT_METHOD:
            words = ("-qm", DEFAULT_METHOD, *words)
        moved = replace(with_method(settings, DEFAULT_METHOD), output_scales=True)
        yield _options(*words), _anew(case, moved)
    if suspect.cause in EVENER and not place.mended.weights:  # its weights are others
        said = ", for its equalization"
        evener = replace(_options("--effort", "normal", said=said), reweighs=True)
        yield evener, lambda: _equalized(case)
    if suspect.cause in ROUNDER and affordable and not place.mended.weights:
        for effort in EFFORTS:
            if _tries_more(settings_for(effort), settings):
                harder = replace(_options("--effort", effort), reweighs=True)
                yield harder, _by_effort(case, effort)
    if settings.bit_width == 16:
        return
    if suspect.cause in WIDER:
        operators = wide_operators(case.graph, suspect)
        if operators:
            yield _wider(case, suspect, operators)
    if suspect.cause in WIDER and len(suspect.weights or case.graph.nodes) > 1:
        strategy, share = MIX
        if ranking_macs(case.graph) <= RANKING_MACS:
            words = ("-r", "auto_quant", "-ams", strategy, "-amr", f"{share:g}")
            yield _options(*words), lambda: _mixed(case)
    if suspect.cause == FEW_BITS:
        all_wide = replace(settings, bit_width=16, widths=None)
        every = replace(_options("-b", "16"), priced=lambda: _drafted(case, all_wide))
        yield every, _with(case, all_wide)


def _options(*words: str, said: str = "") -> Switch:
    return Switch(f"quant {' '.join(words)}{said}", words)


def _with(case: Case, settings: Settings) -> Make:
    return lambda: _again(case, settings)


def _again(case: Case, settings: Settings) -> Graph:
    """Quantized anew over the data."""
    return _finished(case, Basis.of(case.graph, case.seen, settings), case.seen)


def quantized_over(case: Case, data: Workload) -> Graph:
    """Quantized anew over other data, with the case's settings."""
    limit = sample_wanted(case.graph, case.settings)
    seen = observe(case.graph, data, None, case.judge.threads, limit)
    return _finished(case, Basis.of(case.graph, seen, case.settings), seen)


def _finished(case: Case, basis: Basis, seen: Observation) -> Graph:
    """Quantized by what was seen, with all steps on top that ``quant`` takes then."""
    threads = case.judge.threads
    assignment = assign(basis)
    if not is_made_up(case.workload):
        assignment, _ = choose_ranges(basis, assignment, seen.sample, threads)
        assignment, _ = choose_output_scales(basis, assignment, seen.sample, seen.striking, threads)
    return improve(basis.graph, assignment.graph, seen.sample, basis.settings, threads)[0]


def _tries_more(effort: Settings, than: Settings) -> bool:
    """True where an effort does what the model was quantized without."""
    return (BIAS_CORRECTIONS.index(effort.bias_correction), ROUNDINGS.index(effort.rounding)) > (
        BIAS_CORRECTIONS.index(than.bias_correction), ROUNDINGS.index(than.rounding)
    )  # fmt: skip


def _by_effort(case: Case, effort: str) -> Make:
    """All that ``quant`` does with this effort, its mix within a budget included."""
    return _anew(case, settings_for(effort))


def _anew(case: Case, settings: Settings) -> Make:
    """From the pictures on, whose sample may be larger."""
    threads = case.judge.threads
    return lambda: (
        quantize_graph(
            case.source, case.workload, settings, threads=threads, clock=case.clock
        ).graph
    )  # fmt: skip


def _equalized(case: Case) -> Graph | None:
    """Quantized anew after equalization; None where ``quant`` would undo or leave it out too."""
    settings, threads = settings_for("normal", method=case.settings.method), case.judge.threads
    graph, done, _ = try_equalization(case.source, case.workload, settings, threads)
    if not done:
        return None
    if len(case.source.nodes) != len(case.graph.nodes):
        graph = spread_channels(graph)
    limit = sample_wanted(graph, case.settings)
    seen = observe(graph, case.workload, None, threads, limit)
    return _finished(case, Basis.of(graph, seen, case.settings), seen)


def _mixed(case: Case) -> Graph:
    """What the automatic mix makes of it."""
    plain = replace(case.settings, widths=None)
    settings = replace(plain, auto_mix=MIX)
    basis = Basis.of(case.graph, case.seen, settings)
    widths, _ = automatic_mix(basis, case.workload, case.seen.sample, case.judge.threads)
    return _again(case, replace(plain, mix=widths))


def _wider(case: Case, suspect: Suspect, operators: tuple[str, ...]) -> tuple[Switch, Make]:
    """A mix that quant can write; where an operator refuses 16 bits, what they would give."""
    graph, seen, settings = case.graph, case.seen, case.settings
    entry = json.dumps([{"op_names": list(operators), "bitwidth": 16}])
    try:
        widths = read_mix(entry, "the mix", graph).widths
        given = settings.mix if settings.widths is None else settings.widths
        more = Widths(given.wide | widths.wide, given.weights16 | widths.weights16)
        if settings.widths is None:
            wide = replace(settings, mix=more)
        else:
            wide = replace(settings, widths=more)
        refused = assign(Basis.of(graph, seen, wide)).narrowed
        reason = next(iter(refused.values()), None)
    except KnightliteError as error:
        reason = error.sentence
    bits = _bits_for(graph, operators)
    if reason is None:
        text = f"quant -mc FILE with {entry}, {bits}"
        if len(operators) > NAMED:
            text = f"quant -mc FILE with {bits} (--json has the file as facts.mix)"
        told = Switch(text, ("-mc",), entry, lambda: _drafted(case, wide))
        return told, _with(case, wide)
    told = Switch(f"{bits}, which cannot be written ({reason.rstrip('.')})")
    return told, lambda: widen(graph, case.quantized, case.sums, suspect)


def _bits_for(graph: Graph, operators: tuple[str, ...]) -> str:
    """What 16 bits of a mix mean: the features that operators read, and the weights of some."""
    named = ", ".join(operators[:NAMED])
    if len(operators) > NAMED:
        named += f" and {len(operators) - NAMED} more"
    one = len(operators) == 1
    if any(BY_NAME[node.op].kernel is not None for node in graph.nodes if node.name in operators):
        return f"16 bits for the weights of {named} and what {'it reads' if one else 'they read'}"
    return f"16 bits for what {named} {'reads' if one else 'read'}"


def _drafted(case: Case, settings: Settings) -> Graph:
    return draft(Basis.of(case.graph, case.seen, settings)).graph


def extra_cycles(case: Case, remedy: Remedy, known: dict[str, int | None]) -> str:
    """What a remedy that makes tensors wider costs on the chip, as a clause; "" of any other.

    ``known``: cycles by the words of a remedy, and of the network as it is by "".
    """
    widens = remedy.priced is not None or "auto_quant" in remedy.words
    if not widens:
        return ""

    def cycles(key: str, make: Make) -> int | None:
        if key not in known:
            try:
                made = make()
                known[key] = None if made is None or case.clock is None else case.clock.cycles(made)
            except KnightliteError:  # as the chip cannot run it
                known[key] = None
        return known[key]

    if case.clock is not None and remedy.priced is not None:
        before = cycles("", lambda: case.quantized)
        after = cycles(remedy.switch, remedy.priced)
        if before and after is not None:
            change = 100 * (after - before) / before
            clock = case.clock
            told = f"{before:,} -> {after:,} cycles on {clock.chip}, {change:+.2f} %"
            return f"; {told} (predicted at schedule level {clock.level})"
    return "; `knightlite compile` and `knightlite profile` tell the cycles that it costs"


def wide_operators(graph: Graph, suspect: Suspect) -> tuple[str, ...]:
    """Operators that a mix makes wide, with what they read: those of the weights, or the readers.

    One reader is enough for a scale group: the operators behind it read the same 16 bits.
    """
    if suspect.weights:
        return tuple(node.name for node in graph.nodes if node.output in suspect.weights)
    groups = [group.members for group in scale_groups(graph)]
    left = set(suspect.tensors)
    found = []
    for node in graph.nodes:
        read = left.intersection(node.inputs)
        if read and not BY_NAME[node.op].value_preserving:
            found.append(node.name)
            left -= {name for group in groups if not read.isdisjoint(group) for name in group}
    return tuple(found)
