"""``profile``: predicted time of a compiled network, by layer and engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from knightlite import atomic_write, workspace
from knightlite.api.models.binary import Binary, find_binary
from knightlite.api.models.stage_files import PROFILE_FILES
from knightlite.talk import SILENT, Talk

if TYPE_CHECKING:
    from knightlite.profiler import LayerProfile as LayerProfile
    from knightlite.profiler import Profile


@dataclass(frozen=True, slots=True)
class ProfileResult:
    """The files and the profile they were written from."""

    files: Mapping[str, Path]
    profile: Profile
    totals: tuple[tuple[str, str], ...]  # Knight's terms: label, value


def assumed_facts(
    facts: Mapping[str, int], max_bandwidth: float, utilization: float | None
) -> dict[str, int]:
    """See ``profiler.assumed_facts``."""
    from knightlite import profiler

    return profiler.assumed_facts(facts, max_bandwidth, utilization)


def profile_program(
    cfg: Path | None = None,
    weight: Path | None = None,
    chip_name: str | None = None,
    out_dir: Path = Path(),
    directory: Path = Path(),
    talk: Talk = SILENT,
    facts: Mapping[str, int] | None = None,
    model: Path | None = None,
) -> ProfileResult:
    """Run the stage; either all files appear or none.

    ``facts``: figures to assume instead of the chip's (``profiler.assumed_facts``).
    ``model``: a ``.tsmodel`` instead of the pair.
    """
    from knightlite.profiler.writers import totals

    workspace.require_usable(directory, out_dir)
    binary = find_binary(directory, cfg, weight, talk, model)
    meta = binary.program.meta
    found = profile_binary(binary, chip_name, facts)
    paths = save_profile(found, binary.cfg.name.removesuffix(".cfg"), out_dir)
    told = {"cfg": str(binary.cfg)}
    workspace.record(directory, "profile", meta.chip, told, paths, binary.sources)
    return ProfileResult(paths, found, tuple(totals(found)))


def profile_binary(
    binary: Binary, chip_name: str | None = None, facts: Mapping[str, int] | None = None
) -> Profile:
    """Predict in memory; nothing is written. ``facts`` as in :func:`profile_program`."""
    from knightlite.profiler import profile
    from knightlite.sim.machine import program_chip

    target = program_chip(binary.program, binary.target(chip_name))
    return profile(binary.program, target, facts)


def save_profile(found: Profile, stem: str, folder: Path) -> dict[str, Path]:
    """Write the table, the JSON and the trace, all or none; where each one is."""
    from knightlite.profiler import profile_json, profile_text, trace_json

    paths = {key: folder / name.format(stem) for key, name in PROFILE_FILES.items()}
    with atomic_write.file_set() as files:
        files.write_text(paths["text"], profile_text(found))
        files.write_text(paths["json"], profile_json(found))
        files.write_text(paths["trace"], trace_json(found))
    return paths
