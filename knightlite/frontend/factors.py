"""Values of any rank: which parts of the file's axes lie in channels, rows and columns.

The elements of a value are numbered by *factors*: the file's axes, or parts of them, outermost
first. Each factor longer than 1 lies in one of the canonical axes C, H, W, several in one axis
outermost first. A Reshape splits factors or joins them, a Transpose changes their order: neither
moves an element. So [1, 49, 3, 2, 8] made of 48 channels and 7x7 pixels is the factors (7, 7, 3, 2,
8) at C: 2 3 4, H: 0, W: 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

from knightlite.frontend.source import Shape

Places = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]  # of factors: in C, H and W
Members = tuple[tuple[int, ...], ...]  # of axes of the file: their factors


@dataclass(frozen=True, slots=True)
class Factors:
    """``sizes``: of the factors in the file's order; ``places``: where each lies."""

    sizes: tuple[int, ...]
    places: Places

    @property
    def shape(self) -> Shape:
        """That of the canonical tensor."""
        return (1, *(self.size(place) for place in self.places))

    def size(self, factors: Iterable[int]) -> int:
        """How many elements the factors count together."""
        return prod(self.sizes[index] for index in factors)

    def placed(self, places: Places) -> Factors:
        """The same elements, elsewhere."""
        return Factors(self.sizes, places)


def of_tensor(shape: Shape, split: Shape, order: Sequence[int]) -> Factors | None:
    """Those of [1, C, H, W] reshaped to ``split`` and transposed by ``order``."""
    long = [size for size in shape if size != 1]
    index = iter(range(len(long)))
    c, h, w = ((next(index),) if size != 1 else () for size in shape[1:])
    parts = split_for(Factors(tuple(long), (c, h, w)), split)
    return None if parts is None else transposed(parts, split, order)


def split_for(factors: Factors, seen: Shape) -> Factors | None:
    """Factors split so that none reaches over two axes of ``seen``; None where that cannot be."""
    sizes: list[list[int]] = []  # what becomes of each factor
    bounds = [prod(seen[axis:]) for axis in range(len(seen) + 1)]  # elements from an axis on
    behind = prod(factors.sizes)
    if bounds[0] != behind:
        return None
    for size in factors.sizes:
        whole, behind = behind, behind // size
        cuts = sorted({bound for bound in bounds if behind < bound < whole}, reverse=True)
        pieces = []
        for upper, lower in zip([whole, *cuts], [*cuts, behind], strict=True):
            if upper % lower:
                return None
            pieces.append(upper // lower)
        sizes.append(pieces)
    numbers: list[tuple[int, ...]] = []
    count = 0
    for pieces in sizes:
        numbers.append(tuple(range(count, count + len(pieces))))
        count += len(pieces)
    c, h, w = (tuple(new for old in place for new in numbers[old]) for place in factors.places)
    return Factors(tuple(size for pieces in sizes for size in pieces), (c, h, w))


def members(factors: Factors, seen: Shape) -> Members:
    """The factors of every axis of ``seen``, for which they are split already."""
    found, index = [], 0
    for size in seen:
        start, product = index, 1
        while product < size:
            product *= factors.sizes[index]
            index += 1
        found.append(tuple(range(start, index)))
    return tuple(found)


def transposed(factors: Factors, seen: Shape, order: Sequence[int]) -> Factors:
    """The axes of ``seen`` in another order."""
    axes = members(factors, seen)
    return chosen(factors, [index for axis in order for index in axes[axis]])


def chosen(factors: Factors, order: Sequence[int]) -> Factors:
    """Only these factors, in this order; those left out have one element."""
    number = {old: new for new, old in enumerate(order)}
    c, h, w = (tuple(number[old] for old in place if old in number) for place in factors.places)
    return Factors(tuple(factors.sizes[old] for old in order), (c, h, w))


def joined(factors: Factors) -> Factors:
    """Factors that follow each other in the file and in the tensor as one."""
    follows = {
        first
        for place in factors.places
        for first, second in pairwise(place)
        if second == first + 1
    }
    number, sizes = [], list[int]()
    for index, size in enumerate(factors.sizes):
        if index - 1 in follows:
            sizes[-1] *= size
        else:
            sizes.append(size)
        number.append(len(sizes) - 1)
    c, h, w = (tuple(dict.fromkeys(number[old] for old in place)) for place in factors.places)
    return Factors(tuple(sizes), (c, h, w))


def in_order(factors: Factors) -> tuple[int, ...] | None:
    """The canonical axes (1, 2, 3) in the file's order, None where one is not whole there."""
    simple = joined(factors)
    if any(len(place) > 1 for place in simple.places):
        return None
    found = {place[0]: axis for axis, place in enumerate(simple.places, start=1) if place}
    return tuple(found[index] for index in sorted(found))
