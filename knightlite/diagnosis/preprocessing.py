"""Is the picture what the network was trained on? Other preprocessings are tried, and counted.

The arrays that the data gives are turned back into pixels 0..255 (by the recipe, or by the range
of the values) and normalised in other ways: those of the recipes that ship, 0..255, 0..1, and each
with red and blue exchanged. What the float network's metric is then is measured, not guessed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.inference import Inputs, PictureRuns, Values, float_network
from knightlite.ir import Graph
from knightlite.preprocess import Recipe, list_recipes, load_recipe
from knightlite.quantize.data import Forward, Workload

Array = NDArray[Any]

LEAST_POINTS = 5.0  # better by less is not called a fault
SIGMAS = 3.0  # a dozen alternatives are tried: chance must not make one of them look good
SAME_ANSWER = 0.8  # of the pictures: more of one class tell nothing
CHANCES = 3.0  # a float metric below so many times chance is implausible
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
    """An alternative and the float metric it gives."""

    name: str
    keys: str
    metric: float


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Whether the data look like those of the training.

    ``used``: how the data seem to be normalised; ``trials``: the best first; ``implausible``: a
    sentence where the float metric says that something is wrong, and ``better`` the trial to take.
    ``unjudged``: why nothing can be said of it; None where it was judged.
    """

    used: str
    metric: float | None
    trials: tuple[Trial, ...] = ()
    better: Trial | None = None
    implausible: str | None = None
    unjudged: str | None = None


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
) -> Preprocessing:
    """Try the alternatives; without a metric nothing can be told, ``no_metric`` says why.

    They are left out where not even all pictures right would be clearly better. ``bounds``:
    extremes of the input's values; ``classes``: how many there are, where known.
    ``advance`` is called with how many alternatives are done, and of how many.
    """
    channels = graph.tensors[graph.inputs[0]].shape[1]
    used = _from_recipe(recipe) if recipe is not None else guess(*bounds, channels)
    told = "unknown" if used is None else used.name
    obstacle = no_metric if metric is None else _no_pixels(graph, used, bounds)
    if metric is None or used is None or obstacle is not None:
        return Preprocessing(told, metric, unjudged=obstacle)
    unit = 1.0 if metric <= 1 else 100.0
    if not clearly_better(metric, unit, pictures):
        counted = f"{pictures} picture{'' if pictures == 1 else 's'}"
        few = f"over {counted} no other one could be clearly better"
        room = unit - metric >= LEAST_POINTS / 100 * unit
        return Preprocessing(told, metric, unjudged=few if room else None)
    network = float_network(graph)
    others = list(alternatives(used, graph.tensors[graph.inputs[0]].shape[1:]))
    trials = []
    for number, trial in enumerate(others, 1):
        answers: Counter[int] = Counter()
        with PictureRuns(network, threads) as runs:
            found = workload.run(_through(runs, graph, used, trial, answers))
        if found is not None and _says_something(answers):
            trials.append(Trial(trial.name, trial.keys, found))
        if advance is not None:
            advance(number, len(others))
    trials.sort(key=lambda item: -item.metric)
    best = trials[0] if trials else None
    if best is not None and clearly_better(metric, best.metric, pictures):
        sentence = (
            f"the float network reaches {metric:.2f} with this preprocessing ({told}) and "
            f"{best.metric:.2f} with {best.name}"
        )
        return Preprocessing(told, metric, tuple(trials), best, sentence)
    if classes and classes > 1 and metric <= min(CHANCES, classes / 2) * unit / classes:
        sentence = (
            f"the float network reaches {metric:.2f} on {classes} classes, about chance, and no "
            "other preprocessing tried helps: wrong labels (order of the class folders?), another "
            "resize or crop, or a model that is not trained"
        )
        return Preprocessing(told, metric, tuple(trials), None, sentence)
    return Preprocessing(told, metric, tuple(trials))


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


def _says_something(answers: Counter[int]) -> bool:
    """False where nearly all pictures get one answer: right by chance where they are of one class.

    Pictures taken in the order of their folders are.
    """
    return not answers or max(answers.values()) <= SAME_ANSWER * answers.total()


def clearly_better(metric: float, other: float, pictures: int) -> bool:
    """More than chance and more than a trifle; metrics are shares, or percent."""
    unit = 1.0 if max(metric, other) <= 1 else 100.0
    p, q = min(metric / unit, 1.0), min(other / unit, 1.0)
    deviation = np.sqrt((p * (1 - p) + q * (1 - q)) / max(1, pictures))
    return bool(q - p >= max(LEAST_POINTS / 100, SIGMAS * deviation))


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
        f"the normalisation of recipe {recipe.name}", recipe.divide_by, recipe.mean, recipe.std
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
    answers: Counter[int],
) -> Forward:
    """A forward function that sees the same pictures normalised otherwise.

    ``answers`` counts the classes that a network of one score per class finds.
    """
    classes = graph.tensors[graph.chip_outputs[0]].shape[1]
    scores = graph.tensors[graph.chip_outputs[0]].elements == classes > 1

    def join(_: Inputs, found: Values) -> list[Array]:
        outputs = [found[name] for name in graph.outputs]
        if scores and outputs[0].size == classes * len(outputs[0]):
            answers.update(outputs[0].reshape(-1, classes).argmax(1).tolist())
        return outputs

    def forward(inputs: Inputs) -> Sequence[Array]:
        changed = (other.of(used.pixels(np.asarray(inputs[0], np.float32))),)
        return runs.give(changed, join)

    return forward


def _shaped(values: tuple[float, ...]) -> NDArray[np.float32]:
    return np.asarray(values, np.float32).reshape(1, -1, 1, 1)
