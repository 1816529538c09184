"""Data of a diagnosis with a measure of their own in place of top-1."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import DataError
from knightlite.metrics import Metric, Picture
from knightlite.quantize.data import Forward, PictureFolder, Workload

Array = NDArray[Any]
UNDER_WAY = 16  # calls whose outputs are not yet looked at: runs of several pictures overlap


@dataclass(slots=True)
class MeasuredWorkload:
    """A workload whose metric is the total of a measure. ``outputs``: the network's, in order.

    ``values``: what the measure kept of each picture of the last run.
    """

    data: Workload
    metric: Metric
    outputs: tuple[str, ...]
    values: list[Any] = field(default_factory=list)

    @property
    def description(self) -> str:
        """That of the data."""
        return self.data.description

    def run(self, forward: Forward) -> float | None:
        """Call ``forward`` over all data; the measure's total.

        DataError, with the user's file and line, for what fails in it.
        """
        waiting: deque[tuple[tuple[Array, ...], Sequence[Array]]] = deque()
        values: list[Any] = []

        def count() -> None:
            inputs, outputs = waiting.popleft()
            for place in range(len(inputs[0])):
                found = self._of_one(outputs, place, len(inputs[0]))
                values.append(self.metric.value(found, self._picture(len(values), inputs)))

        def watched(inputs: tuple[Array, ...]) -> Sequence[Array]:
            found = forward(inputs)
            waiting.append((inputs, found))
            if len(waiting) > UNDER_WAY:
                count()
            return found

        self.data.run(watched)
        while waiting:
            count()
        self.values = values
        return self.metric.total(values)

    def _of_one(self, outputs: Sequence[Array], place: int, count: int) -> dict[str, Array]:
        """The outputs of one picture of a batch, [1, ...] each."""
        found = {}
        for name, values in zip(self.outputs, outputs, strict=True):
            if count > 1 and (not values.ndim or len(values) != count):
                raise DataError(
                    f"output {name} of shape {values.shape} does not tell which of {count} "
                    "pictures it is of.",
                    "one picture at a time: -bs 1",
                )
            one = values if count == 1 else values[place : place + 1]
            found[name] = np.asarray(one, np.float32)
        return found

    def _picture(self, number: int, inputs: tuple[Array, ...]) -> Picture:
        """Of a folder the file; of other data its place among them."""
        height, width = (*inputs[0].shape, 1, 1)[2:4]
        if not isinstance(self.data, PictureFolder):
            return Picture(None, (height, width), frame=number)
        sample = self.data.samples[number]
        label = None if sample.label is None else self.data.places[sample.label]
        return Picture(sample.path, (height, width), label)
