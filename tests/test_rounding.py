"""The float32 way is taken only where it equals the specification on every input."""

from __future__ import annotations

import numpy as np
import pytest

from assembled import S8, S16, U8, record
from knightlite.isa import TYPES
from knightlite.sim.rounding import apply_map, blocks, channel_map, repeat_lanes
from naive_machine import rne


@pytest.mark.parametrize("code", [U8, S8])
def test_channel_map_is_exact_for_all_inputs(code: int, rng: np.random.Generator) -> None:
    """BatchNorm-like gains; offsets that put ties and near-ties on many inputs."""
    triples = []
    for index in range(400):
        q = int(rng.integers(13, 18))
        m = int(rng.integers(16384, 32768)) * (1 if index % 5 else -1)
        b = int(rng.integers(-(1 << 22), 1 << 22))
        if index % 3 == 0:  # some x lands exactly on, or one unit beside, a tie
            at = int(rng.integers(0, 100))
            b = (
                (int(rng.integers(0, 200)) << q)
                + (1 << (q - 1))
                - at * m
                + int(rng.integers(-1, 2))
            )
        triples.append((m, q, b))
    records = b"".join(record(*triple) for triple in triples)
    channel = channel_map(records, code, U8, 0, 255)
    dtype = TYPES[code]
    codes = range(dtype.minimum, dtype.maximum + 1)
    x = np.array(codes, dtype.numpy)[:, np.newaxis]
    work = np.empty((256, len(triples)), channel.gain.dtype)
    found = apply_map(channel, x, work).astype(int).tolist()
    wanted = [[max(0, min(255, rne(value * m + b, q))) for m, q, b in triples] for value in codes]
    assert found == wanted
    assert channel.gain.dtype == np.float32


def test_sixteen_bit_inputs_take_float64() -> None:
    assert channel_map(record(16384, 20, 5), S16, U8, 0, 255).gain.dtype == np.float64


def test_hopeless_offsets_take_float64() -> None:
    """16384.5 + 1/2048 + 8x: float32 has no room for the last term, so it would see a tie."""
    channel = channel_map(record(16384, 11, (1 << 25) + 1025), U8, S16, -32768, 32767)
    assert channel.gain.dtype == np.float64


def test_blocks_cover_every_pixel_once() -> None:
    memory = np.arange(6 * 8 * 3)
    even = memory.reshape(6, 8, 3)
    uneven = memory.reshape(6, 8, 3)[:, :7]
    parts = blocks([even], 10)
    assert [part[0].shape for part in parts] == [(1, 10, 3)] * 4 + [(1, 8, 3)]
    assert np.array_equal(np.concatenate([part[0] for part in parts], axis=1).ravel(), memory)
    rows = blocks([uneven, uneven], 10)
    assert [part[0].shape for part in rows] == [(1, 7, 3)] * 6
    assert np.array_equal(np.concatenate([part[1] for part in rows]), uneven)


def test_repeat_lanes_divides() -> None:
    assert repeat_lanes(49, 32) == 49
    assert repeat_lanes(3136, 64) == 64
    assert repeat_lanes(7, 8192) == 1
