"""Data that are too poor to calibrate on: one picture, the same one again and again, a constant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from knightlite.options.quantize import QuantizeOptions
from knightlite.options.shared import PICTURES
from knightlite.talk import Talk

if TYPE_CHECKING:
    from knightlite.quantize.data import Workload
    from knightlite.quantize.pipeline import Prepared


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
    alike = len(seen.sample[0]) > 1 and all(
        np.array_equal(item[:1], one[None]) for item in seen.sample for one in item[1:]
    )
    if alike:
        talk.warn(
            f"the {len(seen.sample[0])} pictures that were compared are one and the same: they "
            "tell as much as one, and figures over them are sure of nothing. Hint: feed pictures "
            "that differ"
        )
    elif seen.pictures == 1 and options.iterations and options.batches is None:
        there = len(work.folder.samples) if isinstance(work, PictureFolder) else PICTURES
        more = f"-i {min(PICTURES, there)} takes more" if there > 1 else "a hundred are better"
        talk.warn(
            "one picture is no calibration: ranges follow what it happens to hold, others are cut "
            f"off, and figures over it are no verdict. Hint: {more}"
        )
