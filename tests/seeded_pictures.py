"""Synthetic pictures: numpy only, so that an interpreter without knightlite can make them too."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def pictures(count: int, shape: tuple[int, int, int], seed: int = 0) -> NDArray[Any]:
    """Normalised pictures [count, C, H, W]: soft light, a few boxes, a little noise."""
    rng = np.random.default_rng(seed)
    channels, height, width = shape
    y, x = np.mgrid[0:height, 0:width]
    found = np.empty((count, *shape), np.float32)
    for place in range(count):
        waves = np.zeros((channels, height, width))
        for _ in range(4):
            turns, phase = rng.uniform(-3, 3, 2), rng.uniform(0, 6.3, (channels, 1, 1))
            waves += np.sin(6.3 * (turns[0] * y / height + turns[1] * x / width) + phase)
        for _ in range(5):
            top, left = rng.integers(0, height), rng.integers(0, width)
            high, wide = rng.integers(4, height // 2), rng.integers(4, width // 2)
            colour = rng.uniform(-2, 2, (channels, 1, 1))
            waves[:, top : top + high, left : left + wide] = colour
        found[place] = np.clip(waves + rng.normal(0, 0.1, waves.shape), -2.2, 2.6)
    return found
