"""Constants that stay in WSPM or MSPM from frame to frame: ``--onceload-w``, ``--onceload-m``.

Every tile of constants gets a place of its own behind an offset, and one load at the beginning of
the program, which runs once. What follows are the instructions of a frame, without these loads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from knightlite.allocate import align
from knightlite.chip import Chip
from knightlite.errors import CapacityError, UnsupportedError
from knightlite.isa import Instruction, Load, Space, layout

OPTIONS = {Space.MSPM: "onceload-m", Space.WSPM: "onceload-w"}


class Tile(NamedTuple):
    """Bytes of a scratchpad that a load has filled, and where they are now."""

    first: int
    last: int
    place: int


@dataclass(frozen=True, slots=True)
class Resident:
    """``once``: the loads that run once; ``frame``: the instructions of a frame.

    ``places``: by where an instruction was where it is in the frame; ``areas``: [first, last).
    """

    once: tuple[Load, ...]
    frame: tuple[Instruction, ...]
    places: Mapping[int, int]
    areas: Mapping[Space, tuple[int, int]]


def resident(
    code: Sequence[Instruction], constants_bytes: int, offsets: Mapping[Space, int], chip: Chip
) -> Resident:
    """The parts of a program that keeps its constants from ``offsets`` on.

    CapacityError where they do not fit behind it, UnsupportedError where weights are computed.
    """
    places = _places(code, constants_bytes, offsets, chip)
    there: dict[Space, list[Tile]] = {space: [] for space in offsets}
    once: dict[tuple[Space, int, int], Load] = {}
    frame: list[Instruction] = []
    moved: dict[int, int] = {}
    for index, item in enumerate(code):
        if isinstance(item, Load) and item.space in offsets:
            space = Space(item.space)
            key = (space, item.ddr_address, item.run_bytes)
            first, last = item.local_address, item.local_address + item.run_bytes
            there[space] = [t for t in there[space] if t.last <= first or last <= t.first]
            there[space].append(Tile(first, last, places[key]))
            once.setdefault(key, replace(item, local_address=places[key]))
            continue
        moved[index] = len(frame)
        frame.append(_readdressed(item, there))
    areas = {
        space: (
            offsets[space],
            max(places[key] + key[2] for key in once if key[0] is space),
        )
        for space in offsets
        if any(key[0] is space for key in once)
    }
    return Resident(tuple(once.values()), tuple(frame), moved, areas)


def _places(
    code: Sequence[Instruction], constants_bytes: int, offsets: Mapping[Space, int], chip: Chip
) -> dict[tuple[Space, int, int], int]:
    """Where each tile of constants stays: one behind the other, in the order of their first use."""
    rooms = {
        Space.MSPM: (chip.mspm_bytes, chip.mspm_align_bytes),
        Space.WSPM: (chip.wspm_bytes, chip.wspm_align_bytes),
    }
    found: dict[tuple[Space, int, int], int] = {}
    for space, offset in offsets.items():
        room, step = rooms[space]
        if offset % step:
            raise CapacityError(
                f"--{OPTIONS[space]} must be a multiple of {step}, as the chip has what lies in "
                f"{space.name}, not {offset}.",
                f"take {align(offset, step)}",
            )
        end = offset
        for item in code:
            if not isinstance(item, Load) or item.space != space:
                continue
            if item.ddr_side(write=False).last > constants_bytes:
                raise UnsupportedError(
                    f"--{OPTIONS[space]}: the network multiplies tensors by each other, which are "
                    f"loaded into {space.name} in every frame.",
                    f"leave out --{OPTIONS[space]}",
                )
            key = (space, item.ddr_address, item.run_bytes)
            if key not in found:
                found[key] = align(end, step)
                end = found[key] + item.run_bytes
        if end > room:
            what = "weights" if space is Space.WSPM else "parameters and tables"
            raise CapacityError(
                f"the {what} take {end - offset} bytes of {space.name}, and from byte {offset} on "
                f"the chip has {max(0, room - offset)}.",
                f"a smaller --{OPTIONS[space]}, or leave it out: then they are loaded in every "
                "frame",
            )
    return found


def _readdressed(item: Instruction, there: Mapping[Space, Sequence[Tile]]) -> Instruction:
    """The instruction with what it reads where that stays."""
    changes: dict[str, int] = {}
    operands = item.operands()
    for space, tiles in there.items():
        for operand in operands:
            if operand.space != space or operand.write:
                continue
            (tile,) = (t for t in tiles if t.first <= operand.address and operand.last <= t.last)
            place = tile.place + operand.address - tile.first
            for field in layout(type(item)):
                if field.spaces == (space,) and getattr(item, field.name) == operand.address:
                    changes[field.name] = place
    return replace(item, **changes) if changes else item
