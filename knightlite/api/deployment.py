"""``deploy``, ``sim-lib``, ``bin2header``: a compiled network as a project in C of its own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from knightlite import atomic_write, limits
from knightlite.api.compilation import KNOWN_ANSWER_SEED
from knightlite.api.models.binary import Binary, find_binary
from knightlite.api.models.machines import open_simulator, require_known
from knightlite.api.models.stage_files import COMPILE_FILES, sibling
from knightlite.errors import DataError, UsageError, not_there
from knightlite.options import check
from knightlite.options.deploy import Bin2HeaderOptions, DeployOptions, SimLibOptions
from knightlite.reading import read_bytes, read_text
from knightlite.talk import SILENT, Talk

if TYPE_CHECKING:
    from knightlite.deploy import CodeSize, Needs

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class DeployResult:
    """What ``deploy`` wrote: files by their path in the project, and what the network needs."""

    folder: Path
    files: tuple[Path, ...]
    needs: Needs
    sizes: tuple[CodeSize, ...]

    @property
    def bytes_by_name(self) -> Mapping[str, int]:
        """Memory by what takes it."""
        needs = self.needs
        return {
            "cfg": needs.cfg,
            "weight": needs.weight,
            "known_input": needs.known_input,
            "known_output": needs.known_output,
            "arena": needs.arena,
        }


def deploy(options: DeployOptions, talk: Talk = SILENT) -> DeployResult:
    """Write the project; either all files appear or none."""
    from knightlite.container import encode_program
    from knightlite.deploy import Network, code_sizes, project_files
    from knightlite.preprocess import parse_recipe

    check(options)
    folder = options.out_dir
    _require_room(folder, options.force)
    binary = find_binary(options.directory, options.cfg, options.weight, talk, options.model)
    meta = binary.program.meta
    require_known(binary, "sim and knightlite.Session run it")
    if meta.host:
        listed = ", ".join(dict.fromkeys(step.op for step in meta.host))
        talk.say(f"The project runs the chip's share; the host's is not in it: {listed}.")
    cfg, weight = encode_program(binary.program)
    given, answer = known_answer(binary, talk)
    recipe = (
        None if meta.recipe is None else parse_recipe(meta.recipe, "the stored recipe", "the .cfg")
    )
    if len(meta.inputs) != 1:
        recipe = None  # a picture feeds one input
    network = Network(meta, cfg, weight, given, answer, recipe)
    sizes = code_sizes(network.host_table)
    written = []
    with atomic_write.folder_set(folder) as files:
        for name, data in project_files(network, sizes, arrays=options.arrays):
            files.write_bytes(folder / name, data)
            written.append(folder / name)
    return DeployResult(folder, tuple(written), network.needs, sizes)


def write_simulation_library(options: SimLibOptions) -> None:
    """The library's sources; either all files appear or none."""
    from knightlite.deploy import simulation_library_files

    check(options)
    _require_room(options.out_dir, options.force)
    with atomic_write.folder_set(options.out_dir) as files:
        for name, data in simulation_library_files():
            files.write_bytes(options.out_dir / name, data)


def _require_room(folder: Path, force: bool) -> None:
    atomic_write.require_folder(folder)
    if folder.is_dir() and not force and any(folder.iterdir()):
        raise UsageError(
            f"{folder} must be empty, and it is not.",
            "name another folder, or write into this one with --force",
        )


def known_answer(binary: Binary, talk: Talk = SILENT) -> tuple[bytes, bytes]:
    """All inputs in integers, and what the simulator makes of them: the known input beside it.

    Where there is none, or one of another size, integers are drawn as ``compile`` draws them.
    """
    machine = open_simulator(binary)
    talk.say("the simulator makes the known answer")
    inputs = _known_input(binary)
    outputs = machine.run(inputs)
    names = [entry.name for entry in binary.program.meta.outputs]
    return (
        b"".join(values.tobytes() for values in inputs.values()),
        b"".join(outputs[name].tobytes() for name in names),
    )


def _known_input(binary: Binary) -> dict[str, Array]:
    entries = binary.program.meta.inputs
    sizes = [math.prod(entry.shape) * entry.dtype.size_bytes for entry in entries]
    beside = sibling(binary.cfg, COMPILE_FILES["cfg"], COMPILE_FILES["known_input"])
    if beside is not None and beside.is_file() and beside.stat().st_size == sum(sizes):
        data, found = read_bytes(beside), {}
        for entry, size in zip(entries, sizes, strict=True):
            kind = entry.dtype.numpy
            found[entry.name] = np.frombuffer(data[:size], kind).reshape(entry.shape).copy()
            data = data[size:]
        return found
    rng = np.random.default_rng(KNOWN_ANSWER_SEED)
    return {
        entry.name: rng.integers(
            entry.dtype.minimum, entry.dtype.maximum + 1, entry.shape
        ).astype(entry.dtype.numpy)
        for entry in entries
    }  # fmt: skip


def bin2header(options: Bin2HeaderOptions) -> int:
    """A file as a C array, or back; the bytes that the array has."""
    from knightlite.deploy import c_array, from_c_array
    from knightlite.deploy.arrays import array_name

    source, target = options.source, options.target
    if not source.is_file():
        raise not_there("file", source)
    if options.back:
        try:
            data = from_c_array(read_text(source, limits.FILE_BYTES))
        except ValueError as error:  # UnicodeDecodeError is one
            raise DataError(f"{source} is not a C array of bytes: {error}.") from error
        atomic_write.write_bytes(target, data)
    else:
        data = read_bytes(source)
        atomic_write.write_text(target, c_array(array_name(target.stem), data))
    return len(data)
