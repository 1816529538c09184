"""Preprocessing recipes: strict TOML into a frozen record, one sentence per key that is wrong.

``value = (pixel / divide_by - mean) / std`` in float32, per channel in the order of ``color``;
pixels are 0..255. See calibration/README.md for the recipes that ship.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from knightlite import limits
from knightlite.datafiles import calibration_folder
from knightlite.errors import Finding, FormatError, UsageError, not_there, suggestion, unreadable
from knightlite.reading import holds_key, read_text, toml_table

COLORS = {"RGB": 3, "BGR": 3, "GRAY": 1}  # colour order -> channels
PAD_RIGHT, PAD_CENTER, PAD_CORNER = (
    "keep_ratio_pad_right", "keep_ratio_pad_center", "keep_ratio_pad_corner",
)  # fmt: skip
RESIZES = ("short_side", "exact", PAD_RIGHT, PAD_CENTER, PAD_CORNER, "none")
INTERPOLATIONS = ("bilinear", "bicubic", "nearest")
LAYOUTS = ("nchw",)
SHOWN = 60  # letters of a wrong value


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a picture becomes the network's input.

    Sizes are ``(height, width)`` in pixels, ``(side,)`` for the short side, ``()`` for none or
    "whatever the model's input asks". ``pad_value`` is on the 0..255 scale. ``text`` is the TOML
    the recipe was read from: models and binaries carry it.
    """

    name: str
    text: str
    description: str
    color: str
    resize: str
    resize_size: tuple[int, ...]
    interpolation: str
    crop_size: tuple[int, ...]
    divide_by: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    pad_value: float
    layout: str

    @property
    def called(self) -> str:
        """As sentences call it: "recipe imagenet"; one without a name as "the recipe of ..."."""
        return self.name if self.name.startswith("the ") else f"recipe {self.name}"

    @property
    def pixel_mean(self) -> tuple[float, ...]:
        """The mean on the 0..255 scale, per channel."""
        return tuple(value * self.divide_by for value in self.mean)

    @property
    def pixel_std(self) -> tuple[float, ...]:
        """The standard deviation on the 0..255 scale, per channel."""
        return tuple(value * self.divide_by for value in self.std)

    @property
    def normalizes(self) -> bool:
        """True where the result is anything but pixels 0..255."""
        return any(self.pixel_mean) or any(value != 1 for value in self.pixel_std)

    @property
    def formula(self) -> str:
        """What becomes of a pixel, as words: "(pixel / 255 - mean) / std, mean ..."."""
        divided = "pixel" if self.divide_by == 1 else f"pixel / {self.divide_by:g}"
        mean, std = (" ".join(f"{value:.4g}" for value in item) for item in (self.mean, self.std))
        text, said = divided, [f"pixels 0 to 255 in the order {self.color}"]
        if any(self.mean):
            text, said = f"{divided} - mean", [f"mean {mean}", *said]
        if any(value != 1 for value in self.std):
            inner = f"({text})" if any(self.mean) else text
            text, said = f"{inner} / std", [*said[:-1], f"std {std}", said[-1]]
        return ", ".join([text, *said]) if self.normalizes else f"{said[-1]}, not normalized"

    def raw(self) -> Recipe:
        """The same pictures as pixels 0..255, for a network that normalizes them itself."""
        channels = len(self.mean)
        values = {key: getattr(self, key) for key in _CHECKS}
        values |= {"divide_by": 1.0, "mean": (0.0,) * channels, "std": (1.0,) * channels}
        # strings, numbers and flat lists are written alike in JSON and TOML
        text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
        return parse_recipe(text, self.name)


RECIPES_HINT = "a recipe of your own is a file NAME.toml"
RENAMED = {"cifar10_densenet": "cifar10_mean53"}  # former name -> name


