"""``check``: can this model run on that chip? Every unsupported or doubtful node at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from knightlite.api.chips.evidence import evidence_for
from knightlite.api.chips.settings import chip_or_default
from knightlite.errors import CapacityError, Finding, together
from knightlite.options import check as check_options
from knightlite.options.inspection import CheckOptions
from knightlite.talk import SILENT, Talk

if TYPE_CHECKING:
    from knightlite.chip import ChipFamily
    from knightlite.frontend.survey import OpCount
    from knightlite.ir import Graph
    from knightlite.profiler import FrameTime
    from knightlite.schedule import Plan


@dataclass(frozen=True, slots=True)
class Latency:
    """A predicted time of one picture at a level of the schedule."""

    level: int
    frame: FrameTime


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Findings and sizes. ``macs``: of one picture; ``operators``: type -> nodes.

    Those are: all, supported, and on the host of these. ``latency``: predicted, of what runs on
    the chip at schedule level 0 (1 where only that fits) in the types of the default quantization;
    None where it does not.
    """

    name: str
    chip: str
    findings: tuple[Finding, ...]
    operators: Mapping[str, tuple[int, int, int]]
    macs: int
    npu_macs: int
    parameters: int
    host: tuple[str, ...]
    latency: Latency | None

    @property
    def fits(self) -> bool:
        """True where nothing keeps the model off the chip."""
        return not any(item.severity == "error" for item in self.findings)


def check(options: CheckOptions, talk: Talk = SILENT) -> CheckResult:
    """Survey a float model, and the limits of a chip's engines and memories."""
    (found,) = check_on([chip_or_default(options.chip, talk)], options, talk)
    return found


def check_all(options: CheckOptions, talk: Talk = SILENT) -> tuple[CheckResult, ...]:
    """The same for one chip of every family."""
    from knightlite import chip_files

    return check_on([family.names[0] for family in chip_files.families()], options, talk)


def check_on(
    names: Sequence[str], options: CheckOptions, talk: Talk = SILENT
) -> tuple[CheckResult, ...]:
    """The same for several chips, in their order; the model is read once."""
    from knightlite import chip_files
    from knightlite.frontend import Conversion, survey
    from knightlite.frontend.model_files import require_there
    from knightlite.lower import limit_findings

    together(lambda: require_there(options.model), lambda: check_options(options))
    families = [chip_files.find(name) for name in names]
    found = survey(
        options.model,
        options.weight,
        options.framework,
        list(options.input_shapes) or None,
        options.general_process,
        Conversion(
            script=options.script,
            paddle_python=options.paddle_python,
            torch_python=options.torch_python,
            script_python=options.script_python,
            torch_exporter=options.torch_exporter,
            trusted=options.trust_checkpoint,
            talk=talk,
        ),
        options.npu_picks,
    )
    results = []
    for name, family in zip(names, families, strict=True):
        findings, latency = list(found.findings), None
        host: tuple[str, ...] = ()
        if found.graph is not None:
            limits = limit_findings(found.graph, family.chip)
            if not limits:
                limits, latency = _planned(found.graph, family, name)
            findings += limits
            work = (op.op for op in found.graph.host if _is_work(op.op, found.operators))
            host = tuple(work)
        results.append(
            CheckResult(
                found.name,
                name,
                tuple(findings),
                {
                    kind: (count.total, count.supported, count.host)
                    for kind, count in found.operators.items()
                },
                found.macs,
                found.npu_macs,
                found.parameters,
                host,
                latency,
            )
        )
    return tuple(results)


def _is_work(kind: str, operators: Mapping[str, OpCount]) -> bool:
    """False for a Reshape of no node's: it only gives an output the model's shape."""
    from knightlite.frontend.views import VIEWS

    return kind != "Reshape" or any(operators[view].host for view in VIEWS if view in operators)


def _planned(graph: Graph, family: ChipFamily, name: str) -> tuple[list[Finding], Latency | None]:
    """What does not fit the chip's memories, or else the time that it takes.

    The network is planned in the types that it will have. What scales decide is not looked at: no
    node is refused that calibration may save.
    """
    from knightlite.emit import program_code
    from knightlite.ir.graph import flatten_chains
    from knightlite.ops import constraint_findings
    from knightlite.profiler import FrameTime, certainty, host_ms
    from knightlite.quantize.scales import with_unit_scales
    from knightlite.sim import simulate_time

    quantized = with_unit_scales(graph)
    if constraint_findings(quantized):
        return [], None
    try:
        plan = _plan(quantized, family, name)
    except CapacityError as error:
        of_layers = [item for item in error.findings if item.sentence == error.sentence]
        whole = [Finding(graph.name, error.sentence, error.hint)]
        return [*error.findings] if of_layers else whole, None
    cycles = simulate_time(program_code(plan), family.chip).total_cycles
    operators = [part.op for layer in plan.layers for part in flatten_chains([layer.node])]
    known = evidence_for(family)
    sure = certainty(known, name, plan.level.number, operators)
    frame = FrameTime(cycles * 1e3 / family.chip.clock_hz, host_ms(known), sure)
    return [], Latency(plan.level.number, frame)


def _plan(graph: Graph, family: ChipFamily, name: str) -> Plan:
    """At level 0, for which boards were measured; where it does not fit so, as compile does it."""
    from knightlite.compiler import plan_graph

    try:
        return plan_graph(graph, family, name)
    except CapacityError:
        return plan_graph(graph, family, name, level=1)
