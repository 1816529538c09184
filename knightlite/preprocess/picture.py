"""Decode, resize, crop and normalise one picture. Pillow is imported on first use."""

from __future__ import annotations

import io
import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from knightlite import limits
from knightlite.datafiles import calibration_folder
from knightlite.errors import DataError, unreadable
from knightlite.preprocess import netpbm
from knightlite.preprocess.formats import FORMATS, NAMES
from knightlite.preprocess.recipe import (
    COLORS,
    PAD_CENTER,
    PAD_CORNER,
    PAD_RIGHT,
    Recipe,
    fits,
    fitting_recipes,
    list_recipes,
    load_recipe,
    normalize_alike,
)
from knightlite.reading import read_bytes

if TYPE_CHECKING:
    from PIL import Image

Array = NDArray[Any]
Pixels = NDArray[np.float32]  # [H, W, C] in the recipe's colour order, 0..255
EIGHT_BIT_MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
EXIF_ORIENTATION = 0x0112
SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N")


def prepare_picture(
    source: str | Path | bytes | Image.Image | Array,
    recipe: Recipe,
    input_shape: Sequence[int],
    most_pixels: int = limits.PICTURE_PIXELS,
    stored: Recipe | None = None,
) -> NDArray[np.float32]:
    """A picture (file, its bytes, Pillow image or pixels) as float32 [C, H, W].

    Pixels are uint8 [H, W, 3] in the order RGB, or [H, W] in grey.

    ``input_shape`` is the model's input, [C, H, W] or [N, C, H, W] with any N. The EXIF
    orientation is not applied: pixels count in the order in which the file stores them, as they do
    in the loaders that models are trained with. DataError where the file is not a picture, has more
    than ``most_pixels``, or where the result does not have the input's shape. ``stored``: the
    recipe of the network's calibration, where it is known, which the hint then goes by.
    """
    shape = tuple(input_shape[-3:])
    image, name = _open(source, most_pixels)
    with _quietly():  # a palette's transparency is dropped
        converted = image.convert("L" if recipe.color == "GRAY" else "RGB")
    pixels = _resize(converted, recipe, shape[1:], name)
    if recipe.color == "BGR":
        pixels = pixels[:, :, ::-1]
    pixels = _crop(pixels, recipe.crop_size, name, recipe.called)
    if (pixels.shape[2], *pixels.shape[:2]) != shape:
        have = f"{pixels.shape[2]}x{pixels.shape[0]}x{pixels.shape[1]}"
        raise DataError(
            f"{name} becomes {have} with {recipe.called}, but the model's input is "
            f"{shape[0]}x{shape[1]}x{shape[2]} (channels x height x width).",
            _remedy(recipe, stored, shape, (image.height, image.width)),
        )
    mean, std = (np.asarray(values, np.float32) for values in (recipe.mean, recipe.std))
    values = (pixels / np.float32(recipe.divide_by) - mean) / std
    return np.ascontiguousarray(values.transpose(2, 0, 1))


def turned_remark(path: Path) -> str:
    """That a picture is marked to be shown turned, which is not done, with a hint; else ""."""
    from PIL import Image

    try:
        with _quietly(), Image.open(path, formats=FORMATS) as image:
            mark = image.getexif().get(EXIF_ORIENTATION, 1)
    except Exception:  # what is no picture, or damaged, is said where it is read
        return ""
    if mark not in range(2, 9):
        return ""
    return (
        f"{path} is marked to be shown turned or mirrored (EXIF orientation {mark}), and is fed as "
        "it is stored, as the loaders of trainings do. Hint: where it should be turned, save it so "
        "(PIL.ImageOps.exif_transpose)"
    )


