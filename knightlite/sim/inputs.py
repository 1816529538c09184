"""Reads what ``--input`` names: raw float32 or integer files and ``.npy``, one or many frames.

The number of bytes decides what a raw file holds, and where it allows float32 and integers, the
values and the frames asked for have to agree. It is never guessed silently: a file that does not
fit is refused with what it should have and what it has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.array_files import map_array
from knightlite.container import StoredTensor
from knightlite.errors import DataError, UsageError, not_there
from knightlite.frames import are_frames, for_inputs, is_frame
from knightlite.layouts import LAYOUTS
from knightlite.sim.host import quantize
from knightlite.sim.raw_kind import Look, look_of

Array = NDArray[Any]
FLOAT32 = np.dtype("<f4")


@dataclass(frozen=True, slots=True)
class _Source:
    """Where one input's frames lie: byte 0 of frame k is at ``offset + k * step`` of ``path``.

    ``real``: the float type of the numbers; None: they are integers as the chip stores them.
    ``several``: whether the file holds more than one.
    """

    path: Path
    entry: StoredTensor
    offset: int
    step: int
    real: np.dtype[Any] | None
    layout: str
    several: bool = False

    def frame(self, number: int) -> Array:
        """Frame ``number`` as [1, C, H, W] integers."""
        values = self.values(number)
        if self.real is None:
            return np.ascontiguousarray(values)
        return quantize(values, self.entry, number if self.several else None)

    def values(self, number: int) -> Array:
        """The same as the file holds it, floats or integers."""
        kind = self.real or self.entry.dtype.numpy
        count = stored_elements(self.entry, self.layout)
        at = self.offset + number * self.step
        values = np.fromfile(self.path, kind, count, offset=at)
        _, channels, height, width = self.entry.shape
        if self.layout == "nchw":
            values = values.reshape(1, channels, height, width)
        else:
            pixels = values.reshape(1, height, width, -1)[..., :channels]
            values = pixels.transpose(0, 3, 1, 2)
        return values


@dataclass(frozen=True, slots=True)
class Frames:
    """The frames to run: iterating reads them one at a time.

    ``available`` counts those in the files, ``asked`` those wanted, ``numbers`` lists those to run
    (all there are where more are wanted), ``kind`` says what was read ("float32" or another type).
    """

    sources: tuple[_Source, ...]
    available: int
    asked: int
    numbers: tuple[int, ...]
    kind: str

    @property
    def remaining(self) -> int:
        """Frames in the files that will not run."""
        return self.available - len(self.numbers)

    def stored(self, name: str, places: Iterable[int]) -> Iterator[Array]:
        """Input ``name`` of the frames to run at ``places`` as the file holds it, [1, C, H, W]."""
        for source in self.sources:
            if source.entry.name == name:
                for place in places:
                    yield source.values(self.numbers[place])

    def __iter__(self) -> Iterator[dict[str, Array]]:
        """Input name to [1, C, H, W] integers, per frame."""
        for number in self.numbers:
            yield {source.entry.name: source.frame(number) for source in self.sources}


def stored_elements(entry: StoredTensor, layout: str) -> int:
    """Elements of one frame in a file; ``nhwcstride`` pads channels to the chip's pixel stride."""
    _, channels, height, width = entry.shape
    if layout == "nhwcstride":
        channels = entry.column_stride // entry.dtype.size_bytes
    return int(channels * height * width)


def input_paths(argument: str) -> list[Path]:
    """The files of ``a:b`` or ``a,b``; a file whose own name has such a sign wins."""
    if Path(argument).exists():
        return [Path(argument)]
    return [Path(part) for part in re.split("[:,]", argument) if part]


def read(
    argument: str | Sequence[Path],
    inputs: Sequence[StoredTensor],
    layout: str,
    frame_count: int | None = None,
    frame_step: int = 0,
    usual_count: int = 1,
    declared: Sequence[str] = (),
    preparation: str = "",
) -> Frames:
    """Frames for the network inputs of a .cfg.

    ``argument``: one file per input, or per ``declared`` one where nothing reads some of these, or
    one file that holds all inputs of a frame behind each other. ``frame_count`` None runs
    ``usual_count``, a count beyond what is there all of them; ``frame_step`` n > 1 takes every
    n-th. ``preparation``: the hint where numbers are of another type. UsageError where a file is
    missing, DataError where its size does not fit.
    """
    if layout not in LAYOUTS:
        raise UsageError(f"the input format must be one of {', '.join(LAYOUTS)}, not {layout}.")
    if (frame_count is not None and frame_count < 1) or frame_step < 0:
        raise UsageError("the frame count must be at least 1 and the frame step at least 0.")
    paths = input_paths(argument) if isinstance(argument, str) else list(argument)
    paths = list(for_inputs(paths, [entry.name for entry in inputs], declared))
    for path in paths:
        if not path.is_file():
            raise not_there("input file", path, "quant leaves a sample as inputs/NAME.bin")
    if len(paths) == len(inputs):
        groups = [(path, [entry]) for path, entry in zip(paths, inputs, strict=True)]
    elif len(paths) == 1:
        groups = [(paths[0], list(inputs))]
    else:
        names = ", ".join(entry.name for entry in inputs)
        raise DataError(f"the network has {len(inputs)} inputs ({names}), not {len(paths)}.")
    sources: list[_Source] = []
    counts: list[int] = []
    for path, entries in groups:
        found, count = _open(path, entries, layout, frame_count, preparation)
        sources += [replace(source, several=count > 1) for source in found]
        counts.append(count)
    available = min(counts)
    if max(counts) != available:
        raise DataError(f"the input files must hold equally many frames, not {counts}.")
    step = max(1, frame_step)
    asked = usual_count if frame_count is None else frame_count
    numbers = tuple(range(0, available, step))[:asked]
    kinds = {source.entry.type if source.real is None else source.real.name for source in sources}
    return Frames(tuple(sources), available, asked, numbers, " and ".join(sorted(kinds)))


