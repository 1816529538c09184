"""``check``: can this model run on that chip? Every unsupported or doubtful node at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from knightlite.api.chips.settings import default_chip
from knightlite.errors import CapacityError, Finding
from knightlite.options import check as check_options
from knightlite.options.inspection import CheckOptions
from knightlite.talk import SILENT, Talk

if TYPE_CHECKING:
    from knightlite.chip import ChipFamily
    from knightlite.frontend.survey import OpCount
    from knightlite.ir import Graph


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Findings and sizes. ``macs``: of one picture; ``operators``: type -> nodes.

    Those are: all, supported, and on the host of these.
    """

    name: str
    chip: str
    findings: tuple[Finding, ...]
    operators: Mapping[str, tuple[int, int, int]]
    macs: int
    npu_macs: int
    parameters: int
    host: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """True where nothing keeps the model off the chip."""
        return not any(item.severity == "error" for item in self.findings)


def check(options: CheckOptions, talk: Talk = SILENT) -> CheckResult:
    """Survey a float model, and the limits of a chip's engines and memories."""
    from knightlite import chip_files
    from knightlite.frontend import Conversion, survey
    from knightlite.lower import limit_findings

    check_options(options)
    name = options.chip or default_chip()
    family = chip_files.find(name)
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
    )
    findings = list(found.findings)
    host: tuple[str, ...] = ()
    if found.graph is not None:
        findings += limit_findings(found.graph, family.chip) or _too_large(
            found.graph, family, name
        )
        host = tuple(op.op for op in found.graph.host if _is_work(op.op, found.operators))
    return CheckResult(
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
    )


def _is_work(kind: str, operators: Mapping[str, OpCount]) -> bool:
    """False for a Reshape of no node's: it only gives an output the model's shape."""
    return kind != "Reshape" or (kind in operators and operators[kind].host > 0)


def _too_large(graph: Graph, family: ChipFamily, name: str) -> list[Finding]:
    """What does not fit the chip's memories: the network is planned in the types that it will have.

    What scales decide is not looked at: no node is refused that calibration may save.
    """
    from knightlite.compiler import plan_graph
    from knightlite.ops import constraint_findings
    from knightlite.quantize.scales import with_unit_scales

    quantized = with_unit_scales(graph)
    if constraint_findings(quantized):
        return []
    try:
        plan_graph(quantized, family, name)
    except CapacityError as error:
        of_layers = [item for item in error.findings if item.sentence == error.sentence]
        whole = [Finding(graph.name, error.sentence, error.hint)]
        return [*error.findings] if of_layers else whole
    return []