def load_recipe(name_or_path: str | Path) -> Recipe:
    """A recipe that ships (by name) or a file of the user's (by path ending in .toml).

    Former names of those that ship (:data:`RENAMED`) are understood. UsageError where there is none
    of that name; FormatError with every finding at once.
    """
    name_or_path = RENAMED.get(str(name_or_path), name_or_path)
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = calibration_folder() / f"{name_or_path}.toml"
        if path.name != f"{name_or_path}.toml" or not path.is_file():
            own = Path(name_or_path)
            if own.is_file():
                raise UsageError(f"recipe file {own} must end in .toml.", "rename it")
            if len(own.parts) > 1 or (own.name and own.with_suffix(".toml").is_file()):
                raise not_there(
                    "recipe", own, RECIPES_HINT, endings=(".toml",), fits=holds_key("resize")
                )
            raise UsageError(
                f"recipe {name_or_path} is not known.",
                suggestion(str(name_or_path), list_recipes(), RECIPES_HINT),
            )
    try:
        text = read_text(path, limits.TOML_BYTES)
    except OSError as error:
        raise unreadable("recipe file", path, error, RECIPES_HINT, holds_key("resize")) from error
    except UnicodeDecodeError as error:
        raise FormatError(f"recipe file {path} is not UTF-8 text.") from error
    return parse_recipe(text, path.stem, str(path))


def list_recipes() -> tuple[str, ...]:
    """Names of the recipes that ship, sorted."""
    return tuple(sorted(path.stem for path in calibration_folder().glob("*.toml")))


def fitting_recipes(shape: Sequence[int], size: tuple[int, int]) -> tuple[str, ...]:
    """Those that ship that make an input [C, H, W] of a picture of ``size`` (height, width)."""
    return tuple(name for name in list_recipes() if fits(load_recipe(name), shape, size))


def fits(recipe: Recipe, shape: Sequence[int], size: tuple[int, int]) -> bool:
    """Whether it makes an input [C, H, W] of a picture of ``size`` (height, width)."""
    channels, *wanted = shape
    made = recipe.crop_size or recipe.resize_size or tuple(wanted)
    if recipe.resize == "none" and not recipe.crop_size:
        made = size
    if recipe.resize == "short_side" and not recipe.crop_size:
        return False  # its other side is the picture's
    return COLORS[recipe.color] == channels and tuple(made) == tuple(wanted)


def normalize_alike(one: Recipe, other: Recipe) -> bool:
    """Whether they make the same numbers of the same pixels."""
    return one.color == other.color and all(
        np.allclose(ours, theirs)
        for ours, theirs in (
            (one.pixel_mean, other.pixel_mean),
            (one.pixel_std, other.pixel_std),
        )
    )


def parse_recipe(text: str, name: str, where: str = "") -> Recipe:
    """The recipe written as TOML in ``text``; FormatError lists everything that is wrong.

    ``name``: its own, or what it is, as "the recipe of the .cfg".
    """
    where = where or (name if name.startswith("the ") else f"recipe {name}")
    try:
        table = toml_table(text)
    except ValueError as error:
        raise FormatError(f"{where} is not valid TOML: {error}.") from error
    found = [
        Finding(where, f"key {key} is not known.", suggestion(key, _CHECKS))
        for key in table
        if key not in _CHECKS
    ]
    found += [Finding(where, f"key {key} is missing.") for key in _CHECKS if key not in table]
    for key, check in _CHECKS.items():
        if key in table:
            wrong = check(table[key])
            if wrong:
                found.append(Finding(where, f"{key} must be {wrong}, not {_shown(table[key])}."))
    found = found or [Finding(where, sentence) for sentence in _contradictions(table)]
    if found:
        if len(found) > 1:
            raise FormatError(
                f"{where} is not a usable recipe, for {len(found)} reasons.", "", found
            )
        summary = f"{where} is not a usable recipe: {found[0].sentence}"
        raise FormatError(summary, found[0].hint, found)
    values = {key: _frozen(key, table[key]) for key in _CHECKS}
    return Recipe(name=name, text=text, **values)


