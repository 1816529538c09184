"""Pictures in, sums out: one after another here, or in processes that each hold every model.

What goes to a worker and what comes back can be pickled and is small (a ``Job`` once, places of
pictures, a ``Tally``), so that other engines can run the same work elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.api.evaluation.forms import Form, Source, open_form
from knightlite.api.evaluation.stored_frames import frame_of
from knightlite.api.processes import Start, ordered
from knightlite.errors import UsageError
from knightlite.evaluation import Tally, empty_tally, tally_of
from knightlite.metrics import Metric, MetricSource, open_metric
from knightlite.metrics import Picture as MeasuredPicture
from knightlite.options.shared import NUMPY

Array = NDArray[Any]
CHUNK = 5  # pictures that a worker gets at a time


@dataclass(frozen=True, slots=True)
class Picture:
    """A file and the place of its class among the scores (None: not known).

    ``number``: its place among all pictures. ``frame``: which frame of a file of these it is; None
    for a picture.
    """

    path: Path
    label: int | None
    frame: int | None = None
    number: int = 0

    @property
    def name(self) -> str:
        """As sentences call it."""
        return str(self.path) if self.frame is None else f"frame {self.frame} of {self.path}"


@dataclass(frozen=True, slots=True)
class Job:
    """What every worker needs. ``shapes``: [C, H, W] that each model reads.

    ``logits``: compare scores before the trailing Softmax, which every model then has. ``check``:
    compare the chip's layers with the golden model's. ``recipe``: TOML text; "" for frames, which
    are prepared. ``classes``: how many folders stand for the
    scores in their order (None: labels order them, or there are no folders). ``metric``: a measure
    of the data's own; then folders of other classes are no fault, but stand for none. ``engine``:
    what runs the chip's program. ``labels``: the file that names the classes; ``from_one``: how
    many it counts from 1, not from 0.
    """

    sources: tuple[Source, ...]
    shapes: tuple[tuple[int, ...], ...]
    recipe: str
    chip: str | None
    input_shapes: tuple[tuple[int, ...], ...]
    logits: bool
    check: bool = False
    classes: int | None = None
    metric: MetricSource | None = None
    engine: str = NUMPY
    labels: Path | None = None
    from_one: int = 0


@dataclass(frozen=True, slots=True)
class Bench:
    """A job with its models opened."""

    job: Job
    forms: tuple[Form, ...]
    metric: Metric | None = None

    def count(self, pictures: Sequence[Picture]) -> Tally:
        """Each picture is decoded once per input shape and goes through every model."""
        total = empty_tally(len(self.forms))
        for picture in pictures:
            fed = {shape: self.prepared(picture, shape) for shape in dict.fromkeys(self.job.shapes)}
            found = [
                (form.run(fed[shape]), (0, 0)) if form.checked is None else form.checked(fed[shape])
                for form, shape in zip(self.forms, self.job.shapes, strict=True)
            ]
            scores = [
                item.before if self.job.logits and item.before is not None else item.final
                for item, _ in found
            ]
            label = self._label(scores, picture)
            values = self._measured([item.outputs for item, _ in found], picture)
            total += tally_of(scores, label, [counted for _, counted in found], values)
        return total

    def _measured(
        self, outputs: Sequence[Mapping[str, Array]], picture: Picture
    ) -> tuple[int, tuple[Any, ...]] | None:
        """What the measure keeps of a picture, by the names that the first model has."""
        if self.metric is None:
            return None
        names = list(outputs[0])
        kept = []
        for found, shape, form in zip(outputs, self.job.shapes, self.forms, strict=True):
            if len(found) != len(names):
                raise UsageError(
                    f"{form.source.path.name} has {len(found)} outputs, but "
                    f"{self.forms[0].source.path.name} has {len(names)}.",
                    "compare forms of one network",
                )
            arrays = [item.astype(np.float32) for item in found.values()]
            path = picture.path if picture.frame is None else None
            asked = MeasuredPicture(path, (shape[1], shape[2]), picture.label, picture.frame)
            kept.append(self.metric.value(dict(zip(names, arrays, strict=True)), asked))
        return picture.number, tuple(kept)

    def prepared(self, picture: Picture, shape: tuple[int, ...]) -> Array:
        """What a model of that input shape reads, float32 [1, C, H, W]."""
        from knightlite.preprocess import parse_recipe, prepare_picture

        if picture.frame is not None:
            return frame_of(picture.path, picture.frame, shape)
        recipe = parse_recipe(self.job.recipe, "the recipe of the models")
        prepared: Array = prepare_picture(picture.path, recipe, shape)[None]
        return prepared

    def _label(self, scores: Sequence[Array], picture: Picture) -> int | None:
        """The picture's class among the scores, where it is known.

        UsageError where the models are not of one network, or the classes not theirs.
        """
        sizes = [values.size for values in scores]
        if len(set(sizes)) > 1:
            listed = ", ".join(
                f"{size} of {form.source.path.name}"
                for size, form in zip(sizes, self.forms, strict=True)
            )
            raise UsageError(
                f"the models must give equally many scores, not {listed}.",
                "compare forms of one network",
            )
        others = self.job.classes is not None and self.job.classes != sizes[0]
        beyond = picture.label is not None and picture.label >= sizes[0]
        if self.metric is not None and (others or beyond):
            return None
        if others:
            folders = "1 folder" if self.job.classes == 1 else f"{self.job.classes} folders"
            raise UsageError(
                f"the pictures lie in {folders} of classes, but the models give "
                f"{sizes[0]} scores: which score is of which class is not known.",
                "name the classes in the order of the scores with --labels FILE",
            )
        if beyond or self.job.from_one == sizes[0]:
            raise self._beyond(picture, sizes[0])
        return picture.label

    def _beyond(self, picture: Picture, scores: int) -> UsageError:
        """Of a class that labels number otherwise than the scores are."""
        from knightlite.preprocess import misfit

        if self.job.labels is None or picture.frame is not None:
            return UsageError(
                f"{picture.name} is of class {picture.label}, but the models give {scores} scores.",
                f"the numbers of the --labels file must lie in 0 to {scores - 1}",
            )
        why, hint = misfit(self.job.labels, scores)
        return UsageError(
            f"{picture.name} is of class {picture.label} of {self.job.labels}, but the models give "
            f"{scores} scores: {why}.",
            hint,
        )


def open_bench(job: Job, metric: Metric | None = None) -> Bench:
    """Open every model. Errors: as ``open_form`` raises."""
    every = job.metric is not None
    forms = [
        open_form(source, job.chip, job.input_shapes, 1, job.check, every, job.engine)
        for source in job.sources
    ]
    return Bench(job, tuple(forms), metric)


def tallies(
    job: Job, pictures: Sequence[Picture], workers: int, metric: Metric | None = None
) -> Iterator[Tally]:
    """Sums of one chunk of pictures after another, in their order.

    ``metric``: that of the job, open here; every other process opens its own.
    """
    chunks = [pictures[first : first + CHUNK] for first in range(0, len(pictures), CHUNK)]
    workers = min(workers, len(chunks))
    if workers > 1:
        yield from ordered(_count, chunks, workers, Start(_start_worker, job))
    elif chunks:
        yield from map(open_bench(job, metric).count, chunks)


_benches: list[Bench] = []  # of this worker process; filled once when it starts
_opened = ExitStack()  # what stays open while it lives


def _start_worker(job: Job) -> None:
    from multiprocessing.util import Finalize

    # a process of a pool ends without the interpreter's own last calls
    Finalize(None, _opened.close, exitpriority=1)
    metric = None if job.metric is None else _opened.enter_context(open_metric(job.metric))
    _benches.append(open_bench(job, metric))


def _count(pictures: Sequence[Picture]) -> Tally:
    return _benches[0].count(pictures)
