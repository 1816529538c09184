"""What a calibration or evaluation run feeds to a model: pictures of a folder, or anything else.

A workload runs a forward function over the same data in the same order each time it is run, so
that the float model and the quantized model see the same pictures.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from knightlite.preprocess import (
    ImageFolder,
    Recipe,
    Sample,
    class_places,
    prepare_picture,
    sample_pictures,
)

Array = NDArray[Any]
Forward = Callable[[tuple[Array, ...]], Sequence[Array]]
"""One array per network input, [N, C, H, W] with any N -> one array per output.

The outputs may still be computed, and are waited for when they are looked at.
"""


class Enough(BaseException):
    """Raised in a forward function to leave a workload; not an Exception, which scripts catch."""


UNDER_WAY = 16  # batches whose outputs are not yet looked at


class Workload(Protocol):
    """Data for a forward function. ``description`` says what it is, for reports."""

    @property
    def description(self) -> str:
        """What is run, as a report says it: "120 pictures of DIR with recipe imagenet"."""

    def run(self, forward: Forward) -> float | None:
        """Call ``forward`` over all data; the metric, or None where there is none."""


@dataclass(frozen=True, slots=True)
class PictureFolder:
    """``iteration`` batches of pictures of a folder through a recipe, seeded, even across classes.

    Each picture is decoded when its turn comes, in every run: memory does not grow with their
    number. The metric is top-1 in percent where the sub-folders are the classes of the first
    output: as many as it has values, or each at its place in ``labels``; otherwise None.
    """

    directory: Path
    recipe: Recipe
    iteration: int
    batch_size: int
    input_shape: tuple[int, ...]  # [C, H, W] or [N, C, H, W] with any N
    seed: int = 0
    labels: Path | None = None
    places: tuple[int, ...] = field(init=False, repr=False)  # of the classes, among the scores
    folder: ImageFolder = field(init=False, repr=False)
    samples: tuple[Sample, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Choose the pictures now, so that a missing folder is found before any work."""
        folder, samples = sample_pictures(
            self.directory, self.iteration * self.batch_size, self.seed
        )
        object.__setattr__(self, "places", class_places(folder, self.labels))
        object.__setattr__(self, "folder", folder)
        object.__setattr__(self, "samples", samples)

    @property
    def description(self) -> str:
        """As "120 pictures of DIR with recipe imagenet"; says so where more were asked for.

        DIR is the folder's own name: the model's notes do not depend on where the folder lies.
        """
        asked = self.iteration * self.batch_size
        count = len(self.samples)
        pictures = f"{count} picture" + ("" if count == 1 else "s")
        note = "" if count == asked else f" (all there are; {asked} were asked for)"
        folder = self.directory.name or self.directory
        return f"{pictures} of {folder} with {self.recipe.called}{note}"

    @property
    def forwards(self) -> int:
        """Number of batches; the last one may be smaller."""
        return -(-len(self.samples) // self.batch_size)

    def mismatch(self, scores: int) -> str | None:
        """Why there is no top-1 where the first output has so many values, and what gives it."""
        count = len(self.folder.classes)
        if not count:
            return (
                f"the pictures of {self.directory.name} lie in no folders of classes; one "
                "sub-folder per class gives the metric"
            )
        if self.labels is not None:
            if max(self.places) < scores:
                return None
            return (
                f"{self.labels} has a class folder at place {max(self.places)}, but the network "
                f"gives {scores} scores; another file of labels may fit"
            )
        if count == scores:
            return None
        return (
            f"{self.directory.name} has {count} class folder{'' if count == 1 else 's'}, but the "
            f"network gives {scores} scores; --labels FILE names the classes in their order"
        )

    def wanted(self, scores: int) -> NDArray[np.intp] | None:
        """The class of each picture, in their order; None where there is no top-1."""
        if self.mismatch(scores) is not None:
            return None
        return np.asarray([self.places[item.label or 0] for item in self.samples], np.intp)

    def run(self, forward: Forward) -> float | None:
        """Run all pictures; top-1 in percent, or None where the classes do not match."""
        right = 0
        comparable = bool(self.folder.classes)
        waiting: deque[tuple[Sequence[Sample], Sequence[Array]]] = deque()

        def count() -> None:
            nonlocal right, comparable
            samples, outputs = waiting.popleft()
            scores = outputs[0].reshape(len(samples), -1)
            comparable = comparable and self.mismatch(scores.shape[1]) is None
            if comparable:
                wanted = [self.places[item.label or 0] for item in samples]
                right += int(np.count_nonzero(scores.argmax(axis=1) == wanted))

        for samples in _batches(self.samples, self.batch_size):
            pictures = [
                prepare_picture(item.path, self.recipe, self.input_shape) for item in samples
            ]
            waiting.append((samples, forward((np.stack(pictures),))))
            if len(waiting) > UNDER_WAY:
                count()
        while waiting:
            count()
        return 100 * right / len(self.samples) if comparable else None


def _batches(samples: Sequence[Sample], size: int) -> Iterator[Sequence[Sample]]:
    return (samples[first : first + size] for first in range(0, len(samples), size))
