"""Data that are too poor to calibrate on: one picture, the same one again and again, a constant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from knightlite.errors import KnightliteError
from knightlite.options.quantize import QuantizeOptions
from knightlite.options.shared import PICTURES
from knightlite.talk import Talk

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from knightlite.ir import Graph
    from knightlite.preprocess import Recipe
    from knightlite.quantize.data import PictureFolder, Workload
    from knightlite.quantize.pipeline import Prepared

TELLING = 16  # pictures: of fewer, some that are faint count too much
LOOK_BYTES = 128 << 20  # of the pictures that are looked at; of larger ones too few would fit


def warn_of_poor_data(
    options: QuantizeOptions, work: Workload, prepared: Prepared, talk: Talk
) -> None:
    """What of the data makes figures over them no verdict, whatever they are.

    Arrays of a program may be as few as it wants.
    """
    from knightlite.quantize.data import PictureFolder
    from knightlite.quantize.data_free import is_made_up

    if is_made_up(work):
        return
    seen = prepared.seen
    values = {
        name: (float(found.minimum.min()), float(found.maximum.max()))
        for name in prepared.exact.inputs
        for found in (seen.statistics[name],)
    }
    if all(low == high for low, high in values.values()):  # one of several may be a mask
        listed = " and ".join(f"{name} is {low + 0.0:.4g}" for name, (low, _) in values.items())
        talk.warn(
            f"every value that is fed to input {listed}: nothing can be calibrated on that, and "
            "what the outputs keep of it says nothing. Hint: feed pictures as the network will see "
            "them"
        )
        return
    if seen.alike:
        talk.warn(
            f"the {seen.pictures} pictures that were fed are one and the same: they tell as much "
            "as one, and figures over them are sure of nothing. Hint: feed pictures that differ"
        )
    elif seen.pictures == 1 and options.iterations and options.batches is None:
        there = len(work.folder.samples) if isinstance(work, PictureFolder) else PICTURES
        more = f"-i {min(PICTURES, there)} takes more" if there > 1 else "a hundred are better"
        talk.warn(
            "one picture is no calibration: ranges follow what it happens to hold, others are cut "
            f"off, and figures over it are no verdict. Hint: {more}"
        )


def warn_of_other_pictures(graph: Graph, work: Workload, talk: Talk) -> None:
    """That pictures of a folder are not what the first BatchNorms saw in training: another recipe.

    No labels are needed for that. Close recipes are not told apart: all that would do are named.
    """
    from knightlite.quantize.data import PictureFolder
    from knightlite.quantize.data_free import apart_from_training, knows_training

    if (
        not isinstance(work, PictureFolder)
        or len(work.samples) < TELLING
        or 4 * TELLING * int(np.prod(work.input_shape[-3:])) > LOOK_BYTES
        or not knows_training(graph, graph.inputs[0])
    ):
        return
    pictures = _looked_at(work)
    found = apart_from_training(graph, graph.inputs[0], pictures)
    if found is None or not found.is_far:
        return
    tried = {}
    for name, prepared_so in _by_recipes(work.recipe, pictures):
        other = apart_from_training(graph, graph.inputs[0], prepared_so)
        if other is not None and not other.is_far:
            tried[name] = other.distance
    near = sorted(tried, key=lambda name: tried[name])
    hint = "compare with the preprocessing of the training"
    if near:
        hint += f"; of the recipes that ship, mean and std of {near[0]} come nearest to it"
    if near[1:]:
        others = " or ".join(item for item in (", ".join(near[1:-1]), near[-1]) if item)
        hint += f", and {TELLING} pictures do not tell them from those of {others}"
    talk.warn(
        f"with {work.recipe.called} the pictures spread {found.times:.2g} times as wide as those "
        f"that the network's first BatchNorm saw in training, and their means are "
        f"{found.means:.2g} standard deviations off: they are prepared otherwise. Hint: {hint}"
    )


def _looked_at(work: PictureFolder) -> NDArray[np.float32]:
    """Pictures [n, C, H, W] of the whole folder as its recipe prepares them.

    A seeded choice by the names of the files, so that the same ones lying flat or in folders of
    classes give the same. What cannot be read is no matter here: it may not be calibrated on.
    """
    from knightlite.preprocess import prepare_picture

    paths = sorted(
        (item.path for item in work.folder.samples), key=lambda path: (path.name, path.parent)
    )
    # its stream is frozen, default_rng's is not
    order = np.random.RandomState(work.seed).permutation(len(paths))

    def readable() -> Iterator[NDArray[np.float32]]:
        for index in order:
            try:
                yield prepare_picture(paths[index], work.recipe, work.input_shape)
            except KnightliteError:
                continue

    return np.stack(list(islice(readable(), TELLING)))


def _by_recipes(
    used: Recipe, pictures: NDArray[np.float32]
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """The same pictures as every recipe that ships would normalize them."""
    from knightlite.preprocess import list_recipes, load_recipe

    def shaped(values: Sequence[float]) -> NDArray[np.float32]:
        return np.reshape(np.asarray(values, np.float32), (-1, 1, 1))

    pixels = pictures * shaped(used.pixel_std) + shaped(used.pixel_mean)
    for name in list_recipes():
        other = load_recipe(name)
        if len(other.mean) == len(used.mean):
            yield name, (pixels - shaped(other.pixel_mean)) / shaped(other.pixel_std)
