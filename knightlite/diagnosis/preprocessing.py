"""Is the picture what the network was trained on? Other preprocessings are tried, and counted.

The arrays that the data gives are turned back into pixels 0..255 (by the recipe, or by the range
of the values) and normalised in other ways: those of the recipes that ship, 0..255, 0..1, and each
with red and blue exchanged. What the float network's metric is then is measured, not guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.evaluation import (
    Answers,
    Paired,
    about_chance,
    apart,
    best_classes,
    paired,
    share_interval,
    shares,
)
from knightlite.evaluation.paired import Z_95
from knightlite.inference import Inputs, PictureRuns, Values, float_network
from knightlite.ir import Graph
from knightlite.preprocess import Recipe, list_recipes, load_recipe
from knightlite.quantize.data import Forward, Workload

Array = NDArray[Any]

LEAST_POINTS = 5.0  # better by less is not called a fault
DOUBTED = 0.1  # of one alternative: what is less likely by chance is worth more pictures
ALIKE = 0.2  # between alternatives: the best is not told from what is more likely by chance
NAMED = 5  # alternatives in a sentence
SAME_ANSWER = 0.8  # of the pictures: more of one class tell nothing
PICTURES = 100  # asked for at least, where more are
MOST_PICTURES = 100_000  # more is not asked for
SAME = 0.1  # normalisations this near to one another are the same one
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CAFFE = (123.68, 116.779, 103.939)  # RGB means of ImageNet's pixels, which are not scaled
AS_IT_IS, ROWS_FOR_COLUMNS, CHANNELS_LAST = "", "height and width exchanged", "channels last"
LAYOUTS: Mapping[str, str] = {
    ROWS_FOR_COLUMNS: "transpose the pictures' height and width",
    CHANNELS_LAST: "transpose [H, W, C] arrays to [C, H, W] instead of reshaping them",
}


@dataclass(frozen=True, slots=True)
class Normalization:
    """``(pixel / divide_by - mean) / std``, as a recipe has it; ``swapped``: red and blue too.

    ``layout``: a key of LAYOUTS, what the arrays were mistaken for; empty where they were not.
    """

    name: str
    divide_by: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    swapped: bool = False
    layout: str = AS_IT_IS

    def of(self, pixels: Array) -> Array:
        """Pixels 0..255 [N, C, H, W] as the network's input, float32."""
        if self.layout == ROWS_FOR_COLUMNS:
            pixels = pixels.transpose(0, 1, 3, 2)
        if self.layout == CHANNELS_LAST:
            count, channels, height, width = pixels.shape
            pixels = pixels.reshape(count, height, width, channels).transpose(0, 3, 1, 2)
        if self.swapped:
            pixels = pixels[:, ::-1]
        mean, std = _shaped(self.mean), _shaped(self.std)
        return np.ascontiguousarray((pixels / self.divide_by - mean) / std, np.float32)

    def pixels(self, values: Array) -> Array:
        """The pixels again."""
        mean, std = _shaped(self.mean), _shaped(self.std)
        return np.asarray((values * std + mean) * self.divide_by)

    @property
    def keys(self) -> str:
        """What a recipe says of it."""
        mean, std = (", ".join(f"{v:g}" for v in item) for item in (self.mean, self.std))
        text = f"divide_by = {self.divide_by:g}, mean = [{mean}], std = [{std}]"
        if self.layout:
            return f"{LAYOUTS[self.layout]}, {text}"
        return f"red and blue exchanged, {text}" if self.swapped else text


