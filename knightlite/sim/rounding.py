"""How the engines round fast and exactly: per-channel factors, cache-sized blocks, proofs.

``rne((x*m + b) / 2^q)`` is ``rint(x*g + o)`` with g = m/2^q and o = b/2^q: scaling by a power of
two is exact, and all values stay below 2^53, so float64 computes the specified integer. For an
8-bit x float32 is tried on all 256 values of every channel, and used only where each is right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from knightlite.isa import TYPES
from knightlite.sim.memory import parameters

Array = NDArray[Any]
Calls = list[Callable[[], object]]  # of numpy, bound to the arrays that they work on

# Work of one block: in float64 two MiB, about a second-level cache. Smaller ones gain a single
# picture nothing, and two threads with several pictures wait for each other between short calls.
BLOCK_ELEMENTS = 1 << 18
BUFFER_ELEMENTS = 1 << 13  # numpy copies a factor into its buffer where two rows of it fit there
SHORT = (1 << 15) - 1  # magnitudes below it round to integers that int16 holds
_NUDGES = tuple(sign * 2.0**-power for power in range(18, 13, -1) for sign in (1, -1))


@dataclass(frozen=True, slots=True)
class ChannelMap:
    """``clamp(rint(x * gain + offset))`` in the float type of ``gain``; exact by construction."""

    gain: Array
    offset: Array
    low: int
    high: int


@lru_cache(maxsize=4096)
def channel_map(records: bytes, x_code: int, y_code: int, low: int, high: int) -> ChannelMap:
    """The map of parameter records on inputs of a type: float32 where proved, else float64."""
    params = parameters(np.frombuffer(records, np.uint8))
    gain, offset = params.scale, np.ldexp(params.b, -params.q)
    x_type, y_type = TYPES[x_code], TYPES[y_code]
    low, high = max(low, y_type.minimum), min(high, y_type.maximum)
    wide = ChannelMap(gain, offset, low, high)
    if x_type.bits != 8:
        return wide
    codes = np.arange(x_type.minimum, x_type.maximum + 1, dtype=np.float64)[:, np.newaxis]
    wanted = apply_map(wide, codes, np.empty((codes.size, gain.size), np.float64))
    work = np.empty(wanted.shape, np.float32)
    narrow = ChannelMap(gain.astype(np.float32), offset.astype(np.float32), low, high)
    wrong = np.any(apply_map(narrow, codes, work) != wanted, axis=0)
    # a value next to a tie may round the other way in float32; a slightly moved offset may not
    for nudge in _NUDGES:
        if not wrong.any():
            return narrow
        narrow.offset[wrong] = (offset[wrong] + nudge).astype(np.float32)
        wrong = np.any(apply_map(narrow, codes, work) != wanted, axis=0)
    return wide if wrong.any() else narrow


def apply_map(channel: ChannelMap, source: Array, work: Array) -> Array:
    """Write the map of ``source`` into ``work`` (of the map's float type); channels last."""
    work[...] = source
    np.multiply(work, channel.gain, out=work)
    np.add(work, channel.offset, out=work)
    np.rint(work, out=work)
    return np.clip(work, channel.low, channel.high, out=work)


def copied(target: Array, source: Array) -> Callable[[], object]:
    """The call that copies, whatever the types: of all ways the quickest to begin."""
    return partial(target.__setitem__, ..., source)


def map_calls(channel: ChannelMap, source: Array, work: Array) -> Calls:
    """What :func:`apply_map` does, as calls; ``work`` is [..., channels]."""
    ends = np.array(channel.low, work.dtype), np.array(channel.high, work.dtype)
    return [
        copied(work, source),
        *lane_calls(np.multiply, work, channel.gain),
        *lane_calls(np.add, work, channel.offset),
        partial(np.rint, work, work),
        partial(work.clip, *ends, out=work),
    ]


def lane_calls(operation: Callable[..., Array], work: Array, values: Array) -> Calls:
    """``operation`` with a value per channel, in place; ``work`` is [..., channels].

    Where it has no gaps several pixels stand in a row of lanes, and what is left over in one of
    its own: rows so long that numpy works on the repeated values as they are.
    """
    if not work.flags.c_contiguous:
        return [partial(operation, work, values, work)]
    channels = values.size
    repeat = _repeat(work.size // channels, channels)
    lanes = repeated(values.tobytes(), values.dtype.char, repeat)
    flat, full = work.reshape(-1), work.size // lanes.size * lanes.size
    rows, rest = flat[:full].reshape(-1, lanes.size), flat[full:]
    parts = ((rows, lanes), (rest, lanes[: rest.size]))
    return [partial(operation, part, row, part) for part, row in parts if part.size]


def _repeat(pixels: int, channels: int) -> int:
    """How many pixels are treated as one row of lanes; all of few."""
    least = BUFFER_ELEMENTS // 2 // channels + 1
    if pixels <= 3 * least:
        return pixels
    even = (count for count in range(least, 2 * least) if pixels % count == 0)
    return next(even, least)


@lru_cache(maxsize=256)
def repeated(values: bytes, kind: str, count: int) -> Array:
    """Values of a float type so many times; instructions of a layer share them."""
    return np.tile(np.frombuffer(values, kind), count)


def bounds(code: int, low: int, high: int) -> tuple[int, int]:
    """The clamp of an instruction inside the range of its type."""
    dtype = TYPES[code]
    return max(low, dtype.minimum), min(high, dtype.maximum)


def stored_calls(work: Array, low: int, high: int, target: Array, short: Array | None) -> Calls:
    """Round and clamp ``work`` in place, then store the integers; same shape as ``target``.

    ``short``: int16 work of that shape, where all values fit it before they are clamped.
    """
    rounded = partial(np.rint, work, work)
    if short is None:
        ends = np.array(low, work.dtype), np.array(high, work.dtype)
        clipped = partial(work.clip, *ends, out=work)
        return [rounded, clipped, copied(target, work)]
    low16, high16 = np.array(low, np.int16), np.array(high, np.int16)
    return [
        rounded,
        copied(short, work),
        partial(short.clip, low16, high16, out=short),
        copied(target, short),
    ]


def round_into(work: Array, low: int, high: int, target: Array) -> None:
    """Round and clamp ``work`` in place, then store the integers; same shape as ``target``."""
    np.rint(work, out=work)
    np.clip(work, low, high, out=work)
    np.copyto(target, work, casting="unsafe")


def pixel_list(view: Array) -> Array | None:
    """[pictures, rows, columns, channels] as [pictures, 1, pixels, channels].

    None where the pixels of a picture are not evenly spaced.
    """
    pictures, rows, columns, channels = view.shape
    by_picture, by_row, by_column, by_channel = view.strides
    if rows == 1:
        return view
    if columns == 1:
        by_column = by_row
    elif by_row != columns * by_column:
        return None
    shape = (pictures, 1, rows * columns, channels)
    return as_strided(view, shape, (by_picture, 0, by_column, by_channel))


def blocks(views: Sequence[Array], limit: int) -> list[tuple[Array, ...]]:
    """Cut tiles of equal pictures, height and width into the same parts of about ``limit`` pixels.

    Every part is [pictures, rows, columns, channels]: several whole pictures where they fit the
    limit, else a part of one: its rows, at least one of them, or its pixels in a single row where
    all tiles are evenly spaced.
    """
    lists = [pixel_list(view) for view in views]
    flat = [view for view in lists if view is not None]
    if len(flat) == len(views):
        views = flat
    pictures, rows, columns = views[0].shape[:3]
    together = limit // (rows * columns)
    if together:
        starts = range(0, pictures, together)
        return [tuple(view[at : at + together] for view in views) for at in starts]
    if rows == 1:
        step = max(1, limit)
        cuts = [(slice(None), slice(at, at + step)) for at in range(0, columns, step)]
    else:
        step = max(1, limit // columns)
        cuts = [(slice(at, at + step), slice(None)) for at in range(0, rows, step)]
    return [
        tuple(view[(slice(picture, picture + 1), *cut)] for view in views)
        for picture in range(pictures)
        for cut in cuts
    ]