def _remedy(
    recipe: Recipe, stored: Recipe | None, shape: tuple[int, ...], size: tuple[int, int]
) -> str:
    """What makes a picture of that size fit an input [C, H, W], normalized as it is meant to be."""
    if stored is not None and fits(stored, shape, size):
        return f"{stored.called} fits, which is taken without another"
    meant = stored or recipe
    fitting = fitting_recipes(shape, size)
    if COLORS[meant.color] != shape[0]:  # no size mends it, and its numbers are of other channels
        own = f"write one of your own, as those in {calibration_folder()}"
        return f"of the recipes that ship {', '.join(fitting)} fit; or {own}" if fitting else own
    alike = [name for name in fitting if normalize_alike(load_recipe(name), meant)]
    changes = ['resize = "exact"']
    changes += ["resize_size = []"] if meant.resize_size else []
    changes += ["crop_size = []"] if meant.crop_size else []
    copy = f"a copy of {_where(meant)} with {' and '.join(changes)} fits"
    if not alike:
        return copy
    verb = "fits and normalizes" if len(alike) == 1 else "fit and normalize"
    return f"{', '.join(alike)} {verb} alike; or {copy}"


def _where(recipe: Recipe) -> str:
    """A recipe by what can be copied: its file where it ships, or what it does."""
    for name in list_recipes():
        if load_recipe(name).text == recipe.text:
            return str(calibration_folder() / f"{name}.toml")
    return f"{recipe.called} ({recipe.formula})"


def _pixels(values: Array) -> Image.Image:
    """The image of an array; DataError where it is none of 8 bits."""
    from PIL import Image

    grey, colour = values.ndim == 2, values.ndim == 3 and values.shape[2] == 3
    if values.dtype != np.uint8 or not (grey or colour) or not values.size:
        raise DataError(
            f"pixels must be uint8 [H, W, 3] or [H, W], not {values.dtype} {[*values.shape]}.",
            "what is prepared already goes to run as it is",
        )
    return Image.fromarray(np.ascontiguousarray(values))


@contextmanager
def _quietly() -> Iterator[None]:
    """Pillow warns of oddities in metadata and of big pictures, and logs what it then raises."""
    logger = logging.getLogger("PIL")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _open(
    source: str | Path | bytes | Image.Image | Array, most_pixels: int
) -> tuple[Image.Image, str]:
    """The decoded picture and its name for messages; DataError where it is not a picture."""
    from PIL import Image, UnidentifiedImageError

    if isinstance(source, np.ndarray):
        source = _pixels(source)
    if isinstance(source, Image.Image):
        return _in_eight_bits(source, "the picture"), "the picture"
    name = "that was sent" if isinstance(source, bytes) else str(source)
    data = source if isinstance(source, bytes) else _read(source)
    try:
        with _quietly():
            if netpbm.OF_THE_FAMILY.match(data):
                image: Image.Image = Image.fromarray(netpbm.pixels_of(data, name))
            else:
                image = Image.open(io.BytesIO(data), formats=FORMATS)
            _require_pixels(image.height, image.width, most_pixels, f"picture {name} has")
            image.load()
    except UnidentifiedImageError as error:
        what = "what was sent" if isinstance(source, bytes) else name
        raise DataError(
            f"{what} is not a picture in one of the formats {', '.join(NAMES)}.",
            "remove the file or convert it",
        ) from error
    except MemoryError as error:
        raise DataError(f"picture {name} needs more memory than there is.") from error
    except DataError:
        raise
    except Exception as error:  # decoders raise anything over damaged files
        raise DataError(
            f"picture {name} is damaged: {str(error).rstrip('.')}.", "remove or replace the file"
        ) from error
    return _in_eight_bits(image, name), name


def _read(source: str | Path) -> bytes:
    try:
        return read_bytes(source, limits.PICTURE_BYTES)
    except OSError as error:
        raise unreadable("picture", source, error) from error


def _in_eight_bits(image: Image.Image, name: str) -> Image.Image:
    """The picture with 8 bits per channel: the upper ones of 16, as most loaders take them."""
    from PIL import Image

    if image.mode in SIXTEEN_BIT_MODES:
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode not in EIGHT_BIT_MODES:
        raise DataError(
            f"picture {name} must have 8 or 16 bits per channel, not Pillow mode {image.mode}.",
            "convert it to an 8-bit PNG or JPEG",
        )
    return image


