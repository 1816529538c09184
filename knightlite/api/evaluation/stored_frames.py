"""Frames of a ``.npy`` file in place of pictures: as the network reads them, with their classes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.api.simulation.fed import preparation
from knightlite.array_files import map_array, read_array
from knightlite.errors import DataError, UsageError, unreadable
from knightlite.frames import is_frame

Array = NDArray[Any]
SUFFIX = ".npy"
FRAMES_HINT = (
    "frames [N, C, H, W] as the network reads them are a .npy file, pictures are in a folder"
)


def holds_frames(path: Path) -> bool:
    """True where the data is a file of frames, not a folder of pictures."""
    return path.suffix == SUFFIX and not path.is_dir()


def classes_of(path: Path, labels: Path | None, recipe: str | None) -> list[int | None]:
    """The class of every frame of ``path``: whole numbers of ``labels``, None without these.

    ``recipe``: TOML text of the one that the models were calibrated with, where there is one.
    """
    found = _frames(path)
    if found.dtype.kind != "f":  # codes of an input or values? whole numbers tell neither
        raise DataError(f"{path} must hold floats, not {found.dtype}.", preparation(recipe))
    count = len(found)
    if labels is None:
        return [None] * count
    if labels.suffix != SUFFIX:
        raise UsageError(
            f"the classes of the frames of {path} must be a .npy file of whole numbers, not "
            f"{labels}.",
            "--labels FILE.npy, one number a frame: the place of its class among the scores",
        )
    try:
        found = read_array(labels)
    except OSError as error:
        raise unreadable("labels file", labels, error) from None
    except ValueError as error:
        raise DataError(f"{labels} cannot be read: {error}.") from None
    if found.dtype.kind not in "iu" or found.shape != (count,) or np.any(found < 0):
        raise DataError(
            f"{labels} must hold {count} whole numbers from 0 up, one for each frame of {path}, "
            f"not {found.dtype} of shape {found.shape}."
        )
    return [int(item) for item in found]


def frame_of(path: Path, number: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Frame ``number`` as float32 [1, C, H, W]; DataError where it has another shape."""
    values = _frames(path)[number]
    if not is_frame(values.shape, shape):
        raise DataError(
            f"{path} must hold frames [N, {', '.join(map(str, shape))}], not of shape "
            f"{values.shape}.",
            "frames as the network reads them: prepared, in the order NCHW"
            if values.ndim != 3 or values.shape != (*shape[1:], shape[0])
            else "array.transpose(0, 3, 1, 2) has channels first, as the network reads them",
        )
    if not np.isfinite(values).all():
        what = "NaN" if np.isnan(values).any() else "infinite values"
        raise DataError(f"frame {number} of {path} must hold numbers, not {what}.")
    return np.asarray(values, np.float32).reshape(1, *shape)


def digest_of(path: Path, number: int) -> str:
    """SHA-256 of a frame's numbers."""
    return hashlib.sha256(_frames(path)[number].tobytes()).hexdigest()


def _frames(path: Path) -> Array:
    try:
        found = map_array(path)
    except OSError as error:
        raise unreadable("file of frames", path, error) from None
    except ValueError as error:
        raise DataError(f"{path} cannot be read: {error}.") from None
    if found.ndim < 2 or not len(found):
        raise DataError(f"{path} must hold frames [N, C, H, W], not {found.shape}.")
    return found
