"""A chip is a frozen record of facts; code asks it for them, never for its name.

Every quantity has its unit in its name. Where they come from: ``chip_files``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Literal, NamedTuple

from knightlite.json_records import AtLeast, Between, NotEmpty, PowerOfTwo

Positive = Annotated[int, AtLeast(1)]
Percent = Annotated[int, Between(1, 100)]
# at least a word, to which pixels in DDR are padded; instructions may ask for more
Alignment = Annotated[int, AtLeast(4), PowerOfTwo()]
BitWidths = Annotated[tuple[Literal[8, 16], ...], NotEmpty()]


@dataclass(frozen=True, slots=True)
class Chip:
    """One chip family's facts; see ``chips/*.toml`` for where each value comes from."""

    clock_hz: Positive
    bit_widths: BitWidths
    matrix_input_lanes: Positive  # input channels per cycle of the matrix engine, 8 bit
    matrix_output_lanes: Positive  # output channels per cycle of the matrix engine, 8 bit
    matrix_packed_channels: (
        Positive  # up to so many input channels, kernel columns share input lanes
    )
    wide_matrix_output_lanes: Positive  # the same where an operand has 16 bits
    depthwise_lanes: Positive  # channels per cycle of a depthwise convolution, one tap each, 8 bit
    wide_depthwise_lanes: Positive  # the same where an operand has 16 bits
    groups_per_block: Positive  # groups of a convolution that may share a block of lanes
    vector_lanes: Positive  # elements per cycle of the vector engine, alone or as a prologue
    matrix_setup_cycles: Positive  # per instruction
    vector_setup_cycles: Positive  # per instruction
    fspm_bytes: Positive
    fspm_align_bytes: Alignment
    fspm_banks: Positive
    fspm_bank_bytes_per_cycle: Positive
    wspm_bytes: Positive
    wspm_align_bytes: Alignment
    mspm_bytes: Positive
    mspm_align_bytes: Alignment
    ddr_bytes: Positive
    ddr_align_bytes: Alignment
    ddr_bytes_per_second: Positive
    ddr_efficiency_percent: Percent
    ddr_burst_bytes: Positive
    dma_setup_cycles: Positive  # per transfer, before its first byte

    @property
    def peak_macs_per_cycle(self) -> int:
        """8-bit multiply-accumulates per cycle of the matrix engine."""
        return self.matrix_input_lanes * self.matrix_output_lanes

    @property
    def fspm_bytes_per_cycle(self) -> int:
        """Bytes per cycle that all banks deliver together."""
        return self.fspm_banks * self.fspm_bank_bytes_per_cycle

    def ddr_cycles(self, size_bytes: int) -> int:
        """Cycles that ``size_bytes`` occupy the DDR, at its effective rate, rounded up."""
        rate = self.ddr_bytes_per_second * self.ddr_efficiency_percent
        return -(-size_bytes * self.clock_hz * 100 // rate)


# nothing but time depends on them: a program runs the same on chips that differ here
TIMING_FACTS = (
    "clock_hz",
    "matrix_input_lanes",
    "matrix_output_lanes",
    "wide_matrix_output_lanes",
    "matrix_packed_channels",
    "depthwise_lanes",
    "wide_depthwise_lanes",
    "groups_per_block",
    "vector_lanes",
    "matrix_setup_cycles",
    "vector_setup_cycles",
    "fspm_banks",
    "fspm_bank_bytes_per_cycle",
    "ddr_bytes_per_second",
    "ddr_efficiency_percent",
    "ddr_burst_bytes",
    "dma_setup_cycles",
)

# of these the ones that only boards tell; a chip without one of its own takes another's
FITTED_FACTS = (
    "groups_per_block",
    "vector_lanes",
    "matrix_setup_cycles",
    "vector_setup_cycles",
    "ddr_efficiency_percent",
    "dma_setup_cycles",
)


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where one value comes from."""

    source: str
    note: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What predicted times were held against: latencies of boards, see docs/clock.md.

    ``error_percent``: nine of ten networks are expected to lie so near; ``operators``: those that
    some of the networks have; ``schedule_level``: at which they were compiled. ``host_us``: what a
    picture takes on the host, in microseconds, where somebody measures from end to end: stated,
    part of no predicted time; 0 where nobody stated it.
    """

    error_percent: Percent
    board: str
    networks: Annotated[tuple[str, ...], NotEmpty()]
    schedule_level: Annotated[int, AtLeast(0)]
    operators: tuple[str, ...]
    host_us: Annotated[int, AtLeast(0)] = 0


@dataclass(frozen=True, slots=True)
class ChipFamily:
    """A parsed chip file: the facts, who they hold for, and where they come from.

    ``digest`` is the SHA-256 of the facts; binaries carry it and the simulator refuses another.
    ``evidence``: of the figures of time; None where no board of the family was ever measured.
    ``model_of``: another maker's machine that the facts describe; "" for a chip of the vendor's.
    ``without``: options of ``compile``, by their long names, that ask for what it does not have.
    """

    family: str
    names: tuple[str, ...]
    description: str
    chip: Chip
    provenance: Mapping[str, Provenance]
    digest: str
    evidence: Evidence | None = None
    model_of: str = ""
    without: tuple[str, ...] = ()


class Held(NamedTuple):
    """What a chip's predicted times rest on.

    ``of_this_chip``: the boards were of it; else of the one whose figures it has. ``own_facts``:
    of those figures, the ones that it has not.
    """

    evidence: Evidence
    of_this_chip: bool
    own_facts: tuple[str, ...] = ()


def own_facts(chip: Chip, fitted: Chip) -> tuple[str, ...]:
    """The facts that only boards tell in which a chip is not like the one they were fitted to.

    Vector lanes are taken in proportion to output lanes.
    """
    return tuple(
        fact
        for fact in FITTED_FACTS
        if _in_proportion(chip, fitted, fact) != _in_proportion(fitted, chip, fact)
    )


def _in_proportion(chip: Chip, to: Chip, fact: str) -> int:
    value = int(getattr(chip, fact))
    return value * to.matrix_output_lanes if fact == "vector_lanes" else value


def facts_digest(chip: Chip) -> str:
    """The SHA-256 of a chip's facts: what binaries carry."""
    facts = sorted((field.name, getattr(chip, field.name)) for field in fields(Chip))
    return hashlib.sha256(repr(facts).encode()).hexdigest()
