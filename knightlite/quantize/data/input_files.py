"""Data of several inputs from a folder each: pictures, .npy or raw files, one frame per file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.array_files import raw_values, read_array
from knightlite.errors import DataError, not_there
from knightlite.ir import Tensor
from knightlite.preprocess import SUFFIXES as PICTURES
from knightlite.preprocess import left_out_remark, parse_recipe, prepare_picture
from knightlite.quantize.data.workload import Forward

Array = NDArray[Any]
SUFFIXES = {"Image": PICTURES, "Numpy": (".npy",), "Bin": (".bin",)}


@dataclass(frozen=True, slots=True)
class Source:
    """The frames of input ``tensor``: the files of ``directory`` (or one file), sorted by name.

    ``kind``: "Image" (pixels 0..255 in the order of ``color``, resized to the input), "Numpy" or
    "Bin" (raw, of the tensor's type, NCHW).
    """

    tensor: Tensor
    kind: str
    directory: Path
    color: str = "RGB"

    def files(self) -> list[Path]:
        """The files; UsageError for a missing folder, DataError for one without such files."""
        if self.directory.is_file():
            return [self.directory]
        if not self.directory.is_dir():
            raise not_there("data folder", self.directory, folder=True)
        suffixes = SUFFIXES[self.kind]
        found, _ = self._sorted_out()
        if not found:
            raise DataError(
                f"data folder {self.directory} holds no file that ends in {', '.join(suffixes)}."
            )
        return found

    @property
    def remark(self) -> str:
        """How many files of the folder were left out, and which; "" where none was."""
        if not self.directory.is_dir():
            return ""
        why = (
            f"{self.kind} data of input {self.tensor.name} end in {', '.join(SUFFIXES[self.kind])}"
        )
        return left_out_remark(self.directory, self._sorted_out()[1], why)

    def _sorted_out(self) -> tuple[list[Path], list[Path]]:
        """The files of the kind, and the others; hidden ones are neither."""
        files = [
            path
            for path in sorted(self.directory.iterdir())
            if path.is_file() and not path.name.startswith(".")
        ]
        mine = [path for path in files if path.suffix.lower() in SUFFIXES[self.kind]]
        return mine, [path for path in files if path not in set(mine)]

    def read(self, path: Path) -> Array:
        """One frame [C, H, W]; DataError where the file does not hold one."""
        shape = self.tensor.shape[1:]
        if self.kind == "Image":
            return self._picture(path)
        if self.kind == "Numpy":
            try:
                values: Array = read_array(path)
            except (ValueError, OSError, EOFError) as error:
                raise DataError(f"{path} is not a .npy file of numbers.") from error
        else:
            values = raw_values(path, self.tensor.dtype.numpy)
        if values.size != self.tensor.elements or values.dtype.kind not in "fiu":
            kind = np.dtype(self.tensor.dtype.numpy)
            raise DataError(
                f"{path} must hold one frame of input {self.tensor.name}, {self.tensor.elements} "
                f"numbers ({kind}), not {values.size}."
            )
        return values.reshape(shape)

    def _picture(self, path: Path) -> Array:
        channels = 1 if self.color == "GRAY" else 3
        keys = {
            "description": "input-configs", "color": self.color, "resize": "exact",
            "resize_size": [], "interpolation": "bilinear", "crop_size": [], "divide_by": 1.0,
            "mean": [0.0] * channels, "std": [1.0] * channels, "pad_value": 0.0, "layout": "nchw",
        }  # fmt: skip
        text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
        return prepare_picture(
            path, parse_recipe(text, "the recipe of input-configs"), self.tensor.shape
        )


@dataclass(frozen=True, slots=True)
class InputFiles:
    """``iteration`` batches from the sources, whose files belong together in sorted order."""

    sources: tuple[Source, ...]
    iteration: int
    batch_size: int
    files: tuple[tuple[Path, ...], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """List the files now, so that a missing folder is found before any work."""
        lists = [source.files() for source in self.sources]
        if len({len(files) for files in lists}) > 1:
            counts = ", ".join(
                f"{len(files)} of {source.tensor.name}"
                for files, source in zip(lists, self.sources, strict=True)
            )
            raise DataError(f"every input must have equally many files, not {counts}.")
        limit = self.iteration * self.batch_size
        object.__setattr__(self, "files", tuple(zip(*lists, strict=True))[:limit])

    @property
    def description(self) -> str:
        """How many frames of which folders."""
        folders = ", ".join(source.directory.name for source in self.sources)
        return f"{len(self.files)} frame(s) of {folders}"

    def run(self, forward: Forward) -> float | None:
        """Feed all frames; there is no metric."""
        for first in range(0, len(self.files), self.batch_size):
            batch = self.files[first : first + self.batch_size]
            forward(
                tuple(
                    np.stack([source.read(frame[index]) for frame in batch])
                    for index, source in enumerate(self.sources)
                )
            )
        return None
