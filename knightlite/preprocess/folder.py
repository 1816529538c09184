"""Folders of pictures: a sub-folder per class (ImageFolder) or flat, sampled evenly and seeded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from knightlite.errors import DataError, not_there
from knightlite.preprocess.formats import SUFFIXES, is_picture

SUFFIX_LIST = ", ".join(SUFFIXES)
NAMED = 3  # files left out that a sentence names


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture file and its class index (None in a flat folder)."""

    path: Path
    label: int | None


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """The pictures below a folder in sorted order; ``classes`` is empty where it is flat.

    ``left_out``: the files among them that are no pictures; hidden ones are not counted.
    """

    directory: Path
    classes: tuple[str, ...]
    samples: tuple[Sample, ...]
    left_out: tuple[Path, ...] = ()

    @property
    def remark(self) -> str:
        """How many files were left out, and which; "" where none was."""
        return left_out_remark(self.directory, self.left_out, f"pictures end in {SUFFIX_LIST}")

    @property
    def too_high(self) -> str:
        """That its folders are no classes, but hold the same ones each; "" where they do not."""
        below: dict[int, set[str]] = {}
        for sample in self.samples:
            if sample.label is None:
                return ""
            parts = sample.path.relative_to(self.directory).parts
            if len(parts) < 3:  # folder and file
                return ""
            below.setdefault(sample.label, set()).add(parts[1])
        shared = set.intersection(*below.values()) if len(below) > 1 else set()
        if len(shared) < 2:
            return ""
        first, *rest = (self.classes[label] for label in below)
        names = sorted(shared)
        some = ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
        return (
            f"the folders {', '.join((first, *rest)[:NAMED])} of {self.directory} are taken for "
            f"classes, and each holds the folders {some}: where those are the classes, name "
            f"{self.directory / first}"
        )

    def misordered(self, labels: Path | None) -> str:
        """That its folders are numbers, which text sorts otherwise; "" where ``labels`` do it."""
        numbers = [int(name) for name in self.classes if name.isascii() and name.isdigit()]
        if labels is not None or len(numbers) < len(self.classes) or numbers == sorted(numbers):
            return ""
        at = next(place for place, number in enumerate(numbers) if number != sorted(numbers)[place])
        return (
            f"the class folders of {self.directory} are numbers, which stand in the order of text, "
            f"as torchvision has them: score {at} is taken for folder {self.classes[at]}. Hint: "
            "where the network counts them as numbers, --labels FILE has their names in that "
            "order, one a line"
        )


def left_out_remark(directory: Path, left_out: Sequence[Path], why: str) -> str:
    """How many files of a folder were left out, and which; "" where none was."""
    if not left_out:
        return ""
    names = [path.relative_to(directory).as_posix() for path in left_out[:NAMED]]
    more = "" if len(left_out) <= NAMED else f" and {len(left_out) - NAMED} more"
    files = "1 file" if len(left_out) == 1 else f"{len(left_out)} files"
    return f"{files} of {directory} left out, as {why}: {', '.join(names)}{more}."


def _meant(path: Path) -> str:
    """The hint for a file in place of a folder; "" for a picture, whose folder is meant."""
    if not path.is_file() or is_picture(path):
        return ""
    return (
        f"name a folder of pictures ({SUFFIX_LIST}); arrays are fed by a script "
        "(-uds FILE -if FUNCTION), or from Python"
    )


def list_pictures(directory: str | Path) -> ImageFolder:
    """The pictures of a folder, sorted: each sub-folder is a class where any holds pictures.

    A class index is the place of the sub-folder in sorted order. Pictures lying beside class
    folders are refused, since they have no class. UsageError where the folder does not exist,
    DataError where it holds no picture.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise not_there("picture folder", directory, _meant(directory), folder=True)
    entries = sorted(directory.iterdir())
    flat, others = _sorted_out(entries)
    below = {
        path: _sorted_out(sorted(path.rglob("*")))
        for path in entries
        if path.is_dir() and not path.name.startswith(".")
    }
    found = {path: pictures for path, (pictures, _) in below.items()}
    # an empty class folder keeps its place: leaving it out would shift every later class
    classes = list(found) if any(found.values()) else []
    if not flat and not classes:
        raise DataError(
            f"picture folder {directory} holds no picture.",
            f"pictures end in {', '.join(SUFFIXES)}, in the folder or in one sub-folder per class",
        )
    if flat and classes:
        raise DataError(
            f"picture folder {directory} holds pictures beside class folders: {flat[0].name} "
            f"beside {classes[0].name}/.",
            "move the pictures into class folders, or all of them into one folder",
        )
    if flat:
        return ImageFolder(directory, (), tuple(Sample(path, None) for path in flat), others)
    samples = tuple(
        Sample(path, label) for label, folder in enumerate(classes) for path in found[folder]
    )
    left_out = tuple(item for _, others in below.values() for item in others)
    return ImageFolder(directory, tuple(path.name for path in classes), samples, left_out)


def sample_pictures(
    directory: str | Path, count: int | None, seed: int
) -> tuple[ImageFolder, tuple[Sample, ...]]:
    """The folder and ``count`` of its pictures (all where None or where it holds fewer).

    Seeded and the same on every machine: classes take turns in a seeded order, each giving its
    pictures in a seeded order, so that a short sample sees as many classes as it can. The sample
    comes back in that order: its first pictures are again an even sample.
    """
    folder = list_pictures(directory)
    rng = np.random.RandomState(seed)  # its stream is frozen, default_rng's is not
    by_class: dict[int | None, list[Sample]] = {}
    for sample in folder.samples:
        by_class.setdefault(sample.label, []).append(sample)
    shuffled = [
        [pictures[index] for index in rng.permutation(len(pictures))]
        for pictures in by_class.values()
    ]
    turns = [shuffled[index] for index in rng.permutation(len(shuffled))]
    longest = max(len(pictures) for pictures in turns)
    order = [
        pictures[place] for place in range(longest) for pictures in turns if place < len(pictures)
    ]
    return folder, tuple(order if count is None else order[:count])


def _sorted_out(paths: list[Path]) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """The files that are pictures, and those that are not; hidden ones are neither."""
    files = [path for path in paths if path.is_file() and not path.name.startswith(".")]
    pictures = tuple(path for path in files if is_picture(path))
    return pictures, tuple(path for path in files if not is_picture(path))
