"""Factors of a tensor from one place to another: the cheapest row of moves that the chip has.

Found by a search over places (Dijkstra's): exchanges of axes, shuffles of channels, pixel shuffles,
and what they cannot do as Slices that a Concat stacks along another axis. Costs are elements that
are written, channels padded to a vector word, and something for every part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from heapq import heappop, heappush
from itertools import count
from math import inf, prod
from typing import NamedTuple

from knightlite.frontend.factors import Factors, Places
from knightlite.frontend.importer import Importer
from knightlite.frontend.instruction_sizes import LARGEST
from knightlite.frontend.wanted import CHANNELS, COLUMNS, ROWS, Wanted
from knightlite.ir import Attribute
from knightlite.ops import slice as cutting

MOST_PARTS = 256  # of a tensor that is cut into Slices
MOST_PLACES = 20_000  # that a search looks at
WORD = 16  # channels of a vector word, as most chips have it
PER_PART = 2000  # elements that could be moved in the time that one more instruction takes
SLOW = 8  # Move instructions take a byte or two at a time


class Step(NamedTuple):
    """``op``, or "Stack": ``parts`` cut from axis ``source`` and put onto axis ``target``."""

    op: str
    attributes: tuple[tuple[str, int | str], ...] = ()
    parts: int = 1
    source: int = 0
    target: int = 0
    inner: bool = False  # the parts interleave: they are every so-many-th row or column


_Open = tuple[int, int, Places, tuple[Step, ...]]  # cost, a number, where it is, how it got there
_Way = tuple[int, tuple[Step, ...], Places]  # cost, steps, and where they lead


class _Sizes:
    """How many elements blocks of factors count together; each row of them is counted once."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        self._sizes = sizes
        self._counted: dict[tuple[int, ...], int] = {}

    def size(self, blocks: tuple[int, ...]) -> int:
        """The product of theirs."""
        if blocks not in self._counted:
            self._counted[blocks] = prod(self._sizes[index] for index in blocks)
        return self._counted[blocks]


@dataclass(slots=True)
class _Searched:
    """``way``: the cheapest, where one is known; else none costs less than ``least``."""

    way: _Way | None = None
    least: float = 0


def search(factors: Factors, wanted: Wanted, most: float = inf) -> _Way | None:
    """The cheapest steps to places that are wanted: their cost, themselves, and the places.

    None where they would cost ``most`` or more, or are not found.
    """
    known = _searched(factors, wanted)
    if known.way is None and known.least < most:
        known.way, known.least = _search(factors, wanted, most)
    return known.way if known.way is not None and known.way[0] < most else None


@lru_cache(maxsize=4096)
def _searched(factors: Factors, wanted: Wanted) -> _Searched:
    """What is known; blocks of a network that are alike ask again, each with another ``most``."""
    return _Searched()


def _search(factors: Factors, wanted: Wanted, most: float) -> tuple[_Way | None, float]:
    """The cheapest way, or what all cost at least: infinite where there are too many places."""
    blocks, start = _blocks_of(factors, wanted)
    sizes = _Sizes(tuple(factors.size(block) for block in blocks))
    number = count()
    waiting: list[_Open] = [(0, next(number), start, ())]
    known: set[Places] = set()
    cheapest: dict[Places, int] = {}
    while waiting and len(known) < MOST_PLACES:
        cost, _, places, steps = heappop(waiting)
        if places in known:
            continue
        known.add(places)
        c, h, w = (tuple(index for block in place for index in blocks[block]) for place in places)
        if wanted.holds((c, h, w)):
            return (cost, steps, (c, h, w)), cost
        for more, step, made in _followers(sizes, places):
            total = cost + more
            if total >= min(most, cheapest.get(made, most)):
                continue
            if max(map(sizes.size, made)) <= LARGEST:
                cheapest[made] = total
                heappush(waiting, (total, next(number), made, (*steps, step)))
    return None, inf if len(known) == MOST_PLACES else most


def _blocks_of(factors: Factors, wanted: Wanted) -> tuple[list[tuple[int, ...]], Places]:
    """Factors that may stay together as blocks, and the places of these."""
    blocks: list[tuple[int, ...]] = []
    places = []
    for place in factors.places:
        here: list[int] = []
        for index in place:
            if here and wanted.keeps(blocks[here[-1]][-1], index):
                blocks[here[-1]] += (index,)
            else:
                here.append(len(blocks))
                blocks.append((index,))
        places.append(tuple(here))
    return blocks, (places[0], places[1], places[2])


