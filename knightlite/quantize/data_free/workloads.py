"""Workloads without any picture of the user's: made-up pictures, or random data.

Made-up pictures serve where BatchNorms know what the network's values are like
(:mod:`knightlite.quantize.data_free.standardize`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.ir import Graph, Tensor
from knightlite.quantize.data.sample import pictures_at_once
from knightlite.quantize.data.workload import Forward, Workload
from knightlite.quantize.data_free.input_fit import InputFit, fit_input
from knightlite.quantize.data_free.made_pictures import MEAN, STD, picture
from knightlite.quantize.data_free.standardize import Changes, fit_changes
from knightlite.quantize.sequences import Sequences
from knightlite.quantize.settings import Settings

Array = NDArray[Any]

SEED = 123  # of Knight's infer_auto
PICTURES = 32  # where the user names no number
PROBES = 16  # for the fit of an input
KEPT_BYTES = 1 << 25  # of an input's pictures: 32 of 3 x 256 x 256
MOST_PICTURES = 64  # that the statistics of layers are fitted on
HEADROOM = 8.0  # answers to made-up pictures are smaller than those to photographs
UNKNOWN = InputFit(np.zeros(1), 1.0)


@dataclass(frozen=True, slots=True)
class DataFree:
    """Seeded made-up pictures for a network with BatchNorm statistics, the same in every run.

    ``inputs``: the network's, as they are fed; ``fits``: one per input, None where it is not known
    what training fed; ``known``: the number of BatchNorms.
    """

    inputs: tuple[Tensor, ...]
    fits: tuple[InputFit | None, ...]
    known: int
    iteration: int = PICTURES
    batch_size: int = 1
    seed: int = SEED

    @property
    def description(self) -> str:
        """What calibrates, for reports."""
        plural = "" if self.known == 1 else "s"
        return f"data-free, from {self.known} BatchNorm statistic{plural}"

    @property
    def warning(self) -> str:
        """What a user must be told."""
        return (
            f"the model is calibrated without pictures, on made-up ones and the statistics of "
            f"{self.known} BatchNorms: what accuracy to expect is not known, and "
            "calibrating with pictures is better; give some with -d DIR --recipe NAME, or a "
            "script with -uds FILE -if FUNCTION."
        )

    @property
    def forwards(self) -> int:
        """Number of forward calls."""
        return self.iteration

    def run(self, forward: Forward) -> float | None:
        """Feed all pictures; there is no metric."""
        streams = [self._stream(index) for index in range(len(self.inputs))]
        for _ in range(self.iteration):
            forward(tuple(_stack(stream, self.batch_size) for stream in streams))
        return None

    def first(self, count: int) -> tuple[Array, ...]:
        """The first ``count`` pictures, float32 [count, C, H, W] per input."""
        streams = [self._stream(index) for index in range(len(self.inputs))]
        return tuple(_stack(stream, count).astype(np.float32) for stream in streams)

    def _stream(self, index: int) -> Iterator[Array]:
        """Endless pictures [C, H, W] of one input."""
        tensor, fit = self.inputs[index], self.fits[index]
        for pixels in _pixels(tensor, self.seed + index):
            yield _as_fed(pixels, tensor, fit)


@dataclass(frozen=True, slots=True)
class RandomData:
    """Seeded normal noise of the inputs' shapes, new in every batch: Knight's infer_auto.

    ``inputs`` are the network's inputs (N is replaced by ``batch_size``). ``warning`` is what a
    user must be told.
    """

    inputs: tuple[Tensor, ...]
    iteration: int = 1
    batch_size: int = 1
    seed: int = SEED

    @property
    def description(self) -> str:
        """The kind of data and its seed."""
        return f"random data (seed {self.seed})"

    @property
    def warning(self) -> str:
        """Why the result is good for a look at speed and size only."""
        return (
            "the model is calibrated with random data, because no BatchNorm is left in it that "
            "knows what its values are like: its ranges mean nothing, so expect wrong answers on "
            "real pictures; give pictures with -d DIR --recipe NAME, or a script with -uds FILE "
            "-if FUNCTION."
        )

    @property
    def forwards(self) -> int:
        """Number of forward calls."""
        return self.iteration

    def run(self, forward: Forward) -> float | None:
        """Feed ``iteration`` seeded batches; there is no metric."""
        # each input has a stream of its own that starts with the seed
        streams = [np.random.RandomState(self.seed) for _ in self.inputs]
        for _ in range(self.iteration):
            pairs = zip(self.inputs, streams, strict=True)
            forward(tuple(self._values(tensor, rng) for tensor, rng in pairs))
        return None

    def _values(self, tensor: Tensor, rng: np.random.RandomState) -> Array:
        # integers have Knight's ranges
        shape = (self.batch_size, *tensor.shape[1:])
        if tensor.dtype.is_float:
            return rng.randn(*shape).astype(tensor.dtype.numpy)
        low = -10 if tensor.dtype.signed else 1
        return rng.randint(low, 10, size=shape).astype(tensor.dtype.numpy)


def is_made_up(workload: Workload) -> bool:
    """True where no picture of the user's is fed: what readers make of these proves little."""
    return isinstance(under(workload), (DataFree, RandomData))


