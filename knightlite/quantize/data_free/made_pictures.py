"""Pictures that nobody took, for calibration without any: seeded, and in some ways photographs.

Three kinds in turn, because a network's answers must differ from picture to picture as they do on
photographs, else what is behind a global pool comes out too narrow:

- things over each other, large ones behind small ones, each of one colour with a slight shade (the
  dead leaves of Lee, Mumford, Huang, "Occlusion Models for Natural Images", 2001): sharp edges and
  even faces at all scales;
- texture: noise with as much contrast in every octave, which is the 1/f spectrum of photographs
  (Field, "Relations between the Statistics of Natural Images ...", 1987), smoother or rougher;
- waves and stripes of some directions.

Brightness, contrast and tint differ from picture to picture.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Random = np.random.RandomState  # its stream is frozen, default_rng's is not

MEAN, STD = 0.46, 0.2  # of all pixels of these pictures, about
MOST_THINGS = 200
COLOR = 0.12  # spread between the channels of a colour, of the range 0..1 of pixels
FACES = 0.3  # between the things of a picture
SHADE = 0.15  # from the middle of a thing to its end
GRAIN = 0.02


def picture(rng: Random, shape: tuple[int, int, int], kind: int) -> NDArray[np.float32]:
    """One picture [C, H, W] with values 0..1; ``kind`` counts through ``KINDS``."""
    made = KINDS[kind % len(KINDS)](rng, shape)
    middle = made.mean()
    made = (made - middle) * rng.uniform(0.2, 1.0) + 0.7 * middle + rng.normal(0.3 * MEAN, 0.05)
    made += rng.normal(0, 0.03, (shape[0], 1, 1))
    return np.asarray(np.clip(made, 0, 1), np.float32)


def _things(rng: Random, shape: tuple[int, int, int]) -> Array:
    """Ellipses and rectangles, the largest first by and large."""
    channels, height, width = shape
    longest = max(height, width)
    grey = rng.beta(1.2, 1.4)

    def color() -> Array:
        face = np.clip(rng.normal(grey, FACES), 0, 1)
        return np.asarray(np.clip(face + rng.normal(0, COLOR, channels), 0, 1))

    made = np.empty(shape)
    made[:] = color()[:, None, None]
    count = min(MOST_THINGS, int(40 + 2 * np.sqrt(height * width)))
    halves = np.exp(rng.uniform(0, np.log(max(2.0, longest / 2)), count))  # as many in each octave
    for half in halves[np.argsort(rng.normal(0, longest / 10, count) - halves)]:
        middle = rng.uniform(0, height), rng.uniform(0, width)
        ratio, is_round, slope = rng.uniform(0.3, 1), rng.uniform() < 0.5, rng.normal(0, SHADE)
        top, bottom = _span(middle[0], half, height)
        left, right = _span(middle[1], half, width)
        paint = color()
        if top >= bottom or left >= right:
            continue
        down = (np.arange(top, bottom)[:, None] - middle[0]) / half
        across = (np.arange(left, right)[None, :] - middle[1]) / (half * ratio)
        inside = down**2 + across**2 <= 1 if is_round else (abs(down) <= 0.8) & (abs(across) <= 1)
        shade = np.broadcast_to(1 + slope * down, inside.shape)[inside]
        made[:, top:bottom, left:right][:, inside] = np.clip(paint[:, None] * shade, 0, 1)
    return made + rng.normal(0, GRAIN, shape)


def _span(middle: float, half: float, size: int) -> tuple[int, int]:
    return max(0, int(middle - half)), min(size, int(middle + half) + 2)


def _texture(rng: Random, shape: tuple[int, int, int]) -> Array:
    """Noise of one octave after the other, each spread linearly from a coarser grid."""
    channels, height, width = shape
    decay = 2.0 ** rng.uniform(-0.5, 1.0)  # of the amplitude per octave; 1 is the 1/f spectrum
    made, weight, cells = np.zeros(shape), 1.0, 2
    while cells <= max(height, width):
        grid = np.sqrt(0.85) * rng.normal(0, 1, (1, cells + 1, cells + 1))
        grid = grid + np.sqrt(0.15) * rng.normal(0, 1, (channels, cells + 1, cells + 1))
        made += weight * _spread(_spread(grid, height, 1), width, 2)
        weight, cells = weight / decay, cells * 2
    contrast = 0.24 / max(float(made.std()), 1e-6)
    return np.asarray(0.46 + rng.normal(0, 0.12) + contrast * (made - made.mean()))


def _spread(grid: Array, size: int, axis: int) -> Array:
    """Linear interpolation along an axis to ``size`` places from the first to the last."""
    places = np.linspace(0, grid.shape[axis] - 1, size)
    first = np.minimum(places.astype(int), grid.shape[axis] - 2)
    share = (places - first).reshape([-1 if index == axis else 1 for index in range(grid.ndim)])
    low, high = np.take(grid, first, axis), np.take(grid, first + 1, axis)
    return np.asarray(low + share * (high - low))


def _waves(rng: Random, shape: tuple[int, int, int]) -> Array:
    """One to three waves or stripes of any direction and length."""
    channels, height, width = shape
    longest = max(height, width)
    down, across = np.arange(height)[:, None] / longest, np.arange(width)[None, :] / longest
    made = np.zeros(shape)
    for _ in range(rng.randint(1, 4)):
        count = np.exp(rng.uniform(0, np.log(max(2.0, longest / 4))))
        angle, phase = rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi)
        wave = np.cos(2 * np.pi * count * (np.cos(angle) * across + np.sin(angle) * down) + phase)
        if rng.uniform() < 0.5:
            wave = np.sign(wave)
        made += (rng.normal(0, 0.15) + rng.normal(0, 0.07, (channels, 1, 1))) * wave
    return rng.uniform(0.2, 0.8) + rng.normal(0, 0.1, (channels, 1, 1)) + made


KINDS = (_texture, _things, _waves, _things, _things)  # an odd number: every other picture has all
