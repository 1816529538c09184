"""Streaming statistics of feature tensors, in memory that does not grow with the pictures.

The histogram's bins are linear and a power of two wide; when a larger value arrives, the range
doubles and neighbouring bins merge. Because every width is a power of two and bins are counted
from zero outwards, merging is exact: the counts are those of one histogram made at the end,
whatever the order of the pictures (a test holds it to that). Exact zeros are counted apart: they
quantize without error, and after a ReLU they are the majority.

Of a large tensor every n-th value is counted and stands for n. What clipping costs is decided by
the few largest values of all pictures, and of a channel such a sample has few: it would miss them
or count them n times. So of a channel all of them are counted, each once, where they are few.

A picture may excite a tensor many times as much as all others do (70 times in a text detector): its
squares would decide the scale alone. Such a picture counts less
(:mod:`knightlite.quantize.statistics.loudness`); the extremes know it in full.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import DataError
from knightlite.quantize.statistics.loudness import Kinds

Array = NDArray[Any]
Counts = NDArray[np.signedinteger[Any]]

TENSOR_BINS = 4096  # per side of zero, for a tensor with one scale
CHANNEL_BINS = 1024  # per side of zero, for each channel of a tensor with one scale per channel
MOST_COUNTED = 1 << 17  # values of a tensor that one picture adds to its histogram, about
WELL_COUNTED = 8  # pictures; later ones add less:
MOST_COUNTED_LATER = 1 << 13
CHUNK = 1 << 16  # values counted at a time: the scratch stays inside the second-level cache
LARGE = 0.7  # times the largest so far: from there on values are large,
FEW_LARGE = 1 / 16  # and few, as long as no more than so many of the counted ones are
SPARSE = 4  # bins to a value, from which values are added one by one
NARROW_LIMIT = 1 << 31  # values that counts of 32 bits hold: a network has thousands of channels
LOWEST_EXPONENT = -100  # below it, float32 cannot hold the factor that finds the bin


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """Counts per row (the tensor, or each channel) in bins of width ``2^exponent / bins``.

    ``positive`` [rows, bins] counts values from ``k * width`` to below ``(k + 1) * width`` in bin
    k; ``negative`` [rows, bins] the same of -v. Tiny values of either sign share positive bin 0;
    exact zeros are in no bin but in ``zeros`` [rows]. ``exponent`` [rows]: all |v| < 2^exponent.
    Where some pictures count less, counts are float64.
    """

    positive: Counts | NDArray[np.float64]
    negative: Counts | NDArray[np.float64]
    zeros: Counts
    exponent: Counts

    @property
    def bins(self) -> int:
        """Number of bins per side."""
        return int(self.positive.shape[1])

    @property
    def rows(self) -> int:
        """1, or the number of channels."""
        return int(self.positive.shape[0])


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    """What calibration learnt about one feature tensor.

    ``count`` values; ``minimum`` and ``maximum`` [rows], 0 for the minimum where values cannot be
    negative and have one scale; ``mean`` [C] per channel in float64, or None where nobody asked for
    it. ``integral``: every value was a whole number. Of a large tensor the histogram counts a part
    of the values only, each for several, but all large ones of a channel; extremes, mean and
    ``integral`` are of all. ``even``: the histogram with less of the few pictures that are much
    louder than the others, where there are such; scales are chosen on it. ``second`` [C]: of a
    tensor with a scale per channel the largest magnitude in the picture that excites the channel
    second most.
    """

    count: int
    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]
    histogram: Histogram
    mean: NDArray[np.float64] | None
    integral: bool = False
    even: Histogram | None = None
    second: NDArray[np.float64] | None = None

    @property
    def absmax(self) -> NDArray[np.float64]:
        """Largest magnitude per row."""
        return np.maximum(np.abs(self.minimum), np.abs(self.maximum))


class Observer:
    """Accumulates the statistics of one feature tensor, picture by picture."""

    __slots__ = (
        "_bins", "_count", "_exponent", "_factor", "_integral", "_kinds", "_limit", "_maximum",
        "_minimum", "_name", "_pictures", "_rows", "_second", "_signed", "_sum", "_well",
        "_zeros",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        channels: int,
        *,
        per_channel: bool = False,
        signed: bool = True,
        mean: bool = False,
        integral: bool = False,
        well: int = WELL_COUNTED,
    ) -> None:
        """``signed`` False promises values >= 0; ``mean`` and ``integral`` ask for those.

        ``well``: how many pictures are counted well.
        """
        self._name = name
        self._rows = channels if per_channel else 1
        self._bins = CHANNEL_BINS if per_channel else TENSOR_BINS
        self._signed = signed
        self._kinds = Kinds(np.zeros((self._rows, self._width), np.int32))
        self._exponent = np.full(self._rows, LOWEST_EXPONENT, np.int64)
        self._set_range()
        self._zeros = np.zeros(self._rows, np.int64)
        self._minimum = np.full(self._rows, np.inf)
        self._maximum = np.full(self._rows, -np.inf)
        self._second = np.zeros(self._rows) if per_channel else None
        self._sum = np.zeros(channels) if mean else None
        self._integral = integral
        self._well = well
        self._count = 0
        self._pictures = 0

    @property
    def _width(self) -> int:
        return 2 * self._bins - 1 if self._signed else self._bins

    def add(self, values: Array) -> None:
        """Count float32 values [N, C, H, W]; DataError where one is not finite."""
        pictures, channels, width = *values.shape[:2], values.shape[-1]
        size = values.size // (pictures * channels)
        self._count += values.size
        if self._count >= NARROW_LIMIT:
            self._kinds.widen()
        self._integral = self._integral and bool(np.all(np.rint(values) == values))
        if self._sum is not None:
            # a product with ones is three times as fast as a sum
            sums = values.reshape(pictures, channels, size) @ _ones(size)
            self._sum += sums.sum(axis=0, dtype=np.float64) / size
        add = self._add_tensor if self._rows == 1 else self._add_channels
        for picture in values:  # one by one: no batch size changes what is counted
            self._pictures += 1
            add(picture.reshape(-1) if self._rows == 1 else picture.reshape(channels, size), width)

    def _add_channels(self, values: Array, width: int) -> None:
        """One picture [C, n], in lines of ``width`` values."""
        minimum, maximum = values.min(axis=1), values.max(axis=1)
        absmax = np.maximum(-minimum, maximum)
        if not np.all(absmax < self._limit):  # NaN is not less than anything
            self._grow(absmax)
        if self._second is not None:
            before = np.maximum(-self._minimum, self._maximum)
            np.maximum(self._second, np.minimum(before, absmax), out=self._second)
        np.minimum(self._minimum, minimum, out=self._minimum)
        np.maximum(self._maximum, maximum, out=self._maximum)
        most = MOST_COUNTED if self._pictures <= self._well else MOST_COUNTED_LATER
        stride, counts = _stride(values.size, most, width), self._kinds.of(0.0)
        self._count_bins(values[:, ::stride], stride, counts)
        if stride > 1:
            self._count_large(values, stride, counts)

    def _add_tensor(self, values: Array, width: int) -> None:
        """One picture [n], in lines of ``width`` values."""
        minimum, maximum = float(values.min()) if self._signed else 0.0, float(values.max())
        peak = max(-minimum, maximum) if self._signed else maximum  # NaN stays NaN
        if not peak < self._limit[0]:
            self._grow(np.asarray([peak]))
        self._minimum[0] = min(self._minimum[0], minimum)
        self._maximum[0] = max(self._maximum[0], maximum)
        most = MOST_COUNTED if self._pictures <= self._well else MOST_COUNTED_LATER
        stride = _stride(values.size, most, width)
        self._count_bins(values[None, ::stride], stride, self._kinds.of(peak))

    def _grow(self, absmax: Array) -> None:
        """Double the ranges of rows that do not cover ``absmax`` and merge their bins."""
        if not np.all(np.isfinite(absmax)):
            raise DataError(
                f"tensor {self._name} must hold finite numbers, but it holds NaN or infinity.",
                "check the calibration data and its preprocessing, then the model's weights",
            )
        needed = np.where(absmax > 0, np.frexp(absmax)[1], LOWEST_EXPONENT)
        steps = needed - self._exponent
        for step in np.unique(steps[steps > 0]):  # all rows that grow by as much at once
            rows = np.flatnonzero(steps == step)
            merged = min(1 << min(int(step), 62), self._bins)
            for counts in self._kinds.arrays():
                held = rows[counts[rows].any(axis=1)]
                if held.size:
                    counts[held] = self._merge(counts[held], merged)
        self._exponent = np.maximum(self._exponent, needed)
        self._set_range()

    def _set_range(self) -> None:
        """What follows from the exponents: the bound of the values, and the factor to the bins."""
        self._limit = np.ldexp(1.0, self._exponent)
        factor = np.ldexp(1.0, self._bins.bit_length() - 1 - self._exponent)
        self._factor = factor.astype(np.float32)

    def _merge(self, counts: Counts, merged: int) -> Counts:
        """``counts`` [rows, bins] with ``merged`` bins put together, from zero outwards."""
        zero, rows = self._bins - 1 if self._signed else 0, len(counts)
        grown = np.zeros_like(counts)
        kept = self._bins // merged
        grown[:, zero : zero + kept] = counts[:, zero:].reshape(rows, -1, merged).sum(axis=2)
        if self._signed:
            negative = np.zeros((rows, self._bins), counts.dtype)
            negative[:, 1:] = counts[:, :zero][:, ::-1]
            folded = negative.reshape(rows, -1, merged).sum(axis=2)
            grown[:, zero] += folded[:, 0]  # tiny values of both signs share the bin at zero
            grown[:, zero - kept + 1 : zero] = folded[:, 1:][:, ::-1]
        return grown

    def _count_large(self, values: Array, stride: int, counts: Counts) -> None:
        """The few large ones of ``values`` [C, n], of which every ``stride``-th is counted.

        Then they are counted once.
        """
        counted = values[:, ::stride]
        least = LARGE * np.maximum(self._maximum, -self._minimum).astype(np.float32)
        shares = self._are_large(counted, least).mean(axis=1)
        least[(least == 0) | (shares > FEW_LARGE)] = np.inf
        large = self._are_large(values, least)
        rows, columns = np.divmod(np.flatnonzero(large), values.shape[1])
        bins = (values[rows, columns] * self._factor[rows]).astype(np.int64)  # towards zero
        places = rows * self._width + bins + (self._bins - 1 if self._signed else 0)
        # what every stride-th is counted for already is taken off
        times = np.where(columns % stride == 0, 1 - stride, 1).astype(counts.dtype)
        np.add.at(counts.reshape(-1), places, times)  # a view: counts are contiguous

    def _are_large(self, values: Array, least: Array) -> NDArray[np.bool_]:
        """Which of ``values`` [rows, n] have a magnitude of at least ``least`` [rows]."""
        return np.asarray((np.abs(values) if self._signed else values) >= least[:, None])

    def _count_bins(self, values: Array, times: int, counts: Counts) -> None:
        """Add ``values`` [rows, n], each of which stands for ``times`` values, to ``counts``.

        The product by a power of two is exact, so are the bins.

        The scratch arrays serve every chunk: fresh ones cost more than the counting.
        """
        rows, length = values.shape
        zero_bin = self._bins - 1 if self._signed else 0
        each = counts.dtype.type(times)  # of another type it would be cast value by value
        row_step, column_step = max(1, CHUNK // length), min(CHUNK, length)
        scaled = np.empty(row_step * column_step, np.float32)
        bins = np.empty(row_step * column_step, np.int64)
        for row in range(0, rows, row_step):
            some = slice(row, row + row_step)
            for column in range(0, length, column_step):
                part = values[some, column : column + column_step]
                zero = part == 0
                if rows == 1:  # without an axis it is three times as fast
                    self._zeros[0] += times * np.count_nonzero(zero)
                else:
                    self._zeros[some] += times * np.count_nonzero(zero, axis=1)
                product = scaled[: part.size].reshape(part.shape)
                np.multiply(part, self._factor[some, None], out=product)
                index = bins[: part.size].reshape(part.shape)
                np.copyto(index, product, casting="unsafe")  # towards zero
                if zero_bin or part.shape[0] > 1:
                    index += np.arange(part.shape[0])[:, None] * self._width + zero_bin
                width = part.shape[0] * self._width
                if part.size < width // SPARSE:  # small maps: hardly a bin of them is hit
                    rows_of = counts[some].reshape(-1)  # a view: counts are contiguous
                    np.add.at(rows_of, index.reshape(-1), each)
                    continue
                counted = np.bincount(index.reshape(-1), minlength=width)
                if times > 1:
                    counted *= times
                counted = counted.astype(counts.dtype)
                counts[some] += counted.reshape(part.shape[0], self._width)

    def result(self) -> Statistics:
        """The statistics so far; DataError where there was no picture."""
        if self._count == 0:
            raise DataError(
                f"tensor {self._name} was never computed: there is no calibration picture.",
                "give at least one picture, better a hundred",
            )
        positive, negative = self._sides(self._kinds.whole)
        positive[:, 0] -= self._zeros.astype(positive.dtype)
        zeros, exponent = self._zeros.copy(), self._exponent.copy()
        less = self._less()
        even = less and Histogram(positive - less[0], negative - less[1], zeros, exponent)
        return Statistics(
            self._count,
            self._minimum.copy(),
            self._maximum.copy(),
            Histogram(positive, negative, zeros, exponent),
            None if self._sum is None else self._sum / self._pictures,
            self._integral,
            even,
            None if self._second is None else self._second.copy(),
        )

    def _less(self) -> tuple[Array, Array] | None:
        """What loud pictures do not count, on either side of zero; None where all count alike."""
        found = None
        for counts, weight in self._kinds.loud():
            sides = self._sides(counts)
            sides[0][:, 0] = 0  # exact zeros are among them, and the bin has no energy
            less = ((1 - weight) * sides[0], (1 - weight) * sides[1])
            found = less if found is None else (found[0] + less[0], found[1] + less[1])
        return found

    def _sides(self, counts: Counts) -> tuple[Counts, Counts]:
        """Bins [rows, bins] on either side of zero, the one at zero among the positive ones."""
        zero = self._bins - 1 if self._signed else 0
        positive = counts[:, zero:].copy()
        if not self._signed:
            nothing = positive.dtype.type(0)
            return positive, np.broadcast_to(nothing, positive.shape)  # takes no memory
        negative = np.zeros_like(positive)
        negative[:, 1:] = counts[:, :zero][:, ::-1]
        return positive, negative


@lru_cache(maxsize=64)
def _ones(size: int) -> NDArray[np.float32]:
    return np.ones(size, np.float32)


def _stride(size: int, most: int, width: int) -> int:
    """Every how many-th of ``size`` values of one picture is counted, so that about ``most`` are.

    Without a divisor in common with the width, so that no column is left out.
    """
    stride = -(-size // most)
    while math.gcd(stride, width) > 1:
        stride += 1
    return stride


def with_exponent(histogram: Histogram, exponent: int) -> Histogram:
    """The histogram of one row on a range 2^exponent at least as large: bins merge exactly."""
    step = exponent - int(histogram.exponent[0])
    if step == 0:
        return histogram
    merged = min(1 << min(step, 62), histogram.bins)

    def fold(counts: Array) -> Array:
        wide = np.zeros_like(counts)
        wide[0, : histogram.bins // merged] = counts.reshape(-1, merged).sum(axis=1)
        return wide

    positive, negative = fold(histogram.positive), fold(histogram.negative)
    positive[0, 0] += negative[0, 0]
    negative[0, 0] = 0
    return Histogram(positive, negative, histogram.zeros, np.asarray([exponent], dtype=np.int64))


def add_statistics(parts: list[Statistics]) -> Statistics:
    """The statistics of a concatenation, from those of its parts (one row each)."""
    exponent = max(int(item.histogram.exponent[0]) for item in parts)
    aligned = [with_exponent(item.histogram, exponent) for item in parts]
    even = None
    if any(item.even is not None for item in parts):
        even = _summed([with_exponent(item.even or item.histogram, exponent) for item in parts])
    means = [item.mean for item in parts]
    return Statistics(
        sum(item.count for item in parts),
        np.min([item.minimum for item in parts], axis=0),
        np.max([item.maximum for item in parts], axis=0),
        _summed(aligned),
        None
        if any(mean is None for mean in means)
        else np.concatenate([mean for mean in means if mean is not None]),
        even=even,
    )


def _summed(parts: list[Histogram]) -> Histogram:
    """The sum of histograms with one exponent."""
    return Histogram(
        np.sum([item.positive for item in parts], axis=0),
        np.sum([item.negative for item in parts], axis=0),
        np.sum([item.zeros for item in parts], axis=0),
        parts[0].exponent,
    )
