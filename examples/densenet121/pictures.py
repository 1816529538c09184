"""Seeded pictures of ten kinds: enough structure for BatchNorm statistics and for calibration."""

import colorsys
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Rng = np.random.Generator
Draw = ImageDraw.ImageDraw
Colour = tuple[int, int, int]


def colour(rng: Rng) -> Colour:
    """Mostly a shade of grey: the kind's own light gives the hue, see `picture`."""
    red, green, blue = np.clip(rng.integers(40, 256) + rng.integers(-30, 31, 3), 0, 255)
    return int(red), int(green), int(blue)


def ramp(width: int, height: int, rng: Rng) -> NDArray[np.float64]:
    """A slope from 0 to 1 in a random direction, [height, width]."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:height, 0:width]
    slope = np.cos(angle) * x + np.sin(angle) * y
    share: NDArray[np.float64] = (slope - slope.min()) / np.ptp(slope)
    return share


def clouds(width: int, height: int, rng: Rng, cells: int) -> NDArray[np.float64]:
    """Smooth noise from 0 to 1, [height, width]."""
    coarse = Image.fromarray(rng.integers(0, 256, (cells, cells)).astype(np.uint8))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)) / 255


def blend(mask: NDArray[np.float64], first: Colour, second: Colour) -> Image.Image:
    """Mix two colours; the mask [height, width] is the share of the second."""
    mixed = np.array(first) + mask[..., None] * (np.array(second) - np.array(first))
    return Image.fromarray(np.rint(mixed).astype(np.uint8))


def gradient(width: int, height: int, rng: Rng) -> Image.Image:
    return blend(ramp(width, height, rng), colour(rng), colour(rng))


def smoke(width: int, height: int, rng: Rng) -> Image.Image:
    mask = clouds(width, height, rng, cells=int(rng.integers(8, 14)))
    return blend(mask, colour(rng), colour(rng))


def stripes(width: int, height: int, rng: Rng) -> Image.Image:
    waves = np.sin(ramp(width, height, rng) * rng.uniform(60, 120))
    return blend((waves > 0).astype(np.float64), colour(rng), colour(rng))


def checkers(width: int, height: int, rng: Rng) -> Image.Image:
    side = int(rng.integers(14, 40))
    y, x = np.mgrid[0:height, 0:width]
    mask = ((y // side + x // side) % 2).astype(np.float64)
    return blend(mask, colour(rng), colour(rng))


def drawn(
    width: int, height: int, rng: Rng, count: int, shape: Callable[[Draw, float, float, Rng], None]
) -> Image.Image:
    """Draw `count` shapes at random places on a soft background."""
    image = gradient(width, height, rng)
    draw = ImageDraw.Draw(image)
    for _ in range(count):
        shape(draw, rng.uniform(0, width), rng.uniform(0, height), rng)
    return image


def disc(draw: Draw, x: float, y: float, rng: Rng) -> None:
    radius = rng.uniform(20, 50)
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour(rng))


def ring(draw: Draw, x: float, y: float, rng: Rng) -> None:
    radius = rng.uniform(25, 60)
    box = (x - radius, y - radius, x + radius, y + radius)
    draw.ellipse(box, outline=colour(rng), width=5)


def dot(draw: Draw, x: float, y: float, rng: Rng) -> None:
    radius = rng.uniform(2, 5)
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour(rng))


def box(draw: Draw, x: float, y: float, rng: Rng) -> None:
    half_width, half_height = rng.uniform(15, 60, 2)
    corners = (x - half_width, y - half_height, x + half_width, y + half_height)
    draw.rectangle(corners, fill=colour(rng))


def triangle(draw: Draw, x: float, y: float, rng: Rng) -> None:
    angles = rng.uniform(0, 2 * np.pi) + np.array([0, 2.1, 4.2])
    radius = rng.uniform(30, 70)
    corners = [(x + radius * np.cos(angle), y + radius * np.sin(angle)) for angle in angles]
    draw.polygon(corners, fill=colour(rng))


def line(draw: Draw, x: float, y: float, rng: Rng) -> None:
    reach_x, reach_y = rng.uniform(-120, 120, 2)
    ends = (x - reach_x, y - reach_y, x + reach_x, y + reach_y)
    draw.line(ends, fill=colour(rng), width=3)


KINDS: tuple[Callable[[int, int, Rng], Image.Image], ...] = (
    gradient,
    smoke,
    stripes,
    checkers,
    lambda width, height, rng: drawn(width, height, rng, 12, disc),
    lambda width, height, rng: drawn(width, height, rng, 14, ring),
    lambda width, height, rng: drawn(width, height, rng, 250, dot),
    lambda width, height, rng: drawn(width, height, rng, 14, box),
    lambda width, height, rng: drawn(width, height, rng, 14, triangle),
    lambda width, height, rng: drawn(width, height, rng, 30, line),
)


def picture(kind: int, rng: Rng) -> Image.Image:
    """One picture of `KINDS[kind]`, about 320x256, in uneven light with a little sensor noise.

    Each kind has light of its own hue, as random convolutions tell hues apart better than shapes.
    """
    width, height = int(rng.integers(300, 345)), int(rng.integers(240, 281))
    pixels = np.asarray(KINDS[kind](width, height, rng), dtype=np.float64)
    hue = np.array(colorsys.hsv_to_rgb(kind / len(KINDS), 0.7, 1.0))
    light = 0.7 + 0.5 * clouds(width, height, rng, cells=4)
    noisy = pixels * light[..., None] * hue + rng.normal(0, 4, pixels.shape)
    return Image.fromarray(np.rint(np.clip(noisy, 0, 255)).astype(np.uint8))
