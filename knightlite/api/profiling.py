"""``profile``: predicted time of a compiled network, by layer and engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from knightlite import atomic_write, workspace
from knightlite.api.advising.page import page_of
from knightlite.api.advising.trying import try_out
from knightlite.api.chips.evidence import evidence_for
from knightlite.api.models.binary import Binary, find_binary
from knightlite.api.models.stage_files import PROFILE_FILES
from knightlite.errors import UsageError, not_there, unreadable
from knightlite.options import check
from knightlite.options.profile import ProfileOptions
from knightlite.reading import read_bytes
from knightlite.talk import SILENT, Talk

if TYPE_CHECKING:
    from knightlite.profiler import LayerProfile as LayerProfile
    from knightlite.profiler import Profile
    from knightlite.report import Difference as Difference


@dataclass(frozen=True, slots=True)
class ProfileResult:
    """The files and the profile they were written from."""

    files: Mapping[str, Path]
    profile: Profile
    totals: tuple[tuple[str, str], ...]  # Knight's terms: label, value
    bound_lines: tuple[tuple[str, str], ...]  # cycles, bound, their ratio: label, value
    region_table: tuple[tuple[str, ...], ...]  # titles first; none at level 0
    summary: tuple[str, ...]  # limiter, layers that take most, advice: ten lines


def profile_program(options: ProfileOptions, talk: Talk = SILENT) -> ProfileResult:
    """Run the stage; either all files appear or none."""
    from knightlite.profiler import certificate_lines, region_table
    from knightlite.profiler.writers import totals
    from knightlite.report import advice_json, summary_lines

    check(options)
    facts = assumptions(options)
    workspace.require_usable(options.directory, options.out_dir)
    if options.html is not None:
        atomic_write.require_folder(options.html.parent)
    binary = find_binary(options.directory, options.cfg, options.weight, talk, options.model)
    found = profile_binary(binary, options.chip, facts)
    outcome = try_out(found, binary, options, talk)
    pages = {}
    if options.html is not None:
        pages = {options.html: page_of(found, binary, outcome.tried, outcome.explained)}
    stem = binary.cfg.name.removesuffix(".cfg")
    paths = save_profile(found, stem, options.out_dir, pages, advice_json(outcome.tried))
    chip = binary.program.meta.chip
    told = {"cfg": str(binary.cfg)}
    workspace.record(
        options.directory, "profile", chip, told, paths, binary.sources, warn=talk.warn
    )
    return ProfileResult(
        paths,
        found,
        tuple(totals(found)),
        tuple(certificate_lines(found.certificate)),
        tuple(region_table(found.certificate)),
        tuple(summary_lines(found, outcome.tried)),
    )


def compare_profiles(options: ProfileOptions) -> Difference:
    """What ``--diff`` is asked for; the page, where one is, is written."""
    from knightlite.profiler import read_profile
    from knightlite.report import difference, difference_page

    check(options)
    files = [_existing(path, options.directory) for path in options.diff]
    one, other = (read_profile(_bytes(path), str(path)) for path in files)
    found = difference(one, other)
    if options.html is not None:
        atomic_write.write_text(options.html, difference_page(found, *map(str, files)))
    return found


def _existing(path: Path, directory: Path) -> Path:
    if not path.is_file():
        there = workspace.left_elsewhere(workspace.open_workspace(directory), path.name)
        if there and not path.exists():
            raise UsageError(f"profile {path} does not exist.", there)
        raise not_there("profile", path, "profile leaves X.profile.json")
    return path


def _bytes(path: Path) -> bytes:
    try:
        return read_bytes(path)
    except OSError as error:
        raise unreadable("profile", path, error) from error


def assumptions(options: ProfileOptions) -> dict[str, int]:
    """What is to be assumed of the chip, as facts of it; see ``profiler.assumed_facts``."""
    from knightlite import profiler

    return profiler.assumed_facts(dict(options.facts), options.max_bandwidth, options.utilization)


def profile_binary(
    binary: Binary, chip_name: str | None = None, facts: Mapping[str, int] | None = None
) -> Profile:
    """Predict in memory; nothing is written. ``facts``: to assume instead of the chip's."""
    from knightlite.container import program_chip
    from knightlite.profiler import profile

    family = binary.target(chip_name)
    target = program_chip(binary.program, family)
    return profile(binary.program, target, facts, evidence_for(family, target))


def save_profile(
    found: Profile,
    stem: str,
    folder: Path,
    pages: Mapping[Path, str] | None = None,
    advice: Mapping[str, Any] | None = None,
) -> dict[str, Path]:
    """Write the table, the JSON and the trace, all or none; where each one is.

    ``pages``: texts of pages that are written with them; ``advice``: what the JSON says of it.
    """
    from knightlite.profiler import perfetto_trace, profile_json, profile_text

    paths = {key: folder / name.format(stem) for key, name in PROFILE_FILES.items()}
    with atomic_write.file_set() as files:
        files.write_text(paths["text"], profile_text(found))
        files.write_text(paths["json"], profile_json(found, advice))
        files.write_bytes(paths["trace"], perfetto_trace(found))
        for path, page in (pages or {}).items():
            files.write_text(path, page)
            paths["html"] = path
    return paths