@dataclass(frozen=True, slots=True)
class Trial:
    """An alternative, the float metric it gives, and what that wins; ``steps``: away from it."""

    name: str
    keys: str
    metric: float
    against: Paired
    steps: int
    answers: Answers | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Whether the data look like those of the training.

    ``used``: how the data seem to be normalised; ``trials``: the best first; ``implausible``: a
    sentence where the float metric says that something is wrong, and ``better`` the trial to take.
    ``as_good``: others from which ``better`` is not told.
    ``labels``: what is wrong are these, not the preprocessing.
    ``doubt``: a trial that looks better, as one of so many does by chance over so few pictures, or
    that may be better by more than a trifle: nothing against the preprocessing.
    ``unjudged``: why nothing can be said of it; None where it was judged.
    ``enough``: pictures that would tell, where these do not. ``normalization``: what ``used`` is,
    where pixels can be had back.
    """

    used: str
    metric: float | None
    trials: tuple[Trial, ...] = ()
    better: Trial | None = None
    implausible: str | None = None
    labels: bool = False
    as_good: tuple[Trial, ...] = ()
    unjudged: str | None = None
    doubt: str | None = None
    enough: int | None = None
    normalization: Normalization | None = None


def examine(
    graph: Graph,
    workload: Workload,
    metric: float | None,
    pictures: int,
    bounds: tuple[float, float],
    recipe: Recipe | None,
    classes: int | None,
    no_metric: str = "the data give no metric",
    threads: int | None = None,
    advance: Callable[[int, int], None] | None = None,
    wanted: Answers | None = None,
    lossy: bool = False,
) -> Preprocessing:
    """Try the alternatives; without a metric nothing can be told, ``no_metric`` says why.

    They are left out where not even all pictures right would be clearly better, unless the
    quantized network is ``lossy``, which another one may mend at no more top-1. ``bounds``:
    extremes of the input's values; ``classes``: how many there are, where known; ``wanted``: the
    class of each picture, where known.
    ``advance`` is called with how many alternatives are done, and of how many.
    """
    shape = graph.tensors[graph.inputs[0]].shape[1:]
    used = _from_recipe(recipe) if recipe is not None else guess(*bounds, shape[0])
    told = "unknown" if used is None else used.name
    obstacle = no_metric if metric is None else _no_pixels(graph, used, bounds)
    if metric is None or used is None or obstacle is not None:
        return Preprocessing(told, metric, unjudged=obstacle)
    found = _examined(
        graph, workload, used, told, (metric, pictures, wanted), classes, lossy, threads, advance
    )
    return replace(found, normalization=used)


def _examined(
    graph: Graph,
    workload: Workload,
    used: Normalization,
    told: str,
    known: tuple[float, int, Answers | None],
    classes: int | None,
    lossy: bool,
    threads: int | None,
    advance: Callable[[int, int], None] | None,
) -> Preprocessing:
    """The alternatives of inputs that can be turned back into pixels."""
    metric, pictures, wanted = known
    others = list(alternatives(used, graph.tensors[graph.inputs[0]].shape[1:]))
    unit = 1.0 if metric <= 1 else 100.0
    right = min(metric / unit, 1.0)
    if 1 - right < LEAST_POINTS / 100:
        if not lossy:
            return Preprocessing(told, metric)
        trials = _tried(graph, workload, used, others, known, threads, advance)
        return Preprocessing(told, metric, trials)
    if apart(pictures, right, 1.0).by_chance > DOUBTED:
        enough = _enough(apart(pictures, right, 1.0), len(others))
        counted = f"{pictures} picture{'' if pictures == 1 else 's'}"
        wrong = f"{pictures - round(right * pictures)} of them wrong"
        few = f"over {counted}, {wrong}, no other one could be told to be better"
        return Preprocessing(told, metric, unjudged=few, enough=enough)
    trials = _tried(graph, workload, used, others, known, threads, advance)
    scores = graph.tensors[graph.chip_outputs[0]].elements
    below = bool(classes and classes > 1) and (
        share_interval(round(right * pictures), pictures)[1] < 1 / (classes or 1)
    )

    def hopeful(tried: int) -> list[Trial]:
        some = classes or scores
        return [item for item in trials if not _only_chance(item, metric, some, tried, below)]

    better = [t for t in hopeful(len(others)) if clearly_better(t.against, len(others))]
    near = _nearest(better, wanted)
    best = _simplest(near)
    if best is not None:
        sentence = (
            f"the float network reaches {metric:.2f} with this preprocessing ({told}) and "
            f"{best.metric:.2f} with {best.name} ({best.against.best_gain(len(others))})"
        )
        others_near = tuple(item for item in near if item is not best)
        sentence += _as_good(others_near)
        return Preprocessing(told, metric, trials, best, sentence, as_good=others_near)
    doubted = _simplest(_nearest([t for t in hopeful(1) if _looks_better(t.against)], wanted))
    doubt, enough = None, None
    if doubted is not None:
        doubt = (
            f"{pictures} pictures cannot tell whether another preprocessing is better than "
            f"{metric:.2f} with {told}: of {len(others)} tried {doubted.name} reaches "
            f"{doubted.metric:.2f} ({doubted.against.best_gain(len(others))}), as one of so many "
            "may by chance"
        )
        enough = _enough(doubted.against, len(others))
    elif possible := [item for item in hopeful(1) if _may_be_better(item)]:
        most = max(possible, key=lambda item: (-item.against.interval[0], -item.steps))
        doubt = (
            f"{pictures} pictures cannot tell whether another preprocessing is better by "
            f"{LEAST_POINTS:g} points than {metric:.2f} with {told}: of {len(others)} tried "
            f"{most.name} reaches {most.metric:.2f} ({most.against.gain})"
        )
        enough = _enough_to_bound(most.against, len(others))
    chance = None
    if classes and below:
        chance = (
            f"the float network reaches {metric:.2f} on {classes} classes, less than chance, which "
            f"is {100 / classes:.2f} %, and no other preprocessing tried helps: the labels are of "
            "another order, or of other classes, than the scores"
        )
        return Preprocessing(told, metric, trials, None, chance, labels=True)
    if classes and about_chance(right, classes):
        helps = "no other preprocessing tried helps" if doubt is None else "another one may help"
        chance = (
            f"the float network reaches {metric:.2f} on {classes} classes, about chance, and "
            f"{helps}: wrong labels (order of the class folders?), another resize or crop, or a "
            "model that is not trained"
        )
    return Preprocessing(told, metric, trials, None, chance, doubt=doubt, enough=enough)


def _tried(
    graph: Graph,
    workload: Workload,
    used: Normalization,
    others: Sequence[Normalization],
    known: tuple[float, int, Answers | None],
    threads: int | None,
    advance: Callable[[int, int], None] | None,
) -> tuple[Trial, ...]:
    """Every alternative's trial, the best first; ``known``: metric, pictures, their classes."""
    metric, pictures, wanted = known
    network = float_network(graph)
    mine: list[Answers] = []
    trials = []
    for number, other in enumerate((used, *others)):
        answers: list[Answers] = []
        with PictureRuns(network, threads) as runs:
            found = workload.run(_through(runs, graph, used, other, answers))
        if other is used:
            mine = answers
        elif found is not None and _says_something(answers):
            given = np.concatenate(answers) if answers else None
            own = np.concatenate(mine) if mine else None
            compared = _pair(metric, found, own, given, pictures, wanted)
            steps = _steps(used, other)
            trials.append(Trial(other.name, other.keys, found, compared, steps, given))
        if advance is not None and other is not used:
            advance(number, len(others))
    return tuple(sorted(trials, key=lambda item: -item.metric))


