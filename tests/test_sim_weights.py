"""The proof that float sums are exact, against brute force."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from assembled import make
from knightlite.errors import MachineError
from knightlite.isa import SparseMatrix
from knightlite.sim.thresholds import EXACT_FLOAT32
from knightlite.sim.weights import _dense, reach, split


@pytest.mark.parametrize(("low", "high"), [(0, 255), (-128, 127), (-3, 200), (5, 9), (-9, -5)])
def test_reach_is_the_largest_subset_sum(low: int, high: int, rng: np.random.Generator) -> None:
    factors = rng.integers(-128, 128, (4, 3)).astype(np.int8)
    brute = 0
    for channel in factors.T.tolist():
        for x in product((0, low, high), repeat=4):
            brute = max(brute, abs(sum(w * value for w, value in zip(channel, x, strict=True))))
    assert reach(factors, low, high) == brute


def test_split_takes_the_fewest_parts() -> None:
    ones = np.full((518, 2), 127, np.int8)
    assert reach(ones, 0, 255) == 518 * 255 * 127 <= EXACT_FLOAT32
    assert [part.shape for part in split(ones, 0, 255).parts] == [(518, 2)]
    more = split(np.full((519, 2), 127, np.int8), 0, 255)
    assert (more.starts, more.dtype) == ((0, 260), np.float32)
    assert more.reach == 519 * 255 * 127
    assert split(np.full((2073, 2), 127, np.int8), 0, 255).dtype == np.float64
    signs = np.resize(np.array([127, -127], np.int8), (1036, 1))  # both halves stay inside
    assert len(split(signs, 0, 255).parts) == 1


def test_parts_are_the_rows(rng: np.random.Generator) -> None:
    factors = rng.integers(-128, 128, (3000, 5)).astype(np.int8)
    found = split(factors, -128, 127)
    assert len(found.parts) > 1
    assert np.array_equal(np.concatenate(found.parts), factors)


# ------------------------------------------------------------------ blocks that are not zero


def dense(mask: int, blocks: int, stored_bytes: int) -> list[list[int]]:
    """4 x 6 weights in blocks of 2 x 3, stored at 32: byte n behind the mask is n + 1."""
    item = make(
        SparseMatrix, x_channels=4, y_channels=6, block_inputs=2, block_outputs=3, blocks=blocks,
        stored_bytes=stored_bytes, weight_address=32,
    )  # fmt: skip
    memory = np.zeros((1, 512), np.uint8)
    memory[0, 32] = mask
    memory[0, 48:176] = np.arange(1, 129)
    found = _dense(item, memory)
    assert found.dtype == np.int8
    return [[int(value) for value in row] for row in found]


def test_blocks_lie_where_the_mask_says() -> None:
    """A row of a block fills a word of 16 bytes; blocks go over outputs first."""
    assert dense(0b1011, 3, 16 + 3 * 32) == [
        [1, 2, 3, 33, 34, 35],
        [17, 18, 19, 49, 50, 51],
        [0, 0, 0, 65, 66, 67],
        [0, 0, 0, 81, 82, 83],
    ]


@pytest.mark.parametrize(
    ("mask", "blocks", "stored_bytes", "sentence"),
    [
        (0b0101, 3, 112, "a mask with 2 bits, their instruction has 3 of 4 blocks."),
        (0b1111, 3, 112, "a mask with 4 bits, their instruction has 3 of 4 blocks."),
        (0b10011, 3, 112, "a mask with 3 bits, their instruction has 3 of 4 blocks."),
        (0b0111, 3, 111, "a mask of 112 bytes, their instruction has 111."),
        (0b0111, 3, 113, "a mask of 112 bytes, their instruction has 113."),
    ],
)
def test_a_mask_of_other_blocks(mask: int, blocks: int, stored_bytes: int, sentence: str) -> None:
    with pytest.raises(MachineError) as caught:
        dense(mask, blocks, stored_bytes)
    assert caught.value.sentence == f"the weights in WSPM at 0x20 have {sentence}"