def under(workload: Workload) -> Workload:
    """The workload itself, or the one that gives it its sequences."""
    return workload.whole if isinstance(workload, Sequences) else workload


def without_data(
    graph: Graph,
    inputs: tuple[Tensor, ...],
    iteration: int = 1,
    batch_size: int = 1,
    threads: int | None = None,
) -> DataFree | RandomData:
    """The workload for a float graph where no data are given; ``inputs`` as they are fed.

    Random data where no BatchNorm is left. ``iteration`` 1, which is no one's wish, stands for
    ``PICTURES`` made-up pictures.
    """
    if not graph.trained:
        return RandomData(inputs, iteration, batch_size)
    if iteration == 1:
        iteration = -(-PICTURES // batch_size)
    fits = []
    for index, tensor in enumerate(inputs):
        stream = ((item - MEAN) / STD for item in _pixels(tensor, SEED + index))
        fits.append(fit_input(graph, tensor.name, _stack(stream, PROBES), threads))
    return DataFree(inputs, tuple(fits), len(graph.trained), iteration, batch_size)


def changes_for(graph: Graph, workload: DataFree, threads: int | None = None) -> Changes:
    """What gives the network on the pictures of ``workload`` the statistics of its training."""
    count = max(2, min(MOST_PICTURES, pictures_at_once(graph)))
    wanted = min(count, max(PICTURES, workload.iteration * workload.batch_size))
    return fit_changes(graph, workload.first(wanted), threads)


def settings_without_pictures(settings: Settings, workload: Workload) -> Settings:
    """Where ``workload`` is made up, 16-bit tensors reach further beyond what was seen."""
    if not isinstance(workload, DataFree):
        return settings
    return replace(settings, output_headroom=max(HEADROOM, settings.output_headroom))


def _pixels(tensor: Tensor, seed: int) -> Iterator[NDArray[np.float32]]:
    """Endless pictures [C, H, W] with values 0..1, not to be changed."""
    channels, height, width = tensor.shape[1:]
    shape = channels, height, width
    pictures, state = _first_pixels(shape, seed)
    yield from pictures
    rng = np.random.RandomState()
    rng.set_state(state)
    kind = len(pictures)
    while True:
        yield picture(rng, shape, kind)
        kind += 1


@lru_cache(maxsize=2)
def _first_pixels(
    shape: tuple[int, int, int], seed: int
) -> tuple[tuple[NDArray[np.float32], ...], dict[str, Any]]:
    """Kept, as half a dozen passes see them; and where the random numbers go on."""
    rng = np.random.RandomState(seed)
    count = min(PICTURES, KEPT_BYTES // (4 * math.prod(shape)))
    pictures = tuple(picture(rng, shape, kind) for kind in range(count))
    for item in pictures:
        item.flags.writeable = False
    return pictures, rng.get_state(legacy=False)


def _as_fed(pixels: Array, tensor: Tensor, fit: InputFit | None) -> Array:
    """Values 0..1 as the input wants them: pixels where it reads integers of 8 bits."""
    kind = tensor.dtype
    if kind.name in ("u8", "s8"):
        return np.asarray(np.rint(255 * pixels) + kind.minimum, kind.numpy)
    known = fit or UNKNOWN
    values = known.mean[:, None, None] + known.std * (pixels - MEAN) / STD
    if kind.is_float:
        return values.astype(np.float32)
    return np.asarray(np.clip(np.rint(values), kind.minimum, kind.maximum), kind.numpy)


def _stack(stream: Iterator[Array], count: int) -> Array:
    return np.stack([next(stream) for _ in range(count)])