def _open(
    path: Path,
    entries: list[StoredTensor],
    layout: str,
    frame_count: int | None,
    preparation: str,
) -> tuple[list[_Source], int]:
    if path.suffix == ".npy":
        return _open_array(path, entries, layout, preparation)
    size = path.stat().st_size
    real = FLOAT32 if _holds_floats(path, size, entries, layout, frame_count) else None
    return _sources(path, entries, layout, real, 0), size // _frame_bytes(entries, layout, real)


def _frame_bytes(entries: list[StoredTensor], layout: str, real: np.dtype[Any] | None) -> int:
    return sum(
        stored_elements(entry, layout) * (real or entry.dtype.numpy).itemsize for entry in entries
    )


def _sources(
    path: Path, entries: list[StoredTensor], layout: str, real: np.dtype[Any] | None, offset: int
) -> list[_Source]:
    step = _frame_bytes(entries, layout, real)
    found = []
    for entry in entries:
        found.append(_Source(path, entry, offset, step, real, layout))
        offset += _frame_bytes([entry], layout, real)
    return found


def _holds_floats(
    path: Path, size: int, entries: list[StoredTensor], layout: str, frame_count: int | None
) -> bool:
    """Whether a raw file is float32; DataError where size, values and count do not settle it."""
    float_bytes = _frame_bytes(entries, layout, FLOAT32)
    integer_bytes = _frame_bytes(entries, layout, None)
    kind = " and ".join(sorted({entry.type for entry in entries}))
    fits_float = size > 0 and size % float_bytes == 0
    fits_integer = size > 0 and size % integer_bytes == 0
    if fits_float and fits_integer:
        counts = {size // float_bytes: True, size // integer_bytes: False}
        asked = None if frame_count is None else counts.get(frame_count)
    elif fits_float or fits_integer:
        return fits_float
    elif frame_count is not None and size >= frame_count * integer_bytes:
        if size < float_bytes:
            return False
        asked = size >= frame_count * float_bytes  # what is behind these frames is left alone
    else:
        raise DataError(
            f"{path} has {size} bytes; a frame needs {float_bytes} bytes as float32 or "
            f"{integer_bytes} as {kind} in {layout} order.",
            "check the input's shape and format, or ask for fewer frames",
        )
    narrowest = min(entry.dtype.size_bytes for entry in entries)
    look = look_of(np.fromfile(path, np.uint8, float_bytes), narrowest)
    settled = {
        Look.NOTHING: asked is not False,
        Look.FLOATS: None if asked is False else True,
        Look.INTEGERS: False if asked is False else None,
        Look.EITHER: asked,
    }[look]
    if settled is not None:
        return settled
    floats, integers = size // float_bytes, size // integer_bytes
    raise DataError(
        f"{path} has {size} bytes, which are {floats} frames of float32 or {integers} of {kind}, "
        f"and its values {look.value}.",
        _remedy(look, floats, integers, kind),
    )


def _remedy(look: Look, floats: int, integers: int, kind: str) -> str:
    """How to say what a file holds: by a count, where its values do not speak against it."""
    counts = {
        Look.FLOATS: f"-fc {floats} says that it is float32",
        Look.INTEGERS: f"-fc {integers} says that it holds so many frames of {kind}",
    }
    said = [counts[look]] if look in counts else list(counts.values())[::-1]
    return ", ".join((*said, "a .npy file says what it holds by itself"))


def _open_array(
    path: Path, entries: list[StoredTensor], layout: str, preparation: str
) -> tuple[list[_Source], int]:
    """A ``.npy`` of one input: [frames, ...] in the stated layout, floats or the integer type."""
    if len(entries) != 1:
        raise DataError(f"{path} can hold one input, but the network has {len(entries)}.")
    entry = entries[0]
    try:
        values = map_array(path)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{path} is not a readable .npy file.") from error
    wanted = entry.dtype.numpy
    real = values.dtype if values.dtype.kind == "f" else None
    if real is None and values.dtype != wanted:
        raise DataError(f"{path} must hold floats or {wanted}, not {values.dtype}.", preparation)
    _, channels, height, width = entry.shape
    if layout == "nchw":
        shape: tuple[int, ...] = (channels, height, width)
    else:
        shape = (height, width, stored_elements(entry, layout) // (height * width))
    one = is_frame(values.shape, shape)
    if not values.size:
        raise DataError(f"{path} must hold at least one frame, not {values.shape}.")
    if not one and not are_frames(values.shape, shape):
        turned = (height, width, channels)
        fits = layout == "nchw" and values.shape in (turned, (len(values), *turned))
        raise DataError(
            f"{path} must hold frames of shape {shape} ({layout}), not {values.shape}.",
            "-fmt nhwc reads them as they are" if fits else "",
        )
    if not values.flags.c_contiguous:
        raise DataError(
            f"{path} must be stored in C order, not in Fortran order.",
            "save numpy.ascontiguousarray(array)",
        )
    offset = int(getattr(values, "offset", 0))
    return _sources(path, entries, layout, real, offset), 1 if one else len(values)
