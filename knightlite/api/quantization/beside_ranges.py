"""What a quantized model is fed with, held against what its inputs were calibrated for: said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from knightlite.api.simulation.fed import (
    LEAVE_OUT,
    Counted,
    another_recipe,
    integer_range,
    looked_at,
)

if TYPE_CHECKING:
    from knightlite.container import QuantizationNotes
    from knightlite.ir import Graph
    from knightlite.quantize.data import Forward, Workload
    from knightlite.talk import Talk

Array = NDArray[Any]


def warn_of_another_recipe(
    used: str | None, notes: QuantizationNotes | None, talk: Talk, hint: str = LEAVE_OUT
) -> None:
    """That the pictures do not go through the recipe of the model; ``hint``: what to do then."""
    told = another_recipe(used, None if notes is None else notes.recipe, hint=hint)
    if told is not None:
        talk.warn(told)


class BesideRanges:
    """A workload for a quantized graph, of which some frames are looked at as they are fed.

    What is odd in them beside the calibrated ranges is a warning at the end of a run, as ``sim``
    words it. Integers need no scale, and are not looked at. ``frames``: how many there will be.
    """

    def __init__(
        self,
        work: Workload,
        graph: Graph,
        notes: QuantizationNotes | None,
        frames: int,
        talk: Talk,
    ) -> None:
        self.work = work
        self.graph = graph
        self.notes = notes
        self.step = looked_at(len(getattr(work, "samples", range(frames)))).step
        self.talk = talk

    @property
    def description(self) -> str:
        """That of the data."""
        return self.work.description

    def run(self, forward: Forward) -> float | None:
        """Call ``forward`` over all data; their metric."""
        counted = dict(self._counted())
        fed = 0

        def watched(inputs: tuple[Array, ...]) -> Sequence[Array]:
            nonlocal fed
            found = forward(inputs)
            for name, values in zip(self.graph.inputs, inputs, strict=True):
                if name in counted and np.asarray(values).dtype.kind == "f":
                    shape = self.graph.tensors[name].shape
                    for frame in np.reshape(values, (-1, *shape[1:]))[
                        -fed % self.step :: self.step
                    ]:
                        counted[name].add(frame[None])
            fed += len(inputs[0])
            return found

        metric = self.work.run(watched)
        for item in counted.values():
            told = item.remark(blank=len(self.graph.inputs) == 1)
            if told is not None:
                self.talk.warn(told)
        return metric

    def _counted(self) -> Iterator[tuple[str, Counted]]:
        recipe, data = (None, "") if self.notes is None else (self.notes.recipe, self.notes.data)
        for name in self.graph.inputs:
            tensor = self.graph.tensors[name]
            if tensor.scale is not None:
                known = integer_range(name, tensor.dtype.numpy, tensor.scale, recipe, data)
                yield name, Counted(known)
