"""Addresses in a scratchpad by lifetime: blocks whose lives do not meet share bytes.

Storage allocation with fixed intervals is NP-hard; first fit in a good order comes near the bound,
the most bytes alive at once (M. Gergov, Algorithms for compile-time memory optimization, SODA 1999,
has 3 times it as the guarantee; orders by size and by life are the usual heuristics).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Life(NamedTuple):
    """A block: bytes, and the first and last step that it lives for."""

    size: int
    first: int
    last: int


def live_bytes(blocks: Sequence[Life], steps: int) -> NDArray[np.int64]:
    """Bytes alive at every step: the largest is what no placement needs less than."""
    change = np.zeros(steps + 1, np.int64)
    for block in blocks:
        change[block.first] += block.size
        change[block.last + 1] -= block.size
    return np.cumsum(change)[:steps]


ORDERS: tuple[Callable[[Life], tuple[int, ...]], ...] = (
    lambda block: (-block.size, block.first),
    lambda block: (block.first - block.last, -block.size),
    lambda block: (-block.size * (block.last - block.first + 1), block.first),
    lambda block: (block.first, -block.size),
)


def pack(blocks: Sequence[Life], capacity: int, trials: int = 0) -> list[int] | None:
    """An address for every block, none ending beyond ``capacity``; None where none is found.

    ``trials``: how often the block that ends highest is moved forward in the order.
    """
    addresses = [0] * len(blocks)
    for group in _together(blocks):
        found = _packed([blocks[index] for index in group], capacity, trials)
        if found is None:
            return None
        for index, address in zip(group, found, strict=True):
            addresses[index] = address
    return addresses


def _together(blocks: Sequence[Life]) -> Iterator[list[int]]:
    """Groups of blocks between which no life meets another: they are placed for themselves."""
    group: list[int] = []
    end = -1
    for index in sorted(range(len(blocks)), key=lambda i: blocks[i].first):
        if group and blocks[index].first > end:
            yield group
            group = []
        group.append(index)
        end = max(end, blocks[index].last)
    if group:
        yield group


def _packed(blocks: Sequence[Life], capacity: int, trials: int) -> list[int] | None:
    start = min(block.first for block in blocks)
    moved = [Life(b.size, b.first - start, b.last - start) for b in blocks]
    if live_bytes(moved, max(b.last for b in moved) + 1).max() > capacity:
        return None
    best: tuple[int, list[int], list[int]] | None = None
    for key in ORDERS:
        order = sorted(range(len(blocks)), key=lambda i: key(blocks[i]))
        top, addresses = _first_fit(blocks, order)
        if top <= capacity:
            return addresses
        if best is None or top < best[0]:
            best = (top, order, addresses)
    assert best is not None
    top, order, addresses = best
    draw = random.Random(1)
    for _ in range(trials):
        highest = max(order, key=lambda i: addresses[i] + blocks[i].size)
        position = order.index(highest)
        other = order[:position] + order[position + 1 :]
        other.insert(draw.randrange(position + 1), highest)
        found, places = _first_fit(blocks, other)
        if found <= capacity:
            return places
        if found <= top:
            top, order, addresses = found, other, places
    return None


def _first_fit(blocks: Sequence[Life], order: Sequence[int]) -> tuple[int, list[int]]:
    """The highest end, with each block at the lowest address that is free for its whole life."""
    count = len(blocks)
    sizes, firsts, lasts = (
        np.array([block[i] for block in blocks], np.int64).reshape(count) for i in range(3)
    )
    addresses = np.zeros(count, np.int64)
    placed: NDArray[Any] = np.zeros(count, np.bool_)
    for index in order:
        meets = placed & (firsts <= lasts[index]) & (lasts >= firsts[index])
        busy = np.flatnonzero(meets)
        position, need = 0, int(sizes[index])
        for other in busy[np.argsort(addresses[busy], kind="stable")]:
            begin = int(addresses[other])
            if position + need <= begin:
                break
            position = max(position, begin + int(sizes[other]))
        addresses[index] = position
        placed[index] = True
    return int((addresses + sizes).max(initial=0)), [int(address) for address in addresses]
