"""Which operators a chip runs, on which engine, and by which rules: for ``chips`` and the docs."""

from __future__ import annotations

from dataclasses import dataclass

from knightlite.chip import Chip, ChipFamily
from knightlite.compiler import plan_graph
from knightlite.emit import program_code
from knightlite.errors import KnightliteError
from knightlite.isa import Engine
from knightlite.lower import BY_OP, LOWERINGS
from knightlite.ops import ALL_OPS, OpDef


@dataclass(frozen=True, slots=True)
class OperatorSupport:
    """One operator on one chip.

    ``engines``: those that compute it, else those that move it; none where it is a placement.
    ``rules``: the model's constraints, then this operator's engine limits. ``refused``: why not
    one of its samples fits the chip, or "".
    """

    name: str
    onnx_types: tuple[str, ...]
    engines: tuple[str, ...]
    rules: tuple[str, ...]
    refused: str


def common_rules() -> tuple[str, ...]:
    """The limits that hold for every operator."""
    return tuple(sorted(set.intersection(*({rule.rule for rule in op.limits} for op in LOWERINGS))))


def operators_of(family: ChipFamily) -> tuple[OperatorSupport, ...]:
    """Every operator, as the compiler does its samples on the chip."""
    common = common_rules()
    found = []
    for op in ALL_OPS:
        rules = [item.rule for item in op.constraints]
        if op.name in BY_OP:
            rules += [item.rule for item in BY_OP[op.name].limits if item.rule not in common]
        engines, refused = _tried(op, family)
        sources = op.onnx_types or op.also_from
        if op.hosted:
            sources, engines = ("any other, with -gp",), ("the host, between segments",)
        found.append(OperatorSupport(op.name, sources, engines, tuple(rules), refused))
    return tuple(found)


def sizes(chip: Chip) -> str:
    """What the memories hold, which decides whether a layer fits."""
    return (
        f"A layer must have tiles that fit {chip.fspm_bytes:,} bytes of FSPM, "
        f"{chip.wspm_bytes:,} of WSPM and {chip.mspm_bytes:,} of MSPM; all tensors and constants "
        f"together {chip.ddr_bytes:,} bytes of DDR."
    )


def _tried(op: OpDef, family: ChipFamily) -> tuple[tuple[str, ...], str]:
    """The engines of the first sample that compiles, or why none does."""
    refused = ""
    for graph in op.samples():
        try:
            code = program_code(plan_graph(graph, family, family.names[0]))
        except KnightliteError as error:
            refused = refused or error.sentence
            continue
        if op.name not in BY_OP:
            return (), ""
        used = {item.ENGINE for item in code}
        return tuple(item.name for item in sorted(used - {Engine.RDMA, Engine.WDMA} or used)), ""
    return (), refused
