"""A compiled network as its two files, which name each other by hash, or as one that holds both."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from knightlite.chip import Chip, ChipFamily, facts_digest
from knightlite.container.description import Description, WeightDescription
from knightlite.container.plan import plan_bytes
from knightlite.container.sections import (
    CFG_MAGIC,
    MODEL_MAGIC,
    REMEDY,
    WEIGHT_MAGIC,
    read_sections,
    write_sections,
)
from knightlite.errors import FormatError
from knightlite.json_records import decode, encode, shown


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled network: what the two files hold.

    ``code``: instructions; ``data``: the DDR image of all constants. ``host``: the host's share as
    an ONNX model where an operator in it needs ONNX Runtime, else empty.
    """

    meta: Description
    code: bytes
    data: bytes
    host: bytes = b""


def pair_digest(program: Program) -> str:
    """The identity of a compiled network, which both files carry: every byte of it counts.

    The plan holds the hash of the description, all but the identity itself.
    """
    parts = (plan_bytes(program.meta), program.code, program.data, program.host)
    digests = (hashlib.sha256(part).digest() for part in parts)
    return hashlib.sha256(b"".join(digests)).hexdigest()


def paired(program: Program) -> Program:
    """The program with its identity in its description, whatever stood there."""
    return replace(program, meta=replace(program.meta, pair=pair_digest(program)))


def encode_program(program: Program) -> tuple[bytes, bytes]:
    """The bytes of (``.cfg``, ``.weight``); FormatError where the description cannot be read."""
    meta = program.meta
    where = f"the description of {meta.name}"
    description = encode(meta, where)
    plan = plan_bytes(meta, meta.pair)
    sections = {"meta": description, "plan": plan, "code": program.code}
    if program.host:
        sections["host"] = program.host
    cfg = write_sections(CFG_MAGIC, sections)
    weight_meta = encode(WeightDescription(meta.name, meta.pair), where)
    weight = write_sections(WEIGHT_MAGIC, {"meta": weight_meta, "data": program.data})
    _require_own(program, where)
    return cfg, weight


def encode_model(cfg: bytes, weight: bytes) -> bytes:
    """The bytes of a ``.tsmodel`` that holds both files."""
    return write_sections(MODEL_MAGIC, {"cfg": cfg, "weight": weight})


def decode_model(data: bytes, where: str) -> Program:
    """Read a ``.tsmodel``; FormatError where it is damaged."""
    sections = read_sections(MODEL_MAGIC, data, where)
    _require_known(sections, ("cfg", "weight"), where)
    return decode_program(
        _section(sections, "cfg", where), _section(sections, "weight", where), where, where
    )


def decode_program(cfg: bytes, weight: bytes, cfg_name: str, weight_name: str) -> Program:
    """Read both files; FormatError where one is damaged, or they do not belong together."""
    cfg_sections = read_sections(CFG_MAGIC, cfg, cfg_name)
    weight_sections = read_sections(WEIGHT_MAGIC, weight, weight_name)
    _require_known(cfg_sections, ("meta", "plan", "code", "host"), cfg_name)
    _require_known(weight_sections, ("meta", "data"), weight_name)
    code = _section(cfg_sections, "code", cfg_name)
    data = _section(weight_sections, "data", weight_name)
    meta = cfg_description(cfg_sections, cfg_name)
    other = weight_description(weight_sections, weight_name)
    if meta.pair != other.pair:
        raise FormatError(
            f"{cfg_name} ({meta.name}) and {weight_name} ({other.name}) do not belong together.",
            "take both from the same compile run",
        )
    if meta.name != other.name:
        raise FormatError(
            f"{weight_name} is damaged: name must be {shown(meta.name)}, not {shown(other.name)}.",
            REMEDY,
        )
    program = Program(meta, code, data, cfg_sections.get("host", b""))
    _require_own(program, cfg_name)
    if _section(cfg_sections, "plan", cfg_name) != plan_bytes(meta, meta.pair):
        raise FormatError(f"{cfg_name} is damaged: its plan is not that of its meta.", REMEDY)
    return program


def cfg_description(sections: Mapping[str, bytes], where: str) -> Description:
    """What a ``.cfg`` says of its program, from its checked sections; FormatError."""
    return decode(Description, _section(sections, "meta", where), where, REMEDY)


def weight_description(sections: Mapping[str, bytes], where: str) -> WeightDescription:
    """What a ``.weight`` says of itself, from its checked sections; FormatError."""
    return decode(WeightDescription, _section(sections, "meta", where), where, REMEDY)


def _section(sections: Mapping[str, bytes], name: str, where: str) -> bytes:
    if name not in sections:
        raise FormatError(f"{where} has no section {name}.", REMEDY)
    return sections[name]


def _require_known(sections: Mapping[str, bytes], known: Sequence[str], where: str) -> None:
    """FormatError for a section that no reader looks at: what it says would count for nothing."""
    for name in sections:
        if name not in known:
            listed = ", ".join(known)
            raise FormatError(
                f"{where} is damaged: its sections must be of {listed}, not {shown(name)}.", REMEDY
            )


def _require_own(program: Program, where: str) -> None:
    """FormatError where a description is of other bytes, or was itself changed since."""
    meta, data = program.meta, program.data
    pair = pair_digest(program)
    if meta.pair != pair:
        raise FormatError(f"{where} is damaged: pair must be {pair}, not {meta.pair}.", REMEDY)
    if meta.constants_bytes != len(data):
        raise FormatError(
            f"{where} is damaged: constants_bytes must be {len(data)}, not {meta.constants_bytes}.",
            REMEDY,
        )


def program_chip(program: Program, family: ChipFamily | None = None) -> Chip:
    """The chip a program was compiled for; FormatError where ``family`` is another."""
    chip, name, digest = program.meta.chip_values, program.meta.chip, program.meta.chip_digest
    if facts_digest(chip) != digest:
        raise FormatError(f"the .cfg carries facts of chip {name} that do not match their hash.")
    if family is not None and family.digest != digest:
        raise FormatError(
            f"the .cfg was compiled for another description of chip {name}.",
            "compile the model again for this chip",
        )
    return chip