def _elements(sizes: _Sizes, places: Places) -> int:
    c, h, w = (sizes.size(place) for place in places)
    return -(-c // WORD) * WORD * h * w


def _followers(sizes: _Sizes, places: Places) -> Iterator[tuple[int, Step, Places]]:
    c, h, w = places
    yield 1, Step("SwapPixels"), (c, w, h)
    if c or w:
        made = (w, h, c)
        yield SLOW * _elements(sizes, made), Step("SwapChannels"), made
    for cut in range(1, len(c)):
        groups = sizes.size(c[:cut])
        made = (c[cut:] + c[:cut], h, w)
        step = Step("ChannelShuffle", (("groups", groups),))
        yield SLOW * _elements(sizes, made), step, made
    yield from _stacked(sizes, places)
    yield from _blocks(sizes, places)


def _stacked(sizes: _Sizes, places: Places) -> Iterator[tuple[int, Step, Places]]:
    """The outermost factors of one axis (of rows and columns the innermost too) onto another."""
    for source in (CHANNELS, ROWS, COLUMNS):
        for length in range(1, len(places[source]) + 1):
            for inner in (False, True) if source != CHANNELS else (False,):
                taken = places[source][-length:] if inner else places[source][:length]
                rest = places[source][:-length] if inner else places[source][length:]
                parts = sizes.size(taken)
                if parts > MOST_PARTS or (inner and not rest):
                    continue
                for target in (CHANNELS, ROWS, COLUMNS):
                    if target == source:
                        continue
                    changed = list(places)
                    changed[source], changed[target] = rest, taken + places[target]
                    made = (changed[0], changed[1], changed[2])
                    cost = _elements(sizes, made) + PER_PART * parts
                    yield cost, Step("Stack", (), parts, source, target, inner), made


def _blocks(sizes: _Sizes, places: Places) -> Iterator[tuple[int, Step, Places]]:
    """DepthToSpace and SpaceToDepth in both modes."""
    c, h, w = places
    for first in range(1, len(c)):
        for both in range(first + 1, len(c) + 1):
            for mode, rows, columns, rest in (
                ("DCR", c[:first], c[first:both], c[both:]),
                ("CRD", c[len(c) - both : len(c) - both + first], c[len(c) - both + first :],
                 c[: len(c) - both]),
            ):  # fmt: skip
                block = sizes.size(rows)
                if block == sizes.size(columns):
                    made = (rest, h + rows, w + columns)
                    step = Step("DepthToSpace", (("block", block), ("mode", mode)))
                    yield SLOW * _elements(sizes, made), step, made
    for k in range(1, len(h) + 1):
        for m in range(1, len(w) + 1):
            block = sizes.size(h[-k:])
            if block != sizes.size(w[-m:]):
                continue
            for mode in ("DCR", "CRD"):
                moved = h[-k:] + w[-m:]
                made = (moved + c if mode == "DCR" else c + moved, h[:-k], w[:-m])
                step = Step("SpaceToDepth", (("block", block), ("mode", mode)))
                yield SLOW * _elements(sizes, made), step, made


# ------------------------------------------------------------------ appended


def moved(
    state: Importer, tensor: str, factors: Factors, steps: tuple[Step, ...], hint: str
) -> str:
    """Append the operators of ``steps`` to ``tensor``; the name of what they make."""
    for step in steps:
        tensor = _append(state, tensor, step, hint)
    return tensor


def _append(state: Importer, tensor: str, step: Step, hint: str) -> str:
    builder = state.builder
    source = builder.tensors[tensor]
    _, c, h, w = source.shape
    if step.op == "Stack":
        return _stack(state, tensor, step, hint)
    shape = (1, c, h, w)
    attributes: dict[str, Attribute] = dict(step.attributes)
    if step.op == "SwapPixels":
        shape = (1, c, w, h)
    elif step.op == "SwapChannels":
        shape = (1, w, h, c)
    elif step.op == "DepthToSpace":
        block = int(attributes["block"])  # type: ignore[arg-type]  # an integer by its name
        shape = (1, c // block**2, h * block, w * block)
    elif step.op == "SpaceToDepth":
        block = int(attributes["block"])  # type: ignore[arg-type]  # an integer by its name
        shape = (1, c * block**2, h // block, w // block)
    made = builder.tensor(builder.fresh(f"{hint}.moved"), shape, source.dtype, source.scale)
    return builder.node(step.op, (tensor,), made, attributes)


def _stack(state: Importer, tensor: str, step: Step, hint: str) -> str:
    """Slices along one axis, stacked along another."""
    shape = state.builder.tensors[tensor].shape[1:]
    length = shape[step.source] // step.parts
    parts = []
    for index in range(step.parts):
        starts, ends, strides = [0, 0, 0], list(shape), [1, 1, 1]
        if step.inner:
            starts[step.source], strides[step.source] = index, step.parts
        else:
            starts[step.source] = index * length
            ends[step.source] = (index + 1) * length
        parts.append(cut(state, tensor, starts, ends, strides, hint))
    return stacked(state, parts, step.target, hint)


def cut(
    state: Importer,
    tensor: str,
    starts: list[int],
    ends: list[int],
    steps: list[int],
    hint: str,
) -> str:
    """Append a Slice of channels, rows and columns; the tensor itself where that is all of it."""
    builder, source = state.builder, state.builder.tensors[tensor]
    sizes = [len(range(*bounds)) for bounds in zip(starts, ends, steps, strict=True)]
    if tuple(sizes) == source.shape[1:]:
        return tensor
    made = builder.tensor(builder.fresh(f"{hint}.part"), (1, *sizes), source.dtype, source.scale)
    cutting.append(builder, tensor, made, tuple(starts), tuple(ends), tuple(steps))
    return made


def stacked(state: Importer, tensors: list[str], axis: int, hint: str) -> str:
    """Append a Concat along channels, rows or columns (0, 1, 2)."""
    builder = state.builder
    if len(tensors) == 1:
        return tensors[0]
    first = builder.tensors[tensors[0]]
    shape = list(first.shape)
    shape[axis + 1] = sum(builder.tensors[name].shape[axis + 1] for name in tensors)
    made = builder.tensor(builder.fresh(f"{hint}.joined"), tuple(shape), first.dtype, first.scale)
    attributes: dict[str, Attribute] = {} if axis == 0 else {"axis": axis + 1}
    return builder.node("Concat", tuple(tensors), made, attributes)


def arranged(
    state: Importer, tensor: str, factors: Factors, wanted: Wanted, hint: str
) -> tuple[str, Factors] | None:
    """The tensor moved to places that are wanted, and its factors there; None: none are found."""
    found = search(factors, wanted)
    if found is None:
        return None
    _, steps, places = found
    return moved(state, tensor, factors, steps, hint), factors.placed(places)