def _shown(value: object) -> str:
    """A wrong value in a sentence, short however much it holds."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def _frozen(key: str, value: Any) -> Any:
    if key in ("mean", "std"):
        return tuple(float(item) for item in value)
    if key in ("divide_by", "pad_value"):
        return float(value)
    return tuple(value) if isinstance(value, list) else value


def _is_number(value: object) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(float(value))  # type: ignore[arg-type]  # a number here


def _text(value: object) -> str | None:
    return None if isinstance(value, str) and value else "a text that is not empty"


def _one_of(choices: Sequence[str]) -> Callable[[object], str | None]:
    names = ", ".join(f'"{item}"' for item in choices)
    sentence = names if len(choices) == 1 else f"one of {names}"
    return lambda value: None if value in choices else sentence


def _sizes(*counts: int) -> Callable[[object], str | None]:
    def check(value: object) -> str | None:
        good = isinstance(value, list) and len(value) in counts
        good = good and all(
            type(item) is int and 0 < item <= limits.PICTURE_SIDE
            for item in value  # type: ignore[attr-defined]  # a list here
        )
        if good:
            return None
        some = " or ".join(str(count) for count in counts)
        return f"a list of {some} whole numbers from 1 to {limits.PICTURE_SIDE}"

    return check


def _numbers(value: object) -> str | None:
    good = isinstance(value, list) and value and all(_is_number(item) for item in value)
    return None if good else "a list of numbers, one per channel"


def _deviations(value: object) -> str | None:
    good = _numbers(value) is None and all(item > 0 for item in value)  # type: ignore[attr-defined]  # a list here
    return None if good else "a list of numbers above 0, one per channel"


def _divisor(value: object) -> str | None:
    good = _is_number(value) and float(value) > 0  # type: ignore[arg-type]  # a number here
    return None if good else "a number above 0"


def _level(value: object) -> str | None:
    good = _is_number(value) and 0 <= float(value) <= 255  # type: ignore[arg-type]  # a number here
    return None if good else "a number from 0 to 255"


_CHECKS: dict[str, Callable[[object], str | None]] = {
    "description": _text,
    "color": _one_of(tuple(COLORS)),
    "resize": _one_of(RESIZES),
    "resize_size": _sizes(0, 1, 2),
    "interpolation": _one_of(INTERPOLATIONS),
    "crop_size": _sizes(0, 2),
    "divide_by": _divisor,
    "mean": _numbers,
    "std": _deviations,
    "pad_value": _level,
    "layout": _one_of(LAYOUTS),
}


def _overflows(table: dict[str, Any]) -> Iterator[str]:
    """Normalization that leaves float32: pixels 0 and 255 are the ends of all."""
    with np.errstate(all="ignore"):
        mean, std, by = (np.asarray(table[key], np.float32) for key in ("mean", "std", "divide_by"))
        for pixel in (0, 255):
            if not np.all(np.isfinite((np.float32(pixel) / by - mean) / std)):
                yield (
                    f"a pixel of {pixel} must become a float32 number with its divide_by, mean and "
                    "std, which are too large or too small."
                )


_SIZE_COUNTS = {"short_side": (1,), "none": (0,)}  # of others a size, or the input's


def _contradictions(table: dict[str, Any]) -> list[str]:
    """What no key shows by itself."""
    found = []
    channels = COLORS[table["color"]]
    for key in ("mean", "std"):
        if len(table[key]) != channels:
            found.append(
                f"{key} must have {channels} numbers for {table['color']}, not {len(table[key])}."
            )
    if not found:
        found += _overflows(table)
    counts = _SIZE_COUNTS.get(table["resize"], (0, 2))
    if len(table["resize_size"]) not in counts:
        wanted = " or ".join(str(count) for count in counts)
        found.append(
            f"resize_size must have {wanted} numbers with resize {table['resize']}, "
            f"not {len(table['resize_size'])}."
        )
    sides = table["resize_size"] * (2 if len(table["resize_size"]) == 1 else 1)
    for axis, crop, side in zip(("height", "width"), table["crop_size"], sides, strict=False):
        if crop > side:
            found.append(f"the {axis} of crop_size must be at most {side} as resized, not {crop}.")
    return found
