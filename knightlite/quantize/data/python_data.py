"""Data that a Python program feeds: arrays as the network reads them, or an infer function.

Both are run like a user script (``user_script``), with the same executor, but errors
of the program's own code reach it as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import DataError
from knightlite.executor import Executor, metric_of
from knightlite.frames import for_inputs
from knightlite.ir import Tensor
from knightlite.quantize.data.feeding import Feeder, Say, network_inputs, say_nothing
from knightlite.quantize.data.workload import Forward
from knightlite.script_loading import ForwardError

Array = NDArray[Any]
InferFunction = Callable[[Executor], Any]
"""Feeds batches to ``executor.forward``; returns a metric (a number) or None."""
Batch = Array | Sequence[Array] | Mapping[str, Array]
"""What one forward call reads: the array of the only input, one array per input, or by name."""


@dataclass(frozen=True, slots=True)
class CalledFunction:
    """An infer function of the calling program as a workload; see ``UserScript``."""

    function: InferFunction
    description: str
    dataset: str | None
    iteration: int
    batch_size: int
    save_dir: Path
    run_mode: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[str, ...] = ()
    say: Say = say_nothing
    declared_inputs: tuple[str, ...] = ()

    @property
    def forwards(self) -> int:
        """How many forward calls the function is asked for."""
        return self.iteration

    def run(self, forward: Forward) -> float | None:
        """Call the function with an executor around ``forward``; the metric it returns."""
        feeder = Feeder(self.inputs, forward, self.say)
        executor = Executor(
            iteration=self.iteration,
            batch_size=self.batch_size,
            dataset=self.dataset,
            save_dir=str(self.save_dir),
            run_mode=self.run_mode,
            user_defined_script="",
            inputs=network_inputs(self.inputs),
            output_node_list=list(self.outputs),
            feed=feeder,
            declared_inputs=self.declared_inputs,
        )
        try:
            returned = self.function(executor)
        except ForwardError as error:  # of the model, not of the function
            raise error.__cause__ or error from None
        if feeder.forwards == 0:
            raise DataError(f"{self.description} never called executor.forward.")
        return metric_of(returned, self.description)


def as_batches(
    data: Array | Mapping[str, Array] | Iterable[Batch], batch_size: int
) -> Iterable[Batch]:
    """Batches that can be read twice.

    Pictures [N, ...] of one input, or of several by name, are cut into batches of ``batch_size``.
    An iterator over batches is read into memory, all else is as it is.
    """
    if isinstance(data, (np.ndarray, Mapping)):
        return _split(data, batch_size)
    return list(data) if iter(data) is data else data


def _split(data: Array | Mapping[str, Array], batch_size: int) -> list[Batch]:
    if isinstance(data, Mapping):
        counts = {len(values) for values in data.values()}
        if len(counts) != 1:
            raise DataError(
                f"the arrays of the inputs must hold equally many pictures, not {sorted(counts)}."
            )
        (count,) = counts
        return [
            {name: values[first : first + batch_size] for name, values in data.items()}
            for first in range(0, count, batch_size)
        ]
    if data.ndim == 0:
        raise DataError("the data must be an array of pictures [N, ...], not a single number.")
    return [data[first : first + batch_size] for first in range(0, len(data), batch_size)]


def count_of(batches: Iterable[Batch], limit: int | None) -> int:
    """How many forward calls the batches give, at most ``limit``; DataError where there are none.

    The first pass over batches of unknown number counts them.
    """
    found = len(batches) if isinstance(batches, Sized) else sum(1 for _ in islice(batches, limit))
    if not found:
        raise DataError("the data holds no batch.", "give at least one picture, better a hundred")
    return found if limit is None else min(found, limit)


def feed(batches: Iterable[Batch]) -> InferFunction:
    """An infer function that feeds the first ``executor.iteration`` batches; it has no metric."""

    def feed_batches(executor: Executor) -> None:
        names = tuple(executor.input_nodes)
        for batch in islice(batches, executor.iteration):
            executor.feed(*_arrays(batch, names, executor.declared_inputs or names))

    return feed_batches


def _arrays(batch: Batch, names: tuple[str, ...], declared: tuple[str, ...]) -> tuple[Array, ...]:
    """One array per input ``names``; what is there for other ``declared`` inputs is ignored."""
    if isinstance(batch, Mapping):
        if not set(names) <= set(batch) <= set(declared):
            raise DataError(
                f"a batch must have the inputs {', '.join(names)}, not {', '.join(batch)}."
            )
        return tuple(batch[name] for name in names)
    arrays = tuple(batch) if isinstance(batch, (tuple, list)) else (np.asarray(batch),)
    if len(arrays) not in (len(names), len(declared)):
        raise DataError(
            f"a batch must have {len(names)} arrays ({', '.join(names)}), not {len(arrays)}."
        )
    return tuple(for_inputs(arrays, names, declared))