def _steps(used: Normalization, other: Normalization) -> int:
    """How many things would have to be wrong: the normalisation, and the order of the values."""
    same = (used.divide_by, used.mean, used.std) == (other.divide_by, other.mean, other.std)
    return int(not same) + int(other.swapped) + int(bool(other.layout))


def _only_chance(item: Trial, metric: float, classes: int, tried: int, below: bool) -> bool:
    """True where an alternative's own answers may be chance: such a one explains nothing.

    Where the network is ``below`` chance, which wrong labels make, about chance is as little.
    """
    if item.answers is None or classes <= 1:
        return False
    share, pictures = min(shares(item.metric, metric)[0], 1.0), item.against.pictures
    if below and about_chance(share, classes):
        return True
    return share_interval(round(share * pictures), pictures, tried)[0] <= 1 / classes


def _as_good(others: Sequence[Trial]) -> str:
    """That the pictures do not tell which of several alternatives it is; "" where it is one."""
    if not others:
        return ""
    names = ", ".join(item.name for item in others[:NAMED])
    more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
    some = "1 other does" if len(others) == 1 else f"{len(others)} others do"
    return f"; {some} about as well on these pictures: {names}{more}"


def _may_be_better(item: Trial) -> bool:
    """Its interval allows more than a trifle."""
    return item.answers is not None and -item.against.interval[0] >= LEAST_POINTS


