"""The compiler in one call: quantized graph to program, golden graph and plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from knightlite.allocate import place_tensors
from knightlite.chip import Chip, ChipFamily
from knightlite.container import Origin, Program
from knightlite.emit import emit_program
from knightlite.errors import UnsupportedError, findings_error
from knightlite.ir import Graph, verify
from knightlite.isa import Space
from knightlite.lower import limit_findings, without_zero_blocks
from knightlite.ops import constraint_findings
from knightlite.passes import PIPELINE, Explanations, run_passes
from knightlite.schedule import LEVELS, Budget, Plan, Tilings, cut_columns, cut_means, make_plan

COLUMNS = "cut_columns"  # what explanations of layers done by columns are filed under
SPARSE = "sparse"  # what explanations of skipped zeros are filed under


@dataclass(frozen=True, slots=True)
class Compiled:
    """What compiling gives: the program, the rewritten graph it stands for, the plan, sentences."""

    program: Program
    graph: Graph
    plan: Plan
    explanations: Explanations


def compile_graph(
    graph: Graph,
    family: ChipFamily,
    chip_name: str,
    origin: Origin,
    reuse_ddr: bool = True,
    tilings: Tilings | None = None,
    level: int = 0,
    sparse: bool = False,
    budget: Budget | None = None,
    apart: Sequence[str] = (),
    once: Mapping[Space, int] | None = None,
) -> Compiled:
    """Compile a quantized graph; UnsupportedError or CapacityError with all findings at once.

    ``origin``: what the graph was read from. ``reuse_ddr``: buffers of features share addresses
    where their lives allow it. ``tilings``: chosen for the same chip before, see
    ``schedule.Tilings``. ``level``: of the schedule, see ``schedule.Level``. ``sparse``: blocks of
    weights that are all zero are skipped. ``budget``: of a level that searches. ``apart``:
    ``inputs`` and ``outputs`` lie outside the network's memory. ``once``: offsets in WSPM and MSPM
    from which constants stay there, loaded once.
    """
    explanations = Explanations()
    plan = plan_graph(
        graph, family, chip_name, explanations, reuse_ddr, tilings, level, sparse, budget, apart
    )
    program = emit_program(plan, family, chip_name, origin, once)
    return Compiled(program, plan.graph, plan, explanations)


def plan_graph(
    graph: Graph,
    family: ChipFamily,
    chip_name: str,
    explanations: Explanations | None = None,
    reuse_ddr: bool = True,
    tilings: Tilings | None = None,
    level: int = 0,
    sparse: bool = False,
    budget: Budget | None = None,
    apart: Sequence[str] = (),
) -> Plan:
    """The part of :func:`compile_graph` before bytes; ``explanations`` takes the passes' words."""
    _require_apart(graph, apart)
    findings = constraint_findings(graph) + limit_findings(graph, family.chip)
    if findings:
        raise findings_error(
            UnsupportedError,
            f"{len(findings)} node(s) of {graph.name} cannot run on {chip_name}: {findings[0]}",
            findings,
        )
    told = Explanations() if explanations is None else explanations
    rewritten = run_passes(graph, family.chip, PIPELINE, told)
    if sparse:
        rewritten = skip_zeros(rewritten, family.chip, told)
    rewritten = side_by_side(rewritten, family.chip, told)
    placed, places = place_tensors(rewritten, LEVELS[level].copies_joined, "outputs" in apart)
    verify(placed)
    return make_plan(placed, places, family.chip, reuse_ddr, tilings, LEVELS[level], budget, apart)


def _require_apart(graph: Graph, apart: Sequence[str]) -> None:
    """UnsupportedError where an output would have to lie in two memories."""
    both = [name for name in graph.chip_outputs if name in graph.inputs]
    if "outputs" in apart and both:
        raise UnsupportedError(
            f"output {both[0]} of {graph.name} is its input as well, which cannot lie outside the "
            "network's memory twice.",
            "leave out --output-indep",
        )


def side_by_side(graph: Graph, chip: Chip, told: Explanations) -> Graph:
    """The graph whose layers of too wide rows go by columns; ``told`` takes what each does."""
    for cut in (cut_means, cut_columns):
        graph, sentences = cut(graph, chip)
        for name, sentence in sentences:
            told.say(name, COLUMNS, sentence)
    return graph


def skip_zeros(graph: Graph, chip: Chip, told: Explanations) -> Graph:
    """The graph whose convolutions skip their blocks of zeros; ``told`` takes what each does."""
    marked, sentences = without_zero_blocks(graph, chip)
    for name, sentence in sentences:
        told.say(name, SPARSE, sentence)
    return marked
