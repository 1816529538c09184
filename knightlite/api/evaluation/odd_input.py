"""What is odd in the pictures of an evaluation beside what its networks were calibrated for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from knightlite import workspace
from knightlite.api.evaluation.engine import Bench, Job, Picture
from knightlite.api.evaluation.forms import Source
from knightlite.api.models.calibration_pictures import (
    calibration_pictures,
    met_again,
    met_again_told,
    quant_run,
)
from knightlite.api.simulation.fed import Range, looked_at, remark
from knightlite.api.simulation.order import order_remark
from knightlite.errors import KnightliteError
from knightlite.talk import Talk


def warn_of_odd_input(
    job: Job,
    pictures: Sequence[Picture],
    calibrated: Sequence[tuple[Range | None, tuple[int, ...]]],
    talk: Talk,
) -> tuple[str, ...]:
    """What is odd in some of the pictures beside what the last quantized form was calibrated for.

    Said before the work, not after it. What cannot be read is left to the work.
    """
    known = [(fed, shape) for fed, shape in calibrated if fed is not None]
    if not known:
        return ()
    fed, shape = known[-1]
    bench = Bench(job, ())

    def frames() -> Iterator[NDArray[np.float32]]:
        for place in looked_at(len(pictures)):
            with suppress(KnightliteError):
                yield bench.prepared(pictures[place], shape)

    looked = [*frames()]
    told = [remark(looked, fed)]
    if looked and pictures[0].frame is not None:  # through a recipe the order is right
        told.append(order_remark(looked, fed.name, None))
    found = tuple(item for item in told if item is not None)
    for sentence in found:
        talk.warn(sentence)
    return found


def warn_of_calibration(
    sources: Sequence[Source], pictures: Sequence[Picture], directory: Path, talk: Talk
) -> tuple[str, ...]:
    """That pictures are those that a quantized form was calibrated on, by the manifest."""
    space = workspace.open_workspace(directory)
    run = quant_run(space, (item.made_from or item.sha256 for item in sources))
    if run is None or any(picture.frame is not None for picture in pictures):
        return ()
    known = calibration_pictures(space, run)
    count = met_again(known, (picture.path for picture in pictures))
    told = met_again_told(count, len(pictures), Path(run.files["onnx"].path).name)
    if told:
        talk.warn(told)
    return (told,) if told else ()
