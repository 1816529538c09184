"""How far two tensors are apart, by Knight's measures, summed batch by batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
BUCKETS = (1.0, 10.0, 50.0, 100.0)  # percent; the last bucket has no end
HISTOGRAM = 13  # bins: no difference, below 2^-11 of the largest value, ..., 1/2 to 1 and beyond
SAMPLES = 4096  # values kept for a plot
FLOAT, QUANTIZED, GOLDEN, CHIP = "float", "quantized", "golden", "chip"
KINDS = (FLOAT, QUANTIZED, GOLDEN, CHIP)


@dataclass(frozen=True, slots=True)
class Difference:
    """How far ``found`` is from ``wanted``, elementwise over one tensor.

    ``mre``: sum|r-l| / sum|l|; ``cosine``: 0.5 + 0.5 l.r / |l||r|; ``rmse``: sqrt(sum(r-l)^2 /
    sum l^2), all as fractions; ``bias``: mean of r - l; ``buckets``: share of elements by relative
    error, in percent 0-1, 1-10, 10-50, 50-100, above. ``histogram``: share of elements by |r - l|
    relative to the largest |l|: none, below 2^-11, then by powers of two, the last from 1/2 up.
    ``mre`` and ``rmse`` are None where ``wanted`` is all zeros and ``found`` is not.
    """

    mre: float | None
    cosine: float
    rmse: float | None
    max_difference: float
    bias: float
    buckets: tuple[float, ...]
    histogram: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One row: which tensor of which operator, and which two are compared.

    ``difference`` is None where one of them has no such values; ``remark`` says why.
    """

    index: int
    name: str
    op: str
    wanted: str
    found: str
    difference: Difference | None
    remark: str = ""


@dataclass(slots=True)
class Tally:
    """Running sums of one comparison; ``wanted`` and ``found`` are values kept for a plot."""

    keep: bool = False
    size: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    largest: float = 0.0
    buckets: Array = field(default_factory=lambda: np.zeros(len(BUCKETS) + 1, np.int64))
    histogram: Array = field(default_factory=lambda: np.zeros(HISTOGRAM, np.int64))
    wanted: Array | None = None
    found: Array | None = None

    def add(self, wanted: Array, found: Array) -> None:
        """Count two arrays of one shape."""
        left, right = wanted.astype(np.float64).ravel(), found.astype(np.float64).ravel()
        signed = right - left
        error = np.abs(signed)
        for key, value in (
            ("error", np.sum(error)),
            ("size", np.sum(np.abs(left))),
            ("square", left @ left),
            ("found", right @ right),
            ("product", left @ right),
            ("apart", error @ error),
            ("signed", np.sum(signed)),
        ):
            self.sums[key] = self.sums.get(key, 0.0) + float(value)
        self.size += left.size
        self.largest = max(self.largest, float(np.max(error, initial=0.0)))
        self._count(left, error)
        if self.keep and self.wanted is None:
            step = max(1, left.size // SAMPLES)
            self.wanted, self.found = left[::step].copy(), right[::step].copy()

    def _count(self, left: Array, error: Array) -> None:
        """Sort the elements into buckets and histogram: most often few of them differ."""
        apart = np.flatnonzero(error)
        most = float(np.max(np.abs(left), initial=0.0))
        self.buckets[0] += left.size - apart.size
        self.histogram[0] += left.size - apart.size
        error = error[apart]
        with np.errstate(divide="ignore"):
            relative = 100 * error / np.abs(left[apart])
        above = [int(np.count_nonzero(relative > end)) for end in BUCKETS]
        self.buckets -= np.diff(np.asarray([apart.size, *above, 0], np.int64))
        bins = np.full(error.shape, HISTOGRAM - 1)
        if most > 0:  # an exponent is the bin: faster than a search
            bins = 1 + np.clip(np.frexp(error / most)[1] + HISTOGRAM - 2, 0, HISTOGRAM - 2)
        self.histogram += np.bincount(bins, minlength=HISTOGRAM)

    def result(self) -> Difference:
        """The measures of all that was added; where both are nothing but zeros they are alike."""
        sums = self.sums
        alike = self.largest == 0
        zero = 0.0 if alike else None
        norms = float(np.sqrt(sums["square"]) * np.sqrt(sums["found"]))
        count = max(1, self.size)
        return Difference(
            mre=sums["error"] / sums["size"] if sums["size"] else zero,
            # at most 1, whatever the last digit of the sums
            cosine=min(1.0, 0.5 + 0.5 * sums["product"] / norms)
            if norms
            else (1.0 if alike else 0.5),
            rmse=float(np.sqrt(sums["apart"] / sums["square"])) if sums["square"] else zero,
            max_difference=self.largest,
            bias=sums["signed"] / count,
            buckets=tuple(float(item) / count for item in self.buckets),
            histogram=tuple(float(item) / count for item in self.histogram),
        )
