"""A compiled network in memory, and the files that it becomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from knightlite import atomic_write
from knightlite.api.models.stage_files import COMPILE_FILES

if TYPE_CHECKING:
    from knightlite.atomic_write import FileSet
    from knightlite.profiler import Certificate, FrameTime
    from knightlite.schedule import Peak


@dataclass(frozen=True, slots=True)
class CompiledModel:
    """A compiled network in memory.

    ``name``: X of the file names; ``contents``: the bytes of each file by key of ``COMPILE_FILES``;
    ``figures``: bytes, counts, cycles; ``explanations``: (node, pass, sentence) of every rewrite;
    ``certificate``: its cycles beside a bound, and what keeps it from there; ``frame``: what a
    frame takes, and how sure that is; ``memory``: with ``explain_memory`` what lies in each memory
    where it is fullest.
    """

    name: str
    contents: Mapping[str, bytes]
    figures: Mapping[str, Any]
    explanations: tuple[tuple[str, str, str], ...]
    certificate: Certificate
    frame: FrameTime
    memory: tuple[Peak, ...]

    @property
    def cfg(self) -> bytes:
        """The ``.cfg`` file: instructions and description."""
        return self.contents["cfg"]

    @property
    def weight(self) -> bytes:
        """The ``.weight`` file: constants."""
        return self.contents["weight"]

    def save(self, folder: str | Path) -> dict[str, Path]:
        """Write all files into a folder, all or none; where each one is, by key."""
        with atomic_write.file_set() as files:
            return self.add_to(files, Path(folder))

    def add_to(self, files: FileSet, folder: Path) -> dict[str, Path]:
        """Put all files into a set that is written as a whole."""
        paths = {key: folder / COMPILE_FILES[key].format(self.name) for key in self.contents}
        for key, data in self.contents.items():
            files.write_bytes(paths[key], data)
        return paths