def _nearest(trials: Sequence[Trial], wanted: Answers | None) -> list[Trial]:
    """Those that the best, which is the first, is not told from."""
    if not trials:
        return []
    best = trials[0]

    def by_chance(item: Trial) -> float:
        pictures = best.against.pictures
        found = _pair(item.metric, best.metric, item.answers, best.answers, pictures, wanted)
        return found.by_chance

    return [item for item in trials if by_chance(item) > ALIKE]


def _simplest(near: Sequence[Trial]) -> Trial | None:
    """The one with the fewest steps; else the best."""
    return min(near, key=lambda item: (item.steps, -item.metric), default=None)


def _pair(
    first: float,
    second: float,
    mine: Answers | None,
    theirs: Answers | None,
    pictures: int,
    wanted: Answers | None,
) -> Paired:
    """Two metrics of the same pictures, by the answers where they explain them."""
    found = paired(mine, theirs, (first, second), wanted)
    return found or apart(pictures, first, second)


def _enough(found: Paired, tries: int) -> int | None:
    """How many pictures tell, at the rates found; None where that would be very many."""
    times, pictures = 1.0, found.pictures
    while pictures <= MOST_PICTURES:
        more = Paired(pictures, round(found.lost * times), round(found.won * times))
        if clearly_better(more, tries):
            return max(PICTURES, -(-pictures // 50) * 50)
        times *= 1.25
        pictures = round(found.pictures * times)
    return None


def _enough_to_bound(found: Paired, tries: int) -> int:
    """How many pictures tell whether an alternative is better by more than a trifle, or clearly.

    At the rate at which answers change, half an interval is then a trifle.
    """
    changed = (found.lost + found.won) / found.pictures
    bound = max(2 * found.pictures, PICTURES, changed * (100 * Z_95 / LEAST_POINTS) ** 2)
    told = -(-ceil(bound) // 50) * 50
    return min(told, _enough(found, tries) or told)


def _no_pixels(graph: Graph, used: Normalization | None, bounds: tuple[float, float]) -> str | None:
    """Why the inputs cannot be turned back into pixels; None where they can."""
    channels = graph.tensors[graph.inputs[0]].shape[1]
    if len(graph.inputs) != 1:
        return f"the network has {len(graph.inputs)} inputs"
    if channels not in (1, 3):
        return f"an input of {channels} channels is no picture"
    if used is None:
        low, high = bounds
        return f"its values, {low:.4g} to {high:.4g}, tell no normalisation"
    return None


def _says_something(answers: Sequence[Answers]) -> bool:
    """False where nearly all pictures get one answer: right by chance where they are of one class.

    Pictures taken in the order of their folders are.
    """
    if not answers:
        return True
    whole = np.concatenate(answers)
    return bool(np.bincount(whole).max() <= SAME_ANSWER * whole.size)


def clearly_better(against: Paired, tries: int) -> bool:
    """More than a trifle, and more than by chance where so many were tried."""
    return -against.drop >= LEAST_POINTS and against.gain_among(tries)[0] > 0


def _looks_better(against: Paired) -> bool:
    """It would be worth more pictures, if it were the only other one."""
    return -against.drop >= LEAST_POINTS and against.by_chance <= DOUBTED


def alternatives(used: Normalization, shape: tuple[int, ...]) -> Iterator[Normalization]:
    """Every other normalisation known, each with red and blue exchanged, then other layouts.

    ``shape``: [C, H, W] of the input.
    """
    channels = shape[0]
    known: list[Normalization] = [used]
    for item in _known(channels):
        if not any(_alike(item, other) for other in known):
            known.append(item)
    yield from known[1:]
    if channels == 3:
        for item in known:
            # mean and std stay with the network's channels: only the pixels change places
            yield replace(item, name=f"{item.name}, red and blue exchanged", swapped=True)
        yield replace(used, name=f"{used.name}, {CHANNELS_LAST}", layout=CHANNELS_LAST)
    if shape[1] == shape[2]:
        yield replace(used, name=f"{used.name}, {ROWS_FOR_COLUMNS}", layout=ROWS_FOR_COLUMNS)


def _known(channels: int) -> Iterator[Normalization]:
    zero, one = (0.0,) * channels, (1.0,) * channels
    yield Normalization("pixels 0..255", 1.0, zero, one)
    yield Normalization("pixels 0..1", 255.0, zero, one)
    if channels == 3:
        yield Normalization("pixels less Caffe's means", 1.0, CAFFE, one)
    for name in list_recipes():
        recipe = load_recipe(name)
        if len(recipe.mean) == channels:
            yield _from_recipe(recipe)


def _from_recipe(recipe: Recipe) -> Normalization:
    return Normalization(
        f"the normalisation of {recipe.called}", recipe.divide_by, recipe.mean, recipe.std
    )


def _alike(one: Normalization, other: Normalization) -> bool:
    """True where both map black and white to nearly the same values."""
    ends = np.array([0.0, 255.0]).reshape(2, 1, 1, 1) * np.ones((1, len(one.mean), 1, 1))
    a, b = one.of(ends), other.of(ends)
    return bool(np.max(np.abs(a - b)) <= SAME * np.max(np.abs(b)))


def guess(low: float, high: float, channels: int) -> Normalization | None:
    """The normalisation that data with these extremes seems to have; None where none fits."""
    zero, one = (0.0,) * channels, (1.0,) * channels
    if low >= 0 and 2 < high <= 255.5:
        return Normalization("values 0..255, by their range", 1.0, zero, one)
    if low >= 0 and 0 < high <= 1.001:
        return Normalization("values 0..1, by their range", 255.0, zero, one)
    if low >= -1.001 and high <= 1.001:
        return Normalization("values -1..1, by their range", 127.5, one, one)
    if -3 <= low < 0 < high <= 3 and channels == 3:
        return Normalization("mean and std of ImageNet, by the range", 255.0, *IMAGENET)
    return None


def _through(
    runs: PictureRuns,
    graph: Graph,
    used: Normalization,
    other: Normalization,
    answers: list[Answers],
) -> Forward:
    """A forward function that sees the same pictures normalised otherwise.

    ``answers`` gets the classes that a network of one score per class finds, batch by batch.
    """
    classes = graph.tensors[graph.chip_outputs[0]].shape[1]
    scores = graph.tensors[graph.chip_outputs[0]].elements == classes > 1

    def join(_: Inputs, found: Values) -> list[Array]:
        outputs = [found[name] for name in graph.outputs]
        if scores and outputs[0].size == classes * len(outputs[0]):
            answers.append(best_classes(outputs[0], len(outputs[0])))
        return outputs

    def forward(inputs: Inputs) -> Sequence[Array]:
        if other is used:
            return runs.give(inputs, join)
        changed = (other.of(used.pixels(np.asarray(inputs[0], np.float32))),)
        return runs.give(changed, join)

    return forward


def _shaped(values: tuple[float, ...]) -> NDArray[np.float32]:
    return np.asarray(values, np.float32).reshape(1, -1, 1, 1)