def _require_pixels(height: int, width: int, most: int, what: str) -> None:
    """DataError where ``what`` has, or becomes, more pixels than are made."""
    if height * width > most:
        raise DataError(
            f"{what} {height}x{width} pixels (height x width), more than {most}.",
            "crop or shrink it",
        )


def _resize(image: Image.Image, recipe: Recipe, input_size: tuple[int, ...], name: str) -> Pixels:
    """[H, W, C] pixels after the recipe's resize, 0..255 as float32."""
    from PIL import Image

    filters = {
        "bilinear": Image.Resampling.BILINEAR,
        "bicubic": Image.Resampling.BICUBIC,
        "nearest": Image.Resampling.NEAREST,
    }
    height, width = _resized_size(image.height, image.width, recipe, input_size)
    padded = recipe.resize in (PAD_RIGHT, PAD_CENTER, PAD_CORNER)
    full = (recipe.resize_size or input_size) if padded else (height, width)
    becomes = f"with {recipe.called} picture {name} becomes"
    # rows are resized before columns
    _require_pixels(image.height, width, limits.PICTURE_PIXELS, becomes)
    made_height, made_width = max(height, full[0]), max(width, full[1])
    _require_pixels(made_height, made_width, limits.RESIZED_PIXELS, becomes)
    if (height, width) != (image.height, image.width):
        image = _resized(image, width, height, filters[recipe.interpolation])
    pixels = np.asarray(image, dtype=np.float32).reshape(height, width, -1)
    if padded:
        below, beside = full[0] - height, full[1] - width
        top, left = (below // 2, beside // 2) if recipe.resize == PAD_CENTER else (0, 0)
        pads = ((top, below - top), (left, beside - left), (0, 0))
        pixels = np.pad(pixels, pads, constant_values=np.float32(recipe.pad_value))
    return pixels


def _resized(image: Image.Image, width: int, height: int, filter_: Image.Resampling) -> Image.Image:
    """Resized to these pixels, along one direction after the other.

    Pixels are rounded in between, so the order is of consequence. It is that of Pillow 13, also
    with earlier ones, which always begin along the rows.
    """
    from PIL import Image

    if filter_ != Image.Resampling.NEAREST:
        down_first = image.height > height and image.height - height > 2 * (image.width - width)
        between = (image.width, height) if down_first else (width, image.height)
        image = image.resize(between, filter_)
    return image.resize((width, height), filter_)


def _resized_size(
    height: int, width: int, recipe: Recipe, input_size: tuple[int, ...]
) -> tuple[int, int]:
    """(height, width) after the resize, before padding."""
    size: Any = recipe.resize_size or input_size
    if recipe.resize == "exact":
        return size[0], size[1]
    if recipe.resize == "short_side":
        side = size[0]
        # the long side is cut off, not rounded, as torchvision's Resize does
        if height <= width:
            return side, int(side * width / height)
        return int(side * height / width), side
    if recipe.resize == PAD_RIGHT:
        return size[0], min(size[1], math.ceil(size[0] * width / height))
    if recipe.resize in (PAD_CENTER, PAD_CORNER):
        ratio = min(size[0] / height, size[1] / width)
        # YOLOv5 and later pad on all sides and round, YOLOX pads in one corner and cuts off
        whole = round if recipe.resize == PAD_CENTER else int
        return max(1, whole(height * ratio)), max(1, whole(width * ratio))
    return height, width


def _crop(pixels: Pixels, size: tuple[int, ...], name: str, recipe: str) -> Pixels:
    """The centre ``size`` = (height, width) of the picture; all of it where ``size`` is ()."""
    if not size:
        return pixels
    height, width = pixels.shape[:2]
    if size[0] > height or size[1] > width:
        raise DataError(
            f"{name} has {height}x{width} pixels where {recipe} crops, "
            f"which must be at least {size[0]}x{size[1]} (height x width)."
        )
    # half to even, as torchvision's CenterCrop rounds
    top, left = round((height - size[0]) / 2), round((width - size[1]) / 2)
    return pixels[top : top + size[0], left : left + size[1]]
